# SPDX-License-Identifier: MIT
"""The networks that can be trained and exported. Each layer says how it computes (forward) and what it is in a .bnn
file (write): the two stand side by side, and a test compares them.

  photo        ours: cheap separable stem, one residual for each binary layer, learned thresholds, PReLU
  quicknet     QuickNet (Larq Zoo, Bannink et al. 2021)
  birealnet18  Bi-Real Net 18 (Liu et al. 2018)
  reactnet_a   ReActNet-A (Liu et al. 2020)

The last three have the structure of the papers and their authors' code; initial weights and schedule are ours, and the
factor mean|w| of a binary convolution is left out: the batch norm behind each of them takes it up. sign(0) is +1.
All take x = (byte - 118) / 64.
"""

import inspect
import itertools

import torch
import torch.nn as nn
import torch.nn.functional as F

from tools.train import widen
from tools.train.binary import WEIGHT_BOUND, ClippedSign, SmoothSign, is_latent, latent_weights, sign_conv

BYTE_ZERO, BYTE_SCALE = 118.0, 64.0
BATCH_NORM_EPS = 1e-5
OPTION_MOST = 8192  # channels of a layer, layers of a stage


def shift(channels):
	return nn.Parameter(torch.zeros(1, channels, 1, 1))


def batch_norm(channels):
	return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)


def conv(c_in, c_out, kernel, stride=1, pad=0, groups=1):
	return nn.Conv2d(c_in, c_out, kernel, stride, pad, groups=groups, bias=False)


class Net(nn.Module):
	"""features(x): N x d; forward: class logits. `stages` are the names of its parts in order."""

	stages = ()
	root = True  # features are >= 0: their square root is whitened, which evens out large ones
	side_multiple = 8  # of the input's sides
	unit_slopes = False  # keep PReLU slopes inside [0, 1]

	def features(self, x):
		for name in self.stages:
			x = getattr(self, name)(x)
		return x.mean((2, 3))

	def forward(self, x):
		return self.fc(self.features(x))

	def write(self, writer, x):
		"""Adds everything up to the pooled features to a graph.Writer."""
		for name in self.stages:
			x = writer.module(x, getattr(self, name), name)
		return writer.g.op("mean", [x], "mean")

	def grown(self, options, state):
		"""The latents `state` of a network of these options, for this one. A network that can grow adds layers or leaves
		some out; the others take their own options alone."""
		return state

	@torch.no_grad()
	def project(self):
		"""After each step of the optimiser: parameters back into their ranges."""
		for name, p in self.named_parameters():
			if is_latent(name):
				p.clamp_(-WEIGHT_BOUND, WEIGHT_BOUND)
		if self.unit_slopes:
			for module in self.modules():
				if isinstance(module, nn.PReLU):
					module.weight.clamp_(0, 1)


LAYERS, CHANNELS = (2, 2, 4), (64, 128, 256)  # a stage of photo


# --- photo -----------------------------------------------------------------------------------------------------------


class PhotoLayer(nn.Module):
	"""y = prelu(x + bn(conv3x3(sign(x + t), sign(w)))), padded with +1."""

	def __init__(self, c):
		super().__init__()
		self.w = latent_weights(c, c, 3)
		self.t = shift(c)
		self.bn = batch_norm(c)
		self.act = nn.PReLU(c)

	def forward(self, x):
		return self.act(x + self.bn(sign_conv(SmoothSign.apply(x + self.t), self.w, pad=1)))

	def write(self, writer, x, name):
		y = writer.binary(writer.sign(x, self.t, f"{name}.sign"), self.w, self.bn, f"{name}.conv", pad=1)
		return writer.prelu(writer.add(x, y, f"{name}.add"), self.act, f"{name}.prelu")


class PhotoTransition(nn.Module):
	"""Half the side, other channels: 2x2 average, 1x1 convolution."""

	def __init__(self, c_in, c_out):
		super().__init__()
		self.pw = conv(c_in, c_out, 1)
		self.bn = batch_norm(c_out)

	def forward(self, x):
		return self.bn(self.pw(F.avg_pool2d(x, 2)))

	def write(self, writer, x, name):
		return writer.conv(writer.g.avg_pool(x, 2, f"{name}.pool"), self.pw, self.bn, f"{name}.conv")


