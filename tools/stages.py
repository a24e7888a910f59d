# SPDX-License-Identifier: MIT
"""Makes a network whose features are statistics of several maps of another one: the same weights, a new tail.

  python3 -m tools.stages build MODEL.bnn OUT.bnn PART... [--fit FIT.npz [--centre-only]] [--name NAME]
           [--card CARD.md] [--answers ANSWERS.json]
  python3 -m tools.stages fit MODEL.bnn PICTURES FIT.npz PART... [--engine bnnd-features] [--shrink 0.1] [--most 10000]

A PART is MAP:mean or MAP:deviation with =WEIGHT behind it (1): MAP is the name of an operation, as `bnnd --explain-model`
lists them, or `last`, the map whose mean the features are now. tools/bnnfile/tail.py says what becomes of a part.

fit finds a centre and a whitening matrix for each part, from labelled pictures (as tools/train takes them; of their
held-out part where they come with one): it needs what tools.train needs. Without --fit parts are neither centred nor
whitened; with --centre-only they are centred alone. A part's weight is no matter of fit.

The new file has no prior, and no answers but those of --answers (models/answers.json's entry of its name, which
`tools.fit_answers --write` puts there). Without --card it says where it comes from.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from tools import cycles, datasets
from tools.bnnfile import BadModel, feature_id, read, tail, write
from tools.train import command

SHRINK = 0.1  # weight of the identity in the within-class scatter


def build(a):
	model = read(a.model)
	if a.fit:
		take_fit(a.parts, np.load(a.fit), a.centre_only)
	answers = json.loads(a.answers.read_text())[a.name] if a.answers else None
	text = a.card.read_text() if a.card else described(model, a)
	made = tail.with_tail(model, a.parts, a.name, text, answers)
	size = write(a.out, made)
	print(f"{a.out}: {size} bytes, {sum(tail.widths(model, a.parts))} features, feature_id {feature_id(made)}")
	print("\n".join(cycles.rows(made)))


def described(model, a):
	parts = ", ".join(f"{p.name} {p.weight:g}" for p in a.parts)
	how = "" if not a.fit else ", centred" if a.centre_only else ", centred and whitened"
	return (
		f"# {a.name}\n\nThe weights of {model.graph.card.name}, whose card and terms hold here, too; features of unit "
		f"length from statistics of its maps, each with its weight{how}: {parts}.\n"
	)


def take_fit(parts, fit, centre_only):
	for p in parts:
		if f"{p.name}.centre" not in fit:
			raise SystemExit(f"the fit has no part {p.name}: fit it with the same parts")
		p.centre = fit[f"{p.name}.centre"]
		p.matrix = None if centre_only else fit[f"{p.name}.matrix"]


def fit(a):
	from tools.train import normalise, pictures  # torch

	model = read(a.model)
	roots = tail.with_roots(model, a.parts)
	held_out = pictures.has_held_out(a.pictures)
	side = model.tensors[model.graph.input.tensor].shape[0]
	loaded = pictures.load(a.pictures, side, cache=a.out.parent)
	labelled = (loaded[1] if held_out else pictures.whole(loaded)).spread(a.most)
	print(f"{len(labelled)} pictures of {len(labelled.classes)} classes", flush=True)
	raw = roots_of(roots, labelled.x, a)
	made, at = {}, 0
	for p, width in zip(a.parts, tail.widths(model, a.parts), strict=True):
		centre, matrix = normalise.whitening(raw[:, at : at + width], labelled.y, root=False, shrink=a.shrink)
		made[f"{p.name}.centre"], made[f"{p.name}.matrix"] = centre.astype("f4"), matrix.astype("f4")
		at += width
	np.savez(a.out, **made)


def roots_of(roots, x, a):
	path = a.out.with_suffix(".roots.bnn") if a.engine else None
	try:
		if path:
			write(path, roots)
		return datasets.features(roots, x, a.engine, path)
	finally:
		if path:
			path.unlink(missing_ok=True)


def main(argv=None):
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	commands = p.add_subparsers(required=True)
	b = commands.add_parser("build")
	b.set_defaults(run=build)
	b.add_argument("model", type=pathlib.Path)
	b.add_argument("out", type=pathlib.Path)
	b.add_argument("parts", nargs="+", metavar="PART")
	b.add_argument("--fit", type=pathlib.Path)
	b.add_argument("--centre-only", action="store_true")
	b.add_argument("--name")
	b.add_argument("--card", type=pathlib.Path)
	b.add_argument("--answers", type=pathlib.Path)
	f = commands.add_parser("fit")
	f.set_defaults(run=fit)
	f.add_argument("model", type=pathlib.Path)
	f.add_argument("pictures")
	f.add_argument("out", type=pathlib.Path)
	f.add_argument("parts", nargs="+", metavar="PART")
	f.add_argument("--engine")
	f.add_argument("--shrink", type=command.number(float, 0.001, 1), default=SHRINK)
	f.add_argument("--most", type=command.number(int, 2), default=10000)
	a = p.parse_args(argv)
	if a.run is build:
		a.name = a.name or a.out.stem
	try:
		command.writable(a.out)
		a.parts = [tail.part(text) for text in a.parts]
		a.run(a)
	except BadModel as e:
		sys.exit(f"{a.model}: {e}")


if __name__ == "__main__":
	command.run(main)
