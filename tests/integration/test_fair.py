# SPDX-License-Identifier: MIT
"""Fair to every user: what one user does, however much of it, leaves the others theirs.

Other users are children of this process that changed their uid, which only root can: run by anybody else, the tests are
skipped and say so.
"""

import json
import os
import select
import signal
import sys
import time
import traceback
import unittest

from bnnd.wire import HEADER, Kind, encode_frame

from tests.integration.daemon import SLOW, DaemonTest, bnnd, encoded, main, picture, pictures

Code = bnnd.Code
m = bnnd.messages()
PAYLOAD_MAX = 8 << 20
HELLO_S = 5
OPEN_TO_ALL = 'socket:\n  mode: 0666\n  group: ""\n'
GREEDY, OTHER, THIRD = 61001, 61002, 61003  # nobody's uids: they need no entry in passwd


class User:
	"""A child of another uid that runs fn(tell); what it tells (anything JSON) comes out of heard(). Ends with the block."""

	def __init__(self, uid, fn):
		reads, writes = os.pipe()
		self.pid = os.fork()
		if self.pid == 0:
			self._be(uid, fn, writes)
		os.close(writes)
		self._pipe = os.fdopen(reads, "rb", buffering=0)
		self._bytes = b""

	@staticmethod
	def _be(uid, fn, writes):
		try:
			os.setgroups([])
			os.setgid(uid)
			os.setuid(uid)
			fn(lambda what: os.write(writes, json.dumps(what).encode() + b"\n"))
		except BaseException:  # whatever it is must not return into the parent's test
			traceback.print_exc()
			sys.stderr.flush()
		os._exit(0)

	def __enter__(self):
		return self

	def __exit__(self, *_):
		os.kill(self.pid, signal.SIGKILL)
		os.waitpid(self.pid, 0)
		self._pipe.close()

	def heard(self, seconds=60):
		end = time.monotonic() + seconds * SLOW
		while b"\n" not in self._bytes:
			left = end - time.monotonic()
			if left <= 0 or not select.select([self._pipe], [], [], left)[0]:
				raise TimeoutError("the other user said nothing")
			got = self._pipe.read(65536)
			if not got:
				raise EOFError("the other user ended")
			self._bytes += got
		line, self._bytes = self._bytes.split(b"\n", 1)
		return json.loads(line)


@unittest.skipUnless(os.geteuid() == 0, "needs root: it starts clients of several uids")
class FairTest(DaemonTest):
	def shared_daemon(self, config=""):
		"""A daemon that everybody reaches."""
		folder = self.folder()
		os.chmod(folder, 0o755)
		return self.daemon(folder, config=OPEN_TO_ALL + config)


def hold(tell):
	"""What was opened stays open until the parent ends this process."""
	tell("held")
	time.sleep(600)


