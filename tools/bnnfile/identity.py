# SPDX-License-Identifier: MIT
"""feature_id: SHA-256 over what decides the features. The encoding is described in lib/bnn/feature_id.c."""

import hashlib
import struct

from google.protobuf.descriptor import FieldDescriptor

from .format import constant_bytes, store

TAG = b"bnnd-features-1\0"
INPUT, CONSTANT, RESULT = 0, 1, 2


def feature_id(model):
	"""The id as 64 hexadecimal digits."""
	graph = model.graph
	encoder = _Encoder(model)
	tensor = model.tensors[graph.input.tensor]
	encoder.u32(tensor.shape[1], tensor.shape[0], graph.input.fit, graph.input.image_rules)
	encoder.parts += [bytes(graph.input.background), model.constants[graph.input.table].astype("<f4").tobytes()]
	for op in _reaching(model):
		encoder.operation(op)
	encoder.u32(0, encoder.numbers[model.output("features")])
	return hashlib.sha256(TAG + b"".join(encoder.parts)).hexdigest()


def _reaching(model):
	"""The operations that the features depend on, in the order of the file."""
	wanted, found = {model.output("features")}, []
	for op in reversed(model.graph.ops):
		if wanted & set(op.outputs):
			wanted |= set(op.inputs)
			found.append(op)
	return reversed(found)


class _Encoder:
	def __init__(self, model):
		self.model = model
		self.parts = []
		self.numbers = {}

	def u32(self, *values):
		self.parts += [struct.pack("<I", v & 0xFFFFFFFF) for v in values]

	def tensor(self, tensor_id):
		if tensor_id in self.numbers:
			self.u32(self.numbers[tensor_id])
			return
		self.numbers[tensor_id] = len(self.numbers)
		tensor = self.model.tensors[tensor_id]
		constant = tensor_id in self.model.constants
		kind = INPUT if tensor_id == self.model.graph.input.tensor else CONSTANT if constant else RESULT
		self.u32(self.numbers[tensor_id], kind, tensor.dtype, len(tensor.shape), *tensor.shape)
		self.u32(tensor.HasField("scale"))
		if tensor.HasField("scale"):
			self.parts.append(struct.pack("<fi", tensor.scale, tensor.zero_point))
		if constant:
			self.parts.append(struct.pack("<Q", constant_bytes(tuple(tensor.shape), tensor.dtype)))
			self.parts.append(store(self.model.constants[tensor_id], tensor.dtype))

	def operation(self, op):
		kind = op.WhichOneof("attributes")
		self.u32(op.DESCRIPTOR.fields_by_name[kind].number)
		for ids in (op.inputs, op.outputs):
			self.u32(len(ids))
			for i in ids:
				self.tensor(i)
		self.attributes(getattr(op, kind))

	def attributes(self, message):
		for field in sorted(message.DESCRIPTOR.fields, key=lambda f: f.number):
			value = getattr(message, field.name)
			if field.label == FieldDescriptor.LABEL_REPEATED:
				self.u32(len(value), *value)
			elif field.message_type:
				self.attributes(value)
			elif field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
				self.parts.append(struct.pack("<f", value))
			else:
				self.u32(int(value))
