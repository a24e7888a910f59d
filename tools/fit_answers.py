# SPDX-License-Identifier: MIT
"""Fits the constants of Answers (temperature T, deviations k, cosines s_0) of a model, and prints what they do.

  python3 -m tools.fit_answers MODEL.bnn [--engine bnnd-features] [--features CACHE.npz]
           [--write models/answers.json NAME]

Episodes on CIFAR-10's training part, and nothing else (BNND_SHARED_DATA): 1 to 8 classes are taught with 1 to 20
pictures each, the other classes are foreign. Rows are class means of the int8 q, stored as lib/learn stores them (8/16)
and compared by their 8-bit forward side; a class's own cosines are measured as lib/learn/likeness.c does, each picture left
out of the row. Two seeds: one fits, the other reports.

k of a share refuses that share of the pictures of a class that is taught alone with 2 to 20 pictures; s_0 that of a
class taught with one. sd_0 is the mean deviation of classes of 20, and its weight makes small classes refuse as often
as large ones. T minimises the log-loss of softmax over {T s_c} and {T t_c of the best}, with the picture's class, or
unknown, as the answer.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from tools import datasets
from tools.bnnfile import read

SHARES = (0.01, 0.02, 0.05, 0.10, 0.20)
DEFAULT_SHARE = 0.05
N_EPISODES = 4000
N_ASKED = 40  # known pictures an episode, and as many foreign ones
CLASSES_TAUGHT = (1, 8)
PICTURES_TAUGHT = (1, 20)
FEWEST = 2  # pictures of a class that has deviations
WEIGHTS = (1, 2, 3, 4, 6, 8, 12, 16, 24)  # what sd_0 may be worth, pictures
WEIGHT_CHECKED = (2, 3, 5, 10, 20)
DIGITS = 4  # constants are rounded: the last digits are noise


def forward_side(rows):
	"""Real rows -> the int8 forward side F of 8/16 rows: stored with the largest exponent that fits, then shifted."""
	rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
	e = np.floor(np.log2(2.0**15 / np.abs(rows).max(1, keepdims=True)))
	m = np.rint(rows * 2.0**e)
	m = np.where(np.abs(m).max(1, keepdims=True) >= 2**15, np.rint(rows * 2.0 ** (e - 1)), m)
	return np.clip(np.rint(m / 256), -127, 127)


def cosines(q, rows):
	"""s_c of pictures q (N x d) and rows F (C x d)."""
	q = q.astype("f4")
	return (q @ rows.T.astype("f4")) / (np.linalg.norm(q, axis=1, keepdims=True) * np.linalg.norm(rows, axis=1))


def own_cosines(q):
	"""Cosines of n x d pictures with the sum of the others (lib/learn/likeness.c for a new class)."""
	x = q / np.linalg.norm(q, axis=1, keepdims=True)
	s = x.sum(0)
	along = x @ s
	return (along - 1) / np.sqrt(s @ s - 2 * along + 1)


class Lesson:
	"""What an episode gives: cosines of known pictures (N x C) and their classes, of foreign ones, and of each class n
	and the mean and the sum of squares of its own cosines."""

	def __init__(self, known, label, foreign, own):
		self.known, self.label, self.foreign, self.own = known, label, foreign, own

	def thresholds(self, share, constants):
		"""t_c of each class (C), as learn_answer_constants says."""
		i = SHARES.index(share)
		n, mean, squares = self.own.T
		weight, prior = constants["deviation_weight"], constants["deviation"]
		several = np.maximum(n, 2)
		sd = np.sqrt((squares + weight * prior**2) / (several - 1 + weight) * (1 + 1 / several))
		return np.where(n > 1, mean - constants["deviations"][i] * sd, constants["unknown_cosine"][i])

	def margins(self, share, constants):
		"""Best cosine less its class's threshold, of known and of foreign pictures: known from 0 on."""
		t = self.thresholds(share, constants)
		return tuple(s.max(1) - t[s.argmax(1)] for s in (self.known, self.foreign))


