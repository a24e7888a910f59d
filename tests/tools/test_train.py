# SPDX-License-Identifier: MIT
"""Tests of tools/train: python3 -m tests.tools.test_train [CLASS]. Skips (77) where torch is not there:
nothing else needs it.

Signs     the exact convolution, its gradient, half latents of the same signs
Training  a run that was stopped gives the weights of one that was not; latents continue
Engine    every network, trained for a few steps and exported: features of lib/bnn (BNND_FEATURES) and of the numpy
          evaluator against torch in double
"""

import json
import os
import pathlib
import tempfile
import unittest

import numpy as np

from tests.tools.drawn import N_CLASSES, SMALL, STORED, drawn_set, run_of, torch
from tools.bnnfile import Evaluator, read, write
from tools.datasets import engine_features
from tools.train import augment, binary, checkpoint, export, leave_out_near, nets, normalise, pictures, teacher, train
from tools.train import run as training

F = torch.nn.functional  # not imported above: it is `drawn` that skips where there is no torch
COSINE = 0.9999


class Signs(unittest.TestCase):
	def test_exact_in_half(self):
		"""What a GPU computes in float16 is what float32 gives, for every even number of taps up to 4096."""
		torch.manual_seed(0)
		x, w = (torch.randn(s).sign() for s in ((2, 256, 5, 5), (16, 256, 3, 3)))
		right = F.conv2d(x, w, padding=1)
		try:
			binary.Precision.forward = torch.float16
			self.assertTrue(torch.equal(binary.sign_conv(x, w, 1, 1, 0), right))
			ones = torch.ones(1, 448, 3, 3)  # 4032 taps, the largest sums there are
			self.assertEqual(binary.sign_conv(ones, ones).item(), 4032)
			self.assertEqual(binary.product_type(x, 512 * 9), torch.float16)  # while training
			with torch.no_grad():
				self.assertEqual(binary.product_type(x, 512 * 9), torch.float32)
		finally:
			binary.Precision.forward = torch.float32

	def test_bfloat16_on_cpu(self):
		"""Rounds while training, by 1/256 at most, and not otherwise; the gradients are those of float32, rounded."""
		torch.manual_seed(0)
		c = binary.TAPS_FROM_CHANNELS
		x, w = torch.randn(3, c, 6, 6).sign(), torch.randn(c, c, 3, 3)
		g, found = torch.randn(3, c, 6, 6), {}
		for bfloat16 in (False, True):
			binary.Precision.choose(torch.device("cpu"), bfloat16)
			self.addCleanup(binary.Precision.choose, torch.device("cpu"), False)
			a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
			y = binary.sign_conv(a, b, 1, 1)
			found[bfloat16] = y.detach(), *torch.autograd.grad(y, (a, b), g)
			with torch.no_grad():
				self.assertTrue(torch.equal(binary.sign_conv(x, w, 1, 1), found[False][0]))
		for name, exact, rounded in zip(("y", "x", "w"), found[False], found[True], strict=True):
			self.assertLess(((exact - rounded).norm() / exact.norm()).item(), 2**-7, name)
		right, made = found[False][0], found[True][0]
		self.assertTrue(((right - made).abs() <= right.abs() / 256).all())
		self.assertTrue((right == made)[right.abs() <= 256].all())

	def test_gradient(self):
		torch.manual_seed(0)
		for stride, pad, value in ((1, 1, 1), (2, 1, 0), (1, 1, -1), (1, 0, 1)):
			x = torch.randn(2, 6, 7, 7, dtype=torch.double, requires_grad=True)
			w = (torch.randn(5, 6, 3, 3, dtype=torch.double) * 0.3).requires_grad_()
			made = binary.sign_conv(x, w, stride, pad, value)
			signs = torch.where(w >= 0, 1.0, -1.0).double() + w - w.detach()
			padded = F.pad(x, (pad,) * 4, value=float(value))
			right = F.conv2d(padded, signs, stride=stride)
			g = torch.randn_like(made)
			for a, b in zip(torch.autograd.grad(made, (x, w), g), torch.autograd.grad(right, (x, w), g), strict=True):
				self.assertLess((a - b).abs().max().item(), 1e-12)
			self.assertTrue(torch.allclose(made, right))

	def test_latents_keep_signs(self):
		a = np.array([1e-9, -1e-9, 0.0, 1e6, -1e6, 0.5, -0.3], np.float32)
		half = checkpoint.to_half(a)
		self.assertEqual(half.dtype, np.float16)
		np.testing.assert_array_equal(half >= 0, a >= 0)
		self.assertTrue(np.isfinite(half).all())

	def test_projection(self):
		net = nets.build("photo", 3, dict(SMALL["photo early pool"][0]))
		with torch.no_grad():
			for p in net.parameters():
				p.copy_(torch.randn_like(p) * 5)
		net.project()
		self.assertLessEqual(
			max(p.abs().max() for n, p in net.named_parameters() if binary.is_latent(n)), binary.WEIGHT_BOUND
		)
		slopes = torch.cat([m.weight for m in net.modules() if isinstance(m, torch.nn.PReLU)])
		self.assertTrue(((slopes >= 0) & (slopes <= 1)).all())
		self.assertGreater(net.fc.weight.abs().max(), 2)


