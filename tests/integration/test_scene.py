# SPDX-License-Identifier: MIT
"""A camera that does not move: things before one scene, taught and asked; what the empty scene, taught as none, changes."""

import numpy as np

from tests.integration.daemon import COLOURS, SHAPES, DaemonTest, answer_key, bnnd, main, picture, pictures, qemu_subset

WIDTH, HEIGHT = 160, 120
TAUGHT, ASKED = 20, 12
OURS, OTHERS = "disc", ("cross", "stripes", "checks", "waves")


def desk(seed):
	"""A background of things that stay where they are."""
	rng = np.random.default_rng(seed)
	y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
	scene = np.stack([120 + 40 * x / WIDTH, 110 + 30 * y / HEIGHT, 100 + 20 * x / WIDTH], -1)
	for _ in range(14):
		left, top = rng.integers(0, WIDTH - 20), rng.integers(0, HEIGHT - 20)
		scene[top : top + rng.integers(6, 45), left : left + rng.integers(8, 60)] = rng.integers(30, 225, 3)
	return scene


def frame(scene, kind, seed):
	"""The scene with a small thing somewhere in its middle (kind None: with nothing), its light and the camera's noise."""
	rng = np.random.default_rng([seed, sorted(SHAPES).index(kind) if kind else len(SHAPES)])
	image = scene * rng.uniform(0.93, 1.07)
	if kind:
		r = HEIGHT * rng.uniform(0.15, 0.2)
		x, y = rng.uniform(0.35, 0.65) * WIDTH, rng.uniform(0.4, 0.6) * HEIGHT
		b, a = np.mgrid[0:HEIGHT, 0:WIDTH]
		thing = SHAPES[kind](a - x, b - y, r) & (np.maximum(abs(a - x), abs(b - y)) < 1.3 * r)
		image[thing] = np.array(COLOURS[kind]) + rng.normal(0, 10, 3)
	image = image + rng.normal(0, 4, image.shape)
	return bnnd.Picture.array(np.clip(image, 0, 255).astype(np.uint8))


def frames(scene, kind, n, start=0):
	return [frame(scene, kind, start + i) for i in range(n)]


class Scene(DaemonTest):
	def claimed(self, client, pictures):
		return sum(client.infer(p).known for p in pictures)

	def teach_none(self, client, pictures):
		with client.lesson() as lesson:
			for p in pictures:
				lesson.add(None, p)

	def test_other_things_are_claimed_half_as_often(self):
		before, after, own, empty = 0, 0, 0, 0
		for seed in range(3):
			scene = desk(seed)
			others = [p for kind in OTHERS for p in frames(scene, kind, ASKED)]
			daemon = self.daemon()
			with daemon.client() as client:
				client.learn(OURS, frames(scene, OURS, TAUGHT))
				before += self.claimed(client, others)
				self.teach_none(client, frames(scene, None, TAUGHT))
				self.assertTrue(client.status().scene)
				after += self.claimed(client, others)
				own += self.claimed(client, frames(scene, OURS, ASKED, 100))
				empty += self.claimed(client, frames(scene, None, ASKED, 100))
		self.assertGreater(before, len(OTHERS) * ASKED, "the test asks what is not easy")
		self.assertLess(after, before / 2)
		self.assertGreaterEqual(own, 3 * ASKED * 3 / 4)
		self.assertEqual(0, empty)

	@qemu_subset
	def test_it_comes_and_goes_with_none(self):
		"""Each change, its undo and a restart: the same answers to the last bit; status says what holds."""
		scene = desk(1)
		asked = [frame(scene, kind, 200) for kind in (OURS, *OTHERS, None)]
		daemon = self.daemon()
		with daemon.client() as client:

			def answers():
				return [answer_key(client.infer(p)) for p in asked]

			client.learn(OURS, frames(scene, OURS, 8))
			alone = answers()
			self.assertEqual((False, ""), (client.status().scene, client.status().no_scene))
			self.teach_none(client, frames(scene, None, 8))
			before_scene = answers()
			self.assertNotEqual(alone, before_scene)
			self.assertEqual((True, ""), (client.status().scene, client.status().no_scene))
			client.learn("cross", frames(scene, "cross", 5))
			client.undo()
			self.assertEqual(before_scene, answers())
			client.forget(none=True)
			self.assertEqual((alone, False), (answers(), client.status().scene))
			client.undo()
			self.assertEqual(before_scene, answers())
		_, out, _ = daemon.ctl("status")
		self.assertIn("one scene: what is known is decided with it taken away", out)
		self.assertIs(True, daemon.ctl_json("status")[1][0]["scene"])
		daemon.restart()
		with daemon.client() as client:
			self.assertEqual((before_scene, True), (answers(), client.status().scene))

	def test_status_says_why_there_is_none(self):
		daemon = self.daemon()
		with daemon.client() as client:
			noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
			mixed = [bnnd.Picture.array(image) for image in (noise, np.full_like(noise, 20))]
			self.teach_none(client, [*mixed, picture("stripes", 1), frame(desk(3), None, 0)])
			status = client.status()
			self.assertFalse(status.scene)
			self.assertRegex(status.no_scene, "too unlike to be one scene, so none is taken away: the mean cosine of two is [0-9.]+, not above 0.81")
			self.assertEqual("ready", status.state)
		for config, why in (("learner.keep: none", "learner.keep is none"), ("learner.preset: reference", "reference")):
			daemon = self.daemon(config=config + "\n")
			with daemon.client() as client:
				client.learn(OURS, pictures(OURS, 3))
				self.teach_none(client, frames(desk(2), None, 5))
				self.assertFalse(client.status().scene)
				self.assertIn(why, client.status().no_scene)
			_, out, _ = daemon.ctl("status")
			self.assertIn(why, out)

	def test_the_first_class_asks_for_the_scene(self):
		asks = "if the camera does not move, teach the empty scene, too: bnnctl learn --none FILE..."
		for config, said in (("", True), ("learner.keep: none\n", False), ("answers.refuse: never\n", False)):
			daemon = self.daemon(config=config)
			with daemon.client() as client:
				check = self.assertIn if said else self.assertNotIn
				check(asks, client.learn(OURS, pictures(OURS, 12)).hint)
				self.assertNotIn(asks, client.learn("cross", pictures("cross", 12)).hint)
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach_none(client, pictures("dots", 5))
			self.assertNotIn(asks, client.learn(OURS, pictures(OURS, 12)).hint)


if __name__ == "__main__":
	main()
