# SPDX-License-Identifier: MIT
"""*Known* in numpy, as doc/LEARNER.md has it: near-duplicates, what a class says of itself, its threshold. For fits and
tables; sums are numpy's, so that the last bits are not lib/learn's.

x are unit features, a row a picture. `constants` is a dict with the names of Answers in lib/bnn/model.proto.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass
class Likeness:
	"""What a class keeps beside its row."""

	n: int  # pictures, near-duplicates counted once
	r: float  # pictures that its row is worth
	mean: float  # cosine of two of its pictures; 0 where n is 1
	squares: float  # of the differences of cosines with the row from their mean


def unit(x):
	return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def row_cosine(pair, r):
	"""Cosine of a picture with a row of r pictures whose pairs have this cosine."""
	return pair * np.sqrt(r) / np.sqrt(1 + (r - 1) * pair)


def pair_cosine(row, r):
	"""The inverse of row_cosine, within 0 and 1."""
	v = min(max(float(row), 0.0), 1.0)
	b = v * v * (r - 1)
	return min(1.0, (b + math.sqrt(b * b + 4 * r * v * v)) / (2 * r))


def near_duplicates(x, theta):
	"""A group number for each picture: that of the leader it is most alike to, from theta on, or it leads a new one."""
	cosine = x @ x.T
	leaders, of = [], []
	for i in range(len(x)):
		to_leaders = cosine[i, leaders]
		if not leaders or to_leaders.max() < theta:
			of.append(len(leaders))
			leaders.append(i)
		else:
			of.append(int(to_leaders.argmax()))
	return np.array(of)


def group_means(x, of):
	return np.stack([x[of == k].mean(0) for k in range(of.max() + 1)])


def first_lesson(x, theta):
	"""(row, Likeness) of a class taught with these pictures: the row is the class mean, every group one picture."""
	u = group_means(x, near_duplicates(x, theta))
	g, row = len(u), unit(unit(u).sum(0))
	if g < 2:
		return row, Likeness(1, 1.0, 0.0, 0.0)
	rest = u.sum(0) - u
	v = (u * rest).sum(1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-12)
	return row, Likeness(g, float(g), pair_cosine(v.mean(), g - 1), float(((v - v.mean()) ** 2).sum()))


def further_lesson(row, old, x, theta, past_cap=200):
	"""(row, Likeness) of a class that is taught again."""
	u = group_means(x, near_duplicates(x, theta))
	v = u @ row
	fresh = v[v < row_cosine(theta, old.r)]  # what is nearer than that is a picture it had
	share, p = math.sqrt(old.n / len(u)), len(fresh)
	n = old.n + p
	r = min(max((share + 1) ** 2 / (share**2 / old.r + 1 / len(u)), 1.0), n)
	row = unit(share * row + unit(unit(u).sum(0)))
	if p == 0:
		return row, Likeness(old.n, r, old.mean, old.squares)
	squares = float(((fresh - fresh.mean()) ** 2).sum())
	if old.n == 1:
		mean = pair_cosine(fresh.mean(), old.r)
	else:  # Chan, Golub, LeVeque 1979
		before = row_cosine(old.mean, old.r)
		apart = fresh.mean() - before
		squares += old.squares + apart * apart * old.n * p / n
		mean = pair_cosine(before + apart * p / n, old.r)
	if n > past_cap:
		squares, n = squares * past_cap / n, past_cap
	return row, Likeness(n, min(r, n), mean, squares)


def priors(likeness, products, constants):
	"""rho_0 of each class (C); products: cosines of the rows with one another (C x C)."""
	rho_0 = constants["pair_cosine"]
	if len(likeness) < 2:
		return np.full(1, rho_0)
	pair = np.array([x.mean if x.n > 1 else rho_0 for x in likeness])
	r = np.array([x.r for x in likeness])
	length = np.sqrt(pair + (1 - pair) / r)
	together = length[:, None] * products * length
	alike = (together.sum(1) - length**2) / (len(likeness) - 1)
	single = np.array([x.n == 1 for x in likeness])
	return np.where(single, np.clip(np.maximum(rho_0, constants["class_share"] * alike), 0, 1), rho_0)


def expected(likeness, prior, constants):
	"""(cosine to be expected of a class's pictures with its row, what one k is worth), C each."""
	n, r, mean, squares = (np.array([getattr(x, name) for x in likeness]) for name in ("n", "r", "mean", "squares"))
	a, w, h = (constants[name] for name in ("pair_weight", "deviation_weight", "few_pictures"))
	pair = ((n - 1) * mean + a * prior) / (n - 1 + a)
	deviation = np.sqrt((squares + w * constants["deviation"] ** 2) / (n - 1 + w) * (1 + 1 / n))
	return row_cosine(pair, r), n / (n + h) * deviation


def thresholds(likeness, products, constants, k):
	"""t_c of each class."""
	mean, step = expected(likeness, priors(likeness, products, constants), constants)
	return mean - k * step


def is_blank(x, cosine, constants):
	"""Which pictures show nothing: nearer to the blank row than to the class ranked first."""
	if not constants.get("blank"):
		return np.zeros(len(x), bool)
	to_blank = x @ unit(np.array(constants["blank"], float))
	return (to_blank >= constants["blank_cosine"]) & (to_blank >= cosine)
