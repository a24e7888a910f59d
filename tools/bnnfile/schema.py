# SPDX-License-Identifier: MIT
"""The message classes of lib/bnn/model.proto, and the refusal of what does not follow it."""

import functools
import pathlib
import subprocess

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PROTO_FILE = pathlib.Path(__file__).resolve().parents[2] / "lib" / "bnn" / "model.proto"


class BadModel(ValueError):
	"""The file is not a sound model; the text says why."""


def need(condition, text):
	if not condition:
		raise BadModel(text)


def message_class(factory, descriptor):
	"""Debian's protobuf (3.21) has a method for it, later ones a function."""
	made = getattr(message_factory, "GetMessageClass", None)
	return made(descriptor) if made else factory.GetPrototype(descriptor)


@functools.cache
def proto():
	"""The message classes of model.proto, compiled by protoc into memory: proto().Graph, proto().BITS, ..."""
	try:
		done = subprocess.run(
			["protoc", f"--proto_path={PROTO_FILE.parent}", "--descriptor_set_out=/dev/stdout", PROTO_FILE.name],
			check=True,
			stdout=subprocess.PIPE,
		)
	except FileNotFoundError:
		raise SystemExit("protoc is not here (Debian: protobuf-compiler)") from None
	files = descriptor_pb2.FileDescriptorSet.FromString(done.stdout)
	pool = descriptor_pool.DescriptorPool()
	names = {}
	for file in files.file:
		pool.Add(file)
		for enum in file.enum_type:
			names.update({value.name: value.number for value in enum.value})
		factory = message_factory.MessageFactory(pool)
		for message in file.message_type:
			full_name = f"{file.package}.{message.name}"
			names[message.name] = message_class(factory, pool.FindMessageTypeByName(full_name))
	return type("model_proto", (), names)


def dtype_name(tensor):
	return proto().Tensor.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number[tensor.dtype].name
