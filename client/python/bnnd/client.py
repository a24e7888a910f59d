# SPDX-License-Identifier: MIT
"""Client: one connection, blocking calls; Lesson: a conversation with pipelined pictures.

Invariant: every request that was sent gets exactly one final reply, and replies are read while sending, so neither side
can wait for the other with full buffers.
"""
import os
import select
import time

from . import wire
from .wire import ConnectionLost, Error, Kind, messages

DEFAULT_SOCKET = "/run/bnnd/bnnd.sock"
RECEIVE_BYTES = 1 << 18


def label_bytes(label):
	return label.encode("utf-8") if isinstance(label, str) else bytes(label)


class Picture:
	"""A JPEG or PNG file as it is, or raw pixels; with the region and rotation to look at."""

	def __init__(self, payload, raw=None, rotate=0, roi=None):
		self.payload = bytes(payload)
		self.raw = raw          # (width, height, channels); None: a JPEG or PNG file
		self.rotate = rotate    # degrees clockwise
		self.roi = roi          # (x, y, width, height), fractions

	@classmethod
	def file(cls, path, **options):
		with open(path, "rb") as f:
			return cls(f.read(), **options)

	@classmethod
	def array(cls, pixels, **options):
		"""A numpy array of uint8: height x width (grey) or height x width x 3."""
		if str(pixels.dtype) != "uint8" or pixels.ndim not in (2, 3):
			raise ValueError("pixels must be uint8, height x width or height x width x 3")
		channels = 1 if pixels.ndim == 2 else pixels.shape[2]
		return cls(pixels.tobytes(), raw=(pixels.shape[1], pixels.shape[0], channels), **options)

	def message(self):
		m = messages().Picture(rotate=self.rotate)
		if self.raw is not None:
			m.raw.SetInParent()
			m.raw.width, m.raw.height, m.raw.channels = self.raw
		if self.roi is not None:
			m.roi.SetInParent()
			m.roi.x, m.roi.y, m.roi.width, m.roi.height = self.roi
		return m


