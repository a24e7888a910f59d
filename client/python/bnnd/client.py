# SPDX-License-Identifier: MIT
"""Client: one connection, blocking calls; Lesson: a conversation with pipelined pictures.

Invariant: every request that was sent gets exactly one final reply, and replies are read while sending, so neither side
can wait for the other with full buffers. A connection that was lost once (ConnectionLost) stays lost: every further call
says the same. What the daemon sends is checked as a stranger's: nothing but Error, ConnectionLost and TimeoutError comes
of it.
"""

import os
import select
import time

from . import wire
from .wire import Code, ConnectionLost, Error, Kind, messages

DEFAULT_SOCKET = "/run/bnnd/bnnd.sock"
RECEIVE_BYTES = 1 << 18
RETRY_MOST_S = 1.0  # between two tries to connect, whatever the daemon advises


def label_bytes(label):
	if isinstance(label, str):
		return label.encode("utf-8", "surrogateescape")  # as file names come; the daemon says what is wrong with it
	if isinstance(label, (bytes, bytearray)):
		return bytes(label)
	raise TypeError(f"a label is str or bytes, not {type(label).__name__}")


class Picture:
	"""A JPEG or PNG file as it is, or raw pixels; with the region and rotation to look at."""

	def __init__(self, payload, raw=None, rotate=0, roi=None):
		self.payload = bytes(memoryview(payload))
		self.raw = raw  # (width, height, channels); None: a JPEG or PNG file
		self.rotate = rotate  # degrees clockwise
		self.roi = roi  # (x, y, width, height), fractions

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
	"""A connection to the daemon. timeout: seconds that one call may take before TimeoutError. Making the connection is
	such a call: while the daemon says that it has too many just now, it is tried again."""

	def __init__(self, path=None, timeout=60.0, software="bnnd-python 0.1"):
		self.path = path or os.environ.get("BNND_SOCKET") or DEFAULT_SOCKET
		self.timeout = timeout
		end = time.monotonic() + timeout
		while True:
			try:
				self._connect(software)
				return
			except Error as e:
				again = e.retry_after_ms / 1000
				if not again or time.monotonic() + again >= end:
					raise
				time.sleep(min(again, RETRY_MOST_S))

	def _connect(self, software):
		self._sock = wire.connect(self.path, self.timeout)
		self._reader = wire.FrameReader()
		self._replies = {}  # request id -> (Reply, payload), arrived and not yet asked for
		self._open = set()  # request ids without a reply
		self._next_id = 1
		self._write_closed = False  # sending failed: what the daemon said before it closed is still read
		self._lost = None  # the sentence, once the connection is lost
		try:
			self._send(
				wire.encode_frame(
					Kind.HELLO,
					0,
					messages().Hello(major=wire.MAJOR, minor=wire.MINOR, software=software).SerializeToString(),
				)
			)
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
		self._lost = self._lost or "the connection was closed"

	# ---- frames ----

	def _lose(self, sentence):
		"""Nothing that comes from there can be trusted any more."""
		self._lost = sentence
		self._sock.close()
		raise ConnectionLost(sentence)

	def _check(self):
		if self._lost:
			raise ConnectionLost(self._lost)

	def _read_some(self):
		"""What is there; False at the end of the stream."""
		try:
			data = self._sock.recv(RECEIVE_BYTES)
		except BlockingIOError:
			return True
		except ConnectionResetError:
			return False
		self._reader.feed(data)
		return bool(data)

	def _next_frame(self):
		try:
			return self._reader.next()
		except ConnectionLost as e:
			self._lose(str(e))

	def _parse(self, message, frame):
		try:
			return wire.parse(message, frame.body)
		except ConnectionLost as e:
			self._lose(str(e))

	def _take_replies(self):
		while (frame := self._next_frame()) is not None:
			if frame.kind == Kind.EVENT:
				continue
			if frame.kind != Kind.REPLY or frame.flags & wire.MORE:
				self._lose(f"the daemon sent a frame of kind {frame.kind} out of turn")
			reply = self._parse(messages().Reply, frame)
			if frame.request_id == 0 and reply.status.code:
				self._lose(str(Error(reply.status)))  # about the connection: why it ends
			if frame.request_id not in self._open:
				self._lose("the daemon answered a request that nobody made")
			self._open.discard(frame.request_id)
			self._replies[frame.request_id] = (reply, frame.payload)

	def _send(self, data):
		"""All of one frame, or what can be sent of it before the daemon closes: then its own words come first."""
		self._check()
		view = memoryview(data)
		end = time.monotonic() + self.timeout
		self._sock.setblocking(False)
		while view and not self._write_closed:
			left = end - time.monotonic()
			if left <= 0:
				self._lost = "the daemon did not read, and half a frame was sent"
				raise TimeoutError("the daemon does not read")
			readable, writable, _ = select.select([self._sock], [self._sock], [], left)
			if readable and not self._read_some():
				self._write_closed = True
			elif writable:
				try:
					view = view[self._sock.send(view) :]
				except BlockingIOError:
					pass
				except (BrokenPipeError, ConnectionResetError):
					self._write_closed = True

	def _wait(self, ready):
		end = time.monotonic() + self.timeout
		while not ready():
			self._check()
			left = end - time.monotonic()
			if left <= 0:
				raise TimeoutError(f"no reply within {self.timeout:g} s")
			if select.select([self._sock], [], [], left)[0] and not self._read_some():
				self._lose("the daemon closed the connection")

	def _wait_hello(self):
		frames = []

		def ready():
			frame = self._next_frame()
			if frame is not None:
				frames.append(frame)
			return bool(frames)

		self._wait(ready)
		if frames[0].kind != Kind.HELLO:
			self._lose("the first frame is no hello: this is not bnnd's socket")
		hello = self._parse(messages().HelloReply, frames[0])
		if hello.status.code:
			raise Error(hello.status)
		if hello.major != wire.MAJOR:
			self._lose(
				f"the daemon speaks protocol {hello.major}.{hello.minor}, this client {wire.MAJOR}.{wire.MINOR}: "
				"install both from the same release"
			)
		return hello

	def submit(self, payload=b"", timeout_ms=0, **op):
		"""Sends a request, submit(infer=messages().Infer(...)), and returns its id for `result`."""
		limit = min(self.hello.limits.payload_bytes or wire.PAYLOAD_MAX_BYTES, wire.PAYLOAD_MAX_BYTES)
		if len(payload) > limit:
			raise wire.refusal(
				Code.INVALID_ARGUMENT, f"the picture is {len(payload)} bytes: the limit is {limit}", limit
			)
		body = messages().Request(timeout_ms=timeout_ms, **op).SerializeToString()
		if len(body) > wire.BODY_MAX_BYTES:
			raise wire.refusal(
				Code.INVALID_ARGUMENT,
				f"the request is {len(body)} bytes: the limit is {wire.BODY_MAX_BYTES}",
				wire.BODY_MAX_BYTES,
			)
		self._check()
		while len(self._open) >= max(1, self.hello.limits.in_flight):
			before = len(self._open)

			def fewer(before=before):
				self._take_replies()
				return len(self._open) < before

			self._wait(fewer)
		request_id = self._next_id
		self._next_id = self._next_id % 0xFFFFFFFF + 1
		self._open.add(request_id)
		self._send(wire.encode_frame(Kind.REQUEST, request_id, body, payload))
		return request_id

	def result(self, request_id):
		"""Waits for the reply to a submitted request: (Reply, payload), or Error."""

		def ready():
			if request_id in self._replies:
				return True
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
		"""A request and its reply: (Reply, payload), or Error."""
		return self.result(self.submit(payload, timeout_ms, **op))

	def _result_of(self, kind, request_id):
		"""The message `kind` of a reply, and its payload. A reply of another kind is an Error."""
		reply, payload = self.result(request_id)
		if reply.WhichOneof("result") != kind:
			raise wire.refusal(Code.INTERNAL, "the daemon answered something else than what was asked")
		return getattr(reply, kind), payload

	def _ask(self, kind, payload=b"", timeout_ms=0, **op):
		return self._result_of(kind, self.submit(payload, timeout_ms, **op))

	# ---- questions ----

	def _infer_message(self, picture, top, refuse):
		m = messages().Infer(picture=picture.message(), top=top)
		if refuse == "never":
			m.refuse.never = True
		elif refuse is not None:
			m.refuse.share = refuse
		return m

	def infer(self, picture, top=0, refuse=None, timeout_ms=0):
		"""What is this? An Answer. refuse: how strict, a share or "never"; None: as the daemon is set."""
		return self._ask("answer", picture.payload, timeout_ms, infer=self._infer_message(picture, top, refuse))[0]

	def infer_many(self, pictures, top=0, refuse=None):
		"""Answers in the order of the pictures, asked as many at once as the daemon allows."""
		waiting = []
		for picture in pictures:
			waiting.append(self.submit(picture.payload, infer=self._infer_message(picture, top, refuse)))
			if len(waiting) >= max(1, self.hello.limits.in_flight):
				yield self._result_of("answer", waiting.pop(0))[0]
		for request_id in waiting:
			yield self._result_of("answer", request_id)[0]

	def embed(self, picture):
		"""The feature vector: an Embedding; `features` are int8."""
		return self._ask("embedding", picture.payload, embed=messages().Embed(picture=picture.message()))[0]

	def look(self, picture):
		"""What the network sees: (Looked, PNG bytes)."""
		return self._ask("looked", picture.payload, look=messages().Look(picture=picture.message()))

	def status(self):
		return self._ask("daemon_status", status=messages().GetStatus())[0]

	def _pages(self, kind, ask):
		"""Page after page of one list, as long as one call may take and as large as a list may be."""
		end, total = time.monotonic() + self.timeout, 0
		while True:
			page = self._ask(kind, **ask())[0]
			total += page.ByteSize()
			if total > wire.LIST_MAX_BYTES:
				raise wire.refusal(
					Code.RESOURCE_EXHAUSTED,
					f"the daemon's list has no end: it is larger than {wire.LIST_MAX_BYTES >> 20} MiB",
					wire.LIST_MAX_BYTES,
				)
			yield page
			if time.monotonic() >= end:
				raise TimeoutError(f"no end of the list within {self.timeout:g} s")

	def classes(self):
		"""Every taught class, in label order; the negatives, if any were taught, first."""
		found, after = [], b""
		for page in self._pages("class_list", lambda: {"classes": messages().Classes(after=after)}):  # noqa: B023, anew each time
			found += page.classes
			last = page.classes[-1].label if page.classes else b""
			if not page.more or last <= after:  # not in order: asking on would never end
				return found
			after = last

	def class_detail(self, label=None):
		"""A class and its lessons; label None: the negatives."""
		m = messages().ClassDetail(none=True) if label is None else messages().ClassDetail(label=label_bytes(label))
		return self._ask("class_info", class_detail=m)[0]

	def history(self, limit=None):
		"""The changes, the newest first."""
		found, before = [], 0
		for page in self._pages("history_list", lambda: {"history": messages().History(before_seq=before)}):  # noqa: B023, the same
			found += page.entries
			last = page.entries[-1].seq if page.entries else 0
			in_order = 0 < last and (before == 0 or last < before)
			if not page.more or not in_order or (limit is not None and len(found) >= limit):
				return found[:limit]
			before = last

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
		"""One lesson with one class; returns the Changed. Pictures that are refused are left out (a lesson() says which);
		where nothing is left, this raises the first one's Error."""
		with self.lesson(**options) as lesson:
			for picture in pictures:
				lesson.add(label, picture)
			lesson.settle()
			if lesson.refused and not lesson.accepted and not lesson.already_known:
				raise lesson.refused[0][1]
		return lesson.result

	def forget(self, label=None, if_seq=None, key=None, none=False):
		"""Forgets a class; label None: the negatives (none=True says the same)."""
		if none and label is not None:
			raise TypeError("forget a class or the negatives: not both in one change")
		m = messages().Forget(none=True) if label is None else messages().Forget(label=label_bytes(label))
		return self._ask("changed", forget=self._guard(m, if_seq, key))[0]

	def rename(self, old, new, if_seq=None, key=None):
		m = messages().Rename(old_label=label_bytes(old), new_label=label_bytes(new))
		return self._ask("changed", rename=self._guard(m, if_seq, key))[0]

	def undo(self, if_seq=None, key=None):
		return self._ask("changed", undo=self._guard(messages().Undo(), if_seq, key))[0]

	def rollback(self, seq, if_seq=None, key=None):
		return self._ask("changed", rollback=self._guard(messages().Rollback(seq=seq), if_seq, key))[0]


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
		self._waiting = []  # (index, request id)
		self._pipeline = pipeline
		begin = messages().LessonBegin(key=self.key, dry_run=dry_run)
		if if_seq is not None:
			begin.guard.SetInParent()
			begin.guard.if_seq = if_seq
		begun = client._ask("begun", lesson_begin=begin)[0]
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
		elif not self.client._lost:
			self._abort_quietly()

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
			added = self.client._result_of("added", request_id)[0]
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
		"""Trains and writes: the Changed. Refused, the lesson is given up: the daemon would hold it open."""
		self.settle()
		commit = messages().LessonCommit(lesson=self.number, added=self.accepted if added is None else added)
		try:
			self.result = self.client._ask("changed", lesson_commit=commit)[0]
		except Error:
			self._abort_quietly()
			raise
		return self.result

	def _abort_quietly(self):
		try:
			self.abort()
		except (Error, OSError):
			pass  # the reason for it matters more

	def abort(self):
		self.settle()
		self.client.call(lesson_abort=messages().LessonAbort(lesson=self.number))
