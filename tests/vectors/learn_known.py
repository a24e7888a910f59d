# SPDX-License-Identifier: MIT
"""The part of the learner's specification that tells known from unknown: near-duplicates, what is kept of a class, thresholds;
and the integers that all of it is made of. make_learn.py makes the golden rows with it."""

import math

import numpy as np

WIDTHS = {1: 8, 2: 16, 3: 32}  # enum learn_width: q_b
FLOAT, QF = 4, 8
DEFAULT, REFERENCE = 1, 2  # enum learn_preset


def rshift(x, s):
	"""x / 2^s, half to even; a negative s shifts left."""
	x = int(x)
	if s <= 0:
		return x << -s
	q, r, h = x >> s, x & ((1 << s) - 1), 1 << (s - 1)
	return q + (1 if r > h or (r == h and q & 1) else 0)


def rdiv(a, b):
	"""a / b, half to even."""
	q, r = divmod(int(a), b)
	return q + (1 if 2 * r > b or (2 * r == b and q & 1) else 0)


def clamp(x, limit):
	return max(-limit, min(limit, x))


def dot(a, b):
	s = 0.0
	for x, z in zip(a, b, strict=True):
		s += x * z
	return s


def direction(width, row):
	"""A stored row as it answers, and its length."""
	if width == FLOAT:
		w = [float(x) for x in row]
	else:
		w = [float(clamp(rshift(int(x), WIDTHS[width] - QF), 127)) for x in row[0]]
	return w, math.sqrt(dot(w, w))


def cosine(w, x):
	return dot(w[0], x) / w[1] if w[1] > 0 else 0.0


def near_groups(s, theta, q, y):
	"""lib/learn/near.c: for each group its pictures, the leader first."""
	q = [[int(x) for x in row] for row in q]
	norm = [math.sqrt(sum(x * x for x in row)) for row in q]
	groups = []
	for j, row in enumerate(q):
		best, greatest = None, 0.0
		for g in groups if theta > 0 and s["preset"] == DEFAULT else ():
			leader = g[0]
			length = norm[j] * norm[leader]
			if y[leader] != y[j] or length <= 0:
				continue
			c = sum(a * b for a, b in zip(row, q[leader], strict=True)) / length
			if c >= theta and (best is None or c > greatest):
				best, greatest = g, c
		if best is None:
			groups.append([j])
		else:
			best.append(j)
	return groups


def near_merge(groups, q, y):
	"""What is trained: a picture a group, the mean of its q half to even."""
	merged = []
	for g in groups:
		mean = [rdiv(sum(int(q[j][i]) for j in g), len(g)) for i in range(len(q[0]))]
		merged.append(mean if any(mean) else [int(x) for x in q[g[0]]])
	return np.array(merged, np.int8), np.array([y[g[0]] for g in groups])


def unit_picture(row):
	norm = math.sqrt(sum(int(v) ** 2 for v in row))
	return [float(v) / norm if norm > 0 else 0.0 for v in row]


def group_mean(pictures):
	"""u: the mean of a group's unit pictures; its length is not 1."""
	total = unit_picture(pictures[0])
	for row in pictures[1:]:
		total = [a + b for a, b in zip(total, unit_picture(row), strict=True)]
	return [x / len(pictures) for x in total]


# ---- what is told of a class: (n, r, mean, squares), lib/learn/likeness.c


def pair_to_row(pair, r):
	"""m(rho, r)"""
	return pair * math.sqrt(r) / math.sqrt(1 + (r - 1) * pair)


def row_to_pair(value, r):
	"""The rho of which it is m."""
	if value <= 0 or value >= 1:
		return 0.0 if value <= 0 else 1.0
	v2 = value * value
	b = v2 * (r - 1)
	return min(1.0, (b + math.sqrt(b * b + 4 * r * v2)) / (2 * r))


def length_of(pair, r):
	return math.sqrt(pair + (1 - pair) / r)


def at_most_1(x):
	return max(-1.0, min(1.0, x))


