# SPDX-License-Identifier: MIT
"""Tests of what trains in a burst: python3 -m tests.tools.test_train_burst [CLASS]. Skips (77) where torch is not there.

Widened  copies of channels compute the same; apart, they learn apart; latents as bytes keep every sign
Parts    pictures packed and read; damaged parts are refused
Head     the second-order head in numpy against the specification of lib/learn's
Trained  a burst with pictures that come one part after the other, to its end
"""

import contextlib
import json
import pathlib
import tempfile
import unittest
from unittest import mock

import numpy as np
from PIL import Image

from tests.tools.drawn import N_CLASSES, SMALL, drawn, torch
from tests.vectors import make_metric
from tools.train import burst, checkpoint, nets, pack, second_order, teacher, widen

NARROW = {"channels": [8, 16, 24], "layers": [1, 2, 1], "stem": 8, "feat": 24, "early_pool": True}
WIDE = {**NARROW, "channels": [8, 32, 72]}
SIDE = 32


class Folder(unittest.TestCase):
	def setUp(self):
		temporary = tempfile.TemporaryDirectory()
		self.addCleanup(temporary.cleanup)
		self.folder = pathlib.Path(temporary.name)
		torch.manual_seed(0)
		torch.set_num_threads(1)


class Widened(Folder):
	def narrow(self):
		"""With statistics of batch norm that are not those it begins with."""
		net = nets.build("photo", N_CLASSES, NARROW).train()
		for _ in range(3):
			net(torch.randn(8, 3, SIDE, SIDE))
		return net.eval()

	def test_computes_the_same(self):
		narrow, wide = self.narrow(), nets.build("photo", N_CLASSES, WIDE).eval()
		with mock.patch.multiple(widen, SPREAD=0.0, NOISE=0.0):
			left_out = checkpoint.continue_from(wide, NARROW, narrow.state_dict())
		self.assertEqual(left_out, [])
		x = torch.randn(5, 3, SIDE, SIDE)
		with torch.no_grad():
			self.assertLess((narrow(x) - wide(x)).abs().max().item(), 1e-3)

	def test_copies_are_told_apart(self):
		wide = nets.build("photo", N_CLASSES, WIDE)
		checkpoint.continue_from(wide, NARROW, self.narrow().state_dict())
		layer = next(m for m in wide.body if isinstance(m, nets.PhotoLayer) and m.t.shape[1] == 32)
		apart = layer.t[0, 16:] - layer.t[0, :16]
		self.assertTrue(torch.allclose(apart, torch.full_like(apart, 2 * widen.SPREAD)))
		self.assertFalse(torch.equal(layer.w[:16], layer.w[16:]))

	def test_refuses_what_is_no_multiple(self):
		for channels in ([8, 24, 24], [8, 16]):
			other = nets.build("photo", N_CLASSES, {**NARROW, "channels": channels, "layers": [1] * len(channels)})
			with self.assertRaises(SystemExit):
				checkpoint.continue_from(other, NARROW, self.narrow().state_dict())

	def test_latents_as_bytes(self):
		net = nets.build("photo", N_CLASSES, NARROW)
		layer = next(m for m in net.body if isinstance(m, nets.PhotoLayer))
		with torch.no_grad():
			layer.w[0, :4, 0, 0] = torch.tensor([1e-9, -1e-9, 1.3, -1.3])
		path = self.folder / "x.latent.npz"
		checkpoint.save_latents(path, net.state_dict(), "photo", NARROW, as_bytes=True)
		_, _, state = checkpoint.read_latents(path)
		for key, was in net.state_dict().items():
			if key.endswith(".w"):
				self.assertTrue(torch.equal(state[key] > 0, was >= 0), key)
				self.assertLess((state[key] - was).abs().max().item(), 0.51 / checkpoint.STEPS)


class Parts(Folder):
	def pictures(self, n_each=4, side=48):
		rng = np.random.default_rng(1)
		for c in range(N_CLASSES):
			at = self.folder / "pictures" / f"class{c}"
			at.mkdir(parents=True)
			for i in range(n_each):
				Image.fromarray(drawn(rng, c, side)).save(at / f"{i}.png")
		return self.folder / "pictures"

	def test_pack(self):
		labelled, other = self.pictures(), self.folder / "other"
		other.mkdir()
		Image.fromarray(np.zeros((40, 90, 3), np.uint8)).save(other / "long.png")
		Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(other / "small.png")
		(other / "broken.jpg").write_bytes(b"no picture")
		out = self.folder / "parts"
		words = ["--labelled", f"{labelled}=3", "--also", str(other), "--sides", "32", "48"]
		pack.main([str(out), *words, "--part-megabytes", "0.005"])
		paths = sorted(out.glob("part-*.npz"))
		self.assertGreater(len(paths), 1)
		files, labels = [], []
		for path in paths:
			some, y, classes = pack.read_part(path)
			self.assertEqual(classes, [f"class{c}" for c in range(N_CLASSES)])
			files += some
			labels += y.tolist()
		sides = {y: {len(pack.decode(f)) for f, of in zip(files, labels, strict=True) if of == y} for y in set(labels)}
		self.assertEqual(sides, {pack.NO_CLASS: {32}, **{c: {48} for c in range(N_CLASSES)}})
		self.assertEqual([labels.count(y) for y in (pack.NO_CLASS, *range(N_CLASSES))], [2] + [3] * N_CLASSES)

	def test_damaged(self):
		path = self.folder / "part-0.npz"
		pack.write_part(path, [b"abc", b"d"], [0, pack.NO_CLASS], ["a"])
		self.assertEqual(pack.read_part(path)[0], [b"abc", b"d"])
		whole = path.read_bytes()
		path.write_bytes(whole[:-30])
		with self.assertRaises(SystemExit):
			pack.read_part(path)
		for bodies, labels in (([b"abc", b"d"], [0, 1]), ([b"abc", b"d"], [0, -2]), ([b"abc", b""], [0, 0])):
			pack.write_part(path, bodies, labels, ["a"])
			with self.assertRaises(SystemExit):
				pack.read_part(path)


