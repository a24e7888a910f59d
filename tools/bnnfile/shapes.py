# SPDX-License-Identifier: MIT
"""What each operation accepts and makes. One function an operation: (inputs, attributes) -> output shapes and dtypes.

An input is a Tensor message. infer() serves the builder, check_graph() the strict reader; both refuse by the
operation's name. Activations have rank 3 (H, W, C); a vector is (1, 1, C).
"""

import math
import re

from google.protobuf.descriptor import FieldDescriptor

from .format import BadModel, proto

FLOATS = ("F32", "F16")  # of a constant; an activation is F32
QUANTIZED = ("I8", "I16", "I32")
REFUSE_SHARES = 5
DEVIATIONS_MAX, DEVIATION_WEIGHT_MAX = 10, 1000
NAME = re.compile("[A-Za-z0-9._-]{1,128}")  # of a card
CARD_TEXT_MAX_BYTES = 1 << 16


def need(condition, text):
	if not condition:
		raise BadModel(text)


def dtype_name(tensor):
	return proto().Tensor.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number[tensor.dtype].name


def _activation(tensor, dtype="F32"):
	need(len(tensor.shape) == 3, f"takes activations of rank 3, not {list(tensor.shape)}")
	need(not tensor.HasField("offset"), "takes the result of an operation here, not a constant")
	need(dtype_name(tensor) == dtype, f"takes {dtype}, not {dtype_name(tensor)}")
	return tuple(tensor.shape)


