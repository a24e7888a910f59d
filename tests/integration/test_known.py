# SPDX-License-Identifier: MIT
"""Known, as people teach: from a burst, from one picture, from what is taught already; and what hints say of it."""

import os
import pathlib

import numpy as np

from tests.integration.daemon import MODEL, DaemonTest, answer_key, bnnd, main, picture, pictures, pixels, qemu_subset
from tools.bnnfile import format as model_file

FRAMES = 20
COVERED = 4


def burst(kind, seed, n=FRAMES):
	"""Frames of a second: the same picture, a little shifted, lighter or darker, each with a noise of its own."""
	image, frames = pixels(kind, seed).astype(float), []
	for i in range(n):
		rng = np.random.default_rng([seed, i])
		shaken = np.roll(image, rng.integers(-2, 3, 2), axis=(0, 1))
		frame = shaken * rng.uniform(0.95, 1.05) + rng.normal(0, 3, image.shape)
		frames.append(bnnd.Picture.array(np.clip(frame, 0, 255).astype(np.uint8)))
	return frames


def covered(i):
	"""Black, white, grey, and light that comes from one side."""
	light = np.linspace(60, 190, 96)[None, :, None] if i == 3 else (0, 255, 127)[i]
	return bnnd.Picture.array(np.broadcast_to(light, (96, 96, 3)).astype(np.uint8))


class Known(DaemonTest):
	def known(self, client, asked):
		return sum(client.infer(p).known for p in asked)

	@qemu_subset
	def test_a_burst_teaches_the_thing(self):
		"""Twenty frames of one view: other views of the thing are known, as after one picture; and it says what is
		missing."""
		daemon = self.daemon()
		with daemon.client() as client:
			changed = client.learn("disc", burst("disc", 1))
			self.assertEqual([FRAMES], [c.samples for c in changed.classes])
			self.assertRegex(changed.hint, "these 20 pictures are as alike as one: teach some from another")
			self.assertGreaterEqual(self.known(client, pictures("disc", 20, 100)), 16)
			self.assertEqual(20, self.known(client, burst("disc", 1)))
			# Views that differ are not called alike.
			self.assertNotIn("alike", client.learn("checks", pictures("checks", 12)).hint)

	def test_one_picture(self):
		"""Of a class of one picture others are known, with the network that is installed, and a dark or blinded camera is
		not."""
		daemon = self.daemon()
		with daemon.client() as client:
			for kind in ("disc", "ring", "square", "cross", "triangle"):
				changed = client.learn(kind, [picture(kind, 0)])
				self.assertRegex(changed.hint, "^one picture does not show how different pictures of it look")
				self.assertGreaterEqual(self.known(client, pictures(kind, 20, 100)), 16, kind)
				self.assertEqual([False, False], [client.infer(covered(i)).known for i in range(2)], kind)
				client.forget(kind)

	def test_a_cap_of_one_picture(self):
		"""What makes a class forget at once makes it no class of one picture in words, nor damage to the next start."""
		daemon = self.daemon(config="learner.past_cap: 1\n")
		with daemon.client() as client:
			self.assertNotIn("alike", client.learn("disc", pictures("disc", 5)).hint)
			self.assertNotIn("alike", client.learn("ring", pictures("ring", 5)).hint)
			client.rename("ring", "hoop")
			before = [answer_key(client.infer(picture("disc", i))) for i in range(50, 55)]
		daemon.restart()
		with daemon.client() as client:
			self.assertEqual("ready", client.status().state)
			self.assertEqual(before, [answer_key(client.infer(picture("disc", i))) for i in range(50, 55)])

	def model_with_blank_row(self):
		"""The network with what it sees of black, white and blur written into its file, as tools/fit_answers.py does."""
		with self.daemon().client() as client:
			seen = [
				np.frombuffer(client.embed(p).features, np.int8).astype(float) for p in map(covered, range(COVERED))
			]
		mean = np.mean([q / np.linalg.norm(q) for q in seen], axis=0)
		path = os.path.join(self.folder(), "blank.bnn")
		model = model_file.read(pathlib.Path(os.path.realpath(MODEL)))
		model.graph.answers.blank = np.rint(mean / abs(mean).max() * 127).astype(np.int8).tobytes()
		model.graph.answers.blank_cosine = 0.45
		model_file.write(path, model)
		return path

	def test_what_a_covered_camera_shows(self):
		"""It is claimed by no class of one picture, but known where it was taught, and the best name where nothing is
		refused."""
		daemon = self.daemon(model=self.model_with_blank_row())
		with daemon.client() as client:
			for kind in ("disc", "ring", "triangle"):
				client.learn(kind, [picture(kind, 0)])
				answers = [client.infer(covered(i)) for i in range(COVERED)]
				self.assertEqual([False] * COVERED, [a.known for a in answers], kind)
				self.assertTrue(all(a.unknown_score > a.top[0].score for a in answers))
				self.assertGreaterEqual(self.known(client, pictures(kind, 20, 100)), 16, kind)
			self.assertEqual(COVERED, sum(client.infer(covered(i), refuse="never").known for i in range(COVERED)))
			client.learn("lens cap", [covered(0)])
			self.assertEqual((True, b"lens cap"), (client.infer(covered(0)).known, client.infer(covered(0)).label))

	def test_frames_of_a_known_view_change_nothing_that_is_told(self):
		"""The same burst again, frame by frame: the class is no older, and its answers hold."""
		daemon = self.daemon()
		with daemon.client() as client:
			client.learn("disc", burst("disc", 1))
			before = self.known(client, pictures("disc", 20, 100))
			for frame in burst("disc", 1, 26)[20:]:
				changed = client.learn("disc", [frame])
			self.assertRegex(changed.hint, "the 26 pictures taught so far are as alike as one")
			self.assertEqual(before, self.known(client, pictures("disc", 20, 100)))

	def test_states_of_one_scene(self):
		"""Two states of one scene: the hint says what is for that, once, and not where it is set."""
		states = {"open": [], "closed": []}
		for i in range(6):
			scene = pixels("waves", 3).astype(float) * (0.7 + 0.1 * i)
			states["open"].append(bnnd.Picture.array(np.clip(scene, 0, 255).astype(np.uint8)))
			scene[40:64, 20:50] = 30
			states["closed"].append(bnnd.Picture.array(np.clip(scene, 0, 255).astype(np.uint8)))
		for refuse, said in (("0.05", True), ("never", False)):
			daemon = self.daemon(config="answers.refuse: %s\n" % refuse)
			with daemon.client() as client:
				self.assertNotIn("of one scene", client.learn("open", states["open"]).hint)
				check = self.assertRegex if said else self.assertNotRegex
				check(client.learn("closed", states["closed"]).hint, "these look like one scene: .* teach the empty scene .*; if nothing can, ask with --refuse never")
		with daemon.client() as client:
			client.forget("closed")
			self.assertNotIn("of one scene", self.teach(client, "stripes", n=6).hint)


if __name__ == "__main__":
	main()
