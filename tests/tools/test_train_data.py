# SPDX-License-Identifier: MIT
"""Tests of the pictures of tools/train: python3 -m tests.tools.test_train_data [CLASS]. Skips (77) where torch is not there.

Data      folders, CIFAR files and npy pairs; the held-out part; views; what is passed over and said
"""

import contextlib
import io
import lzma
import pathlib
import shutil
import tempfile
import unittest

import numpy as np
from PIL import Image

from tests.tools.drawn import STORED, drawn_set, torch, write_folder
from tools.train import augment, folders, pictures, prepare_pictures, prepare_tiny_imagenet, teacher


class Data(unittest.TestCase):
	def setUp(self):
		temporary = tempfile.TemporaryDirectory()
		self.addCleanup(temporary.cleanup)
		self.folder = pathlib.Path(temporary.name)

	def test_folder(self):
		data = drawn_set()
		write_folder(self.folder / "p", data)
		kept, held = pictures.load(self.folder / "p", STORED, 0.25, self.folder)
		self.assertEqual(len(kept) + len(held), 96)
		self.assertTrue(10 < len(held) < 40)
		self.assertEqual(set(held.y), set(range(4)))
		self.assertEqual(kept.classes, data.classes)
		both = np.concatenate([kept.x, held.x])
		self.assertEqual({p.tobytes() for p in both}, {p.tobytes() for p in data.x})
		again = pictures.load(self.folder / "p", STORED, 0.25, self.folder)[1]
		np.testing.assert_array_equal(again.x, held.x)
		self.assertEqual(len(list(self.folder.glob("pictures-*.npy"))), 1)
		Image.fromarray(data.x[0]).save(self.folder / "p" / "class0" / "new.png")
		self.assertEqual(sum(map(len, pictures.load(self.folder / "p", STORED, 0.25, self.folder))), 97)

	def test_split_is_stable(self):
		"""Pictures that are added, at whatever side all are kept, move none of the others; copies lie on one side."""
		data = drawn_set()
		write_folder(self.folder / "p", data)
		before = pictures.load(self.folder / "p", STORED, 0.25, self.folder)
		more = drawn_set(seed=9)
		for i, x in enumerate(more.x):
			Image.fromarray(x).save(self.folder / "p" / more.classes[more.y[i]] / f"000-{i}.png")
		shutil.copy(self.folder / "p" / "class0" / "003.png", self.folder / "p" / "class0" / "copy.png")
		after = pictures.load(self.folder / "p", STORED // 2, 0.25, self.folder)
		self.assertEqual(sum(map(len, after)), 2 * len(data) + 1)
		for was, others in zip(before, reversed(after), strict=True):
			self.assertFalse(set(was.keys) & set(others.keys))
		self.assertFalse(set(after[0].keys) & set(after[1].keys))

	def test_split_of_few(self):
		"""A class of two is on both sides, one of one is trained on; the share is roughly what was asked for."""
		rng = np.random.default_rng(0)
		for _ in range(50):
			keys = rng.integers(0, 2**63, 1003).astype(np.uint64) * 2
			data = pictures.Pictures(np.zeros((1003, 1, 1, 3), np.uint8), [0] * 2 + [1] + [2] * 1000, "abc", keys)
			kept, held = pictures.split(data, 0.1)
			self.assertEqual(np.bincount(kept.y)[:2].tolist(), [1, 1])
			self.assertEqual((held.y == 0).sum(), 1)
			self.assertTrue(60 < (held.y == 2).sum() < 140)

	def test_passed_over(self):
		"""What is left behind by others is no class and no picture; what is not read is said."""
		data = drawn_set(n_each=6)
		root = self.folder / "p"
		write_folder(root, data)
		for name in (".thumbnails/a.png", "__MACOSX/a.png", "class0/@eaDir/a.png", "class0/.x/a.png", "class0/._a.jpg"):
			(root / name).parent.mkdir(parents=True, exist_ok=True)
			(root / name).write_bytes(
				(root / "class0" / "000.png").read_bytes() if name.endswith("png") else b"\0" * 82
			)
		(root / "loose.jpg").write_bytes(b"x")
		(root / "phone").mkdir()
		for i in range(3):
			(root / "phone" / f"{i}.HEIC").write_bytes(b"heic")
		whole = (root / "class1" / "007.png").read_bytes()
		for name, body in (("cut.png", whole[: len(whole) // 2]), ("no.jpg", b"not a picture"), ("empty.webp", b"")):
			(root / "class1" / name).write_bytes(body)
		(root / "class1" / "folder.jpg").mkdir()
		for _ in range(2):  # read, then from the cache
			said = io.StringIO()
			with contextlib.redirect_stdout(said):
				parts = pictures.load(root, STORED, 0.25, self.folder)
			self.assertEqual(parts[0].classes, data.classes)
			self.assertEqual({p.tobytes() for p in pictures.whole(parts).x}, {p.tobytes() for p in data.x})
			lines = said.getvalue().splitlines()
			self.assertEqual(len(lines), 6, lines)
			for words in (
				"3 .heic",
				"1 .jpg (no picture of a class)",
				"class1/cut.png",
				"class1/empty.webp",
				"class1/no.jpg: cannot identify image file",
				"phone has no picture that can be read",
			):
				self.assertEqual(sum(words in line for line in lines), 1, words)
			self.assertNotIn("'it'", said.getvalue())

	def test_many_unreadable(self):
		write_folder(self.folder / "p", drawn_set(n_each=3))
		for i in range(50):
			(self.folder / "p" / "class0" / f"bad{i}.jpg").write_bytes(b"bad")
		said = io.StringIO()
		with contextlib.redirect_stdout(said):
			self.assertEqual(sum(map(len, pictures.load(self.folder / "p", STORED, 0.25, self.folder))), 12)
		self.assertEqual(len(said.getvalue().splitlines()), folders.SAID_MOST + 1)
		self.assertIn("and 30 more", said.getvalue())

	def test_parts_that_do_not_fit(self):
		data = drawn_set(n_each=3)
		write_folder(self.folder / "train", data.some(np.flatnonzero(data.y < 3)))
		write_folder(self.folder / "val", data)
		with self.assertRaisesRegex(SystemExit, "class3 has no pictures in"):
			pictures.load(self.folder, STORED, 0.1, self.folder)
		shutil.rmtree(self.folder / "val" / "class3")
		(self.folder / "class9").mkdir()
		said = io.StringIO()
		with contextlib.redirect_stdout(said):
			pictures.load(self.folder, STORED, 0.1, self.folder)
		self.assertIn("class9 beside them are no classes", said.getvalue())
		shutil.rmtree(self.folder / "train")
		(self.folder / "train").mkdir()
		with self.assertRaisesRegex(SystemExit, "no class folders"):
			pictures.load(self.folder, STORED, 0.1, self.folder)

	def test_folder_with_parts(self):
		data = drawn_set()
		write_folder(self.folder / "train", data)
		write_folder(self.folder / "val", data.some(np.arange(90, 96)))
		kept, held = pictures.load(self.folder, STORED, 0.25, self.folder)
		self.assertEqual((len(kept), len(held)), (96, 6))
		self.assertEqual(set(held.y), {3})

	def test_picture_is_upright_and_central(self):
		wide = np.zeros((40, 80, 3), np.uint8)
		wide[:, :20], wide[:, 60:] = (255, 0, 0), (0, 0, 255)
		image = Image.fromarray(wide)
		exif = image.getexif()
		exif[0x0112] = 3  # turned by half
		(self.folder / "a").mkdir()
		image.save(self.folder / "a" / "x.png", exif=exif)
		square = folders.open_square(self.folder / "a" / "x.png", 40)
		self.assertEqual(square.shape, (40, 40, 3))
		self.assertEqual(square.max(), 0)
		wide[:, 40:] = (0, 255, 0)
		Image.fromarray(wide).save(self.folder / "a" / "y.png", exif=exif)
		self.assertGreater(folders.open_square(self.folder / "a" / "y.png", 40)[20, 5, 1], 200)

	def test_prepare(self):
		(self.folder / "p" / "a").mkdir(parents=True)
		(self.folder / "p" / "b").mkdir()
		long = np.zeros((64, 128, 3), np.uint8)
		long[:, 64:] = 255
		Image.fromarray(long).save(self.folder / "p" / "a" / "long.png")
		Image.fromarray(long[:, :64]).save(self.folder / "p" / "b" / "square.png")
		Image.fromarray(long[:40, :40]).save(self.folder / "p" / "a" / "small.png")
		(self.folder / "p" / "a" / "broken.jpg").write_bytes(b"not a picture")
		(self.folder / "names").write_text("b\n")
		for more, means in (((), [0, 255, 0]), (("--leave-out", str(self.folder / "names")), [0, 255])):
			prepare_pictures.main([str(self.folder / "out"), str(self.folder / "p"), "--side", "32", *more])
			made = pictures.unlabelled(self.folder / "out")
			self.assertEqual(made.x.shape[1:], (32, 32, 3))
			np.testing.assert_allclose(made.x.mean((1, 2, 3)), means, atol=2)  # the ends meet in one pixel
		with self.assertRaisesRegex(SystemExit, "no pictures"):
			prepare_pictures.main([str(self.folder / "out"), str(self.folder / "out")])

	def test_tiny_imagenet(self):
		root = self.folder / "tiny-imagenet-200"
		for name in ("train/n1/images/a.JPEG", "train/n2/images/b.JPEG", "val/images/v.JPEG"):
			(root / name).parent.mkdir(parents=True, exist_ok=True)
			Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(root / name)
		out = self.folder / "out"
		for source, words in (
			(self.folder / "nothing", "no such folder"),
			(self.folder / "tiny-imagenet-200" / "val", "neither"),
			(root, "no tiny-imagenet-200/ with train and"),
		):
			with self.assertRaisesRegex(SystemExit, words):
				prepare_tiny_imagenet.main(source, out)
		(root / "val" / "val_annotations.txt").write_text("v.JPEG\tn2\t0\t0\t63\t63\n")
		for source in (self.folder, root):
			prepare_tiny_imagenet.main(source, out)
			kept, held = pictures.load(out, STORED)
			self.assertEqual((kept.classes, kept.y.tolist(), held.y.tolist()), (["n1", "n2"], [0, 1], [1]))

	def test_refusals(self):
		with self.assertRaises(SystemExit):
			pictures.load(self.folder / "nothing", STORED)
		(self.folder / "a").mkdir()
		with self.assertRaises(SystemExit):
			pictures.load(self.folder, STORED)
		(self.folder / "a" / "x.jpg").write_bytes(b"not a picture")
		with self.assertRaises(SystemExit):
			pictures.load(self.folder, STORED, 0.1, self.folder)
		row = bytes([200]) + bytes(3072)
		for name, body in (
			("a.bin", bytes(100)),
			("b.bin", b""),
			("c.bin", row),
			("d.bin", bytes([9, 100]) + bytes(3072)),
			("e.bin.xz", lzma.compress(row)[:-9]),
			("f.bin.xz", b"x"),
		):
			(self.folder / name).write_bytes(body)
			with self.assertRaisesRegex(SystemExit, f"{name}.*(not a CIFAR|cannot be unpacked)"):
				pictures.load(self.folder / name, STORED)
		arrays = self.folder / "arrays"
		arrays.mkdir()
		x, y = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 0, 1, 1])
		good = {"train_x": x, "train_y": y, "val_x": x, "val_y": y}
		for bad in (
			{"train_y": None},
			{"val_x": None},
			{"train_x": x[:, :4]},
			{"train_x": x[:0]},
			{"val_y": y[:3]},
			{"val_y": y - 1},
			{"train_y": y * 0.5},
		):
			for name, array in {**good, **bad}.items():
				(arrays / f"{name}.npy").unlink(missing_ok=True)
				if array is not None:
					np.save(arrays / f"{name}.npy", array)
			with self.assertRaisesRegex(SystemExit, next(iter(bad))):
				pictures.load(arrays, STORED)
		(arrays / "train_x.npy").write_bytes(b"no array")
		with self.assertRaisesRegex(SystemExit, "not a npy file"):
			pictures.load(arrays, STORED)

	def test_cifar(self):
		rng = np.random.default_rng(0)
		x, y = rng.integers(0, 256, (20, 32, 32, 3), np.uint8), np.arange(20) % 2
		for labels in (1, 2):
			rows = [bytes([9] * (labels - 1) + [c]) + p.transpose(2, 0, 1).tobytes() for p, c in zip(x, y, strict=True)]
			(self.folder / "c.bin").write_bytes(b"".join(rows))
			found = pictures.load_cifar(self.folder / "c.bin")
			np.testing.assert_array_equal(found.x, x)
			np.testing.assert_array_equal(found.y, y)

	def test_views(self):
		torch.manual_seed(0)
		crop = augment.crops(500, 0.25, "cpu")
		self.assertTrue(((crop[:, :2] > 0.4) & (crop[:, :2] <= 1)).all())
		self.assertTrue((crop[:, 2:].abs() + crop[:, :2] <= 1 + 1e-6).all())
		views = torch.from_numpy(teacher.fixed_views(2, 500))
		self.assertTrue((views[0] == torch.tensor([1.0, 1, 0, 0])).all())
		within = augment.inside(views[1], crop)
		self.assertTrue((within[:, 2:].abs() + within[:, :2] <= 1 + 1e-5).all())
		x = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(1, 3, 1, 1)
		quarter = augment.cut(x, torch.tensor([[0.5, 0.5, 0.5, -0.5]]), 4)  # the upper right quarter
		self.assertTrue(torch.allclose(quarter, x[:, :, :4, 4:], atol=1e-4))


if __name__ == "__main__":
	unittest.main(verbosity=2)
