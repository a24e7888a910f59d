# SPDX-License-Identifier: MIT
"""From pooled activations to features of unit length, and what a learner makes of them.

features(): a network's pooled activations. whitening(): mean and matrix from the within-class scatter of labelled
pictures. The three heads are doc/LEARNER's: cosine class means, LDA with a prior, and logistic regression on all at once.
"""

import numpy as np
import torch

from tools.train import nets, pictures

SHRINK = 0.1  # least weight of the identity in the within-class scatter
SHRINKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # see choose_shrinkage
MEANS_TAUGHT, MEANS_DRAWS = (5, 20), 10
LDA_PRIOR = 1000  # pictures that the prior is worth
LOGISTIC_SCALE = 8.0
LOGISTIC_PENALTY = 1e-3


@torch.no_grad()
def features(net, x, side, dtype=torch.float32, batch=200):
	"""Pooled activations N x d of bytes N x S x S x 3."""
	device = next(net.parameters()).device
	done = []
	for i in range(0, len(x), batch):
		b = pictures.tensor(pictures.squares(x[i : i + batch], side), device, dtype)
		done.append(net.features(nets.prepare(b)).cpu().numpy())
	return np.concatenate(done)


def rooted(raw, root):
	raw = raw.astype("f8")
	return np.sqrt(np.maximum(raw, 0)) if root else raw


def class_means(x, y):
	return np.stack([x[y == c].mean(0) for c in np.unique(y)])


def within_scatter(x, y):
	"""Covariance around the class means."""
	labels = np.unique(y, return_inverse=True)[1]
	d = x - class_means(x, y)[labels]
	return d.T @ d / max(len(x) - labels.max() - 1, 1)


def shrinkage(n_directions, n_pictures):
	"""Weight of the identity in the within-class scatter where nothing says better. The fewer pictures there are for
	the directions, the less the scatter says about most of them."""
	return max(SHRINK, 2 * n_directions / (2 * n_directions + n_pictures))


def whitening(raw, y, root=True, shrink=None):
	"""mean and matrix (d x d): (root(raw) - mean) @ matrix has within-class scatter one, shrunk towards the identity."""
	r = rooted(raw, root)
	d = r.shape[1]
	shrink = shrinkage(d, len(r)) if shrink is None else shrink
	s = within_scatter(r, y)
	s = (1 - shrink) * s + shrink * max(np.trace(s) / d, 1e-12) * np.eye(d)
	w, v = np.linalg.eigh(s)
	return r.mean(0), v @ np.diag(w**-0.5) @ v.T


def choose_shrinkage(raw, y, asked, asked_y, root=True):
	"""The shrinkage of SHRINKS with which class means of a few of the asked pictures are right about most of the
	others. asked: of classes that were not trained, two pictures each at least."""
	found = []
	for shrink in SHRINKS:
		h = normalise(asked, *whitening(raw, y, root, shrink), root)
		found.append(means_of_few(h, asked_y))
	return SHRINKS[int(np.argmax(found))]


def means_of_few(h, y):
	"""Accuracy of class means of few pictures, on average of MEANS_TAUGHT (at most half of a class) and MEANS_DRAWS."""
	y = np.unique(y, return_inverse=True)[1]
	half, right = int(np.bincount(y).min()) // 2, []
	for n in (min(n, half) for n in MEANS_TAUGHT):
		for seed in range(MEANS_DRAWS):
			taught, rest = few(y, n, seed)
			right.append((means_answers(h[taught], y[taught], h[rest]) == y[rest]).mean())
	return float(np.mean(right))


def normalise(raw, mean, matrix, root=True):
	h = (rooted(raw, root) - mean) @ matrix
	return h / np.linalg.norm(h, axis=1, keepdims=True).clip(1e-12)


def prior_covariance(h, y):
	return within_scatter(h, y)


# --- heads -----------------------------------------------------------------------------------------------------------


def means_answers(a, ya, b):
	m = class_means(a, ya)
	return (b @ (m / np.linalg.norm(m, axis=1, keepdims=True)).T).argmax(1)


def lda_answers(a, ya, b, prior, worth=LDA_PRIOR):
	m = class_means(a, ya)
	d = a - m[ya]
	inverse = np.linalg.inv((worth * prior + d.T @ d) / (worth + len(a) - len(m)))
	w = m @ inverse
	return (b @ w.T - 0.5 * (w * m).sum(1)).argmax(1)


def logistic_answers(a, ya, b, penalty=LOGISTIC_PENALTY):
	a, b = (torch.tensor(x * LOGISTIC_SCALE, dtype=torch.float32) for x in (a, b))
	y = torch.tensor(ya)
	w = torch.zeros(int(ya.max()) + 1, a.shape[1], requires_grad=True)
	bias = torch.zeros(len(w), requires_grad=True)
	solver = torch.optim.LBFGS([w, bias], max_iter=200, line_search_fn="strong_wolfe")

	def closure():
		solver.zero_grad()
		loss = torch.nn.functional.cross_entropy(a @ w.T + bias, y) + penalty * (w * w).sum()
		loss.backward()
		return loss

	solver.step(closure)
	return (b @ w.detach().T + bias.detach()).argmax(1).numpy()


def heads(a, ya, b, yb, prior):
	"""Accuracy of each head, taught with a, asked b."""
	found = {"means": means_answers(a, ya, b), "LDA": lda_answers(a, ya, b, prior), "joint": logistic_answers(a, ya, b)}
	return {name: float((answers == yb).mean()) for name, answers in found.items()}


def few(y, n, seed=0):
	"""(n pictures of each class, the rest), as indices."""
	rng = np.random.default_rng(seed)
	chosen = np.concatenate([np.sort(rng.permutation(np.flatnonzero(y == c))[:n]) for c in range(y.max() + 1)])
	return chosen, np.setdiff1d(np.arange(len(y)), chosen)