class Shares(FairTest):
	def test_pictures_that_never_come_take_nobody_elses_room(self):
		d = self.shared_daemon()

		def announce(tell):
			body = m.Request(infer=m.Infer()).SerializeToString()
			raws = [d.raw() for _ in range(8)]
			for raw in raws:
				raw.hello()
				raw.send(HEADER.pack(len(body), PAYLOAD_MAX, 1, Kind.REQUEST, 0) + body)
			hold(tell)

		def ask(tell):
			small, largest = picture("ring", 1), bnnd.Picture(b"\xff\xd8\xff" + bytes(PAYLOAD_MAX - 3))
			with d.client() as client:
				codes = []
				for p in (small, largest, small):
					try:
						client.infer(p)
						codes.append(0)
					except bnnd.Error as e:
						codes.append(int(e.code))
			tell(codes)

		with User(GREEDY, announce) as greedy:
			greedy.heard()
			for uid in (OTHER, 0):
				with User(uid, ask) as other:
					self.assertEqual([0, Code.INVALID_ARGUMENT, 0], other.heard(), f"uid {uid}")

	def test_connections_without_a_hello_shut_nobody_out(self):
		d = self.shared_daemon()

		def connect(tell):
			raws = [d.raw() for _ in range(64)]
			tell("held")
			status = m.HelloReply.FromString(raws[0].receive().body).status
			tell([int(status.code), status.message])
			for raw in raws:
				while raw.receive() is not None:
					pass
			tell("all closed")

		def ask(tell):
			with d.client() as client:
				tell(client.status().state)

		began = time.monotonic()
		with User(GREEDY, connect) as a, User(GREEDY + 10, connect) as b:
			for user in (a, b):
				user.heard()
			for uid in (OTHER, 0):
				with User(uid, ask) as other:
					self.assertEqual("ready", other.heard(), f"uid {uid}")
			self.assertLess(time.monotonic() - began, HELLO_S * SLOW, "while they still wait")
			for user in (a, b):
				code, sentence = user.heard()
				self.assertEqual(Code.DEADLINE_EXCEEDED, code)
				self.check_sentence(sentence, "Hello")
				self.assertEqual("all closed", user.heard())
			self.assertGreaterEqual(time.monotonic() - began, HELLO_S)

	def test_a_user_has_a_share_of_the_connections(self):
		d = self.shared_daemon()

		def connect(tell):
			clients, status = [], None
			while len(clients) < 64 and status is None:
				try:
					clients.append(d.client(timeout=1))
				except bnnd.Error as e:
					status = [len(clients), int(e.code), e.message, e.limit]
			tell(status)
			hold(tell)

		with User(GREEDY, connect) as greedy:
			n, code, sentence, limit = greedy.heard()
			self.assertEqual((28, Code.RESOURCE_EXHAUSTED, 28), (n, code, limit))
			self.check_sentence(sentence, "share is 28 of 64")
			with User(OTHER, connect) as other:
				self.assertEqual(9, other.heard()[0], "a third of what is left")

	def test_open_lessons_of_one_user_leave_others_theirs(self):
		d = self.shared_daemon("session:\n  max: 16\nlesson:\n  per_uid: 64\n")

		def begin(tell):
			lessons = []
			try:
				while True:
					lessons.append(d.client(timeout=1).lesson())
			except bnnd.Error as e:
				tell([len(lessons), int(e.code)])
			hold(tell)

		with User(GREEDY, begin) as greedy:
			self.assertEqual([7, Code.RESOURCE_EXHAUSTED], greedy.heard())

			def learn(tell):
				with d.client() as client:
					tell(client.learn("mug", pictures("disc", 3)).seq)

			with User(OTHER, learn) as other:
				self.assertEqual(1, other.heard())


def at_once(d, frames_of, connections=4):
	"""Sends what frames_of(i) gives on each connection, then waits for a reply to each frame; returns their codes and when
	the last came."""
	raws = [d.raw() for _ in range(connections)]
	sent = []
	for i, raw in enumerate(raws):
		raw.hello()
		sent.append(frames_of(i))
	for raw, frames in zip(raws, sent, strict=True):
		raw.send(b"".join(frames))
	codes = [int(raw.reply(60 * SLOW)[1].status.code) for raw, frames in zip(raws, sent, strict=True) for _ in frames]
	end = time.monotonic()
	for raw in raws:
		raw.close()
	return codes, end


def connected_as(uid, d):
	"""A connection of another uid in this process: the kernel notes who connects at that moment."""
	os.seteuid(uid)
	try:
		raw = d.raw()
	finally:
		os.seteuid(0)
	raw.hello()
	return raw


