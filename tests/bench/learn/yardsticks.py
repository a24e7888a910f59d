# SPDX-License-Identifier: MIT
"""What the learner is measured against, on the same draws and the same q, all pictures at once: multinomial logistic
regression, linear discriminant analysis, ridge regression, and RanPAC's head.

  BUILD/tests/bench/learn/learn_bench draws draws=3 cases=all -- CACHE/*.set | python3 -m tests.bench.learn.yardsticks CSV

Each chooses its own strength by cross-validation inside the taught pictures. J of doc/BENCH-LEARN.md is the better of the
first two. In numpy, since it takes a fast matrix product; class means, nearest feature and CWR* are learn_bench's.

  logistic   L2 and bias, L-BFGS to convergence
  lda        one covariance of all features, shrunk towards a multiple of the unit matrix
  ridge      to one-hot targets
  ranpac     ridge on 2,048 random features with a rectifier (McDonnell, Gong, Parvaneh, Abbasnejad, van den Hengel,
             "RanPAC: Random Projections and Pre-trained Models for Continual Learning", NeurIPS 2023)
"""

import csv
import functools
import json
import sys

import numpy as np

from tests.bench.learn import cache

FOLDS, FOLDED_MAX = 5, 100_000  # pictures times classes up to which all folds are asked, else one
LAMBDAS = 10.0 ** np.arange(-5, 1.01)
RIDGES = 10.0 ** np.arange(-4, 3.01, 0.5)  # of mean squared length 1
SHRINKAGES = np.array([0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01])
RANDOM_FEATURES = 2048
MEMORY, STEPS_MAX, GRADIENT_END = 20, 500, 1e-6


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


def folds_of(y, seed=0):
	"""A number from 0 to FOLDS - 1 for each picture, even in each class."""
	fold, rng = np.zeros(len(y), int), np.random.default_rng(seed)
	for c in np.unique(y):
		fold[rng.permutation(np.flatnonzero(y == c))] = np.arange((y == c).sum()) % FOLDS
	return fold


def chosen(y, strengths, right_of):
	"""The strength that answers most of what it was not fitted to; of equals the strongest, which comes first.
	right_of(fitted, held): right answers for each strength."""
	fold, right = folds_of(y), np.zeros(len(strengths))
	asked = range(FOLDS) if len(y) * (y.max() + 1) <= FOLDED_MAX else [0]
	for k in asked:
		if (fold == k).any() and len(np.unique(y[fold != k])) == y.max() + 1:
			right += right_of(fold != k, fold == k)
	return strengths[right.argmax()]


# --- logistic regression ---------------------------------------------------------------------------------------------


def logistic_fit(x, y, lam, n_classes, start=None):
	"""Weights and bias, (d + 1) x C, that minimise mean cross-entropy + lam / 2 |W|^2; the bias is not regularised."""
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

	return lbfgs(f, np.zeros((d + 1) * n_classes) if start is None else start)


def logistic_answers(flat, x):
	w = flat.reshape(x.shape[1] + 1, -1)
	return (x @ w[:-1] + w[-1]).argmax(1)


def logistic(q, y, asked):
	x, n_classes = q / 64.0, y.max() + 1
	basis = np.linalg.svd(x, full_matrices=False)[2] if len(x) < x.shape[1] else np.eye(x.shape[1])
	x = x @ basis.T  # the optimum lies in the span of the pictures, so this changes nothing but the time

	def right_of(fitted, held):
		flat, right = None, []
		for lam in LAMBDAS[::-1]:
			flat = logistic_fit(x[fitted], y[fitted], lam, n_classes, flat)
			right.append((logistic_answers(flat, x[held]) == y[held]).sum())
		return right

	lam = chosen(y, LAMBDAS[::-1], right_of)
	return logistic_answers(logistic_fit(x, y, lam, n_classes), asked / 64.0 @ basis.T)


# --- linear discriminant analysis ------------------------------------------------------------------------------------