def tally(values):
	n, mean, squares = 0.0, 0.0, 0.0
	for value in values:
		before, n = value - mean, n + 1
		mean += before / n
		squares += before * (value - mean)
	return n, mean, squares


def own_of_new(width, U, row):
	if len(U) < 2:
		return len(U), float(len(U)), 0.0, 0.0
	total = [0.0] * len(U[0])
	for u in U:
		total = [a + b for a, b in zip(total, u, strict=True)]
	s2, now, values = dot(total, total), direction(width, row), []
	for u in U:
		along, self = dot(u, total), dot(u, u)
		rest2 = s2 - 2 * along + self
		within = along / math.sqrt(s2) if s2 > 0 else 0.0
		alone = (along - self) / math.sqrt(rest2) if rest2 > 0 else 0.0
		values.append(at_most_1(cosine(now, u) - (within - alone)))
	_, mean, squares = tally(values)
	return len(U), float(len(U)), row_to_pair(mean, len(U) - 1.0), squares


def own_of_seen(width, s, theta, U, cur, old_own, old_row):
	n0, r0, mean0, squares0 = old_own
	then = direction(width, old_row)
	values = [at_most_1(cosine(then, u)) for u in U]
	if theta > 0 and s["preset"] == DEFAULT:
		values = [v for v in values if v < pair_to_row(theta, r0)]
	p, mean, squares = tally(values)
	n = min(n0 + p, 2**32 - 1)
	share = math.sqrt(n0 / cur)
	r = max(1.0, min((share + 1) * (share + 1) / (share * share / r0 + 1 / cur), n))
	if p == 0:
		return n0, r, mean0, squares0
	if n0 >= 2:
		a = pair_to_row(mean0, r0)
		all_n, apart = n0 + p, mean - a
		mean, squares = a + apart * (p / all_n), squares0 + squares + apart * apart * (n0 * (p / all_n))
	return int(n), r, row_to_pair(mean, r0), squares


def capped(s, own):
	n, r, mean, squares = own
	cap = s["past_cap"] if s["preset"] == DEFAULT and s["past_cap"] else 2**32 - 1
	if n <= cap:
		return own
	return (1, 1.0, 0.0, 0.0) if cap == 1 else (cap, min(r, float(cap)), mean, squares * (cap / n))


def upgraded(past, n, mean, squares):
	"""What rows of version 1 said, as it is read: (n, r, mean, squares)."""
	if n == 0 or past < 2:
		return 1, 1.0, 0.0, 0.0
	return past, float(past), row_to_pair(at_most_1(mean), past - 1.0), squares


SUM_UNIT = 2.0**24


def thresholds(width, rows, none, constants):
	"""t_c of each of the rows [(own, stored row)] of one head; none: index of the row of none, or None. lib/learn/head.c."""
	c = constants
	total, classes = [0.0] * len(direction(width, rows[0][1])[0]), 0
	for i, (own, row) in enumerate(rows):
		w, norm = direction(width, row)
		classes += i != none
		if i == none or not norm > 0:
			continue
		scale = SUM_UNIT * length_of(own[2], own[1]) / norm
		total = [a + float(round(x * scale)) for a, x in zip(total, w, strict=True)]
	result = []
	for i, ((n, r, mean, squares), row) in enumerate(rows):
		w, norm = direction(width, row)
		others = 0 if i == none or classes == 0 or n > 1 else classes - 1
		pair, length = c["pair_cosine"], length_of(mean, r)
		if others:
			f = (length * (dot(total, w) / (SUM_UNIT * norm)) - length * length) / others if norm > 0 else 0.0
			pair = max(pair, min(1.0, c["class_share"] * f))
		more = n - 1.0
		pair = (more * mean + c["pair_weight"] * pair) / (more + c["pair_weight"])
		weight = c["deviation_weight"]
		variance = (squares + weight * (c["deviation"] * c["deviation"])) / (more + weight)
		deep = c["deviations"] * (n / (n + c["few_pictures"]))
		result.append(pair_to_row(pair, r) - deep * math.sqrt(variance * (1 + 1 / n)))
	return result
