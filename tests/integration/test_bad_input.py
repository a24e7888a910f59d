# SPDX-License-Identifier: MIT
"""Bad input: each has its code and its sentence, and the daemon goes on serving the others."""

import io
import os
import socket
import time

from bnnd.wire import HEADER, Kind, encode_frame

from tests.integration.daemon import SLOW, DaemonTest, bnnd, encoded, main, picture, pictures, qemu_subset

Code = bnnd.Code
m = bnnd.messages()


def infer_request(p, **options):
	return dict(infer=m.Infer(picture=p.message(), **options), payload=p.payload)


class Frames(DaemonTest):
	"""What no client of ours would send."""

	def setUp(self):
		self.d = self.daemon()

	def tearDown(self):
		self.serves(self.d)

	def closed(self, raw):
		self.assertIsNone(raw.receive(), "the daemon closes the connection")

	def hello_refused(self, raw, pattern):
		frame = raw.receive()
		self.assertEqual(Kind.HELLO, frame.kind)
		status = m.HelloReply.FromString(frame.body).status
		self.assertEqual(Code.FAILED_PRECONDITION, status.code)
		self.check_sentence(status.message, pattern)
		self.closed(raw)

	def reply_refused(self, raw, request_id, code, pattern):
		got, reply, _ = raw.reply()
		self.assertEqual((request_id, code), (got, reply.status.code), reply.status.message)
		self.check_sentence(reply.status.message, pattern)
		return reply.status

	@qemu_subset
	def test_wrong_version(self):
		for major in (0, 2, 4000000000):
			with self.d.raw() as raw:
				raw.frame(Kind.HELLO, 0, m.Hello(major=major).SerializeToString())
				self.hello_refused(raw, "1")

	def test_a_newer_minor_is_welcome(self):
		with self.d.raw() as raw:
			hello = raw.hello(minor=99)
			self.assertEqual((0, 1), (hello.status.code, hello.major))

	def test_first_frame_is_no_hello(self):
		with self.d.raw() as raw:
			raw.request(1, status=m.GetStatus())
			frame = raw.receive()
			body = m.HelloReply.FromString(frame.body) if frame.kind == Kind.HELLO else m.Reply.FromString(frame.body)
			self.assertEqual(Code.FAILED_PRECONDITION, body.status.code)
			self.check_sentence(body.status.message, "[Hh]ello")
			self.closed(raw)

	def test_a_second_hello(self):
		with self.d.raw() as raw:
			raw.hello()
			raw.frame(Kind.HELLO, 0, m.Hello(major=1).SerializeToString())
			frame = raw.receive()
			if frame is not None:
				self.closed(raw)

	def test_another_protocol_altogether(self):
		for text in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 64, b"\xff" * 64, os.urandom(64)):
			with self.d.raw() as raw:
				raw.send(text)
				frame = raw.receive()
				if frame is not None:
					self.closed(raw)

	def test_wrong_kind_and_flags(self):
		for kind, flags in (
			(0, 0),
			(6, 0),
			(65535, 0),
			(Kind.REQUEST, 2),
			(Kind.REQUEST, 0x8000),
			(Kind.REPLY, 0),
			(Kind.EVENT, 0),
		):
			with self.subTest(kind=kind, flags=flags), self.d.raw() as raw:
				raw.hello()
				raw.frame(kind, 1, b"", b"", flags)
				while (frame := raw.receive()) is not None:
					self.assertNotEqual(0, m.Reply.FromString(frame.body).status.code)

	def test_request_id_zero_and_one_in_flight_twice(self):
		with self.d.raw() as raw:
			raw.hello()
			raw.request(0, status=m.GetStatus())
			frame = raw.receive()
			if frame is not None:
				self.assertNotEqual(0, m.Reply.FromString(frame.body).status.code)
		with self.d.raw() as raw:
			raw.hello()
			p = picture("disc", 1, 20, 20)
			body = m.Request(infer=m.Infer(picture=p.message())).SerializeToString()
			raw.send(2 * encode_frame(Kind.REQUEST, 5, body, p.payload))  # one write: the first cannot be done yet
			codes = []
			while len(codes) < 2 and (got := raw.reply()) is not None:
				codes.append(got[1].status.code)
			self.assertTrue(any(codes), "one of two requests with one id is refused")

	@qemu_subset
	def test_unknown_operation(self):
		with self.d.raw() as raw:
			raw.hello()
			raw.frame(Kind.REQUEST, 7, b"")
			self.reply_refused(raw, 7, Code.UNIMPLEMENTED, "operation")
			raw.frame(Kind.REQUEST, 8, bytes([0xFA, 0x3E, 0]))  # field 1007, an empty message
			self.reply_refused(raw, 8, Code.UNIMPLEMENTED, "operation")
			raw.request(9, status=m.GetStatus())
			self.assertEqual((9, 0), (lambda r: (r[0], r[1].status.code))(raw.reply()))

	def test_a_body_that_is_no_message(self):
		with self.d.raw() as raw:
			raw.hello()
			for i, body in enumerate((b"\xff\xff\xff\xff", b"\x52\xff\x01", os.urandom(300), b"\x0a" + b"\xff" * 9), 1):
				raw.frame(Kind.REQUEST, i, body)
				got, reply, _ = raw.reply()
				self.assertEqual(i, got)
				self.assertIn(reply.status.code, (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED))
			raw.request(99, status=m.GetStatus())
			self.assertEqual(0, raw.reply()[1].status.code)

	def test_oversized_body_and_payload(self):
		with self.d.client() as client:
			limits = client.hello.limits
		for body, payload, limit in (
			(limits.body_bytes + 1, 0, limits.body_bytes),
			(0xFFFFFFFF, 0, limits.body_bytes),
			(0, limits.payload_bytes + 1, limits.payload_bytes),
			(10, 0xFFFFFFFF, limits.payload_bytes),
		):
			with self.subTest(body=body, payload=payload), self.d.raw() as raw:
				raw.hello()
				raw.send(HEADER.pack(body, payload, 33, Kind.REQUEST, 0))
				status = self.reply_refused(raw, 33, Code.RESOURCE_EXHAUSTED, str(limit))
				self.assertEqual(limit, status.limit)
				self.closed(raw)

	def test_a_body_at_the_limit(self):
		with self.d.raw() as raw:
			raw.hello()
			# An unknown field of many bytes: allowed, and ignored.
			filler = 65536 - 2 - 5
			body = m.Request(status=m.GetStatus()).SerializeToString()
			body += (
				bytes([0xFA, 0x3E])
				+ bytes([filler & 0x7F | 0x80, filler >> 7 & 0x7F | 0x80, filler >> 14])
				+ b"x" * filler
			)
			raw.frame(Kind.REQUEST, 3, body[:65536])
			got, reply, _ = raw.reply()
			self.assertEqual(3, got)

	@qemu_subset
	def test_half_a_frame_and_a_wait(self):
		frame = encode_frame(Kind.REQUEST, 4, m.Request(status=m.GetStatus()).SerializeToString(), b"1234")
		with self.d.raw() as header_only, self.d.raw() as half, self.d.raw() as silent:
			header_only.hello(), half.hello(), silent.hello()
			header_only.send(frame[:7])
			half.send(frame[:-2])
			start = time.monotonic()
			self.serves(self.d)
			for raw in (header_only, half):
				got = raw.receive(15 * SLOW)
				if got is not None:
					self.assertEqual(Code.DEADLINE_EXCEEDED, m.Reply.FromString(got.body).status.code)
					self.closed(raw)
			took = time.monotonic() - start
			self.assertGreater(took, 3)
			self.assertLess(took, 5 + 5 * SLOW)
			# A connection without half a frame may wait as long as it likes.
			silent.request(1, status=m.GetStatus())
			self.assertEqual(0, silent.reply()[1].status.code)

	def test_a_frame_byte_by_byte(self):
		with self.d.raw() as raw:
			for byte in encode_frame(Kind.HELLO, 0, m.Hello(major=1).SerializeToString()):
				raw.send(bytes([byte]))
			self.assertEqual(0, m.HelloReply.FromString(raw.receive().body).status.code)

	def test_a_client_that_never_reads(self):
		"""Its own connection is paused, then closed; nobody else waits."""
		d = self.daemon(config="session:\n  stall_s: 2\n")
		with d.raw() as raw:
			raw.hello()
			raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
			p = picture("checks", 1, 96, 96)
			request = encode_frame(
				Kind.REQUEST, 1, m.Request(look=m.Look(picture=p.message())).SerializeToString(), p.payload
			)
			raw.sock.settimeout(0.5)
			sent = 0
			closed = False
			end = time.monotonic() + 40 * SLOW
			n = 1
			pending = b""
			while time.monotonic() < end and not closed:
				if not pending:
					n += 1
					pending = request[:8] + n.to_bytes(4, "big") + request[12:]
				try:
					took = raw.sock.send(pending)
					pending = pending[took:]
					sent += took
				except TimeoutError:
					pass
				except (BrokenPipeError, ConnectionResetError):
					closed = True
			self.assertTrue(closed, f"the connection is closed in the end, after {sent} bytes")
			self.serves(d)

	def test_hung_up_in_the_middle(self):
		for cut in (3, 16, 40, 2000):
			raw = self.d.raw()
			raw.hello()
			shown = picture("disc", 1)
			body = m.Request(infer=m.Infer(picture=shown.message())).SerializeToString()
			raw.send(encode_frame(Kind.REQUEST, 1, body, shown.payload)[:cut])
			raw.close()
		# With requests in flight whose replies nobody will read.
		raw = self.d.raw()
		raw.hello()
		for i in range(1, 9):
			raw.request(i, **infer_request(picture("disc", 1, 800, 800)))
		raw.close()

	def test_more_in_flight_than_allowed(self):
		with self.d.raw() as raw:
			allowed = raw.hello().limits.in_flight
			p = picture("disc", 1)
			body = m.Request(infer=m.Infer(picture=p.message())).SerializeToString()
			sent = 10 * allowed
			raw.send(b"".join(encode_frame(Kind.REQUEST, i, body, p.payload) for i in range(1, sent + 1)))
			replies = {}
			while len(replies) < sent:
				got, reply, _ = raw.reply()
				self.assertNotIn(got, replies)
				replies[got] = reply.status
			refused = [s for s in replies.values() if s.code]
			self.assertTrue(refused)
			for status in refused:
				self.assertEqual(Code.RESOURCE_EXHAUSTED, status.code)
				self.assertGreater(status.retry_after_ms, 0)
				self.check_sentence(status.message, ".")
			raw.request(1000, **infer_request(picture("disc", 1)))
			self.assertEqual(0, raw.reply()[1].status.code)

	def test_too_many_connections(self):
		"""The share of the only user, of 8 the half of 7 and the one that is kept for who looks after the machine."""
		d = self.daemon(config="session:\n  max: 8\n")
		clients = [d.client() for _ in range(4)]
		try:
			with d.raw() as raw:
				raw.frame(Kind.HELLO, 0, m.Hello(major=1).SerializeToString())
				frame = raw.receive()
				if frame is not None:
					status = m.HelloReply.FromString(frame.body).status
					self.assertEqual(Code.RESOURCE_EXHAUSTED, status.code)
					self.check_sentence(status.message, "4")
					self.closed(raw)
			self.assertEqual("ready", clients[0].status().state)
		finally:
			for client in clients:
				client.close()
		self.serves(d)

	def test_cancel_and_deadline(self):
		with self.d.client() as client:
			slow = [
				client.submit(
					picture("disc", i, 1500, 1500).payload,
					infer=m.Infer(picture=picture("disc", i, 1500, 1500).message()),
				)
				for i in range(6)
			]
			client.cancel(slow[-1])
			client.cancel(123456)  # nothing has this number: ignored
			done = [self.outcome(client, i) for i in slow]
			self.assertEqual([0] * 5, done[:5])
			self.assertIn(done[5], (0, Code.CANCELLED))
			late = [
				client.submit(
					picture("disc", i, 1500, 1500).payload,
					timeout_ms=1,
					infer=m.Infer(picture=picture("disc", i, 1500, 1500).message()),
				)
				for i in range(6)
			]
			self.assertIn(Code.DEADLINE_EXCEEDED, [self.outcome(client, i) for i in late])

	def outcome(self, client, request_id):
		try:
			client.result(request_id)
			return 0
		except bnnd.Error as e:
			return e.code


