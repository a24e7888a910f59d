# SPDX-License-Identifier: MIT
"""The second-order head's executable specification, ours, and the golden rows made with it.

  python3 -m tests.vectors.make_metric    writes learn/metric-*.bin, which lib/learn must reproduce bit for bit

The arithmetic is that of doc/LEARNER.md, "The second-order head". Here a state is what it is by definition, the pictures
of each class; lib/learn keeps sums and changes them. numpy works on many elements at once; each element has its own sum,
in the order of the loop that is written here.
"""

import math
import pathlib
import struct

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCATTER_UNIT = 2**8
F_MAX = 127
PROBES = 8
NOISE_SHARE = 0.75
FLOOR = 1 / 16


def in_order(values):
	"""The sum from the first to the last, each addition rounded."""
	return float(np.add.accumulate(np.concatenate([[0.0], values]))[-1])


def scatter(classes):
	"""W = 2^8 sum q q' - sum over classes of rint(2^8 s s' / n): integers, exact in double. classes: [n x width int8]."""
	total = 0
	for q in classes:
		x = q.astype(np.int64)
		s = x.sum(0).astype(np.float64)
		share = np.rint(np.outer(s, s) * (SCATTER_UNIT / len(q)))  # half to even
		total = total + SCATTER_UNIT * (x.T @ x) - share.astype(np.int64)
	return total


def shrink(W, nu):
	"""Oracle approximating shrinkage, its root: (1 - r) W + r (tr W / p) I; and 1 - r."""
	p, t = float(len(W)), float(np.trace(W))
	w, squares = W.astype(np.float64), 0.0
	for i in range(len(W)):
		squares += 2 * in_order(w[i, :i] * w[i, :i]) + w[i, i] * w[i, i]
	up = (1 - 2 / p) * squares + t * t
	down = (nu + 1 - 2 / p) * (squares - t * t / p)
	r = math.sqrt(min(1.0, max(0.0, up / down))) if down > 0 else 1.0
	A = (1 - r) * w
	A[np.diag_indices(len(W))] += r * (t / p)
	return A, 1 - r


def cholesky(A, keep):
	"""(L below the diagonal, 1 / L_ii), keep; None: a pivot is not above 0."""
	A, inverse = A.copy(), np.zeros(len(A))
	for k in range(len(A)):
		if not (A[k, k] > 0 and math.isfinite(A[k, k])):
			return None
		inverse[k] = 1 / math.sqrt(A[k, k])
		A[k + 1 :, k] = A[k + 1 :, k] * inverse[k]
		A[k + 1 :, k + 1 :] -= np.outer(A[k + 1 :, k], A[k + 1 :, k])
	return (A, inverse), keep


def forward(L, inverse, b):
	y = b.astype(np.float64)
	for k in range(len(y)):
		y[k] = y[k] * inverse[k]
		y[k + 1 :] -= L[k + 1 :, k] * y[k]
	return y


def backward(L, inverse, y):
	x = y.copy()
	for k in reversed(range(len(x))):
		x[k] = x[k] * inverse[k]
		x[:k] -= L[k, :k] * x[k]
	return x


def factor_all(widths, classes, nu):
	"""One factor a group, with what shrinkage left of W; None where no metric is defined."""
	factors, at = [], 0
	for width in widths if nu > 0 else []:
		W = scatter([q[:, at : at + width] for q in classes])
		factors.append(cholesky(*shrink(W, float(nu))) if np.trace(W) > 0 else None)
		at += width
	return factors if factors and all(factors) else None


def signs(seed, n):
	"""n values of -1 and 1: the highest bits of splitmix64."""
	mask, state, out = 2**64 - 1, seed, []
	for _ in range(n):
		state = (state + 0x9E3779B97F4A7C15) & mask
		z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
		z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
		out.append(1 if (z ^ (z >> 31)) >> 63 else -1)
	return np.array(out, np.int64)


def noise(widths, weights, factors, classes):
	"""K: sum over groups of a t / (1 - keep t / nu), t = tr(A^-1 W) by vectors of signs."""
	total, at, nu = 0.0, 0, float(sum(len(q) for q in classes) - len(classes))
	for g, (width, a, (factor, keep)) in enumerate(zip(widths, weights, factors, strict=True)):
		W, trace = scatter([q[:, at : at + width] for q in classes]), 0.0
		for k in range(PROBES):
			v = signs(g * PROBES + k, width)
			x = backward(*factor, forward(*factor, W @ v))
			trace += in_order(v * x)
		trace = trace / PROBES
		total += a * (trace / max(1 - keep * trace / nu, FLOOR))
		at += width
	return total


