# SPDX-License-Identifier: MIT
"""Back-pressure and stopping: what the daemon does with more than it can hold, and with what is open when it must go."""

import os
import threading
import time

from bnnd.wire import HEADER, Kind, encode_frame

from tests.integration.daemon import SLOW, DaemonTest, bnnd, main, picture, pictures

Code = bnnd.Code
m = bnnd.messages()
PAYLOAD_MAX = 8 << 20
BUDGET, RESERVE = 64 << 20, 8 << 20


def infer_frame(number, p, **more):
	body = m.Request(infer=m.Infer(picture=p.message()), **more).SerializeToString()
	return encode_frame(Kind.REQUEST, number, body, p.payload)


class Pressure(DaemonTest):
	def test_a_flood_of_small_requests_is_answered_in_order_however_late_it_is_read(self):
		"""Reading pauses above the output mark and goes on where it stopped: nothing is lost or told twice."""
		d = self.daemon()
		n = 20000
		with d.raw() as raw:
			raw.hello()
			body = m.Request(status=m.GetStatus()).SerializeToString()
			stream = b"".join(encode_frame(Kind.REQUEST, i + 1, body) for i in range(n))
			writer = threading.Thread(target=raw.send, args=(stream,))
			writer.start()
			time.sleep(1.0)  # everything is full by now
			with d.client() as other:
				self.assertEqual("ready", other.status().state)
			for i in range(n):
				got, reply, _ = raw.reply()
				self.assertEqual((i + 1, 0), (got, reply.status.code))
			writer.join()

	def test_a_frame_under_way_survives_the_pause(self):
		"""The frame's clock stands still while the daemon does not read."""
		d = self.daemon()
		with d.raw() as raw:
			raw.hello()
			body = m.Request(status=m.GetStatus()).SerializeToString()
			p = picture("disc", 1, 900, 900)
			last = infer_frame(9999, p)
			stream = b"".join(encode_frame(Kind.REQUEST, i + 1, body) for i in range(9000)) + last
			writer = threading.Thread(target=raw.send, args=(stream,))
			writer.start()
			time.sleep(6.5)  # more than a frame may take
			numbers = []
			while len(numbers) < 9001:
				got, reply, _ = raw.reply()
				self.assertEqual(0, reply.status.code, reply.status.message)
				numbers.append(got)
			writer.join()
			self.assertEqual(list(range(1, 9001)) + [9999], numbers)

	def test_the_payload_budget(self):
		"""Headers that promise more than a user may have the daemon hold: refused at once, thrown away, and given back."""
		d = self.daemon()
		may = (BUDGET - RESERVE) // 2 + RESERVE  # the daemon's own user
		held = [d.raw() for _ in range(may // PAYLOAD_MAX + 1)]
		try:
			body = m.Request(infer=m.Infer()).SerializeToString()
			for raw, promised in zip(held, [PAYLOAD_MAX] * (len(held) - 1) + [may % PAYLOAD_MAX], strict=True):
				raw.hello()
				raw.send(HEADER.pack(len(body), promised, 1, Kind.REQUEST, 0) + body)
			with d.raw() as raw:
				raw.hello()
				time.sleep(0.2 * SLOW)
				p = picture("disc", 1, 96, 96)
				raw.send(infer_frame(5, p))
				got, reply, _ = raw.reply()
				self.assertEqual(5, got)
				self.assertEqual(
					(Code.RESOURCE_EXHAUSTED, "payload", may),
					(reply.status.code, reply.status.field, reply.status.limit),
				)
				self.assertGreater(reply.status.retry_after_ms, 0)
				for raw_held in held:
					raw_held.close()
				end = time.monotonic() + 5 * SLOW
				while True:
					raw.send(infer_frame(6, p))
					got, reply, _ = raw.reply()
					if reply.status.code == 0:
						break
					self.assertLess(time.monotonic(), end, reply.status.message)
					time.sleep(0.02)
		finally:
			for raw in held:
				raw.close()

	def test_two_requests_with_one_id_in_one_write(self):
		d = self.daemon()
		with d.raw() as raw:
			raw.hello()
			p = picture("disc", 1, 20, 20)
			raw.send(infer_frame(5, p) + infer_frame(5, p))
			replies = []
			while (reply := raw.reply()) is not None:
				replies.append((reply[0], reply[1].status.code))
			self.assertIn((0, Code.INVALID_ARGUMENT), replies)
			self.assertLessEqual(len([r for r in replies if r[0] == 5]), 1)

	def test_many_in_flight_in_one_write(self):
		"""Requests beyond the limit are refused by their ids, the others are answered."""
		d = self.daemon(config="infer:\n  threads: 1\n")
		with d.raw() as raw:
			allowed = raw.hello().limits.in_flight
			p = picture("disc", 1, 20, 20)
			raw.send(b"".join(infer_frame(i, p) for i in range(1, allowed + 30)))
			replies = {}
			while len(replies) < allowed + 29:
				got, reply, _ = raw.reply()
				self.assertNotIn(got, replies)
				replies[got] = reply.status
			self.assertEqual({0, Code.RESOURCE_EXHAUSTED}, {s.code for s in replies.values()})
			self.assertEqual([0] * allowed, [replies[i].code for i in range(1, allowed + 1)])
			refused = [s for s in replies.values() if s.code]
			self.assertEqual({("in_flight", allowed)}, {(s.field, s.limit) for s in refused})

	def test_requests_in_flight_of_one_user(self):
		d = self.daemon(config="infer:\n  threads: 1\n")
		p = picture("disc", 1, 700, 700)
		raws = [d.raw() for _ in range(6)]
		codes = []
		try:
			for raw in raws:
				raw.hello()
			threads = [
				threading.Thread(target=raw.send, args=(b"".join(infer_frame(i, p) for i in range(1, 17)),))
				for raw in raws
			]
			for t in threads:
				t.start()
			for raw in raws:
				for _ in range(16):
					codes.append(raw.reply()[1].status.code)
			for t in threads:
				t.join()
		finally:
			for raw in raws:
				raw.close()
		self.assertEqual(96, len(codes))
		self.assertLessEqual(set(codes), {0, Code.RESOURCE_EXHAUSTED})
		self.assertIn(0, codes)

	def test_cancelled_and_expired_requests_have_one_reply(self):
		d = self.daemon(config="infer:\n  threads: 1\n")
		with d.raw() as raw:
			raw.hello()
			p = picture("disc", 1, 1000, 1000)
			small = picture("ring", 1, 30, 30)
			raw.send(
				infer_frame(1, p)
				+ infer_frame(2, small)
				+ infer_frame(3, small, timeout_ms=1)
				+ encode_frame(Kind.CANCEL, 2)
				+ encode_frame(Kind.CANCEL, 2)
				+ encode_frame(Kind.CANCEL, 77)
			)
			codes = {}
			for _ in range(3):
				got, reply, _ = raw.reply()
				self.assertNotIn(got, codes)
				codes[got] = reply.status.code
			self.assertEqual(0, codes[1])
			self.assertIn(codes[2], (0, Code.CANCELLED))
			self.assertIn(codes[3], (0, Code.DEADLINE_EXCEEDED))
			raw.request(4, status=m.GetStatus())
			self.assertEqual(4, raw.reply()[0])


class Conversation(DaemonTest):
	def begin(self, raw, number, key=None):
		raw.request(number, lesson_begin=m.LessonBegin(key=key or os.urandom(16)))
		got, reply, _ = raw.reply()
		self.assertEqual((number, 0), (got, reply.status.code))
		return reply.begun.lesson

	def add_frame(self, number, lesson, label, p):
		return encode_frame(
			Kind.REQUEST,
			number,
			m.Request(lesson_add=m.LessonAdd(lesson=lesson, label=label, picture=p.message())).SerializeToString(),
			p.payload,
		)

	def test_commit_and_abort_behind_adds_in_one_write(self):
		"""A commit waits for the adds before it; an abort ends a commit that waits."""
		d = self.daemon()
		with d.raw() as raw:
			raw.hello()
			lesson = self.begin(raw, 1)
			adds = b"".join(self.add_frame(10 + i, lesson, b"a", picture("disc", i, 200, 200)) for i in range(5))
			commit = encode_frame(
				Kind.REQUEST, 20, m.Request(lesson_commit=m.LessonCommit(lesson=lesson, added=5)).SerializeToString()
			)
			late = self.add_frame(21, lesson, b"a", picture("disc", 9))
			raw.send(adds + commit + late)
			replies = {}
			for _ in range(7):
				got, reply, _ = raw.reply()
				replies[got] = reply
			self.assertEqual([0] * 5, [replies[10 + i].status.code for i in range(5)])
			self.assertEqual((0, 5), (replies[20].status.code, replies[20].changed.classes[0].samples))
			self.assertEqual(Code.FAILED_PRECONDITION, replies[21].status.code)

			lesson = self.begin(raw, 30)
			adds = b"".join(self.add_frame(40 + i, lesson, b"b", picture("ring", i, 200, 200)) for i in range(5))
			commit = encode_frame(
				Kind.REQUEST, 50, m.Request(lesson_commit=m.LessonCommit(lesson=lesson, added=5)).SerializeToString()
			)
			abort = encode_frame(
				Kind.REQUEST, 51, m.Request(lesson_abort=m.LessonAbort(lesson=lesson)).SerializeToString()
			)
			raw.send(adds + commit + abort)
			replies = {}
			for _ in range(7):
				got, reply, _ = raw.reply()
				self.assertNotIn(got, replies)
				replies[got] = reply.status.code
			if replies[51] == 0:  # the abort came first
				self.assertEqual(Code.CANCELLED, replies[50])
				self.assertLessEqual({replies[40 + i] for i in range(5)}, {0, Code.CANCELLED})
				with d.client() as client:
					self.assertEqual([b"a"], [c.label for c in client.classes()])
			else:
				self.assertEqual((0, Code.FAILED_PRECONDITION), (replies[50], replies[51]))

	def test_a_cancelled_commit_leaves_the_lesson_open(self):
		d = self.daemon(config="infer:\n  threads: 1\n")
		with d.raw() as raw:
			raw.hello()
			lesson = self.begin(raw, 1)
			adds = b"".join(self.add_frame(10 + i, lesson, b"a", picture("disc", i, 500, 500)) for i in range(5))
			commit = m.Request(lesson_commit=m.LessonCommit(lesson=lesson, added=5)).SerializeToString()
			raw.send(adds + encode_frame(Kind.REQUEST, 20, commit) + encode_frame(Kind.CANCEL, 20))
			codes = {}
			for _ in range(6):
				got, reply, _ = raw.reply()
				codes[got] = reply.status.code
			self.assertEqual([0] * 5, [codes[10 + i] for i in range(5)])
			if codes[20] == Code.CANCELLED:
				raw.frame(Kind.REQUEST, 21, commit)
				self.assertEqual(0, raw.reply()[1].status.code)
			else:
				self.assertEqual(0, codes[20])
			with d.client() as client:
				self.assertEqual((1, 5), (client.status().seq, client.classes()[0].samples))

	def test_hanging_up_behind_a_commit(self):
		"""Whether the commit was reached or not: all or nothing, and the key tells which."""
		d = self.daemon(config="infer:\n  threads: 1\n")
		for i in range(10):
			key = os.urandom(16)
			with d.raw() as raw:
				raw.hello()
				lesson = self.begin(raw, 1, key)
				label = b"class %d" % i
				adds = b"".join(
					self.add_frame(10 + j, lesson, label, picture("disc", 10 * i + j, 100, 100)) for j in range(4)
				)
				raw.send(
					adds
					+ encode_frame(
						Kind.REQUEST,
						20,
						m.Request(lesson_commit=m.LessonCommit(lesson=lesson, added=4)).SerializeToString(),
					)
				)
				time.sleep(0.003 * i)
			with d.client() as client:
				end = time.monotonic() + 10 * SLOW
				while True:
					try:
						again = client.lesson(key=key)
						break
					except bnnd.Error as e:
						self.assertEqual(Code.ABORTED, e.code)
						self.assertLess(time.monotonic(), end)
						time.sleep(0.01)
				samples = {c.label: c.samples for c in client.classes()}.get(label, 0)
				if again.result is not None:
					self.assertTrue(again.result.repeated)
					self.assertEqual(4, samples)
				else:
					self.assertEqual(0, samples)
					again.abort()

	def test_hanging_up_behind_an_abort(self):
		"""The replies to a waiting commit and its abort meet a socket that nobody reads any more."""
		d = self.daemon(config="infer:\n  threads: 1\n")
		for _ in range(40):
			with d.raw() as raw:
				raw.hello()
				lesson = self.begin(raw, 1)
				adds = b"".join(self.add_frame(10 + j, lesson, b"x", picture("disc", j, 90, 90)) for j in range(3))
				commit = m.Request(lesson_commit=m.LessonCommit(lesson=lesson, added=3)).SerializeToString()
				abort = m.Request(lesson_abort=m.LessonAbort(lesson=lesson)).SerializeToString()
				raw.send(adds + encode_frame(Kind.REQUEST, 20, commit) + encode_frame(Kind.REQUEST, 21, abort))
		with d.client() as client:
			self.assertEqual((0, []), (client.status().seq, client.classes()))

	def test_sigterm_with_lessons_open_and_pictures_waiting(self):
		d = self.daemon(config="infer:\n  threads: 1\n")
		with d.client() as client, d.raw() as raw, d.raw() as idle:
			client.learn("kept", pictures("disc", 5))
			idle.hello()
			self.begin(idle, 1)
			raw.hello()
			lesson = self.begin(raw, 1)
			raw.send(b"".join(self.add_frame(10 + i, lesson, b"lost", picture("ring", i, 600, 600)) for i in range(12)))
			raw.reply()
			self.assertEqual(0, d.stop())
			codes = []
			while (reply := raw.reply()) is not None:
				codes.append(reply[1].status.code)
			self.assertEqual(11, len(codes))
			self.assertLessEqual(set(codes), {0, Code.UNAVAILABLE, Code.CANCELLED})
			self.assertIsNone(idle.receive())
		self.assertTrue(any("STOPPING=1" in note for note in d.read_notes()))
		d.start()
		with d.client() as client:
			self.assertEqual([b"kept"], [c.label for c in client.classes()])


if __name__ == "__main__":
	main()
