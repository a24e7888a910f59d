# SPDX-License-Identifier: MIT
"""Measures all that the learner must reach, in one run, and prints each beside its target.

  BNND_SHARED_DATA=... BNND_PUBLIC_SETS=... python3 -m tests.bench.learn.targets BUILD/tests/bench/learn/learn_bench
           MODEL.bnn OUT [NAME=VALUE]... [--points 5] [--today OUT] [--rule OUT] [--draws 5] [--report] [--scenes]
           [--cache DIR]

NAME=VALUE: settings of the learner (learner.h). OUT: a folder for tables, choice-SET.csv and others; what lies there already
is not measured again. --today: such a folder, of what is to be surpassed by --points on the mean; --rule: one of another rule
for *known* on the same features. Exit 1 when a target is missed. What could not be measured or compared is said.
"""

import csv
import pathlib
import subprocess
import sys

import numpy as np

from tests.bench.learn import cache, sets

SIZES = ((32, 33), (64, 65))
SHARES = (2, 5, 10, 15, 20, 30)
REPORT = ("fashion", "cifar100", "grocery-test", "trash")
FRAMES = ("black", "white", "blurred", "generic")


class Table:
	"""Rows of learn_bench's CSV, by set, case and method; shares in %."""

	def __init__(self, paths):
		self.rows, self.order = {}, []
		for path in paths:
			for row in csv.DictReader(pathlib.Path(path).read_text().splitlines()):
				if row["set"] != "mean":
					self.rows[row["set"], row["case"], row["by"]] = row
			self.order = list(dict.fromkeys(s for s, _, _ in self.rows))

	def __call__(self, measure, case, of="mean", by="ours"):
		if of == "mean":  # over the sets that the case could be made of
			values = [self(measure, case, s, by) for s in self.sets_of(case, by)]
			return np.mean([v for v in values if not np.isnan(v)] or [np.nan])
		row = self.rows.get((of, case, by))
		value = row.get(measure) if row else None
		return (1 if measure.startswith("auroc") else 100) * float(value) if value else np.nan

	def above(self, other, measure, case):
		"""What it has more than another table, on the mean of the sets that both have."""
		both = [s for s in self.sets_of(case) if other and s in other.sets_of(case)]
		return np.mean([self(measure, case, s) - other(measure, case, s) for s in both] or [np.nan])

	def sets_of(self, case, by="ours"):
		return [s for s in self.order if (s, case, by) in self.rows]

	def claimed_at(self, refused, case, of):
		"""Foreign claimed, thresholds moved so that `refused` % of the own are: a line between the measured shares and
		what the rule itself does."""
		points = [(s, self("claimed_at_%d" % s, case, of)) for s in SHARES]
		points.append((self("refused", case, of), self("claimed", case, of)))
		return np.interp(refused, *zip(*sorted(points), strict=True))


def of_folder(folder, name):
	"""The table of another run's OUT; None: there is none."""
	paths = sorted(pathlib.Path(folder).glob(name + "-*.csv")) if folder else []
	return Table(paths) if paths else None


class Targets:
	def __init__(self):
		self.missed = self.unmeasured = 0

	def line(self, name, value, least=None, most=None, form="%.1f", more=""):
		if np.isnan(value):
			self.unmeasured += 1
			verdict = "not measured"
		else:
			bad = (least is not None and value < least) or (most is not None and value > most)
			self.missed += bad
			verdict = "MISSED" if bad else "reached"
		bounds = " to ".join(form % b for b in (least, most) if b is not None)
		word = "" if least is not None and most is not None else ("at least " if most is None else "at most ")
		print("%-66s %8s   %-18s %s%s" % (name, form % value, word + bounds, verdict, more and "   (%s)" % more))


def worst(pairs):
	"""(name, value) of the least; nothing: nan."""
	return min(pairs, key=lambda p: p[1], default=("", np.nan))


# --- the targets -----------------------------------------------------------------------------------------------------


def right(t, mine, today, points):
	gain = mine.above(today, "right", "all-20")
	t.line("all classes, 20 a class: right, points above today's", gain, least=points)
	where, least = worst(
		[(s, mine("right", "all-20", s) - today("right", "all-20", s)) for s in mine.order] if today else []
	)
	t.line("  the set that gains least", least, least=-1, more=where)
	for n in (1, 2):
		case = "all-%d" % n
		both = [s for s in mine.sets_of(case, "class-means") if s in mine.sets_of(case)]
		gains = [mine("right", case, s) - mine("right", case, s, "class-means") for s in both]
		name = "%d a class: right, points above cosine class means" % n
		t.line(name, np.mean(gains or [np.nan]), least=-0.5)


def report(t, mine, before, points):
	gain = mine.above(before, "right", "all-20")
	more = "%.1f" % mine("right", "all-20")
	t.line("report sets, 20 a class: right, points above today's", gain, least=points, more=more)


def sizes(t, table):
	for a, b in SIZES:
		steps = [(s, table("right", "size-%d" % b, s) - table("right", "size-%d" % a, s)) for s in table.order]
		steps = [(s, x) for s, x in steps if not np.isnan(x)]
		where, step = max(steps, key=lambda p: abs(p[1]), default=("", np.nan))
		t.line("%d pictures a class against %d: right, points" % (b, a), abs(step), most=0.5, form="%.2f", more=where)


def many(t, table, joint):
	ours = table("right", "all-200", "cifar100-many")
	best = max((joint("right", "all-200", "cifar100-many", y) for y in ("logistic", "lda")), default=np.nan)
	more = "%.2f of %.2f" % (ours, best)
	t.line("CIFAR-100, all pictures one class at a time: % of J", 100 * ours / best, least=98.5, form="%.2f", more=more)


