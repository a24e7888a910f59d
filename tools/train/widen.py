# SPDX-License-Identifier: MIT
"""The latents of a photo network with a whole multiple of the channels in some stages, for the wider one to go on from.

Each channel becomes k copies of itself (Chen, Goodfellow, Shlens, "Net2Net", arXiv 1511.05641). Copied alike in and out,
a binary convolution gives k times its sums, which its batch norm divides by k: the wide network computes what the narrow
one does. Copies that are equal would stay equal, since their gradients are; so each gets a threshold of its own, SPREAD
apart (two copies then tell three ranges of their value apart, not two), and NOISE of the latent weights, which changes
few signs.
"""

import torch

SPREAD = 0.2  # thresholds of the copies lie evenly within +- so much
NOISE = 0.05  # standard deviation of what is added to latent weights
SEED = 7


def factors(before, after):
	"""How many copies each channel of a stage becomes."""
	if len(before) != len(after) or any(b % a for a, b in zip(before, after, strict=True)):
		raise SystemExit(
			f"channels {list(before)} of the latents cannot become {list(after)}: whole multiples of each stage's"
		)
	return [b // a for a, b in zip(before, after, strict=True)]


def copies(t, k, axis=0):
	return torch.cat([t] * k, axis)


def wide_float(w, k_out, k_in):
	"""Of a float convolution: the copies of an input share its weight."""
	return copies(copies(w, k_out), k_in, 1) / k_in


def wide_norm(state, name, k, sums):
	"""Batch norm of k copies of each channel, of values that are `sums` times as large."""
	made = {f"{name}.{part}": copies(state[f"{name}.{part}"], k) for part in ("weight", "bias")}
	made[f"{name}.running_mean"] = copies(state[f"{name}.running_mean"], k) * sums
	made[f"{name}.running_var"] = copies(state[f"{name}.running_var"], k) * sums**2
	made[f"{name}.num_batches_tracked"] = state[f"{name}.num_batches_tracked"]
	return made


def wide_layer(state, name, k, generator):
	"""A PhotoLayer."""
	w = copies(copies(state[f"{name}.w"], k), k, 1)
	t = state[f"{name}.t"]
	apart = torch.linspace(-SPREAD, SPREAD, k) if k > 1 else torch.zeros(1)
	made = wide_norm(state, f"{name}.bn", k, k)
	made[f"{name}.w"] = w + NOISE * torch.randn(w.shape, generator=generator) if k > 1 else w
	made[f"{name}.t"] = torch.cat([t + float(d) for d in apart], 1)
	made[f"{name}.act.weight"] = copies(state[f"{name}.act.weight"], k)
	return made


def widened(state, before, after):
	"""state: of channels `before`; of the same layers with channels `after`."""
	k, generator = factors(before, after), torch.Generator().manual_seed(SEED)
	made = {key: t for key, t in state.items() if not key.startswith(("body.", "stem.5.", "stem.6.", "last.0."))}
	made["stem.5.weight"] = wide_float(state["stem.5.weight"], k[0], 1)
	made.update(wide_norm(state, "stem.6", k[0], 1))
	made["last.0.weight"] = wide_float(state["last.0.weight"], 1, k[-1])
	stage = 0
	for name in sorted({key.rsplit(".", 1)[0] for key in state if key.endswith((".w", ".pw.weight"))}, key=place):
		if name.endswith(".pw"):
			stage += 1
			at = name.removesuffix(".pw")
			made[f"{at}.pw.weight"] = wide_float(state[f"{at}.pw.weight"], k[stage], k[stage - 1])
			made.update(wide_norm(state, f"{at}.bn", k[stage], 1))
		else:
			made.update(wide_layer(state, name, k[stage], generator))
	return made


def place(name):
	"""body.N... -> N"""
	return int(name.split(".")[1])
