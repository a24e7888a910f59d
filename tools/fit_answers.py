# SPDX-License-Identifier: MIT
"""Fits the constants of Answers of a model, and prints what they do (doc/LEARNER.md, "Unknown"; doc/KNOWN.md).

  python3 -m tools.fit_answers MODEL.bnn [--engine bnnd-features] [--features CACHE.npz | --sets FILE.set...]
           [--write models/answers.json NAME]

Episodes: 1 to 8 classes are taught with 1 to 20 pictures each, the other classes are foreign. Rows are class means. On
CIFAR-10's training part (BNND_SHARED_DATA), or on the sets that tests.bench.learn.cache makes of MODEL, which then count
alike. Two seeds: one fits, the other reports.

k of a share refuses that share of the pictures of a class that is taught alone with 5 to 20 pictures. sd_0 is the
deviation within classes of 20; rho_0 lets a class of one picture claim GENERIC_CLAIMED of the pictures of anything else
that the sets come with, or where they have none refuse SINGLE_REFUSED of its own, which comes to the same on CIFAR-10. T
minimises the log-loss of softmax over {T s_c} and {T t_c of the best}, with the picture's class, or unknown, as the answer.
The blank row is the mean of a black, a white and strongly blurred pictures. HELD was chosen on the choice sets with bursts;
doc/KNOWN.md has the tables.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import sys

import numpy as np
from PIL import Image, ImageFilter

from tools import datasets, known
from tools.bnnfile import read

SHARES = (0.01, 0.02, 0.05, 0.10, 0.20)
DEFAULT_SHARE = 0.05
GENERIC_CLAIMED, SINGLE_REFUSED = 0.095, 0.16
HELD = {
	"near_duplicate": 0.80,
	"pair_weight": 3.0,
	"class_share": 0.6,
	"few_pictures": 2.0,
	"deviation_weight": 4.0,
	"metric_temperature": 350.0,
	"scene_share": 0.75,
	"scene_cosine": 0.9,
}
BLANK_COSINE = 0.45
BLURRED = 0.12  # radius, of the side: only light and colour are left
N_BLURRED = 100
N_EPISODES = 4000
N_ASKED = 40  # known pictures an episode, and as many foreign ones
CLASSES_TAUGHT = (1, 8)
PICTURES_TAUGHT = (1, 20)
FEWEST = 2  # pictures of a class that has deviations
SEVERAL = 5  # pictures from which on they say more than sd_0
LEAST_DEVIATION = 0.01
ROUNDS = 4  # k and rho_0 depend on one another, but little
DIGITS = 4  # constants are rounded: the last digits are noise


@dataclasses.dataclass
class Labelled:
	"""Features of a set's pictures, their classes from 0 on, and which may be taught and which asked."""

	q: np.ndarray
	y: np.ndarray
	teach: np.ndarray = None
	ask: np.ndarray = None
	name: str = ""
	generic: np.ndarray = None  # q of pictures of anything else

	def __post_init__(self):
		self.x = known.unit(self.q.astype("f4"))
		self.generic_x = None if self.generic is None else known.unit(self.generic.astype("f4"))
		either = np.ones(len(self.y), bool)
		self.teach, self.ask = (either if may is None else may for may in (self.teach, self.ask))


class Lesson:
	"""What an episode gives: cosines of known pictures (N x C) and their classes, of foreign ones, what each class says
	of itself, and the cosines of the rows with one another."""

	def __init__(self, known_cosines, label, foreign, likeness, rows):
		self.known, self.label, self.foreign = known_cosines, label, foreign
		self.likeness, self.rows, self.products = likeness, rows, rows @ rows.T

	def thresholds(self, share, constants):
		"""t_c of each class (C)."""
		return known.thresholds(self.likeness, self.products, constants, constants["deviations"][SHARES.index(share)])

	def margins(self, share, constants):
		"""Best cosine less its class's threshold, of known and of foreign pictures: known from 0 on."""
		t = self.thresholds(share, constants)
		return tuple(s.max(1) - t[s.argmax(1)] for s in (self.known, self.foreign))


