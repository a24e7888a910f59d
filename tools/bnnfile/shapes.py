# SPDX-License-Identifier: MIT
"""What each operation accepts and makes. One function an operation: (inputs, attributes) -> output shapes and dtypes.

An input is a Tensor message. infer() serves the builder and the strict reader (check.py); both refuse by the
operation's name. Activations have rank 3 (H, W, C); a vector is (1, 1, C).
"""

import math

from .schema import dtype_name, need

FLOATS = ("F32", "F16")  # of a constant; an activation is F32
QUANTIZED = ("I8", "I16", "I32")


def _activation(tensor, dtype="F32"):
	need(len(tensor.shape) == 3, f"takes activations of rank 3, not {list(tensor.shape)}")
	need(not tensor.HasField("offset"), "takes the result of an operation here, not a constant")
	need(dtype_name(tensor) == dtype, f"takes {dtype}, not {dtype_name(tensor)}")
	return tuple(tensor.shape)


def need_constant(tensor, shapes, dtypes=FLOATS):
	need(tensor.HasField("offset"), "needs a constant here")
	need(dtype_name(tensor) in dtypes, f"needs a constant of {'/'.join(dtypes)}, not {dtype_name(tensor)}")
	need(tuple(tensor.shape) in shapes, f"needs a constant of shape {shapes}, not {tuple(tensor.shape)}")


def _count(inputs, *allowed):
	need(len(inputs) in allowed, f"takes {' or '.join(map(str, allowed))} inputs, not {len(inputs)}")


def window_output(window, height, width):
	"""Output (height, width) of a window; every one of its fields is present and sensible."""
	w, pads = window, window.pads
	ky, kx = (w.kernel_y - 1) * w.dilation_y + 1, (w.kernel_x - 1) * w.dilation_x + 1
	need(min(w.kernel_y, w.kernel_x, w.stride_y, w.stride_x, w.dilation_y, w.dilation_x) >= 1, "has an empty window")
	rows, cols = height + pads.top + pads.bottom - ky, width + pads.left + pads.right - kx
	need(rows >= 0 and cols >= 0, "has a window larger than its padded input")
	return rows // w.stride_y + 1, cols // w.stride_x + 1


def _sign(inputs, a):
	_count(inputs, 2)
	h, w, c = _activation(inputs[0])
	need_constant(inputs[1], ((c,), (1,)))
	need(len(a.rules) in (1, c), f"has {len(a.rules)} rules for {c} channels")
	return [((h, w, c), "BITS")]


def _unpack(inputs, a):
	_count(inputs, 1)
	return [(_activation(inputs[0], "BITS"), "F32")]


def _weights(inputs, groups, c):
	w = inputs[1]
	need(len(w.shape) == 4, "needs weights O x ky x kx x I")
	need(groups >= 1 and c % groups == 0 and w.shape[0] % groups == 0, f"cannot have {groups} groups")
	return w


