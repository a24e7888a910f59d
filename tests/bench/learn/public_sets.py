# SPDX-License-Identifier: MIT
"""Public pictures to choose features and rules by, and others to report on: sources, terms, splits.

  choice   everything may be chosen by their mean: features, weights, constants, defaults
  report   measured once a release; nothing is chosen by them
  other    what is asked and was never taught

A set's pictures lie outside the repository and stay there. Those that come from public git repositories are looked for
below BNND_PUBLIC_SETS, one bare git directory each, and read at the commit that is named here, so that every machine
measures the same bytes:

  git clone --bare https://github.com/OWNER/NAME $BNND_PUBLIC_SETS/NAME.git

CIFAR comes from BNND_SHARED_DATA, Fashion-MNIST from its Debian package (sets.py). Each set was named and split before
anything was measured on it: by file names and their order, and where one thing was taken several times, with the
pictures of one taking on one side.
"""

import dataclasses
import hashlib
import io
import os
import pathlib
import re
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.bench.learn import sets
from tools.git_tree import GitTree, NoTree


@dataclasses.dataclass
class Labelled:
	"""Pictures with class numbers, and which of them may be taught and which asked."""

	y: np.ndarray
	teach: np.ndarray
	ask: np.ndarray
	squares: Callable  # side, indices or None (all) -> N x side x side x 3 bytes, in that order
	of: bytes = b""  # what the pictures are: equal bytes, equal pictures

	def __post_init__(self):
		self.y = np.unique(self.y, return_inverse=True)[1]

	def __len__(self):
		return len(self.y)


@dataclasses.dataclass(frozen=True)
class PublicSet:
	"""What draw.c draws: of each class `pool` pictures that may be taught, and of the others `asked` that may be asked."""

	name: str
	role: str
	source: str
	commit: str
	terms: str
	split: str
	taught: int  # pictures a class at most
	asked: int  # pictures a class at most
	load: Callable
	share: float = 1.0  # of a class's pictures that may be taught: at most so many are
	pool: int = 0  # where more than `taught` are wanted (many pictures, unequal counts): at most so many


# --- reading ---------------------------------------------------------------------------------------------------------


def square(image, side):
	"""The central square, as lib/image's fit *cover* takes it."""
	image = image.convert("RGB")
	w, h = image.size
	s = min(w, h)
	left, top = (w - s) // 2, (h - s) // 2
	return np.asarray(image.resize((side, side), Image.BILINEAR, (left, top, left + s, top + s)))


def of_array(x, y, teach, ask):
	def squares(side, which=None):
		return np.stack([square(Image.fromarray(p.squeeze()), side) for p in (x if which is None else x[which])])

	return Labelled(y, teach, ask, squares, hashlib.sha256(np.ascontiguousarray(x)).digest())


def of_tree(tree, names, y, teach, ask):
	def squares(side, which=None):
		wanted = names if which is None else [names[i] for i in which]
		return np.stack([square(Image.open(io.BytesIO(body)), side) for body in tree.read(wanted)])

	return Labelled(np.array(y), np.array(teach), np.array(ask), squares, "".join(tree.ids[n] for n in names).encode())


def tree(public_set):
	"""The files of a set that comes from a git repository; skips where it is not there."""
	folder = os.environ.get("BNND_PUBLIC_SETS")
	name = public_set.source.rsplit("/", 1)[1]
	if not folder:
		sets.skip(f"BNND_PUBLIC_SETS does not name the folder with {name}.git")
	try:
		return GitTree(pathlib.Path(folder) / (name + ".git"), public_set.commit)
	except NoTree as e:
		sets.skip(f"{e} (from {public_set.source})")


def first_of_each(y, n):
	"""Indices of the first n of each class, in order."""
	return np.sort(np.concatenate([np.flatnonzero(y == c)[:n] for c in np.unique(y)]))


# --- choice ----------------------------------------------------------------------------------------------------------


def load_cifar10(_):
	x, y = sets.cifar("cifar10", "train")
	kept = first_of_each(y, 520)
	return of_array(x[kept], y[kept], np.ones(len(kept), bool), np.ones(len(kept), bool))


