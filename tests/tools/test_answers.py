# SPDX-License-Identifier: MIT
"""The constants of *known* in a model file: written, read back, and refused where they cannot be."""

import pathlib
import unittest

from tools.bnnfile import BadModel, check, read
from tools.bnnfile.format import parse, serialize

TINY = pathlib.Path(__file__).resolve().parents[1] / "vectors" / "models" / "tiny.bnn"


def say(graph, cosines=(), **changes):
	"""The graph says all of them, and these instead of a half."""
	del graph.answers.unknown_cosine[:]
	graph.answers.unknown_cosine.extend(cosines)
	for name, value in (dict.fromkeys(check.KNOWN, 0.5) | changes).items():
		setattr(graph.answers, name, value)


class Answers(unittest.TestCase):
	def setUp(self):
		self.model = read(TINY)
		self.d = self.model.tensors[self.model.output("features")].shape[2]

	def refuse(self, words, **changes):
		model = read(TINY)
		say(model.graph, **changes)
		with self.assertRaisesRegex(BadModel, words):
			parse(serialize(model))

	def test_they_are_read_back(self):
		blank = bytes(i % 100 for i in range(self.d))
		say(self.model.graph, near_duplicate=0.75, blank=blank, blank_cosine=0.45)
		blob = serialize(self.model)
		self.assertEqual(blob[8:12], bytes([1, 0, 1, 0]))
		answers = parse(blob).graph.answers
		self.assertEqual((0.75, 0.5, blank), (answers.near_duplicate, answers.class_share, answers.blank))

	def test_what_is_refused(self):
		d = self.d
		for name, (largest, zero) in check.KNOWN.items():
			for value in [-0.5] + ([] if zero else [0.0]) + ([2.0 * largest] if largest < 1e9 else []):
				self.refuse(f"{name} is {value}", **{name: value})
			self.refuse(f"{name} is not finite", **{name: float("nan")})
		self.refuse("cosines of unknown", cosines=(0.1, 0.2, 0.3, 0.4, 0.5))
		self.refuse("blank without", blank_cosine=0.5)
		self.refuse("no row of the features", blank=bytes(d), blank_cosine=0.5)
		self.refuse("no row of the features", blank=b"\x80" + bytes(d - 1), blank_cosine=0.5)
		self.refuse("no row of the features", blank=b"\x01" * (d + 1), blank_cosine=0.5)
		self.refuse("blank_cosine is 2", blank=b"\x01" * d, blank_cosine=2)

	def test_all_of_them_or_none(self):
		self.model.graph.answers.near_duplicate = 0.7
		with self.assertRaisesRegex(BadModel, "answers lacks pair_cosine"):
			parse(serialize(self.model))
		self.model = read(TINY)
		self.model.graph.answers.blank_cosine = 0.5
		with self.assertRaisesRegex(BadModel, "blank without"):
			parse(serialize(self.model))


if __name__ == "__main__":
	unittest.main(verbosity=2)