def _constant(tensor, shapes, dtypes=FLOATS):
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
	_constant(inputs[1], ((c,), (1,)))
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
	_constant(w, ((o, a.window.kernel_y, a.window.kernel_x, c // a.groups),), ("BITS",))
	need(a.pad_value in (-1, 0, 1), f"cannot pad with {a.pad_value}")
	need(a.clamp_lo <= a.clamp_hi, "has clamp bounds in the wrong order")
	if out == "BITS":
		_count(inputs, 3)
		_constant(inputs[2], ((o,),), ("I32",))
	else:
		need(out in ("F32", "I8"), f"cannot make {out}")
		_count(inputs, 4)
		_constant(inputs[2], ((o,),))
		_constant(inputs[3], ((o,),))
	return [(window_output(a.window, h, wd) + (o,), out)]


def _bias(inputs, o):
	_count(inputs, 2, 3)
	if len(inputs) == 3:
		_constant(inputs[2], ((o,),))


def _conv2d(inputs, a):
	h, wd, c = _activation(inputs[0])
	w = _weights(inputs, a.groups, c)
	o = w.shape[0]
	_constant(w, ((o, a.window.kernel_y, a.window.kernel_x, c // a.groups),))
	_bias(inputs, o)
	return [(window_output(a.window, h, wd) + (o,), "F32")]


def _depthwise(inputs, a):
	h, wd, c = _activation(inputs[0])
	o = c * a.multiplier
	need(a.multiplier >= 1, "has the multiplier 0")
	_constant(inputs[1], ((a.window.kernel_y, a.window.kernel_x, o),))
	_bias(inputs, o)
	return [(window_output(a.window, h, wd) + (o,), "F32")]


def _dense(inputs, a):
	h, wd, c = _activation(inputs[0])
	need((h, wd) == (1, 1), "takes a vector 1 x 1 x I")
	o = inputs[1].shape[0]
	_constant(inputs[1], ((o, c),))
	_bias(inputs, o)
	return [((1, 1, o), "F32")]


def _binary_elementwise(inputs, a):
	_count(inputs, 2)
	shape = _activation(inputs[0])
	second = tuple(inputs[1].shape)
	if inputs[1].HasField("offset"):
		_constant(inputs[1], (shape, (1, 1, shape[2]), shape[2:]))
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


def _vector(inputs, a):
	need(tuple(inputs[0].shape[:2]) == (1, 1), "takes a vector 1 x 1 x C")
	return _same(inputs, a)


def _prelu(inputs, a):
	_count(inputs, 2, 4)
	shape = _activation(inputs[0])
	for constant in inputs[1:]:
		_constant(constant, (shape[2:],))
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
}
BY_OUTPUT_DTYPE = ("binary_conv2d", "quantize")  # the output tensor's dtype says which


def infer(kind, inputs, attributes, out_dtype=None):
	"""Shapes and dtype names of the outputs of an operation on these Tensor messages."""
	if kind in BY_OUTPUT_DTYPE:
		return OPERATIONS[kind](inputs, attributes, out_dtype)
	return OPERATIONS[kind](inputs, attributes)


def check_present(message, what, optional=()):
	"""Every singular field of a message must be present, at any depth."""
	for field in message.DESCRIPTOR.fields:
		if field.name in optional:
			continue
		if field.label == FieldDescriptor.LABEL_REPEATED:
			continue
		need(message.HasField(field.name), f"{what} lacks {field.name}")
		if field.message_type:
			check_present(getattr(message, field.name), f"{what}.{field.name}")
		elif field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
			need(math.isfinite(getattr(message, field.name)), f"{what}.{field.name} is not finite")


def check_graph(model):
	"""Everything beyond the container: ids, order, shapes, input, outputs, answers, prior."""
	graph = model.graph
	need(len(model.tensors) == len(graph.tensors), "two tensors have the same id")
	for tensor in graph.tensors:
		_check_tensor(tensor)
	need(graph.HasField("input"), "the graph has no input")
	made = {_check_input(model, graph.input)}
	for op in graph.ops:
		kind = op.WhichOneof("attributes")
		need(kind is not None, f"operation {op.name!r} is of no kind")
		try:
			_check_op(model, op, kind, made)
		except BadModel as e:
			raise BadModel(f"operation {op.name!r}: {kind} {e}") from None
	for tensor in graph.tensors:
		need(tensor.HasField("offset") or tensor.id in made, f"nothing makes tensor {tensor.id}")
	_check_outputs(model, made)
	_check_beside(model)


def _check_tensor(tensor):
	what = f"tensor {tensor.id} ({tensor.name})"
	for name in ("id", "dtype"):
		need(tensor.HasField(name), f"{what} lacks {name}")
	need(1 <= len(tensor.shape) <= 4 and min(tensor.shape) >= 1, f"{what} has the shape {list(tensor.shape)}")
	need(tensor.HasField("offset") == tensor.HasField("length"), f"{what} has offset or length, not both")
	quantized = dtype_name(tensor) in QUANTIZED and not tensor.HasField("offset")
	for name in ("scale", "zero_point"):
		need(tensor.HasField(name) == quantized, f"{what}: {name} belongs to quantized activations, and must be there")
	need(not quantized or math.isfinite(tensor.scale) and tensor.scale > 0, f"{what} has the scale {tensor.scale}")


def _tensor(model, tensor_id, what):
	need(tensor_id in model.tensors, f"{what} names tensor {tensor_id}, which does not exist")
	return model.tensors[tensor_id]


def _check_input(model, inp):
	check_present(inp, "input")
	tensor = _tensor(model, inp.tensor, "input")
	need(
		not tensor.HasField("offset")
		and dtype_name(tensor) == "F32"
		and len(tensor.shape) == 3
		and tensor.shape[2] == 3,
		"the input is not F32 height x width x 3",
	)
	need(len(inp.background) == 3, "the background is not three bytes")
	need(inp.image_rules == 1, f"picture rules {inp.image_rules} are not known")
	_constant(_tensor(model, inp.table, "input"), ((3, 256),), ("F32",))
	return inp.tensor


def _check_op(model, op, kind, made):
	attributes = getattr(op, kind)
	check_present(attributes, kind)
	inputs = [_tensor(model, i, "it") for i in op.inputs]
	for tensor in inputs:
		need(tensor.HasField("offset") or tensor.id in made, f"uses tensor {tensor.id} before it is made")
	outputs = [_tensor(model, i, "it") for i in op.outputs]
	for tensor in outputs:
		need(not tensor.HasField("offset") and tensor.id not in made, f"makes tensor {tensor.id} a second time")
		made.add(tensor.id)
	need(inputs and outputs, "has no input or no output")
	found = [(tuple(t.shape), dtype_name(t)) for t in outputs]
	right = infer(kind, inputs, attributes, found[0][1])
	need(found == right, f"makes {right}, not {found}")


def _check_outputs(model, made):
	names = [output.name for output in model.graph.outputs]
	need("features" in names and len(set(names)) == len(names), f"the outputs are {names}")
	for output in model.graph.outputs:
		need(output.name in ("features", "logits"), f"an output {output.name!r} is not known")
		need(output.tensor in made, f"nothing makes the output {output.name!r}")
		tensor = _tensor(model, output.tensor, "output")
		need(tuple(tensor.shape[:2]) == (1, 1) and dtype_name(tensor) == "F32", f"{output.name!r} is not a vector")
		need(
			not output.classes or output.name == "logits" and len(output.classes) == tensor.shape[2],
			f"{output.name!r} has {len(output.classes)} classes",
		)


def check_name(name):
	need(NAME.fullmatch(name), f'the name {name!r} is not 1 to 128 letters, digits, "-", "_", "." (ASCII)')


def check_text(text):
	need(len(text.encode()) <= CARD_TEXT_MAX_BYTES, f"the card's text is longer than {CARD_TEXT_MAX_BYTES >> 10} KiB")
	bad = [c for c in text if ord(c) < 32 and c not in "\n\t" or 127 <= ord(c) < 160]
	need(not bad, f"the card's text has the control character {bad[:1]}")


def _check_beside(model):
	graph = model.graph
	need(graph.HasField("card"), "the graph has no card")
	check_present(graph.card, "card")
	check_name(graph.card.name)
	check_text(graph.card.text)
	if graph.HasField("answers"):
		a = graph.answers
		check_present(a, "answers")
		need(math.isfinite(a.temperature) and a.temperature > 0, f"the temperature is {a.temperature}")
		need(
			0 < a.deviation <= 1 and 0 < a.deviation_weight <= DEVIATION_WEIGHT_MAX,
			f"the deviation is {a.deviation}, worth {a.deviation_weight} pictures",
		)
		k = list(a.deviations)
		need(
			len(k) == REFUSE_SHARES and all(abs(x) <= DEVIATIONS_MAX for x in k) and k == sorted(k, reverse=True),
			f"the deviations are {k}",
		)
		s = list(a.unknown_cosine)
		need(
			len(s) == REFUSE_SHARES and all(-1 <= x <= 1 for x in s) and s == sorted(s),
			f"the cosines of unknown are {s}",
		)
	if graph.HasField("prior"):
		d = model.tensors[model.output("features")].shape[2]
		check_present(graph.prior, "prior", optional=("between",))
		_constant(_tensor(model, graph.prior.covariance, "prior"), ((d, d),))
