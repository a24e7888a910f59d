# SPDX-License-Identifier: MIT
"""Lessons of one picture more or less: does accuracy step where a minibatch is full?

  python3 -m tests.bench.learn.sizes BUILD/tests/bench/learn/learn_bench models/default.bnn
           [--set cifar10|cifar100|fashion] [--seeds 20] [--cache DIR]

The first n pictures of each class, n around one and two minibatches, in lessons of one, two and ten classes; the asked
pictures are the same for every n. Exit 1 when accuracy changes by more than 0.5 points for one picture more, when it
falls by more than that from one size to the next, or when lessons of one class, whose rows point along the class means,
gain more or less than those by more than that.
"""

import sys
import tempfile

import numpy as np

from tests.bench.learn import accuracy, sets, yardsticks

SIZES = (20, 31, 32, 33, 40, 63, 64, 65)
STEP_MAX_POINTS = 0.5
OF_CLASSES = (1, 2, 10)  # classes a lesson


def line(name, points, form="%7.2f"):
	print("%-34s" % name + "".join(form % p for p in points), flush=True)


def main():
	a = sets.arguments(__doc__, more_sets=("cifar100",), seeds=20)
	worst = 0.0
	with tempfile.TemporaryDirectory() as scratch:
		backbone = sets.Backbone(a.program, a.model, a.cache)
		run = accuracy.Run(a, backbone, scratch, max(SIZES))
		classes = len(run.plans[0][1])
		print("%s, %s, kernels %s; %s" % (a.set, backbone.name, backbone.kernels, sets.machine()))
		print(
			"%d classes, %d seeds, %d pictures asked a seed; accuracy in %%" % (classes, a.seeds, len(run.plans[0][2]))
		)
		line("pictures a class", SIZES, "%7d")
		means = np.array([100 * run.yardstick(yardsticks.class_means, n).mean() for n in SIZES])
		line("cosine class means", means)
		one_more = np.diff(SIZES) == 1
		for k in OF_CLASSES:
			right = np.array([100 * run.accuracy(classes // k, n)[0].mean() for n in SIZES])
			steps, beside = np.diff(right), np.diff(right - means)
			bad = np.where(one_more, np.abs(steps), np.maximum(-steps, np.abs(beside) if k == 1 else 0))
			worst = max(worst, bad.max())
			line("lessons of %d class%s" % (k, "" if k == 1 else "es"), right)
			line("  step", [0, *steps], "%+7.2f")
			line("  less that of class means", [0, *beside], "%+7.2f")
	print("\nmust: no step above %g points: %.2f" % (STEP_MAX_POINTS, worst))
	sys.exit(0 if worst <= STEP_MAX_POINTS else 1)


if __name__ == "__main__":
	main()
