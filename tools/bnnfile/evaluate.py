# SPDX-License-Identifier: MIT
"""The forward pass in numpy, for the operations of the default backbone. An oracle that shares no code with lib/bnn.

Two kinds of arithmetic:
  double   float64 on the file's float32 constants, matrix products: the yardstick of golden files, and fast
  exact    float32 with the order of sums and the fused multiply-adds of doc/NUMBERS.md: equal to every kernel of
           lib/bnn bit for bit
  single   like double, in float32: faster, for fitting constants on many pictures

Activations are arrays N x H x W x C; bits are uint8 0/1 (1 means -1).
"""

import numpy as np

from .schema import BadModel, proto

F32 = np.float32


def fma32(x, w, acc):
	"""fmaf on arrays: the float32 nearest to x * w + acc, rounded once.

	The product is exact in float64. The float64 sum is made odd where it is inexact (its last bit then says "there was
	more"), so that the second rounding, to float32, goes where a single one would. Valid outside float32's subnormals.
	"""
	p = np.multiply(x, w, dtype=np.float64)
	s = p + acc
	from_acc = s - p
	error = (p - (s - from_acc)) + (acc - from_acc)
	bits = s.view(np.int64)
	fix = (error != 0) & ((bits & 1) == 0) & np.isfinite(s)
	toward_larger = (error > 0) == (s > 0)
	bits[fix] += np.where(toward_larger[fix], 1, -1)
	return s.astype(F32)


def sum8(terms):
	"""sum8 of doc/NUMBERS.md over axis 0 of an array of terms: 8 interleaved partial sums, then a fixed tree."""
	s = np.zeros((8,) + terms.shape[1:], F32)
	for i, term in enumerate(terms):
		s[i % 8] += term
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))


def taps(window, height, width):
	"""For each tap (ky, kx) in order: it, and the slices of output and input where it lies inside the map."""
	p = window.pads
	out_h = (height + p.top + p.bottom - (window.kernel_y - 1) * window.dilation_y - 1) // window.stride_y + 1
	out_w = (width + p.left + p.right - (window.kernel_x - 1) * window.dilation_x - 1) // window.stride_x + 1

	def span(n_out, n_in, stride, offset):
		inside = [o for o in range(n_out) if 0 <= o * stride + offset < n_in]
		if not inside:
			return None
		first = inside[0] * stride + offset
		return (slice(inside[0], inside[-1] + 1), slice(first, first + (len(inside) - 1) * stride + 1, stride))

	found = []
	for ky in range(window.kernel_y):
		rows = span(out_h, height, window.stride_y, ky * window.dilation_y - p.top)
		for kx in range(window.kernel_x):
			cols = span(out_w, width, window.stride_x, kx * window.dilation_x - p.left)
			if rows and cols:
				found.append((ky, kx, (slice(None), rows[0], cols[0]), (slice(None), rows[1], cols[1])))
	return out_h, out_w, found


