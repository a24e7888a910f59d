# SPDX-License-Identifier: MIT
"""The specification of *known* with the scene taken away, ours, and the golden rows made with it.

  python3 -m tests.vectors.make_scene    writes learn/scene-*.bin, which lib/learn must reproduce bit for bit

The arithmetic is that of doc/LEARNER.md, "The scene". Near-duplicates, what is told of a class and thresholds are those of
a lesson (learn_known.py), of other features.
"""

import math
import pathlib
import struct

import numpy as np

from tests.vectors.learn_known import (
	DEFAULT,
	capped,
	direction,
	dot,
	group_mean,
	near_groups,
	near_merge,
	own_of_new,
	thresholds,
	unit_picture,
)
from tests.vectors.make_learn import encode, exp, quantize, store_row

ROOT = pathlib.Path(__file__).resolve().parents[2]
BITS_8 = 1  # enum learn_width: of rows with the scene taken away
ROW_PICTURES = 64
SETTINGS = {"preset": DEFAULT, "past_cap": 200}


def total_of(pictures, d):
	total = [0.0] * d
	for row in pictures:
		total = [a + b for a, b in zip(total, unit_picture(row), strict=True)]
	return total


def scene_of(pictures, d, share, least):
	"""(share m, or None where it is no one scene; the mean cosine of two pictures)."""
	m = [x / len(pictures) for x in total_of(pictures, d)] if len(pictures) else [0.0] * d
	alike = dot(m, m)
	if len(pictures) > 1:
		alike = (len(pictures) * alike - 1) / (len(pictures) - 1)
	return ([share * x for x in m] if alike > least * least else None), alike


def take_away(taken, row):
	"""q': what is before the scene, as int8."""
	if not any(row):
		return [0] * len(row)
	left = [x - t for x, t in zip(unit_picture(row), taken, strict=True)]
	length = math.sqrt(dot(left, left))
	h = [x / length if length > 0 else 0.0 for x in left]
	return [int(x) for x in quantize(np.array([h]))[0]]


