# SPDX-License-Identifier: MIT
"""Ten one-class lessons of 20 pictures through lib/image, lib/bnn and lib/learn, and what they are measured against.

  python3 -m tests.bench.learn.accuracy BUILD/tests/bench/learn/learn_bench models/default.bnn
           [--set cifar10|fashion] [--seeds 5] [--cache DIR]

cifar10 (the training part, BNND_SHARED_DATA) is the tuning set; fashion is the report set and decides nothing. Prints
a table, the mean over the seeds with its standard error, and what must be reached; exit 1 when that is missed.
"""

import sys
import tempfile

import numpy as np

from tests.bench.learn import sets, yardsticks

TAUGHT = 20
WITHIN_POINTS, OF_JOINT = 1.0, 0.92
SEEN_AGAIN_STEPS = 1000
FLOAT = "float/float"
SETTINGS = [("default " + w, dict(width=w)) for w in ("8/16", FLOAT, "8/32", "8/8")]
SETTINGS += [("default 8/16, " + m, dict(width="8/16", method=m)) for m in ("metric", "means")]
SETTINGS += [("reference " + w, dict(preset="reference", width=w, classes_total=sets.CLASSES)) for w in ("8/16", FLOAT)]


def lessons_of(order, taught, n_lessons, rng):
	"""The classes in order, split over n_lessons; the pictures of a lesson shuffled."""
	out = []
	for group in np.array_split(order, n_lessons):
		pairs = [(c, i) for c in group for i in taught[c]]
		out.append([pairs[j] for j in rng.permutation(len(pairs))])
	return out


class Run:
	"""One set, its q, and each seed's plan."""

	def __init__(self, a, backbone, scratch, taught=TAUGHT):
		pictures, _, asked, self.asked_labels, plans = sets.draws(a.set, a.seeds, taught)
		self.learner = sets.Learner(a.program, scratch)
		whole = a.set != "fashion"  # taught and asked pictures come from one part
		index = np.unique(np.concatenate([t for _, taught, _ in plans for t in taught]))  # those taught in any seed
		index = np.arange(len(pictures)) if whole else index
		self.q = backbone.q(a.set + "-taught", pictures[index])
		self.asked_q = self.q if whole else backbone.q(a.set + "-asked", asked)
		self.plans = [(order, [np.searchsorted(index, t) for t in taught], ask) for order, taught, ask in plans]

	def accuracy(self, n_lessons, pictures=None, **settings):
		"""Accuracies a seed, and the report's rows of all of them. pictures: of each class, the first so many alone."""
		right, reports = [], []
		for seed, (order, taught, ask) in enumerate(self.plans):
			lessons = lessons_of(
				order, [t[:pictures] for t in taught], n_lessons, np.random.default_rng([seed, n_lessons])
			)
			ids, _, _, report = self.learner.run(self.q, lessons, self.asked_q[ask], **settings)
			right.append((ids - 1 == self.asked_labels[ask]).mean())
			reports.append(report)
		return np.array(right), np.concatenate(reports)

	def yardstick(self, f, pictures=None):
		right = []
		for _, taught, ask in self.plans:
			taught = [t[:pictures] for t in taught]
			y = np.repeat(np.arange(len(taught)), [len(t) for t in taught])
			right.append((f(self.q[np.concatenate(taught)], y, self.asked_q[ask]) == self.asked_labels[ask]).mean())
		return np.array(right)

	def lost(self, **settings):
		"""Shares of lost updates in a first lesson of one class, and over 1,000 steps on ten classes seen again, with
		the accuracy before and after those steps and how many there were."""
		order, taught, ask = self.plans[0]
		rng = np.random.default_rng(0)
		first, again = lessons_of(order, taught, sets.CLASSES, rng), lessons_of(order, taught, 1, rng)
		right = []

		def teach(lessons):
			ids, _, _, report = self.learner.run(self.q, lessons, self.asked_q[ask], **settings)
			right.append((ids - 1 == self.asked_labels[ask]).mean())
			return report

		before, steps = teach(first), teach(first + again)[-1, 2]
		right.pop()
		later = teach(first + again * int(np.ceil(SEEN_AGAIN_STEPS / steps)))[len(first) :].sum(0)
		return before[0, 4] / max(1, before[0, 3]), later[4] / max(1, later[3]), right[0], right[-1], int(later[2])