def ratios(K, nu, counts, squares):
	"""What each class's row is multiplied by, so that rows of few pictures and of many rank alike."""
	if len(set(counts)) <= 1:
		return [1.0] * len(counts)
	unit, n = float(SCATTER_UNIT) * float(nu), np.array(counts, np.float64)
	signal = in_order(np.array(squares) * (unit / (n * n)) - K / n) / len(n)
	inverse = in_order(1 / n) / len(n)
	k = NOISE_SHARE * K / max(signal, K * FLOOR) if K > 0 else 0.0
	return [math.sqrt((1 + k / m) / (1 + k * inverse)) for m in n]


def directions(widths, weights, classes):
	"""(x, length, ratio) of the sum of all classes, then of each class, whose row is ratio length x; and whether they are means. weights:
	a of each group, which means do not see."""
	nu = sum(len(q) for q in classes) - len(classes)
	factors, out, all_squares = factor_all(widths, classes, nu), [], []
	sums = [q.astype(np.int64).sum(0) for q in classes]
	for s in [sum(sums, np.zeros(sum(widths), np.int64)), *sums]:
		at, x, squares = 0, [], []
		for width, a, (factor, _) in zip(widths, weights, factors, strict=True) if factors else ():
			y = forward(*factor, s[at : at + width])
			squares.append(a * (y * y))
			x.append(a * backward(*factor, y))
			at += width
		x = np.concatenate(x) if factors else s.astype(np.float64)
		total = in_order(np.concatenate(squares) if factors else x * x)
		unit = float(SCATTER_UNIT) * float(nu) if factors else 1.0
		out.append((x, math.sqrt(unit / total) if total > 0 else 0.0))
		all_squares.append(total)
	counts, ratio = [len(q) for q in classes], [1.0] * len(classes)
	if factors and len(set(counts)) > 1:
		ratio = ratios(noise(widths, weights, factors, classes), nu, counts, all_squares[1:])
	return [(*found, r) for found, r in zip(out, [1.0, *ratio], strict=True)], not factors


def publish(V, x, length, ratio):
	"""(share, F, factor): the row is share V + factor F."""
	squares = in_order(V * V)
	share = in_order(x * V) / squares if squares > 0 else 0.0
	rest = x - share * V
	largest = float(np.abs(rest).max())
	scale = F_MAX / largest if largest > 0 else 0.0
	return share * length * ratio, np.rint(rest * scale).astype(np.int8), largest / F_MAX * length * ratio


def rank(V, rows, q):
	"""z of each class."""
	common, q = in_order(V * q), q.astype(np.int64)
	norm = math.sqrt(float(q @ q))
	values = [float(F.astype(np.int64) @ q) * factor + share * common for share, F, factor in rows]
	return [value / norm if norm > 0 else 0.0 for value in values]


# ---- golden vectors


def pictures(rng, widths, n_classes, counts, amplitude=23.0):
	"""[class index] -> n x d int8: classes that differ, in groups whose values are correlated and of unlike size."""
	d = sum(widths)
	mix = np.zeros((d, d))
	at = 0
	for i, width in enumerate(widths):
		block = rng.normal(size=(width, width)) / math.sqrt(width) + np.eye(width)
		mix[at : at + width, at : at + width] = block * amplitude / (1 + i)
		at += width
	out = []
	for c in range(n_classes):
		x = rng.normal(size=d) + rng.normal(size=(counts[c], d))
		out.append(np.clip(np.rint(x @ mix / math.sqrt(2)), -127, 127).astype(np.int8))
	return out


def added(ids, classes):
	return [(class_id, 1, q) for class_id, q in zip(ids, classes, strict=True)]


def history(rng):
	"""Pictures come and go: some age out, one class goes wholly and one comes back."""
	widths = [33, 17, 5, 1]
	ids = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 2**16, 2**31, 2**32 - 1, 7, 6, 4, 1000]
	classes = pictures(rng, widths, len(ids), [1 + i % 5 for i in range(len(ids))])
	events = added(ids, classes)
	events += [(ids[4], -1, classes[4][1:3]), (ids[3], -1, classes[3]), (ids[9], -1, classes[9][::-1])]
	return widths, events + [(ids[9], 1, classes[9][:2]), (ids[6], 1, classes[7])]


def simple(widths, counts, weights=None, **options):
	def make(rng):
		made = widths, added(range(1, len(counts) + 1), pictures(rng, widths, len(counts), counts, **options))
		return (*made, weights) if weights else made

	return make