class Requests(DaemonTest):
	"""Well-formed frames with wrong contents."""

	def setUp(self):
		self.d = self.daemon()
		self.client = self.d.client()
		self.addCleanup(self.client.close)

	def tearDown(self):
		self.serves(self.d)

	def bad_picture(self, payload, pattern, code=Code.INVALID_ARGUMENT, **options):
		"""Refused as a question and as something to learn, with one code."""
		p = bnnd.Picture(payload, **options)
		error = self.refused(code, pattern, self.client.infer, p)
		with self.client.lesson() as lesson:
			lesson.add("x", p)
		self.assertEqual(code, lesson.refused[0][1].code)
		self.assertEqual([], self.client.classes())
		return error

	@qemu_subset
	def test_truncated_pictures(self):
		for format, pattern in (("JPEG", "JPEG|end|cut"), ("PNG", "PNG|end|cut")):
			whole = encoded("disc", 1, format)
			for part in (0.02, 0.3, 0.6, 0.95):
				with self.subTest(format=format, part=part):
					self.bad_picture(whole[: int(len(whole) * part)], pattern)
			self.bad_picture(whole[:4], ".")

	def test_wrong_raw_size(self):
		p = picture("disc", 1, 20, 10)
		for raw, payload in (
			((20, 10, 3), p.payload[:-1]),
			((20, 10, 3), p.payload + b"x"),
			((21, 10, 3), p.payload),
			((20, 10, 1), p.payload),
			((20, 10, 3), b""),
		):
			with self.subTest(raw=raw, bytes=len(payload)):
				error = self.bad_picture(payload, str(raw[0] * raw[1] * raw[2]), raw=raw)
				self.assertIn(str(len(payload)), error.message)
		for raw in ((20, 10, 2), (20, 10, 4), (0, 10, 3), (20, 0, 3)):
			with self.subTest(raw=raw):
				self.bad_picture(p.payload, ".", raw=raw)
		for raw in ((0xFFFFFFFF, 0xFFFFFFFF, 3), (0x10000, 0x10000, 1)):
			with self.subTest(raw=raw):
				self.bad_picture(p.payload, "16384", Code.RESOURCE_EXHAUSTED, raw=raw)

	def test_a_progressive_jpeg_bomb(self):
		from PIL import Image

		out = io.BytesIO()
		Image.new("RGB", (6000, 4000), (90, 90, 90)).save(out, "JPEG", quality=10, progressive=True)
		start = time.monotonic()
		error = self.bad_picture(out.getvalue(), "progressive.*memory.*MiB.*jpegtran", Code.RESOURCE_EXHAUSTED)
		self.assertEqual(48 << 20, error.limit)
		self.assertLess(time.monotonic() - start, 10 * SLOW)
		self.assertLess(len(out.getvalue()), 400000)

	def test_a_progressive_jpeg_of_many_scans(self):
		"""The last scan over and over: cheap to send, dear to decode."""
		data = encoded("disc", 1, "JPEG", 1600, 1200, progressive=True)
		last = data.rindex(b"\xff\xda")
		bomb = data[:last] + (data[last:-2]) * 200 + b"\xff\xd9"
		start = time.monotonic()
		self.bad_picture(bomb[: 8 << 20], "scan|JPEG")
		self.assertLess(time.monotonic() - start, 20 * SLOW)

	def test_formats_that_are_named_and_refused(self):
		for payload, name in (
			(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100, "HEIC"),
			(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + b"\0" * 100, "AVIF"),
			(b"RIFF\x40\0\0\0WEBPVP8 " + b"\0" * 100, "WebP"),
			(b"GIF89a" + b"\x10\0" * 50, "GIF"),
		):
			with self.subTest(name=name):
				error = self.bad_picture(payload, name)
				self.assertRegex(error.message, r"convert|heif-convert|dwebp|avifdec|magick|ffmpeg|djpeg")

	def test_things_that_are_no_pictures(self):
		for payload in (
			b"",
			b"x",
			b"%PDF-1.4 and so on",
			b"\0" * 5000,
			os.urandom(5000),
			b"\x89PNG\r\n\x1a\n",
			b"\xff\xd8\xff",
			b"\x89PNG\r\n\x1a\n" + os.urandom(400),
			b"\xff\xd8\xff\xe0" + os.urandom(4000),
		):
			with self.subTest(payload=payload[:12]):
				self.bad_picture(payload, ".")

	def test_damaged_pictures_never_end_the_daemon(self):
		import random

		rng = random.Random(5)
		for format in ("JPEG", "PNG"):
			whole = encoded("checks", 1, format)
			for _ in range(60):
				damaged = bytearray(whole)
				for _ in range(rng.randint(1, 6)):
					damaged[rng.randrange(len(damaged))] = rng.randrange(256)
				try:
					self.client.infer(bnnd.Picture(bytes(damaged)))
				except bnnd.Error as e:
					self.assertIn(e.code, (Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED), str(e))
					self.check_sentence(e.message, ".")

	def test_bad_region_and_rotation(self):
		p = picture("disc", 1)
		nan = float("nan")
		for roi in (
			(-0.1, 0, 1, 1),
			(0, 0, 1.5, 1),
			(0.5, 0.5, 0.6, 0.6),
			(0, 0, 0, 1),
			(0, 0, 1, 0),
			(nan, 0, 1, 1),
			(0, 0, nan, 1),
			(float("inf"), 0, 1, 1),
			(1, 1, 0.1, 0.1),
		):
			with self.subTest(roi=roi):
				p.roi = roi
				error = self.refused(Code.INVALID_ARGUMENT, ".", self.client.infer, p)
				self.assertRegex(error.field + error.message, "roi|region")
		p.roi = None
		for rotate in (1, 45, 360, 4294967295):
			p.rotate = rotate
			self.refused(Code.INVALID_ARGUMENT, "90", self.client.infer, p)

	@qemu_subset
	def test_bad_labels(self):
		bad = (
			(b"", "empty|1"),
			(b"x" * 129, "128"),
			(b"a\0b", "NUL|control"),
			(b"a\xffb", "UTF-8"),
			(b"\xc0\xaf", "UTF-8"),
			(b"\xed\xa0\x80", "UTF-8"),
			(b" mug", "space"),
			(b"mug ", "space"),
			(b"mu\ng", "control"),
			(b"mu\x7fg", "control"),
			("mu\u0085g".encode(), "control"),
			(b"mug\xe2\x82", "UTF-8"),
		)
		for label, pattern in bad:
			with self.subTest(label=label):
				lesson = self.client.lesson()
				lesson.add(label, picture("disc", 1))
				lesson.settle()
				((_, error),) = lesson.refused
				self.check_error(error, Code.INVALID_ARGUMENT, pattern)
				self.assertIn("label", error.field)
				lesson.abort()
		self.assertEqual([], self.client.classes())
		good = ["mug", "x" * 128, "M\u00fcsli-Schale", "\u732b", "a b", "\U0001f600"]
		with self.client.lesson() as lesson:
			for i, label in enumerate(good):
				lesson.add(label, picture("disc", i))
		self.assertEqual(sorted(label.encode() for label in good), [c.label for c in self.client.classes()])
		for label, pattern in bad:
			self.refused(Code.INVALID_ARGUMENT, pattern, self.client.rename, "mug", label)

	def test_unknown_class(self):
		self.teach(self.client, "disc")
		for call in (
			lambda: self.client.forget("nobody"),
			lambda: self.client.rename("nobody", "x"),
			lambda: self.client.class_detail("nobody"),
		):
			self.refused(Code.NOT_FOUND, "class", call)
		self.client.forget("disc")

	def test_unknown_lesson(self):
		for call in (
			lambda: self.client.call(lesson_commit=m.LessonCommit(lesson=77)),
			lambda: self.client.call(lesson_abort=m.LessonAbort(lesson=77)),
			lambda: self.client.call(
				picture("disc", 1).payload,
				lesson_add=m.LessonAdd(lesson=77, label=b"x", picture=picture("disc", 1).message()),
			),
		):
			self.refused(Code.NOT_FOUND, "lesson", call)
		# Another connection's lesson is none of ours.
		with self.d.client() as other:
			theirs = other.lesson()
			self.refused(Code.NOT_FOUND, "lesson", self.client.call, lesson_commit=m.LessonCommit(lesson=theirs.number))
			theirs.abort()

	def test_bad_keys(self):
		for key in (b"short", b"x" * 15, b"x" * 17):
			self.refused(Code.INVALID_ARGUMENT, "16", self.client.lesson, key=key)
			self.refused(Code.INVALID_ARGUMENT, "16", self.client.forget, "disc", key=key)

	def test_missing_parts(self):
		for op in (
			dict(infer=m.Infer()),
			dict(embed=m.Embed()),
			dict(look=m.Look()),
			dict(forget=m.Forget()),
			dict(class_detail=m.ClassDetail()),
			dict(rename=m.Rename()),
			dict(lesson_begin=m.LessonBegin()),
		):
			with self.subTest(op=str(op)):
				with self.assertRaises(bnnd.Error) as caught:
					self.client.call(**op)
				self.assertEqual(Code.INVALID_ARGUMENT, caught.exception.code)
		# A payload where none belongs.
		with self.assertRaises(bnnd.Error) as caught:
			self.client.call(b"surplus", status=m.GetStatus())
		self.assertEqual(Code.INVALID_ARGUMENT, caught.exception.code)

	def test_a_lesson_without_a_class(self):
		lesson = self.client.lesson()
		with self.assertRaises(bnnd.Error) as caught:
			self.client.call(
				picture("disc", 1).payload,
				lesson_add=m.LessonAdd(lesson=lesson.number, picture=picture("disc", 1).message()),
			)
		self.assertEqual(Code.INVALID_ARGUMENT, caught.exception.code)
		lesson.abort()

	def test_everybody_at_once(self):
		"""Bad ones and a good one side by side."""
		stop = time.monotonic() + 2
		with self.d.client() as good:
			self.teach(good, "disc")
			while time.monotonic() < stop:
				with self.d.raw() as raw:
					raw.send(os.urandom(40))
					self.assertEqual(b"disc", good.infer(pictures("disc", 1)[0]).top[0].label)


if __name__ == "__main__":
	main()