def cell(values):
	return "%6.2f +- %.2f" % (100 * values.mean(), 100 * values.std(ddof=1) / len(values) ** 0.5)


def main():
	a = sets.arguments(__doc__)
	with tempfile.TemporaryDirectory() as scratch:
		backbone = sets.Backbone(a.program, a.model, a.cache)
		run = Run(a, backbone, scratch)
		print("%s, %s, kernels %s; %s" % (a.set, backbone.name, backbone.kernels, sets.machine()))
		print(
			"ten lessons of one class, %d pictures each, %d seeds, %d pictures asked a seed; accuracy in %%"
			% (TAUGHT, a.seeds, len(run.plans[0][2]))
		)
		joint = run.yardstick(lambda q, y, asked: yardsticks.logistic(q, y, asked)[0])
		print("\n%-32s %s" % ("joint: logistic regression, L2", cell(joint)))
		print("%-32s %s" % ("cosine class means", cell(run.yardstick(yardsticks.class_means))))
		print(
			"\n%-24s %-15s %-9s %-8s %-15s %-15s %s"
			% (
				"",
				"10 lessons of 1",
				"- float",
				"of joint",
				"5 lessons of 2",
				"1 lesson of 10",
				"ms a lesson of 1 / 10",
			)
		)
		results = {}
		for name, settings in SETTINGS:
			ten, report = run.accuracy(10, **settings)
			five, one = run.accuracy(5, **settings)[0], run.accuracy(1, **settings)
			results[name] = ten
			results[name + " cosine"] = report[:, 6]
			results[name + " us"] = np.median(report[:, 5]), np.median(one[1][:, 5])
			results[name + " more"] = five, one[0]
		for name, _ in SETTINGS:
			ten, (five, one), us = results[name], results[name + " more"], results[name + " us"]
			floats = results[name.split()[0] + " " + FLOAT]
			print(
				"%-24s %s  %+6.2f    %5.1f %%  %s  %s  %.2f / %.1f"
				% (
					name,
					cell(ten),
					100 * (ten - floats).mean(),
					100 * ten.mean() / joint.mean(),
					cell(five),
					cell(one),
					us[0] / 1e3,
					us[1] / 1e3,
				)
			)
		cosines = results["default 8/16 cosine"]
		print("\na one-class row and its class mean: cosine %.4f (least %.4f)" % (cosines.mean(), cosines.min()))
		if a.set == "cifar10":
			print(
				"\n%-24s %-17s %-17s %s"
				% ("updates lost, %", "first lesson of 1", "classes seen again", "accuracy before, after")
			)
			trained = [s for s in SETTINGS if "method" not in s[1]]  # what ranks does not touch lessons
			for name, settings in trained + [
				("reference 8/8", dict(SETTINGS[-1][1], width="8/8")),
				("reference 8/32", dict(SETTINGS[-1][1], width="8/32")),
			]:
				first, later, before, after, steps = run.lost(**settings)
				print(
					"%-24s %10.3f %17.3f %15.2f %6.2f (%d steps)"
					% (name, 100 * first, 100 * later, 100 * before, 100 * after, steps)
				)
	behind = 100 * (results["default " + FLOAT] - results["default 8/16"]).mean()
	share = results["default 8/16"].mean() / joint.mean()
	print(
		"\nmust: 8/16 within %g point of float: %.2f behind; at least %.0f %% of joint: %.1f %%"
		% (WITHIN_POINTS, behind, 100 * OF_JOINT, 100 * share)
	)
	sys.exit(0 if behind <= WITHIN_POINTS and share >= OF_JOINT else 1)


if __name__ == "__main__":
	main()
