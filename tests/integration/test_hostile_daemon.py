# SPDX-License-Identifier: MIT
"""Clients of a daemon that says anything: a real daemon's words, mutated with fixed seeds. Whatever comes, the Python
client raises its own three errors and nothing else, bnnctl ends with one of its exit statuses and no sanitizer complains,
and neither of them waits or buffers beyond its limits."""

import itertools
import os
import random
import socket
import struct
import subprocess
import threading
import time
import tracemalloc

from tests.integration.daemon import BNNCTL, SANITIZER, SLOW, DaemonTest, bnnd, encoded, environment, main, picture

HEADER = bnnd.wire.HEADER
SESSIONS = 600  # of the Python client
CTL_SESSIONS = 25  # of bnnctl, for each verb
IDLE_S = 0.1  # of a client that waits for more of a frame: then the daemon hangs up
OURS = (bnnd.Error, bnnd.ConnectionLost, TimeoutError)


def converse(client):
	"""One of each thing that a client asks."""
	client.status()
	client.infer(picture("disc", 1))
	list(client.infer_many([picture("disc", 2), picture("ring", 2)]))
	client.embed(picture("disc", 1))
	client.look(picture("disc", 1))
	client.learn("disc", [picture("disc", 3), picture("disc", 4)])
	client.classes()
	client.class_detail("disc")
	client.history()
	client.rename("disc", "ring")
	client.forget("ring")
	client.undo()
	client.rollback(1)


class Recorder:
	"""Stands between a client and a real daemon, and keeps the frames that the daemon sent."""

	def __init__(self, folder, daemon_socket):
		self.path = os.path.join(folder, "recorder")
		self.frames = []
		self._listener = listen(self.path)
		self._to = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		self._to.connect(daemon_socket)
		self._thread = threading.Thread(target=self._run)
		self._thread.start()

	def _run(self):
		client, _ = self._listener.accept()
		out = threading.Thread(target=self._forward, args=(client,))
		out.start()
		kept = bytearray()
		while data := self._to.recv(1 << 16):
			kept += data
			try:
				client.sendall(data)
			except OSError:
				break
		out.join()
		client.close()
		while kept:
			body, payload = struct.unpack_from(">II", kept)
			end = HEADER.size + body + payload
			self.frames.append(bytes(kept[:end]))
			del kept[:end]

	def _forward(self, client):
		while data := client.recv(1 << 16):
			self._to.sendall(data)
		self._to.shutdown(socket.SHUT_WR)

	def close(self):
		self._thread.join()
		self._listener.close()
		self._to.close()
		return self.frames


class Endless:
	"""The frames of a daemon that has always one page more: page(i) is the i-th."""

	def __init__(self, hello, page):
		self.hello, self.page = hello, page

	def __iter__(self):
		yield self.hello
		for i in itertools.count(1):
			body = self.page(i).SerializeToString()
			yield HEADER.pack(len(body), 0, i, 3, 0) + body


class Hostile:
	"""Answers the n-th frame of a connection with the n-th of `frames`, then hangs up; also after idle_s of silence."""

	def __init__(self, folder):
		self.path = os.path.join(folder, "hostile")
		self.frames = []
		self.idle_s = None
		self._listener = listen(self.path)
		threading.Thread(target=self._run, daemon=True).start()

	def _run(self):
		while True:
			try:
				client, _ = self._listener.accept()
			except OSError:
				return
			with client:
				self._serve(client)

	def _serve(self, client):
		client.settimeout(self.idle_s)
		try:
			for frame in self.frames:
				body, payload = struct.unpack_from(">II", read_exactly(client, HEADER.size))
				read_exactly(client, body + payload)
				client.sendall(frame)
			client.shutdown(socket.SHUT_WR)
			while client.recv(1 << 16):
				pass
		except OSError:
			pass

	def close(self):
		self._listener.shutdown(socket.SHUT_RDWR)
		self._listener.close()


def listen(path):
	listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
	listener.bind(path)
	listener.listen(8)
	return listener


def read_exactly(sock, n):
	data = bytearray()
	while len(data) < n:
		some = sock.recv(min(1 << 16, n - len(data)))
		if not some:
			raise OSError("the client has gone")
		data += some
	return bytes(data)


