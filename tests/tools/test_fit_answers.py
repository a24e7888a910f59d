# SPDX-License-Identifier: MIT
"""Tests of tools/fit_answers.py and tools/known.py: python3 -m tests.tools.test_fit_answers."""

import json
import pathlib
import struct
import tempfile
import unittest

import numpy as np

from tests.bench.learn import known_variants
from tests.vectors import learn_known
from tools import datasets, fit_answers, known

DEFAULT = {"preset": learn_known.DEFAULT, "past_cap": 200}
THETA = 0.8


def clusters(seed, n_classes=10, d=64, each=120, apart=1.0):
	"""q of classes that lie around centres of their own, and their numbers."""
	rng = np.random.default_rng(seed)
	labels = np.repeat(np.arange(n_classes), each)
	h = apart * rng.normal(size=(n_classes, d))[labels] + rng.normal(size=(len(labels), d))
	return datasets.quantize(h / np.linalg.norm(h, axis=1, keepdims=True)), labels


def lesson(rng, d=24):
	"""q of single pictures of a class and of short bursts of it."""
	centre, q = rng.normal(size=d), []
	for _ in range(rng.integers(1, 6)):
		picture = centre + rng.normal(size=d)
		q += [picture + 0.2 * rng.normal(size=d) for _ in range(rng.integers(1, 4))]
	return datasets.quantize(known.unit(np.array(q)))


class Known(unittest.TestCase):
	"""Against the specification that the golden rows are made with."""

	def groups(self, q):
		of = np.empty(len(q), int)
		for number, group in enumerate(learn_known.near_groups(DEFAULT, THETA, q, np.zeros(len(q), int))):
			of[group] = number
		return of

	def test_near_duplicates(self):
		rng = np.random.default_rng(1)
		for _ in range(20):
			q = lesson(rng)
			self.assertEqual(
				known.near_duplicates(known.unit(q.astype(float)), THETA).tolist(), self.groups(q).tolist()
			)

	def test_first_lesson(self):
		rng = np.random.default_rng(2)
		for _ in range(20):
			q = lesson(rng)
			of = self.groups(q)
			u = [learn_known.group_mean(q[of == k]) for k in range(of.max() + 1)]
			row, got = known.first_lesson(known.unit(q.astype(float)), THETA)
			self.same(
				got,
				learn_known.own_of_new(learn_known.FLOAT, u, known.group_means(known.unit(q.astype(float)), of).sum(0)),
			)
			self.assertAlmostEqual(np.linalg.norm(row), 1)

	def same(self, got, want):
		self.assertEqual(got.n, want[0])
		np.testing.assert_allclose([got.r, got.mean, got.squares], want[1:], atol=1e-9)

	def test_further_lesson(self):
		rng = np.random.default_rng(3)
		for _ in range(20):
			row, old = known.first_lesson(known.unit(lesson(rng).astype(float)), THETA)
			before, was = row, (old.n, old.r, old.mean, old.squares)
			q = lesson(rng)
			of = self.groups(q)
			u = [learn_known.group_mean(q[of == k]) for k in range(of.max() + 1)]
			_, got = known.further_lesson(row, old, known.unit(q.astype(float)), THETA)
			want = learn_known.own_of_seen(learn_known.FLOAT, DEFAULT, THETA, u, len(u), was, before)
			self.same(got, learn_known.capped(DEFAULT, want))

	def test_thresholds(self):
		rng = np.random.default_rng(4)
		constants = {**fit_answers.HELD, "deviation": 0.1, "pair_cosine": 0.2}
		for n in (1, 2, 4):
			taught = [
				known.first_lesson(known.unit(lesson(rng)[: rng.integers(1, 9)].astype(float)), THETA) for _ in range(n)
			]
			rows, likeness = np.stack([row for row, _ in taught]), [x for _, x in taught]
			want = learn_known.thresholds(
				learn_known.FLOAT,
				[((x.n, x.r, x.mean, x.squares), row) for row, x in taught],
				None,
				{**constants, "deviations": 1.7},
			)
			np.testing.assert_allclose(known.thresholds(likeness, rows @ rows.T, constants, 1.7), want, atol=1e-6)

	def test_row_and_pair(self):
		for r in (1, 2, 7.5, 200):
			for pair in (0, 0.01, 0.3, 1):
				self.assertAlmostEqual(known.pair_cosine(known.row_cosine(pair, r), r), pair)
		self.assertEqual((known.pair_cosine(-0.2, 3), known.pair_cosine(1.1, 3)), (0, 1))


