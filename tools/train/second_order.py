# SPDX-License-Identifier: MIT
"""How good a network's stages and last layer are under the second-order head (doc/LEARNER.md), in numpy: for comparing
networks while they are trained. Not to the bit what the daemon computes: no int8.

The features are those of tools/stages.py: the last layer's mean, centred and divided by its deviation within classes;
means and deviations of stages, centred and whitened. Both are fitted to labelled pictures of other classes than those
that are asked about, or to the training's. Each part has unit length, each group a covariance of its own.
"""

import numpy as np
import torch

from tools.train import nets, normalise, pictures

LAST_FACTOR = 1.5  # of the last layer in the sum over groups
WHITEN_SHRINK = 0.1
BATCH = 250


def unit(x):
	return x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-12)


@torch.no_grad()
def statistics(net, squares, side):
	"""[the last layer's mean, deviations of the last stage, of the one before ..., mean and deviation of the first] of
	bytes N x S x S x 3, shown at this side."""
	device, made = next(net.parameters()).device, []
	for x in pictures.batches(squares, BATCH):
		last, maps = net.stage_maps(nets.prepare(pictures.tensor(pictures.squares(x, side), device)))
		spread = [m.std((2, 3), unbiased=False) for m in maps]
		groups = [last, *reversed(spread[1:]), torch.cat([maps[0].mean((2, 3)), spread[0]], 1)]
		made.append([g.double().cpu().numpy() for g in groups])
	return [np.concatenate(group) for group in zip(*made, strict=True)]


class Features:
	"""Groups of features from statistics(), fitted to those of labelled pictures."""

	def __init__(self, raw, y):
		last, *stages = raw
		deviation = np.sqrt(np.diag(normalise.within_scatter(last, y))).clip(1e-12)
		self.last = last.mean(0), 1 / deviation
		self.stages = [normalise.whitening(x, y, False, WHITEN_SHRINK) for x in stages]

	def __call__(self, raw):
		last, *stages = raw
		groups = [unit((last - self.last[0]) * self.last[1])]
		return groups + [unit((x - mean) @ matrix) for x, (mean, matrix) in zip(stages, self.stages, strict=True)]


def shrunk(scatter, nu):
	"""Oracle approximating shrinkage, its root, of a covariance from nu differences."""
	p, t, squares = len(scatter), np.trace(scatter), (scatter * scatter).sum()
	down = (nu + 1 - 2 / p) * (squares - t * t / p)
	r = np.sqrt(np.clip(((1 - 2 / p) * squares + t * t) / down, 0, 1)) if down > 0 else 1.0
	return (1 - r) * scatter + r * t / p * np.eye(p)


def rows(groups, y):
	"""A row a class and group, which rank by their products' sum."""
	made, square, nu = [], 0, len(y) - y.max() - 1
	for i, x in enumerate(groups):
		means = normalise.class_means(x, y)
		d = x - means[y]
		row = np.linalg.solve(shrunk(d.T @ d / nu, nu), means.T).T
		factor = 1.0 if i else LAST_FACTOR
		square = square + factor * (row * means).sum(1)
		made.append(factor * row)
	return [row / np.sqrt(square)[:, None] for row in made]


def draw(y, n, seed):
	"""(taught, asked): n of each class, at most half of it, and all others."""
	rng, taught = np.random.default_rng(seed), []
	for c in range(y.max() + 1):
		order = rng.permutation(np.flatnonzero(y == c))
		taught.append(order[: min(n, len(order) // 2)])
	taught = np.concatenate(taught)
	return taught, np.setdiff1d(np.arange(len(y)), taught)


def accuracy(groups, y, n, draws):
	"""Share of right answers with n taught pictures a class, on average of so many draws."""
	right = []
	for seed in range(draws):
		taught, asked = draw(y, n, seed)
		made = rows([g[taught] for g in groups], y[taught])
		ranked = sum(g[asked] @ row.T for g, row in zip(groups, made, strict=True))
		right.append((ranked.argmax(1) == y[asked]).mean())
	return float(np.mean(right))