def mutated(frames, rng):
	"""The session with one to three faults; each may be in a header, a body or a payload."""
	frames = [bytearray(f) for f in frames]
	for _ in range(rng.randint(1, 3)):
		at = rng.randrange(len(frames))
		frame = frames[at]
		fault = rng.randrange(8)
		where = rng.randrange(min(len(frame), rng.choice((HEADER.size, 64, len(frame)))) or 1) if frame else 0
		if not frame or fault == 0:
			frames[at] = bytearray(rng.randbytes(rng.randrange(40)))
		elif fault == 1:
			frame[where] ^= 1 << rng.randrange(8)
		elif fault == 2:
			frame[where] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
		elif fault == 3:
			del frame[where:]
		elif fault == 4:
			frame[where:where] = rng.randbytes(rng.randrange(1, 9))
		elif fault == 5:
			frames[at] = frames[rng.randrange(len(frames))][:]
		elif fault == 6 and len(frame) >= HEADER.size:
			struct.pack_into(
				">I", frame, rng.choice((0, 4)), rng.choice((0, 1, 1 << 16, (1 << 16) + 1, 8 << 20, 0xFFFFFFFF))
			)
		else:  # the body cut short, and its length with it: a message that ends early
			keep = rng.randrange(len(frame) - HEADER.size + 1) if len(frame) >= HEADER.size else 0
			del frame[HEADER.size + keep :]
			if len(frame) >= HEADER.size:
				struct.pack_into(">II", frame, 0, keep, 0)
	return [bytes(f) for f in frames]


class HostileDaemon(DaemonTest):
	def setUp(self):
		daemon = self.daemon()
		recorder = Recorder(self.folder(), daemon.socket)
		with bnnd.Client(recorder.path, timeout=30 * SLOW) as client:
			converse(client)
		self.session = recorder.close()
		self.server = Hostile(self.folder())
		self.addCleanup(self.server.close)

	def test_the_words_as_they_were_are_understood(self):
		self.server.frames = self.session
		with bnnd.Client(self.server.path, timeout=10 * SLOW) as client:
			converse(client)

	def test_python_raises_nothing_but_its_own_errors(self):
		refused = 0
		self.server.idle_s = IDLE_S
		tracemalloc.start()
		self.addCleanup(tracemalloc.stop)
		for seed in range(int(SESSIONS / SLOW)):
			self.server.frames = mutated(self.session, random.Random(seed))
			began = time.monotonic()
			try:
				with bnnd.Client(self.server.path, timeout=10 * SLOW) as client:
					converse(client)
			except OURS:
				refused += 1
			except Exception as e:
				raise AssertionError(f"seed {seed}: {type(e).__name__} came out of the client") from e
			self.assertLess(time.monotonic() - began, 20 * SLOW, f"seed {seed}")
		self.assertGreater(refused, SESSIONS / SLOW / 3)
		self.assertLess(tracemalloc.get_traced_memory()[1], 40 << 20)

	def test_bnnctl_ends_as_it_says(self):
		file = os.path.join(self.folder(), "disc.jpg")
		with open(file, "wb") as f:
			f.write(encoded("disc", 1))
		self.server.idle_s = IDLE_S
		verbs = (
			["status"],
			["classes"],
			["classes", "disc"],
			["history"],
			["infer", file],
			["learn", "disc", file],
			["undo"],
		)
		for verb in verbs:
			self.server.frames = []
			for seed in range(max(4, int(CTL_SESSIONS / SLOW))):
				rng = random.Random(seed)
				frames = [self.session[0]] + rng.sample(self.session[1:], 6)
				for i, frame in enumerate(frames[1:], 1):  # bnnctl counts its requests from 1, too
					frames[i] = frame[:8] + struct.pack(">I", i) + frame[12:]
				self.server.frames = mutated(frames, rng)
				done = subprocess.run(
					[BNNCTL, "--socket", self.server.path, "--timeout", "5", *verb],
					stdin=subprocess.DEVNULL,
					capture_output=True,
					env=environment(),
					timeout=60 * SLOW,
				)
				said = done.stderr.decode("utf-8", "replace")
				self.assertIn(done.returncode, range(7), f"{verb}, seed {seed}: {said}")
				self.assertIsNone(SANITIZER.search(said), f"{verb}, seed {seed}: {said}")

	def test_a_length_beyond_the_limits_is_not_waited_for(self):
		for body, payload in ((1 << 31, 0), (0, 1 << 31), ((64 << 10) + 1, 0), (0, (8 << 20) + 1)):
			self.server.frames = [HEADER.pack(body, payload, 0, 1, 0) + bytes(1000)]
			with self.assertRaisesRegex(bnnd.ConnectionLost, "no bnnd.*at most"):
				bnnd.Client(self.server.path, timeout=20)

	def test_pages_that_never_end_are_left(self):
		m = bnnd.messages()
		page = m.Reply(class_list=m.ClassList(classes=[m.Class(label=b"a")], more=True)).SerializeToString()
		past = m.Reply(history_list=m.HistoryList(entries=[m.HistoryEntry(seq=5)], more=True)).SerializeToString()
		frames = [self.session[0]]
		for i, body in enumerate((page, page, past, past), 1):
			frames.append(HEADER.pack(len(body), 0, i, 3, 0) + body)
		self.server.frames = frames
		with bnnd.Client(self.server.path, timeout=5 * SLOW) as client:
			self.assertEqual(2, len(client.classes()))
			self.assertEqual(2, len(client.history()))

	def test_ordered_pages_that_never_end_are_left_in_time(self):
		m = bnnd.messages()
		before = bnnd.wire.LIST_MAX_BYTES
		self.addCleanup(setattr, bnnd.wire, "LIST_MAX_BYTES", before)
		for name, page in (
			("classes", lambda i: m.Reply(class_list=m.ClassList(classes=[m.Class(label=b"%08d" % i)], more=True))),
			(
				"history",
				lambda i: m.Reply(history_list=m.HistoryList(entries=[m.HistoryEntry(seq=(1 << 40) - i)], more=True)),
			),
		):
			self.server.frames = Endless(self.session[0], page)
			bnnd.wire.LIST_MAX_BYTES = before
			with bnnd.Client(self.server.path, timeout=1) as client, self.assertRaises(TimeoutError):
				getattr(client, name)()
			bnnd.wire.LIST_MAX_BYTES = 1000
			with bnnd.Client(self.server.path, timeout=60 * SLOW) as client:
				self.refused(bnnd.Code.RESOURCE_EXHAUSTED, "has no end", getattr(client, name))