def lda_answers(x, y, asked, shrinkages):
	"""Answers for each shrinkage, of classes that are equally likely."""
	means = np.stack([x[y == c].mean(0) for c in range(y.max() + 1)])
	within = x - means[y]
	values, axes = np.linalg.eigh(within.T @ within / max(1, len(x) - len(means)))
	level = values.mean() if values.mean() > 1e-12 else 1.0
	m, a = means @ axes, asked @ axes
	for share in shrinkages:
		scaled = m / ((1 - share) * np.maximum(values, 0) + share * level)
		yield (a @ scaled.T - (m * scaled).sum(1) / 2).argmax(1)


def lda(q, y, asked):
	x, a = unit(q), unit(asked)

	def right_of(fitted, held):
		return [(z == y[held]).sum() for z in lda_answers(x[fitted], y[fitted], x[held], SHRINKAGES)]

	return next(lda_answers(x, y, a, [chosen(y, SHRINKAGES, right_of)]))


# --- ridge regression ------------------------------------------------------------------------------------------------


def unit(q):
	return q / np.maximum(np.linalg.norm(q.astype(float), axis=1, keepdims=True), 1e-12)


def ridge_answers(x, y, asked):
	"""One-hot targets; the ridge that is best when each picture is left out, which is exact and costs one
	decomposition."""
	hot = np.eye(y.max() + 1)[y]
	x, asked = (v / np.sqrt((x * x).sum(1).mean()) for v in (x, asked))
	if len(x) <= x.shape[1]:  # columns of p span the pictures: x = p s' of the smaller matrix
		values, axes = np.linalg.eigh(x @ x.T)
		p, back = axes * np.sqrt(np.maximum(values, 1e-12)), x.T @ axes / np.sqrt(np.maximum(values, 1e-12))
	else:
		values, back = np.linalg.eigh(x.T @ x)
		p = x @ back
	target, best = p.T @ hot, (-1, None)
	for ridge in RIDGES[::-1]:
		inverse = 1 / (np.maximum(values, 0) + ridge)
		leverage = ((p * p) @ inverse)[:, None]
		left_out = hot - (hot - p @ (target * inverse[:, None])) / np.maximum(1 - leverage, 1e-9)
		right = (left_out.argmax(1) == y).sum()
		if right > best[0]:
			best = right, inverse
	return (asked @ back @ (target * best[1][:, None])).argmax(1)


def ridge(q, y, asked):
	return ridge_answers(unit(q), y, unit(asked))


@functools.cache
def projection(d):
	return np.random.default_rng(0).normal(size=(d, RANDOM_FEATURES))


def ranpac(q, y, asked):
	w = projection(q.shape[1])
	return ridge_answers(np.maximum(unit(q) @ w, 0), y, np.maximum(unit(asked) @ w, 0))


# --- draws -----------------------------------------------------------------------------------------------------------

YARDSTICKS = {"logistic": logistic, "lda": lda, "ridge": ridge, "ranpac": ranpac}


def right_of(plan, rows, q, yardstick):
	"""The share of the asked pictures that are answered right: of classes that were taught."""
	taught, asked = np.array(plan["taught"]), np.array(plan["asked"])
	known, y = np.unique(rows[taught, 0], return_inverse=True)
	asked = asked[np.isin(rows[asked, 0], known)]
	return (known[yardstick(q[taught], y, q[asked])] == rows[asked, 0]).mean()


def main():
	names, files, right = sys.argv[2:] or list(YARDSTICKS), {}, {}
	for plan in map(json.loads, sys.stdin):
		if plan["file"] not in files:
			files = {plan["file"]: cache.read(plan["file"])}
		for name in names:
			share = right_of(plan, *files[plan["file"]], YARDSTICKS[name])
			right.setdefault((plan["set"], plan["case"], name), []).append(share)
			print(plan["set"], plan["case"], plan["draw"], name, "%.2f" % (100 * share), file=sys.stderr, flush=True)
	with open(sys.argv[1], "w", newline="") as f:
		out = csv.writer(f)
		out.writerow(["set", "case", "by", "draws", "right", "right_error"])
		for key, shares in right.items():
			error = np.std(shares, ddof=1) / len(shares) ** 0.5 if len(shares) > 1 else np.nan
			out.writerow([*key, len(shares), "%.6g" % np.mean(shares), "%.3g" % error])


if __name__ == "__main__":
	main()
