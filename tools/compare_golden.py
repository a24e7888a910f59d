# SPDX-License-Identifier: MIT
"""Compares a .bnn file, and the engine, with the golden files of the backbone that it was made from.

  python3 -m tools.compare_golden steps|features|answers BACKBONE_DIR MODEL.bnn [--engine PROGRAM]

steps: each operation, fed the golden input. features: end to end; the engine also bit for bit. answers: 10,000 CIFAR-10
test pictures, which takes minutes.

PROGRAM is bnnd-features of a build; without it the numpy evaluator speaks for the file. Ends with 0 when every bound
holds. The golden files were computed in float64 by the training code; the bounds are those of their README:
bits, accumulators equal (a sign may differ where |x - t| <= 1e-5 rms), floats within 1e-5 of the largest |reference|;
features of cosine >= 0.9999 on drawn pictures and on all photographs but one, >= 0.99 on that; 99.5 % of the answers
equal, accuracies within 0.3 points.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from tools import datasets
from tools.bnnfile import Evaluator, read

FLOAT_BOUND = 1e-5  # of the largest |reference|
SIGN_BOUND = 1e-5  # of the root mean square of x
COSINE_BOUND, COSINE_BOUND_WORST = 0.9999, 0.99
N_PHOTOGRAPHS_BELOW = 1
ANSWERS_EQUAL, ACCURACY_BOUND = 0.995, 0.003


class Check:
	"""Prints a line a check and remembers whether all held."""

	def __init__(self, quiet=False):
		self.failed = 0
		self.quiet = quiet

	def that(self, ok, text):
		self.failed += not ok
		if not self.quiet or not ok:
			print(("ok    " if ok else "FAILED") + " " + text, flush=True)


def golden_files(folder):
	for name in ("golden-drawn", "golden"):
		path = pathlib.Path(folder) / (name + ".npz")
		if path.exists():
			yield name, np.load(path)


# --- operation by operation ------------------------------------------------------------------------------------------


class Steps:
	"""Runs parts of a graph on given inputs, by the names that convert_photo.py gave its operations."""

	def __init__(self, model, arithmetic):
		self.model = model
		self.evaluator = Evaluator(model, arithmetic)
		self.ops = {op.name: op for op in model.graph.ops}

	def __call__(self, name, *inputs):
		op = self.ops[name]
		values = [
			np.asarray(x)[None].astype(np.uint8 if x.dtype == np.uint8 else self.evaluator.math.dtype) for x in inputs
		]
		missing = [None] * (len(op.inputs) - len(values))
		return self.evaluator.apply(op, values + missing)[0][0]

	def accumulator(self, name, bits):
		"""The dot products of a binary convolution."""
		op = self.ops[name]
		weights = self.model.constants[op.inputs[1]]
		twice_a, n_taps = self.evaluator.differing(op.binary_conv2d, bits[None], weights)
		return (n_taps - twice_a)[0]

	def threshold(self, name):
		return self.model.constants[self.ops[name].inputs[1]].astype("f8")


def close(check, what, made, reference):
	largest = np.abs(reference).max()
	error = np.abs(np.asarray(made, "f8") - reference).max() / largest
	check.that(made.shape == reference.shape and error <= FLOAT_BOUND, f"{what}: {error:.1e} of the largest reference")


def compare_binary(check, what, step, name, x, golden):
	bits = step(f"{name}.sign", x)
	t = step.threshold(f"{name}.sign")
	differ = bits != golden[f"op.{name}.bits"]
	far = differ & (np.abs(x - t) > SIGN_BOUND * np.sqrt((x.astype("f8") ** 2).mean()))
	check.that(not far.any(), f"{what} {name}.sign: {differ.sum()} of {differ.size} bits differ, none away from t")
	bits = golden[f"op.{name}.bits"]
	accumulator = step.accumulator(f"{name}.conv", bits)
	check.that((accumulator == golden[f"op.{name}.acc"]).all(), f"{what} {name}.conv: all dot products equal")
	return step(f"{name}.prelu", step(f"{name}.add", x, step(f"{name}.conv", bits)))


def compare_steps(check, folder, model, arithmetic):
	"""Feeds each operation of the backbone the golden input of picture 0."""
	description = json.loads((pathlib.Path(folder) / "backbone.json").read_text())
	step = Steps(model, arithmetic)
	for file, golden in golden_files(folder):
		what = f"{file} {arithmetic}"
		x = step.evaluator.input(golden["pictures"][:1])[0]
		check.that((x == golden["op.input"]).all(), f"{what} input: all numbers equal")
		n_pools = 0
		for i, op in enumerate(description["operations"]):
			kind, name = op["op"], op.get("name")
			if kind == "normalise":
				break
			if kind == "binary_residual":
				made = compare_binary(check, what, step, name, x, golden)
			elif kind == "avg_pool":
				made, n_pools = step(f"pool{n_pools}", x), n_pools + 1
			elif kind == "global_avg_pool":
				made = step("mean", x).reshape(-1)
			else:
				made = step(name, x)
				made = step(name + ".relu", made) if op["relu"] else made
			reference = golden[f"op.{i:02d}.{kind}.{name or ''}".rstrip(".")]
			close(check, f"{what} {i:02d} {kind} {name or ''}", made, reference)
			x = reference
		raw = golden["raw"][0].reshape(1, 1, -1)
		made = step("l2", step("whiten", step("centre", step("sqrt", raw)))).reshape(-1)
		close(check, f"{what} normalise", made, golden["features"][0])


# --- end to end ------------------------------------------------------------------------------------------------------


def features_of(model, model_path, pictures, engine, arithmetic="exact"):
	if engine:
		return datasets.engine_features(engine, model_path, pictures)
	return np.concatenate([Evaluator(model, arithmetic).run(p[None]) for p in pictures])


def compare_features(check, folder, model, model_path, engine):
	for file, golden in golden_files(folder):
		made = features_of(model, model_path, golden["pictures"], engine)
		reference = golden["features"].astype("f8")
		cosine = np.sort((made * reference).sum(1) / np.linalg.norm(made, axis=1) / np.linalg.norm(reference, axis=1))
		below = N_PHOTOGRAPHS_BELOW if file == "golden" else 0
		check.that(
			cosine[below] >= COSINE_BOUND and cosine[0] >= COSINE_BOUND_WORST,
			f"{file}: cosines of {len(cosine)} pictures from {cosine[0]:.7f}, then {cosine[1]:.7f}",
		)
		if engine:
			exact = features_of(model, model_path, golden["pictures"], None)
			differ = (made.view("u4") != exact.view("u4")).sum()
			check.that(differ == 0, f"{file}: {differ} of {made.size} floats of the engine differ from the definition")


def unit(x):
	return x / np.linalg.norm(x, axis=1, keepdims=True)


def compare_answers(check, folder, model, model_path, engine):
	"""Cosine class means of the named training pictures against the training code's answers."""
	known = np.load(pathlib.Path(folder) / "answers.npz")
	pictures, labels = datasets.cifar10("train")
	chosen = known["cifar10.learn"]
	taught = datasets.features(model, pictures[chosen], engine, model_path)
	means = np.stack([taught[labels[chosen] == c].astype("f8").mean(0) for c in range(10)])
	pictures, labels = datasets.cifar10("test")
	answers = (datasets.features(model, pictures, engine, model_path) @ unit(means).T).argmax(1)
	reference = known["cifar10.answers"]
	equal = (answers == reference).mean()
	right, reference_right = (answers == labels).mean(), (reference == labels).mean()
	check.that(equal >= ANSWERS_EQUAL, f"CIFAR-10 test: {equal:.2%} of {len(answers)} answers equal")
	check.that(
		abs(right - reference_right) <= ACCURACY_BOUND,
		f"CIFAR-10 test: accuracy {right:.2%}, of the training code {reference_right:.2%}",
	)


def main():
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("what", choices=("steps", "features", "answers"))
	p.add_argument("folder")
	p.add_argument("model")
	p.add_argument("--engine", help="bnnd-features of a build")
	a = p.parse_args()
	check, model = Check(), read(a.model)
	if a.what == "steps":
		for arithmetic in ("double", "exact"):
			compare_steps(check, a.folder, model, arithmetic)
	elif a.what == "features":
		compare_features(check, a.folder, model, a.model, a.engine)
	else:
		if not datasets.shared_data():
			sys.exit("BNND_SHARED_DATA does not name the folder with the data sets")
		compare_answers(check, a.folder, model, a.model, a.engine)
	print(f"{check.failed} failed")
	return check.failed != 0


if __name__ == "__main__":
	sys.exit(main())