def grocery(files, part):
	"""(names, coarse classes) of one of the three lists."""
	rows = [line.split(", ") for line in files.text(f"dataset/{part}.txt").splitlines() if line.strip()]
	return ["dataset/" + r[0] for r in rows], [int(r[2]) for r in rows]


def load_grocery(public_set):
	files = tree(public_set)
	names, y = grocery(files, "train")
	return of_tree(files, names, y, [True] * len(names), [True] * len(names))


def tiny(public_set, of_class):
	"""of_class: which of a class's pictures, in the order of their names."""
	files = tree(public_set)
	root = "tiny-imagenet-200/val/"
	notes = files.text(root + "val_annotations.txt").splitlines()
	of_name = {line.split("\t")[0]: line.split("\t")[1] for line in notes if line.strip()}
	names = [n for n in files.names if n.startswith(root + "images/") and n.endswith(".JPEG")]
	y = np.array([of_name[n.rsplit("/", 1)[1]] for n in names])
	kept = np.sort(np.concatenate([np.flatnonzero(y == c)[of_class] for c in np.unique(y)]))
	return of_tree(files, [names[i] for i in kept], y[kept], [True] * len(kept), [True] * len(kept))


def load_tiny(public_set):
	return tiny(public_set, slice(None, 30))


def load_tiny_rest(public_set):
	return tiny(public_set, slice(30, None))


def load_coins(public_set):
	files = tree(public_set)
	names = [n for n in files.names if re.match(r"classified/(train|test)/.*\.jpg$", n)]
	taught = [n.split("/")[1] == "train" for n in names]
	return of_tree(files, names, [n.split("/")[2] for n in names], taught, np.logical_not(taught))


