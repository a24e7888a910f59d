# SPDX-License-Identifier: MIT
"""What each part of the rule for *known* does: variants of its constants, in numpy, over the cache's files.

  python3 -m tests.bench.learn.known_variants models/answers.json photo96-5 CACHE/*-FEATURES-*.set [--draws 2] [--by-set]

Prints a table for doc/KNOWN.md: own refused / other things of the set claimed / other photographs claimed / blank frames
claimed, %, the mean of the sets. Rows are class means and cosines rank, so that the shipped rule's figures differ a little from
those of learn_bench, which trains and ranks as the daemon does; what a variant changes is seen here in a minute.
"""

import argparse
import json

import numpy as np

from tests.bench.learn import cache
from tools import known

REFUSE = 2  # the default strictness, of five
ASKED, FOREIGN, GENERIC = 60, 120, 200  # pictures a question of a lesson asks, at most
CLASSES = 10  # of a set: taught alone, and the first of several
VARIANTS = {
	"as it ships": {},
	"no near-duplicates": {"near_duplicate": 2.0},
	"theta 0.70": {"near_duplicate": 0.70},
	"theta 0.76": {"near_duplicate": 0.76},
	"theta 0.85": {"near_duplicate": 0.85},
	"theta 0.90": {"near_duplicate": 0.90},
	"a 0.5": {"pair_weight": 0.5},
	"a 8": {"pair_weight": 8.0},
	"w 1": {"deviation_weight": 1.0},
	"h 0": {"few_pictures": 0.0},
	"rho_0 0.12": {"pair_cosine": 0.12},
	"class_share 0": {"class_share": 0.0},
	"class_share 0.9": {"class_share": 0.9},
	"no blank row": {"blank": []},
}
CASES = {
	"20": lambda s, c, rng: [s.some(c, rng, 20)],
	"5": lambda s, c, rng: [s.some(c, rng, 5)],
	"1": lambda s, c, rng: [s.some(c, rng, 1)],
	"burst": lambda s, c, rng: [s.burst(c, rng)],
	"3 bursts of 10": lambda s, c, rng: [np.concatenate([s.burst(c, rng, k)[:10] for k in range(3)])],
	"burst of 10 and 5": lambda s, c, rng: [np.append(s.burst(c, rng)[:10], s.some(c, rng, 5))],
	"20 lessons of one": lambda s, c, rng: list(s.some(c, rng, 20)[:, None]),
}
BLANK = (cache.BLURRED, cache.BLACK, cache.WHITE)


class Set:
	"""A file of the cache, by what its rows are."""

	def __init__(self, path):
		self.rows, q = cache.read(path)
		self.x = known.unit(q.astype("f4"))
		kind, may = self.rows[:, 1], self.rows[:, 2]
		self.name = path.rsplit("/", 1)[-1].split("-")[0]
		self.teach, self.ask = ((kind == cache.PICTURE) & ((may & bit) > 0) for bit in (cache.TEACH, cache.ASK))
		self.frames = kind == cache.FRAME
		self.generic, self.blank = kind == cache.GENERIC, np.isin(kind, BLANK)
		self.classes = [
			c for c in np.unique(self.rows[self.frames, 0]) if (self.ask & (self.rows[:, 0] == c)).sum() > 3
		]

	def of(self, c, which):
		return np.flatnonzero(which & (self.rows[:, 0] == c))

	def some(self, c, rng, n):
		"""n pictures that may be taught, of fewer than 2 n half."""
		of_class = rng.permutation(self.of(c, self.teach))
		return of_class[: min(n, max(1, len(of_class) // 2))]

	def burst(self, c, rng, number=0):
		"""The frames of one of its bursts."""
		frames = self.of(c, self.frames)
		photographs = np.unique(self.rows[frames, 3])
		return frames[self.rows[frames, 3] == photographs[number % len(photographs)]]

	def shown(self, taught):
		"""Indices of the pictures that these are, or are frames of."""
		return np.where(self.rows[taught, 1] == cache.FRAME, self.rows[taught, 3], taught)


def learn(s, lessons, theta):
	row, likeness = known.first_lesson(s.x[lessons[0]], theta)
	for lesson in lessons[1:]:
		row, likeness = known.further_lesson(row, likeness, s.x[lesson], theta)
	return row, likeness


def ask(s, classes, case, rng, constants):
	"""(own refused, same set claimed, generic claimed, blank claimed) of one lesson of each of these classes."""
	lessons = [CASES[case](s, c, rng) for c in classes]
	learnt = [learn(s, of_class, constants["near_duplicate"]) for of_class in lessons]
	rows = np.stack([row for row, _ in learnt])
	t = known.thresholds([x for _, x in learnt], rows @ rows.T, constants, constants["deviations"][REFUSE])
	taught = s.shown(np.concatenate([lesson for of_class in lessons for lesson in of_class]))
	mine = np.isin(s.rows[:, 0], classes)

	def share(which, n):
		x = s.x[rng.permutation(np.setdiff1d(np.flatnonzero(which), taught))[:n]]
		cosine = x @ rows.T
		best = cosine.argmax(1)
		greatest = cosine[np.arange(len(x)), best]
		return ((greatest >= t[best]) & ~known.is_blank(x, greatest, constants)).mean()

	asked = [(s.ask & mine, ASKED * len(classes)), (s.ask & ~mine, FOREIGN), (s.generic, GENERIC), (s.blank, GENERIC)]
	own, *others = (share(*a) for a in asked)
	return 1 - own, *others


def measure(s, several, case, constants, draws):
	found = []
	for draw in range(draws):
		order = np.random.default_rng([draw, 1]).permutation(s.classes)[:CLASSES]
		most = min(5, len(order) - 1)
		groups = [np.roll(order, -i)[:most] for i in range(0, len(order), 2)] if several else order[:, None]
		for i, classes in enumerate(groups):
			found.append(ask(s, classes, case, np.random.default_rng([draw, 2, i]), constants))
	return np.mean(found, 0)


def cell(values):
	return " / ".join(f"{100 * v:.0f}" for v in values)


def main():
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("answers")
	p.add_argument("name")
	p.add_argument("sets", nargs="+")
	p.add_argument("--draws", type=int, default=1)
	p.add_argument("--by-set", action="store_true", help="the shipped constants, set by set")
	a = p.parse_args()
	with open(a.answers) as f:
		shipped = json.load(f)[a.name]
	sets = [Set(path) for path in a.sets]
	for several in (False, True):
		print(f"\n| {'five classes' if several else 'one class'} | " + " | ".join(CASES) + " |")
		print("| --- |" + " --- |" * len(CASES))
		for name, change in list(VARIANTS.items())[: 1 if a.by_set else None]:
			constants = {**shipped, **change}
			found = np.array([[measure(s, several, case, constants, a.draws) for case in CASES] for s in sets])
			for s, of_set in zip(sets, found, strict=True) if a.by_set else ():
				print(f"| {s.name} | " + " | ".join(map(cell, of_set)) + " |")
			print(f"| {name} | " + " | ".join(map(cell, found.mean(0))) + " |", flush=True)


if __name__ == "__main__":
	main()
