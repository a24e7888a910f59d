# SPDX-License-Identifier: MIT
"""Trains a backbone on labelled pictures; started again with the same arguments it resumes from OUT/checkpoint.pt.

  python3 -m tools.train.train DATA OUT [--net photo] [--options '{"layers": [2, 4, 2]}'] [--epochs 30]
           [--sides 0.25:32,0.62:48,1:64] [--init X.latent.npz] [--teacher CACHE] [--also MORE:CACHE ...]
           [--save-latent X.latent.npz]

doc/TRAINING.md walks through it. The same arguments on the same machine with one thread give the same weights, whether
or not the run was interrupted: the randomness of each step is drawn from its number. Exit status: 0 when it is trained
to the end, 130 when Ctrl-C stopped it (143: SIGTERM), 1 and 2 with a sentence.
"""

from tools.train import command

if __name__ == "__main__":
	command.begin("torch", "numpy", "PIL")

import argparse
import pathlib
import shutil
import signal
import sys

import torch

from tools.train import binary, checkpoint, nets, pictures
from tools.train.run import Run


def schedule(text):
	"""'0.25:32,1:64' -> [(0.25, 32), (1.0, 64)]: side until that share of the steps."""
	try:
		phases = [(float(share), int(side)) for share, side in (part.split(":") for part in text.split(","))]
	except ValueError:
		raise argparse.ArgumentTypeError(f"{text!r} is not SHARE:SIDE,..., like 1:64 or 0.25:32,1:64") from None
	shares = [share for share, _ in phases]
	if shares != sorted(set(shares)) or not shares[0] > 0 or shares[-1] != 1:
		raise argparse.ArgumentTypeError(f"{text!r}: the shares must rise from above 0 and end at 1")
	if min(side for _, side in phases) < 1:
		raise argparse.ArgumentTypeError(f"{text!r}: sides are from 1 on")
	return phases


def beside(text):
	"""'MORE:CACHE' -> (folder of pictures, folder that teacher.py made of it)."""
	folder, colon, cache = text.partition(":")
	if not colon:
		raise argparse.ArgumentTypeError("MORE:CACHE")
	return pathlib.Path(folder), pathlib.Path(cache)


def arguments(argv=None):
	share = command.number(float, 0, 1)
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("data")
	p.add_argument("out", type=pathlib.Path)
	p.add_argument("--net", choices=nets.NETS, help="photo; with --init that of the file")
	p.add_argument(
		"--options",
		type=command.options,
		default={},
		help="of the network's constructor, as JSON; with --init: those that change",
	)
	p.add_argument("--epochs", type=command.number(float, 0, 1e6, above=True), default=30)
	p.add_argument("--batch", type=command.number(int, 2, 1 << 20), default=128)
	p.add_argument("--rate", type=command.number(float, 0, 1, above=True), help="learning rate: 2e-3, with --init 1e-3")
	p.add_argument("--smooth", type=share, default=0.0, help="label smoothing")
	p.add_argument(
		"--sides",
		type=schedule,
		default=schedule("0.25:32,0.62:48,1:64"),
		help="SHARE:SIDE,... of the training pictures; the last is what it will run at",
	)
	p.add_argument(
		"--store",
		type=command.number(int, 8, 4096),
		help="side that a folder's pictures are kept at: 5/4 of the last side",
	)
	p.add_argument(
		"--held-out",
		type=command.number(float, 0, 0.5, above=True),
		default=0.1,
		help="share of each class, where there is no val part",
	)
	p.add_argument("--init", type=pathlib.Path, help="latent weights to continue from; their options stay")
	p.add_argument("--teacher", type=pathlib.Path, help="folder that teacher.py made")
	p.add_argument(
		"--also",
		type=beside,
		action="append",
		default=[],
		metavar="MORE:CACHE",
		help="further pictures, whose classes do not count, and what the teacher says about them",
	)
	p.add_argument("--blur", type=share, default=0.0, help="share of the pictures that lose detail")
	p.add_argument("--sharpen", type=share, default=0.0, help="share of the others whose detail is made stronger")
	p.add_argument(
		"--whole-from",
		type=share,
		default=1.0,
		metavar="SHARE",
		help="from this share of the steps on it sees pictures nearly whole, as it will be asked about them",
	)
	p.add_argument("--save-latent", type=pathlib.Path, help="at the end")
	p.add_argument("--evaluate", type=command.number(int, 1), default=1, help="every so many epochs")
	p.add_argument("--save-minutes", type=command.number(float, 0, above=True), default=10)
	p.add_argument("--device", help="cuda or cpu: what there is")
	p.add_argument(
		"--bfloat16",
		action=argparse.BooleanOptionalAction,
		default=None,
		help="binary convolutions while training (binary.py): by default on a GPU",
	)
	p.add_argument(
		"--compile", action="store_true", help="with torch.compile: a minute first, then nearly twice as fast"
	)
	p.add_argument("--threads", type=command.number(int, 1, 1024))
	p.add_argument("--seed", type=command.number(int, 0, 1 << 31), default=1)
	a = p.parse_args(argv)
	a.rate = a.rate or (1e-3 if a.init else 2e-3)
	a.store = a.store or a.sides[-1][1] * 5 // 4
	return a


