# SPDX-License-Identifier: MIT
"""Is a whole graph sound? For the strict reader; what an operation accepts and makes is shapes.py's."""

import math
import re

import numpy as np
from google.protobuf.descriptor import FieldDescriptor

from . import shapes
from .schema import BadModel, dtype_name, need

REFUSE_SHARES = 5
GROUPS_MAX = 16
FACTOR_MAX = 1024
TEMPERATURE_MAX = 1 << 20  # and its inverse: the smallest
BLANK = ("blank", "blank_cosine")  # both or none, beside those of KNOWN
KNOWN = {  # constants of Answers of 1.1, all of them or none: the largest value, and whether 0 is possible
	"near_duplicate": (1, False),
	"pair_cosine": (1, True),
	"pair_weight": (1000, True),
	"class_share": (1, True),
	"few_pictures": (1000, True),
	"metric_temperature": (TEMPERATURE_MAX, False),
	"scene_share": (1, True),
	"scene_cosine": (1, True),
}
DEVIATIONS_MAX, DEVIATION_WEIGHT_MAX = 10, 1000
NAME = re.compile("[A-Za-z0-9._-]{1,128}")  # of a card
CARD_TEXT_MAX_BYTES = 1 << 16


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
	quantized = dtype_name(tensor) in shapes.QUANTIZED and not tensor.HasField("offset")
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
	shapes.need_constant(_tensor(model, inp.table, "input"), ((3, 256),), ("F32",))
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
	right = shapes.infer(kind, inputs, attributes, found[0][1])
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
		known = any(a.HasField(name) for name in KNOWN)
		check_present(a, "answers", optional=BLANK if known else (*KNOWN, *BLANK))
		for name, (largest, zero) in KNOWN.items() if known else ():
			value = getattr(a, name)
			need(0 <= value <= largest and (zero or value > 0), f"{name} is {value}")
		for t in (a.temperature, a.metric_temperature) if known else (a.temperature,):
			need(1 / TEMPERATURE_MAX <= t <= TEMPERATURE_MAX, f"a temperature is {t}")
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
			len(s) == (0 if known else REFUSE_SHARES) and all(-1 <= x <= 1 for x in s) and s == sorted(s),
			f"the cosines of unknown are {s}",
		)
		groups, d = list(a.groups), model.tensors[model.output("features")].shape[2]
		blank = [a.HasField(name) for name in BLANK]
		need(all(blank) == any(blank) and (known or not any(blank)), "blank without what it needs beside it")
		if all(blank):
			row = np.frombuffer(a.blank, np.int8)
			need(len(row) == d and row.any() and row.min() > -128, "blank is no row of the features")
			need(-1 <= a.blank_cosine <= 1, f"blank_cosine is {a.blank_cosine}")
		need(
			not groups or (len(groups) <= GROUPS_MAX and min(groups) > 0 and sum(groups) == d),
			f"the groups of {d} features are {groups}",
		)
		factors = list(a.group_factors)
		need(
			not factors or len(factors) == len(groups) and all(1 / FACTOR_MAX <= x <= FACTOR_MAX for x in factors),
			f"the factors of {len(groups)} groups are {factors}",
		)
	if graph.HasField("prior"):
		d = model.tensors[model.output("features")].shape[2]
		check_present(graph.prior, "prior", optional=("between",))
		shapes.need_constant(_tensor(model, graph.prior.covariance, "prior"), ((d, d),))