class Fit(unittest.TestCase):
	def test_finds_what_was_put_in(self):
		"""Separate clusters: shares refused are those asked for, of one picture too, and T is decided."""
		labelled = fit_answers.Labelled(*clusters(4))
		constants = fit_answers.fit([labelled], 400)
		for share in fit_answers.SHARES:
			lessons = list(fit_answers.Episodes(labelled, 9).many(200, (1, 1), (fit_answers.SEVERAL, 20)))
			refused = np.mean([(e.margins(share, constants)[0] < 0).mean() for e in lessons])
			self.assertAlmostEqual(refused, share, delta=0.02 + share / 5)
		lessons = list(fit_answers.Episodes(labelled, 9).many(200, (1, 1), (1, 1)))
		refused = np.mean([(e.margins(fit_answers.DEFAULT_SHARE, constants)[0] < 0).mean() for e in lessons])
		self.assertAlmostEqual(refused, fit_answers.SINGLE_REFUSED, delta=0.04)
		self.assertEqual(constants["deviations"], sorted(constants["deviations"], reverse=True))
		lessons = list(fit_answers.Episodes(labelled, 9).many(200))
		losses = [fit_answers.log_loss(lessons, constants["temperature"] * f, constants) for f in (0.5, 1, 2)]
		self.assertLess(losses[1], min(losses[0], losses[2]))

	def test_one_picture_and_anything_else(self):
		"""Where a set has pictures of anything else, one picture claims so many of them as it may."""
		q, y = clusters(10)
		labelled = fit_answers.Labelled(q, y, generic=clusters(11)[0])
		constants = fit_answers.fit([labelled], 400)
		claimed = []
		for e in fit_answers.Episodes(labelled, 9).many(200, (1, 1), (1, 1)):
			claimed.append(labelled.generic_x @ e.rows[0] >= e.thresholds(fit_answers.DEFAULT_SHARE, constants)[0])
		self.assertAlmostEqual(np.mean(claimed), fit_answers.GENERIC_CLAIMED, delta=0.02)

	def test_sets_count_alike(self):
		"""Of a wide and a narrow set together about as much is refused as was asked for, and not of the larger one."""
		sets = [fit_answers.Labelled(*clusters(5)), fit_answers.Labelled(*clusters(6, apart=2.0, each=400))]
		constants = fit_answers.fit(sets, 500)
		refused = [
			np.mean(
				[
					(e.margins(0.1, constants)[0] < 0).mean()
					for e in fit_answers.Episodes(s, 9).many(200, (1, 1), (5, 20))
				]
			)
			for s in sets
		]
		self.assertAlmostEqual(np.mean(refused), 0.1, delta=0.03)

	def test_asks_what_may_be_asked(self):
		q, y = clusters(7, each=20)
		teach = np.arange(len(y)) % 2 == 0
		drawn = fit_answers.Episodes(fit_answers.Labelled(q, y, teach, ~teach), 1)
		for n in (1, 20):
			taught, rest = drawn.taught_and_asked(3, n)
			self.assertEqual((len(taught), len(rest)), (min(n, 10), 10))
			self.assertTrue(teach[taught].all() and not teach[rest].any() and (y[np.append(taught, rest)] == 3).all())
		taught, rest = fit_answers.Episodes(fit_answers.Labelled(q, y), 1).taught_and_asked(3, 15)
		self.assertEqual((len(taught), len(rest), len(set(taught) & set(rest))), (10, 10, 0))


class Blank(unittest.TestCase):
	def test_row(self):
		rng = np.random.default_rng(8)
		kinds = [
			datasets.quantize(known.unit(rng.normal(size=32) + 0.1 * rng.normal(size=(n, 32)))) for n in (1, 1, 30)
		]
		constants = fit_answers.fit_blank(*kinds)
		self.assertEqual((max(map(abs, constants["blank"])), len(constants["blank"])), (127, 32))
		x = known.unit(np.concatenate(kinds).astype(float))
		self.assertTrue(known.is_blank(x, np.full(len(x), 0.2), constants).all())
		self.assertFalse(
			known.is_blank(x, np.full(len(x), 0.9), constants).any(), "a class of such pictures knows them"
		)
		self.assertFalse(known.is_blank(-x, np.full(len(x), -1), constants).any())

	def test_pictures(self):
		pictures = np.random.default_rng(9).integers(0, 256, (7, 32, 32, 3), np.uint8)
		black, white, blurred = fit_answers.blank_pictures(pictures, 48)
		self.assertEqual((black.shape, white.shape, blurred.shape), ((1, 48, 48, 3), (1, 48, 48, 3), (7, 48, 48, 3)))
		self.assertEqual((black.max(), white.min()), (0, 255))
		self.assertLess(blurred.std(), pictures.std() / 3)


