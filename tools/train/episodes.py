# SPDX-License-Identifier: MIT
"""Episodes that fit the constants of Answers: lessons of few pictures, and questions about them and about other classes.

The pictures should be of classes that the network was not trained on. What was trained on is taken out, classes of the
same names are said, and so are classes that are too small.
"""

import numpy as np

from tools import fit_answers
from tools.datasets import quantize
from tools.train import pictures

EPISODES = 2000
REPORT_EPISODES = 500
REPORT_SEED = 2
TAUGHT_LEAST = fit_answers.FEWEST + 1  # of two pictures each is as far from the other: no spread to fit sd_0 to
CLASS_LEAST = 2 * TAUGHT_LEAST  # pictures of a class: as many to teach as to ask
TRAINED_MOST = 0.1  # share of the pictures that may be of the training before it looks like a mistake
# Rooted and whitened features keep frames of a burst farther apart than what fit_answers.HELD was chosen on, and the
# second-order head tells less of them; both as lib/bnn/model.c has them for older files, whose features are such.
HELD = {**fit_answers.HELD, "near_duplicate": 0.70, "metric_temperature": 600.0}
NAMED_MOST = 5  # classes that a sentence lists


def listed(names):
	return ", ".join(names[:NAMED_MOST]) + f" and {len(names) - NAMED_MOST} more" * (len(names) > NAMED_MOST)


def of_other_classes(source, others, training):
	"""(others without what was trained on, names of its classes that were trained). training: the training part."""
	trained = np.isin(others.keys, training.keys)
	if trained.mean() > TRAINED_MOST:
		raise SystemExit(
			f"--episodes {source}: {trained.sum()} of its {len(others)} pictures were trained on; give pictures "
			"of other classes, or leave --episodes out: then the held-out pictures serve"
		)
	if trained.any():
		print(f"passed over: {trained.sum()} pictures of {source} that were trained on")
	same = sorted(set(others.classes) & set(training.classes)) if others.named and training.named else []
	if same:
		print(
			f"{source}: {listed(same)} were trained, so this is surer of them than of what it never saw; the card says so"
		)
	return others.some(np.flatnonzero(~trained)), same


def large_enough(asked, source):
	"""asked without the classes that are too small to teach and ask about."""
	counts = np.bincount(asked.y, minlength=len(asked.classes))
	small = [asked.classes[c] for c in np.flatnonzero((counts > 0) & (counts < CLASS_LEAST))]
	n = int((counts >= CLASS_LEAST).sum())
	if n < pictures.CLASSES_LEAST:
		raise SystemExit(
			f"{source}: episodes need two classes with {CLASS_LEAST} pictures each at least, here "
			f"{'is one' if n == 1 else 'is none'}: give --episodes a folder of other classes that has them"
		)
	if small:
		print(f"not in the episodes: {listed(small)}, with fewer than {CLASS_LEAST} pictures each in {source}")
	return asked.some(np.flatnonzero(counts[asked.y] >= CLASS_LEAST))


def sizes(y):
	"""What lessons and questions the smallest class leaves room for: {classes, pictures, n_asked} of fit_answers."""
	counts = np.bincount(y)
	counts = counts[counts > 0]
	least = int(counts.min())
	taught = min(fit_answers.PICTURES_TAUGHT[1], least // 2)
	return {
		"classes": (1, min(fit_answers.CLASSES_TAUGHT[1], len(counts) - 1)),
		"pictures": (1, taught),
		"n_asked": min(fit_answers.N_ASKED, least - taught),
	}


def fit(h, y):
	"""(constants, what they do on other episodes of the same pictures)."""
	asked = fit_answers.Labelled(quantize(h), np.unique(y, return_inverse=True)[1])
	size = sizes(asked.y)
	constants = fit_answers.fit([asked], EPISODES, held=HELD, **size)
	draw = fit_answers.Episodes(asked, REPORT_SEED, size["n_asked"], HELD["near_duplicate"])
	lessons = list(draw.many(REPORT_EPISODES, size["classes"], size["pictures"]))
	shares = []
	for share in fit_answers.SHARES:
		known, foreign = (np.concatenate(m) for m in zip(*(e.margins(share, constants) for e in lessons), strict=True))
		shares.append((float((known < 0).mean()), float((foreign >= 0).mean())))
	right = float(np.mean([(e.known.argmax(1) == e.label).mean() for e in lessons]))
	return constants, {"sizes": size, "shares": shares, "right": right}
