# SPDX-License-Identifier: MIT
"""Builder: writes a graph an operation at a time. Shapes are inferred, constants collected, ids counted."""

import numpy as np

from . import shapes
from .format import Model
from .schema import proto

FLT_MAX = float(np.finfo(np.float32).max)


def window(kernel, stride=1, pads=0, dilation=1):
	"""A Window; kernel, stride and dilation a number or (y, x), pads a number or (top, left, bottom, right)."""

	def pair(v):
		return (v, v) if np.isscalar(v) else v

	(ky, kx), (sy, sx), (dy, dx) = pair(kernel), pair(stride), pair(dilation)
	top, left, bottom, right = (pads,) * 4 if np.isscalar(pads) else pads
	p = proto()
	return p.Window(
		kernel_y=ky,
		kernel_x=kx,
		stride_y=sy,
		stride_x=sx,
		dilation_y=dy,
		dilation_x=dx,
		pads=p.Pads(top=top, left=left, bottom=bottom, right=right),
	)


class Builder:
	"""Tensors are named by their ids (int). Each method adds one operation and returns the id of its result."""

	def __init__(self):
		self.graph = proto().Graph()
		self.constants = {}
		self.tensors = {}

	def _tensor(self, shape, dtype, name, **more):
		tensor = self.graph.tensors.add(
			id=len(self.tensors), shape=list(map(int, shape)), dtype=getattr(proto(), dtype), **more
		)
		if name:
			tensor.name = name
		self.tensors[tensor.id] = tensor
		return tensor.id

	def constant(self, array, dtype="F32", name=None):
		"""dtype BITS takes 0 and 1 (1 means -1). A float that the dtype cannot hold exactly is rounded to it."""
		array = np.asarray(array)
		i = self._tensor(array.shape, dtype, name, offset=0, length=0)
		self.constants[i] = array.astype(
			{"BITS": "u1", "I8": "i1", "I16": "<i2", "I32": "<i4", "F16": "<f2", "F32": "<f4"}[dtype]
		)
		return i

	def input(self, height, width, table, fit="COVER", background=(118, 118, 118)):
		"""table: 256 or 3 x 256 numbers for the bytes."""
		p = proto()
		table = np.broadcast_to(np.asarray(table, "f4"), (3, 256))
		tensor = self._tensor((height, width, 3), "F32", "input")
		self.graph.input.CopyFrom(
			p.Input(
				tensor=tensor,
				fit=getattr(p, fit),
				image_rules=1,
				background=bytes(background),
				table=self.constant(table, name="input.table"),
			)
		)
		return tensor

	def op(self, kind, inputs, name=None, dtype=None, **attributes):
		"""Any operation by its name in model.proto; returns the id of its result (a list when there are several)."""
		message = self.graph.ops.add(inputs=inputs)
		if name:
			message.name = name
		getattr(message, kind).SetInParent()
		getattr(message, kind).MergeFrom(type(getattr(message, kind))(**attributes))
		made = shapes.infer(kind, [self.tensors[i] for i in inputs], getattr(message, kind), dtype)
		outputs = [self._tensor(shape, d, name) for shape, d in made]
		message.outputs.extend(outputs)
		return outputs[0] if len(outputs) == 1 else outputs

	def conv2d(self, x, w, b, name, stride=1, pads=0, groups=1, dtype="F32"):
		w = np.asarray(w)
		inputs = [x, self.constant(w, dtype, name + ".w")]
		if b is not None:
			inputs.append(self.constant(b, name=name + ".b"))
		return self.op("conv2d", inputs, name, window=window(w.shape[1:3], stride, pads), groups=groups)

	def depthwise_conv2d(self, x, w, b, name, stride=1, pads=0, multiplier=1):
		w = np.asarray(w)
		return self.op(
			"depthwise_conv2d",
			[x, self.constant(w, name=name + ".w"), self.constant(b, name=name + ".b")],
			name,
			window=window(w.shape[:2], stride, pads),
			multiplier=multiplier,
		)

	def relu(self, x, name):
		return self.op("clamp", [x], name, lo=0.0, hi=FLT_MAX)

	def sign(self, x, thresholds, name, rules=("LESS",)):
		return self.op(
			"sign", [x, self.constant(thresholds, name=name + ".t")], name, rules=[getattr(proto(), r) for r in rules]
		)

	def binary_conv2d(self, bits, w, scale, shift, name, stride=1, pads=0, pad_value=1, groups=1, clamp=None):
		"""w: +1/-1 of O x ky x kx x I/groups; clamp: (lo, hi) of 2a, none by default."""
		w = np.asarray(w)
		taps = int(np.prod(w.shape[1:]))
		lo, hi = clamp if clamp is not None else (0, 2 * taps)
		inputs = [
			bits,
			self.constant(w < 0, "BITS", name + ".w"),
			self.constant(scale, name=name + ".scale"),
			self.constant(shift, name=name + ".shift"),
		]
		return self.op(
			"binary_conv2d",
			inputs,
			name,
			"F32",
			window=window(w.shape[1:3], stride, pads),
			groups=groups,
			pad_value=pad_value,
			clamp_lo=lo,
			clamp_hi=hi,
		)

	def prelu(self, x, slope, name):
		return self.op("prelu", [x, self.constant(slope, name=name + ".slope")], name)

	def avg_pool(self, x, size, name):
		return self.op("avg_pool", [x], name, window=window(size, size), count_padding=False)

	def dense(self, x, w, b, name, dtype="F32"):
		inputs = [x, self.constant(w, dtype, name + ".w")]
		if b is not None:
			inputs.append(self.constant(b, name=name + ".b"))
		return self.op("dense", inputs, name)

	def output(self, tensor, name="features", classes=()):
		self.graph.outputs.add(name=name, tensor=tensor, classes=list(classes))

	def card(self, name, text):
		self.graph.card.name, self.graph.card.text = name, text

	def answers(
		self,
		temperature,
		unknown_cosine,
		deviations,
		deviation,
		deviation_weight,
		groups=(),
		group_factors=(),
		**known,
	):
		"""groups: widths of the groups that the features fall into; of none: one of all. group_factors: as many; of
		none: each is 1. known: all of KNOWN, and then no unknown_cosine, or nothing; blank (integers) and blank_cosine
		beside them."""
		answers = self.graph.answers
		answers.temperature, answers.deviation, answers.deviation_weight = temperature, deviation, deviation_weight
		answers.unknown_cosine.extend(unknown_cosine)
		answers.deviations.extend(deviations)
		answers.groups.extend(groups)
		answers.group_factors.extend(group_factors)
		for name, value in known.items():
			setattr(answers, name, np.array(value, np.int8).tobytes() if name == "blank" else value)

	def prior(self, covariance, dtype="F16"):
		self.graph.prior.covariance = self.constant(covariance, dtype, "prior.covariance")

	def model(self):
		return Model(self.graph, self.constants)
