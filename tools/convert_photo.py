# SPDX-License-Identifier: MIT
"""Converts a trained backbone (backbone.npz and backbone.json, as the training code of photo96-1, which is not in this tree, wrote them) to a .bnn file.

  python3 -m tools.convert_photo BACKBONE_DIR NAME CARD.md ANSWERS.json OUT.bnn

ANSWERS.json holds the constants of fit_answers.py by model name. They and the card enter no feature_id. The same
input gives the same bytes.
"""

import json
import pathlib
import sys

import numpy as np

from tools.bnnfile import Builder, write

BACKGROUND = (118, 118, 118)  # the byte that the input table makes 0: padding that says nothing
BYTE_ZERO, BYTE_SCALE = 118, 64


def binary_residual(g, x, tensors, name, pad, pad_value):
	"""y = prelu(x + (acc * scale + shift)) with acc the dot product of sign bits and weights."""
	t = {key: tensors[f"{name}.{key}"] for key in ("w", "t", "scale", "shift", "slope")}
	bits = g.sign(x, t["t"], f"{name}.sign")  # the reference: +1 where x >= t, so the bit is x < t
	y = g.binary_conv2d(bits, t["w"], t["scale"], t["shift"], f"{name}.conv", pads=pad, pad_value=pad_value)
	return g.prelu(g.op("add", [x, y], f"{name}.add"), t["slope"], f"{name}.prelu")


def convert(folder, answers=None, name="", card=""):
	"""The model of a backbone folder."""
	folder = pathlib.Path(folder)
	description = json.loads((folder / "backbone.json").read_text())
	tensors = dict(np.load(folder / "backbone.npz"))
	side = description["input"]
	if description["input"]["value"] != f"(byte - {BYTE_ZERO}) / {BYTE_SCALE}":
		sys.exit(f"{folder}: an input of {description['input']['value']} is not known")
	g = Builder()
	x = g.input(side["height"], side["width"], (np.arange(256) - BYTE_ZERO) / BYTE_SCALE, background=BACKGROUND)
	n_pools = 0
	for op in description["operations"]:
		kind, n = op["op"], op.get("name")
		if kind in ("conv2d", "depthwise_conv2d"):
			add = getattr(g, kind)
			x = add(x, tensors[n + ".w"], tensors[n + ".b"], n, stride=op["stride"], pads=op["pad"])
			x = g.relu(x, n + ".relu") if op["relu"] else x
		elif kind == "binary_residual":
			x = binary_residual(g, x, tensors, n, op["pad"], op["pad_value"])
		elif kind == "avg_pool":
			x = g.avg_pool(x, op["size"], f"pool{n_pools}")
			n_pools += 1
		elif kind == "global_avg_pool":
			x = g.op("mean", [x], "mean")
		elif kind == "normalise":
			x = g.op("sub", [g.op("sqrt", [x], "sqrt"), g.constant(tensors["norm.mean"], name="norm.mean")], "centre")
			x = g.dense(x, np.ascontiguousarray(tensors["norm.matrix"].T), None, "whiten")
			x = g.op("l2", [x], "l2")
		else:
			sys.exit(f"{folder}: the operation {kind} is not known")
	g.output(x)
	g.card(name, card)
	if answers:
		g.answers(**answers)
	g.prior(tensors["prior.cov"], "F16")
	return g.model()


def main():
	folder, name, card, answers, out = sys.argv[1:]
	constants = json.loads(pathlib.Path(answers).read_text())[name]
	size = write(out, convert(folder, constants, name, pathlib.Path(card).read_text()))
	print(f"{out}: {size} bytes")


if __name__ == "__main__":
	if len(sys.argv) != 6:
		sys.exit(__doc__)
	main()