def load_solar(public_set):
	files = tree(public_set)
	root = "src/elpv_dataset/data/"
	rows = [r.split() for r in files.text(root + "labels.csv").splitlines()]
	rows = [r for r in rows if float(r[1]) in (0, 1)]
	y = np.array([r[2] + r[1] for r in rows])
	teach = np.zeros(len(y), bool)
	for c in np.unique(y):
		of_class = np.flatnonzero(y == c)
		teach[of_class[: len(of_class) // 2]] = True
	return of_tree(files, [root + r[0] for r in rows], y, teach, ~teach)


# --- report ----------------------------------------------------------------------------------------------------------


def two_parts(parts, n_teach, n_ask):
	"""parts: (pictures, labels) of the training and of the test part; the first so many of each class."""
	kept = [first_of_each(y, n) for (_, y), n in zip(parts, (n_teach, n_ask), strict=True)]
	x, y = (np.concatenate([part[k][i] for part, i in zip(parts, kept, strict=True)]) for k in (0, 1))
	teach = np.arange(len(y)) < len(kept[0])
	return of_array(x, y, teach, ~teach)


def load_fashion(_):
	return two_parts((sets.fashion("train"), sets.fashion("t10k")), 100, 500)


def load_cifar100(_):
	return two_parts((sets.cifar("cifar100", "train"), sets.cifar("cifar100", "test")), 30, 30)


def load_cifar100_many(_):
	return two_parts((sets.cifar("cifar100", "train"), sets.cifar("cifar100", "test")), 200, 40)


def load_grocery_test(public_set):
	files = tree(public_set)
	(taught, y), (asked, asked_y) = grocery(files, "train"), grocery(files, "test")
	teach = np.arange(len(y) + len(asked_y)) < len(y)
	return of_tree(files, taught + asked, y + asked_y, teach, ~teach)


def load_trash(public_set):
	files = tree(public_set)
	names = [n for n in files.names if re.match(r"data/dataset-resized/.*\.jpg$", n)]
	either = np.ones(len(names), bool)
	return of_tree(files, names, [n.split("/")[2] for n in names], either, either)


GROCERY = dict(
	source="https://github.com/marcusklasson/GroceryStoreDataset",
	commit="fc80ba90f803d79d0383df52c5a4ac5de99ff6fc",
	terms="MIT, Marcus Klasson 2019",
)
TINY = dict(
	source="https://github.com/seshuad/IMagenet",
	commit="153dbc161ab7942a12c99515e80ef6454dd06693",
	terms="ImageNet's pictures, for non-commercial research (Tiny-ImageNet, Stanford CS231N)",
)
KRIZHEVSKY = dict(
	source="https://www.cs.toronto.edu/~kriz/cifar.html",
	commit="",
	terms="free to use, the authors ask to cite the report of 2009 (A. Krizhevsky)",
)

SETS = [
	PublicSet(
		name="cifar10",
		role="choice",
		**KRIZHEVSKY,
		split="training part, the first 520 of each class: 20 drawn ones are taught (of 200 set aside for it), others asked",
		taught=20,
		asked=500,
		pool=200,
		load=load_cifar10,
	),
	PublicSet(
		name="grocery",
		role="choice",
		**GROCERY,
		split="training pictures by coarse kind: 10 drawn ones are taught (half, of kinds with fewer than 20), the "
		"others asked",
		taught=10,
		asked=1000,
		load=load_grocery,
		share=0.5,
	),
	PublicSet(
		name="tiny",
		role="choice",
		**TINY,
		split="validation part, the first 30 of each class by name: 20 drawn ones are taught, the others asked. "
		"The shipped networks were trained on these classes: it flatters every score",
		taught=20,
		asked=10,
		load=load_tiny,
	),
	PublicSet(
		name="coins",
		role="choice",
		source="https://github.com/kaa/coins-dataset",
		commit="dbfaaa6c0d3d0677547039087055f03fb7c2ab64",
		terms="MIT, Joakim Beijar 2018",
		split="eight euro coins, front and back, cut out of photographs of many: taught from its folder train, asked "
		"its folder test, which are other photographs; at most 100 a class",
		taught=20,
		asked=100,
		pool=200,
		load=load_coins,
	),
	PublicSet(
		name="solar",
		role="choice",
		source="https://github.com/zae-bayern/elpv-dataset",
		commit="411fd729dad19511883306aa85e52f1962cba581",
		terms="pictures CC BY-NC-SA 4.0, Buerhop-Lutz, Deitsch and others 2018",
		split="states of solar cells in electroluminescence: mono- and polycrystalline, each sound (probability of a "
		"defect 0) or defective (1), others left out; of each, taught from the first half in the order of the "
		"list, asked from the second: cells of one module follow each other, so that at most one module is in both",
		taught=20,
		asked=200,
		pool=200,
		load=load_solar,
	),
	PublicSet(
		name="fashion",
		role="report",
		source="https://github.com/zalandoresearch/fashion-mnist",
		commit="",
		terms="MIT, Zalando SE 2017; Debian's package dataset-fashion-mnist",
		split="20 drawn ones of the first 100 of each class of the training part taught, the first 500 of each class "
		"of the test part asked",
		taught=20,
		asked=500,
		pool=100,
		load=load_fashion,
	),
	PublicSet(
		name="cifar100",
		role="report",
		**KRIZHEVSKY,
		split="20 drawn ones of the first 30 of each class of the training part taught, the first 30 of each class of "
		"the test part asked",
		taught=20,
		asked=30,
		load=load_cifar100,
	),
	PublicSet(
		name="cifar100-many",
		role="report",
		**KRIZHEVSKY,
		split="the first 200 of each class of the training part taught, the first 40 of each class of the test part asked",
		taught=200,
		asked=40,
		load=load_cifar100_many,
	),
	PublicSet(
		name="grocery-test",
		role="report",
		**GROCERY,
		split="10 drawn training pictures a coarse kind taught, its test pictures asked: other shops and days",
		taught=10,
		asked=1000,
		load=load_grocery_test,
	),
	PublicSet(
		name="trash",
		role="report",
		source="https://github.com/JMadiedo/RecycleNet",
		commit="cdb27a51c2a1e627cd4b540a82ef81ab0543c6db",
		terms="TrashNet, MIT, Gary Thung 2017 (github.com/garythung/trashnet, whose archive this one has unpacked)",
		split="six kinds: 20 drawn ones are taught, the others asked, at most 200 a kind",
		taught=20,
		asked=200,
		load=load_trash,
	),
	PublicSet(
		name="tiny-rest",
		role="other",
		**TINY,
		split="validation part, what tiny leaves: photographs of anything. The networks' whitening comes from them",
		taught=0,
		asked=20,
		load=load_tiny_rest,
	),
]


def by_name(name):
	return next(s for s in SETS if s.name == name)


def of_role(role):
	return [s for s in SETS if s.role == role]
