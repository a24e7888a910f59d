# SPDX-License-Identifier: MIT
"""Frames and messages: 16 bytes of header, a protobuf body, a raw payload.

`messages()` gives the module that protoc makes of bnnd.proto. It is made at first use into a cache folder
(BNND_PYTHON_CACHE, else XDG_CACHE_HOME, else ~/.cache) under a name that changes with the .proto file, so it is never
stale and never committed.
"""

import enum
import hashlib
import importlib.util
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time

HEADER = struct.Struct(">IIIHH")
MAJOR, MINOR = 1, 0
MORE = 1
BODY_MAX_BYTES = 64 << 10
PAYLOAD_MAX_BYTES = 8 << 20
LIST_MAX_BYTES = 64 << 20  # all pages of a list; no daemon remembers as much


class Kind(enum.IntEnum):
	HELLO = 1
	REQUEST = 2
	REPLY = 3
	EVENT = 4
	CANCEL = 5


class Code(enum.IntEnum):
	OK = 0
	CANCELLED = 1
	UNKNOWN = 2
	INVALID_ARGUMENT = 3
	DEADLINE_EXCEEDED = 4
	NOT_FOUND = 5
	ALREADY_EXISTS = 6
	PERMISSION_DENIED = 7
	RESOURCE_EXHAUSTED = 8
	FAILED_PRECONDITION = 9
	ABORTED = 10
	OUT_OF_RANGE = 11
	UNIMPLEMENTED = 12
	INTERNAL = 13
	UNAVAILABLE = 14
	DATA_LOSS = 15


class Error(Exception):
	"""What the daemon refused: code, sentence, and the fields for machines."""

	def __init__(self, status):
		super().__init__(status.message or "the daemon gave no reason")
		self.code = Code(status.code) if status.code in Code._value2member_map_ else status.code
		self.message = status.message
		self.field = status.field
		self.limit = status.limit
		self.retry_after_ms = status.retry_after_ms

	def __str__(self):
		return f"{getattr(self.code, 'name', self.code)}: {self.message}"


class ConnectionLost(ConnectionError):
	"""The daemon closed the connection, nobody listens, or what answers is no bnnd."""


_messages = None


def _proto_file():
	here = os.path.dirname(os.path.abspath(__file__))
	for path in (os.path.join(here, "bnnd.proto"), os.path.join(here, "..", "..", "..", "proto", "bnnd.proto")):
		if os.path.isfile(path):
			return os.path.normpath(path)
	raise ImportError("bnnd.proto is neither beside the package nor in the source tree")


def _cache_folder():
	folder = os.environ.get("BNND_PYTHON_CACHE")
	if not folder:
		base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
		folder = os.path.join(base, "bnnd-python")
	os.makedirs(folder, mode=0o700, exist_ok=True)
	return folder


def messages():
	"""The generated module: messages().Request(), messages().Reply() and so on."""
	global _messages
	if _messages is not None:
		return _messages
	proto = _proto_file()
	with open(proto, "rb") as f:
		name = "bnnd_pb2_" + hashlib.sha256(f.read()).hexdigest()[:16]
	folder = _cache_folder()
	path = os.path.join(folder, name + ".py")
	if not os.path.exists(path):
		with tempfile.TemporaryDirectory(dir=folder) as work:
			try:
				subprocess.run(
					["protoc", f"--proto_path={os.path.dirname(proto)}", f"--python_out={work}", proto],
					check=True,
					stderr=subprocess.PIPE,
					text=True,
				)
			except FileNotFoundError:
				raise ImportError("protoc is missing: apt install protobuf-compiler") from None
			except subprocess.CalledProcessError as e:
				raise ImportError(f"protoc refused {proto}: {e.stderr.strip()}") from None
			os.replace(os.path.join(work, "bnnd_pb2.py"), path)  # atomic: two processes may be first
	spec = importlib.util.spec_from_file_location(name, path)
	module = importlib.util.module_from_spec(spec)
	sys.modules[name] = module
	spec.loader.exec_module(module)
	_messages = module
	return module


def parse(message, body):
	"""A body as this kind of message; ConnectionLost when it is none: whoever sent it does not speak our protocol."""
	from google.protobuf.message import DecodeError

	try:
		return message.FromString(body)
	except (DecodeError, ValueError) as e:  # ValueError: text that is not UTF-8, in older libraries
		raise ConnectionLost(f"what answers is no bnnd: a {message.DESCRIPTOR.name} does not parse: {e}") from None


