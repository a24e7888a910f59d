# SPDX-License-Identifier: MIT
"""Teach a class, ask, unknown; what status, look, embed and the pages say; the same bits with any number of threads."""

import io
import sqlite3
import threading

from tests.integration.daemon import SHAPES, DaemonTest, answer_key, bnnd, encoded, main, picture, pictures, qemu_subset

Code = bnnd.Code


class Spine(DaemonTest):
	@qemu_subset
	def test_nothing_taught_everything_is_unknown(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.assertEqual(
				(1, bnnd.messages().ROLE_ADMIN, 0), (client.hello.major, client.hello.role, client.hello.seq)
			)
			for kind in SHAPES:
				answer = client.infer(picture(kind, 1))
				self.assertFalse(answer.known)
				self.assertEqual((0, 1.0), (len(answer.top), answer.unknown_score))
				self.assertEqual(bnnd.messages().REASON_UNKNOWN, answer.reason)
			status = client.status()
			self.assertEqual(("ready", 0, 0), (status.state, status.classes, status.seq))
			self.assertEqual(32, len(status.model.feature_id))
			self.assertEqual([], client.classes())
			self.assertEqual([], client.history())

	@qemu_subset
	def test_teach_a_class_and_ask(self):
		daemon = self.daemon()
		with daemon.client() as client:
			changed = client.learn("disc", pictures("disc", 10))
			self.assertEqual((1, "learn", False), (changed.seq, changed.op, changed.repeated))
			(taught,) = changed.classes
			self.assertEqual((b"disc", 10, True), (taught.label, taught.samples, taught.is_new))
			own = [client.infer(p) for p in pictures("disc", 10, 100)]
			self.assertGreaterEqual(sum(a.known and a.label == b"disc" for a in own), 8)
			foreign = [client.infer(picture(kind, 5)) for kind in SHAPES if kind != "disc"]
			self.assertIn("as alike as one", changed.hint)  # so the class knows little of how far it reaches
			self.assertLess(sum(a.known for a in foreign), len(foreign))
			self.assertLess(max(a.top[0].cosine for a in foreign), min(a.top[0].cosine for a in own))
			for answer in own + foreign:
				self.assertEqual(1, answer.seq)
				self.assertAlmostEqual(1.0, answer.unknown_score + sum(s.score for s in answer.top), places=9)
				self.assertGreaterEqual(answer.us.total, answer.us.backbone)

	def test_teaching_is_seen_by_every_connection_before_it_is_acknowledged(self):
		daemon = self.daemon()
		with daemon.client() as teacher, daemon.client() as asker:
			self.assertFalse(asker.infer(picture("cross", 1)).top)
			seq = self.teach(teacher, "cross").seq
			answer = asker.infer(picture("cross", 1))
			self.assertEqual((seq, b"cross"), (answer.seq, answer.top[0].label))

	def test_top_and_strictness(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc", "ring", "cross", "bars", "checks")
			self.assertEqual(3, len(client.infer(picture("disc", 50)).top))
			self.assertEqual(1, len(client.infer(picture("disc", 50), top=1).top))
			full = client.infer(picture("disc", 50), top=10)
			self.assertEqual(5, len(full.top))
			scores = [s.score for s in full.top]
			self.assertEqual(sorted(scores, reverse=True), scores)
			self.assertAlmostEqual(full.top[0].score - full.top[1].score, full.margin, places=9)
			known = []
			for share in (0.01, 0.02, 0.05, 0.10, 0.20):
				known.append(
					sum(
						a.known
						for a in client.infer_many(pictures("waves", 10) + pictures("disc", 10, 60), refuse=share)
					)
				)
			self.assertEqual(sorted(known, reverse=True), known, "stricter never knows more")
			self.refused(Code.INVALID_ARGUMENT, "0\\.01", client.infer, picture("disc", 1), refuse=0.5)
			self.refused(Code.INVALID_ARGUMENT, "10", client.infer, picture("disc", 1), top=11)

	def test_a_closed_world(self):
		"""Nothing is unknown where nothing else can be seen: for one question, or by the setting."""
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
			foreign = pictures("waves", 10) + pictures("checks", 10)
			self.assertLess(sum(a.known for a in client.infer_many(foreign)), 20)
			for answer in client.infer_many(foreign, refuse="never"):
				self.assertTrue(answer.known)
				self.assertEqual(answer.top[0].label, answer.label)
				self.assertEqual(0, answer.unknown_score)
				self.assertAlmostEqual(1, sum(s.score for s in answer.top))
			self.assertEqual(0.05, client.status().refuse)
			both = bnnd.messages().Infer(picture=foreign[0].message())
			both.refuse.share, both.refuse.never = 0.01, True
			self.refused(Code.INVALID_ARGUMENT, "one of them", client.call, foreign[0].payload, infer=both)
		self.assertEqual(0, daemon.stop())
		daemon.config = "answers:\n  refuse: never\n"
		daemon.start()
		with daemon.client() as client:
			self.assertEqual(0, client.status().refuse)
			self.assertTrue(all(a.known for a in client.infer_many(foreign)))
			self.assertLess(sum(a.known for a in client.infer_many(foreign, refuse=0.05)), 20)
		_, out, _ = daemon.ctl("status")
		self.assertIn("never answers unknown", out)

	def test_embed_and_look(self):
		from PIL import Image

		daemon = self.daemon()
		with daemon.client() as client:
			embedding = client.embed(picture("dots", 1))
			self.assertEqual(client.hello.model.features, len(embedding.features))
			self.assertEqual(embedding.features, client.embed(picture("dots", 1)).features)
			self.assertNotEqual(embedding.features, client.embed(picture("dots", 2)).features)
			looked, png = client.look(picture("dots", 1, 200, 100))
			image = Image.open(io.BytesIO(png))
			image.load()
			self.assertEqual(("PNG", (looked.width, looked.height)), (image.format, image.size))
			self.assertEqual((client.hello.model.input.width, client.hello.model.input.height), image.size)

	def test_look_is_what_the_network_sees(self):
		"""A raw picture of the network's own size comes back unchanged; rotated, it is turned clockwise."""
		import numpy as np
		from PIL import Image

		from tests.integration.daemon import pixels

		daemon = self.daemon()
		with daemon.client() as client:
			size = client.hello.model.input.width
			image = pixels("triangle", 3, size, size)
			seen = np.asarray(Image.open(io.BytesIO(client.look(bnnd.Picture.array(image))[1])).convert("RGB"))
			self.assertTrue((seen == image).all())
			turned = client.look(bnnd.Picture.array(image, rotate=90))[1]
			seen = np.asarray(Image.open(io.BytesIO(turned)).convert("RGB"))
			self.assertTrue((seen == np.rot90(image, -1)).all())
			# The region is cut before resizing, so the left half of a double picture is the picture.
			double = np.concatenate([image, 255 - image], axis=1)
			half = client.look(bnnd.Picture.array(double, roi=(0, 0, 0.5, 1)))[1]
			seen = np.asarray(Image.open(io.BytesIO(half)).convert("RGB"))
			self.assertTrue((seen == image).all())

	def test_classes_and_history_are_paged(self):
		daemon = self.daemon()
		labels = [f"class {i:03d}" for i in range(130)]
		with daemon.client() as client:
			with client.lesson() as lesson:
				for i, label in enumerate(labels):
					lesson.add(label, picture("disc", i, 32, 32))
			self.assertEqual(130, len(lesson.result.classes))
			self.assertEqual([], lesson.refused)
			self.assertEqual([label.encode() for label in labels], [c.label for c in client.classes()])
			page = client.call(classes=bnnd.messages().Classes(limit=7))[0].class_list
			self.assertEqual((7, True, 130), (len(page.classes), page.more, page.total))
			for i in range(105):
				client.rename(labels[0] if i % 2 == 0 else "other", "other" if i % 2 == 0 else labels[0])
			history = client.history()
			self.assertEqual(list(range(106, 0, -1)), [h.seq for h in history])
			self.assertEqual(["rename"] * 105 + ["learn"], [h.op for h in history])
			detail = client.class_detail(labels[5])
			self.assertEqual((1, 1), (detail.summary.samples, detail.summary.lessons))
			self.assertEqual([1], [lesson.seq for lesson in detail.lessons])
			self.refused(Code.NOT_FOUND, "class", client.class_detail, "nobody")

	@qemu_subset
	def test_encoded_pictures(self):
		daemon = self.daemon()
		with daemon.client() as client:
			jpegs = [bnnd.Picture(encoded("cross", i, quality=92)) for i in range(6)]
			pngs = [bnnd.Picture(encoded("disc", i, "PNG")) for i in range(6)]
			client.learn("cross", jpegs)
			client.learn("disc", pngs)
			self.assertEqual(b"cross", client.infer(bnnd.Picture(encoded("cross", 40, quality=92))).top[0].label)
			self.assertEqual(b"disc", client.infer(bnnd.Picture(encoded("disc", 40, "PNG"))).top[0].label)
			# The same pixels as a PNG file and raw are one and the same to the network.
			from tests.integration.daemon import pixels

			self.assertEqual(
				client.embed(bnnd.Picture(encoded("disc", 7, "PNG"))).features,
				client.embed(bnnd.Picture.array(pixels("disc", 7, 160, 120))).features,
			)

	def test_grey_pictures(self):
		import numpy as np

		from tests.integration.daemon import pixels

		daemon = self.daemon()
		with daemon.client() as client:
			grey = pixels("ring", 1)[:, :, 0].copy()
			as_rgb = np.repeat(grey[:, :, None], 3, axis=2)
			self.assertEqual(
				client.embed(bnnd.Picture.array(grey)).features, client.embed(bnnd.Picture.array(as_rgb)).features
			)


def state_rows(daemon):
	"""Every item of the state file, without what the clock wrote."""
	import glob
	import os

	(path,) = glob.glob(os.path.join(daemon.state, "state-*.db"))
	with sqlite3.connect(path) as db:
		return db.execute("select kind, class_id, born, died, format, data from item order by 1, 2, 3, 4, 6").fetchall()


class SameBits(DaemonTest):
	def test_one_and_four_threads_publish_the_same_bits(self):
		kinds = ["disc", "ring", "cross", "bars"]
		states, answers = [], []
		for threads in (1, 4):
			daemon = self.daemon(config=f"infer:\n  threads: {threads}\n")
			with daemon.client() as client:
				self.assertEqual(threads, client.status().infer_threads)
				# Others ask meanwhile, so that the adds overtake each other as they can.
				stop = threading.Event()

				def ask(daemon=daemon, stop=stop):
					with daemon.client() as asker:
						while not stop.is_set():
							for _ in asker.infer_many(pictures("dots", 8)):
								pass

				asking = threading.Thread(target=ask)
				asking.start()
				try:
					client.learn("disc", pictures("disc", 12))
					with client.lesson() as lesson:
						for i in range(10):
							for j, kind in enumerate(kinds):
								# sizes differ, so their times do
								lesson.add(kind, picture(kind, 200 + i, 64 + 90 * (i * j % 5), 96))
						for i in range(5):
							lesson.add(None, picture("waves", i))
					client.learn("ring", pictures("ring", 6, 300))
				finally:
					stop.set()
					asking.join()
				answers.append([answer_key(client.infer(picture(kind, 500), top=10)) for kind in SHAPES])
			daemon.stop()
			states.append(state_rows(daemon))
		self.assertEqual(answers[0], answers[1])
		self.assertGreater(len(states[0]), 40)
		self.assertEqual(states[0], states[1])


if __name__ == "__main__":
	main()