def equal_pictures(rng):
	"""Nothing differs within a class: traces are exactly zero, thirds and sevenths included."""
	widths = [5, 3]
	return widths, added(
		[1, 2, 3], [np.repeat(q, n, 0) for q, n in zip(pictures(rng, widths, 3, [1] * 3), [3, 7, 1], strict=True)]
	)


def one_scene(rng):
	"""What classes have in common is far more than what tells them apart."""
	widths = [12, 8]
	scene = rng.normal(size=20) * 60
	small = pictures(rng, widths, 3, [6, 5, 4], amplitude=8.0)
	return widths, added([1, 2, 3], [np.clip(np.rint(scene + q), -127, 127).astype(np.int8) for q in small])


def silent_group(rng):
	widths = [6, 4]
	classes = pictures(rng, widths, 3, [4, 3, 2])
	for q in classes:
		q[:, 6:] = q[0, 6:]
	return widths, added([1, 2, 3], classes)


def opposite_pictures(rng):
	"""A class whose sum is zero, and one whose every value is at an end."""
	widths = [9, 8]
	q = pictures(rng, widths, 3, [3, 4, 2])
	ends = np.where(rng.normal(size=(6, 17)) > 0, 127, -127).astype(np.int8)
	return widths, added([1, 2, 3], [np.concatenate([q[0], -q[0]]), q[1], ends])


CASES = {
	"several": simple([12, 8, 4], [4, 1, 6, 2, 3]),
	"one-class": simple([16], [7]),
	"one-class-of-one": simple([7, 2], [1]),
	"one-value-a-group": simple([1, 1, 1, 1], [3, 2, 4]),
	"one-each": simple([8, 8], [1, 1, 1]),  # nu = 0
	"many-pictures": simple([10, 6], [90, 120, 60]),
	"clipped": simple([20], [8, 8, 8], amplitude=200.0),
	"history": history,
	"equal-pictures": equal_pictures,
	"silent-group": silent_group,
	"opposite-pictures": opposite_pictures,
	"one-scene": one_scene,
	"nothing": lambda rng: ([4, 4], []),
	"stages": simple([512, 512, 256, 128], [5, 3, 4]),
	"factors": simple([12, 8, 4, 2], [4, 1, 6, 2, 3], weights=[1.5, 1.0, 1024.0, 1 / 1024]),
	"factors-of-means": simple([8, 8], [1, 1, 1], weights=[1.5, 1.0]),
}


def state_after(events, d):
	"""{class id: its pictures}; a picture that is taken away is found by its values."""
	state = {}
	for class_id, sign, q in events:
		kept = [x.tobytes() for x in state.get(class_id, [])]
		for x in q:
			if sign > 0:
				kept.append(x.tobytes())
			else:
				kept.remove(x.tobytes())
		state[class_id] = np.frombuffer(b"".join(kept), np.int8).reshape(-1, d)
	return {class_id: q for class_id, q in sorted(state.items()) if len(q)}


def case_bytes(make, rng):
	widths, events, *given = make(rng)
	weights = given[0] if given else [1.0] * len(widths)
	d = sum(widths)
	out = [b"BNMV", struct.pack(f"<{len(widths) + 1}I", len(widths), *widths)]
	out.append(struct.pack(f"<{len(widths)}dI", *weights, len(events)))
	for class_id, sign, q in events:
		out += [struct.pack("<IiI", class_id, sign, len(q)), q.tobytes()]
	state = state_after(events, d)
	((V, _, _), *found), are_means = directions(widths, weights, list(state.values()))
	rows = [publish(V, *row) for row in found]
	out += [struct.pack("<2I", are_means, len(state)), V.astype("<f8").tobytes()]
	for class_id, (x, length, ratio), (share, F, factor) in zip(state, found, rows, strict=True):
		exact = x * length * ratio
		out.append(struct.pack("<I2d", class_id, share, factor) + F.tobytes() + exact.astype("<f8").tobytes())
	asked = np.clip(np.rint(rng.normal(size=(3, d)) * 40), -127, 127).astype(np.int8)
	asked[2] = 0
	for q in asked:
		out += [q.tobytes(), struct.pack(f"<{len(rows)}d", *rank(V, rows, q))]
	return b"".join(out)


def files():
	"""{path: bytes}."""
	folder = ROOT / "tests" / "vectors" / "learn"
	return {
		folder / f"metric-{name}.bin": case_bytes(make, np.random.default_rng([20261127, i]))
		for i, (name, make) in enumerate(CASES.items())
	}


if __name__ == "__main__":
	for path, data in files().items():
		path.write_bytes(data)