class Double:
	"""Plain arithmetic in float64 (or float32)."""

	def __init__(self, dtype=np.float64):
		self.dtype = dtype

	def conv2d(self, x, w, b, window, groups):
		n, h, wd, c = x.shape
		out_h, out_w, found = taps(window, h, wd)
		o = len(w)
		y = np.zeros((n, out_h, out_w, o), self.dtype)
		for g in range(groups):
			ci = slice(g * c // groups, (g + 1) * c // groups)
			co = slice(g * o // groups, (g + 1) * o // groups)
			for ky, kx, at_out, at_in in found:
				part = x[at_in + (ci,)]
				made = part.reshape(-1, part.shape[-1]) @ w[co, ky, kx].T  # one large product is faster than many
				y[at_out + (co,)] += made.reshape(part.shape[:-1] + (-1,))
		return y if b is None else y + b

	def depthwise(self, x, w, b, window, multiplier):
		out_h, out_w, found = taps(window, *x.shape[1:3])
		y = np.zeros((len(x), out_h, out_w, w.shape[2]), self.dtype)
		for ky, kx, at_out, at_in in found:
			y[at_out] += np.repeat(x[at_in], multiplier, axis=-1) * w[ky, kx]
		return y if b is None else y + b

	def epilogue(self, twice_a, scale, shift, n_taps, lo, hi):
		t = np.clip(twice_a, lo, hi)
		return (n_taps - t) * scale + shift

	def dense(self, x, w, b):
		y = x @ w.T
		return y if b is None else y + b

	def mean(self, terms, n):
		return terms.sum(0) / n

	def l2(self, x):
		s = np.sqrt((x * x).sum(-1, keepdims=True))
		return np.divide(x, s, out=np.zeros_like(x), where=s > 0)


class Exact:
	"""float32 as doc/NUMBERS.md defines it, to the bit."""

	dtype = F32

	def conv2d(self, x, w, b, window, groups):
		n, h, wd, c = x.shape
		out_h, out_w, found = taps(window, h, wd)
		o = len(w)
		y = np.zeros((n, out_h, out_w, o), F32)
		if b is not None:
			y += b
		for g in range(groups):
			co = slice(g * o // groups, (g + 1) * o // groups)
			for ky, kx, at_out, at_in in found:
				part = y[at_out + (co,)]
				for i in range(c // groups):
					part = fma32(x[at_in + (g * c // groups + i, None)], w[co, ky, kx, i], part)
				y[at_out + (co,)] = part
		return y

	def depthwise(self, x, w, b, window, multiplier):
		out_h, out_w, found = taps(window, *x.shape[1:3])
		y = np.zeros((len(x), out_h, out_w, w.shape[2]), F32)
		if b is not None:
			y += b
		for ky, kx, at_out, at_in in found:
			y[at_out] = fma32(np.repeat(x[at_in], multiplier, axis=-1), w[ky, kx], y[at_out])
		return y

	def epilogue(self, twice_a, scale, shift, n_taps, lo, hi):
		t = np.clip(twice_a, lo, hi).astype(F32)
		b = (shift.astype("f8") + n_taps * scale.astype("f8")).astype(F32)
		return t * -scale + b

	def dense(self, x, w, b):
		y = np.zeros(x.shape[:-1] + (len(w),), F32)
		if b is not None:
			y += b
		for i in range(x.shape[-1]):
			y = fma32(x[..., i, None], w[:, i], y)
		return y

	def mean(self, terms, n):
		return sum8(terms) / F32(n)

	def l2(self, x):
		length = np.sqrt(sum8(np.moveaxis(x * x, -1, 0)))[..., None]
		return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


class Evaluator:
	"""Runs a model's operations one by one. arithmetic: 'double', 'exact' or 'single'."""

	def __init__(self, model, arithmetic="double"):
		self.model = model
		self.math = {"double": Double(), "exact": Exact(), "single": Double(np.float32)}[arithmetic]
		self.constants = {}
		for i, array in model.constants.items():
			is_float = array.dtype.kind == "f"
			self.constants[i] = array.astype(F32).astype(self.math.dtype) if is_float else array

	def input(self, pictures):
		"""Bytes N x H x W x 3 -> numbers by the model's table."""
		table = self.constants[self.model.graph.input.table]
		pictures = np.asarray(pictures)
		return np.stack([table[c][pictures[..., c]] for c in range(3)], axis=-1)

	def run(self, pictures, keep=None):
		"""Features N x d of pictures N x H x W x 3 bytes. keep(op, outputs) is called after each operation."""
		values = {self.model.graph.input.tensor: self.input(pictures)}
		last_use = {}
		for n, op in enumerate(self.model.graph.ops):
			last_use.update({i: n for i in op.inputs})
		features = self.model.output("features")
		for n, op in enumerate(self.model.graph.ops):
			outputs = self.apply(op, [values.get(i) for i in op.inputs])
			values.update(zip(op.outputs, outputs, strict=True))
			if keep:
				keep(op, outputs)
			for i in op.inputs:
				if last_use[i] == n and i != features:
					values.pop(i, None)
		return values[features].reshape(len(pictures), -1)

	def apply(self, op, inputs):
		"""One operation on given inputs (None: take the constant); returns its outputs."""
		kind = op.WhichOneof("attributes")
		function = getattr(self, "op_" + kind, None)
		if function is None:
			raise BadModel(f"{kind} cannot be evaluated here")
		arrays = [self.constants[i] if i in self.constants else x for i, x in zip(op.inputs, inputs, strict=True)]
		return [function(getattr(op, kind), *arrays)]

	def op_sign(self, a, x, t):
		p = proto()
		rules = np.broadcast_to(np.array(a.rules), x.shape[-1:])
		return np.where(rules == p.LESS, x < t, np.where(rules == p.GREATER, x > t, x <= t)).astype(np.uint8)

	def differing(self, a, bits, w):
		"""Twice the number of differing bits of each output; a tap of true zero padding counts as half a bit."""
		signs = 1 - 2 * bits.astype(F32)
		window = type(a.window)()
		window.CopyFrom(a.window)
		if a.pad_value:
			p = a.window.pads
			signs = np.pad(signs, ((0, 0), (p.top, p.bottom), (p.left, p.right), (0, 0)), constant_values=a.pad_value)
			window.pads.top = window.pads.left = window.pads.bottom = window.pads.right = 0
		n_taps = int(np.prod(w.shape[1:]))
		dot = Double(F32).conv2d(signs, 1 - 2 * w.astype(F32), None, window, a.groups)  # exact: small integers
		return (n_taps - dot).astype(np.int32), n_taps

	def op_binary_conv2d(self, a, bits, w, *more):
		if len(more) != 2:
			raise BadModel("binary_conv2d to bits cannot be evaluated here")
		twice_a, n_taps = self.differing(a, bits, w)
		return self.math.epilogue(twice_a, *more, n_taps, a.clamp_lo, a.clamp_hi)

	def op_conv2d(self, a, x, w, b=None):
		return self.math.conv2d(x, w, b, a.window, a.groups)

	def op_depthwise_conv2d(self, a, x, w, b=None):
		return self.math.depthwise(x, w, b, a.window, a.multiplier)

	def op_dense(self, a, x, w, b=None):
		return self.math.dense(x, w, b)

	def op_add(self, a, x, y):
		return x + y

	def op_sub(self, a, x, y):
		return x - y

	def op_mul(self, a, x, y):
		return x * y

	def op_clamp(self, a, x):
		lo, hi = self.math.dtype(F32(a.lo)), self.math.dtype(F32(a.hi))
		return np.where(x < lo, lo, np.where(x > hi, hi, x))

	def op_prelu(self, a, x, slope, before=None, after=None):
		v = x if before is None else x + before
		v = np.where(v < 0, v * slope, v)
		return v if after is None else v + after

	def op_avg_pool(self, a, x):
		out_h, out_w, found = taps(a.window, *x.shape[1:3])
		y = np.zeros((len(x), out_h, out_w, x.shape[3]), x.dtype)
		if any((i[1].stop - i[1].start, i[2].stop - i[2].start) != (out_h, out_w) for _, _, i, _ in found):
			raise BadModel("avg_pool with padding cannot be evaluated here")
		y[:] = self.math.mean(np.stack([x[at_in] for _, _, _, at_in in found]), len(found))
		return y

	def op_max_pool(self, a, x):
		out_h, out_w, found = taps(a.window, *x.shape[1:3])
		y = np.full((len(x), out_h, out_w, x.shape[3]), -np.inf, x.dtype)
		for _, _, at_out, at_in in found:
			y[at_out] = np.where(x[at_in] > y[at_out], x[at_in], y[at_out])
		return y

	def op_concat(self, a, *parts):
		return np.concatenate(parts, -1)

	def op_mean(self, a, x):
		n, h, w, c = x.shape
		return self.math.mean(x.reshape(n, h * w, c).swapaxes(0, 1), h * w).reshape(n, 1, 1, c)

	def op_deviation(self, a, x, m):
		d = x - m
		return np.sqrt(self.op_mean(a, d * d))

	def op_sqrt(self, a, x):
		return np.sqrt(np.where(x > 0, x, 0)).astype(x.dtype)

	def op_l2(self, a, x):
		return self.math.l2(x)
