# SPDX-License-Identifier: MIT
"""The card of an exported backbone: what it is, what it was made of, what it costs and what it can do."""

import math

REFUSE_SHARES = (1, 2, 5, 10, 20)


def cost(model):
	"""(float, binary) multiply-adds of a picture, counted as lib/bnn counts them."""
	floats = bits = 0
	for op in model.graph.ops:
		kind = op.WhichOneof("attributes")
		if kind not in ("conv2d", "depthwise_conv2d", "dense", "binary_conv2d"):
			continue
		w, y = model.tensors[op.inputs[1]].shape, model.tensors[op.outputs[0]].shape
		taps = math.prod(w[:2]) if kind == "depthwise_conv2d" else math.prod(w[1:])
		n = math.prod(y) * taps
		bits, floats = (bits + n, floats) if kind == "binary_conv2d" else (bits, floats + n)
	return floats, bits


def lines_of(facts):
	c, (floats, bits) = facts["checkpoint"], facts["cost"]
	options = ", ".join(f"{k} {v}" for k, v in c["options"].items()) or "none"
	if facts["licence"]:
		yield f"<!-- SPDX-License-Identifier: {facts['licence']} -->"
	yield f"# {facts['name']}"
	yield ""
	unlabelled = c.get("unlabelled", 0)
	yield (
		f"A backbone of bnnd, trained with tools/train on {c['pictures'] - unlabelled:,} pictures of {len(c['classes'])} "
		"classes" + f" and {unlabelled:,} more, of which only the teacher spoke" * bool(unlabelled) + "."
	)
	yield ""
	yield "| | |"
	yield "| --- | --- |"
	yield (
		f"| input | RGB, {facts['side']} x {facts['side']}; others: fit *cover*, Pillow's BILINEAR (picture rules 1); "
		"x = (byte - 118) / 64 |"
	)
	yield f"| output | {facts['n_features']} features of unit length |"
	yield f"| network | {c['net']}, options: {options} |"
	yield f"| `feature_id` | `{facts['feature_id']}` |"
	yield f"| multiply-adds | {floats:,} with floats, {bits:,} with bits |"
	yield from facts["estimates"]
	yield ""
	yield "## Data and its terms"
	yield ""
	yield facts["terms"]
	if c["teacher_from"]:
		yield "Trained with what EfficientNet-lite0 (ImageNet weights) says about the pictures."
	if c["init"]:
		yield f"Continued from the latent weights {c['init'].split('/')[-1]}: their card and terms hold here, too."
	yield ""
	yield "## Training and accuracy"
	yield ""
	if "sides" in c:
		yield (
			f"Batches of {c['batch']}, learning rate {c['rate']:g} falling to 0, blur {c['blur']:g}, sharpen "
			f"{c.get('sharpen', 0):g}; sides "
			+ ", ".join(f"{side} px until {share:.0%}" for share, side in c["sides"])
			+ " of the steps"
			+ f"; pictures seen nearly whole from {c['whole_from']:.0%} on" * (c.get("whole_from", 1) < 1)
			+ "."
		)
	yield (
		f"{c['epochs']:.1f} epochs, {c['seconds'] / 60:.0f} minutes. Top-1 of {len(c['classes'])} classes on "
		f"{facts['held_out']} held-out pictures, with the classifier of the training (not in the file): "
		f"{facts['top1']:.1%}." + f" Stopped at step {c['step']} of {c['steps']}." * (c["step"] < c["steps"])
	)
	yield (
		f"Whitened with {facts['whitened']} pictures of the trained classes, shrunk by {facts['shrink']:.2f} towards the "
		"identity."
	)
	yield ""
	if facts["accuracy"]:
		yield (
			"*n* pictures a class are taught, others asked; *means*: cosine class means; *LDA*: with the prior; *joint*: "
			"logistic regression on everything at once. Measured by the training code, before conversion."
		)
		yield ""
		yield from facts["accuracy"].splitlines()
		yield ""
	yield from lines_of_unknown(facts)
	yield "## How to rebuild"
	yield ""
	yield (
		"With the same data and options: python3 -m tools.train.train DATA OUT, then python3 -m tools.train.export "
		"OUT/checkpoint.pt NAME.bnn; doc/TRAINING.md has the commands for the shipped ones."
	)


def of_episodes(facts):
	"""Whose pictures the constants of Answers were fitted on."""
	trained = facts["episodes_trained"]
	if trained is None:
		return "held-out pictures of the trained classes, so others will be less sure than this says"
	if trained:
		return f"pictures of which {len(trained)} classes were trained, too, so others will be less sure than this says"
	return "pictures of classes that were not trained"


def lines_of_unknown(facts):
	constants, effect = facts["constants"], facts["effect"]
	sizes = effect["sizes"]
	of = of_episodes(facts)
	yield "## Unknown"
	yield ""
	yield (
		f"T = {constants['temperature']}; T_z = {constants['metric_temperature']:g}; sd_0 = {constants['deviation']}, worth "
		f"{constants['deviation_weight']:g} pictures; k = {', '.join(map(str, constants['deviations']))}; "
		f"theta = {constants['near_duplicate']:g}; rho_0 = {constants['pair_cosine']}, worth "
		f"{constants['pair_weight']:g} pictures; class_share = {constants['class_share']:g}; "
		f"h = {constants['few_pictures']:g}; doc/LEARNER.md says what they are. sd_0, k, rho_0 and T were fitted by episodes "
		f"on {of}: 1 to {sizes['classes'][1]} classes taught with 1 to {sizes['pictures'][1]} pictures each, the other "
		f"classes foreign. Class right in {effect['right']:.1%} of the known pictures of such lessons."
	)
	yield ""
	yield "| refuse | own pictures refused | foreign ones claimed |"
	yield "| --- | --- | --- |"
	for share, (own, foreign) in zip(REFUSE_SHARES, effect["shares"], strict=True):
		yield f"| {share} % | {own:.1%} | {foreign:.1%} |"
	yield ""


def text(facts):
	return "\n".join(lines_of(facts)) + "\n"
