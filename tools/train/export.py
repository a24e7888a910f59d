# SPDX-License-Identifier: MIT
"""A checkpoint to a .bnn file: folded, whitened, with the constants of Answers, a prior and a card.

  python3 -m tools.train.export CHECKPOINT OUT.bnn [--name NAME] [--side 64] [--episodes DATA]
           [--terms "whose pictures, under what terms"] [--accuracy TABLE.md] [--licence MIT]

The whitening and the prior covariance come from the training data: its held-out part, and where that has fewer pictures
than --most, training pictures up to as many. How much the whitening is shrunk and the constants of Answers come from
the pictures of --episodes, which should be of classes that the network was not trained on (class folders set aside, or
CIFAR-10's training part); without it, the constants come from the held-out part, and the card says so. OUT.md is the card
alone. The latent weights go beside it, OUT.latent.npz, to continue training from.
"""

from tools.train import command

if __name__ == "__main__":
	command.begin()

import argparse
import pathlib

import numpy as np
import torch

from tools import cycles
from tools.bnnfile import BadModel, feature_id, proto, write
from tools.bnnfile.check import check_name, check_text
from tools.bnnfile.format import parse, serialize
from tools.train import card, checkpoint, episodes, graph, normalise, pictures
from tools.train.run import top1

FEW_FOR_WHITENING = 4  # pictures a direction: with fewer a line says so
HELD_OUT_ENOUGH = 10  # with so many no training pictures are needed beside the held-out ones


def build_model(net, side, mean, matrix, covariance, name, answers=None, text=""):
	"""The bnnfile.Model of a network in eval mode."""
	writer = graph.Writer(side)
	x = net.write(writer, writer.x)
	writer.g.output(writer.normalise(x, mean, matrix, net.root))
	writer.g.card(name, text)
	if answers:
		writer.g.answers(**answers)
	writer.g.prior(covariance, "F16")
	return writer.g.model()


def check(a):
	"""What can be known before any picture is read."""
	a.name = a.name or a.out.stem
	try:
		check_name(a.name)
		check_text(a.terms)
		a.accuracy_text = a.accuracy.read_text() if a.accuracy else ""
		check_text(a.accuracy_text)
	except (BadModel, UnicodeError) as e:
		raise SystemExit(f"{e}: bnnd would refuse the file" + "; give --name" * ("name" in str(e))) from None
	if a.out.suffix != ".bnn":
		raise SystemExit(f"{a.out}: give a file that ends in .bnn")
	for suffix in (".bnn", ".md", ".latent.npz"):
		command.writable(a.out.with_suffix(suffix))
	proto()  # refuses where there is no protoc


def check_net(net, c, a, side):
	"""Everything but the numbers of the file can be made."""
	if side % net.side_multiple:
		raise SystemExit(
			f"--side {side}: {c['net']} with its options takes sides that are multiples of {net.side_multiple}"
		)
	if c["step"] < c["steps"] and not a.unfinished:
		raise SystemExit(
			f"{a.checkpoint} stopped at step {c['step']} of {c['steps']}: go on with train.py, or give --unfinished"
		)
	d = net.fc.in_features
	try:
		parse(serialize(build_model(net, side, np.zeros(d, "f4"), np.eye(d, dtype="f4"), np.eye(d), a.name)))
	except (BadModel, ValueError) as e:
		raise SystemExit(f"{a.checkpoint} cannot become a .bnn file at {side} px: {e}") from None


def load_trained(a, c):
	"""(training part, held-out part) of what the checkpoint was trained on."""
	source = a.data or c["data"]
	if "words" not in c and not pictures.has_held_out(source):
		raise SystemExit(
			f"{a.checkpoint} is of an earlier train.py, which held out other pictures: train again, or export "
			"with that one"
		)
	parts = pictures.load(source, c["store"], c["held_out"], a.checkpoint.parent)
	if parts[0].classes != c["classes"]:
		other = sorted(set(parts[0].classes) ^ set(c["classes"]))
		raise SystemExit(
			f"{source} has {len(parts[0].classes)} classes, {a.checkpoint} was trained on "
			f"{len(c['classes'])}, and they differ in {episodes.listed(other)}: give --data the folder that it "
			"was trained on"
		)
	if c.get("words", {}).get("pictures") not in (None, parts[0].words()):
		print(
			f"the pictures of {source} are others than at the training: {c['words']['pictures']} then, "
			f"{parts[0].words()} now"
		)
	return parts


def for_whitening(training, held_out, n_directions, most):
	"""The held-out pictures, and where these are few, training pictures beside them."""
	held_out = held_out.spread(most)
	wanted = min(most, HELD_OUT_ENOUGH * n_directions) - len(held_out)
	return pictures.whole([held_out, training.spread(wanted)]) if wanted > 0 else held_out


