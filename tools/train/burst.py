# SPDX-License-Identifier: MIT
"""Trains for so many seconds on a machine that is there for minutes, while the pictures still arrive.

  python3 -m tools.train.burst PARTS OUT --init X.latent.npz --seconds 600 [--options JSON]
           [--teacher-size 2] [--questions FOLDER] [--beside X.latent.npz:96 ...]

PARTS is a folder that pack.py's part-*.npz are moved into, whole, one at a time and at any time; training begins with the
first and goes on with what there is. Each is decoded by a few processes; pictures, views and what the teacher says about
them then stay on the device. The rate falls with the time that has gone by, not with steps, so the end comes when it was
said, whatever the machine's speed. OUT gets `log`, `latest.latent.npz` every minute and `last.latent.npz` at the end,
with the network's binary weights as bytes, and `table.json`: accuracies of the second-order head on the labelled sets of
--questions (files as pack.py writes them, which may come later, too): of the network at half and at the end, and of
--beside untouched.

The losses are train.py's, and each stage has one of its own: its mean and deviation say the teacher's embedding.
"""

from tools.train import command

if __name__ == "__main__":
	command.begin("torch", "numpy", "PIL")

import argparse
import json
import math
import multiprocessing
import pathlib
import threading
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from tools.train import augment, binary, checkpoint, nets, pack, pictures, second_order, teacher
from tools.train.run import AREA_IN_VIEW, AREA_WHOLE, LEAST_RATE, WARM_UP_STEPS, optimiser
from tools.train.train import schedule

N_VIEWS = 2
TEACHER_BATCH = 256
STAGE_WEIGHT = 0.3  # of each stage's own loss
LOOK_STEPS = 25  # between looks at the clock, the loss and the folder
SAVE_SECONDS, LOG_SECONDS = 60, 20
TAUGHT, DRAWS = (5, 20), 3
FIT_MOST = 8000  # training pictures, of which those with classes fit the features of the questions
WAIT_SECONDS = 0.5


class Log:
	"""Lines with the seconds since the start, to OUT/log and standard output."""

	def __init__(self, out):
		self.start, self.file = time.monotonic(), open(out / "log", "a")

	def __call__(self, *words):
		line = f"[{time.monotonic() - self.start:6.1f}] " + " ".join(map(str, words))
		print(line, flush=True)
		print(line, file=self.file, flush=True)

	def end(self):
		self.file.close()


# --- pictures --------------------------------------------------------------------------------------------------------


class Shelf:
	"""All pictures of one side, on the device. x: bytes n x S x S x 3; y: classes; views, embeddings: a view each."""

	def __init__(self, x, y, views, embeddings):
		self.parts = x, y, views, embeddings

	def __len__(self):
		return len(self.parts[1])

	def more(self, other):
		self.parts = [torch.cat(pair, axis) for axis, *pair in zip((0, 0, 1, 1), self.parts, other.parts, strict=True)]

	def some(self, index, view):
		x, y, views, embeddings = self.parts
		x = x[index].permute(0, 3, 1, 2).float()
		return x, y[index], views[view, index], embeddings[view, index].float()