class Refused(DaemonTest):
	"""What a real daemon refuses, as the Python client says it."""

	def test_a_picture_over_the_limit(self):
		daemon = self.daemon()
		with daemon.client() as client:
			big = bnnd.Picture(bytes(3280 * 2464 * 3), raw=(3280, 2464, 3))
			error = self.refused(bnnd.Code.INVALID_ARGUMENT, "24245760 bytes: the limit is 8388608", client.infer, big)
			self.assertEqual(8 << 20, error.limit)
			self.assertEqual("ready", client.status().state)

	def test_what_the_daemon_says_before_it_closes_is_told(self):
		daemon = self.daemon()
		with daemon.client() as client:
			client.hello.limits.payload_bytes = 0xFFFFFFFF
			bnnd.wire.PAYLOAD_MAX_BYTES, before = 1 << 30, bnnd.wire.PAYLOAD_MAX_BYTES
			self.addCleanup(setattr, bnnd.wire, "PAYLOAD_MAX_BYTES", before)
			self.refused(
				bnnd.Code.RESOURCE_EXHAUSTED,
				"12582912 bytes: the limit is 8388608",
				client.infer,
				bnnd.Picture(bytes(12 << 20), raw=(2048, 2048, 3)),
			)

	def test_a_connection_too_many_waits_for_room(self):
		daemon = self.daemon(config="session:\n  max: 2\n")
		clients = [daemon.client(), daemon.client()]
		threading.Timer(0.3, clients[0].close).start()
		with daemon.client() as third:
			self.assertEqual("ready", third.status().state)
			with self.assertRaisesRegex(bnnd.Error, "RESOURCE_EXHAUSTED.*connections"):
				bnnd.Client(daemon.socket, timeout=0.3)
		clients[1].close()

	def test_the_negatives_can_be_asked_for_and_forgotten(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.refused(bnnd.Code.NOT_FOUND, "none|negative", client.class_detail, None)
			client.learn(None, [picture("bars", 1), picture("bars", 2)])
			self.assertEqual((True, 2), (client.class_detail(None).summary.none, client.class_detail().summary.samples))
			client.forget()
			self.refused(bnnd.Code.NOT_FOUND, "none|negative", client.forget, None)
			with self.assertRaises(TypeError):
				client.forget("disc", none=True)
			with self.assertRaisesRegex(TypeError, "a label is str or bytes, not int"):
				client.forget(5)

	def test_a_refused_commit_leaves_no_lesson_open(self):
		daemon = self.daemon()
		with daemon.client() as client:
			lesson = client.lesson()
			lesson.add("disc", picture("disc", 1))
			with self.assertRaises(bnnd.Error):
				lesson.commit(added=7)
			client.learn("ring", [picture("ring", 1)])
			self.assertEqual([b"ring"], [c.label for c in client.classes()])


if __name__ == "__main__":
	main()
