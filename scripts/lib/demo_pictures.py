# SPDX-License-Identifier: MIT
"""The demo's pictures: Fashion-MNIST from its Debian package, or somebody's folder of folders. Seeded: the same pictures
are taught and asked every time, and no picture is both."""

import gzip
import io
import os
import random
import unicodedata

import bnnd
import numpy as np
from PIL import Image, UnidentifiedImageError

SEED = 20
TAUGHT = 20  # pictures a class
ASKED = 100  # pictures a class, unseen
FASHION = "/usr/share/datasets/fashion-mnist"
FASHION_NAMES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
# What somebody's folder may hold beside pictures, without a word.
ENDINGS = (".jpg", ".jpeg", ".png")
# Folders that are no classes: of nothing in particular, or a system's own (client/ctl/file.c has the same).
NO_CLASS = ("none", "(none)", "background", "unknown", "(unknown)")
OF_SYSTEMS = (
	"@eaDir",
	"@Recycle",
	"@Recently-Snapshot",
	"#recycle",
	"#snapshot",
	"__MACOSX",
	"$RECYCLE.BIN",
	"System Volume Information",
	"lost+found",
)


class NoPictures(Exception):
	"""A sentence for the person who named the folder."""


class Shot:
	"""One picture with its true class."""

	def __init__(self, label, source):
		self.label = label
		self.source = source  # a path, or pixels

	def picture(self):
		if isinstance(self.source, str):
			return bnnd.Picture.file(self.source)
		return bnnd.Picture.array(self.source)

	def image(self):
		if isinstance(self.source, str):
			from PIL import ImageOps

			with Image.open(self.source) as image:
				upright = ImageOps.exif_transpose(image)
				if "transparency" in upright.info:  # or Pillow warns of it in the middle of the table
					upright = upright.convert("RGBA")
				return upright.convert("RGB")
		return Image.fromarray(self.source).convert("RGB")

	def save(self, path):
		"""The picture as a file, for the commands to try next; returns its path."""
		if isinstance(self.source, str):
			return self.source
		out = io.BytesIO()
		Image.fromarray(self.source).save(out, "PNG")
		with open(path, "wb") as f:
			f.write(out.getvalue())
		return path


def _idx(name, header):
	with gzip.open(os.path.join(FASHION, name), "rb") as f:
		return np.frombuffer(f.read(), np.uint8, offset=header)


def fashion():
	"""(name, {class: taught shots}, {class: asked shots}): taught from the training part, asked from the test part."""
	rng = np.random.default_rng(SEED)
	parts = []
	for part, n in (("train", TAUGHT), ("t10k", ASKED)):
		pixels = _idx(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
		labels = _idx(f"{part}-labels-idx1-ubyte.gz", 8)
		parts.append(
			{
				name: [Shot(name, pixels[i]) for i in rng.permutation(np.flatnonzero(labels == number))[:n]]
				for number, name in enumerate(FASHION_NAMES)
			}
		)
	return "Fashion-MNIST", parts[0], parts[1]


def folders(path):
	"""The same for a folder of folders: at most TAUGHT pictures a class are taught, at least a third is kept to ask."""
	rng = random.Random(SEED)
	taught, asked, without = {}, {}, []
	for entry in sorted(os.listdir(path)):
		folder = os.path.join(path, entry)
		if entry.startswith(".") or entry in OF_SYSTEMS or not os.path.isdir(folder):
			continue
		if entry.lower() in NO_CLASS:
			print(f"left out, no class: {entry}")
			continue
		name = unicodedata.normalize("NFC", entry)  # as answers have it
		files = sorted(
			os.path.abspath(os.path.join(folder, f))
			for f in os.listdir(folder)
			if f.lower().endswith(ENDINGS) and not f.startswith(".")
		)
		shots = [Shot(name, f) for f in files if _readable(f)]
		if len(shots) < 2:
			without.append(name)
			continue
		rng.shuffle(shots)
		n = min(TAUGHT, max(1, len(shots) * 2 // 3))
		taught[name], asked[name] = shots[:n], shots[n : n + ASKED]
	if not taught:
		raise NoPictures(
			f"{path} has no folder with two or more JPEG or PNG pictures; make one folder a class, like "
			f"{os.path.join(path, 'mug')}/1.jpg"
		)
	if without:
		print("left out, fewer than two pictures: " + ", ".join(without))
	return os.path.basename(os.path.abspath(path)) or path, taught, asked


def _readable(path):
	try:
		with Image.open(path) as image:
			return image.format in ("JPEG", "PNG")
	except (UnidentifiedImageError, OSError):
		print(f"left out, no picture: {path}")
		return False
