# SPDX-License-Identifier: MIT
"""Streams of frames that are almost right, from many connections that hang up when they like: the daemon outlives them.

BNND_FUZZ_SECONDS says for how long (4), BNND_FUZZ_SEED repeats a run; under sanitizers a finding fails the test.
"""

import os
import random
import time

from bnnd.wire import Kind, encode_frame

from tests.integration.daemon import DaemonTest, bnnd, main, picture

m = bnnd.messages()
SECONDS = float(os.environ.get("BNND_FUZZ_SECONDS", "4"))
SEED = int(os.environ.get("BNND_FUZZ_SEED", "0")) or random.randrange(1, 1 << 30)
CHECK_EVERY = 100  # connections


class Fuzz:
	def __init__(self, seed):
		self.rng = random.Random(seed)
		self.lesson = 1
		self.pictures = [picture("disc", i, 40, 40) for i in range(4)]

	def request(self, number):
		"""One frame: mostly a sound request, sometimes with a wrong kind, id, flag, label, key or deadline."""
		rng = self.rng
		p = rng.choice(self.pictures)
		label = rng.choice([b"a", b"b", b"", b"x" * 200, b"\xff"])
		key = bytes([rng.randrange(3)]) * rng.choice([16, 16, 16, 3])
		op, payload = rng.choice(
			[
				(dict(status=m.GetStatus()), b""),
				(dict(infer=m.Infer(picture=p.message(), top=rng.randrange(12))), p.payload),
				(dict(embed=m.Embed(picture=p.message())), p.payload),
				(dict(look=m.Look(picture=p.message())), p.payload),
				(dict(lesson_begin=m.LessonBegin(key=key, dry_run=rng.random() < 0.5)), b""),
				(dict(lesson_add=m.LessonAdd(lesson=self.lesson, label=label, picture=p.message())), p.payload),
				(dict(lesson_commit=m.LessonCommit(lesson=self.lesson, added=rng.randrange(3))), b""),
				(dict(lesson_abort=m.LessonAbort(lesson=self.lesson)), b""),
				(dict(classes=m.Classes(after=label)), b""),
				(dict(class_detail=m.ClassDetail(label=label)), b""),
				(dict(history=m.History(before_seq=rng.randrange(9))), b""),
				(dict(forget=m.Forget(label=label, key=key)), b""),
				(dict(undo=m.Undo()), b""),
			]
		)
		body = m.Request(timeout_ms=rng.choice([0, 0, 0, 1, 10**7]), **op).SerializeToString()
		frame = bytearray(
			encode_frame(
				rng.choice([Kind.REQUEST] * 12 + [Kind.CANCEL, Kind.HELLO]),
				rng.choice([number] * 20 + [max(number - 1, 0), 0]),
				body,
				payload,
				rng.choice([0] * 30 + [1, 2]),
			)
		)
		if rng.random() < 0.1:
			for _ in range(rng.randrange(1, 4)):
				frame[rng.randrange(min(len(frame), 60))] = rng.randrange(256)
		return frame[: rng.randrange(len(frame))] if rng.random() < 0.03 else frame

	def connection(self, daemon):
		rng = self.rng
		with daemon.raw() as raw:
			if rng.random() < 0.95:
				raw.hello()
			for i in range(rng.randrange(1, 40)):
				raw.send(self.request(i + 1))
				if rng.random() >= 0.3:
					continue
				try:
					frame = raw.receive(timeout=0.02)
				except TimeoutError:
					continue
				if frame is None:
					return
				if frame.kind == Kind.REPLY:
					self.lesson = m.Reply.FromString(frame.body).begun.lesson or self.lesson


class RandomFrames(DaemonTest):
	def test_random_frames(self):
		daemon = self.daemon(config="infer:\n  threads: 2\nsession:\n  stall_s: 1\n")
		fuzz = Fuzz(SEED)
		end = time.monotonic() + SECONDS
		n = 0
		while time.monotonic() < end:
			n += 1
			try:
				fuzz.connection(daemon)
			except OSError:
				pass  # hung up on us: as it should
			if n % CHECK_EVERY == 0:
				self.assertTrue(daemon.running(), f"BNND_FUZZ_SEED={SEED}\n{daemon.text()}")
				with daemon.client() as client:
					client.infer(fuzz.pictures[0])
		with daemon.client() as client:
			self.assertIn(client.status().state, ("ready", "degraded"), f"BNND_FUZZ_SEED={SEED}")
		self.assertGreater(n, 10)


if __name__ == "__main__":
	main()
