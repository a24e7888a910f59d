# SPDX-License-Identifier: MIT
"""The learner's executable specification, ours, and the golden rows made with it.

  python3 -m tests.vectors.make_learn            writes learn/*.bin, which lib/learn must reproduce bit for bit, and
                                                 lib/learn/exp2_table.h
  python3 -m tests.vectors.make_learn --check    prints the integer loops against float on the same features and order

Near-duplicates and thresholds are learn_known.py. The arithmetic is that of doc/LEARNER.md, with Python's integers of any size. Where lib/learn saturates at the end of
its 64 bits (no default lesson comes near), the same bounds stand here: V_MAX below.
"""

import math
import pathlib
import struct
import sys

import numpy as np

from tests.vectors.learn_known import (
	DEFAULT,
	FLOAT,
	QF,
	REFERENCE,
	WIDTHS,
	capped,
	clamp,
	group_mean,
	near_groups,
	near_merge,
	own_of_new,
	own_of_seen,
	rdiv,
	rshift,
	thresholds,
	upgraded,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
TAB = [round(2**30 * 2.0 ** (-i / 256)) for i in range(257)]
E_ZERO = -(2**31)  # stored exponent of a row of zeros


def exp2_q30(t):
	"""2^-t in Q30; t in Q16, >= 0."""
	i, f = t >> 16, t & 0xFFFF
	k, fr = f >> 8, f & 0xFF
	a, b = TAB[k], TAB[k + 1]
	return (a - (((a - b) * fr) >> 8)) >> i


def shuffle(n, seq, epoch):
	"""Fisher-Yates on splitmix64, multiply-high for the index."""
	mask = 2**64 - 1
	x, o = (seq << 16 ^ epoch) & mask, list(range(n))
	for i in range(n - 1, 0, -1):
		x = (x + 0x9E3779B97F4A7C15) & mask
		z = x
		z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
		z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
		z ^= z >> 31
		j = z * (i + 1) >> 64
		o[i], o[j] = o[j], o[i]
	return o


def quantize(h):
	scale = np.float32(23 * math.sqrt(h.shape[1]))
	return np.clip(np.rint(np.nan_to_num(h.astype(np.float32) * scale)), -127, 127).astype(np.int8)


def store_row(w, qb):
	"""Double row -> (m, e): the largest e <= 40 with |m| < 2^(qb - 1); e None: a row of zeros."""
	w = np.asarray(w)
	if not np.any(w):
		return [0] * len(w), None
	e = 40
	while max(abs(int(x)) for x in np.rint(w * 2.0**e)) >= 2 ** (qb - 1):
		e -= 1
	return [int(x) for x in np.rint(w * 2.0**e)], e


def real_row(m, e):
	return [float(x) * 2.0**-e if e is not None else 0.0 for x in m]


def unit(v):
	s = 0.0
	for x in v:
		s += float(x) * float(x)
	return [float(x) / math.sqrt(s) for x in v] if s else list(v)


def consolidate(cw, past, tw, cur, preset):
	"""Step 3. cw: row or None; tw: all rows of K. Double, index order, only + - x / and sqrt."""
	t, n = 0.0, 0
	for r in tw:
		for x in r:
			t += float(x)
			n += 1
	mean, out = t / n, []
	for k, r in enumerate(tw):
		r = [float(x) - mean for x in r]
		if preset == DEFAULT:
			r = unit(r)
		if cw[k] is not None:
			old = unit(cw[k]) if preset == DEFAULT else [float(x) for x in cw[k]]
			w = math.sqrt(past[k] / cur[k])
			r = [(w * a + b) / (w + 1) for a, b in zip(old, r, strict=True)]
		out.append(r)
	return out


def minibatches(s, order):
	"""An epoch's order cut into ceil(n / b) minibatches: as even as can be, in reference with a short last one."""
	n, b = len(order), s["minibatch"]
	if s["preset"] == REFERENCE:
		return [order[i : i + b] for i in range(0, n, b)]
	count = -(-n // b)
	return [order[i * n // count : (i + 1) * n // count] for i in range(count)]


def lesson_int(q, y, k_classes, qb, s, others, start):
	"""The integer loop; start: per class (m, e) to reload, or None. Returns real rows and
	(updates, lost, steps, halved)."""
	d, rows = q.shape[1], k_classes + 1  # the last row is *other*
	q = [[int(x) for x in r] for r in q]
	m, e, v = [[0] * d for _ in range(rows)], [None] * rows, [[0] * d for _ in range(rows)]
	for k, row in enumerate(start):
		if row is not None and row[1] is not None:
			m[k], e[k] = list(row[0]), row[1]
	U, lim = (qb - 1) + 6 + 5 + 20, 2 ** (qb - 1)
	v_max = 2**31 - 1 if qb <= 16 else (2**63 - 1) // 104858
	eta_q, beta, lam_q = round(s["eta"] * 2**20), round(2**15 * (1 - s["momentum"])), round(s["decay"] * 2**20)
	updates = lost = steps = halved = 0
	for epoch in range(s["epochs"]):
		for batch in minibatches(s, shuffle(len(q), s["seq"], epoch)):
			G = [[0] * d for _ in range(rows)]
			F = [[clamp(rshift(x, qb - QF), 127) for x in r] for r in m]
			for j in batch:
				u = []
				for r in range(rows):
					if e[r] is None:
						u.append(0)
						continue
					acc = sum(a * b for a, b in zip(F[r], q[j], strict=True))
					u.append(max(-(2**31), min(2**31 - 1, rshift(acc * 23637, 14 + 6 + e[r] - (qb - QF) - 16))))
				E = [exp2_q30(min(max(u) - x, 24 * 65536)) for x in u]
				S = sum(E[:k_classes]) + others * E[k_classes]
				for r in range(rows):
					p = (E[r] * lim + S // 2) // S
					g = max(-lim, min(lim - 1, p - (lim if r == y[j] else 0)))
					G[r] = [a + g * b for a, b in zip(G[r], q[j], strict=True)]
			steps += 1
			for r in range(rows):
				wd = [0] * d
				if e[r] is not None and lam_q:
					wd = [clamp(rshift(x * lam_q, e[r] + 10 - qb), v_max) for x in m[r]]
				v[r] = [
					clamp(a - rshift(a * beta, 15) + rdiv(32 * g, len(batch)) + z, v_max)
					for a, g, z in zip(v[r], G[r], wd, strict=True)
				]
				if e[r] is None:
					N = max(abs(x) for x in v[r]) * eta_q
					if N == 0:
						continue
					e[r] = min(40, qb - 2 - ((N - 1).bit_length() - U))
				delta = [rshift(a * eta_q, U - e[r]) for a in v[r]]
				updates += sum(1 for a in v[r] if a)
				lost += sum(1 for a, b in zip(v[r], delta, strict=True) if a and not b)
				m[r] = [a - b for a, b in zip(m[r], delta, strict=True)]
				while max(abs(x) for x in m[r]) >= lim:
					m[r] = [rshift(x, 1) for x in m[r]]
					e[r] -= 1
					halved += 1
	return [real_row(m[r], e[r]) for r in range(k_classes)], (updates, lost, steps, halved)


def exp(x):
	"""lib/learn/exp.c, operation by operation."""
	if not x >= -708.0:
		return 0.0
	k = round(x * float.fromhex("0x1.71547652b82fep+0"))
	r = (x - k * float.fromhex("0x1.62e42fee00000p-1")) - k * float.fromhex("0x1.a39ef35793c76p-33")
	total = 1.0 / math.factorial(13)
	for i in range(12, -1, -1):
		total = total * r + 1.0 / math.factorial(i)
	return total * 2.0**k


def lesson_float(q, y, k_classes, s, others, start):
	"""float/float: double, every sum in index order (a loop over the index, numpy across rows alone)."""
	X = q.astype(np.float64) / 64.0
	d, rows = X.shape[1], k_classes + 1
	W = np.zeros((rows, d))
	for k, row in enumerate(start):
		if row is not None:
			W[k] = row
	V = np.zeros_like(W)
	for epoch in range(s["epochs"]):
		for batch in minibatches(s, shuffle(len(q), s["seq"], epoch)):
			G = np.zeros_like(W)
			for j in batch:
				z = np.zeros(rows)
				for c in range(d):
					z = z + W[:, c] * X[j, c]
				E, total = [exp(float(x - z.max())) for x in z], 0.0
				for r in range(rows):
					total += E[r] if r < k_classes else others * E[r]
				for r in range(rows):
					G[r] += (E[r] / total - (1.0 if r == y[j] else 0.0)) * X[j]
			V = s["momentum"] * V + G / len(batch) + s["decay"] * W
			W = W - s["eta"] * V
	return W[:k_classes]


def others_of(s, k, n_known_others):
	"""M."""
	if s["preset"] == DEFAULT:
		return s["others"]
	total = s["classes_total"] or max(k + n_known_others, k + 1)
	return max(0, total - k)


def lesson(width, s, q, y, k, old, n_known_others=0, theta=0.0):
	"""One lesson. old: per class None or (own, stored row), a stored row being (m, e) or f32 values, own being
	(n, r, mean, squares). Returns [(own, stored row)], counts."""
	groups = near_groups(s, theta, q, y)
	merged, merged_y = near_merge(groups, q, y)
	others, cur = others_of(s, k, n_known_others), [int(sum(merged_y == c)) for c in range(k)]
	real = [None if o is None else [float(x) for x in o[1]] if width == FLOAT else real_row(*o[1]) for o in old]
	reload = s["preset"] == REFERENCE
	if width == FLOAT:
		tw, counts = lesson_float(merged, merged_y, k, s, others, real if reload else []), None
	else:
		start = [o and o[1] for o in old] if reload else []
		tw, counts = lesson_int(merged, merged_y, k, WIDTHS[width], s, others, start)
	past = [o[0][0] if o else 0 for o in old]
	rows = consolidate(real, past, tw, cur, s["preset"])
	stored = [np.asarray(r, np.float32) if width == FLOAT else store_row(r, WIDTHS[width]) for r in rows]
	owns = []
	for c in range(k):
		U = [group_mean([q[j] for j in g]) for g in groups if y[g[0]] == c]
		own = own_of_new(width, U, stored[c]) if old[c] is None else own_of_seen(width, s, theta, U, cur[c], *old[c])
		owns.append(capped(s, own))
	return list(zip(owns, stored, strict=True)), counts


# ---- golden vectors


def encode(width, own, row):
	m, e = (row, 0) if width == FLOAT else row
	masters = np.asarray(m, "<f4" if width == FLOAT else "<i%d" % (WIDTHS[width] // 8))
	return struct.pack("<Ii3d", own[0], E_ZERO if e is None else e, *own[1:]) + masters.tobytes()


def encode_version_1(width, past, n, mean, squares, row):
	m, e = (row, 0) if width == FLOAT else row
	masters = np.asarray(m, "<f4" if width == FLOAT else "<i%d" % (WIDTHS[width] // 8))
	return struct.pack("<IiII2d", past, E_ZERO if e is None else e, n, 0, mean, squares) + masters.tobytes()


PRESETS = {
	DEFAULT: dict(epochs=10, eta=0.03, minibatch=32, momentum=0.9, decay=0.0, others=20, past_cap=200, classes_total=0),
	REFERENCE: dict(
		epochs=4, eta=1e-3, minibatch=128, momentum=0.9, decay=5e-4, others=20, past_cap=0, classes_total=0
	),
}


def settings(preset, seq, **changes):
	s = dict(PRESETS[preset], preset=preset, seq=seq)
	s.update(changes)
	return s


def old_own(past):
	"""What rows that were there before say of their class."""
	return (past, min(past, 9.5), 0.375, 0.21) if past > 1 else (past, 1.0, 0.0, 0.0)


THETA = 0.7
CONSTANTS = dict(  # of the thresholds
	pair_cosine=0.118,
	pair_weight=0.5,
	class_share=0.6,
	deviations=2.1,
	few_pictures=2.7,
	deviation=0.0808,
	deviation_weight=2.0,
)

# name: settings, d, samples of each class, old rows (None, or past and norm; norm 0: a row of zeros), known others, and
# where there are near-duplicates (theta 0.7): (picture, the one that it repeats, or -1: the old row of its class)
CASES = {
	"first-one": (settings(DEFAULT, 1), 64, [6], [None], 0),
	"first-several": (settings(DEFAULT, 2, epochs=6), 64, [4, 1, 6], [None] * 3, 5),
	"seen-one": (settings(DEFAULT, 3), 64, [5], [(30, 1.0)], 0),
	"seen-and-new": (settings(DEFAULT, 4, epochs=5, eta=0.1), 64, [4, 5, 2], [(7, 0.9), None, (1, 0.4)], 2),
	"remainder": (settings(DEFAULT, 5, minibatch=3, epochs=4), 64, [4, 3], [None, (12, 1.0)], 0),
	"past-cap": (settings(DEFAULT, 6, epochs=3), 64, [4, 3], [(198, 1.0), (200, 1.0)], 0),
	"decay": (settings(DEFAULT, 7, decay=0.01, eta=0.1, minibatch=2), 64, [3, 3], [None, None], 0),
	"zero-row": (settings(DEFAULT, 8, epochs=2), 64, [2, 2], [(5, 0), None], 0),
	"no-others": (settings(DEFAULT, 9, others=0, minibatch=1, epochs=3, momentum=0.0), 64, [3, 2], [None, None], 0),
	"large-sequence": (settings(DEFAULT, 2**53 + 12345, epochs=2), 64, [3, 3], [None, None], 0),
	"reference-first-one": (settings(REFERENCE, 11), 64, [6], [None], 0),
	"reference-several": (
		settings(REFERENCE, 12, classes_total=10, minibatch=4, eta=0.05),
		64,
		[4, 3, 5],
		[None] * 3,
		0,
	),
	"reference-seen": (
		settings(REFERENCE, 13, minibatch=4, eta=0.05, decay=5e-3),
		64,
		[4, 6],
		[(30, 0.4), (5, 0.4)],
		3,
	),
	"reference-seen-alone": (settings(REFERENCE, 14), 64, [5], [(20, 0.2)], 4),
	"reference-zero-row": (settings(REFERENCE, 15, minibatch=5), 64, [4, 3], [(9, 0), (9, 0.1)], 0),
	"overflow": (
		settings(REFERENCE, 16, minibatch=1, eta=0.1, classes_total=50, decay=0.0),
		64,
		[3, 3],
		[(2, 1e-3), (2, 1e-9)],
		0,
	),
	"saturation": (settings(REFERENCE, 17, minibatch=2, eta=0.1, decay=0.01), 64, [3, 3], [(4, 3e9), (4, 2e5)], 0),
	"d512": (settings(DEFAULT, 18, epochs=3, minibatch=4), 512, [3, 3], [None, (20, 1.0)], 1),
	"over-a-batch": (settings(DEFAULT, 19, epochs=3), 64, [33], [None], 0),
	"reference-over-a-batch": (settings(REFERENCE, 20, minibatch=32, eta=0.05), 64, [20, 13], [None, (30, 0.4)], 0),
	"burst": (settings(DEFAULT, 21), 64, [8], [None], 0, [(1, 0), (2, 0), (5, 0), (4, 3), (7, 6)]),
	"burst-alone": (settings(DEFAULT, 22, epochs=2), 64, [5], [None], 0, [(1, 0), (2, 0), (3, 0), (4, 0)]),
	"bursts-of-three": (
		settings(DEFAULT, 23, epochs=3),
		64,
		[6, 1, 5],
		[None, (1, 1.0), (9, 0.7)],
		0,
		[(i, i - 1) for i in (2, 5, 9, 10)],
	),
	"repeats": (settings(DEFAULT, 24, epochs=3), 64, [6], [(12, 1.0)], 0, [(0, -1), (3, -1), (5, 4)]),
	"repeats-alone": (settings(DEFAULT, 25, epochs=2), 64, [3], [(1, 1.0)], 0, [(0, -1), (1, -1), (2, -1)]),
	"one-each": (settings(DEFAULT, 26, epochs=3), 64, [1, 1, 1], [None, (1, 1.0), (3, 1.0)], 0, []),
	"past-cap-at-once": (settings(DEFAULT, 27, epochs=2, past_cap=4), 64, [7, 3], [None, (4, 1.0)], 0, []),
	"reference-burst": (settings(REFERENCE, 28), 64, [6], [(7, 0.3)], 0, [(1, 0), (2, 0), (4, -1)]),
}


def features(rng, d, counts):
	y = np.repeat(np.arange(len(counts)), counts)
	h = rng.normal(size=(len(counts), d))[y] + rng.normal(size=(len(y), d))
	h /= np.linalg.norm(h, axis=1, keepdims=True)
	o = rng.permutation(len(y))
	return h[o].astype(np.float32), y[o]


def repeat(rng, h, y, old_real, repeats):
	"""Makes near-duplicates: another picture of the class, or what the old row looks like, and little beside."""
	for i, of in repeats:
		same = np.flatnonzero(y == y[i])
		near = old_real[y[i]] / np.linalg.norm(old_real[y[i]]) if of < 0 else h[same[same != i][of % (len(same) - 1)]]
		h[i] = near + 0.05 * rng.normal(size=h.shape[1])
		h[i] /= np.linalg.norm(h[i])


def case_bytes(case, rng):
	s, d, counts, old_spec, known_others = case[:5]
	h, y = features(rng, d, counts)
	k, theta = len(counts), THETA if len(case) > 5 else 0.0
	old_real = [None if o is None else rng.normal(size=d) * (o[1] / math.sqrt(d)) for o in old_spec]
	repeat(rng, h, y, old_real, case[5] if len(case) > 5 else [])
	q = quantize(h)
	out = [
		b"BNLV",
		struct.pack(
			"<6I4dQ4I",
			s["preset"],
			s["epochs"],
			s["minibatch"],
			s["others"],
			s["past_cap"],
			s["classes_total"],
			s["eta"],
			s["momentum"],
			s["decay"],
			theta,
			s["seq"],
			known_others,
			d,
			len(y),
			k,
		),
	]
	out += [h.astype("<f4").tobytes(), q.tobytes(), y.astype("<u4").tobytes()]
	for width in (1, 2, 3, FLOAT):
		old = [
			None if o is None else (old_own(o[0]), np.float32(r) if width == FLOAT else store_row(r, WIDTHS[width]))
			for o, r in zip(old_spec, old_real, strict=True)
		]
		rows, counts_out = lesson(width, s, q, y, k, old, known_others, theta)
		for o in old:
			out += [b"\0" if o is None else b"\1" + encode(width, *o)]
		out += [encode(width, *row) for row in rows]
		updates, lost, steps, _ = counts_out or (0, 0, 0, 0)
		out.append(struct.pack("<3Q", updates, lost, steps))
		# The rows as a head, once of named classes alone and once with none first.
		for none in (None, 0):
			out.append(struct.pack("<%dd" % k, *thresholds(width, rows, none, CONSTANTS)))
	return b"".join(out)


def table():
	lines = [
		"/* SPDX-License-Identifier: MIT */",
		"/* lib/learn/exp2_table.h: 2^-(i / 256) in Q30, i in 0..256. Written by tests/vectors/make_learn.py. */",
		"#pragma once",
		"",
		"#include <stdint.h>",
		"",
		"static const int32_t exp2_table[257] = {",
	]
	return "\n".join([*lines, *(f"\t{v}," for v in TAB), "};", ""]).encode()


# name: past, n, mean, squares of rows of version 1, which later versions read
OLD_ROWS = {
	"one": (1, 0, 0.0, 0.0),
	"two": (2, 1, 0.25, 0.0),
	"many": (20, 20, 0.4375, 0.3),
	"capped": (200, 200, 0.75, 2.5),
	"against": (5, 5, -0.125, 0.02),
	"rounded": (3, 3, 1 + 2.0**-50, 0.0),
}


def old_rows_bytes():
	"""A row of version 1, 8/16 with 4 features, and the same as it is written today."""
	row = store_row([0.5, -0.25, 0.125, 0.75], 16)
	out = [b"BNR1", struct.pack("<I", len(OLD_ROWS))]
	for past, n, mean, squares in OLD_ROWS.values():
		out += [encode_version_1(2, past, n, mean, squares, row), encode(2, upgraded(past, n, mean, squares), row)]
	return b"".join(out)


def files():
	"""{path: bytes}."""
	folder = ROOT / "tests" / "vectors" / "learn"
	made = {
		folder / f"{name}.bin": case_bytes(case, np.random.default_rng([20261122, i]))
		for i, (name, case) in enumerate(CASES.items())
	}
	made[folder / "rows-of-version-1.bin"] = old_rows_bytes()
	return made | {ROOT / "lib" / "learn" / "exp2_table.h": table()}


def check():
	rng = np.random.default_rng(0)
	for k in (1, 3):
		h, y = features(rng, 64, [12] * k)
		for eta in (0.01, 0.1):
			s = settings(DEFAULT, 7, epochs=6, eta=eta, minibatch=8)
			f = lesson_float(quantize(h), y, k, s, 20, [])
			for qb in WIDTHS.values():
				w, st = lesson_int(quantize(h), y, k, qb, s, 20, [])
				c = [np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(w, f, strict=True)]
				print(
					"classes %d eta %g 8/%d: cosine with float %.6f, lost updates %.4f"
					% (k, eta, qb, min(c), st[1] / st[0])
				)


if __name__ == "__main__":
	if sys.argv[1:] == ["--check"]:
		check()
	else:
		for path, data in files().items():
			path.write_bytes(data)
