# SPDX-License-Identifier: MIT
"""Tests of learn_bench on a set of made features: that it runs, that its counts add up, that it tells right from wrong."""

import csv
import dataclasses
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

import numpy as np

from tests.bench.learn import cache, public_sets

PROGRAM = os.environ.get("BNND_LEARN_BENCH", "")
YARDSTICKS = ("logistic", "lda", "ridge", "ranpac")
MODEL = "tests/vectors/models/tiny.bnn"
CLASSES, PICTURES, ASKED, POOL, FRAMES = 6, 30, 7, 20, 20
SET = public_sets.PublicSet("made", "choice", "", "", "", "", taught=10, asked=ASKED, load=None, pool=POOL)


def made_set(facts, rng, mixed=False):
	"""Classes around directions of their own, far apart. mixed: the labels mean nothing."""
	d = int(facts["d"])
	of_class = np.linalg.qr(rng.normal(size=(d, d)))[0][:CLASSES]
	y = np.repeat(np.arange(CLASSES), PICTURES)
	photographs = np.arange(CLASSES) * PICTURES
	framed = np.repeat(photographs, FRAMES)
	both = cache.TEACH | cache.ASK
	rows = np.concatenate(
		[
			cache.part(y, cache.PICTURE, both, np.arange(len(y)), None).rows,
			cache.part(y[framed], cache.FRAME, cache.TEACH, framed, None).rows,
			*(
				cache.part(0, k, cache.ASK, np.arange(n), None).rows
				for k, n in ((cache.GENERIC, 9), (cache.BLURRED, 2))
			),
			*(cache.part(0, k, cache.ASK, [0], None).rows for k in (cache.BLACK, cache.WHITE)),
		]
	)
	x = of_class[np.concatenate([y, y[framed]])]
	x = np.concatenate([x, rng.normal(size=(len(rows) - len(x), d)) / d**0.5])
	q = np.clip(np.rint(23 * d**0.5 * (x + 0.03 * rng.normal(size=x.shape))), -127, 127).astype(np.int8)
	labelled = public_sets.Labelled(y, y >= 0, y >= 0, None)
	if mixed:
		rows[: len(y), 0] = rng.permutation(y)
	return cache.header(SET, labelled, len(rows), facts) + rows.astype("<u4").tobytes() + q.tobytes()