class Episodes:
	"""Draws lessons and questions from a set. n_asked: known pictures an episode, and foreign ones, where there are so
	many; of a class never more are taught than half of what it has, the others being left to ask."""

	def __init__(self, labelled, seed, n_asked=N_ASKED, theta=HELD["near_duplicate"]):
		self.set, self.n_asked, self.theta = labelled, n_asked, theta
		self.classes = [
			c
			for c in range(labelled.y.max() + 1)
			if (labelled.teach & (labelled.y == c)).sum() > 1 and (labelled.ask & (labelled.y == c)).sum() > 1
		]
		self.rng = np.random.default_rng(seed)

	def taught_and_asked(self, c, n):
		s = self.set
		order = self.rng.permutation(np.flatnonzero(s.y == c))
		taught = order[s.teach[order]]
		rest = len(order) - s.ask[order].sum()  # those that may be taught alone
		taught = taught[: min(n, max(len(order) // 2, rest))]
		return taught, np.setdiff1d(order[s.ask[order]], taught, assume_unique=True)

	def draw(self, n_classes, n_taught):
		"""Teaches n_classes classes, class i with n_taught[i] pictures at most."""
		order = self.rng.permutation(self.classes)
		rows, asked, label, likeness = [], [], [], []
		for i, c in enumerate(order[:n_classes]):
			taught, rest = self.taught_and_asked(c, n_taught[i])
			row, of_class = known.first_lesson(self.set.x[taught], self.theta)
			rows.append(row)
			likeness.append(of_class)
			asked.append(self.rng.permutation(rest)[: len(range(i, self.n_asked, n_classes))])
			label += [i] * len(asked[-1])
		others = np.flatnonzero(np.isin(self.set.y, order[n_classes:]) & self.set.ask)
		foreign = self.rng.permutation(others)[: self.n_asked]
		rows, x = np.stack(rows), self.set.x
		return Lesson(x[np.concatenate(asked)] @ rows.T, np.array(label), x[foreign] @ rows.T, likeness, rows)

	def many(self, n, classes=CLASSES_TAUGHT, pictures=PICTURES_TAUGHT):
		most = len(self.classes) - 1
		for _ in range(n):
			k = int(self.rng.integers(min(classes[0], most), min(classes[1], most) + 1))
			yield self.draw(k, self.rng.integers(pictures[0], pictures[1] + 1, k))


def log_loss(lessons, temperature, constants):
	"""Mean over known and foreign pictures of -log of the right answer's score, at the default strictness."""
	total = n = 0
	for e in lessons:
		t_c = e.thresholds(DEFAULT_SHARE, constants)
		for s, right in ((e.known, e.known[np.arange(len(e.known)), e.label]), (e.foreign, None)):
			unknown = t_c[s.argmax(1)]
			z = temperature * np.concatenate([s, unknown[:, None]], 1)
			top = z.max(1)
			answer = temperature * (unknown if right is None else right)
			total += (np.log(np.exp(z - top[:, None]).sum(1)) + top - answer).sum()
			n += len(s)
	return total / n


def quantile(of_sets, share):
	"""The value below which `share` lies of all sets together, each of which counts alike."""
	values = np.concatenate(of_sets)
	weight = np.concatenate([np.full(len(v), 1 / len(v)) for v in of_sets]) / len(of_sets)
	order = values.argsort(kind="stable")
	return float(np.interp(share, np.cumsum(weight[order]) - weight[order] / 2, values[order]))


def deviations_from_mean(lessons, constants):
	"""By how many k the known pictures of lessons of one class lie below what is expected of them."""
	z = []
	for e in lessons:
		mean, step = known.expected(e.likeness, np.full(1, constants["pair_cosine"]), constants)
		z.append((mean - e.known[:, 0]) / step)
	return np.concatenate(z)


def spread(lessons):
	"""The variance of a picture's cosine with a row that it did not make."""
	likeness = [e.likeness[0] for e in lessons if e.likeness[0].n > FEWEST]
	return sum(x.squares for x in likeness) / max(1, sum(x.n - 1 for x in likeness))


def least_of_one_picture(sets, alone):
	"""The cosine with a row of one picture from which on a picture should be known; alone: lessons of one such class."""
	if any(s.generic is None for s in sets):
		return quantile([np.concatenate([e.known[:, 0] for e in lessons]) for lessons in alone], SINGLE_REFUSED)
	generic = [
		(s.generic_x @ np.concatenate([e.rows for e in of]).T).ravel() for s, of in zip(sets, alone, strict=True)
	]
	return quantile(generic, 1 - GENERIC_CLAIMED)


def fit_known(sets, n_episodes, most, n_asked, held):
	"""held with sd_0, rho_0 and k of each share; classes of up to `most` pictures."""
	theta, n_episodes = held["near_duplicate"], n_episodes // len(sets)
	large = [list(Episodes(s, 1, n_asked, theta).many(n_episodes // 10, (1, 1), (most, most))) for s in sets]
	several = [
		list(Episodes(s, 2, n_asked, theta).many(n_episodes // 4, (1, 1), (min(SEVERAL, most), most))) for s in sets
	]
	alone = [list(Episodes(s, 3, n_asked, theta).many(n_episodes // 4, (1, 1), (1, 1))) for s in sets]
	deviation = float(np.sqrt(np.mean([spread(lessons) for lessons in large])))
	found = {**held, "deviation": max(deviation, LEAST_DEVIATION)}
	single = least_of_one_picture(sets, alone)
	found["pair_cosine"] = max(single, 0.0)
	for _ in range(ROUNDS):
		z = [deviations_from_mean(lessons, found) for lessons in several]
		k = [quantile(z, 1 - share) for share in SHARES]
		step = float(known.expected([known.Likeness(1, 1.0, 0.0, 0.0)], np.zeros(1), found)[1][0])
		found["pair_cosine"] = min(max(single + k[SHARES.index(DEFAULT_SHARE)] * step, 0.0), 1.0)
	return {name: round(value, DIGITS) for name, value in found.items()} | {"deviations": [round(x, DIGITS) for x in k]}


def fit(sets, n_episodes=N_EPISODES, classes=CLASSES_TAUGHT, pictures=PICTURES_TAUGHT, n_asked=N_ASKED, held=HELD):
	"""The constants of Answers, as models/answers.json has them, but for the blank row. sets: each a Labelled, of at
	least 2 pictures a class that may be taught; held: the constants that are given."""
	constants = {"unknown_cosine": [], **fit_known(sets, n_episodes, pictures[1], n_asked, held)}
	each = n_episodes // (2 * len(sets))
	lessons = [e for s in sets for e in Episodes(s, 4, n_asked, held["near_duplicate"]).many(each, classes, pictures)]
	lo, hi = 0.5, 200.0  # golden section over log T: the loss is convex in T
	ratio = (5**0.5 - 1) / 2
	for _ in range(20):
		a, b = hi * (lo / hi) ** ratio, lo * (hi / lo) ** ratio
		if log_loss(lessons, a, constants) < log_loss(lessons, b, constants):
			hi = b
		else:
			lo = a
	return {"temperature": round(float((lo * hi) ** 0.5), 2), **constants}


def fit_blank(*kinds):
	"""The blank row, int8, from the q of each kind of pictures that show nothing; each kind counts alike."""
	row = known.unit(sum(known.unit(known.unit(q.astype(float)).mean(0)) for q in kinds))
	return {"blank": [int(v) for v in np.rint(row * (127 / np.abs(row).max()))], "blank_cosine": BLANK_COSINE}


def blank_pictures(pictures, side):
	"""(black, white, blurred) of side x side: what a covered, a blinded and an unfocused camera show."""
	chosen = datasets.resize(pictures[:: max(1, len(pictures) // N_BLURRED)], side, side)
	blurred = [Image.fromarray(p).filter(ImageFilter.GaussianBlur(BLURRED * side)) for p in chosen]
	flat = [np.full((1, side, side, 3), level, np.uint8) for level in (0, 255)]
	return *flat, np.stack([np.asarray(p) for p in blurred])


def auroc(own, foreign):
	"""Probability that a known picture's best cosine is above a foreign one's."""
	both = np.concatenate([own, foreign])
	order = both.argsort(kind="stable")
	rank = np.empty(len(both))
	rank[order] = np.arange(1, len(both) + 1)
	return (rank[: len(own)].sum() - len(own) * (len(own) + 1) / 2) / (len(own) * len(foreign))


def report(sets, constants, n_episodes=400):
	"""Prints, for several ways of teaching, own refused and foreign claimed at each share, and the AUROC; each set."""
	print(json.dumps({name: value for name, value in constants.items() if name != "blank"}))
	print(
		"own refused / foreign claimed, % at the shares "
		+ " ".join(f"{s:.0%}" for s in SHARES)
		+ "; AUROC of each lesson's questions, averaged"
	)
	ways = [("episodes as fitted", CLASSES_TAUGHT, PICTURES_TAUGHT)]
	ways += [(f"{k} class{'es' * (k > 1)} of {n}", (k, k), (n, n)) for k in (1, 4) for n in (1, 2, 5, 20)]
	for labelled in sets:
		print(labelled.name)
		for name, classes, pictures in ways:
			lessons = list(Episodes(labelled, 9).many(n_episodes, classes, pictures))
			cells = []
			for share in SHARES:
				own, foreign = (
					np.concatenate(m) for m in zip(*(e.margins(share, constants) for e in lessons), strict=True)
				)
				cells.append(f"{(own < 0).mean() * 100:5.1f} /{(foreign >= 0).mean() * 100:5.1f}")
			area = np.mean([auroc(*e.margins(DEFAULT_SHARE, constants)) for e in lessons])
			right = np.mean([(e.known.argmax(1) == e.label).mean() for e in lessons])
			loss = log_loss(lessons, constants["temperature"], constants)
			print(
				f"  {name:18s}"
				+ "  ".join(cells)
				+ f"   AUROC {area:.3f}  class right {right:.3f}  log-loss {loss:.3f}"
			)


def of_sets(paths):
	"""(sets, blank row) of the files of tests.bench.learn.cache."""
	found, blank = [], [[], [], []]
	for path in paths:
		rows, q = datasets.feature_set(path)
		pictures = rows[:, 1] == datasets.SET_PICTURE
		y = np.unique(rows[pictures, 0], return_inverse=True)[1]
		may = rows[pictures, 2]
		teach, ask = (may & datasets.MAY_TEACH) > 0, (may & datasets.MAY_ASK) > 0
		generic = q[rows[:, 1] == datasets.SET_GENERIC]
		found.append(Labelled(q[pictures], y, teach, ask, pathlib.Path(path).stem, generic))
		for i, kind in enumerate((datasets.SET_BLACK, datasets.SET_WHITE, datasets.SET_BLURRED)):
			blank[i].append(q[rows[:, 1] == kind])
	return found, fit_blank(*map(np.concatenate, blank))


def of_cifar10(a):
	"""The same of CIFAR-10's training part."""
	if not datasets.shared_data():
		sys.exit("BNND_SHARED_DATA does not name the folder with the data sets")
	model = read(a.model)
	pictures, labels = datasets.cifar10("train")
	if a.features and a.features.exists():
		h = np.load(a.features)["h"]
	else:
		h = datasets.features(model, pictures, a.engine, a.model)
		if a.features:
			np.savez(a.features, h=h, y=labels)
	side = model.tensors[model.graph.input.tensor].shape[0]
	kinds = [datasets.features(model, p, a.engine, a.model) for p in blank_pictures(pictures, side)]
	return [Labelled(datasets.quantize(h), labels, name="cifar10")], fit_blank(*map(datasets.quantize, kinds))


def write(path, name, constants):
	"""Into a file of constants by name; numbers of a list in one line. What no fit finds stays: the head's groups."""
	of_name = json.loads(path.read_text()) if path.exists() else {}
	stays = {key: value for key, value in of_name.get(name, {}).items() if key in ("groups", "group_factors")}
	of_name[name] = {**stays, **constants}
	text = json.dumps(of_name, indent=1, sort_keys=True)
	path.write_text(re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m.group().split()), text) + "\n")


def main():
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("model")
	p.add_argument("--engine")
	p.add_argument("--features", type=pathlib.Path, help="npz with h and y: made when it is not there")
	p.add_argument("--sets", nargs="+", metavar="FILE.set")
	p.add_argument("--write", nargs=2, metavar=("JSON", "NAME"))
	a = p.parse_args()
	sets, blank = of_sets(a.sets) if a.sets else of_cifar10(a)
	constants = {**fit(sets), **blank}
	report(sets, constants)
	if a.write:
		write(pathlib.Path(a.write[0]), a.write[1], constants)


if __name__ == "__main__":
	main()
