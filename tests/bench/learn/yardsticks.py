# SPDX-License-Identifier: MIT
"""What the learner is measured against, from the same q: cosine class means, and multinomial logistic regression with
L2 and bias trained on everything at once (L-BFGS to convergence, regularisation by 5-fold cross-validation)."""

import numpy as np

FOLDS = 5
LAMBDAS = 10.0 ** np.arange(-5, 1.01, 0.5)
MEMORY, STEPS_MAX, GRADIENT_END = 20, 2000, 1e-7


def class_means(x, y, asked):
	means = np.stack([x[y == c].astype(float).mean(0) for c in range(y.max() + 1)])
	return (asked.astype(float) @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1)


def lbfgs(f, at):
	"""Minimises a smooth convex function that returns (value, gradient). Two-loop recursion, Armijo backtracking."""
	value, g = f(at)
	pairs = []
	for _ in range(STEPS_MAX):
		if np.abs(g).max() < GRADIENT_END:
			break
		p, alphas = g.copy(), []
		for s, t in reversed(pairs):
			alphas.append((s @ p) / (s @ t))
			p -= alphas[-1] * t
		if pairs:
			p *= (pairs[-1][0] @ pairs[-1][1]) / (pairs[-1][1] @ pairs[-1][1])
		for (s, t), alpha in zip(pairs, reversed(alphas), strict=True):
			p += s * (alpha - (t @ p) / (s @ t))
		step = 1.0 if pairs else min(1.0, 1 / np.abs(g).sum())
		while True:
			new = at - step * p
			new_value, new_g = f(new)
			if new_value <= value - 1e-4 * step * (p @ g) or step < 1e-12:
				break
			step /= 2
		s, t = new - at, new_g - g
		if step < 1e-12:
			break
		if s @ t > 1e-14 * (t @ t):
			pairs = (pairs + [(s, t)])[-MEMORY:]
		at, value, g = new, new_value, new_g
	return at


def logistic_fit(x, y, lam, n_classes):
	"""Weights d x C and bias C that minimise mean cross-entropy + lam / 2 |W|^2; the bias is not regularised."""
	n, d = x.shape
	hot = np.eye(n_classes)[y]

	def f(flat):
		w, b = flat[: d * n_classes].reshape(d, n_classes), flat[d * n_classes :]
		z = x @ w + b
		z -= z.max(1, keepdims=True)
		e = np.exp(z)
		total = e.sum(1, keepdims=True)
		value = (np.log(total[:, 0]) - (z * hot).sum(1)).mean() + lam / 2 * (w * w).sum()
		r = (e / total - hot) / n
		return value, np.concatenate([(x.T @ r + lam * w).ravel(), r.sum(0)])

	flat = lbfgs(f, np.zeros((d + 1) * n_classes))
	return flat[: d * n_classes].reshape(d, n_classes), flat[d * n_classes :]


def logistic(q, y, asked, seed=0):
	"""Answers to asked, and the lambda that cross-validation inside the taught pictures chose."""
	x, n_classes = q / 64.0, y.max() + 1
	basis = np.linalg.svd(x, full_matrices=False)[2] if len(x) < x.shape[1] else np.eye(x.shape[1])
	x = x @ basis.T  # the optimum lies in the span of the pictures, so this changes nothing but the time
	fold, rng = np.zeros(len(y), int), np.random.default_rng(seed)
	for c in range(n_classes):
		fold[rng.permutation(np.flatnonzero(y == c))] = np.arange((y == c).sum()) % FOLDS
	right = np.zeros(len(LAMBDAS))
	for i, lam in enumerate(LAMBDAS):
		for k in range(FOLDS):
			w, b = logistic_fit(x[fold != k], y[fold != k], lam, n_classes)
			right[i] += ((x[fold == k] @ w + b).argmax(1) == y[fold == k]).sum()
	best = LAMBDAS[np.flatnonzero(right == right.max())].max()  # of equals the strongest
	w, b = logistic_fit(x, y, best, n_classes)
	return (asked / 64.0 @ basis.T @ w + b).argmax(1), best


def auroc(own, foreign):
	"""The share of pairs in which the own picture has the greater value; ties count half."""
	order = np.sort(foreign)
	return (np.searchsorted(order, own, "left") + np.searchsorted(order, own, "right")).mean() / (2 * len(foreign))