class EarlyPool(nn.Module):
	"""2x2 average. Odd sides, which only training meets, get windows that overlap; what is exported has even ones."""

	def forward(self, x):
		side = x.shape[-1]
		return F.avg_pool2d(x, 2) if side % 2 == 0 else F.adaptive_avg_pool2d(x, (side + 1) // 2)

	def write(self, writer, x, name):
		return writer.g.avg_pool(x, 2, name)


class Photo(Net):
	"""channels and layers a stage; stem: channels of the first convolution; feat: size of the features; early_pool:
	2x2 average before the last 1x1 convolution (a third of the float work less); unit_slopes: PReLU in [0, 1]."""

	stages = ("stem", "body", "pool", "last")
	side_multiple = 16

	def __init__(
		self, classes, channels=CHANNELS, layers=LAYERS, stem=32, feat=512, early_pool=False, unit_slopes=False
	):
		super().__init__()
		self.stem = nn.Sequential(
			conv(3, stem, 3, 2, 1),
			batch_norm(stem),
			nn.ReLU(),
			conv(stem, stem, 3, 2, 1, groups=stem),
			batch_norm(stem),
			conv(stem, channels[0], 1),
			batch_norm(channels[0]),
		)
		body = []
		for i, c in enumerate(channels):
			body += [PhotoTransition(channels[i - 1], c)] if i else []
			body += [PhotoLayer(c) for _ in range(layers[i])]
		self.body = nn.Sequential(*body)
		self.pool = EarlyPool() if early_pool else nn.Identity()
		self.side_multiple = 32 if early_pool else 16  # of what runs
		self.last = nn.Sequential(conv(channels[-1], feat, 1), batch_norm(feat), nn.ReLU())
		self.fc = nn.Linear(feat, classes)
		self.unit_slopes = bool(unit_slopes)
		self.layers, self.channels = tuple(layers), tuple(channels)

	def stage_maps(self, x):
		"""The features, and the map at the end of each stage."""
		x, maps, layers = self.stem(x), [], list(self.body)
		for i, layer in enumerate(layers):
			x = layer(x)
			if i + 1 == len(layers) or isinstance(layers[i + 1], PhotoTransition):
				maps.append(x)
		return self.last(self.pool(x)).mean((2, 3)), maps

	@torch.no_grad()
	def grown(self, options, state):
		"""Latents of the same stages with other numbers of layers: what a stage has more computes the identity at first
		(the batch norm's factor 0, slope 1), what it has less is left out; and with multiples of the channels
		(widen.py)."""
		before = options.get("layers", LAYERS)
		if len(before) != len(self.layers):
			raise SystemExit(f"layers {list(before)} of the latents cannot become {list(self.layers)}: other stages")
		channels = tuple(options.get("channels", CHANNELS))
		if channels != self.channels:
			state = widen.widened(state, channels, self.channels)
		made = {k: v for k, v in state.items() if not k.startswith("body.")}
		old = new = 0
		for i, (n_old, n_new) in enumerate(zip(before, self.layers, strict=True)):
			n_old, n_new = n_old + bool(i), n_new + bool(i)  # with the transition
			for j in range(n_new):
				if j < n_old:
					own = {k.split(".", 2)[2]: v for k, v in state.items() if k.startswith(f"body.{old + j}.")}
				else:
					layer = self.body[new + j]
					layer.bn.weight.zero_()
					layer.act.weight.fill_(1)
					own = layer.state_dict()
				made.update({f"body.{new + j}.{k}": v for k, v in own.items()})
			old, new = old + n_old, new + n_new
		return made


# --- QuickNet --------------------------------------------------------------------------------------------------------


class QuickLayer(nn.Module):
	"""y = x + bn(relu(conv3x3(sign(x), sign(w)))), padded with +1."""

	def __init__(self, c):
		super().__init__()
		self.w = latent_weights(c, c, 3)
		self.bn = batch_norm(c)

	def forward(self, x):
		return x + self.bn(F.relu(sign_conv(ClippedSign.apply(x), self.w, pad=1)))

	def write(self, writer, x, name):
		bits = writer.sign(x, None, f"{name}.sign")
		return writer.add(x, writer.binary(bits, self.w, self.bn, f"{name}.conv", pad=1, relu=True), f"{name}.add")


def blur(c):
	"""Fixed depthwise 3x3 binomial filter, stride 2."""
	layer = conv(c, c, 3, 2, 1, groups=c)
	line = torch.tensor([1.0, 2.0, 1.0]) / 4
	layer.weight.data.copy_((line[:, None] * line).expand(c, 1, 3, 3))
	layer.weight.requires_grad_(False)
	return layer


class QuickNet(Net):
	stages = ("stem", "body")
	side_multiple = 32

	def __init__(self, classes, channels=(64, 128, 256, 512), layers=(4, 4, 4, 4)):
		super().__init__()
		c, even = channels[0], nn.ZeroPad2d((0, 1, 0, 1))  # "same" of an even map and stride 2
		depthwise_norm = nn.BatchNorm2d(c // 4, affine=False)
		self.stem = nn.Sequential(
			even,
			conv(3, c // 4, 3, 2),
			batch_norm(c // 4),
			nn.ReLU(),
			even,
			conv(c // 4, c // 4, 3, 2, groups=c // 4),
			depthwise_norm,
			conv(c // 4, c, 1),
			batch_norm(c),
		)
		body = []
		for i, c in enumerate(channels):
			if i:
				body += [
					nn.ReLU(),
					nn.MaxPool2d(2, 1),
					blur(channels[i - 1]),
					conv(channels[i - 1], c, 1),
					batch_norm(c),
				]
			body += [QuickLayer(c) for _ in range(layers[i])]
		self.body = nn.Sequential(*body, nn.ReLU())
		self.fc = nn.Linear(channels[-1], classes)


# --- Bi-Real Net -----------------------------------------------------------------------------------------------------


class BiRealBlock(nn.Module):
	"""y = shortcut(x) + bn(conv3x3(sign(x), sign(w))), padded with true zeros."""

	def __init__(self, c_in, c_out, stride):
		super().__init__()
		self.stride = stride
		self.w = latent_weights(c_out, c_in, 3)
		self.bn = batch_norm(c_out)
		plain = stride == 1 and c_in == c_out
		self.shortcut = (
			nn.Identity() if plain else nn.Sequential(nn.AvgPool2d(2, stride), conv(c_in, c_out, 1), batch_norm(c_out))
		)

	def forward(self, x):
		y = self.bn(sign_conv(SmoothSign.apply(x), self.w, self.stride, pad=1, pad_value=0))
		return self.shortcut(x) + y

	def write(self, writer, x, name):
		shortcut = writer.module(x, self.shortcut, f"{name}.shortcut")
		y = writer.binary(
			writer.sign(x, None, f"{name}.sign"),
			self.w,
			self.bn,
			f"{name}.conv",
			stride=self.stride,
			pad=1,
			pad_value=0,
		)
		return writer.add(shortcut, y, f"{name}.add")


class BiRealNet(Net):
	stages = ("stem", "body")
	side_multiple = 32
	root = False

	def __init__(self, classes, channels=(64, 128, 256, 512), layers=(4, 4, 4, 4)):
		super().__init__()
		c = channels[0]
		self.stem = nn.Sequential(conv(3, c, 7, 2, 3), batch_norm(c), nn.MaxPool2d(3, 2, 1))
		body = []
		for i, c in enumerate(channels):
			body += [BiRealBlock(channels[i - 1] if i else c, c, 2 if i else 1)]
			body += [BiRealBlock(c, c, 1) for _ in range(layers[i] - 1)]
		self.body = nn.Sequential(*body)
		self.fc = nn.Linear(channels[-1], classes)


# --- ReActNet --------------------------------------------------------------------------------------------------------


class Activation(nn.Module):
	"""RPReLU: prelu(x + before) + after."""

	def __init__(self, c):
		super().__init__()
		self.before, self.after, self.act = shift(c), shift(c), nn.PReLU(c)

	def forward(self, x):
		return self.act(x + self.before) + self.after

	def write(self, writer, x, name):
		return writer.prelu(x, self.act, name, self.before, self.after)


class ReActBlock(nn.Module):
	"""A binary 3x3 and a binary 1x1 convolution, each with its residual; doubled channels are two 1x1, joined."""

	def __init__(self, c_in, c_out, stride):
		super().__init__()
		self.stride, self.doubles = stride, c_in != c_out
		self.t, self.t_point = shift(c_in), shift(c_in)
		self.w, self.bn, self.act = latent_weights(c_in, c_in, 3), batch_norm(c_in), Activation(c_in)
		self.w_point, self.bn_point = latent_weights(c_in, c_in, 1), batch_norm(c_in)
		if self.doubles:
			self.w_second, self.bn_second = latent_weights(c_in, c_in, 1), batch_norm(c_in)
		self.act_point = Activation(c_out)

	def forward(self, x):
		y = self.bn(sign_conv(SmoothSign.apply(x + self.t), self.w, self.stride, pad=1, pad_value=0))
		y = self.act((F.avg_pool2d(x, 2) if self.stride == 2 else x) + y)
		signs = SmoothSign.apply(y + self.t_point)
		z = y + self.bn_point(sign_conv(signs, self.w_point))
		if self.doubles:
			z = torch.cat((z, y + self.bn_second(sign_conv(signs, self.w_second))), 1)
		return self.act_point(z)

	def write(self, writer, x, name):
		y = writer.binary(
			writer.sign(x, self.t, f"{name}.sign"),
			self.w,
			self.bn,
			f"{name}.conv",
			stride=self.stride,
			pad=1,
			pad_value=0,
		)
		x = writer.g.avg_pool(x, 2, f"{name}.pool") if self.stride == 2 else x
		y = writer.module(writer.add(x, y, f"{name}.add"), self.act, f"{name}.act")
		bits = writer.sign(y, self.t_point, f"{name}.point.sign")
		z = writer.add(y, writer.binary(bits, self.w_point, self.bn_point, f"{name}.point"), f"{name}.point.add")
		if self.doubles:
			second = writer.binary(bits, self.w_second, self.bn_second, f"{name}.second")
			z = writer.g.op("concat", [z, writer.add(y, second, f"{name}.second.add")], f"{name}.concat")
		return writer.module(z, self.act_point, f"{name}.point.act")


class ReActNet(Net):
	"""channels: of the stem, then of each block; the side is halved where they change, except for the first block."""

	stages = ("stem", "body")
	side_multiple = 32
	root = False

	def __init__(self, classes, channels=(32, 64, 128, 128, 256, 256) + 6 * (512,) + 2 * (1024,)):
		super().__init__()
		self.stem = nn.Sequential(conv(3, channels[0], 3, 2, 1), batch_norm(channels[0]))
		pairs = itertools.pairwise(channels)
		self.body = nn.Sequential(*[ReActBlock(a, b, 2 if a != b and i else 1) for i, (a, b) in enumerate(pairs)])
		self.fc = nn.Linear(channels[-1], classes)


NETS = {"photo": Photo, "quicknet": QuickNet, "birealnet18": BiRealNet, "reactnet_a": ReActNet}


def wanted_of(default):
	"""What an option with this default takes, in words, and the check of it."""

	def whole(v):
		return isinstance(v, int) and not isinstance(v, bool) and 1 <= v <= OPTION_MOST

	if isinstance(default, bool):
		return "true or false", lambda v: isinstance(v, bool)
	if isinstance(default, int):
		return f"a whole number from 1 to {OPTION_MOST}", whole
	return (
		f"a list of whole numbers from 1 to {OPTION_MOST}",
		lambda v: isinstance(v, (list, tuple)) and len(v) > 0 and all(map(whole, v)),
	)


def full_options(name, options=None):
	"""The options of a network with the defaults of those that are not given; refuses what it does not take."""
	if name not in NETS:
		raise SystemExit(f"no network {name!r}: there are {', '.join(NETS)}")
	full = {k: p.default for k, p in inspect.signature(NETS[name]).parameters.items() if k != "classes"}
	for key, value in (options or {}).items():
		if key not in full:
			raise SystemExit(f"{name} has no option {key!r}: it has {', '.join(full)}")
		words, takes = wanted_of(full[key])
		if not takes(value):
			raise SystemExit(f"{name}: the option {key} is {words}, not {value!r}")
		full[key] = value
	full = {k: list(v) if isinstance(v, tuple) else v for k, v in full.items()}
	if "layers" in full and len(full["layers"]) != len(full["channels"]):
		raise SystemExit(
			f"{name}: layers {full['layers']} and channels {full['channels']} are of different numbers of stages"
		)
	return full


def build(name, classes, options=None):
	"""A network by its name; options are its constructor's."""
	full = full_options(name, options)
	try:
		return NETS[name](classes, **full).to(memory_format=torch.channels_last)
	except (RuntimeError, ValueError) as e:
		raise SystemExit(f"{name} cannot be built with {full}: {e}") from None


@torch.no_grad()
def trial(net, name, sides):
	"""Refuses, before the work, a network that cannot run at these sides."""
	was_training, device = net.training, next(net.parameters()).device
	net.eval()
	for side in sides:
		try:
			net(torch.zeros(1, 3, side, side, device=device))
		except RuntimeError as e:
			raise SystemExit(f"{name} with these options cannot run at {side} px: {e}") from None
	net.train(was_training)


def prepare(x):
	"""Bytes or floats 0..255, N x 3 x H x W -> the networks' input."""
	return ((x - BYTE_ZERO) / BYTE_SCALE).contiguous(memory_format=torch.channels_last)
