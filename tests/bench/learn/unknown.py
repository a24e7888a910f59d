# SPDX-License-Identifier: MIT
"""One class of 20 pictures taught, nothing else: how much of its own is refused, how much of the rest is claimed.

  python3 -m tests.bench.learn.unknown BUILD/tests/bench/learn/learn_bench models/default.bnn
           [--set cifar10|fashion] [--seeds 5] [--cache DIR]

Each of the ten classes alone, in each seed, for each of the five shares that the model's constants were fitted for,
and the area under the ROC curve of the cosine. Exit 1 when more than 15 % of the own are refused at 5 %.
"""

import sys
import tempfile

import numpy as np

from tests.bench.learn import accuracy, sets, yardsticks

SHARES = (0.01, 0.02, 0.05, 0.10, 0.20)
DEFAULT_SHARE, OWN_REFUSED_MAX = 0.05, 0.15


def main():
	a = sets.arguments(__doc__)
	with tempfile.TemporaryDirectory() as scratch:
		backbone = sets.Backbone(a.program, a.model, a.cache)
		run = accuracy.Run(a, backbone, scratch)
		refused = np.zeros((sets.CLASSES, a.seeds, len(SHARES)))
		claimed, area = np.zeros_like(refused), np.zeros((sets.CLASSES, a.seeds))
		for seed, (_, taught, ask) in enumerate(run.plans):
			for c in range(sets.CLASSES):
				own = run.asked_labels[ask] == c
				for k in range(len(SHARES)):
					_, cosine, threshold, _ = run.learner.run(
						run.q, [[(c, i) for i in taught[c]]], run.asked_q[ask], **backbone.constants(k)
					)
					refused[c, seed, k] = (cosine[own] < threshold[own]).mean()
					claimed[c, seed, k] = (cosine[~own] >= threshold[~own]).mean()
				area[c, seed] = yardsticks.auroc(cosine[own], cosine[~own])
	print("%s, %s, kernels %s; %s" % (a.set, backbone.name, backbone.kernels, sets.machine()))
	print(
		"one class of %d pictures taught alone, mean of %d classes and %d seeds"
		% (accuracy.TAUGHT, sets.CLASSES, a.seeds)
	)
	print("%-34s" % "answers.refuse" + "".join("%8.0f %%" % (100 * s) for s in SHARES))
	print("%-34s" % "deviations" + "".join("%10.4f" % s for s in backbone.deviations))
	print("%-34s" % "own refused" + "".join("%8.1f %%" % (100 * x) for x in refused.mean((0, 1))))
	print("%-34s" % "  of the class with the most" + "".join("%8.1f %%" % (100 * x) for x in refused.mean(1).max(0)))
	print("%-34s" % "foreign claimed" + "".join("%8.1f %%" % (100 * x) for x in claimed.mean((0, 1))))
	print("%-34s" % "  by the class with the most" + "".join("%8.1f %%" % (100 * x) for x in claimed.mean(1).max(0)))
	print("AUROC %.3f (classes from %.3f to %.3f)" % (area.mean(), area.mean(1).min(), area.mean(1).max()))
	own = refused.mean((0, 1))[SHARES.index(DEFAULT_SHARE)]
	print("\nmust: at most %.0f %% of the own refused at the default: %.1f %%" % (100 * OWN_REFUSED_MAX, 100 * own))
	sys.exit(0 if own <= OWN_REFUSED_MAX else 1)


if __name__ == "__main__":
	main()
