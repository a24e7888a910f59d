# SPDX-License-Identifier: MIT
"""Tiny-ImageNet (64 x 64, 200 classes) to train_x, train_y, val_x, val_y.npy, bytes N x 64 x 64 x 3 and class numbers.

  python3 -m tools.train.prepare_tiny_imagenet SOURCE OUT

SOURCE is an unpacked tiny-imagenet-200 folder, or a git directory that has one in its tree (the public repository
seshuad/IMagenet: git clone --bare). The order is that of the names, so the same source gives the same bytes. The
pictures are ImageNet's, for non-commercial research: keep them out of every repository.
"""

from tools.train import command

if __name__ == "__main__":
	command.begin("numpy", "PIL")

import io
import pathlib
import sys

import numpy as np
from PIL import Image

from tools.git_tree import GitTree, NoTree

SIDE = 64
ROOT = "tiny-imagenet-200/"
ANNOTATIONS = "val/val_annotations.txt"


class Folder:
	"""The files of an unpacked archive."""

	def __init__(self, path):
		self.root = path if (path / "train").is_dir() else path / ROOT
		self.names = sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())

	def read(self, names):
		for name in names:
			yield (self.root / name).read_bytes()


def label_lists(source):
	"""{'train': ([name], [class]), 'val': ...} and the classes' names."""
	train = [n for n in source.names if n.startswith("train/") and n.endswith(".JPEG")]
	classes = sorted({n.split("/")[1] for n in train})
	number = {c: i for i, c in enumerate(classes)}
	notes = next(iter(source.read([ANNOTATIONS]))).decode().splitlines()
	of_picture = {line.split("\t")[0]: number[line.split("\t")[1]] for line in notes if line.strip()}
	val = [n for n in source.names if n.startswith("val/images/") and n.endswith(".JPEG")]
	return {
		"train": (train, [number[n.split("/")[1]] for n in train]),
		"val": (val, [of_picture[n.split("/")[-1]] for n in val]),
	}, classes


def open_source(path):
	if (path / "train").is_dir() or (path / ROOT).is_dir():
		return Folder(path)
	try:
		return GitTree(path, below=ROOT)
	except NoTree:
		raise SystemExit(f"{path}: neither an unpacked {ROOT} nor a git directory that can be read") from None


def main(path, out):
	path, out = pathlib.Path(path), pathlib.Path(out)
	if not path.is_dir():
		raise SystemExit(f"{path}: no such folder")
	source = open_source(path)
	if ANNOTATIONS not in source.names or not any(n.startswith("train/") for n in source.names):
		raise SystemExit(f"{path}: no {ROOT} with train and {ANNOTATIONS} in it")
	parts, classes = label_lists(source)
	out.mkdir(parents=True, exist_ok=True)
	for part, (names, labels) in parts.items():
		x = np.zeros((len(names), SIDE, SIDE, 3), np.uint8)
		for i, body in enumerate(source.read(names)):
			x[i] = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))
		np.save(out / f"{part}_x.npy", x)
		np.save(out / f"{part}_y.npy", np.array(labels, np.int64))
		print(f"{part}: {len(x)} pictures of {len(set(labels))} classes")
	(out / "classes.txt").write_text("\n".join(classes) + "\n")


if __name__ == "__main__":
	if len(sys.argv) != 3:
		sys.exit(__doc__)
	command.run(lambda: main(*sys.argv[1:]))