def row_of(taken, pictures, theta):
	"""(own, stored row) of a class: the mean of its pictures with the scene taken away, near-duplicates counted once."""
	n = min(len(pictures), ROW_PICTURES)
	q = np.array([take_away(taken, pictures[j * len(pictures) // n]) for j in range(n)])
	groups = near_groups(SETTINGS, theta, q, [0] * len(q))
	merged, _ = near_merge(groups, q, [0] * len(q))
	row = store_row(total_of(merged.tolist(), q.shape[1]), 8)
	U = [group_mean([q[j].tolist() for j in g]) for g in groups]
	return capped(SETTINGS, own_of_new(BITS_8, U, row)), row


def mean_row(pictures):
	"""The plain row of a class, for a head to rank and to judge by as it is."""
	row = store_row(total_of(pictures, len(pictures[0])), 8)
	return own_of_new(BITS_8, [unit_picture(q) for q in pictures], row), row


def cosine_of(row, x):
	"""One product of lengths, as lib/learn/head.c has it."""
	w, norm = direction(BITS_8, row)
	length = norm * math.sqrt(dot(x, x))
	return dot(w, x) / length if length > 0 else 0.0


def answer(plain, before_scene, taken, q, constants, blank):
	"""plain, before_scene: {class id: (own, stored row)}, ids ascending. The answer of a head that ranks by cosine:
	(passes, threshold, unknown_score, [(id, cosine, score)]). blank: what a covered camera shows."""
	ids, rows, x = list(plain), list(plain.values()), [float(v) for v in q]
	s = {c: cosine_of(row, x) for c, (_, row) in plain.items()}
	best = sorted(ids, key=lambda c: (-s[c], c))[:10]
	first, seen = best[0], dict(s)
	threshold = dict(zip(ids, thresholds(BITS_8, rows, ids.index(0) if 0 in ids else None, constants), strict=True))[
		first
	]
	for c, (_, row) in before_scene.items():
		seen[c] = cosine_of(row, [float(v) for v in take_away(taken, q)])
	away = taken and first in before_scene
	if away:
		at = list(before_scene).index(first)
		threshold = thresholds(BITS_8, list(before_scene.values()), None, constants)[at]
	norms = math.sqrt(dot(x, x)) * math.sqrt(dot(blank, blank))
	like_blank = dot(blank, x) / norms if norms > 0 else -1.0
	is_blank = like_blank >= BLANK_COSINE and like_blank >= seen[first]
	if is_blank:
		threshold = max(threshold, like_blank)
	passes, lack = seen[first] >= threshold and not is_blank, threshold - seen[first]
	if away and 0 in s:
		passes, lack = passes and s[first] > s[0], max(lack, s[0] - s[first])
	unknown, t = s[first] + lack if taken else threshold, constants["temperature"]
	largest = max([unknown, *s.values()])
	terms = {c: exp(t * (s[c] - largest)) for c in ids}
	total = exp(t * (unknown - largest))
	share = total
	for c in ids:
		total += terms[c]
	return passes, threshold, share / total, [(c, seen[c], terms[c] / total) for c in best]


# ---- the golden cases

CONSTANTS = {
	"temperature": 12.0,
	"pair_cosine": 0.118,
	"pair_weight": 0.5,
	"class_share": 0.6,
	"deviations": 2.1,
	"few_pictures": 2.7,
	"deviation": 0.0808,
	"deviation_weight": 2.0,
}


BLANK_COSINE = 0.45


def before(rng, scene, thing, n, noise=0.3):
	"""Pictures of a thing before a scene (thing None: of the scene), int8."""
	h = scene + (0 if thing is None else thing) + noise * rng.normal(size=(n, len(scene))) / math.sqrt(len(scene))
	return quantize(h / np.linalg.norm(h, axis=1, keepdims=True))


def things(rng, d, counts, n_none, noise=0.3, size=0.7):
	scene = rng.normal(size=d) / math.sqrt(d)
	each = [size * rng.normal(size=d) / math.sqrt(d) for _ in counts]
	classes = {3 * c + 1: before(rng, scene, each[c], n, noise) for c, n in enumerate(counts)}
	other = size * rng.normal(size=d) / math.sqrt(d)
	asked = [before(rng, scene, t, 1, noise)[0] for t in (*each, other, None)]
	blank = quantize(rng.normal(size=(1, d)) / math.sqrt(d))[0]
	asked += [blank, before(rng, scene, blank / 20.0, 1, noise)[0], np.zeros(d, np.int8)]
	return before(rng, scene, None, n_none, noise), classes, asked, blank


def one_scene(rng):
	return things(rng, 40, [6, 3, 9], 8, noise=0.7)


def bursts(rng):
	none, classes, asked, blank = things(rng, 32, [4, 5], 6)
	for q in classes.values():
		q[2] = q[1]  # one picture twice, and in the other class nearly
		q[2][0] = max(-127, q[2][0] - 1)
	return none, classes, asked, blank


def one_picture(rng):
	"""A scene of one picture, which is also what a class was taught."""
	none, classes, asked, blank = things(rng, 24, [1, 2], 1)
	classes[1][0] = none[0]
	return none, classes, [*asked, none[0]], blank


def mixed(rng):
	_, classes, asked, blank = things(rng, 24, [3, 3], 1)
	return quantize(rng.normal(size=(12, 24)) / math.sqrt(24)), classes, asked, blank


def zeros_and_opposites(rng):
	none, classes, asked, blank = things(rng, 16, [2, 3], 5)
	none[3] = 0
	classes[4][1] = 0
	classes[1][1] = -classes[1][0]
	return none, classes, asked, blank


def many(rng):
	return things(rng, 10, [65, 64, 150], 70, noise=1.5)


def no_other_class(rng):
	return things(rng, 48, [20], 20)


# name: (pictures, share, least mean cosine, theta)
CASES = {
	"scene": (one_scene, 0.75, 0.5, 0.7),
	"scene-bursts": (bursts, 0.75, 0.5, 0.7),
	"scene-one-picture": (one_picture, 0.75, 0.5, 0.7),
	"scene-mixed": (mixed, 0.75, 0.5, 0.7),
	"scene-zeros": (zeros_and_opposites, 0.75, 0.5, 0.7),
	"scene-whole": (one_picture, 1.0, 0.5, 0.7),
	"scene-many": (many, 0.75, 0.1, 0.9),
	"scene-one-class": (no_other_class, 0.6, 0.3, 0.0),
}


def case_bytes(case, rng):
	make, share, least, theta = case
	none, classes, asked, blank = make(rng)
	d = none.shape[1]
	taken, alike = scene_of(none.tolist(), d, share, least)
	out = [b"BNSC", struct.pack("<2I3d8d", d, SETTINGS["past_cap"], share, least, theta, *CONSTANTS.values())]
	out += [struct.pack("<d", BLANK_COSINE), blank.tobytes()]
	out += [struct.pack("<I", len(none)), none.tobytes(), struct.pack("<dI", alike, taken is not None)]
	plain = {0: mean_row([q for q in none.tolist() if any(q)])}
	before_scene = {}
	out += [encode(BITS_8, *plain[0]), struct.pack("<I", len(classes))]
	for c, q in classes.items():
		plain[c] = mean_row([p for p in q.tolist() if any(p)])
		out += [struct.pack("<2I", c, len(q)), q.tobytes(), encode(BITS_8, *plain[c])]
		if taken:
			before_scene[c] = row_of(taken, q.tolist(), theta)
			out.append(encode(BITS_8, *before_scene[c]))
	out.append(struct.pack("<I", len(asked)))
	for q in asked:
		row = q.tolist()
		out.append(q.tobytes())
		if taken:
			out.append(np.array(take_away(taken, row), np.int8).tobytes())
		passes, threshold, unknown, top = answer(plain, before_scene, taken, row, CONSTANTS, [float(v) for v in blank])
		asked_any = any(row)
		out.append(struct.pack("<2I2d", passes and asked_any, len(top), threshold, unknown if asked_any else 1.0))
		out += [struct.pack("<I2d", c, s, score if asked_any else 0.0) for c, s, score in top]
	return b"".join(out)


def files():
	"""{path: bytes}."""
	folder = ROOT / "tests" / "vectors" / "learn"
	return {
		folder / f"{name}.bin": case_bytes(case, np.random.default_rng([20261127, i]))
		for i, (name, case) in enumerate(CASES.items())
	}


if __name__ == "__main__":
	for path, data in files().items():
		path.write_bytes(data)
		print(path.relative_to(ROOT), len(data))