def load_asked(a, c, training, held_out):
	"""(pictures for the episodes, names of the classes among them that were trained or None for all)."""
	if not a.episodes:
		return episodes.large_enough(held_out, f"the held-out part of {a.data or c['data']}"), None
	others = pictures.whole(pictures.load(a.episodes, c["store"], c["held_out"], a.checkpoint.parent))
	others, trained = episodes.of_other_classes(a.episodes, others, training)
	return episodes.large_enough(others, a.episodes), trained


def export(a):
	check(a)
	net, c = checkpoint.load_net(a.checkpoint)
	side = a.side or c["side"]
	check_net(net, c, a, side)
	training, held_out = load_trained(a, c)
	d = net.fc.in_features
	asked, trained = load_asked(a, c, training, held_out)
	held_out = held_out.spread(a.most)
	whitening = for_whitening(training, held_out, d, a.most)
	print(
		f"whitening {d} directions from {len(whitening)} pictures at {side} px, {len(held_out)} of them held out",
		flush=True,
	)
	if len(whitening) < FEW_FOR_WHITENING * d:
		print(f"these are few, less than {FEW_FOR_WHITENING} a direction: the features gain from more pictures")
	raw = normalise.features(net, whitening.x, side)
	raw_asked = normalise.features(net, asked.x, side)
	shrink = a.shrink
	if shrink is None and a.episodes:
		shrink = normalise.choose_shrinkage(raw, whitening.y, raw_asked, asked.y, net.root)
	elif shrink is None:
		shrink = normalise.shrinkage(d, len(whitening))
	print(f"shrunk by {shrink:.2f} towards the identity; constants of Answers from {len(asked)} pictures", flush=True)
	mean, matrix = (v.astype("f4") for v in normalise.whitening(raw, whitening.y, net.root, shrink))
	h = normalise.normalise(raw, mean, matrix, net.root)
	covariance = normalise.prior_covariance(h, whitening.y)
	constants, effect = episodes.fit(normalise.normalise(raw_asked, mean, matrix, net.root), asked.y)
	model = build_model(net, side, mean, matrix, covariance, a.name)
	facts = {
		"name": a.name,
		"side": side,
		"checkpoint": c,
		"terms": a.terms,
		"episodes": a.episodes,
		"episodes_trained": trained,
		"held_out": len(held_out),
		"whitened": len(whitening),
		"shrink": shrink,
		"top1": top1(net, held_out, side, torch.device("cpu")),
		"constants": constants,
		"effect": effect,
		"feature_id": feature_id(model),
		"cost": card.cost(model),
		"estimates": cycles.rows(model),
		"n_features": len(mean),
		"licence": a.licence,
		"accuracy": a.accuracy_text,
	}
	text = card.text(facts)
	try:
		size = write(a.out, build_model(net, side, mean, matrix, covariance, a.name, constants, text))
	except BadModel as e:
		raise SystemExit(f"{a.out} is not written, bnnd would refuse it: {e}") from None
	a.out.with_suffix(".md").write_text(text)
	checkpoint.save_latents(a.out.with_suffix(".latent.npz"), net.state_dict(), c["net"], c["options"])
	print(f"{a.out}: {size} bytes, feature_id {facts['feature_id']}")


def main(argv=None):
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("checkpoint", type=pathlib.Path)
	p.add_argument("out", type=pathlib.Path)
	p.add_argument("--name", help="letters, digits, - _ . (the name of OUT)")
	p.add_argument("--side", type=command.number(int, 8, 4096), help="of the input: the last side of the training")
	p.add_argument("--data", help="where the training data is now")
	p.add_argument("--episodes", help="pictures of other classes")
	p.add_argument("--terms", default="Not stated by whoever trained it.")
	p.add_argument("--licence", help="SPDX identifier, for the card")
	p.add_argument("--accuracy", type=pathlib.Path, help="what measure.py --report printed, for the card")
	p.add_argument("--most", type=command.number(int, 2), default=10000, help="pictures to whiten with, evenly chosen")
	p.add_argument(
		"--shrink",
		type=command.number(float, 0.001, 1),
		help="of the whitening towards the identity: what suits the pictures of --episodes best",
	)
	p.add_argument("--unfinished", action="store_true", help="even if the training was stopped before its end")
	p.add_argument("--threads", type=command.number(int, 1, 1024))
	a = p.parse_args(argv)
	if a.threads:
		torch.set_num_threads(a.threads)
	export(a)


if __name__ == "__main__":
	command.run(main)