class Client:
	"""A connection to the daemon. timeout: seconds that one call may take before TimeoutError."""

	def __init__(self, path=None, timeout=60.0, software="bnnd-python 0.1"):
		self.path = path or os.environ.get("BNND_SOCKET") or DEFAULT_SOCKET
		self.timeout = timeout
		self._sock = wire.connect(self.path, timeout)
		self._reader = wire.FrameReader()
		self._replies = {}      # request id -> (Reply, payload), arrived and not yet asked for
		self._open = set()      # request ids without a reply
		self._next_id = 1
		try:
			self._send(wire.encode_frame(Kind.HELLO, 0,
				messages().Hello(major=wire.MAJOR, minor=wire.MINOR, software=software).SerializeToString()))
			self.hello = self._wait_hello()
		except BaseException:
			self.close()
			raise

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()

	def close(self):
		self._sock.close()

	# ---- frames ----

	def _read_some(self):
		try:
			data = self._sock.recv(RECEIVE_BYTES)
		except BlockingIOError:
			return
		except ConnectionResetError:
			data = b""
		if not data:
			raise ConnectionLost("the daemon closed the connection")
		self._reader.feed(data)

	def _take_replies(self):
		while (frame := self._reader.next()) is not None:
			if frame.kind == Kind.EVENT:
				continue
			if frame.kind != Kind.REPLY or frame.request_id not in self._open:
				raise wire.ConnectionLost(f"the daemon sent kind {frame.kind} for request {frame.request_id}: not our protocol")
			self._open.discard(frame.request_id)
			self._replies[frame.request_id] = (messages().Reply.FromString(frame.body), frame.payload)

	def _send(self, data):
		view = memoryview(data)
		end = time.monotonic() + self.timeout
		self._sock.setblocking(False)
		while view:
			left = end - time.monotonic()
			if left <= 0:
				raise TimeoutError("the daemon does not read")
			readable, writable, _ = select.select([self._sock], [self._sock], [], left)
			if readable:
				self._read_some()
			if writable:
				try:
					view = view[self._sock.send(view):]
				except BlockingIOError:
					pass
				except (BrokenPipeError, ConnectionResetError):
					# The daemon said why before it closed, or not at all.
					self._drain()
					raise ConnectionLost("the daemon closed the connection") from None

	def _drain(self):
		try:
			while True:
				self._read_some()
		except (ConnectionLost, OSError):
			self._take_replies()

	def _wait(self, ready):
		end = time.monotonic() + self.timeout
		self._sock.setblocking(False)
		while not ready():
			left = end - time.monotonic()
			if left <= 0:
				raise TimeoutError(f"no reply within {self.timeout:g} s")
			if select.select([self._sock], [], [], left)[0]:
				self._read_some()

	def _wait_hello(self):
		frames = []

		def ready():
			frame = self._reader.next()
			if frame is not None:
				frames.append(frame)
			return bool(frames)
		self._wait(ready)
		if frames[0].kind != Kind.HELLO:
			raise ConnectionLost("the first frame is no hello: this is not bnnd's socket")
		hello = messages().HelloReply.FromString(frames[0].body)
		if hello.status.code:
			raise Error(hello.status)
		return hello

	def submit(self, payload=b"", timeout_ms=0, **op):
		"""Sends a request, submit(infer=messages().Infer(...)), and returns its id for `result`."""
		while len(self._open) >= max(1, self.hello.limits.in_flight):
			before = len(self._open)

			def fewer():
				self._take_replies()
				return len(self._open) < before
			self._wait(fewer)
		request_id = self._next_id
		self._next_id = self._next_id % 0xffffffff + 1
		self._open.add(request_id)
		self._send(wire.encode_frame(Kind.REQUEST, request_id,
			messages().Request(timeout_ms=timeout_ms, **op).SerializeToString(), payload))
		return request_id

	def result(self, request_id):
		"""Waits for the reply to a submitted request: (Reply, payload), or Error."""
		def ready():
			self._take_replies()
			return request_id in self._replies
		self._wait(ready)
		reply, payload = self._replies.pop(request_id)
		if reply.status.code:
			raise Error(reply.status)
		return reply, payload

	def cancel(self, request_id):
		"""Asks the daemon to give a request up; its reply still comes."""
		self._send(wire.encode_frame(Kind.CANCEL, request_id))

	def call(self, payload=b"", timeout_ms=0, **op):
		return self.result(self.submit(payload, timeout_ms, **op))

	# ---- questions ----

	def _infer_message(self, picture, top, refuse):
		m = messages().Infer(picture=picture.message(), top=top)
		if refuse is not None:
			m.refuse.share = refuse
		return m

	def infer(self, picture, top=0, refuse=None, timeout_ms=0):
		"""What is this? An Answer."""
		return self.call(picture.payload, timeout_ms, infer=self._infer_message(picture, top, refuse))[0].answer

	def infer_many(self, pictures, top=0, refuse=None):
		"""Answers in the order of the pictures, asked as many at once as the daemon allows."""
		waiting = []
		for picture in pictures:
			waiting.append(self.submit(picture.payload, infer=self._infer_message(picture, top, refuse)))
			if len(waiting) >= max(1, self.hello.limits.in_flight):
				yield self.result(waiting.pop(0))[0].answer
		for request_id in waiting:
			yield self.result(request_id)[0].answer

	def embed(self, picture):
		"""The feature vector: an Embedding; `features` are int8."""
		return self.call(picture.payload, embed=messages().Embed(picture=picture.message()))[0].embedding

	def look(self, picture):
		"""What the network sees: (Looked, PNG bytes)."""
		reply, payload = self.call(picture.payload, look=messages().Look(picture=picture.message()))
		return reply.looked, payload

	def status(self):
		return self.call(status=messages().GetStatus())[0].daemon_status

	def classes(self):
		"""Every taught class, in label order."""
		found, after = [], b""
		while True:
			page = self.call(classes=messages().Classes(after=after))[0].class_list
			found += page.classes
			if not page.more or not page.classes:
				return found
			after = page.classes[-1].label

	def class_detail(self, label):
		return self.call(class_detail=messages().ClassDetail(label=label_bytes(label)))[0].class_info

	def history(self, limit=None):
		"""The changes, the newest first."""
		found, before = [], 0
		while True:
			page = self.call(history=messages().History(before_seq=before))[0].history_list
			found += page.entries
			if not page.more or not page.entries or (limit is not None and len(found) >= limit):
				return found[:limit]
			before = page.entries[-1].seq

	# ---- changes ----

	@staticmethod
	def _guard(message, if_seq, key):
		if if_seq is not None:
			message.guard.SetInParent()
			message.guard.if_seq = if_seq
		if key is not None:
			message.key = key
		return message

	def lesson(self, key=None, dry_run=False, if_seq=None, pipeline=True):
		"""A lesson, for `with`: committed at the end of the block, aborted when it raises."""
		return Lesson(self, key, dry_run, if_seq, pipeline)

	def learn(self, label, pictures, **options):
		"""One lesson with one class; returns the Changed."""
		with self.lesson(**options) as lesson:
			for picture in pictures:
				lesson.add(label, picture)
		return lesson.result

	def forget(self, label=None, none=False, if_seq=None, key=None):
		m = messages().Forget(none=True) if none else messages().Forget(label=label_bytes(label))
		return self.call(forget=self._guard(m, if_seq, key))[0].changed

	def rename(self, old, new, if_seq=None, key=None):
		m = messages().Rename(old_label=label_bytes(old), new_label=label_bytes(new))
		return self.call(rename=self._guard(m, if_seq, key))[0].changed

	def undo(self, if_seq=None, key=None):
		return self.call(undo=self._guard(messages().Undo(), if_seq, key))[0].changed

	def rollback(self, seq, if_seq=None, key=None):
		return self.call(rollback=self._guard(messages().Rollback(seq=seq), if_seq, key))[0].changed