class Shelves:
	"""The pictures that have come so far, by side."""

	def __init__(self, net, side, device, seed):
		"""net: the teacher, which is shown pictures at this side."""
		self.net, self.side, self.device = net, side, device
		self.shelves, self.classes = {}, None
		self.rng = np.random.default_rng(seed)

	def __len__(self):
		return sum(map(len, self.shelves.values()))

	def said(self, x, views):
		"""The teacher's embeddings of bytes n x S x S x 3 on the device, in views n x 4."""
		made, n = [], TEACHER_BATCH if self.device.type == "cuda" else min(TEACHER_BATCH, len(x))
		for i in range(0, len(x), n):  # whole batches alone: another shape costs a GPU seconds
			index = torch.arange(i, i + n, device=self.device) % len(x)
			some = x[index].permute(0, 3, 1, 2).float()
			made.append(teacher.pooled(self.net, some, views[index], self.side).half())
		return torch.cat(made)[: len(x)]

	def add(self, squares, labels, classes):
		"""squares: arrays S x S x 3, of several sides."""
		if self.classes not in (None, classes):
			raise SystemExit("the parts are of different classes")
		self.classes = classes
		sides = np.array([len(s) for s in squares])
		for side in sorted(set(sides)):
			index = np.flatnonzero(sides == side)
			x = torch.from_numpy(np.stack([squares[i] for i in index])).to(self.device)
			views = torch.from_numpy(teacher.fixed_views(N_VIEWS, len(index))).to(self.device)
			said = torch.stack([self.said(x, v) for v in views])
			made = Shelf(x, torch.from_numpy(labels[index]).to(self.device), views, said)
			if side in self.shelves:
				self.shelves[side].more(made)
			else:
				self.shelves[side] = made

	def labelled(self):
		"""(embeddings of what has classes, an array for each view; their classes), on the CPU."""
		shelves = [(s, s.parts[1] != pack.NO_CLASS) for s in self.shelves.values()]
		said = [s.parts[3][:, known].cpu().numpy() for s, known in shelves]
		return np.concatenate(said, 1), np.concatenate([s.parts[1][known].cpu().numpy() for s, known in shelves])

	def some_labelled(self, most):
		"""(pictures, classes) of those, at most about so many."""
		x, y = [], []
		for shelf in self.shelves.values():
			known = torch.nonzero(shelf.parts[1] != pack.NO_CLASS).flatten()
			known = known[:: max(1, len(self) // most)]
			x += list(shelf.parts[0][known].cpu().numpy())
			y.append(shelf.parts[1][known].cpu().numpy())
		return x, np.concatenate(y)

	def batch(self, n, view):
		"""(groups as augment() takes them, classes, views, embeddings): n pictures, drawn; the places of the sides are
		drawn, too, as the first places lose detail."""
		lengths = np.array([len(s) for s in self.shelves.values()])
		counts = self.rng.multinomial(n, lengths / lengths.sum())
		places = torch.randperm(n, device=self.device).split(counts.tolist())
		y = torch.empty(n, dtype=torch.int64, device=self.device)
		views = torch.empty(n, 4, device=self.device)
		embeddings = torch.empty(n, teacher.EMBEDDING, device=self.device)
		groups = []
		for shelf, place in zip(self.shelves.values(), places, strict=True):
			if len(place):
				index = torch.randint(len(shelf), (len(place),), device=self.device)
				x, y[place], views[place], embeddings[place] = shelf.some(index, view)
				groups.append((place, x))
		return groups, y, views, embeddings


class Arrivals:
	"""Parts as they come: decoded in other processes, one part at a time."""

	def __init__(self, folder, processes):
		self.folder, self.seen, self.waiting = folder, set(), None
		# A fork shares what is imported: made before torch does anything, see main().
		self.pool = multiprocessing.get_context("fork").Pool(processes)

	def next(self):
		"""(name, squares, labels, classes) of a part that is ready, or None."""
		if self.waiting:
			name, made, labels, classes = self.waiting
			if not made.ready():
				return None
			self.waiting = None
			return name, made.get(), labels, classes
		new = sorted(p for p in self.folder.glob("part-*.npz") if p not in self.seen)
		if new:
			self.seen.add(new[0])
			files, labels, classes = pack.read_part(new[0])
			self.waiting = new[0].name, self.pool.map_async(pack.decode, files, chunksize=64), labels, classes
		return None

	def end(self):
		self.pool.terminate()


# --- questions -------------------------------------------------------------------------------------------------------


class Questions:
	"""Labelled sets that a network is asked about, and the table of its answers."""

	def __init__(self, folder, out, log, pool):
		self.sets, self.folder, self.out, self.log, self.pool = {}, folder, out / "table.json", log, pool
		self.table = []

	def read(self):
		"""Those that have come by now."""
		for path in sorted(self.folder.glob("*.npz")) if self.folder else []:
			if path.stem not in self.sets:
				files, labels, _ = pack.read_part(path)
				self.sets[path.stem] = self.pool.map(pack.decode, files, chunksize=64), labels

	def ask(self, name, net, side, shelves):
		"""Adds a line of accuracies in per cent; leaves the network in the mode it was in."""
		self.read()
		x, y = shelves.some_labelled(FIT_MOST)
		if not self.sets or not len(y):
			return
		was_training, was_tuned = net.training, torch.backends.cudnn.benchmark
		net.eval()
		torch.backends.cudnn.benchmark = False  # many shapes, each used once
		made = second_order.Features(second_order.statistics(net, resized(x, side), side), y)
		line = {"name": name, "side": side}
		for key, (squares, labels) in self.sets.items():
			groups = made(second_order.statistics(net, resized(squares, side), side))
			for n in TAUGHT:
				line[f"{key} {n}"] = round(100 * second_order.accuracy(groups, labels, n, DRAWS), 2)
		for n in TAUGHT:
			line[f"mean {n}"] = round(float(np.mean([line[f"{key} {n}"] for key in self.sets])), 2)
		net.train(was_training)
		torch.backends.cudnn.benchmark = was_tuned
		self.table.append(line)
		self.out.write_text(json.dumps(self.table, indent=1) + "\n")
		self.log(json.dumps(line))


def resized(squares, side):
	"""Squares of several sides -> bytes N x side x side x 3, as lib/image resizes."""
	return np.concatenate([pictures.squares(s[None], side) for s in squares])


# --- training --------------------------------------------------------------------------------------------------------


class StageLosses(nn.Module):
	"""What each stage's mean and deviation say about where the teacher's embedding lies from its mean."""

	def __init__(self, channels):
		super().__init__()
		self.norms = nn.ModuleList(nn.BatchNorm1d(2 * c, affine=False) for c in channels)
		self.heads = nn.ModuleList(nn.Linear(2 * c, teacher.EMBEDDING) for c in channels)
		self.register_buffer("mean", torch.zeros(teacher.EMBEDDING))

	def forward(self, maps, embeddings):
		aim, total = embeddings - self.mean, 0.0
		for norm, head, m in zip(self.norms, self.heads, maps, strict=True):
			x = norm(torch.cat([m.mean((2, 3)), (m.var((2, 3), unbiased=False) + 1e-6).sqrt()], 1))
			with torch.autocast(x.device.type, torch.bfloat16, enabled=binary.Precision.backward == torch.bfloat16):
				made = head(x)
			total = total + (1 - F.cosine_similarity(made.float(), aim)).mean()
		return total


class Burst:
	"""The network, what it learns from and by, and the clock."""

	def __init__(self, a, device, shelves):
		name, options, state = checkpoint.read_latents(a.init)
		self.a, self.device, self.shelves = a, device, shelves
		self.name, self.options = name, {**options, **a.options}
		self.net = nets.build(name, len(shelves.classes), self.options)
		checkpoint.continue_from(self.net, options, state, str(a.init))
		self.net.to(device, memory_format=torch.channels_last).train()
		fc = shelves.net._fc
		self.losses = teacher.Losses(self.net.fc.in_features, fc.weight.detach(), fc.bias.detach()).to(device)
		self.stages = StageLosses(self.net.channels).to(device)
		extra = [*self.losses.named_parameters(), *[(f"stages.{n}", p) for n, p in self.stages.named_parameters()]]
		self.optimiser = optimiser(self.net, extra, a.rate)
		self.step, self.rng = 0, np.random.default_rng(a.seed)

	def refit(self):
		"""The teacher's classifier of the pictures' own classes, and its mean, with what there is now."""
		said, y = self.shelves.labelled()
		if len(y):
			w, b = teacher.fit_own(said, y, len(self.shelves.classes), self.device)
			self.losses.set_own(torch.from_numpy(w).to(self.device), torch.from_numpy(b).to(self.device))
		first = [s.parts[3][0].float().sum(0) for s in self.shelves.shelves.values()]
		self.stages.mean.copy_(sum(first) / len(self.shelves))

	def one_step(self, share):
		"""share: of the time that has gone by."""
		whole = share >= self.a.whole_from
		view = teacher.WHOLE_VIEW if whole else int(self.rng.integers(N_VIEWS))
		side = next(side for until, side in self.a.sides if share < until)
		groups, y, views, embeddings = self.shelves.batch(self.a.batch, view)
		x = augment.augment(groups, side, views, AREA_WHOLE if whole else AREA_IN_VIEW, self.a.blur, self.a.sharpen)
		features, maps = self.net.stage_maps(x)
		loss = self.losses.class_loss(self.net.fc(features), y, embeddings) + self.losses.loss(features, embeddings)
		loss = loss + STAGE_WEIGHT * self.stages(maps, embeddings)
		for group in self.optimiser.param_groups:
			group["lr"] = self.a.rate * max(min(1, (self.step + 1) / WARM_UP_STEPS) * (1 - share), LEAST_RATE)
		self.optimiser.zero_grad(set_to_none=True)
		loss.backward()
		self.optimiser.step()
		self.net.project()
		self.step += 1
		return loss, side

	def save(self, path):
		"""In a thread of its own; the numbers are taken now."""
		state = {k: t.detach().cpu().clone() for k, t in self.net.state_dict().items()}
		work = threading.Thread(target=checkpoint.save_latents, args=(path, state, self.name, self.options, True))
		work.start()
		return work


def wait_for_first(arrivals, shelves, log, seconds):
	until = time.monotonic() + seconds
	while True:
		part = arrivals.next()
		if part:
			return add(part, shelves, log)
		if time.monotonic() > until:
			raise SystemExit(f"no part has come into {arrivals.folder} in {seconds:.0f} s")
		time.sleep(WAIT_SECONDS)


def add(part, shelves, log):
	name, squares, labels, classes = part
	start = time.monotonic()
	shelves.add(squares, labels, classes)
	log(f"{name}: {len(labels)} pictures, {len(shelves)} now; the teacher took {time.monotonic() - start:.1f} s")


def beside(text):
	path, _, side = text.rpartition(":")
	if not path or not side.isdigit():
		raise argparse.ArgumentTypeError(f"{text!r} is not FILE:SIDE")
	return pathlib.Path(path), int(side)


def ask_beside(a, questions, shelves, device):
	for path, side in a.beside:
		name, options, state = checkpoint.read_latents(path)
		net = nets.build(name, len(state["fc.bias"]), options)
		checkpoint.continue_from(net, options, state, str(path))
		questions.ask(path.name, net.to(device, memory_format=torch.channels_last), side, shelves)


class Watch:
	"""What is done beside the steps, now and then: new parts, a line, a file, the questions at half."""

	def __init__(self, a, burst, arrivals, questions, log):
		self.a, self.burst, self.arrivals, self.questions, self.log = a, burst, arrivals, questions, log
		self.said = self.saved = time.monotonic()
		self.steps, self.half_asked, self.work = 0, False, None

	def look(self, loss, side, share):
		burst, now = self.burst, time.monotonic()
		if not math.isfinite(loss):
			raise SystemExit(f"the loss of step {burst.step} is {loss}")
		if part := self.arrivals.next():
			add(part, burst.shelves, self.log)
			burst.refit()
		if now - self.said > LOG_SECONDS:
			speed = (burst.step - self.steps) * self.a.batch / (now - self.said)
			self.log(f"step {burst.step}, {share:.0%}, {side} px: loss {loss:.3f}, {speed:.0f} pictures/s")
			self.said, self.steps = now, burst.step
		if now - self.saved > SAVE_SECONDS and not (self.work and self.work.is_alive()):
			self.work, self.saved = burst.save(self.a.out / "latest.latent.npz"), now
		if share > 0.5 and not self.half_asked:
			self.half_asked = True
			self.questions.ask("half", burst.net, self.a.sides[-1][1], burst.shelves)

	def end(self):
		if self.work:
			self.work.join()


def train(a, burst, watch, start):
	"""Until the time is over."""
	while (share := (time.monotonic() - start) / a.seconds) < 1:
		loss, side = burst.one_step(share)
		if burst.step % LOOK_STEPS == 0:
			watch.look(loss.item(), side, share)
	watch.end()


def main(argv=None):
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("parts", type=pathlib.Path)
	p.add_argument("out", type=pathlib.Path)
	p.add_argument("--init", type=pathlib.Path, required=True)
	p.add_argument("--options", type=command.options, default={})
	p.add_argument("--seconds", type=command.number(float, 0, 1e6, above=True), required=True)
	p.add_argument("--sides", type=schedule, default=schedule("0.35:96,1:128"))
	p.add_argument("--whole-from", type=float, default=0.8)
	p.add_argument("--batch", type=command.number(int, 2, 100000), default=512)
	p.add_argument("--rate", type=command.number(float, 0, 1, above=True), default=1.5e-3)
	p.add_argument("--blur", type=command.number(float, 0, 1), default=0.4)
	p.add_argument("--sharpen", type=command.number(float, 0, 1), default=0.5)
	p.add_argument("--teacher-size", type=int, choices=(0, 1, 2), default=2)
	p.add_argument("--teacher-side", type=command.number(int, 32, 1024), default=224)
	p.add_argument("--questions", type=pathlib.Path)
	p.add_argument("--beside", type=beside, nargs="*", default=[])
	p.add_argument("--processes", type=command.number(int, 1, 256), default=5)
	p.add_argument("--seed", type=int, default=1)
	a = p.parse_args(argv)
	a.out.mkdir(parents=True, exist_ok=True)
	log, arrivals = Log(a.out), Arrivals(a.parts, a.processes)
	try:
		work(a, log, arrivals)
	finally:
		arrivals.end()
		log.end()


def work(a, log, arrivals):
	device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
	torch.backends.cudnn.benchmark = True
	binary.Precision.choose(device, device.type == "cuda")
	torch.manual_seed(a.seed)
	log(f"on {torch.cuda.get_device_name() if device.type == 'cuda' else 'the CPU'}, PyTorch {torch.__version__}")
	net = teacher.teacher_net(a.teacher_size).to(device)
	shelves = Shelves(net, a.teacher_side, device, a.seed)
	wait_for_first(arrivals, shelves, log, a.seconds)
	burst = Burst(a, device, shelves)
	burst.refit()
	questions = Questions(a.questions, a.out, log, arrivals.pool)
	train(a, burst, Watch(a, burst, arrivals, questions, log), log.start)
	burst.save(a.out / "last.latent.npz").join()
	log(f"{burst.step} steps, {burst.step * a.batch} pictures seen, {len(shelves)} different ones")
	questions.ask("end", burst.net, a.sides[-1][1], shelves)
	ask_beside(a, questions, shelves, device)
	(a.out / "done").write_text("")


if __name__ == "__main__":
	command.run(main)
