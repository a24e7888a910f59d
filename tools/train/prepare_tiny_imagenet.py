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
import subprocess
import sys
import threading

import numpy as np
from PIL import Image

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


class Git:
	"""The same files in the tree of a git directory's HEAD, read through one process."""

	def __init__(self, path):
		self.git = ["git", f"--git-dir={path}"]
		try:
			lines = subprocess.check_output(self.git + ["ls-tree", "-r", "HEAD"]).decode().splitlines()
		except (OSError, subprocess.CalledProcessError):
			raise SystemExit(f"{path}: neither an unpacked {ROOT} nor a git directory that can be read") from None
		at = [(line.split("\t")[1], line.split()[2]) for line in lines]
		self.ids = {name[len(ROOT) :]: i for name, i in at if name.startswith(ROOT)}
		self.names = sorted(self.ids)

	def read(self, names):
		process = subprocess.Popen(self.git + ["cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

		def feed():  # beside the reader: a full pipe would stop both
			for name in names:
				process.stdin.write((self.ids[name] + "\n").encode())
			process.stdin.close()

		feeder = threading.Thread(target=feed)
		feeder.start()
		for _ in names:
			size = int(process.stdout.readline().split()[2])
			yield process.stdout.read(size)
			process.stdout.read(1)
		feeder.join()
		process.wait()


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


def main(path, out):
	path, out = pathlib.Path(path), pathlib.Path(out)
	unpacked = (path / "train").is_dir() or (path / ROOT).is_dir()
	if not path.is_dir():
		raise SystemExit(f"{path}: no such folder")
	source = Folder(path) if unpacked else Git(path)
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
