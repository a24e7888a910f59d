# SPDX-License-Identifier: MIT
"""A network with a new tail: features made of statistics of several of its maps, instead of the last one's mean.

A part of the features is the mean or the deviation a channel of one map, brought to a scale of its own:

    [minus a centre] -> [each channel times a number: scaled | times a matrix: whitened] -> unit length -> times a weight

and the parts, joined, are brought to unit length once more. What computes the maps stays as it is; a statistic stands
right behind its map's operation, so that the map lives no longer than before. Parts of one map that stand one behind the
other are one group of the second-order head (doc/LEARNER.md).
"""

import dataclasses
import itertools

import numpy as np

from .build import Builder
from .schema import BadModel, dtype_name, need, proto

LAST = "last"  # the map whose mean the model's own features are made of
STATISTICS = ("mean", "deviation")
WAYS = ("scaled", "whitened")
FACTOR = 1.5  # of the last map's group in the sum of the groups: the others tell the same thing several times


@dataclasses.dataclass
class Part:
	"""map: the name of an operation, or LAST. way: one of WAYS, what a fit makes of it. centre, scale: a number a channel.
	matrix: C x C, (x - centre) @ matrix."""

	map: str
	statistic: str
	way: str
	weight: float = 1.0
	centre: np.ndarray | None = None
	scale: np.ndarray | None = None
	matrix: np.ndarray | None = None

	@property
	def name(self):
		return f"{self.map}:{self.statistic}"


def part(text):
	"""MAP:STATISTIC, MAP:STATISTIC:WAY, either with =WEIGHT behind it. The last map is scaled, the others are whitened."""
	name, _, weight = text.partition("=")
	rest, _, way = name.rpartition(":")
	if way not in WAYS:
		rest, way = name, None
	where, _, statistic = rest.rpartition(":")
	need(where and statistic in STATISTICS, f"{text!r} is not MAP:{'|'.join(STATISTICS)}[:{'|'.join(WAYS)}][=WEIGHT]")
	try:
		number = float(weight or 1)
	except ValueError:
		number = 0
	need(0 < number < float("inf"), f"{text!r} has no weight above 0")
	return Part(where, statistic, way or ("scaled" if where == LAST else "whitened"), number)


def with_tail(model, parts, name, text="", answers=None, factor=FACTOR):
	"""A new Model. A prior of the old one's features is left out, and so are its answers: the features are others. The
	new answers, keywords of Builder.answers, get the groups of these features, the last map's with this factor, unless they
	say groups and factors themselves."""
	g, made = _with_statistics(model, parts)
	g.output(_joined(g, [_scaled(g, made[p.name], p) for p in parts]))
	if answers:
		named, found = zip(*groups(model, parts), strict=True)
		factors = [factor if name == LAST else 1 for name in named] if len(named) > 1 else []
		answers = {"groups": found, "group_factors": factors, **answers}
	return _finished(g, name, text, answers)


def with_statistics(model, parts, name="statistics"):
	"""The same network up to the statistics, joined: what centres, scales and matrices are fitted to."""
	g, made = _with_statistics(model, parts)
	g.output(g.op("concat", [made[p.name] for p in parts], "statistics"))
	return _finished(g, name, "", None)


def groups(model, parts):
	"""(map, width) of each group of the head."""
	each = zip(parts, widths(model, parts), strict=True)
	return [(name, sum(width for _, width in g)) for name, g in itertools.groupby(each, lambda one: one[0].map)]


def widths(model, parts):
	"""Channels of each part, in their order: slices of what with_roots() gives."""
	maps = _maps(model, parts)
	return [model.tensors[maps[p.map]].shape[2] for p in parts]


def _finished(g, name, text, answers):
	g.card(name, text)
	if answers:
		g.answers(**answers)
	return g.model()


