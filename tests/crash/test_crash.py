# SPDX-License-Identifier: MIT
"""Rounds of kill -9 while two clients teach: nothing acknowledged is lost, nothing is half there, a repeated key counts
once. BNND_CRASH_ROUNDS says how many (10); the figures are printed at the end.

Each client teaches lessons of one or two classes under keys of its own. The daemon is killed at a random moment, started
again, and asked: every acknowledged lesson must be in the history as it was acknowledged; the one lesson a client that had
no answer is asked again with its key, and must turn out to be there whole or not at all; the pictures of every class must
be the sum of these lessons, to the picture.
"""

import os
import random
import threading
import time

from tests.integration.daemon import SHAPES, SLOW, DaemonTest, answer_key, bnnd, main, picture, pixels

ROUNDS = int(os.environ.get("BNND_CRASH_ROUNDS", "10"))
SEED = int(os.environ.get("BNND_CRASH_SEED", "0")) or random.randrange(1, 1 << 30)
LABELS_A_CLIENT = 8


class Lesson:
	def __init__(self, name, number, rng):
		self.key = rng.randbytes(16)
		classes = rng.sample(range(LABELS_A_CLIENT), rng.choice((1, 1, 2)))
		self.samples = {f"{name}-{c}".encode(): rng.randint(1, 3) for c in classes}
		self.name = name
		self.number = number
		self.seq = None  # once it is known to be there

	def pictures(self):
		"""Pictures that no other lesson has: the number is written into the first pixels."""
		shapes = sorted(SHAPES)
		for label, n in self.samples.items():
			c = int(label.split(b"-")[1])
			for i in range(n):
				image = pixels(shapes[c], i, 24, 24)
				image[0, :8, 0] = list(f"{self.name[0]}{self.number:05d}{i:02d}".encode())
				yield label, bnnd.Picture.array(image)


class Teacher:
	"""One client: what it was promised, and the one lesson whose answer it does not know."""

	def __init__(self, name, daemon, seed):
		self.name = name
		self.daemon = daemon
		self.rng = random.Random(seed)
		self.done = []
		self.pending = None
		self.number = 0
		self.repeated = 0
		self.fault = None

	def teach(self, client, lesson):
		with client.lesson(key=lesson.key) as conversation:
			for label, p in lesson.pictures():
				conversation.add(label, p)
		changed = conversation.result
		self.repeated += changed.repeated
		found = {c.label: c.samples for c in changed.classes}
		if conversation.refused or found != lesson.samples:
			raise AssertionError(f"taught {lesson.samples}, answered {found}, refused {conversation.refused}")
		lesson.seq = changed.seq
		self.done.append(lesson)
		self.pending = None

	def run(self):
		"""Teaches until the daemon is gone."""
		try:
			with self.daemon.client() as client:
				if self.pending:
					self.teach(client, self.pending)
				while True:
					self.number += 1
					self.pending = Lesson(self.name, self.number, self.rng)
					self.teach(client, self.pending)
		except (bnnd.ConnectionLost, OSError):
			pass
		except bnnd.Error as e:
			self.fault = f"{self.name}: {e}"
		except AssertionError as e:
			self.fault = f"{self.name}: {e}"


class KillNine(DaemonTest):
	def verify(self, client, teachers, verified):
		"""The daemon's history and classes against what was promised; returns the newest seq."""
		known = {lesson.seq: lesson for t in teachers for lesson in t.done}
		pending = {frozenset(t.pending.samples.items()) for t in teachers if t.pending}
		newest = client.status().seq
		entries, before = {}, 0
		while True:
			page = client.call(history=bnnd.messages().History(before_seq=before))[0].history_list
			entries.update((e.seq, e) for e in page.entries)
			if not page.more or page.entries[-1].seq <= verified:
				break
			before = page.entries[-1].seq
		unclaimed = {}
		for seq in range(verified + 1, newest + 1):
			self.assertIn(seq, entries, "the history has no holes")
			found = {c.label: c.samples for c in entries[seq].classes}
			if seq in known:
				self.assertEqual(known[seq].samples, found, f"acknowledged as {seq}")
			else:
				self.assertIn(frozenset(found.items()), pending, f"{seq} is nobody's lesson: half of one?")
				unclaimed[seq] = found
		self.assertLessEqual(max(known, default=0), newest, "an acknowledged lesson is lost")
		self.assertLessEqual(len(unclaimed), len(pending))
		expected = {}
		for samples in [lesson.samples for lesson in known.values()] + list(unclaimed.values()):
			for label, n in samples.items():
				expected[label] = expected.get(label, 0) + n
		self.assertEqual(expected, {c.label: c.samples for c in client.classes()})
		self.assertEqual("ready", client.status().state)
		return newest, len(unclaimed)

	def test_rounds(self):
		rng = random.Random(SEED)
		daemon = self.make()
		teachers = [Teacher(name, daemon, rng.random()) for name in ("anna", "bert")]
		verified, survived, starts = 0, 0, []
		for _ in range(ROUNDS):
			began = time.monotonic()
			daemon.start()
			starts.append(time.monotonic() - began)
			threads = [threading.Thread(target=t.run) for t in teachers]
			for thread in threads:
				thread.start()
			time.sleep(rng.uniform(0.005, 0.25) * SLOW)
			daemon.kill()
			for thread in threads:
				thread.join()
			self.assertEqual([None, None], [t.fault for t in teachers], f"seed {SEED}")
			daemon.start()
			with daemon.client() as client:
				newest, unclaimed = self.verify(client, teachers, verified)
				survived += unclaimed
				# Asked again now or in the next round: both must teach once.
				if rng.random() < 0.5:
					for t in teachers:
						if t.pending:
							t.teach(client, t.pending)
					newest, unclaimed = self.verify(client, teachers, verified)
					self.assertEqual(0, unclaimed)
				verified = (
					max((lesson.seq for t in teachers for lesson in t.done), default=0) if unclaimed == 0 else verified
				)
				before = [answer_key(client.infer(picture(kind, 1, 24, 24), top=10)) for kind in ("disc", "waves")]
			daemon.kill()
			daemon.start()
			with daemon.client() as client:
				self.assertEqual(
					before, [answer_key(client.infer(picture(kind, 1, 24, 24), top=10)) for kind in ("disc", "waves")]
				)
			daemon.kill()
		lessons = sum(len(t.done) for t in teachers)
		print(
			f"crash: {ROUNDS} rounds ({3 * ROUNDS} kills, seed {SEED}), {lessons} lessons acknowledged, 0 lost, "
			f"{survived} durable without their acknowledgement, {sum(t.repeated for t in teachers)} asked again and counted "
			f"once; start {sorted(starts)[len(starts) // 2] * 1000:.0f} ms (median)",
			flush=True,
		)
		self.assertGreaterEqual(lessons, ROUNDS // 2)


if __name__ == "__main__":
	main()
