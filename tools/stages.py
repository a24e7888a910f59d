# SPDX-License-Identifier: MIT
"""Makes a network whose features are statistics of several maps of another one: the same weights, a new tail.

  python3 -m tools.stages build MODEL.bnn OUT.bnn PART... [--fit FIT.npz] [--name NAME] [--card CARD.md]
           [--answers ANSWERS.json [--factor 1.5]]
  python3 -m tools.stages fit MODEL.bnn PICTURES FIT.npz PART... [--engine bnnd-features] [--shrink 0.1] [--most 10000]

A PART is MAP:mean or MAP:deviation, with :scaled or :whitened behind it (`last`: scaled, others: whitened), with =WEIGHT
behind that (1). MAP is the name of an operation, as `bnnd --explain-model` lists them, or `last`, the map whose mean the
features are now. tools/bnnfile/tail.py says what becomes of a part.

fit finds a centre, a scale and a whitening matrix for each part, from labelled pictures (as tools/train takes them; of
their held-out part where they come with one): it needs what tools.train needs. A scale is one over the deviation within
classes, a channel. Without --fit parts are neither centred nor scaled. Way and weight of a part are no matter of fit.

The new file has no prior, and no answers but those of --answers (models/answers.json's entry of its name, which
`tools.fit_answers --write` puts there), with the groups of these parts and --factor for that of `last`, unless they say
"groups" and "group_factors" themselves. Without --card it says where it comes from.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from tools import cycles, datasets
from tools.bnnfile import BadModel, feature_id, read, tail, write
from tools.bnnfile.check import FACTOR_MAX
from tools.train import command

SHRINK = 0.1  # weight of the identity in the within-class scatter
LEAST = (
	0.01  # of a channel's variance within classes, in that of a channel on average: one that hardly moves stays small
)


def build(a):
	model = read(a.model)
	if a.fit:
		take_fit(a.parts, np.load(a.fit))
	answers = json.loads(a.answers.read_text())[a.name] if a.answers else None
	text = a.card.read_text() if a.card else described(model, a)
	made = tail.with_tail(model, a.parts, a.name, text, answers, a.factor)
	size = write(a.out, made)
	print(f"{a.out}: {size} bytes, {sum(tail.widths(model, a.parts))} features, feature_id {feature_id(made)}")
	print("\n".join(cycles.rows(made)))


def described(model, a):
	parts = ", ".join(f"{p.name}{f' {p.way}' if a.fit else ''} {p.weight:g}" for p in a.parts)
	return (
		f"# {a.name}\n\nThe weights of {model.graph.card.name}, whose card and terms hold here, too; features of unit "
		f"length from statistics of its maps, each with its weight: {parts}.\n"
	)


def take_fit(parts, fit):
	for p in parts:
		if f"{p.name}.centre" not in fit:
			raise SystemExit(f"the fit has no part {p.name}: fit it with the same parts")
		p.centre = fit[f"{p.name}.centre"]
		if p.way == "scaled":
			p.scale = fit[f"{p.name}.scale"]
		else:
			p.matrix = fit[f"{p.name}.matrix"]


def scale_of(x, y):
	"""One over the deviation within classes, a number a channel."""
	from tools.train import normalise

	variance = np.diag(normalise.within_scatter(x, y))
	return np.maximum(variance, max(LEAST * variance.mean(), 1e-12)) ** -0.5


def fit(a):
	from tools.train import normalise, pictures  # torch

	model = read(a.model)
	statistics = tail.with_statistics(model, a.parts)
	held_out = pictures.has_held_out(a.pictures)
	side = model.tensors[model.graph.input.tensor].shape[0]
	loaded = pictures.load(a.pictures, side, cache=a.out.parent)
	labelled = (loaded[1] if held_out else pictures.whole(loaded)).spread(a.most)
	print(f"{len(labelled)} pictures of {len(labelled.classes)} classes", flush=True)
	raw = statistics_of(statistics, labelled.x, a).astype("f8")
	made, at = {}, 0
	for p, width in zip(a.parts, tail.widths(model, a.parts), strict=True):
		x = raw[:, at : at + width]
		centre, matrix = normalise.whitening(x, labelled.y, root=False, shrink=a.shrink)
		found = {"centre": centre, "scale": scale_of(x, labelled.y), "matrix": matrix}
		made.update({f"{p.name}.{key}": value.astype("f4") for key, value in found.items()})
		at += width
	np.savez(a.out, **made)


def statistics_of(statistics, x, a):
	path = a.out.with_suffix(".statistics.bnn") if a.engine else None
	try:
		if path:
			write(path, statistics)
		return datasets.features(statistics, x, a.engine, path)
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
	b.add_argument("--name")
	b.add_argument("--card", type=pathlib.Path)
	b.add_argument("--answers", type=pathlib.Path)
	b.add_argument("--factor", type=command.number(float, 1 / FACTOR_MAX, FACTOR_MAX), default=tail.FACTOR)
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
