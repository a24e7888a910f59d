# SPDX-License-Identifier: MIT
"""From a trained network to the operations of a .bnn file.

Convolutions and batch norms are folded in double and rounded once, so the file, not the training code, defines the
numbers. Weights O x I x ky x kx become O x ky x kx x I, as lib/bnn/model.proto has them.
"""

import numpy as np
import torch.nn as nn

from tools.bnnfile import Builder
from tools.train.nets import BYTE_SCALE, BYTE_ZERO


def double(tensor):
	return tensor.detach().cpu().double().numpy()


def vector(tensor):
	return double(tensor).reshape(-1)


def fold(bn, channels):
	"""A batch norm as y = x * scale + shift."""
	if bn is None:
		return np.ones(channels), np.zeros(channels)
	scale = 1 / np.sqrt(double(bn.running_var) + bn.eps)
	scale = scale * double(bn.weight) if bn.weight is not None else scale
	shift = -double(bn.running_mean) * scale
	return scale, shift + double(bn.bias) if bn.bias is not None else shift


def number(v):
	"""The one number of a square window's attribute."""
	if isinstance(v, int):
		return v
	if len(set(v)) != 1:
		raise ValueError(f"a window of {v}")
	return v[0]


class Writer:
	"""Wraps a Builder; every method adds operations and returns the id of the result."""

	def __init__(self, side):
		self.g = Builder()
		table = (np.arange(256) - BYTE_ZERO) / BYTE_SCALE
		self.x = self.g.input(side, side, table, background=(int(BYTE_ZERO),) * 3)

	def conv(self, x, layer, bn, name, pads=None):
		w = double(layer.weight)
		scale, shift = fold(bn, len(w))
		w = w * scale[:, None, None, None]
		pads = number(layer.padding) if pads is None else pads
		stride = number(layer.stride)
		if layer.groups > 1 and layer.groups == layer.in_channels:
			return self.g.depthwise_conv2d(
				x, w[:, 0].transpose(1, 2, 0), shift, name, stride, pads, len(w) // layer.groups
			)
		return self.g.conv2d(x, w.transpose(0, 2, 3, 1), shift, name, stride, pads, layer.groups)

	def sign(self, x, t, name):
		"""+1 where x + t >= 0 (t None: 0). In floats that is x >= -t exactly: a sum never rounds across zero."""
		return self.g.sign(x, -vector(t) if t is not None else np.zeros(1), name)

	def binary(self, bits, latent, bn, name, stride=1, pad=0, pad_value=1, relu=False):
		"""bn(conv(bits, sign(latent))); relu is taken of the dot product, before bn: twice the differing bits <= K."""
		w = np.where(double(latent) >= 0, 1, -1).transpose(0, 2, 3, 1)
		clamp = (0, int(np.prod(w.shape[1:]))) if relu else None
		return self.g.binary_conv2d(bits, w, *fold(bn, len(w)), name, stride, pad, pad_value, clamp=clamp)

	def add(self, x, y, name):
		return self.g.op("add", [x, y], name)

	def prelu(self, x, act, name, before=None, after=None):
		constants = [("slope", act.weight)]
		constants += [("before", before), ("after", after)] if before is not None else []
		return self.g.op("prelu", [x] + [self.g.constant(vector(t), name=f"{name}.{n}") for n, t in constants], name)

	def max_pool(self, x, layer, name):
		from tools.bnnfile.build import window

		w = window(number(layer.kernel_size), number(layer.stride), number(layer.padding))
		return self.g.op("max_pool", [x], name, window=w)

	def avg_pool(self, x, layer, name):
		if number(layer.kernel_size) != number(layer.stride) or number(layer.padding):
			raise ValueError(f"{name}: average pools are written for stride = size, without padding")
		return self.g.avg_pool(x, number(layer.kernel_size), name)

	def module(self, x, module, name):
		"""A layer that knows how to write itself, or one of torch's own."""
		if hasattr(module, "write"):
			return module.write(self, x, name)
		if isinstance(module, nn.Sequential):
			return self.sequence(x, list(module), name)
		if isinstance(module, nn.ReLU):
			return self.g.relu(x, name)
		if isinstance(module, nn.MaxPool2d):
			return self.max_pool(x, module, name)
		if isinstance(module, nn.AvgPool2d):
			return self.avg_pool(x, module, name)
		if isinstance(module, nn.Identity):
			return x
		raise ValueError(f"{name}: a {type(module).__name__} has no place in a .bnn file")

	def sequence(self, x, modules, name):
		"""Takes a convolution with the padding before it and the batch norm behind it."""
		i = 0
		while i < len(modules):
			at, pads = i, None
			if isinstance(modules[i], nn.ZeroPad2d):
				left, right, top, bottom = modules[i].padding
				pads = (top, left, bottom, right)
				i += 1
			if isinstance(modules[i], nn.Conv2d):
				bn = modules[i + 1] if i + 1 < len(modules) and isinstance(modules[i + 1], nn.BatchNorm2d) else None
				x = self.conv(x, modules[i], bn, f"{name}.{at}", pads)
				i += 1 if bn is None else 2
			elif pads is not None:
				raise ValueError(f"{name}.{at}: padding without a convolution")
			else:
				x = self.module(x, modules[i], f"{name}.{at}")
				i += 1
		return x

	def normalise(self, x, mean, matrix, root):
		"""(root(x) - mean) @ matrix, divided by its length."""
		x = self.g.op("sqrt", [x], "sqrt") if root else x
		x = self.g.op("sub", [x, self.g.constant(mean, name="norm.mean")], "centre")
		x = self.g.dense(x, np.ascontiguousarray(np.asarray(matrix).T), None, "whiten")
		return self.g.op("l2", [x], "l2")