class Episodes:
	"""Draws lessons and questions from labelled features. n_asked: known pictures an episode, and foreign ones; no class
	may have fewer than n_asked pictures beyond those that are taught."""

	def __init__(self, q, labels, seed, n_asked=N_ASKED):
		self.q = q
		self.n_asked = n_asked
		self.by_class = [np.flatnonzero(labels == c) for c in range(labels.max() + 1)]
		self.rng = np.random.default_rng(seed)

	def draw(self, n_classes, n_taught):
		"""Teaches n_classes classes, class i with n_taught[i] pictures."""
		order = self.rng.permutation(len(self.by_class))
		rows, known, label, own = [], [], [], []
		for i, c in enumerate(order[:n_classes]):
			pictures = self.rng.permutation(self.by_class[c])
			taught = self.q[pictures[: n_taught[i]]].astype("f8")
			rows.append(taught.mean(0))
			cosine = own_cosines(taught) if len(taught) > 1 else np.zeros(1)
			own.append((len(taught), cosine.mean(), cosine.var() * len(cosine)))
			n_asked = len(range(i, self.n_asked, n_classes))
			known.append(pictures[n_taught[i] : n_taught[i] + n_asked])
			label += [i] * n_asked
		others = np.concatenate([self.by_class[c] for c in order[n_classes:]])
		foreign = self.rng.choice(others, self.n_asked, replace=False)
		side = forward_side(np.stack(rows))
		return Lesson(
			cosines(self.q[np.concatenate(known)], side), np.array(label), cosines(self.q[foreign], side), np.array(own)
		)

	def many(self, n, classes=CLASSES_TAUGHT, pictures=PICTURES_TAUGHT):
		for _ in range(n):
			k = int(self.rng.integers(classes[0], classes[1] + 1))
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


def deviations_from_mean(lessons, prior, weight):
	"""(mean - cosine) / (sd sqrt(1 + 1/n)) of the known pictures of lessons of one class: what k is compared with."""
	z = []
	for e in lessons:
		n, mean, squares = e.own[0]
		z.append((mean - e.known[:, 0]) / np.sqrt((squares + weight * prior**2) / (n - 1 + weight) * (1 + 1 / n)))
	return np.concatenate(z)