def _binary_conv2d(inputs, a, out="F32"):
	h, wd, c = _activation(inputs[0], "BITS")
	w = _weights(inputs, a.groups, c)
	o = w.shape[0]
	need_constant(w, ((o, a.window.kernel_y, a.window.kernel_x, c // a.groups),), ("BITS",))
	need(a.pad_value in (-1, 0, 1), f"cannot pad with {a.pad_value}")
	need(a.clamp_lo <= a.clamp_hi, "has clamp bounds in the wrong order")
	if out == "BITS":
		_count(inputs, 3)
		need_constant(inputs[2], ((o,),), ("I32",))
	else:
		need(out in ("F32", "I8"), f"cannot make {out}")
		_count(inputs, 4)
		need_constant(inputs[2], ((o,),))
		need_constant(inputs[3], ((o,),))
	return [(window_output(a.window, h, wd) + (o,), out)]


def _bias(inputs, o):
	_count(inputs, 2, 3)
	if len(inputs) == 3:
		need_constant(inputs[2], ((o,),))


def _conv2d(inputs, a):
	h, wd, c = _activation(inputs[0])
	w = _weights(inputs, a.groups, c)
	o = w.shape[0]
	need_constant(w, ((o, a.window.kernel_y, a.window.kernel_x, c // a.groups),))
	_bias(inputs, o)
	return [(window_output(a.window, h, wd) + (o,), "F32")]


def _depthwise(inputs, a):
	h, wd, c = _activation(inputs[0])
	o = c * a.multiplier
	need(a.multiplier >= 1, "has the multiplier 0")
	need_constant(inputs[1], ((a.window.kernel_y, a.window.kernel_x, o),))
	_bias(inputs, o)
	return [(window_output(a.window, h, wd) + (o,), "F32")]


def _dense(inputs, a):
	h, wd, c = _activation(inputs[0])
	need((h, wd) == (1, 1), "takes a vector 1 x 1 x I")
	o = inputs[1].shape[0]
	need_constant(inputs[1], ((o, c),))
	_bias(inputs, o)
	return [((1, 1, o), "F32")]


def _binary_elementwise(inputs, a):
	_count(inputs, 2)
	shape = _activation(inputs[0])
	second = tuple(inputs[1].shape)
	if inputs[1].HasField("offset"):
		need_constant(inputs[1], (shape, (1, 1, shape[2]), shape[2:]))
	else:
		need(dtype_name(inputs[1]) == "F32", "takes F32")
		need(second in (shape, (1, 1, shape[2])), f"cannot join {shape} and {second}")
	return [(shape, "F32")]


def _concat(inputs, a):
	need(len(inputs) >= 1, "has no input")
	dtype = dtype_name(inputs[0])
	parts = [_activation(x, dtype) for x in inputs]
	need(dtype in ("F32", "BITS") and len({p[:2] for p in parts}) == 1, "joins maps of different kinds or sizes")
	need(dtype == "F32" or all(p[2] % 32 == 0 for p in parts[:-1]), "joins bits that do not fill whole words")
	return [(parts[0][:2] + (sum(p[2] for p in parts),), dtype)]


def _split(inputs, a):
	_count(inputs, 1)
	dtype = dtype_name(inputs[0])
	h, w, c = _activation(inputs[0], dtype)
	need(dtype in ("F32", "BITS") and sum(a.sizes) == c and min(a.sizes) >= 1, "has sizes that do not make its input")
	need(dtype == "F32" or all(s % 32 == 0 for s in a.sizes[:-1]), "splits bits inside a word")
	return [((h, w, s), dtype) for s in a.sizes]


def _pad(inputs, a):
	_count(inputs, 1)
	dtype = dtype_name(inputs[0])
	h, w, c = _activation(inputs[0], dtype)
	need(dtype == "F32" or dtype == "BITS" and abs(a.value) == 1, f"cannot pad {dtype} with {a.value}")
	return [((h + a.pads.top + a.pads.bottom, w + a.pads.left + a.pads.right, c), dtype)]


def _clamp(inputs, a):
	need(a.lo <= a.hi, "has bounds in the wrong order")
	return _same(inputs, a)


def _same(inputs, a):
	_count(inputs, 1)
	return [(_activation(inputs[0]), "F32")]


def _prelu(inputs, a):
	_count(inputs, 2, 4)
	shape = _activation(inputs[0])
	for constant in inputs[1:]:
		need_constant(constant, (shape[2:],))
	return [(shape, "F32")]


def _pool(inputs, a, dtype="F32"):
	_count(inputs, 1)
	h, w, c = _activation(inputs[0], dtype)
	pads, window = a.window.pads, a.window
	need(
		max(pads.top, pads.bottom) < window.kernel_y and max(pads.left, pads.right) < window.kernel_x,
		"has a window that lies wholly in its padding",
	)
	return [(window_output(window, h, w) + (c,), dtype)]


def _mean(inputs, a):
	_count(inputs, 1)
	return [((1, 1, _activation(inputs[0])[2]), "F32")]


def _deviation(inputs, a):
	_count(inputs, 2)
	vector = (1, 1, _activation(inputs[0])[2])
	need(_activation(inputs[1]) == vector, f"measures from one value a channel, {vector}, not {tuple(inputs[1].shape)}")
	return [(vector, "F32")]


def _reshape(inputs, a):
	_count(inputs, 1)
	shape = _activation(inputs[0])
	need(len(a.shape) == 3 and math.prod(a.shape) == math.prod(shape), f"cannot make {list(a.shape)} of {shape}")
	return [(tuple(a.shape), "F32")]


def _quantize(inputs, a, out="I8"):
	_count(inputs, 1)
	need(out in QUANTIZED, f"cannot make {out}")
	return [(_activation(inputs[0]), out)]


def _dequantize(inputs, a):
	_count(inputs, 1)
	dtype = dtype_name(inputs[0])
	need(dtype in QUANTIZED, f"takes {'/'.join(QUANTIZED)}, not {dtype}")
	return [(_activation(inputs[0], dtype), "F32")]


OPERATIONS = {
	"sign": _sign,
	"unpack": _unpack,
	"binary_conv2d": _binary_conv2d,
	"binary_max_pool": lambda i, a: _pool(i, a, "BITS"),
	"conv2d": _conv2d,
	"depthwise_conv2d": _depthwise,
	"dense": _dense,
	"add": _binary_elementwise,
	"sub": _binary_elementwise,
	"mul": _binary_elementwise,
	"concat": _concat,
	"split": _split,
	"pad": _pad,
	"clamp": _clamp,
	"prelu": _prelu,
	"sigmoid": _same,
	"max_pool": _pool,
	"avg_pool": _pool,
	"mean": _mean,
	"reshape": _reshape,
	"quantize": _quantize,
	"dequantize": _dequantize,
	"softmax": _same,
	"sqrt": _same,
	"l2": _same,
	"deviation": _deviation,
}
BY_OUTPUT_DTYPE = ("binary_conv2d", "quantize")  # the output tensor's dtype says which


def infer(kind, inputs, attributes, out_dtype=None):
	"""Shapes and dtype names of the outputs of an operation on these Tensor messages."""
	if kind in BY_OUTPUT_DTYPE:
		return OPERATIONS[kind](inputs, attributes, out_dtype)
	return OPERATIONS[kind](inputs, attributes)
