# SPDX-License-Identifier: MIT
"""One training run: its network, pictures and optimiser, and the steps. train.py is the command.

A run is its words: the arguments and pictures that decide its weights. They are kept in the checkpoint, and only the
same words go on from it; so what its card says is what was trained.
"""

import hashlib
import math
import time

import numpy as np
import torch
import torch.nn.functional as F

from tools.train import augment, binary, checkpoint, nets, pictures
from tools.train.teacher import WHOLE_VIEW, Teacher

WARM_UP_STEPS = 300
LEAST_RATE = 1e-3  # of the first learning rate, at the end
WEIGHT_DECAY = 0.02  # of float matrices; nothing else decays
LOG_STEPS, LOG_SECONDS = 100, 30
VALIDATION_MOST = 4000
AREA, AREA_IN_VIEW = 0.25, 0.75  # least share of a picture, or of a teacher's view, that a crop shows
AREA_WHOLE = 0.8  # the same once --whole-from is reached
DEVICE_SHARE = 0.5  # of the device's free memory that the pictures may take
OWN_WORDS = ("epochs", "batch", "rate", "smooth", "sides", "held_out", "blur", "sharpen", "whole_from", "seed")


class Store:
	"""The training pictures, on the device if they fit there; parts of different sides stay apart."""

	def __init__(self, data, device):
		self.data, self.device = data, device
		self.y = torch.from_numpy(data.y).to(device)
		self.rows = data.x if isinstance(data.x, pictures.Rows) else pictures.Rows([data.x])
		self.kept = None
		size = sum(part.size for part in self.rows.parts)
		if device.type == "cuda" and size < DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
			self.kept = [torch.from_numpy(np.array(part)).to(device) for part in self.rows.parts]

	def batch(self, index):
		"""([(places in the batch, floats 0..255, n x 3 x S x S)] of the pictures of one side each, labels)."""
		groups = []
		for i, places, rows in self.rows.touched(index):
			if self.kept:
				x = self.kept[i][torch.from_numpy(rows).to(self.device)].permute(0, 3, 1, 2).float()
			else:
				x = pictures.tensor(self.rows.parts[i][rows], self.device)
			groups.append((torch.from_numpy(places).to(self.device), x))
		return groups, self.y[torch.from_numpy(index).to(self.device)]


def optimiser(net, extra, rate):
	named = list(net.named_parameters()) + [(f"extra.{n}", p) for n, p in extra]
	named = [(n, p) for n, p in named if p.requires_grad]
	decays = [p for n, p in named if p.ndim > 1 and p.shape[0] > 1 and not binary.is_latent(n)]
	ids = {id(p) for p in decays}
	rest = [p for _, p in named if id(p) not in ids]
	return torch.optim.AdamW(
		[{"params": decays, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}], lr=rate, fused=True
	)


@torch.no_grad()
def top1(net, data, side, device, batch=250):
	"""Share of data whose class the network ranks first. Leaves the network in the mode it was in."""
	was_training = net.training
	net.eval()
	right = 0
	for i in range(0, len(data), batch):
		x = pictures.tensor(pictures.squares(data.x[i : i + batch], side), device)
		right += (net(nets.prepare(x)).argmax(1).cpu().numpy() == data.y[i : i + batch]).sum()
	net.train(was_training)
	return float(right) / max(len(data), 1)


