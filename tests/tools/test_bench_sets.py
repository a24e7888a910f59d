# SPDX-License-Identifier: MIT
"""Tests of public_sets.py and bursts.py of tests/bench/learn, with git directories and pictures made here: no data set is needed."""

import io
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np
from PIL import Image

from tests.bench.learn import bursts, public_sets


def photograph(seed, side=192):
	"""Soft patches of colour: something that a shift changes a little and a blur much."""
	rng = np.random.default_rng(seed)
	small = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
	return np.asarray(Image.fromarray(small).resize((side, side), Image.BICUBIC))


def picture(seed):
	out = io.BytesIO()
	Image.fromarray(photograph(seed, 40)).save(out, "PNG")
	return out.getvalue()


class Trees(unittest.TestCase):
	def setUp(self):
		temporary = tempfile.TemporaryDirectory()
		self.addCleanup(temporary.cleanup)
		self.folder = pathlib.Path(temporary.name)
		before = os.environ.get("BNND_PUBLIC_SETS")
		os.environ["BNND_PUBLIC_SETS"] = str(self.folder)
		self.addCleanup(lambda: os.environ.update(BNND_PUBLIC_SETS=before or ""))

	def repository(self, public_set, files):
		"""A bare repository of these files where the set is looked for; returns its commit."""
		work = self.folder / "work"
		for name, body in files.items():
			(work / name).parent.mkdir(parents=True, exist_ok=True)
			(work / name).write_bytes(body)

		def git(*words):
			who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
			return subprocess.check_output(["git", "-C", str(work), *who, *words], stderr=subprocess.STDOUT).decode()

		git("init", "-q")
		git("add", "-f", ".")
		git("commit", "-q", "-m", "a")
		bare = self.folder / (public_set.source.rsplit("/", 1)[1] + ".git")
		subprocess.check_call(["git", "clone", "-q", "--bare", str(work), str(bare)])
		return git("rev-parse", "HEAD").strip()

	def loaded(self, name, files):
		found = public_sets.by_name(name)
		found = public_sets.dataclasses.replace(found, commit=self.repository(found, files))
		return found, found.load(found)

	def test_coins(self):
		files = {f"classified/{p}/{c}/{i}.jpg": picture(i) for p in ("train", "test") for c in "ab" for i in (1, 2)}
		_, labelled = self.loaded("coins", files | {"README.md": b"no picture", "src/a.jpg": b"another"})
		self.assertEqual(labelled.y.tolist(), [0, 0, 1, 1] * 2)
		self.assertEqual(labelled.teach.tolist(), [False] * 4 + [True] * 4)
		self.assertEqual(labelled.squares(24).shape, (8, 24, 24, 3))
		np.testing.assert_array_equal(labelled.squares(40)[1], photograph(2, 40))

	def test_solar(self):
		rows = [f"{n} 1.0 mono" for n in "abcd"] + ["e 0.3333333333333333 mono", "f 0.0 poly", "g 0.0 poly"]
		files = {"src/elpv_dataset/data/" + r[0]: picture(i) for i, r in enumerate(rows)}
		_, labelled = self.loaded("solar", files | {"src/elpv_dataset/data/labels.csv": "\n".join(rows).encode()})
		self.assertEqual(labelled.y.tolist(), [0, 0, 0, 0, 1, 1])
		self.assertEqual(labelled.teach.tolist(), [True, True, False, False, True, False])
		np.testing.assert_array_equal(labelled.squares(40)[4], photograph(5, 40))

	def test_grocery(self):
		names = [f"{part}/{i}.jpg" for part in ("train", "test") for i in range(4)]
		files = {"dataset/" + n: picture(i) for i, n in enumerate(names)}
		for part in ("train", "test"):
			rows = [f"{part}/{i}.jpg, {i}, {i // 2}" for i in range(4)]
			files[f"dataset/{part}.txt"] = "\n".join(rows).encode()
		_, labelled = self.loaded("grocery-test", files)
		self.assertEqual(labelled.y.tolist(), [0, 0, 1, 1] * 2)
		self.assertEqual(labelled.ask.tolist(), [False] * 4 + [True] * 4)
		np.testing.assert_array_equal(labelled.squares(40)[6], photograph(6, 40))

	def test_what_is_not_there_is_skipped(self):
		found = public_sets.by_name("coins")
		with self.assertRaises(SystemExit) as stopped:
			found.load(found)
		self.assertEqual(stopped.exception.code, 77)
		self.repository(found, {"classified/train/a/1.jpg": picture(1)})
		with self.assertRaises(SystemExit):  # another commit
			found.load(found)

	def test_every_set_says_where_it_is_from(self):
		names = [s.name for s in public_sets.SETS]
		self.assertEqual(len(names), len(set(names)))
		for s in public_sets.SETS:
			self.assertIn(s.role, ("choice", "report", "other"))
			self.assertTrue(s.source.startswith("https://") and s.terms and s.split)
		self.assertEqual(len(public_sets.of_role("choice")), 5)


class Bursts(unittest.TestCase):
	def test_a_seed_is_a_burst(self):
		a = bursts.burst(photograph(1), 6, 48, 7)
		np.testing.assert_array_equal(a, bursts.burst(photograph(1), 6, 48, 7))
		self.assertEqual((a.shape, a.dtype), ((6, 48, 48, 3), np.uint8))
		self.assertFalse(np.array_equal(a, bursts.burst(photograph(1), 6, 48, 8)))
		self.assertTrue(all((a[i] != a[j]).mean() > 0.5 for i in range(6) for j in range(i)))

	def likeness(self, hand, i, j):
		"""Mean correlation of two frames of twelve bursts."""
		made = [bursts.burst(photograph(s), 20, 32, s, hand).astype(float) for s in range(12)]
		return np.mean([np.corrcoef(b[i].ravel(), b[j].ravel())[0, 1] for b in made])

	def test_hands(self):
		tripod, hand, walk = (self.likeness(h, 0, 19) for h in (bursts.TRIPOD, bursts.HAND, bursts.WALK))
		self.assertGreater(tripod, 0.98)
		self.assertGreater(tripod, hand + 0.02)
		self.assertGreater(hand, walk + 0.05)
		self.assertGreater(self.likeness(bursts.WALK, 0, 1), walk + 0.05)  # neighbours are more alike

	def test_no_border_comes_in(self):
		grey = np.full((120, 120, 3), 200, np.uint8)
		for seed in range(20):
			frames = bursts.burst(grey, 5, 32, seed, bursts.WALK)
			for frame in frames:
				level = np.median(frame)
				self.assertLess(np.abs(np.median(frame[[0, -1]], (1, 2)) - level).max(), 12)
				self.assertLess(np.abs(np.median(frame[:, [0, -1]], (0, 2)) - level).max(), 12)

	def test_small_photographs(self):
		self.assertEqual(bursts.burst(photograph(2, 32), 3, 96, 0).shape, (3, 96, 96, 3))

	def test_other_light(self):
		self.assertLess(bursts.blurred(photograph(3), 64).std(), 0.4 * photograph(3).std())
		dark = bursts.dusk(photograph(3), 64, 0)
		self.assertLess(dark.mean(), 0.6 * photograph(3).mean())
		self.assertGreater(dark[..., 2].mean(), dark[..., 0].mean())


if __name__ == "__main__":
	unittest.main()
