# SPDX-License-Identifier: MIT
"""Tests of tools/bnnfile/tail.py and tools/stages.py: a network under a new tail.

Tail     what its features are, against numpy's own statistics of the maps; where the statistics stand; refusals
Command  build and fit, as a person runs them; fit needs torch, and the engine's part BNND_FEATURES
"""

import contextlib
import importlib.util
import io
import json
import os
import pathlib
import tempfile
import unittest

import numpy as np
from PIL import Image

from tests.vectors import make_tiny
from tools import stages
from tools.bnnfile import BadModel, Evaluator, feature_id, read, tail

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "vectors" / "models" / "tiny.bnn"
ENGINE = os.environ.get("BNND_FEATURES")
PARTS = ("last:mean", "bin1.prelu:mean=.5", "bin1.prelu:deviation=.25", "dw:deviation=2")
WIDTHS = [32, 32, 32, 8]
CONSTANTS = {
	"temperature": 9.0,
	"unknown_cosine": [0.1, 0.2, 0.3, 0.4, 0.5],
	"deviations": [2.5, 2, 1.5, 1, 0.5],
	"deviation": 0.1,
	"deviation_weight": 4.0,
}


def some_pictures(n=3):
	return make_tiny.pictures(make_tiny.Splitmix64(21), n, 16, 16)


def maps_of(model, pictures):
	"""{operation's name: its result} in double."""
	found = {}
	Evaluator(model).run(pictures, lambda op, made: found.__setitem__(op.name, made[0]))
	return found


def unit(x):
	return x / np.linalg.norm(x, axis=1, keepdims=True)


class Tail(unittest.TestCase):
	def setUp(self):
		self.model, self.pictures = read(TINY), some_pictures()
		self.parts = [tail.part(p) for p in PARTS]
		maps = maps_of(self.model, self.pictures)
		last, bin1, dw = maps["last.relu"], maps["bin1.prelu"], maps["dw"]
		self.statistics = [last.mean((1, 2)), bin1.mean((1, 2)), bin1.std((1, 2)), dw.std((1, 2))]

	def check(self, model, want):
		got = Evaluator(model).run(self.pictures)
		np.testing.assert_allclose(got, want, atol=1e-6)
		np.testing.assert_allclose(Evaluator(model, "exact").run(self.pictures), want, atol=1e-4)

	def test_features(self):
		joined = [w * unit(s) for w, s in zip((1, 0.5, 0.25, 2), self.statistics, strict=True)]
		self.check(tail.with_tail(self.model, self.parts, "new"), unit(np.concatenate(joined, 1)))

	def test_centred_scaled_whitened(self):
		rng = np.random.default_rng(1)
		centre, scale, matrix = rng.normal(size=32), rng.uniform(0.1, 9, 32), rng.normal(size=(32, 32))
		self.parts[0].centre, self.parts[0].scale = centre, scale
		self.parts[1].centre = centre
		self.parts[2].centre, self.parts[2].matrix = centre, matrix
		s = list(self.statistics)
		s[0], s[1], s[2] = (s[0] - centre) * scale, s[1] - centre, (s[2] - centre) @ matrix
		joined = [w * unit(x) for w, x in zip((1, 0.5, 0.25, 2), s, strict=True)]
		self.check(tail.with_tail(self.model, self.parts, "new"), unit(np.concatenate(joined, 1)))

	def test_one_part(self):
		self.check(tail.with_tail(self.model, self.parts[:1], "new"), unit(self.statistics[0]))

	def test_statistics(self):
		statistics = tail.with_statistics(self.model, self.parts)
		self.assertEqual(tail.widths(self.model, self.parts), WIDTHS)
		self.check(statistics, np.concatenate(self.statistics, 1))

	def test_groups(self):
		"""Neighbours of one map are a group; parts of one map that stand apart are not."""
		self.assertEqual(tail.groups(self.model, self.parts), [("last", 32), ("bin1.prelu", 64), ("dw", 8)])
		self.assertEqual([w for _, w in tail.groups(self.model, [self.parts[i] for i in (1, 0, 2)])], [32, 32, 32])
		new = tail.with_tail(self.model, self.parts, "new", answers=CONSTANTS)
		self.assertEqual(list(new.graph.answers.groups), [32, 64, 8])
		self.assertEqual(list(new.graph.answers.group_factors), [1.5, 1, 1])
		said = {"groups": [32, 72], "group_factors": [2, 1], **CONSTANTS}
		answers = tail.with_tail(self.model, self.parts, "new", answers=said).graph.answers
		self.assertEqual((list(answers.groups), list(answers.group_factors)), ([32, 72], [2, 1]))
		one = tail.with_tail(self.model, self.parts[:1], "new", answers=CONSTANTS)
		self.assertEqual((list(one.graph.answers.groups), list(one.graph.answers.group_factors)), ([32], []))

	def test_ways(self):
		for text, way in (("last:mean", "scaled"), ("last:mean:whitened=2", "whitened"), ("dw:mean", "whitened")):
			self.assertEqual(tail.part(text).way, way)
		self.assertEqual(tail.part("dw:deviation:scaled=0.5"), tail.Part("dw", "deviation", "scaled", 0.5))

	def test_statistics_stand_behind_their_map(self):
		"""Else the map would have to be kept while the rest of the network runs."""
		names = [op.name for op in tail.with_tail(self.model, self.parts, "new").graph.ops]
		at = names.index("bin1.prelu")
		self.assertEqual(names[at + 1 : at + 3], ["bin1.prelu:mean", "bin1.prelu:deviation"])
		self.assertEqual(names[names.index("dw") + 2], "dw:deviation")
		self.assertNotIn("whiten", names)

	def test_the_rest_stays(self):
		"""Weights to the bit, no card, answers or prior of another's features; no tail, no change."""
		new = tail.with_tail(self.model, self.parts, "new", "text")
		for name in ("stem.w", "bin0.w", "bin0.scale", "bin1.prelu.slope", "last.b", "input.table"):
			np.testing.assert_array_equal(new.constant_named(name), self.model.constant_named(name))
		graph = new.graph
		self.assertEqual((graph.card.name, graph.card.text), ("new", "text"))
		self.assertFalse(graph.HasField("prior") or graph.HasField("answers"))

	def test_refusals(self):
		def refuse(words, *parts):
			with self.assertRaisesRegex(BadModel, words):
				tail.with_tail(self.model, [tail.part(p) for p in parts], "new")

		refuse("no operation 'nothing'", "nothing:mean")
		refuse("makes no floats", "bin0.sign:mean")
		refuse("there twice", "last:mean", "last:mean=2")
		refuse("parts are none")
		for text in (
			"last",
			":mean",
			"last:median",
			"last:mean=0",
			"last:mean=x",
			"last:mean=inf",
			"last:mean=-1",
			"last:mean:rooted",
			"last:scaled",
		):
			refuse("is not MAP|no weight above 0", text)
		for field, shape in (("centre", 31), ("scale", (1, 32)), ("matrix", (32, 31))):
			p = tail.part("last:mean")
			setattr(p, field, np.zeros(shape))
			with self.assertRaisesRegex(BadModel, f"the {field} of last:mean has the shape"):
				tail.with_tail(self.model, [p], "new")