def _maps(model, parts):
	"""{name of a map: its tensor}."""
	named = {op.name: op.outputs[0] for op in model.graph.ops if len(op.outputs) == 1}
	means = [op for op in model.graph.ops if op.WhichOneof("attributes") == "mean"]
	if means:
		named[LAST] = means[-1].inputs[0]
	for p in parts:
		need(p.map in named, f"there is no operation {p.map!r} to take statistics of")
		need(dtype_name(model.tensors[named[p.map]]) == "F32", f"{p.map!r} makes no floats")
	need(parts and len({p.name for p in parts}) == len(parts), "the parts are none, or one is there twice")
	return {p.map: named[p.map] for p in parts}


def _with_statistics(model, parts):
	"""(Builder with all that the maps need and the statistics of them, {name of a part: tensor})."""
	maps = _maps(model, parts)
	copy, made = _Copy(model), {}
	for op in _needed(model, set(maps.values())):
		copy.operation(op)
		for name, tensor in maps.items():
			if tensor in op.outputs:
				made.update(_statistics(copy, name, tensor, {p.statistic for p in parts if p.map == name}))
	return copy.g, made


def _statistics(copy, name, tensor, wanted):
	g, x = copy.g, copy.ids[tensor]
	made = {f"{name}:mean": g.op("mean", [x], f"{name}:mean")}
	if "deviation" in wanted:
		made[f"{name}:deviation"] = g.op("deviation", [x, made[f"{name}:mean"]], f"{name}:deviation")
	return made


def _scaled(g, x, p):
	c = g.tensors[x].shape[2]

	def fitted(field, *shape):
		value = getattr(p, field)
		need(
			value is None or np.shape(value) == shape,
			f"the {field} of {p.name} has the shape {np.shape(value)}, not {shape}",
		)
		return value

	centre, scale, matrix = fitted("centre", c), fitted("scale", c), fitted("matrix", c, c)
	if centre is not None:
		x = g.op("sub", [x, g.constant(centre, name=f"{p.name}.centre")], f"{p.name}.centred")
	if scale is not None:
		x = g.op("mul", [x, g.constant(scale, name=f"{p.name}.scale")], f"{p.name}.scaled")
	if matrix is not None:
		x = g.dense(x, np.ascontiguousarray(np.asarray(matrix).T), None, f"{p.name}.white")
	x = g.op("l2", [x], f"{p.name}.unit")
	if p.weight == 1:
		return x
	return g.op("mul", [x, g.constant(np.full(c, p.weight), name=f"{p.name}.weight")], f"{p.name}.weighted")


def _joined(g, parts):
	return g.op("l2", [g.op("concat", parts, "joined")], "l2") if len(parts) > 1 else parts[0]


def _needed(model, wanted):
	"""The operations that the wanted tensors depend on, in the order of the file."""
	wanted, found = set(wanted), []
	for op in reversed(model.graph.ops):
		if wanted & set(op.outputs):
			wanted |= set(op.inputs)
			found.append(op)
	return found[::-1]


class _Copy:
	"""A Builder that takes over operations of a model: their constants to the bit, their names."""

	def __init__(self, model):
		self.model, self.g = model, Builder()
		i = model.graph.input
		height, width, _ = model.tensors[i.tensor].shape
		fit = proto().Input.DESCRIPTOR.fields_by_name["fit"].enum_type.values_by_number[i.fit].name
		need(i.image_rules == 1, f"picture rules {i.image_rules} are not known")
		table = model.constants[i.table]
		self.ids = {i.tensor: self.g.input(height, width, table, fit, tuple(i.background))}

	def tensor(self, i):
		if i not in self.ids:
			tensor = self.model.tensors[i]
			self.ids[i] = self.g.constant(self.model.constants[i], dtype_name(tensor), tensor.name)
		return self.ids[i]

	def operation(self, op):
		kind = op.WhichOneof("attributes")
		attributes = {field.name: value for field, value in getattr(op, kind).ListFields()}
		dtype = dtype_name(self.model.tensors[op.outputs[0]])
		if len(op.outputs) != 1:
			raise BadModel(f"{kind} {op.name!r} has several results")
		self.ids[op.outputs[0]] = self.g.op(kind, [self.tensor(i) for i in op.inputs], op.name, dtype, **attributes)