class Training(unittest.TestCase):
	def setUp(self):
		temporary = tempfile.TemporaryDirectory()
		self.addCleanup(temporary.cleanup)
		self.folder = pathlib.Path(temporary.name)
		torch.set_num_threads(1)

	def test_resumes(self):
		"""Stopped after any step and started again: the same weights, bit for bit."""
		more = ("--epochs", "2", "--sides", "0.5:32,1:48", "--options", '{"channels": [8, 16], "layers": [1, 1]}')
		whole = run_of(self.folder / "whole", *more)
		self.assertTrue(whole.go(lambda: False))
		for stop_at in (1, 7):
			parts = run_of(self.folder / f"parts{stop_at}", *more)
			self.assertFalse(parts.go(lambda parts=parts, stop_at=stop_at: parts.step == stop_at))
			parts = run_of(self.folder / f"parts{stop_at}", *more)
			parts.resume()
			self.assertEqual(parts.step, stop_at)
			self.assertTrue(parts.go(lambda: False))
			for a, b in zip(whole.net.state_dict().values(), parts.net.state_dict().values(), strict=True):
				self.assertTrue(torch.equal(a, b))
		other = run_of(self.folder / "parts1", *more, "--epochs", "3")
		with self.assertRaises(SystemExit):
			other.resume()

	def test_learns(self):
		options = '{"channels": [8, 16], "layers": [1, 1]}'
		run = run_of(self.folder, "--epochs", "12", "--sides", "1:32", "--options", options)
		run.go(lambda: False)
		self.assertGreater(run.history[-1]["top1"], 0.6)

	def test_top1_keeps_mode(self):
		"""Batch norm of a network left in training mode would depend on which pictures are asked together."""
		net, data = nets.build("photo", N_CLASSES, SMALL["photo"][0]), drawn_set()
		for mode in (True, False):
			training.top1(net.train(mode), data, 32, torch.device("cpu"))
			self.assertEqual(net.training, mode)
		x = data.x[:10]
		alone = np.concatenate([normalise.features(net, p[None], 32) for p in x])
		np.testing.assert_allclose(normalise.features(net, x, 32), alone, atol=1e-4)

	def test_latents(self):
		options, _ = SMALL["photo"]
		net = nets.build("photo", 3, options)
		checkpoint.save_latents(self.folder / "x.npz", net.state_dict(), "photo", options)
		name, found, state = checkpoint.read_latents(self.folder / "x.npz")
		self.assertEqual((name, found), ("photo", options))
		other = nets.build("photo", 5, found)
		fc = other.fc.weight.clone()
		self.assertEqual(checkpoint.continue_from(other, found, state), ["fc.bias", "fc.weight"])
		self.assertTrue(torch.equal(other.fc.weight, fc))
		for (key, a), b in zip(net.named_parameters(), other.parameters(), strict=True):
			if not key.startswith("fc."):
				self.assertLess((a - b).abs().max().item(), 1e-2)
				self.assertTrue(torch.equal(a >= 0, b >= 0))
		with self.assertRaises(SystemExit):
			checkpoint.continue_from(nets.build("photo", 3, {**options, "stem": 16}), options, state)
		with self.assertRaises(SystemExit):
			checkpoint.continue_from(nets.build("quicknet", 3, SMALL["quicknet"][0]), {}, state)

	def test_grows(self):
		"""Further layers change nothing at first, and then learn."""
		run = run_of(
			self.folder / "few",
			"--epochs",
			"2",
			"--sides",
			"1:32",
			"--options",
			'{"channels": [8, 16], "layers": [1, 2]}',
			"--save-latent",
			str(self.folder / "few.npz"),
		)
		run.go(lambda: False)
		state, x = run.net.state_dict(), drawn_set().x[:20]
		more = {"channels": [8, 16], "layers": [3, 4]}
		grown = nets.build("photo", N_CLASSES, more)
		checkpoint.continue_from(grown, run.a.options, state)
		np.testing.assert_array_equal(
			normalise.features(grown.eval(), x, 32), normalise.features(run.net.eval(), x, 32)
		)
		checkpoint.save_latents(self.folder / "few.npz", state, "photo", run.a.options)
		run = run_of(
			self.folder / "more",
			"--epochs",
			"2",
			"--sides",
			"1:32",
			"--options",
			json.dumps(more),
			"--init",
			str(self.folder / "few.npz"),
		)
		run.go(lambda: False)
		self.assertGreater(min(run.net.body[i].bn.weight.abs().max() for i in (1, 2, 6, 7)), 1e-3)
		back = nets.build("photo", N_CLASSES, {**more, "layers": [1, 2]})
		checkpoint.continue_from(back, more, run.net.state_dict())
		self.assertTrue(torch.equal(back.body[3].w, run.net.body[5].w))  # the last that is left, of the second stage
		with self.assertRaisesRegex(SystemExit, "other stages"):
			checkpoint.continue_from(nets.build("photo", N_CLASSES, {}), more, run.net.state_dict())

	def test_pool_of_odd_sides(self):
		pool, x = nets.EarlyPool(), torch.arange(36.0).reshape(1, 1, 6, 6)
		self.assertTrue(torch.equal(pool(x), F.avg_pool2d(x, 2)))
		x = x[:, :, :3, :3]
		self.assertEqual(
			pool(x).flatten().tolist(), [x[0, 0, i : i + 2, j : j + 2].mean() for i in (0, 1) for j in (0, 1)]
		)

	def test_last_side(self):
		"""Refused before the training, not after it by export."""
		with self.assertRaisesRegex(SystemExit, "multiples of 32"):
			run_of(self.folder, "--sides", "0.5:64,1:48", "--options", json.dumps(SMALL["photo early pool"][0]))

	def made_up_teacher(self, name, y):
		"""A folder as teacher.py makes it, whose embeddings are of the classes y."""
		folder, rng = self.folder / name, np.random.default_rng(0)
		folder.mkdir()
		of_class = rng.normal(0, 1, (N_CLASSES, teacher.EMBEDDING)).astype(np.float16)
		np.save(folder / teacher.VIEWS, teacher.fixed_views(2, len(y)))
		np.save(folder / teacher.KEPT, np.stack([of_class[y]] * 2))
		np.savez(
			folder / teacher.CLASSIFIER, w=rng.normal(0, 0.05, (7, teacher.EMBEDDING)).astype("f4"), b=np.zeros(7, "f4")
		)
		return folder

	def test_more_pictures(self):
		"""Pictures without classes beside those with: the teacher's embeddings stay with their pictures."""
		data, more = drawn_set(), drawn_set(seed=5)
		(self.folder / "more").mkdir()
		np.save(self.folder / "more" / "train_x.npy", more.x)
		caches = self.made_up_teacher("a", data.y), self.made_up_teacher("b", more.y)
		run = run_of(
			self.folder / "run",
			"--epochs",
			"2",
			"--sides",
			"1:32",
			"--teacher",
			str(caches[0]),
			"--also",
			f"{self.folder / 'more'}:{caches[1]}",
			"--blur",
			"0.5",
			"--sharpen",
			"0.5",
			"--options",
			'{"channels": [8, 16], "layers": [1, 1]}',
			data=data,
		)
		self.assertEqual(len(run.store.data), len(data) + len(more))
		index = np.array([len(data) + 3, 2, len(data)])
		groups, y = run.store.batch(index)
		self.assertEqual(y.tolist(), [pictures.NO_CLASS, data.y[2], pictures.NO_CLASS])
		self.assertEqual([where.tolist() for where, _ in groups], [[1], [0, 2]])
		for (_, x), part in zip(groups, (data.x[[2]], more.x[[3, 0]]), strict=True):
			np.testing.assert_array_equal(x.permute(0, 2, 3, 1).numpy(), part)
		kept = [np.load(c / teacher.KEPT)[1] for c in caches]
		np.testing.assert_array_equal(
			run.teacher.view(1, index, "cpu")[1].numpy(), np.stack([kept[1][3], kept[0][2], kept[1][0]])
		)
		losses = [run.one_step() for _ in range(run.steps)]
		self.assertTrue(np.isfinite(losses).all())
		with self.assertRaises(SystemExit):
			train.check(train.arguments(["x", "y", "--also", "a:b"]))

	def test_leaves_out_near(self):
		"""Copies of held-out pictures are found by their embeddings; pictures and embeddings go together."""
		rng, more = np.random.default_rng(3), drawn_set(seed=5)
		held_out = rng.normal(2, 1, (30, teacher.EMBEDDING)).astype("f4")
		made = rng.normal(2, 1, (len(more), teacher.EMBEDDING)).astype(np.float16)
		made[[4, 9]] = held_out[[7, 0]] + rng.normal(0, 0.2, (2, teacher.EMBEDDING))
		self.assertEqual(np.flatnonzero(leave_out_near.nearest(made, held_out) > 0.8).tolist(), [4, 9])
		folder, cache = self.folder / "more", self.made_up_teacher("cache", more.y)
		folder.mkdir()
		np.save(folder / "train_x.npy", more.x)
		index = np.flatnonzero(~np.isin(np.arange(len(more)), [4, 9]))
		leave_out_near.leave_out(folder, cache, self.folder / "out", self.folder / "out-cache", index)
		np.testing.assert_array_equal(np.load(self.folder / "out" / "train_x.npy")[4], more.x[5])
		left = teacher.Teacher([self.folder / "out-cache"], [pictures.unlabelled(self.folder / "out")], 8)
		np.testing.assert_array_equal(left.view(1, np.array([4]), "cpu")[1][0], np.load(cache / teacher.KEPT)[1][5])

	def test_sides_together(self):
		"""Pictures of two sides in one batch: each is cut from its own pixels, and stands in its place."""
		small, large = drawn_set(), drawn_set(seed=5)
		large = pictures.Pictures(large.x.repeat(2, 1).repeat(2, 2), np.full(len(large), pictures.NO_CLASS), [])
		store = training.Store(pictures.joined([small, large]), torch.device("cpu"))
		groups, _ = store.batch(np.array([len(small) + 1, 3, 0]))
		made = augment.cut_groups(groups, torch.tensor([augment.WHOLE] * 3, dtype=torch.float32), STORED)
		made = made.permute(0, 2, 3, 1).numpy()
		np.testing.assert_allclose(made[1:], small.x[[3, 0]], atol=0.1)
		halved = pictures.squares(large.x, STORED).astype("f4")
		self.assertEqual(abs(made[0] - halved).mean((1, 2, 3)).argmin(), 1)
		self.assertIs(pictures.joined([small]), small)

	def test_own_classes(self):
		"""The teacher's word on the pictures' own classes: fitted, kept, and mixed with the label."""
		data = drawn_set()
		folder = self.made_up_teacher("teacher", data.y)
		more = (
			"--epochs",
			"8",
			"--sides",
			"1:32",
			"--teacher",
			str(folder),
			"--options",
			'{"channels": [8, 16], "layers": [1, 1]}',
		)
		run = run_of(self.folder / "none", *more)
		logits, y = torch.randn(6, N_CLASSES), torch.tensor([0, 1, pictures.NO_CLASS, 2, 3, pictures.NO_CLASS])
		self.assertFalse(run.teacher.has_own)
		smooth = F.cross_entropy(
			logits, y, label_smoothing=teacher.SMOOTH_BESIDE_TEACHER, ignore_index=pictures.NO_CLASS
		)
		self.assertAlmostEqual(
			run.teacher.class_loss(logits, y, None).item(), teacher.CE_BESIDE_TEACHER * smooth.item(), 4
		)
		teacher.add_own(folder, data, torch.device("cpu"))
		made = teacher.Teacher([folder], [data], 8)
		kept = np.load(folder / teacher.KEPT).astype("f4")
		aim = made.own_aim(torch.from_numpy(kept[1]))
		self.assertEqual(aim.shape, (len(data), N_CLASSES))
		self.assertTrue((aim.argmax(1).numpy() == data.y).all())
		run = run_of(self.folder / "run", *more)
		rows = torch.from_numpy(kept[0][:6])
		own = F.one_hot(y.clamp(min=0), N_CLASSES) * teacher.LABEL_SHARE + (1 - teacher.LABEL_SHARE) * made.own_aim(
			rows
		)
		each = -(own * F.log_softmax(logits, 1)).sum(1)[y >= 0]
		self.assertAlmostEqual(
			run.teacher.class_loss(logits, y, rows).item(), teacher.OWN_BESIDE_TEACHER * each.mean().item(), 4
		)
		losses = [run.one_step() for _ in range(run.steps)]
		self.assertLess(np.mean(losses[-6:]), 0.8 * np.mean(losses[:6]))
		own = np.load(folder / teacher.OWN)
		np.savez(folder / teacher.OWN, w=own["w"][:2], b=own["b"][:2])
		with self.assertRaisesRegex(SystemExit, "knows 2 classes, there are 4"):
			run_of(self.folder / "other", "--teacher", str(folder))
		other = pictures.Pictures(data.x, np.full(len(data), pictures.NO_CLASS), [])
		teacher.add_own(self.made_up_teacher("unlabelled", data.y), other, torch.device("cpu"))
		self.assertFalse((self.folder / "unlabelled" / teacher.OWN).exists())

	def test_detail(self):
		torch.manual_seed(0)
		x = torch.rand(8, 3, 32, 32) * 255
		made = augment.detail(x, 0.5, 0.5)

		def rough(p):
			return (p[..., 1:] - p[..., :-1]).abs().mean((1, 2, 3))

		self.assertTrue((rough(made[:4]) < 0.9 * rough(x[:4])).all())
		self.assertTrue((rough(made[4:6]) > rough(x[4:6])).all())
		self.assertTrue(torch.equal(made[6:], x[6:]))
		self.assertTrue(torch.equal(augment.detail(x, 0.0, 0.0), x))

	def test_teacher(self):
		"""A made-up teacher: views and embeddings are used, and its loss falls."""
		data = drawn_set()
		folder = self.made_up_teacher("teacher", data.y)
		run = run_of(
			self.folder / "run",
			"--epochs",
			"8",
			"--sides",
			"1:32",
			"--teacher",
			str(folder),
			"--options",
			'{"channels": [8, 16], "layers": [1, 1]}',
		)
		losses = [run.one_step() for _ in range(run.steps)]
		self.assertLess(np.mean(losses[-6:]), 0.7 * np.mean(losses[:6]))
		with self.assertRaises(SystemExit):
			run_of(self.folder / "run2", "--teacher", str(folder), data=data.spread(50))
		teacher.say_of(folder, data)
		run_of(self.folder / "run3", "--teacher", str(folder))
		with self.assertRaisesRegex(SystemExit, "of other pictures"):  # as many, but others
			run_of(self.folder / "run4", "--teacher", str(folder), data=drawn_set(seed=8))
		with self.assertRaisesRegex(SystemExit, "of other pictures"):
			teacher.say_of(folder, drawn_set(seed=8))

	def test_whole_from(self):
		"""At the end pictures are seen as they will be asked about: the teacher's whole view, and most of it."""
		data = drawn_set()
		folder = self.made_up_teacher("teacher", data.y)
		for beside, area in ((["--teacher", str(folder)], training.AREA_IN_VIEW), ([], training.AREA)):
			run = run_of(
				self.folder / f"run{area}",
				"--epochs",
				"4",
				"--sides",
				"1:32",
				"--whole-from",
				"0.5",
				"--options",
				'{"channels": [8, 16], "layers": [1, 1]}',
				*beside,
			)
			shown = []
			while run.step < run.steps:
				shown.append(run.shown())
				run.one_step()
			half = run.steps // 2
			self.assertEqual({least for _, least in shown[:half]}, {area})
			self.assertEqual({view for view, _ in shown[:half]}, {0, 1} if beside else {training.WHOLE_VIEW})
			self.assertEqual(set(shown[half:]), {(training.WHOLE_VIEW, training.AREA_WHOLE)})

	def test_whitening(self):
		rng = np.random.default_rng(0)
		y = np.repeat(np.arange(8), 400)
		spread = rng.normal(0, 1, (16, 16))
		raw = (rng.normal(0, 3, (8, 16))[y] + rng.normal(0, 1, (len(y), 16)) @ spread).astype("f4")
		mean, matrix = normalise.whitening(raw, y, root=False, shrink=0.0)
		np.testing.assert_allclose(normalise.within_scatter((raw - mean) @ matrix, y), np.eye(16), atol=1e-6)
		h = normalise.normalise(raw, mean, matrix, False)
		np.testing.assert_allclose(np.linalg.norm(h, axis=1), 1)
		chosen, rest = normalise.few(y, 20)
		found = normalise.heads(h[chosen], y[chosen], h[rest], y[rest], normalise.prior_covariance(h, y))
		self.assertGreater(min(found.values()), 0.9)


