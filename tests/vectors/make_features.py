# SPDX-License-Identifier: MIT
"""Makes tests/vectors/features/*.vec: pictures and the features that every kernel must give for them, bit for bit.

  python3 -m tests.vectors.make_features [BACKBONES_DIR]

For the tiny models and the shipped ones (pictures drawn here), and with BACKBONES_DIR for models/photo96-1.bnn
beside them: the drawn pictures of its golden files.
The features are those of the numpy evaluator in the format's float32 order, not the engine's own.

A .vec file, little-endian: "BNNVEC1\\n", u32 n, height, width, d; n x height x width x 3 bytes; n x d float32.
"""

import pathlib
import struct
import sys

import numpy as np

from tests.vectors import make_tiny
from tools.bnnfile import Evaluator, read

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIRST = "photo96-1"  # has golden files of its training code; no longer shipped
SHIPPED = (ROOT / "models" / "shipped.txt").read_text().split()
N_TINY, N_SHIPPED = 24, 4


def vector(model, pictures):
	features = np.concatenate([Evaluator(model, "exact").run(p[None]) for p in pictures])
	n, height, width, _ = pictures.shape
	return (
		b"BNNVEC1\n"
		+ struct.pack("<4I", n, height, width, features.shape[1])
		+ pictures.tobytes()
		+ features.astype("<f4").tobytes()
	)


def drawn(model, n, n_noise, plain):
	"""Two-coloured pictures, noise, and plain ones of these bytes."""
	height, width, _ = model.tensors[model.graph.input.tensor].shape
	rng = make_tiny.Splitmix64(7)
	halves = make_tiny.pictures(rng, n, height, width)
	noise = (rng.grid(n_noise, height, width, 3, scale=128) + 128).astype("u1")
	return np.concatenate([halves, noise, np.stack([np.full((height, width, 3), b, "u1") for b in plain])])


def vectors(backbones=None):
	"""{file name: bytes}."""
	made = {}
	for name in ("tiny", "stages", "odd"):
		model = read(ROOT / "tests" / "vectors" / "models" / f"{name}.bnn")
		made[f"{name}.vec"] = vector(model, drawn(model, N_TINY, 8, (0, 255, 118)))
	for name in SHIPPED:
		model = read(ROOT / "models" / f"{name}.bnn")
		made[f"{name}.vec"] = vector(model, drawn(model, N_SHIPPED, 1, (118,)))
	if backbones:
		model = read(ROOT / "tests" / "vectors" / "models" / f"{FIRST}.bnn")
		golden = np.load(pathlib.Path(backbones) / "v1-96" / "golden-drawn.npz")
		made[f"{FIRST}.vec"] = vector(model, golden["pictures"])
	return made


if __name__ == "__main__":
	for name, body in vectors(*sys.argv[1:]).items():
		(ROOT / "tests" / "vectors" / "features" / name).write_bytes(body)