class Files(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.folder = pathlib.Path(folder.name)

	def test_sets(self):
		"""What tests/bench/learn/cache.py writes: pictures that may be taught or asked, and blank ones."""
		rows = np.array([[4, 0, 1, 0], [7, 0, 3, 1], [0, 5, 2, 0], [0, 6, 2, 0], [0, 7, 2, 0], [0, 4, 2, 0]], "<u4")
		q = np.arange(24, dtype=np.int8).reshape(6, 4) + 1
		path = self.folder / "things-1.set"
		path.write_bytes(b"BNSX" + struct.pack("<7I64s", 6, 4, 8, 20, 20, 9, 100, b"") + rows.tobytes() + q.tobytes())
		(of_path,), blank = fit_answers.of_sets([path])
		self.assertEqual(
			(of_path.y.tolist(), of_path.teach.tolist(), of_path.ask.tolist()), ([0, 1], [True] * 2, [False, True])
		)
		self.assertEqual((of_path.q.tolist(), of_path.name), (q[:2].tolist(), "things-1"))
		self.assertEqual(of_path.generic.tolist(), q[5:].tolist())
		self.assertEqual(blank, fit_answers.fit_blank(q[3:4], q[4:5], q[2:3]))
		path.write_bytes(b"something else")
		with self.assertRaises(SystemExit):
			datasets.feature_set(path)

	def test_write(self):
		path = self.folder / "answers.json"
		for name, of_name in (
			("one", {"deviations": [2.5, 1.0], "unknown_cosine": []}),
			("two", {"blank": [1, -2, 3]}),
			("head", {"groups": [2, 2], "group_factors": [1.5, 1], "blank": [1, 2]}),
			("head", {"temperature": 7}),
		):
			fit_answers.write(path, name, of_name)
		read = json.loads(path.read_text())
		self.assertEqual((read["one"]["deviations"], read["two"]["blank"]), ([2.5, 1.0], [1, -2, 3]))
		self.assertIn("[ 2.5, 1.0 ]", path.read_text())
		self.assertEqual(read["head"], {"groups": [2, 2], "group_factors": [1.5, 1], "temperature": 7})


class Variants(unittest.TestCase):
	"""tests/bench/learn/known_variants.py on a made set: bursts hold with near-duplicates, and break without."""

	def test_cases(self):
		q, y = clusters(12, n_classes=6, each=40)
		rng = np.random.default_rng(13)
		photographs = np.repeat(np.arange(6) * 40, 20)
		frames = datasets.quantize(
			known.unit(known.unit(q[photographs].astype(float)) + 0.02 * rng.normal(size=(120, 64)))
		)
		others = datasets.quantize(known.unit(rng.normal(size=(30, 64))))
		kinds = [(y, datasets.SET_PICTURE, 3, np.arange(240)), (y[photographs], datasets.SET_FRAME, 1, photographs)]
		kinds += [
			(np.zeros(30, int), datasets.SET_GENERIC, 2, np.arange(30)),
			(np.zeros(2, int), datasets.SET_BLACK, 2, 0),
		]
		rows = np.concatenate([np.stack(np.broadcast_arrays(*k), 1) for k in kinds]).astype("<u4")
		q = np.concatenate([q, frames, others, others[:2]])
		with tempfile.TemporaryDirectory() as folder:
			path = pathlib.Path(folder) / "made-1.set"
			header = struct.pack("<7I64s", len(q), 64, 6, 20, 20, 9, 100, b"")
			path.write_bytes(b"BNSX" + header + rows.tobytes() + q.tobytes())
			made = known_variants.Set(str(path))
		self.assertEqual((made.name, len(made.classes), len(made.burst(2, rng))), ("made", 6, 20))
		self.assertTrue((made.shown(made.burst(2, rng)) == 80).all())
		constants = {**fit_answers.fit([fit_answers.Labelled(q[:240], y)], 100), "near_duplicate": 0.8}
		constants |= {**fit_answers.fit_blank(others[:1], others[1:2], others[:2])}
		refused = {
			theta: known_variants.measure(made, False, "burst", {**constants, "near_duplicate": theta}, 1)
			for theta in (0.8, 2)
		}
		self.assertLess(refused[0.8][0], 0.3)
		self.assertGreater(refused[2][0], 0.9)
		self.assertEqual(refused[0.8][3], 0, "frames that are the blank row's")
		for case in known_variants.CASES:
			for several in (False, True):
				found = known_variants.measure(made, several, case, constants, 1)
				self.assertTrue(((found >= 0) & (found <= 1)).all(), case)


if __name__ == "__main__":
	unittest.main()