class Command(unittest.TestCase):
	def setUp(self):
		temporary = tempfile.TemporaryDirectory()
		self.addCleanup(temporary.cleanup)
		self.folder = pathlib.Path(temporary.name)

	def run_stages(self, *argv):
		out = io.StringIO()
		with contextlib.redirect_stdout(out):
			stages.main([str(a) for a in argv])
		return out.getvalue()

	def test_build(self):
		out, answers = self.folder / "new-1.bnn", self.folder / "answers.json"
		answers.write_text(json.dumps({"new-1": CONSTANTS}))
		said = self.run_stages("build", TINY, out, *PARTS, "--answers", answers, "--factor", 2)
		model = read(out)
		self.assertIn(f"104 features, feature_id {feature_id(model)}", said)
		self.assertEqual(model.graph.answers.temperature, 9)
		self.assertEqual(list(model.graph.answers.group_factors), [2, 1, 1])
		self.assertEqual(model.graph.card.name, "new-1")
		self.assertIn("bin1.prelu:deviation 0.25", model.graph.card.text)
		want = tail.with_tail(read(TINY), [tail.part(p) for p in PARTS], "other")
		self.assertEqual(feature_id(model), feature_id(want))

	def test_refusals_are_sentences(self):
		for parts, words in ((["x:mean"], "no operation 'x'"), (["last:x"], "not MAP")):
			with self.assertRaisesRegex(SystemExit, words):
				self.run_stages("build", TINY, self.folder / "new.bnn", *parts)
		fit = self.folder / "fit.npz"
		np.savez(fit, **{"last:mean.centre": np.zeros(32), "last:mean.matrix": np.eye(32)})
		with self.assertRaisesRegex(SystemExit, "no part dw:mean"):
			self.run_stages("build", TINY, self.folder / "new.bnn", "dw:mean", "--fit", fit)

	def test_fit(self):
		if not importlib.util.find_spec("torch"):
			self.skipTest("torch is not installed")
		data, fit = self.folder / "pictures", self.folder / "fit.npz"
		for i, picture in enumerate(some_pictures(36)):
			at = data / f"class{i % 3}"
			at.mkdir(parents=True, exist_ok=True)
			Image.fromarray(picture).save(at / f"{i}.png")
		engine = ("--engine", ENGINE) if ENGINE else ()
		self.run_stages("fit", TINY, data, fit, *PARTS, "--shrink", "0.5", *engine)
		made = np.load(fit)
		self.assertEqual(
			[made[f"{p.partition('=')[0]}.matrix"].shape for p in PARTS], [(width, width) for width in WIDTHS]
		)
		given = Evaluator(tail.with_statistics(read(TINY), [tail.part(p) for p in PARTS])).run(some_pictures(36))
		y = np.arange(36) % 3
		within = given - np.stack([given[y == c].mean(0) for c in range(3)])[y]
		np.testing.assert_allclose(made["dw:deviation.centre"], given[:, 96:].mean(0), rtol=1e-4)
		variance = (within[:, 96:] ** 2).sum(0) / 33
		self.assertTrue((variance > 0.01 * variance.mean()).all(), "a scale that is held: this test says nothing of it")
		np.testing.assert_allclose(made["dw:deviation.scale"], variance**-0.5, rtol=1e-3)
		out = self.folder / "new.bnn"
		self.run_stages("build", TINY, out, *PARTS[:-1], "dw:deviation:scaled=2", "--fit", fit)
		names = [op.name for op in read(out).graph.ops]
		for name, way in (("last:mean", "scaled"), ("bin1.prelu:mean", "white"), ("dw:deviation", "scaled")):
			at = names.index(f"{name}.centred")
			self.assertEqual(names[at + 1 : at + 3], [f"{name}.{way}", f"{name}.unit"])

	def test_scale_of_a_channel_that_hardly_moves(self):
		if not importlib.util.find_spec("torch"):
			self.skipTest("torch is not installed")
		x = np.random.default_rng(1).normal(size=(60, 4)) * [1, 1, 1e-6, 0]
		scale = stages.scale_of(x, np.arange(60) % 3)
		self.assertTrue((scale[2:] == scale[2]).all() and scale[2] < 10 * 2 * max(scale[:2]))


if __name__ == "__main__":
	unittest.main(verbosity=0)
