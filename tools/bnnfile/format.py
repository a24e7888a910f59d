# SPDX-License-Identifier: MIT
"""The container: 64-byte header, graph message, data section. See lib/bnn/model.proto for the bytes.

read() is strict: what it accepts is complete, consistent and says nothing that this code does not understand.
"""

import hashlib
import math
import pathlib
import struct

import numpy as np

from . import check
from .schema import BadModel, proto

MAGIC = b"\x89BNND\r\n\x1a"
FORMAT_MAJOR = 1
HEADER = struct.Struct("<8sHHIQ8s32s")
ALIGN_BYTES = 64
GRAPH_MAX_BYTES = 4 << 20
WORD_BITS = 32


def align(n_bytes):
	return -(-n_bytes // ALIGN_BYTES) * ALIGN_BYTES


# --- packed bits -----------------------------------------------------------------------------------------------------


def pack_bits(bits):
	"""Bits (0: +1, 1: -1) of shape (..., n) -> little-endian uint32 words of shape (..., ceil(n / 32)), pads 0."""
	bits = np.asarray(bits)
	n = bits.shape[-1]
	n_words = -(-n // WORD_BITS)
	padded = np.zeros(bits.shape[:-1] + (n_words * WORD_BITS,), np.uint8)
	padded[..., :n] = bits != 0
	return np.packbits(padded, axis=-1, bitorder="little").view("<u4")


def unpack_bits(words, n):
	"""The inverse of pack_bits; refuses a pad bit that is set."""
	words = np.ascontiguousarray(words, "<u4")
	bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
	if bits[..., n:].any():
		raise BadModel("a pad bit is set")
	return bits[..., :n]


def number_dtype(dtype):
	p = proto()
	return {
		p.I8: np.dtype("i1"),
		p.I16: np.dtype("<i2"),
		p.I32: np.dtype("<i4"),
		p.F16: np.dtype("<f2"),
		p.F32: np.dtype("<f4"),
	}[dtype]


def constant_bytes(shape, dtype):
	"""Bytes of a constant in the data section."""
	if dtype == proto().BITS:
		return math.prod(shape[:-1]) * -(-shape[-1] // WORD_BITS) * 4
	return math.prod(shape) * number_dtype(dtype).itemsize


# --- the model in memory ---------------------------------------------------------------------------------------------


class Model:
	"""A graph message and its constants: {tensor id: array}; bits as uint8 0/1, numbers in their stored dtype."""

	def __init__(self, graph, constants):
		self.graph = graph
		self.constants = constants
		self.tensors = {tensor.id: tensor for tensor in graph.tensors}

	def output(self, name):
		for output in self.graph.outputs:
			if output.name == name:
				return output.tensor
		raise KeyError(name)

	def constant_named(self, name):
		for tensor in self.graph.tensors:
			if tensor.name == name and tensor.id in self.constants:
				return self.constants[tensor.id]
		raise KeyError(name)

	def covariance(self):
		"""The prior's covariance as float64 [d, d], or None."""
		if not self.graph.HasField("prior"):
			return None
		return self.constants[self.graph.prior.covariance].astype("f8")


def store(array, dtype):
	"""The bytes of one constant."""
	if dtype == proto().BITS:
		return pack_bits(array).tobytes()
	return np.ascontiguousarray(array, number_dtype(dtype)).tobytes()


def _minor(graph):
	"""The format's minor number: 1 just where a field of 1.1 is used."""
	a = graph.answers
	return int(len(a.groups) > 0 or len(a.group_factors) > 0 or any(a.HasField(name) for name in check.KNOWN))


def serialize(model):
	"""Model -> the file's bytes. Offsets and lengths are assigned here, in the order of tensors[]."""
	graph = type(model.graph).FromString(model.graph.SerializeToString())
	data = bytearray()
	for tensor in graph.tensors:
		if tensor.id not in model.constants:
			continue
		data += bytes(align(len(data)) - len(data))
		body = store(model.constants[tensor.id], tensor.dtype)
		tensor.offset, tensor.length = len(data), len(body)
		data += body
	message = graph.SerializeToString(deterministic=True)
	rest = message + bytes(align(len(message)) - len(message)) + bytes(data)
	header = HEADER.pack(
		MAGIC, FORMAT_MAJOR, _minor(graph), len(message), len(data), bytes(8), hashlib.sha256(rest).digest()
	)
	return header + rest


def parse(blob):
	"""The file's bytes -> Model. Raises BadModel."""
	graph, data = _split(blob)
	constants = {tensor.id: _constant(tensor, data) for tensor in graph.tensors if tensor.HasField("offset")}
	model = Model(graph, constants)
	check.check_graph(model)
	return model


def write(path, model):
	"""Writes a model and reads it back strictly: what is written can be read. Returns the size in bytes."""
	blob = serialize(model)
	parse(blob)
	pathlib.Path(path).write_bytes(blob)
	return len(blob)


def read(path):
	return parse(pathlib.Path(path).read_bytes())


def _split(blob):
	"""Checks the container and returns (graph message, data section)."""
	if len(blob) < HEADER.size:
		raise BadModel("shorter than its header")
	magic, major, minor, n_graph, n_data, zero, digest = HEADER.unpack_from(blob)
	if magic != MAGIC:
		raise BadModel("not a .bnn file")
	if major != FORMAT_MAJOR or minor > 1:
		raise BadModel(f"format {major}.{minor} is not known")
	if zero != bytes(8):
		raise BadModel("reserved bytes of the header are set")
	if not 0 < n_graph <= GRAPH_MAX_BYTES:
		raise BadModel(f"a graph of {n_graph} bytes")
	data_at = HEADER.size + align(n_graph)
	if len(blob) != data_at + n_data:
		raise BadModel(f"{len(blob)} bytes long, its header says {data_at + n_data}")
	if hashlib.sha256(blob[HEADER.size :]).digest() != digest:
		raise BadModel("the digest does not match: the file is damaged")
	if any(blob[HEADER.size + n_graph : data_at]):
		raise BadModel("the bytes between graph and data are not zero")
	try:
		graph = proto().Graph.FromString(blob[HEADER.size : HEADER.size + n_graph])
	except Exception as e:
		raise BadModel(f"the graph cannot be parsed: {e}") from None
	known = proto().Graph()
	known.CopyFrom(graph)
	known.DiscardUnknownFields()
	if known.ByteSize() != graph.ByteSize():
		raise BadModel("the graph has a field or value that this version does not know")
	if minor != _minor(graph):
		raise BadModel(f"the format is {major}.{minor} where what is in it is {major}.{_minor(graph)}")
	return graph, blob[data_at:]


def _constant(tensor, data):
	p = proto()
	what = f"tensor {tensor.id} ({tensor.name})"
	shape = tuple(tensor.shape)
	if not 1 <= len(shape) <= 4 or min(shape) < 1 or math.prod(shape) > 1 << 31:
		raise BadModel(f"{what} has the shape {shape}")
	if tensor.offset % ALIGN_BYTES:
		raise BadModel(f"{what} is not aligned")
	if tensor.length != constant_bytes(shape, tensor.dtype):
		raise BadModel(f"{what} has {tensor.length} bytes, its shape needs {constant_bytes(shape, tensor.dtype)}")
	if tensor.offset + tensor.length > len(data):
		raise BadModel(f"{what} ends behind the file")
	body = data[tensor.offset : tensor.offset + tensor.length]
	if tensor.dtype == p.BITS:
		words = np.frombuffer(body, "<u4").reshape(shape[:-1] + (-1,))
		return unpack_bits(words, shape[-1])
	array = np.frombuffer(body, number_dtype(tensor.dtype)).reshape(shape)
	if array.dtype.kind == "f" and not np.isfinite(array).all():
		raise BadModel(f"{what} has a number that is not finite")
	return array