class Engine(unittest.TestCase):
	def test_features(self):
		torch.set_num_threads(1)
		data = drawn_set(side=64)
		program = os.environ.get("BNND_FEATURES")
		for name, (options, side) in SMALL.items():
			with self.subTest(name), tempfile.TemporaryDirectory() as folder:
				run = run_of(
					pathlib.Path(folder),
					"--net",
					name.split()[0],
					"--epochs",
					"3",
					"--sides",
					f"1:{side}",
					"--options",
					json.dumps(options),
					data=data,
				)
				run.go(lambda: False)
				self.compare(run.net.eval(), side, data, pathlib.Path(folder) / "x.bnn", program)

	def compare(self, net, side, data, path, program):
		x = pictures.squares(data.x, side)
		raw = normalise.features(net, x, side)
		mean, matrix = (v.astype("f4") for v in normalise.whitening(raw, data.y, net.root))
		covariance = normalise.prior_covariance(normalise.normalise(raw, mean, matrix, net.root), data.y)
		write(path, export.build_model(net, side, mean, matrix, covariance, "x"))
		some = x[::6]
		right = normalise.normalise(
			normalise.features(net.double(), some, side, torch.double), mean.astype("f8"), matrix.astype("f8"), net.root
		)
		made = {"double": Evaluator(read(path)).run(some), "exact": Evaluator(read(path), "exact").run(some[:2])}
		if program:
			made["engine"] = engine_features(program, path, some)
			self.assertTrue(np.array_equal(made["engine"][:2].view("u4"), made["exact"].view("u4")))
		for what, h in made.items():
			cosine = (h * right[: len(h)]).sum(1) / np.linalg.norm(h, axis=1)
			self.assertGreaterEqual(cosine.min(), COSINE, what)


if __name__ == "__main__":
	unittest.main(verbosity=2)
