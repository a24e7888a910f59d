# SPDX-License-Identifier: MIT
"""How good a checkpoint's features are, for choosing between backbones, and once a release for reporting.

  python3 -m tools.train.measure CHECKPOINT|efficientnet-lite0 --tiny DIR --shared DIR [--side 64] [--report [SET]]

Prints a Markdown table, for export.py --accuracy. efficientnet-lite0: the float network of teacher.py, for comparison.

--tiny: Tiny-ImageNet as prepare_tiny_imagenet.py writes it: top-1 of its validation part, with the classifier, and the
whitening, from that part. --shared: a folder with data/cifar10-train.bin.xz (BNND_SHARED_DATA). To choose by, few-shot
accuracy on CIFAR-10's *training* part alone: n pictures of each class are taught, others are asked. --report [SET] asks
test parts: CIFAR-10, CIFAR-100 and Fashion-MNIST, which nothing may be chosen by.
"""

from tools.train import command

if __name__ == "__main__":
	command.begin("torch", "numpy", "PIL")

import argparse
import functools
import gzip
import os
import pathlib

import numpy as np
import torch

from tools.train import checkpoint, nets, normalise, pictures, teacher
from tools.train.run import top1

REFERENCE = "efficientnet-lite0"
TAUGHT = (5, 20, 200)
ASKED_MOST = 5000
REPORTS = (("cifar10", (20, 1000)), ("cifar100", (20,)), ("fashion-mnist", (20,)))
ALL = "all"
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
FASHION_SIDE = 28


def load_any(path):
	"""A checkpoint, or a file of latents."""
	if path.suffix == ".npz":
		name, options, state = checkpoint.read_latents(path)
		net = nets.build(name, len(state["fc.bias"]), options)
		net.load_state_dict(state)
		return net.eval(), None
	return checkpoint.load_net(path)


def reference(side):
	"""As normalise.features of one network and side: the float teacher's pooled numbers, which are >= 0."""
	net = teacher.compiled(teacher.teacher_net())

	def pooled(x):
		batches = (pictures.squares(part, side) for part in pictures.batches(x, teacher.BATCH))
		return teacher.embed_whole(net, batches, side, torch.device("cpu"))

	return pooled


class Features:
	"""pooled (bytes N x S x S x 3 -> N x d) with the whitening and prior of held-out pictures."""

	def __init__(self, pooled, root, held_out):
		self.pooled, self.root = pooled, root
		raw = pooled(held_out.x)
		self.norm = normalise.whitening(raw, held_out.y, root, normalise.SHRINK)
		self.prior = normalise.prior_covariance(normalise.normalise(raw, *self.norm, root), held_out.y)

	def __call__(self, x):
		return normalise.normalise(self.pooled(x), *self.norm, self.root)

	def print_heads(self, what, taught, asked):
		found = normalise.heads(self(taught.x), taught.y, asked[0], asked[1], self.prior)
		print(f"| {what} | " + " | ".join(f"{share:.1%}" for share in found.values()) + " |", flush=True)


def cifar(shared, name, part):
	return pictures.load_cifar(shared / "data" / f"{name}-{part}.bin.xz")


def fashion(part):
	def idx(kind, skip):
		return np.frombuffer(gzip.open(FASHION / f"{part}-{kind}-ubyte.gz").read()[skip:], np.uint8)

	x = idx("images-idx3", 16).reshape(-1, FASHION_SIDE, FASHION_SIDE, 1).repeat(3, 3)
	return pictures.Pictures(x, idx("labels-idx1", 8), map(str, range(10)))


def choose_by(features, shared):
	"""CIFAR-10's training part: taught pictures and asked ones are others of it."""
	c10 = cifar(shared, "cifar10", "train")
	_, rest = normalise.few(c10.y, max(TAUGHT))
	asked = c10.some(rest).spread(ASKED_MOST)
	asked = features(asked.x), asked.y
	for n in TAUGHT:
		features.print_heads(f"CIFAR-10 training part, {n} a class", c10.some(normalise.few(c10.y, n)[0]), asked)


def report(features, shared, only):
	for name, counts in (r for r in REPORTS if only in (r[0], ALL)):
		if name == "fashion-mnist":
			parts = fashion("train"), fashion("t10k")
		else:
			parts = cifar(shared, name, "train"), cifar(shared, name, "test")
		asked = features(parts[1].x), parts[1].y
		for n in counts:
			features.print_heads(f"{name} test, {n} a class", parts[0].some(normalise.few(parts[0].y, n)[0]), asked)


def main(argv=None):
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("checkpoint", type=pathlib.Path, help="a checkpoint, latents, or " + REFERENCE)
	p.add_argument("--tiny", type=pathlib.Path, required=True)
	p.add_argument("--shared", type=pathlib.Path, default=os.environ.get("BNND_SHARED_DATA"))
	p.add_argument("--side", type=int, default=64)
	p.add_argument("--report", nargs="?", const=ALL, choices=[ALL] + [name for name, _ in REPORTS])
	p.add_argument("--threads", type=command.number(int, 1, 1024))
	a = p.parse_args(argv)
	if a.threads:
		torch.set_num_threads(a.threads)
	val = pictures.load_npy(a.tiny)[1]
	print(f"| {a.side} px | means | LDA | joint |\n| --- | --- | --- | --- |", flush=True)
	if str(a.checkpoint) == REFERENCE:
		features = Features(reference(a.side), True, val)
	else:
		net, _ = load_any(a.checkpoint)
		if net.fc.out_features == len(val.classes):
			right = top1(net, val, a.side, torch.device("cpu"))
			print(f"| Tiny-ImageNet validation, top-1 with the classifier | | | {right:.1%} |", flush=True)
		features = Features(functools.partial(normalise.features, net, side=a.side), net.root, val)
	if a.shared:
		if a.report:
			report(features, pathlib.Path(a.shared), a.report)
		else:
			choose_by(features, pathlib.Path(a.shared))


if __name__ == "__main__":
	command.run(main)
