# SPDX-License-Identifier: MIT
"""The figures in README.md, doc/FIGURES.md and models/ agree with each other and with what they are taken from: the
model of cycles, the cards, the networks."""

import pathlib
import re
import unittest

from tests.vectors.make_features import SHIPPED
from tools import cycles
from tools.bnnfile import read

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
ESTIMATE = "{:.1f} / {:.1f} ms"
# Of a card: taught, class means (not shown), the second-order head, joint.
CIFAR = r"^\| CIFAR-10 test, (20|1,000) a class \| [\d.]+ % \| ([\d.]+) % \| ([\d.]+) % \|$"
MULTIPLY_ADDS = r"^\| multiply-adds \| ([\d,]+) with floats, ([\d,]+) with bits \|$"
NUMBER = r"\d[\d,.]*\d|\d"


def estimates(model):
	"""Milliseconds: of all boards."""
	counts = cycles.count(model)
	return [cycles.milliseconds(counts, board) for board in cycles.BOARDS]


def million(text):
	return int(text.replace(",", "")) / 1e6


class Figures(unittest.TestCase):
	def test_cards(self):
		"""The cards say what the one model of cycles says, of every network that is shipped."""
		for name in SHIPPED:
			model = read(MODELS / f"{name}.bnn")
			for row in cycles.rows(model):
				self.assertIn(row, model.graph.card.text)

	def test_the_table_of_networks(self):
		"""It has each shipped network, the default first, with the figures of its card and of the model of cycles."""
		rows = re.findall(r"^\| \[`([^`]+)`\]\(([^)]+)\)(.*)$", (MODELS / "README.md").read_text(), re.M)
		self.assertEqual([(name, f"{name}.md") for name in SHIPPED], [row[:2] for row in rows])
		self.assertIn("the default", rows[0][2])
		for name, card, row in rows:
			text, model = (MODELS / card).read_text(), read(MODELS / f"{name}.bnn")
			self.assertIn(f"| {model.tensors[model.graph.input.tensor].shape[1]} |", row, name)
			cifar = {int(n.replace(",", "")): f"{head}, {joint}" for n, head, joint in re.findall(CIFAR, text, re.M)}
			self.assertIn(f"| {cifar[20]} / {cifar[1000]} % |", row, name)
			self.assertIn("| " + ESTIMATE.format(*estimates(model)[:2]) + " |", row, name)
			floats, bits = map(million, re.search(MULTIPLY_ADDS, text, re.M).groups())
			self.assertIn(f"| {floats:.1f} M / {bits:.0f} M |", row, name)

	def test_the_fastest_board(self):
		fives = [f"{estimates(read(MODELS / f'{name}.bnn'))[2]:.1f}" for name in SHIPPED]
		self.assertIn(f"a Pi 5: {' and '.join(fives)} ms", (MODELS / "README.md").read_text())

	def test_the_default(self):
		"""README and FIGURES.md say of the default network what its file says."""
		name = SHIPPED[0]
		zero, four, _ = estimates(read(MODELS / f"{name}.bnn"))
		row = f"| {ESTIMATE.format(zero, four)}, or up to {cycles.LCE_SHARE:.1f} times that |"
		self.assertIn(row, (ROOT / "README.md").read_text())
		card = (MODELS / f"{name}.md").read_text()
		floats, bits = map(million, re.search(MULTIPLY_ADDS, card, re.M).groups())
		figures = " ".join((ROOT / "doc" / "FIGURES.md").read_text().split())
		self.assertIn(f"Default network {name}: {floats:.1f} M float and {bits:.0f} M binary multiply-adds", figures)

	def test_the_short_table(self):
		"""README's figures are some of FIGURES.md's; the estimate is held above."""
		section = (ROOT / "README.md").read_text().split("\n## Figures\n")[1]
		known = set(re.findall(NUMBER, (ROOT / "doc" / "FIGURES.md").read_text()))
		measured = re.findall(r"^\| (?!what |--- )([^|]+) \| ([^|]+) \|$", section, re.M)
		self.assertGreater(len(measured), 4)
		for what, value in measured:
			if "estimate" not in what:
				self.assertLessEqual(set(re.findall(NUMBER, value)), known, what)


if __name__ == "__main__":
	unittest.main(verbosity=0)
