# SPDX-License-Identifier: MIT
"""What is committed below tests/vectors and tests/fuzz/corpus is what its makers make today, byte for byte.

The tiny models and the features are with the tests of the tools, which need the same program (test_tools.Reproduction);
bnn/drawn-*.bin come from the training code's golden files, which are not in this tree.
"""

import re
import unittest

from PIL import features

from tests.fuzz import make_corpus
from tests.vectors import make_image, make_learn, make_metric, make_scene, make_wire

ENCODERS = {name: features.version(name) for name in make_image.ENCODERS}
NEEDS_ENCODERS = f"needs the encoders that the pictures were made with: {make_image.ENCODERS}, not {ENCODERS}"
PROTOCOL = make_wire.ROOT / "proto" / "PROTOCOL.md"


class Vectors(unittest.TestCase):
	def check(self, made):
		self.assertTrue(made)
		for path, data in made.items():
			with self.subTest(path=str(path)):
				self.assertTrue(path.exists(), "is not committed")
				self.assertTrue(data == path.read_bytes(), "is not what its maker makes")

	def test_learn(self):
		self.check(make_learn.files() | make_metric.files() | make_scene.files())

	def test_wire(self):
		"""The golden frames, made by a second implementation of protobuf; and none that the table lacks."""
		made = make_wire.files()
		self.check(made)
		self.assertEqual(set(make_wire.FOLDER.glob("*.hex")), set(made))

	def test_protocol_shows_the_same_bytes(self):
		frames = {name: data for name, _, data in make_wire.frames()}
		shown = re.findall(r"`([a-z-]+)\.hex`[^\n]*\n+```\n(.*?)```", PROTOCOL.read_text(), re.S)
		self.assertGreaterEqual(len(shown), 12)
		for name, block in shown:
			with self.subTest(name=name):
				self.assertIn(name, frames)
				data = bytes.fromhex("".join(re.sub(r"#.*", "", line) for line in block.splitlines()))
				self.assertEqual(data.hex(" ", -4), frames[name].hex(" ", -4))

	@unittest.skipUnless(ENCODERS == make_image.ENCODERS, NEEDS_ENCODERS)
	def test_image(self):
		self.check(make_image.files())

	def test_corpora(self):
		"""The seeds of the fuzzers; pictures among them only where the encoders are the same."""
		made = make_corpus.files()
		self.assertEqual(set(make_corpus.HERE.glob("corpus/*/*.seed")), {p for p in made if p.suffix == ".seed"})
		if ENCODERS != make_image.ENCODERS:
			made = {path: data for path, data in made.items() if path.parent.name != "image"}
		self.check(made)


if __name__ == "__main__":
	unittest.main(verbosity=2)