class LearnBench(unittest.TestCase):
	@classmethod
	def setUpClass(cls):
		temporary = tempfile.TemporaryDirectory()
		cls.addClassCleanup(temporary.cleanup)
		cls.folder = pathlib.Path(temporary.name)
		cls.facts = cache.about(PROGRAM, MODEL)
		cls.bytes = made_set(cls.facts, np.random.default_rng(1))
		cls.set = cls.write("made.set", cls.bytes)

	@classmethod
	def write(cls, name, data):
		(cls.folder / name).write_bytes(data)
		return str(cls.folder / name)

	def cases(self, *settings, of=None):
		out = self.folder / "out.csv"
		command = [PROGRAM, "cases", MODEL, str(out), *settings, "--", of or self.set]
		table = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
		rows = list(csv.DictReader(out.read_text().splitlines()))
		self.assertEqual(len(table.splitlines()), 1 + sum(r["set"] == "mean" for r in rows))
		return {(r["set"], r["case"], r["by"]): r for r in rows}

	def draws(self, *settings, of=None):
		command = [PROGRAM, "draws", *settings, "--", of or self.set]
		return [json.loads(line) for line in subprocess.check_output(command, text=True).splitlines()]

	def test_counts_add_up(self):
		rows = self.cases("draws=2", "by=ours")
		for case, known, taught in (
			("all-1", CLASSES, 1),
			("all-20", CLASSES, SET.taught),
			("half-20", CLASSES // 2, SET.taught),
			("five-3", 5, 3),
			("one-5", 1, 5),
			("burst-one", 1, FRAMES),
			("photo-five", 5, 1),
			("mixed-one", 1, 10 + 5),
			("apart-all", CLASSES, 20 // 2),
		):
			row = rows["made", case, "ours"]
			self.assertEqual([float(row[k]) for k in ("draws", "known", "taught")], [2, known, taught], case)
			self.assertLessEqual(abs(float(row["own"]) - known * ASKED), 0 if "-" not in case else 5)
			self.assertLessEqual(float(row["own"]) + float(row["foreign"]), CLASSES * ASKED)
			self.assertEqual(row["claimed"] == "", known == CLASSES, case)
			self.assertLessEqual(float(row["named"]), min(float(row["right"]), 1 - float(row["refused"])))
		self.assertNotIn(("made", "all-100", "ours"), rows)  # nobody has so many
		self.assertNotIn(("made", "unequal", "ours"), rows)
		self.assertEqual(rows["mean", "all-5", "ours"]["right"], rows["made", "all-5", "ours"]["right"])

	def test_what_is_easy_is_right(self):
		for (_, case, by), row in self.cases("draws=1", "cases=all,five,apart,burst,three").items():
			self.assertGreater(float(row["right"]), 0.97, (case, by))
			if row["auroc"]:
				self.assertGreater(float(row["auroc"]), 0.97, (case, by))

	def test_what_means_nothing_is_not(self):
		mixed = self.write("mixed.set", made_set(self.facts, np.random.default_rng(2), mixed=True))
		for (_, case, by), row in self.cases("draws=2", "cases=all-20,one-20", of=mixed).items():
			if case == "all-20":
				self.assertLess(float(row["right"]), 0.5, by)
			else:
				self.assertLess(abs(float(row["auroc"]) - 0.5), 0.2, by)

	def test_never_refuses(self):
		for row in self.cases("draws=1", "cases=five-20", "by=ours,cwr", "refuse=never").values():
			self.assertEqual([float(row[k]) for k in ("refused", "claimed", "generic", "black")], [0, 1, 1, 1])

	def test_methods(self):
		rows = self.cases("draws=1", "cases=all-20,again,lesson", "method=metric", "width=8/32")
		self.assertEqual({k[2] for k in rows}, {"ours", "cwr", "class-means", "nearest"})
		self.assertEqual(rows["made", "again", "ours"]["lost"] == "", False)

	def test_draws(self):
		a, b, later = self.draws("draws=2"), self.draws("draws=2"), self.draws("draws=1", "first=1")
		self.assertEqual(a, b)
		self.assertEqual([p for p in a if p["draw"] == 1], later)
		self.assertNotEqual(a[0]["taught"], later[0]["taught"])
		for plan in a:
			self.assertFalse(set(plan["taught"]) & set(plan["asked"]))
			self.assertEqual(np.bincount(np.array(plan["asked"]) // PICTURES).tolist(), [ASKED] * CLASSES)
		burst = self.draws("draws=1", "cases=burst-one")[0]
		self.assertEqual(len(burst["taught"]), FRAMES)
		photograph = PICTURES * ((burst["taught"][0] - CLASSES * PICTURES) // FRAMES)
		self.assertNotIn(photograph, burst["asked"])

	def test_what_may_be_taught_and_asked(self):
		may = np.full(CLASSES * PICTURES, cache.TEACH | cache.ASK, "<u4")
		may[PICTURES : PICTURES + 27] = cache.ASK  # of class 1 three may be taught
		may[2 * PICTURES : 3 * PICTURES] = cache.TEACH  # of class 2 none would be left to ask
		may[3 * PICTURES :][:15], may[3 * PICTURES + 15 :][:15] = cache.TEACH, cache.ASK  # class 3 has sides
		data = bytearray(self.bytes)
		for i, value in enumerate(may):
			struct.pack_into("<I", data, 96 + 16 * i + 8, value)
		for plan in self.draws("draws=3", "cases=all-20", of=self.write("may.set", data)):
			taught, asked = np.array(plan["taught"]), np.array(plan["asked"])
			self.assertEqual(np.bincount(taught // PICTURES).tolist(), [10, 3, 0, 10, 10, 10])
			self.assertEqual(np.bincount(asked // PICTURES).tolist(), [ASKED, ASKED, 0, ASKED, ASKED, ASKED])
			self.assertTrue((may[taught] & cache.TEACH).all() and (may[asked] & cache.ASK).all())
			self.assertFalse(set(plan["taught"]) & set(plan["asked"]))

	def test_yardsticks(self):
		draws = [PROGRAM, "draws", "draws=2", "cases=all-1,all-5", "--", self.set]
		out = self.folder / "yardsticks.csv"
		command = [sys.executable, "-m", "tests.bench.learn.yardsticks", str(out)]
		subprocess.run(command, check=True, input=subprocess.check_output(draws), stderr=subprocess.DEVNULL)
		rows = list(csv.DictReader(out.read_text().splitlines()))
		self.assertEqual({(r["case"], r["by"]) for r in rows}, {(c, y) for c in ("all-1", "all-5") for y in YARDSTICKS})
		for row in rows:
			self.assertGreater(float(row["right"]), 0.97, row)

	def test_what_is_no_set(self):
		n = len(self.bytes)
		another = dict(self.facts, feature_id="00" * 32)
		for data in (
			b"BNQX" + self.bytes[4:],
			self.bytes[: n - 1],
			self.bytes + b"\0",
			self.bytes[:100],
			self.bytes[:96] + b"\xff\xff\xff\xff" + self.bytes[100:],
			made_set(another, np.random.default_rng(1)),
		):
			command = [PROGRAM, "cases", MODEL, str(self.folder / "x.csv"), "draws=1", "--", self.write("x.set", data)]
			done = subprocess.run(command, capture_output=True, text=True)
			self.assertEqual(done.returncode, 1)
			self.assertTrue(done.stderr.startswith("learn_bench: "), done.stderr)


class Cache(unittest.TestCase):
	"""A set's file is made once, of the pictures that its rows say."""

	def test_a_cached_set(self):
		rng = np.random.default_rng(3)
		x = np.repeat(rng.integers(0, 256, (4, 1, 1, 3)), 12, 0).repeat(24, 1).repeat(24, 2).astype(np.uint8)
		y = np.repeat(np.arange(4), 12)
		labelled = public_sets.of_array(x, y, np.ones(48, bool), np.ones(48, bool))
		found = dataclasses.replace(SET, load=lambda _: labelled)
		others = public_sets.of_array(x[::5], y[::5], np.ones(10, bool), np.ones(10, bool))
		rest = dataclasses.replace(SET, name="tiny-rest", load=lambda _: others)
		with (
			tempfile.TemporaryDirectory() as folder,
			unittest.mock.patch.object(public_sets, "by_name", lambda _: rest),
		):
			made = cache.Cache(PROGRAM, MODEL, folder)
			path = made.of_set(found)
			when = path.stat().st_mtime_ns
			self.assertEqual(made.of_set(found), path)
			self.assertEqual(path.stat().st_mtime_ns, when)
			with_scenes = made.of_set(found, scenes=True)
			rows, q = cache.read(path)
			more, more_q = cache.read(with_scenes)
		self.assertEqual(rows[:48, 0].tolist(), y.tolist())
		np.testing.assert_array_equal(q[:48], cache.features(PROGRAM, MODEL, labelled.squares(16))[0])
		frames = rows[rows[:, 1] == cache.FRAME]
		self.assertEqual(len(frames), 4 * cache.BURST_PHOTOGRAPHS * cache.BURST_FRAMES)
		self.assertTrue((rows[frames[:, 3], 0] == frames[:, 0]).all())
		self.assertEqual(np.bincount(rows[:, 1]).tolist()[cache.BLACK :], [1, 1])
		scene = np.isin(more[:, 1], (cache.IN_SCENE, cache.EMPTY))
		np.testing.assert_array_equal(more_q[~scene], q)
		self.assertEqual((more[:, 1] == cache.EMPTY).sum(), 2 * cache.SCENES * cache.SCENE_PICTURES)


if __name__ == "__main__":
	unittest.main()