class Pace:
	"""Speed and time left, from the steps since the last line. The time of a step grows as the square of the side, so
	what is left is counted in steps of the present side."""

	def __init__(self, sides, steps, batch):
		self.sides, self.steps, self.batch = sides, steps, batch
		self.evaluation = 0.0  # seconds of the last one
		self.clear()

	def clear(self):
		self.losses, self.seconds, self.said = [], 0.0, time.monotonic()

	def add(self, loss, seconds):
		self.losses.append(loss)
		self.seconds += seconds

	def side(self, step):
		"""Of the step that comes next; at the end of the last one."""
		share = step / self.steps
		return next((side for until, side in self.sides if share < until), self.sides[-1][1])

	def steps_left(self, step):
		"""Steps of the present side that take as long as what is left."""
		now, at, left = self.side(step), step, 0.0
		for until, side in self.sides:
			end = max(at, until * self.steps)
			left += (end - at) * (side / now) ** 2
			at = end
		return left

	def line(self, step, evaluations):
		"""What to print, with so many evaluations to come; then counts afresh."""
		a_step = self.seconds / len(self.losses)
		left = self.steps_left(step) * a_step + evaluations * self.evaluation
		text = (
			f"step {step} of {self.steps}, {self.side(step)} px: loss {np.mean(self.losses):.3f}, "
			f"{self.batch / a_step:.0f} pictures/s, "
			+ (f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s")
			+ " left"
		)
		self.clear()
		return text


class Run:
	"""Everything of one training run; `step` says how far it is. latents: (options, state) to continue from."""

	def __init__(self, a, train, held_out, device, latents=None):
		self.a, self.device, self.held_out = a, device, held_out.spread(VALIDATION_MOST)
		self.classes = train.classes
		self.net = nets.build(a.net, len(train.classes), a.options)
		check_last(self.net, a)
		if latents:
			left_out = checkpoint.continue_from(self.net, *latents, what=str(a.init))
			print(f"continues from {a.init}" + ", with a new classifier" * bool(left_out))
		self.net.to(device, memory_format=torch.channels_last).train()
		nets.trial(self.net, a.net, sorted({side for _, side in a.sides}))
		self.teacher = None
		self.words = words_of(a, train, held_out)
		if a.teacher:
			parts = [train] + [pictures.unlabelled(folder) for folder, _ in a.also]
			self.teacher = Teacher([a.teacher] + [cache for _, cache in a.also], parts, self.net.fc.in_features)
			self.teacher.to(device)
			train = pictures.joined(parts)
			if self.teacher.has_own and len(self.teacher.own_b) != len(self.classes):
				raise SystemExit(f"{a.teacher} knows {len(self.teacher.own_b)} classes, there are {len(self.classes)}")
		self.optimiser = optimiser(self.net, self.teacher.named_parameters() if self.teacher else [], a.rate)
		self.store = Store(train, device)
		self.objective = torch.compile(self.loss_of, dynamic=False) if a.compile else self.loss_of
		self.batch = min(a.batch, len(train))
		self.steps_an_epoch = len(train) // self.batch
		self.steps = int(a.epochs * self.steps_an_epoch)
		if not self.steps:
			raise SystemExit(f"--epochs {a.epochs:g} of {self.steps_an_epoch} steps are less than one step")
		self.step, self.seconds, self.history, self.order = 0, 0.0, [], None
		self.pace = Pace(a.sides, self.steps, self.batch)
		self.path = a.out / "checkpoint.pt"

	def save(self):
		a = self.a
		checkpoint.save(
			self.path,
			{
				"net": a.net,
				"options": a.options,
				"classes": self.classes,
				"model": self.net.state_dict(),
				"teacher": self.teacher.state_dict() if self.teacher else None,
				"optimiser": self.optimiser.state_dict(),
				"step": self.step,
				"steps": self.steps,
				"seconds": self.seconds,
				"history": self.history,
				"side": a.sides[-1][1],
				"store": a.store,
				"held_out": a.held_out,
				"data": str(a.data),
				"seed": a.seed,
				"epochs": self.step / self.steps_an_epoch,
				"init": str(a.init or ""),
				"teacher_from": str(a.teacher or ""),
				"pictures": len(self.store.data),
				"unlabelled": int((self.store.data.y == pictures.NO_CLASS).sum()),
				"blur": a.blur,
				"sharpen": a.sharpen,
				"batch": self.batch,
				"rate": a.rate,
				"sides": a.sides,
				"whole_from": a.whole_from,
				"words": self.words,
			},
		)

	def resume(self):
		c = checkpoint.load(self.path)
		before = c.get("words")
		if before is None:
			raise SystemExit(
				f"{self.path} is of an earlier train.py, which did not keep the words of a run: give another folder"
			)
		other = [f"{k} {before.get(k)} then, {v} now" for k, v in self.words.items() if before.get(k) != v]
		if other:
			raise SystemExit(
				f"{self.path} was trained with other words ({'; '.join(other)}): repeat those, or give another folder"
			)
		self.net.load_state_dict(c["model"])
		if self.teacher:
			self.teacher.load_state_dict(c["teacher"])
		self.optimiser.load_state_dict(c["optimiser"])
		self.step, self.seconds, self.history = c["step"], c["seconds"], c["history"]
		print(
			f"resumes at step {self.step} of {self.steps}"
			if self.step < self.steps
			else f"{self.path} is trained to the end already, all {self.steps} steps"
		)

	def index(self):
		"""Pictures of this step: a new order each epoch."""
		epoch, at = divmod(self.step, self.steps_an_epoch)
		if self.order is None or self.order[0] != epoch:
			rng = np.random.default_rng((self.a.seed, epoch))
			self.order = epoch, rng.permutation(len(self.store.data))
		return self.order[1][at * self.batch : (at + 1) * self.batch]

	def side(self):
		return self.pace.side(self.step)

	def shown(self):
		"""(the teacher's view, least share of it that a crop shows) in this step."""
		if self.step / self.steps >= self.a.whole_from:
			return WHOLE_VIEW, AREA_WHOLE
		if not self.teacher:
			return WHOLE_VIEW, AREA
		return int(np.random.default_rng((self.a.seed, self.step)).integers(self.teacher.n_views)), AREA_IN_VIEW

	def loss_of(self, x, y, embeddings=None):
		"""x: input of the network; y: classes, pictures.NO_CLASS where only the teacher knows."""
		if embeddings is None:
			return F.cross_entropy(self.net(x), y, label_smoothing=self.a.smooth)
		features = self.net.features(x)
		logits = self.net.fc(features)
		return self.teacher.class_loss(logits, y, embeddings) + self.teacher.loss(features, embeddings)

	def loss(self):
		index = self.index()
		x, y = self.store.batch(index)
		view, area = self.shown()
		views, embeddings = self.teacher.view(view, index, self.device) if self.teacher else (None, None)
		x = augment.augment(x, self.side(), views, area, self.a.blur, self.a.sharpen)
		return self.objective(x, y, embeddings)

	def one_step(self):
		torch.manual_seed(self.a.seed * 1_000_003 + self.step)
		share = self.step / self.steps
		warm_up = min(WARM_UP_STEPS, max(1, self.steps // 10))
		rate = self.a.rate * max(min(1, (self.step + 1) / warm_up) * (1 - share), LEAST_RATE)
		for group in self.optimiser.param_groups:
			group["lr"] = rate
		loss = self.loss()
		self.optimiser.zero_grad(set_to_none=True)
		loss.backward()
		self.optimiser.step()
		self.net.project()
		self.step += 1
		return loss.item()

	def evaluate(self):
		side, start = self.a.sides[-1][1], time.monotonic()
		accuracy = top1(self.net, self.held_out, side, self.device)
		self.pace.evaluation = time.monotonic() - start
		self.history.append({"epoch": self.step / self.steps_an_epoch, "side": side, "top1": accuracy})
		print(f"epoch {self.step / self.steps_an_epoch:.1f}: held-out top-1 {accuracy:.4f} at {side} px", flush=True)

	def evaluations_left(self):
		"""With the one that follows this step, if one does."""
		steps = self.steps_an_epoch * self.a.evaluate
		return -(-self.steps // steps) - (self.step - 1) // steps

	def go(self, stop):
		"""Trains to the end, or until stop() says so; returns whether the end was reached."""
		saved = time.monotonic()
		self.pace.clear()
		while self.step < self.steps and not stop():
			side, start = self.side(), time.monotonic()
			loss = self.one_step()
			if not math.isfinite(loss):
				raise SystemExit(
					f"the loss of step {self.step} is {loss}: begin again in another folder with a smaller --rate"
				)
			took = time.monotonic() - start
			self.seconds += took
			self.pace.add(loss, took)
			ends = self.step == self.steps
			if ends or self.step % LOG_STEPS == 0 or time.monotonic() - self.pace.said > LOG_SECONDS:
				print(self.pace.line(self.step, self.evaluations_left()), flush=True)
			elif self.side() != side:  # the next line is about this side alone
				self.pace.clear()
			if ends or self.step % (self.steps_an_epoch * self.a.evaluate) == 0:
				self.evaluate()
			if time.monotonic() - saved > self.a.save_minutes * 60:
				self.save()
				saved = time.monotonic()
		self.save()
		return self.step == self.steps


def words_of(a, train, held_out):
	"""What decides the weights, by the names of the arguments. Not: the machine, and how often it is saved."""
	words = {f"--{k.replace('_', '-')}": getattr(a, k) for k in OWN_WORDS}
	words["--sides"] = [list(phase) for phase in a.sides]
	words["--net"], words["--options"] = a.net, nets.full_options(a.net, a.options)
	words["--init"] = f"{a.init} ({hashlib.sha256(a.init.read_bytes()).hexdigest()[:8]})" if a.init else None
	words["--teacher"] = str(a.teacher) if a.teacher else None
	words["--also"] = [f"{folder}:{cache}" for folder, cache in a.also]
	words["classes"] = list(train.classes)
	words["pictures"], words["held out"] = train.words(), held_out.words()
	return words


def check_last(net, a):
	"""The last side is what export.py and the engine will run."""
	if a.sides[-1][1] % net.side_multiple:
		raise SystemExit(
			f"with these options {a.net} runs at multiples of {net.side_multiple}: the last side cannot be "
			f"{a.sides[-1][1]}"
		)