class Head(unittest.TestCase):
	def test_ranks_as_the_specification(self):
		rng = np.random.default_rng(2)
		widths, n_classes, n_each = (6, 4), 3, 8
		q = [
			np.clip(np.rint(rng.normal(20 * c, 25, (n_each, sum(widths)))), -127, 127).astype(np.int8) for c in range(3)
		]
		found, means = make_metric.directions(widths, (second_order.LAST_FACTOR, 1.0), q)
		self.assertFalse(means)
		right = np.stack([x * length for x, length in found[1:]])
		right /= np.linalg.norm(right)
		x, y = np.concatenate(q).astype(float), np.repeat(np.arange(n_classes), n_each)
		groups = np.split(x, np.cumsum(widths)[:-1], axis=1)
		made = np.concatenate(second_order.rows(groups, y), axis=1)
		self.assertLess(np.abs(made / np.linalg.norm(made) - right).max(), 1e-6)

	def test_draw(self):
		y = np.repeat([0, 1], [10, 3])
		taught, asked = second_order.draw(y, 4, 0)
		self.assertEqual(np.bincount(y[taught]).tolist(), [4, 1])
		self.assertEqual(sorted([*taught, *asked]), list(range(13)))


class FakeTeacher(torch.nn.Module):
	"""What the colour says, as the teacher would: an embedding and 1,000 classes."""

	def __init__(self):
		super().__init__()
		self._fc = torch.nn.Linear(teacher.EMBEDDING, 20)
		self.w = torch.nn.Conv2d(3, teacher.EMBEDDING, 1)

	def extract_features(self, x):
		return torch.relu(self.w(torch.nn.functional.avg_pool2d(x, 4)))


class Clock:
	"""A second passes with every eight steps, none otherwise."""

	def __init__(self):
		self.now = 0.0

	def monotonic(self):
		return self.now

	def sleep(self, _):
		"""For the first part: it is asked for again."""

	def stepped(self, step):
		def one_step(*words):
			self.now += 0.125
			return step(*words)

		return one_step


class AtOnce:
	"""A pool that has done what it is asked to do."""

	def map_async(self, f, rows, chunksize):
		return mock.Mock(ready=lambda: True, get=lambda: self.map(f, rows, chunksize))

	def map(self, f, rows, chunksize):
		return [f(row) for row in rows]

	def terminate(self):
		pass


class Trained(Folder):
	def part(self, path, seed, sides=(24, 40), unlabelled=4):
		rng = np.random.default_rng(seed)
		rows = [(pack.encode(drawn(rng, c, s), 90), c) for c in range(N_CLASSES) for s in sides for _ in range(6)]
		rows += [(pack.encode(drawn(rng, 0, 40), 90), pack.NO_CLASS) for _ in range(unlabelled)]
		path.parent.mkdir(exist_ok=True)
		pack.write_part(path, [b for b, _ in rows], [y for _, y in rows], [f"class{c}" for c in range(N_CLASSES)])
		return len(rows)

	def test_to_the_end(self):
		init, out = self.folder / "init.latent.npz", self.folder / "out"
		options, _ = SMALL["photo"]
		net = nets.build("photo", N_CLASSES, options)
		checkpoint.save_latents(init, net.state_dict(), "photo", options)
		n = sum(self.part(self.folder / "parts" / f"part-{k}.npz", k) for k in range(2))
		self.part(self.folder / "questions" / "shapes.npz", 9, unlabelled=0)
		words = [
			"--seconds",
			"6",
			"--batch",
			"16",
			"--sides",
			"0.5:16,1:32",
			"--teacher-side",
			"32",
			"--processes",
			"1",
		]
		words += ["--questions", str(self.folder / "questions"), "--beside", f"{init}:32"]
		torch.manual_seed(3)
		clock = Clock()
		with contextlib.ExitStack() as stack:
			for what, name, instead in (
				(teacher, "teacher_net", lambda _: FakeTeacher().eval()),
				(burst, "time", clock),
				(burst.Burst, "one_step", clock.stepped(burst.Burst.one_step)),
				(burst, "LOOK_STEPS", 5),
				(burst.multiprocessing, "get_context", lambda _: mock.Mock(Pool=lambda _: AtOnce())),
				(burst, "SAVE_SECONDS", 1),
			):
				stack.enter_context(mock.patch.object(what, name, instead))
			burst.main([str(self.folder / "parts"), str(out), "--init", str(init), *words])
		self.assertTrue((out / "done").exists() and (out / "latest.latent.npz").exists())
		table = json.loads((out / "table.json").read_text())
		self.assertEqual([line["name"] for line in table], ["half", "end", init.name])
		self.assertGreater(table[1]["mean 5"], table[2]["mean 5"] + 5)
		log = (out / "log").read_text()
		self.assertIn(f"48 steps, {48 * 16} pictures seen, {n} different ones", log)
		name, made, state = checkpoint.read_latents(out / "last.latent.npz")
		self.assertEqual((name, made["channels"]), ("photo", options["channels"]))
		self.assertFalse(torch.equal(state["fc.weight"], net.state_dict()["fc.weight"]))

	def test_nothing_comes(self):
		arrivals = mock.Mock(folder="parts", next=lambda: None)
		with self.assertRaises(SystemExit):
			burst.wait_for_first(arrivals, None, None, 0.01)


if __name__ == "__main__":
	unittest.main()
