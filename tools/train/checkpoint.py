# SPDX-License-Identifier: MIT
"""Files of a training run: checkpoints that resume, and latent weights to continue from.

A checkpoint holds everything of a run and is replaced atomically. Latents are the network alone, float16 where it has
many numbers: a few MB, kept beside what is gone on from (models/NAME.latent.npz). Those of large networks have their
binary weights in steps of 1 / STEPS, a byte each.
"""

import io
import json
import os
import pathlib
import zipfile

import numpy as np
import torch

from tools.train import nets
from tools.train.binary import is_latent

DESCRIPTION = "__net__"  # name and options of the network, as JSON
STEPS = 64  # of a latent weight that is kept as a byte: the middle of a step is never zero, so every sign is kept
HALF_SMALLEST = 2.0**-24
HALF_LARGEST = 65504.0
BNN_MAGIC = b"\x89BNND"
NEEDED = ("net", "options", "classes", "model", "step", "steps", "side", "data", "store", "held_out")


def replace(path, body):
	"""The file is the old one or the whole new one. What fails is said here: torch and zipfile, writing to a full disk
	themselves, hide the reason behind errors of their own."""
	path = pathlib.Path(path)
	part = path.with_suffix(".part")
	try:
		with open(part, "wb") as f:
			f.write(body)
			f.flush()
			os.fsync(f.fileno())
		os.replace(part, path)
	except OSError as e:
		part.unlink(missing_ok=True)
		raise SystemExit(f"{path}: cannot be written, what was there is left as it is: {e.strerror}") from None


def save(path, contents):
	body = io.BytesIO()
	torch.save(contents, body)
	replace(path, body.getbuffer())


def load(path):
	path = pathlib.Path(path)
	if path.is_dir():
		raise SystemExit(f"{path}: is a folder: give {path / 'checkpoint.pt'}")
	if not path.exists():
		raise SystemExit(f"{path}: no such file")
	try:
		contents = torch.load(path, map_location="cpu", weights_only=True)
		missing = [k for k in NEEDED if k not in contents]
	except Exception as e:  # damaged files make torch and pickle raise anything
		raise SystemExit(
			f"{path}: not a checkpoint of train.py, or it is cut short ({type(e).__name__}); "
			"to begin again, move it away"
		) from None
	if missing:
		raise SystemExit(f"{path}: not a checkpoint of train.py: it lacks {', '.join(missing)}")
	return contents


def load_net(path):
	"""(network in eval mode, checkpoint) of a checkpoint file."""
	contents = load(path)
	net = nets.build(contents["net"], len(contents["classes"]), contents["options"])
	try:
		net.load_state_dict(contents["model"])
	except RuntimeError as e:
		raise SystemExit(f"{path}: its weights do not fit its options {contents['options']}: {e}") from None
	return net.eval(), contents


def to_half(a):
	"""float16 of the same signs: what would become zero keeps its sign, what is too large the largest number."""
	half = np.clip(a, -HALF_LARGEST, HALF_LARGEST).astype(np.float16)
	return np.where((half == 0) & (a < 0), np.float16(-HALF_SMALLEST), half)


def to_steps(a):
	return np.clip(np.floor(a * STEPS), -128, 127).astype(np.int8)


def of_steps(a):
	return (a.astype(np.float32) + 0.5) / STEPS


def save_latents(path, state, name, options, as_bytes=False):
	"""Matrices and filters as float16, vectors (batch norm's variances are large) as float32; as_bytes: the binary
	weights in steps."""
	arrays = {DESCRIPTION: np.array(json.dumps({"net": name, "options": options}))}
	for key, tensor in state.items():
		a = tensor.detach().cpu().numpy()
		if as_bytes and is_latent(key):
			arrays[key] = to_steps(a)
		else:
			arrays[key] = to_half(a) if a.ndim > 1 and a.dtype == np.float32 else a
	body = io.BytesIO()
	np.savez_compressed(body, **arrays)
	replace(path, body.getbuffer())


def read_latents(path):
	"""(name, options, {key: tensor}). A file without a description is of the first photo backbone."""
	path = pathlib.Path(path)
	if path.is_dir():
		raise SystemExit(f"{path}: is a folder: give the file of latent weights, NAME.latent.npz")
	if not path.exists():
		raise SystemExit(f"{path}: no such file")
	with open(path, "rb") as f:
		if f.read(len(BNN_MAGIC)) == BNN_MAGIC:
			raise SystemExit(
				f"{path}: a .bnn file has the signs of the weights alone, nothing to train on from: give its "
				"latent weights, NAME.latent.npz"
			)
	try:
		arrays = dict(np.load(path))
		described = (
			json.loads(str(arrays.pop(DESCRIPTION))) if DESCRIPTION in arrays else {"net": "photo", "options": {}}
		)
		name, options = described["net"], described["options"]
		numbers = [a.dtype.kind in "iu" or a.dtype.kind == "f" and np.isfinite(a).all() for a in arrays.values()]
		sound = isinstance(name, str) and isinstance(options, dict) and all(numbers) and "fc.bias" in arrays
	except Exception as e:  # damaged files make numpy and zipfile raise anything
		if zipfile.is_zipfile(path) and any(n.endswith("/data.pkl") for n in zipfile.ZipFile(path).namelist()):
			raise SystemExit(
				f"{path}: a checkpoint: give the latent weights that export.py makes of it, NAME.latent.npz"
			) from None
		raise SystemExit(f"{path}: no latent weights, or cut short ({type(e).__name__}: {e})") from None
	if not sound:
		raise SystemExit(f"{path}: no latent weights: not numbers of a network")
	arrays = {k: of_steps(a) if a.dtype == np.int8 and is_latent(k) else a for k, a in arrays.items()}
	state = {
		k: torch.from_numpy(a.astype(np.float32)) if a.dtype.kind == "f" else torch.tensor(a) for k, a in arrays.items()
	}
	return name, options, state


def said_options(what, options):
	return f"{what} has the options {json.dumps(options)}: leave --options out to keep them"


def continue_from(net, options, state, what="the latents"):
	"""Loads latents that were trained with these options; a classifier of other classes stays new, and a network may
	have other numbers of layers (Net.grown). Returns the names that were left out."""
	have = said_options(what, options)
	try:
		state = net.grown(options, state)
	except SystemExit as e:
		raise SystemExit(f"{e}; {have}") from None
	own = net.state_dict()
	missing = sorted(k for k in own if k not in state and not k.startswith("fc."))
	if missing:
		raise SystemExit(f"{what} lacks {', '.join(missing[:3])}: it is of another network; {have}")
	other = sorted(k for k in own if k in state and own[k].shape != state[k].shape)
	bad = [k for k in other if not k.startswith("fc.")]
	if bad:
		raise SystemExit(
			f"{bad[0]} has the shape {list(state[bad[0]].shape)} there, with these options "
			f"{list(own[bad[0]].shape)}; {have}"
		)
	own.update({k: v for k, v in state.items() if k in own and k not in other})
	net.load_state_dict(own)
	return other