def latents_of(a):
	"""(options, state) of --init or None. The network and the options of the file hold where no others are given."""
	if not a.init:
		a.net = a.net or "photo"
		return None
	name, options, state = checkpoint.read_latents(a.init)
	if a.net not in (None, name):
		raise SystemExit(f"{a.init} is of the network {name}, not {a.net}: leave --net out")
	try:
		before, now = (nets.full_options(name, o) for o in (options, {**options, **a.options}))
	except SystemExit as e:
		raise SystemExit(f"{e}; {checkpoint.said_options(a.init, options)}") from None
	a.net, a.options = name, {**options, **a.options}
	for key in before:
		if before[key] != now[key]:
			print(f"--options changes the network: {key} is {before[key]} in {a.init}, {now[key]} from here on")
	return options, state


def check(a):
	"""What can be known before any picture is read."""
	if a.also and not a.teacher:
		raise SystemExit("--also is for a --teacher")
	for folder in [a.teacher] * bool(a.teacher) + [p for pair in a.also for p in pair]:
		if not folder.is_dir():
			raise SystemExit(f"{folder}: no such folder")
	multiple = nets.NETS[a.net].side_multiple
	for _, side in a.sides:
		if side % multiple:
			raise SystemExit(f"{a.net} takes sides that are multiples of {multiple}, not {side}")
	nets.full_options(a.net, a.options)
	if not pathlib.Path(a.data).exists():
		raise SystemExit(f"{a.data}: no such folder or file")
	if a.save_latent:
		command.writable(a.save_latent)
	if a.out.exists() and not a.out.is_dir():
		raise SystemExit(f"{a.out}: is a file; give a folder")
	if not (shutil.which("protoc") and command.there("google.protobuf")):
		print(
			"beforehand: export.py will need protoc (Debian: protobuf-compiler) and pip install "
			+ command.PIP_NAMES["google.protobuf"]
		)


def check_pictures(a, train, held_out):
	if len(train.classes) < pictures.CLASSES_LEAST:
		raise SystemExit(
			f"{a.data}: one class only ({train.classes[0]}): a network learns by telling classes apart, give a "
			"folder with two class folders or more"
		)
	if not len(held_out):
		raise SystemExit(f"{a.data}: nothing to hold out: no class has two pictures")


def device_of(a):
	try:
		device = torch.device(a.device or ("cuda" if torch.cuda.is_available() else "cpu"))
		torch.zeros(1, device=device)
	except (RuntimeError, AssertionError) as e:
		raise SystemExit(f"--device {a.device}: {str(e).splitlines()[0]}") from None
	binary.Precision.choose(device, device.type == "cuda" if a.bfloat16 is None else a.bfloat16)
	return device


def main(argv=None):
	a = arguments(argv)
	latents = latents_of(a)
	check(a)
	if a.threads:
		torch.set_num_threads(a.threads)
	device = device_of(a)
	a.out.mkdir(parents=True, exist_ok=True)
	train, held_out = pictures.load(a.data, a.store, a.held_out, a.out)
	check_pictures(a, train, held_out)
	print(
		f"{len(train)} pictures of {len(train.classes)} classes, {len(held_out)} held out; {a.net} on {device}",
		flush=True,
	)
	torch.manual_seed(a.seed)
	run = Run(a, train, held_out, device, latents)
	if run.path.exists():
		run.resume()
	if run.step < run.steps:
		stopped = []
		for name in (signal.SIGINT, signal.SIGTERM):
			signal.signal(name, lambda number, _: stopped.append(number))
		if not run.go(lambda: stopped):
			print(f"stopped at step {run.step} of {run.steps}: start again with the same arguments to resume")
			sys.exit(128 + stopped[0])
		print(f"{run.path}: {run.seconds / 60:.1f} minutes of training")
	if a.save_latent:
		checkpoint.save_latents(a.save_latent, run.net.state_dict(), a.net, a.options)


if __name__ == "__main__":
	command.run(main)