def fit_deviations(q, labels, n_episodes, most, n_asked):
	"""sd_0, its weight, and k of each share; classes of 2 to `most` pictures."""
	draw = Episodes(q, labels, 1, n_asked)
	checked = sorted({min(n, most) for n in WEIGHT_CHECKED})
	lessons = {n: list(draw.many(n_episodes // 10, (1, 1), (n, n))) for n in checked}
	prior = np.sqrt(np.mean([e.own[0][2] / (e.own[0][0] - 1) for e in lessons[checked[-1]]]))
	any_n = list(draw.many(n_episodes // 4, (1, 1), (FEWEST, most)))

	def spread(weight):  # how differently classes of few and of many pictures refuse
		k = np.quantile(deviations_from_mean(any_n, prior, weight), 1 - DEFAULT_SHARE)
		return sum(((deviations_from_mean(lessons[n], prior, weight) > k).mean() - DEFAULT_SHARE) ** 2 for n in checked)

	weight = min(WEIGHTS, key=spread)
	z = deviations_from_mean(any_n, prior, weight)
	return float(prior), float(weight), [float(np.quantile(z, 1 - share)) for share in SHARES]


def fit(q, labels, n_episodes=N_EPISODES, classes=CLASSES_TAUGHT, pictures=PICTURES_TAUGHT, n_asked=N_ASKED):
	"""The constants of Answers, as models/answers.json has them. At least 2 pictures a class must be taught."""
	prior, weight, k = fit_deviations(q, labels, n_episodes, pictures[1], n_asked)
	alone = Episodes(q, labels, 3, n_asked).many(n_episodes // 4, (1, 1), (1, 1))
	single = np.concatenate([e.known[:, 0] for e in alone])
	constants = {
		"deviation": round(prior, DIGITS),
		"deviation_weight": weight,
		"deviations": [round(x, DIGITS) for x in k],
		"unknown_cosine": [round(float(np.quantile(single, share)), DIGITS) for share in SHARES],
	}
	lessons = list(Episodes(q, labels, 4, n_asked).many(n_episodes, classes, pictures))
	lo, hi = 0.5, 200.0  # golden section over log T: the loss is convex in T
	ratio = (5**0.5 - 1) / 2
	for _ in range(30):
		a, b = hi * (lo / hi) ** ratio, lo * (hi / lo) ** ratio
		if log_loss(lessons, a, constants) < log_loss(lessons, b, constants):
			hi = b
		else:
			lo = a
	return {"temperature": round(float((lo * hi) ** 0.5), 2), **constants}


def auroc(known, foreign):
	"""Probability that a known picture's best cosine is above a foreign one's."""
	both = np.concatenate([known, foreign])
	order = both.argsort(kind="stable")
	rank = np.empty(len(both))
	rank[order] = np.arange(1, len(both) + 1)
	return (rank[: len(known)].sum() - len(known) * (len(known) + 1) / 2) / (len(known) * len(foreign))


def report(q, labels, constants, n_episodes=1000):
	"""Prints, for several ways of teaching, own refused and foreign claimed at each share, and the AUROC."""
	print(json.dumps(constants))
	print(
		"own refused / foreign claimed, % at the shares "
		+ " ".join(f"{s:.0%}" for s in SHARES)
		+ "; AUROC of each lesson's questions, averaged"
	)
	ways = [("episodes as fitted", CLASSES_TAUGHT, PICTURES_TAUGHT)]
	ways += [(f"{k} class{'es' * (k > 1)} of {n}", (k, k), (n, n)) for k in (1, 2, 4, 8) for n in (1, 2, 5, 20)]
	for name, classes, pictures in ways:
		lessons = list(Episodes(q, labels, 2).many(n_episodes, classes, pictures))
		cells = []
		for share in SHARES:
			known, foreign = zip(*(e.margins(share, constants) for e in lessons), strict=True)
			cells.append(
				f"{(np.concatenate(known) < 0).mean() * 100:5.1f} /{(np.concatenate(foreign) >= 0).mean() * 100:5.1f}"
			)
		area = np.mean([auroc(*e.margins(DEFAULT_SHARE, constants)) for e in lessons])
		right = np.mean([(e.known.argmax(1) == e.label).mean() for e in lessons])
		loss = log_loss(lessons, constants["temperature"], constants)
		print(f"{name:20s}" + "  ".join(cells) + f"   AUROC {area:.3f}  class right {right:.3f}  log-loss {loss:.3f}")


def main():
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("model")
	p.add_argument("--engine")
	p.add_argument("--features", type=pathlib.Path, help="npz with h and y: made when it is not there")
	p.add_argument("--write", nargs=2, metavar=("JSON", "NAME"))
	a = p.parse_args()
	if a.features and a.features.exists():
		h, labels = (np.load(a.features)[k] for k in ("h", "y"))
	else:
		if not datasets.shared_data():
			sys.exit("BNND_SHARED_DATA does not name the folder with the data sets")
		pictures, labels = datasets.cifar10("train")
		h = datasets.features(read(a.model), pictures, a.engine, a.model)
		if a.features:
			np.savez(a.features, h=h, y=labels)
	q = datasets.quantize(h)
	constants = fit(q, labels)
	report(q, labels, constants)
	if a.write:
		path = pathlib.Path(a.write[0])
		known = json.loads(path.read_text()) if path.exists() else {}
		known[a.write[1]] = constants
		path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
	main()
