# SPDX-License-Identifier: MIT
"""Labelled pictures from a folder of class folders, CIFAR files, or npy files. All squares of bytes, N x S x S x 3.

  FOLDER/CLASS/*.jpg                        a class a folder; FOLDER/train/CLASS and FOLDER/val/CLASS where both are there
  FOLDER/{train,val}_{x,y}.npy              as prepare_tiny_imagenet.py writes them; classes.txt may name the classes
  FOLDER/train_x.npy                        without classes, for a teacher to speak about
  FILE.bin, FILE.bin.xz                     CIFAR-10 or CIFAR-100 (fine labels) as their authors pack them

What has no held-out part of its own gets one: of each class the pictures whose digest falls into a share of all digests.
So a picture stays on its side when others are added, and copies of one lie on one side. Pictures of a folder are turned
upright (EXIF), cropped to their centre square and reduced once; folders.py says which files count.
"""

import functools
import hashlib
import lzma
import pathlib

import numpy as np
import torch
from PIL import Image

from tools.train import folders

CIFAR_SIDE = 32
CIFAR_LABELS = {1: 10, 2: 100}  # bytes a label, classes
NO_CLASS = -1
CLASSES_LEAST = 2
KEY_RANGE = 2.0 ** (8 * folders.KEY_BYTES)


class Pictures:
	"""x: bytes N x S x S x 3 (may be mapped from a file); y: class numbers; classes: their names; named: whether these
	were given with the pictures."""

	def __init__(self, x, y, classes, keys=None, named=False):
		self.x, self.y, self.classes, self.named = x, np.asarray(y, np.int64), list(classes), named
		if keys is not None:
			self.keys = keys

	@functools.cached_property
	def keys(self):
		"""A digest of each picture: of its file, or of its bytes."""
		parts = self.x.parts if isinstance(self.x, Rows) else [self.x]
		return np.array([folders.key_of(np.ascontiguousarray(p)) for part in parts for p in part], np.uint64)

	def __len__(self):
		return len(self.y)

	def some(self, index):
		keys = self.__dict__.get("keys")
		return Pictures(self.x[index], self.y[index], self.classes, None if keys is None else keys[index], self.named)

	def spread(self, n):
		"""At most n of them, evenly spaced."""
		if len(self) <= n:
			return self
		return self.some(np.linspace(0, len(self) - 1, n).astype(int))

	def fingerprint(self):
		"""The same for the same pictures of the same classes in the same order, at whatever side."""
		digest = hashlib.sha256(self.keys.tobytes() + self.y.tobytes())
		return digest.hexdigest()[:16]

	def words(self):
		return f"{len(self)} ({self.fingerprint()})"


def batches(x, n):
	"""At most n of them at a time."""
	return (x[i : i + n] for i in range(0, len(x), n))


def squares(x, side):
	"""N x S x S x 3 to the networks' side by Pillow's BILINEAR, as lib/image does it."""
	if x.shape[1] == side:
		return np.ascontiguousarray(x)
	return np.stack([np.asarray(Image.fromarray(p).resize((side, side), Image.BILINEAR)) for p in x])


def tensor(x, device, dtype=torch.float32):
	"""Bytes N x S x S x 3 -> numbers 0..255, N x 3 x S x S."""
	return torch.from_numpy(np.array(x)).to(device).permute(0, 3, 1, 2).to(dtype)


# --- folders ---------------------------------------------------------------------------------------------------------


def parts_of(folder):
	"""The folders of classes: folder/train and folder/val, or folder itself."""
	parts = [folder / "train", folder / "val"]
	if not all(p.is_dir() for p in parts):
		return [folder]
	beside = [p.name for p in folders.class_folders(folder) if p not in parts]
	if beside:
		print(f"passed over: {folder} has train and val, so {', '.join(beside)} beside them are no classes")
	return parts


def load_folder(folder, side, held_out, cache):
	parts, made = parts_of(folder), []
	for part in parts:
		files, other = folders.class_files(part)
		folders.say_kinds(other)
		if not files:
			raise SystemExit(f"{part}: no class folders with pictures ({', '.join(folders.SUFFIXES)})")
		x, keys, index, unreadable = folders.decode([path for path, _ in files], side, cache)
		folders.say_unreadable(unreadable)
		if not len(x):
			raise SystemExit(f"{part}: none of its {len(files)} pictures can be read")
		say_empty(part, {files[i][1] for i in index})
		made.append((x, keys, [files[i][1] for i in index]))
	classes = sorted(set(made[0][2]))
	alone = sorted(set(made[-1][2]) - set(classes))
	if alone:
		raise SystemExit(f"{parts[-1]}: the class {alone[0]} has no pictures in {parts[0]}")
	number = {c: i for i, c in enumerate(classes)}
	made = [Pictures(x, [number[c] for c in names], classes, keys, named=True) for x, keys, names in made]
	return made if len(made) == 2 else split(made[0], held_out)


def say_empty(folder, classes):
	for sub in folders.class_folders(folder):
		if sub.name not in classes:
			print(f"passed over: {sub} has no picture that can be read")


# --- arrays ----------------------------------------------------------------------------------------------------------