class Lesson:
	"""One open lesson. `result` is the Changed once committed (at once, when the key was committed before: then
	`repeated` is True and adding does nothing); `refused` are the pictures that were not taken: (index, Error)."""

	def __init__(self, client, key=None, dry_run=False, if_seq=None, pipeline=True):
		self.client = client
		self.key = os.urandom(16) if key is None else bytes(key)
		self.result = None
		self.refused = []
		self.already_known = 0
		self.accepted = 0
		self._n = 0
		self._waiting = []      # (index, request id)
		self._pipeline = pipeline
		begin = messages().LessonBegin(key=self.key, dry_run=dry_run)
		if if_seq is not None:
			begin.guard.SetInParent()
			begin.guard.if_seq = if_seq
		begun = client.call(lesson_begin=begin)[0].begun
		self.number = begun.lesson
		if begun.HasField("first"):
			self.result = begun.first

	def __enter__(self):
		return self

	def __exit__(self, kind, *_):
		if self.result is not None:
			return
		if kind is None:
			self.commit()
		elif not issubclass(kind, (ConnectionLost, OSError)):
			try:
				self.abort()
			except (Error, OSError):
				pass  # the reason for leaving the block matters more

	def add(self, label, picture):
		"""label None: a picture of nothing in particular. Refusals are gathered in `refused`."""
		if self.result is not None:
			return
		m = messages().LessonAdd(lesson=self.number, picture=picture.message())
		if label is None:
			m.none = True
		else:
			m.label = label_bytes(label)
		self._waiting.append((self._n, self.client.submit(picture.payload, lesson_add=m)))
		self._n += 1
		most = max(1, self.client.hello.limits.in_flight) if self._pipeline else 1
		while len(self._waiting) >= most:
			self._take(*self._waiting.pop(0))

	def _take(self, index, request_id):
		try:
			added = self.client.result(request_id)[0].added
		except Error as e:
			self.refused.append((index, e))
			return
		if added.already_known:
			self.already_known += 1
		else:
			self.accepted += 1

	def settle(self):
		"""Waits until every add is answered."""
		while self._waiting:
			self._take(*self._waiting.pop(0))

	def commit(self, added=None):
		self.settle()
		self.result = self.client.call(lesson_commit=messages().LessonCommit(lesson=self.number,
			added=self.accepted if added is None else added))[0].changed
		return self.result

	def abort(self):
		self.settle()
		self.client.call(lesson_abort=messages().LessonAbort(lesson=self.number))
