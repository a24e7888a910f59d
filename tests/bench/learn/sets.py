# SPDX-License-Identifier: MIT
"""CIFAR (from BNND_SHARED_DATA) and Fashion-MNIST (from the Debian package dataset-fashion-mnist) as they lie on the disk.

Exits with 77, and says why, where one is missing. Nothing is copied into the repository.
"""

import gzip
import lzma
import os
import pathlib
import sys

import numpy as np

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")


def skip(why):
	print("skipped: " + why, file=sys.stderr)
	sys.exit(77)


def cifar(name, part):
	"""name: cifar10 or cifar100 (by its 100 fine classes); part: train or test."""
	path = pathlib.Path(os.environ.get("BNND_SHARED_DATA", "")) / "data" / ("%s-%s.bin.xz" % (name, part))
	if not os.environ.get("BNND_SHARED_DATA") or not path.exists():
		skip("BNND_SHARED_DATA does not name the folder with data/%s" % path.name)
	labels = {"cifar10": 1, "cifar100": 2}[name]
	rows = np.frombuffer(lzma.open(path).read(), np.uint8).reshape(-1, labels + 3072)
	return rows[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, labels - 1].astype(int)


def fashion(part):
	if not FASHION.is_dir():
		skip("the package dataset-fashion-mnist is not installed")
	pictures = np.frombuffer(gzip.open(FASHION / (part + "-images-idx3-ubyte.gz")).read()[16:], np.uint8)
	labels = np.frombuffer(gzip.open(FASHION / (part + "-labels-idx1-ubyte.gz")).read()[8:], np.uint8)
	return pictures.reshape(-1, 28, 28, 1), labels.astype(int)


def machine():
	"""One line: processor, threads, date."""
	import datetime

	model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
	return "%s, 1 thread, %s" % (model[0] if model else os.uname().machine, datetime.date.today().isoformat())