def load_cifar(path):
	try:
		with (lzma.open if path.suffix == ".xz" else open)(path, "rb") as f:
			raw = f.read()
	except (lzma.LZMAError, EOFError) as e:
		raise SystemExit(f"{path}: cannot be unpacked: {e}") from None
	plane = CIFAR_SIDE * CIFAR_SIDE
	labels = next((n for n in CIFAR_LABELS if raw and len(raw) % (n + 3 * plane) == 0), None)
	rows = np.frombuffer(raw, np.uint8).reshape(-1, labels + 3 * plane) if labels else None
	if labels is None or rows[:, labels - 1].max() >= CIFAR_LABELS[labels]:
		raise SystemExit(f"{path}: not a CIFAR file; pictures lie in folders, FOLDER/CLASS/*.jpg")
	x = rows[:, labels:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE).transpose(0, 2, 3, 1)
	y = rows[:, labels - 1]
	return Pictures(np.ascontiguousarray(x), y, [str(i) for i in range(int(y.max()) + 1)])


def array(path, mapped=False):
	if not path.is_file():
		raise SystemExit(f"{path}: no such file")
	try:
		return np.load(path, mmap_mode="r" if mapped else None)
	except (ValueError, EOFError) as e:
		raise SystemExit(f"{path}: not a npy file: {e}") from None


def squares_of_file(path):
	x = array(path, mapped=True)
	if x.ndim != 4 or x.shape[1] != x.shape[2] or x.shape[3] != 3 or x.dtype != np.uint8 or not len(x):
		raise SystemExit(f"{path}: not bytes N x S x S x 3")
	return x


def load_npy(folder):
	parts = []
	for part in ("train", "val"):
		x, y = squares_of_file(folder / f"{part}_x.npy"), array(folder / f"{part}_y.npy")
		if y.shape != (len(x),) or y.dtype.kind not in "iu" or y.min() < 0:
			raise SystemExit(f"{folder}/{part}_y.npy: not {len(x)} class numbers")
		parts.append((x, y))
	names = folder / "classes.txt"
	n = max(int(y.max()) for _, y in parts) + 1
	classes = names.read_text().split("\n")[:n] if names.exists() else [str(i) for i in range(n)]
	return [Pictures(x, y, classes, named=names.exists()) for x, y in parts]


def split(pictures, share):
	"""(the rest, a share of each class), by the pictures' digests: at least one is held out where a class has two, and
	one is left."""
	mask = pictures.keys < share * KEY_RANGE
	for c in range(len(pictures.classes)):
		index = np.flatnonzero(pictures.y == c)
		if len(index) < 2:
			mask[index] = False
		elif not mask[index].any():
			mask[index[pictures.keys[index].argmin()]] = True
		elif mask[index].all():
			mask[index[pictures.keys[index].argmax()]] = False
	return pictures.some(np.flatnonzero(~mask)), pictures.some(np.flatnonzero(mask))


def unlabelled(folder):
	x = squares_of_file(pathlib.Path(folder) / "train_x.npy")
	return Pictures(x, np.full(len(x), NO_CLASS), [])


def training_part(source, side, held_out, cache):
	"""As load()'s first, or the pictures of a folder without classes."""
	folder = pathlib.Path(source)
	if (folder / "train_x.npy").exists() and not (folder / "train_y.npy").exists():
		return unlabelled(folder)
	return load(source, side, held_out, cache)[0]


class Rows:
	"""Arrays, one after the other, as one; rows are taken out of it where those of all are of one shape."""

	def __init__(self, parts):
		self.parts, self.starts = parts, np.cumsum([0] + [len(p) for p in parts])

	def __len__(self):
		return int(self.starts[-1])

	def touched(self, index):
		"""Of each part that index touches: its number, the places in index, and its own rows there."""
		for i, (part, start) in enumerate(zip(self.parts, self.starts[:-1], strict=True)):
			places = np.flatnonzero((index >= start) & (index < start + len(part)))
			if len(places):
				yield i, places, index[places] - start

	def __getitem__(self, index):
		out = np.empty((len(index), *self.parts[0].shape[1:]), self.parts[0].dtype)
		for i, places, rows in self.touched(index):
			out[places] = self.parts[i][rows]
		return out


def joined(parts):
	"""Pictures after pictures, with the classes of the first. Their sides may differ."""
	if len(parts) == 1:
		return parts[0]
	return Pictures(
		Rows([p.x for p in parts]), np.concatenate([p.y for p in parts]), parts[0].classes, named=parts[0].named
	)


def whole(parts):
	"""Both parts of a data set as one."""
	return Pictures(
		np.concatenate([p.x for p in parts]),
		np.concatenate([p.y for p in parts]),
		parts[0].classes,
		np.concatenate([p.keys for p in parts]),
		parts[0].named,
	)


def has_held_out(source):
	"""Whether a held-out part comes with the pictures."""
	source = pathlib.Path(source)
	return (source / "val_x.npy").exists() or all((source / p).is_dir() for p in ("train", "val"))


def load(source, side, held_out=0.1, cache="."):
	"""(training part, held-out part). side: to which the pictures of folders are reduced; others stay as they are."""
	source = pathlib.Path(source)
	if source.is_file():
		return split(load_cifar(source), held_out)
	if (source / "train_x.npy").exists():
		return load_npy(source)
	if source.is_dir():
		return load_folder(source, side, held_out, cache)
	raise SystemExit(f"{source}: no such folder or file")