class Turns(FairTest):
	"""A user's thousand things wait for another's one, not the other way round."""

	def setUp(self):
		jpeg = bnnd.Picture(encoded("waves", 1, width=3200, height=2400))  # some 40 ms of work each
		self.slow = [
			encode_frame(Kind.REQUEST, i, m.Request(infer=m.Infer()).SerializeToString(), jpeg.payload)
			for i in range(1, 9)
		]

	def flood_of_pictures(self, d, tell):
		"""32 at once; what the last reply says of the time is told behind everything else."""
		tell("soon")
		codes, end = at_once(d, lambda i: self.slow)
		tell([sorted(set(codes)), end])

	def test_a_question_does_not_wait_for_a_flood_of_questions(self):
		d = self.shared_daemon("infer:\n  threads: 1\n")
		self.is_done_beside_a_flood_of_pictures(d, lambda client: [client.infer(picture("ring", i)) for i in range(3)])

	def test_a_lesson_does_not_wait_for_a_flood_of_questions(self):
		d = self.shared_daemon("infer:\n  threads: 1\nlesson:\n  starve_ms: 60000\n")
		self.is_done_beside_a_flood_of_pictures(d, lambda client: client.learn("mug", pictures("disc", 5)))

	def is_done_beside_a_flood_of_pictures(self, d, work):
		"""Another user's work is done before the flood is."""

		def do(tell):
			with d.client() as client:
				tell("soon")
				time.sleep(0.1 * SLOW)
				work(client)
				tell(time.monotonic())

		with User(OTHER, do) as other, User(GREEDY, lambda tell: self.flood_of_pictures(d, tell)) as greedy:
			other.heard()
			greedy.heard()
			codes, flood_end = greedy.heard()
			self.assertEqual([0], codes)
			self.assertLess(other.heard(), flood_end)

	def test_a_lesson_does_not_wait_for_a_flood_of_renames(self):
		d = self.shared_daemon()
		with d.client() as client:
			self.teach(client, "disc", "ring", "cross", "waves", n=2)
		names = (("disc", "a"), ("ring", "b"), ("cross", "c"), ("waves", "d"))

		def rename(tell):
			tell("soon")
			flood = 0
			while True:
				codes, _ = at_once(
					d,
					lambda i: [
						encode_frame(
							Kind.REQUEST,
							k + 1,
							m.Request(
								rename=m.Rename(
									old_label=names[i][k % 2].encode(), new_label=names[i][(k + 1) % 2].encode()
								)
							).SerializeToString(),
						)
						for k in range(8)
					],
				)
				flood += codes.count(0)
				tell(flood)

		def learn(tell):
			refused, seq = [], 0
			with d.client() as client:
				for i in range(10):
					try:
						seq = client.learn(f"mug {i}", pictures("disc", 2, 100 + 10 * i)).seq
					except bnnd.Error as e:
						refused.append(int(e.code))
			tell([seq, refused])

		with User(GREEDY, rename) as greedy:
			greedy.heard()
			greedy.heard()
			with User(OTHER, learn) as other:
				seq, refused = other.heard()
			self.assertEqual([], refused)
			self.assertGreater(seq, 14, "the renames went on meanwhile")

	def test_the_loop_takes_requests_in_turns(self):
		"""A thousand requests of one user wait already when another's comes: its lesson is one of the first all the same.
		Lessons are numbered, so their numbers tell the order; while the daemon is stopped both can write."""
		d = self.shared_daemon()
		with connected_as(GREEDY, d) as greedy, connected_as(OTHER, d) as other:
			d.process.send_signal(signal.SIGSTOP)
			greedy.send(
				b"".join(
					encode_frame(Kind.REQUEST, i, m.Request(**op).SerializeToString())
					for i in range(1, 1000)
					for op in (
						{"lesson_begin": m.LessonBegin(key=os.urandom(16))},
						{"lesson_abort": m.LessonAbort(lesson=i)},
					)
				)
			)
			other.request(1, lesson_begin=m.LessonBegin(key=os.urandom(16)))
			d.process.send_signal(signal.SIGCONT)
			self.assertLess(other.reply()[1].begun.lesson, 10)
			for _ in range(2 * 999):
				self.assertIsNotNone(greedy.reply())


class Log(FairTest):
	def test_refusals_are_counted_not_listed(self):
		d = self.shared_daemon("session:\n  max: 4\n")

		def connect(tell):
			held = d.raw()
			held.hello()
			for _ in range(500):
				d.raw().close()
			tell("done")

		with User(GREEDY, connect) as greedy:
			greedy.heard()
		d.stop()
		lines = [line for line in d.text().splitlines() if "refused" in line]
		self.assertLessEqual(len(lines), 6, d.text())
		self.assertRegex(lines[-1], rf"connection of uid {GREEDY} refused: .* \(and \d+ more\)$")


if __name__ == "__main__":
	main()