def unequal(t, mine):
	for s in mine.sets_of("unequal/1") + ["mean"]:
		loss = mine("right", "unequal-ones/1", s) - mine("right", "unequal/1", s)
		t.line("unequal counts, classes of one picture: points lost, " + s, loss, most=5)


def bursts(t, mine):
	for many, generic in (("one", 10), ("five", 20)):
		case = "burst-" + many
		t.line("burst of 20, %s: own refused" % many, mine("refused", case), most=15)
		t.line("  generic pictures claimed", mine("generic", case), most=generic)
		more = [
			mine("claimed", case, s) - mine.claimed_at(mine("refused", case, s), "frame-" + many, s)
			for s in mine.sets_of(case)
		]
		t.line(
			"  same set claimed, points above one frame's row where that refuses as many",
			np.mean(more) if more else np.nan,
			most=0,
		)


def one_picture(t, mine, today):
	for many, most in (("one", 10), ("five", 25)):
		case = many + "-1"
		for frame in FRAMES:
			t.line("one picture, %s: %s claimed" % (many, frame), mine(frame, case), most=most)
		t.line("  own refused", mine("refused", case), most=30)
		t.line("  AUROC above today's", mine.above(today, "auroc", case), least=0, form="%.3f")


def twenty(t, mine, rule):
	t.line("20 pictures, one class: own refused", mine("refused", "one-20"), least=3, most=9)
	for many in ("one", "five"):
		case = many + "-20"
		gains = (
			[(s, -mine("claimed_at_5", case, s) + rule("claimed_at_5", case, s)) for s in mine.order] if rule else []
		)
		where, least = worst(gains)
		name = "20 pictures, %s: foreign claimed at 5 %% refused, points above the rule before" % many
		t.line(name, -least, most=2, more=where)


def apart(t, mine):
	for many in ("all", "five", "one"):
		for measure in ("right", "refused"):
			name = "20 lessons of one against one of 20, %s: %s, points" % (many, measure)
			t.line(name, abs(mine(measure, "apart-" + many) - mine(measure, many + "-20")), most=3)


def scene(t, mine):
	for many in ("one", "five"):
		bare, taught = mine("claimed", "scene-bare-" + many), mine("claimed", "scene-none-" + many)
		name = "empty scene taught, %s: other objects claimed, %% of what is claimed without" % many
		t.line(name, 100 * taught / bare, most=50, more="%.1f, %.1f" % (taught, bare))
		t.line("  the empty scene claimed", mine("empty", "scene-none-" + many), most=1)


# --- measuring -------------------------------------------------------------------------------------------------------


class Run:
	def __init__(self, a):
		self.a, self.out = a, pathlib.Path(a.out)
		self.out.mkdir(parents=True, exist_ok=True)
		self.cache = cache.Cache(a.program, a.model, a.cache)

	def cases(self, name, words, *more, scenes=False):
		"""The table of OUT/name-SET.csv, those made that are not there."""
		paths = []
		for public_set in cache.sets_of(words):
			paths.append(self.out / ("%s-%s.csv" % (name, public_set.name)))
			if paths[-1].exists():
				continue
			made = paths[-1].with_suffix(".new")
			command = [self.a.program, "cases", self.a.model, str(made), *self.a.settings, *more, "--"]
			command.append(str(self.cache.of_set(public_set, scenes)))
			subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
			made.rename(paths[-1])
		return Table(paths)

	def joint(self):
		path = self.out / "joint-cifar100-many.csv"
		if not path.exists():
			made = path.with_suffix(".new")
			command = [self.a.program, "draws", "draws=1", "cases=all-200", "--"]
			command += [str(self.cache.of_set(s)) for s in cache.sets_of(["cifar100-many"])]
			draws = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
			command = [sys.executable, "-m", "tests.bench.learn.yardsticks", str(made), "logistic", "lda"]
			subprocess.run(command, check=True, input=draws)
			made.rename(path)
		return Table([path])


def arguments():
	p = cache.arguments(__doc__)
	p.add_argument("out")
	p.add_argument("settings", nargs="*")
	p.add_argument("--points", type=float, default=5)
	p.add_argument("--today")
	p.add_argument("--rule")
	p.add_argument("--draws", type=int, default=5)
	p.add_argument("--report", action="store_true")
	p.add_argument("--scenes", action="store_true", help="measure before a static scene, too")
	return p.parse_intermixed_args()


def main():
	a = arguments()
	run, t = Run(a), Targets()
	today, rule = (of_folder(folder, "choice") for folder in (a.today, a.rule))
	draws = "draws=%d" % a.draws
	mine = run.cases("choice", ["choice"], draws, scenes=a.scenes)
	print("%s, %s, %s; %s" % (run.cache.facts["name"], " ".join(a.settings), draws, sets.machine()))
	right(t, mine, today, a.points)
	if a.report:
		report(t, run.cases("report", REPORT, draws, "cases=all-20,one-20"), of_folder(a.today, "report"), a.points)
	sizes(t, run.cases("sizes", ["choice"], "draws=20", "cases=size", "by=ours"))
	many(t, run.cases("many", ["cifar100-many"], "draws=1", "cases=all-200", "by=ours"), run.joint())
	unequal(t, mine)
	bursts(t, mine)
	one_picture(t, mine, today)
	twenty(t, mine, rule)
	apart(t, mine)
	scene(t, mine)
	print("%d missed, %d not measured" % (t.missed, t.unmeasured))
	sys.exit(1 if t.missed else 0)


if __name__ == "__main__":
	main()
