# SPDX-License-Identifier: MIT
"""Pictures to fit and to measure on, and their features. Nothing of a data set is ever copied into the repository.

shared_data() is the folder of the meson option `shared_data` (environment BNND_SHARED_DATA).
"""

import lzma
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np
from PIL import Image

from tools.bnnfile import Evaluator

CIFAR_SIDE = 32
Q_RMS = 23  # doc/LEARNER.md: q has this root mean square, whatever d is
Q_MAX = 127
BATCH = 200
# Rows of a set of features, as tests/bench/learn/cache.py writes them: {class, kind, may, of}.
SET_KINDS = SET_PICTURE, SET_FRAME, SET_IN_SCENE, SET_EMPTY, SET_GENERIC, SET_BLURRED, SET_BLACK, SET_WHITE = range(8)
MAY_TEACH, MAY_ASK = 1, 2
SET_HEADER_BYTES = 96


def shared_data():
	"""The folder, or None where there is none."""
	path = os.environ.get("BNND_SHARED_DATA")
	return pathlib.Path(path) if path and (pathlib.Path(path) / "models").is_dir() else None


def cifar10(part):
	"""('train' or 'test') -> pictures N x 32 x 32 x 3 and labels."""
	raw = lzma.open(shared_data() / "data" / f"cifar10-{part}.bin.xz").read()
	rows = np.frombuffer(raw, np.uint8).reshape(-1, 1 + 3 * CIFAR_SIDE * CIFAR_SIDE)
	pixels = rows[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE).transpose(0, 2, 3, 1)
	return np.ascontiguousarray(pixels), rows[:, 0].astype(int)


def resize(pictures, height, width):
	"""Square pictures to the input size by Pillow's BILINEAR, as lib/image does."""
	return np.stack(
		[np.asarray(Image.fromarray(p).convert("RGB").resize((width, height), Image.BILINEAR)) for p in pictures]
	)


def engine_features(program, model_path, pictures):
	"""Features by lib/bnn: the program bnnd-features reads pictures from stdin and writes floats to stdout."""
	done = subprocess.run(
		[program, model_path], input=np.ascontiguousarray(pictures).tobytes(), check=True, stdout=subprocess.PIPE
	)
	return np.frombuffer(done.stdout, "<f4").reshape(len(pictures), -1)


def features(model, pictures, engine=None, model_path=None, progress=True):
	"""Features of pictures of any size, by numpy in float32, or by the engine when its program is given."""
	height, width, _ = model.tensors[model.graph.input.tensor].shape
	evaluator = Evaluator(model, "single")
	done = []
	for at in range(0, len(pictures), BATCH):
		batch = resize(pictures[at : at + BATCH], height, width)
		done.append(engine_features(engine, model_path, batch) if engine else evaluator.run(batch))
		if progress and sys.stderr.isatty():
			print(f"\r{at + len(batch)} of {len(pictures)} pictures", end="", file=sys.stderr)
	return np.concatenate(done).astype("f4")


def quantize(h):
	"""doc/LEARNER.md: q = clamp(rint(h * (float)(23 sqrt d))) of 8 bits; NaN gives 0."""
	scaled = np.rint(np.asarray(h, "f4") * np.float32(Q_RMS * np.sqrt(h.shape[1])))
	return np.clip(np.nan_to_num(scaled), -Q_MAX, Q_MAX).astype(np.int8)


def feature_set(path):
	"""(rows n x 4, q n x d) of a file of tests/bench/learn/cache.py; set_file.h there has the format."""
	data = pathlib.Path(path).read_bytes()
	if data[:4] != b"BNSX":
		sys.exit(f"{path} is no set of features")
	n, d = struct.unpack_from("<2I", data, 4)
	rows = np.frombuffer(data, "<u4", 4 * n, SET_HEADER_BYTES).reshape(n, 4)
	return rows, np.frombuffer(data, np.int8, n * d, SET_HEADER_BYTES + 16 * n).reshape(n, d)
