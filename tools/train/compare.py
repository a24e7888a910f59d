# SPDX-License-Identifier: MIT
"""Compares the features of an exported file, computed by bnnd's engine, with those of the training code in double.

  python3 -m tools.train.compare CHECKPOINT MODEL.bnn [--engine build/tools/bnnd-features] [--data DATA] [--most 100]

Asks about held-out pictures and prints how far the two are apart. Exit status 0: the least cosine is 0.9999 or more.
They are not equal to the last bit: the file's numbers are rounded once, and it is the file that defines them.
"""

from tools.train import command

if __name__ == "__main__":
	command.begin()

import argparse
import os
import pathlib
import subprocess

import numpy as np
import torch

from tools.bnnfile import BadModel, read
from tools.datasets import engine_features
from tools.train import checkpoint, normalise, pictures

COSINE_LEAST = 0.9999
ENGINE = pathlib.Path("build/tools/bnnd-features")


def compare(net, model, path, engine, x):
	"""Cosines of the engine's features of pictures x with those of the training code, and the largest difference."""
	side = model.tensors[model.graph.input.tensor].shape[0]
	mean, matrix = model.constant_named("norm.mean").astype("f8"), model.constant_named("whiten.w").astype("f8").T
	if len(mean) != net.fc.in_features:
		raise SystemExit(
			f"{path} has {len(mean)} features, the checkpoint {net.fc.in_features}: it was made of another one"
		)
	right = normalise.normalise(normalise.features(net.double(), x, side, torch.double), mean, matrix, net.root)
	made = engine_features(engine, path, pictures.squares(x, side)).astype("f8")
	return (made * right).sum(1) / np.linalg.norm(made, axis=1), np.abs(made - right).max()


def main(argv=None):
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("checkpoint", type=pathlib.Path)
	p.add_argument("model", type=pathlib.Path)
	p.add_argument(
		"--engine",
		type=pathlib.Path,
		default=os.environ.get("BNND_FEATURES", ENGINE),
		help="the program bnnd-features of a build",
	)
	p.add_argument("--data", help="where the training data is now")
	p.add_argument("--most", type=command.number(int, 1), default=100, help="pictures, evenly chosen")
	a = p.parse_args(argv)
	if not os.access(a.engine, os.X_OK):
		raise SystemExit(
			f"{a.engine}: no such program; meson setup build && ninja -C build makes "
			"build/tools/bnnd-features, or give --engine"
		)
	net, c = checkpoint.load_net(a.checkpoint)
	try:
		model = read(a.model)
	except BadModel as e:
		raise SystemExit(f"{a.model}: {e}") from None
	x = pictures.load(a.data or c["data"], c["store"], c["held_out"], a.checkpoint.parent)[1].spread(a.most).x
	try:
		cosine, apart = compare(net, model, a.model, a.engine, x)
	except KeyError as e:
		raise SystemExit(f"{a.model} was not made by export.py: it has no {e}") from None
	except subprocess.CalledProcessError:
		raise SystemExit(f"{a.engine} refused {a.model}: what it says is above") from None
	print(
		f"{len(x)} pictures: the cosine of both features is {cosine.mean():.7f} on average, {cosine.min():.7f} at least; "
		f"no number differs by more than {apart:.1e}"
	)
	if cosine.min() < COSINE_LEAST:
		raise SystemExit(f"less than {COSINE_LEAST}: the file is of another checkpoint, or the engine is wrong")


if __name__ == "__main__":
	command.run(main)