def refusal(code, message, limit=0):
	"""An Error of this side, as the daemon would have sent it."""
	return Error(messages().Status(code=code, message=message, limit=limit))


def connect(path, timeout):
	"""A connected socket, or ConnectionLost that says what is wrong with the path."""
	sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
	sock.settimeout(timeout)
	end = time.monotonic() + timeout
	while True:
		try:
			sock.connect(path)
			return sock
		except BlockingIOError as e:  # as many wait to be accepted as may
			failed = e
		except OSError as e:
			failed = e
			break
		if time.monotonic() >= end:
			break
		time.sleep(0.01)
	sock.close()
	raise ConnectionLost(f"no daemon at {path}: {failed.strerror or failed}")


class Frame:
	"""One received frame."""

	def __init__(self, header, body, payload):
		_, _, self.request_id, self.kind, self.flags = header
		self.body = body
		self.payload = payload


def encode_frame(kind, request_id, body=b"", payload=b"", flags=0):
	return HEADER.pack(len(body), len(payload), request_id, kind, flags) + body + payload


class FrameReader:
	"""Cuts a stream into frames. feed() bytes, then take frames with next() until it gives None. A header that the
	protocol does not allow is ConnectionLost before anything of the length that it announces is kept."""

	def __init__(self):
		self.buffer = bytearray()

	def feed(self, data):
		self.buffer += data

	def next(self):
		if len(self.buffer) < HEADER.size:
			return None
		header = HEADER.unpack_from(self.buffer)
		body_bytes, payload_bytes, _, kind, flags = header
		if kind not in Kind._value2member_map_ or flags & ~MORE:
			raise ConnectionLost(f"what answers is no bnnd: a frame of kind {kind} with flags {flags}")
		if body_bytes > BODY_MAX_BYTES or payload_bytes > PAYLOAD_MAX_BYTES:
			raise ConnectionLost(
				f"what answers is no bnnd: a frame of {body_bytes} and {payload_bytes} bytes, "
				f"at most {BODY_MAX_BYTES} and {PAYLOAD_MAX_BYTES} are possible"
			)
		body_end = HEADER.size + body_bytes
		end = body_end + payload_bytes
		if len(self.buffer) < end:
			return None
		frame = Frame(header, bytes(self.buffer[HEADER.size : body_end]), bytes(self.buffer[body_end:end]))
		del self.buffer[:end]
		return frame


class Raw:
	"""A connection that sends whatever it is told: for tests of bad input, and for looking at the wire."""

	def __init__(self, path, timeout=20.0):
		self.timeout = timeout
		self.sock = connect(path, timeout)
		self.reader = FrameReader()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()

	def close(self):
		self.sock.close()

	def send(self, data):
		self.sock.sendall(data)

	def frame(self, kind, request_id, body=b"", payload=b"", flags=0):
		self.send(encode_frame(kind, request_id, body, payload, flags))

	def hello(self, major=MAJOR, minor=MINOR):
		"""Says hello and returns the HelloReply."""
		self.frame(Kind.HELLO, 0, messages().Hello(major=major, minor=minor, software="raw").SerializeToString())
		return parse(messages().HelloReply, self.receive().body)

	def request(self, request_id, payload=b"", timeout_ms=0, **op):
		"""request(7, infer=messages().Infer(...)): sends one request, waits for nothing."""
		self.frame(
			Kind.REQUEST, request_id, messages().Request(timeout_ms=timeout_ms, **op).SerializeToString(), payload
		)

	def receive(self, timeout=None):
		"""The next frame; None when the daemon closed the connection; TimeoutError when nothing came."""
		end = time.monotonic() + (self.timeout if timeout is None else timeout)
		while (frame := self.reader.next()) is None:
			left = end - time.monotonic()
			if left <= 0:
				raise TimeoutError("no frame came")
			self.sock.settimeout(left)
			try:
				data = self.sock.recv(1 << 18)
			except ConnectionResetError:
				return None
			if not data:
				return None
			self.reader.feed(data)
		return frame

	def reply(self, timeout=None):
		"""The next frame as (request id, Reply, payload); None at the end of the stream."""
		frame = self.receive(timeout)
		if frame is None:
			return None
		if frame.kind != Kind.REPLY:
			raise ValueError(f"a frame of kind {frame.kind} where a reply was due")
		return frame.request_id, parse(messages().Reply, frame.body), frame.payload
