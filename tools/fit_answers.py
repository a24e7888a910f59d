#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Fits the constants of Answers (temperature T, cosines s_0) of a model, and prints what they do.

  fit_answers.py MODEL.bnn [--engine bnnd-features] [--features CACHE.npz] [--write models/answers.json NAME]

Episodes on CIFAR-10's training part, and nothing else (BNND_SHARED_DATA): 1 to 8 classes are taught with 1 to 20
pictures each, the other classes are foreign. Rows are class means of the int8 q, stored as lib/learn stores them (8/16)
and compared by their 8-bit forward side. Every episode asks as many known as foreign pictures, so each weighs the same
whatever it taught. Two seeds: one fits, the other reports.

s_0 of a share is that quantile of the known pictures' best cosine; T minimises the log-loss of softmax over {T s_c} and
{T s_0}, s_0 that of the default strictness, with the picture's class, or unknown, as the answer.
"""
import argparse
import json
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import datasets    # noqa: E402
from bnnfile import read    # noqa: E402

SHARES = (0.01, 0.02, 0.05, 0.10, 0.20)
DEFAULT_SHARE = 0.05
N_EPISODES = 4000
N_ASKED = 40          # known pictures an episode, and as many foreign ones
CLASSES_TAUGHT = (1, 8)
PICTURES_TAUGHT = (1, 20)
DIGITS = 4            # constants are rounded: the last digits are noise


def forward_side(rows):
    """Real rows -> the int8 forward side F of 8/16 rows: stored with the largest exponent that fits, then shifted."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    e = np.floor(np.log2(2.0 ** 15 / np.abs(rows).max(1, keepdims=True)))
    m = np.rint(rows * 2.0 ** e)
    m = np.where(np.abs(m).max(1, keepdims=True) >= 2 ** 15, np.rint(rows * 2.0 ** (e - 1)), m)
    return np.clip(np.rint(m / 256), -127, 127)


def cosines(q, rows):
    """s_c of pictures q (N x d) and rows F (C x d)."""
    q = q.astype('f4')
    return (q @ rows.T.astype('f4')) / (np.linalg.norm(q, axis=1, keepdims=True) * np.linalg.norm(rows, axis=1))


class Episodes:
    """Draws lessons and questions from labelled features. n_asked: known pictures an episode, and foreign ones; no class
    may have fewer than n_asked pictures beyond those that are taught."""

    def __init__(self, q, labels, seed, n_asked=N_ASKED):
        self.q = q
        self.n_asked = n_asked
        self.by_class = [np.flatnonzero(labels == c) for c in range(labels.max() + 1)]
        self.rng = np.random.default_rng(seed)

    def draw(self, n_classes, n_taught):
        """Teaches n_classes classes, class i with n_taught[i] pictures. Returns the cosines of known pictures
        (N x C), which class each is, and the cosines of foreign pictures."""
        order = self.rng.permutation(len(self.by_class))
        rows, known, label = [], [], []
        for i, c in enumerate(order[:n_classes]):
            pictures = self.rng.permutation(self.by_class[c])
            rows.append(self.q[pictures[:n_taught[i]]].astype('f8').mean(0))
            n_asked = len(range(i, self.n_asked, n_classes))
            known.append(pictures[n_taught[i]:n_taught[i] + n_asked])
            label += [i] * n_asked
        others = np.concatenate([self.by_class[c] for c in order[n_classes:]])
        foreign = self.rng.choice(others, self.n_asked, replace=False)
        side = forward_side(np.stack(rows))
        return cosines(self.q[np.concatenate(known)], side), np.array(label), cosines(self.q[foreign], side)

    def many(self, n, classes=CLASSES_TAUGHT, pictures=PICTURES_TAUGHT):
        for _ in range(n):
            k = int(self.rng.integers(classes[0], classes[1] + 1))
            yield self.draw(k, self.rng.integers(pictures[0], pictures[1] + 1, k))


def log_loss(episodes, t, s0):
    """Mean over known and foreign pictures of -log of the right answer's score."""
    total = n = 0
    for known, label, foreign in episodes:
        for s, right in ((known, t * known[np.arange(len(known)), label]), (foreign, t * s0)):
            z = np.concatenate([t * s, np.full((len(s), 1), t * s0)], 1)
            top = z.max(1)
            total += (np.log(np.exp(z - top[:, None]).sum(1)) + top - right).sum()
            n += len(s)
    return total / n


def fit(q, labels, n_episodes=N_EPISODES, classes=CLASSES_TAUGHT, pictures=PICTURES_TAUGHT, n_asked=N_ASKED):
    """{"temperature": T, "unknown_cosine": [s_0 ...]}."""
    episodes = list(Episodes(q, labels, 1, n_asked).many(n_episodes, classes, pictures))
    best = np.concatenate([known.max(1) for known, _, _ in episodes])
    s0 = [round(float(np.quantile(best, share)), DIGITS) for share in SHARES]
    default = s0[SHARES.index(DEFAULT_SHARE)]
    lo, hi = 0.5, 200.0    # golden section over log T: the loss is convex in T
    ratio = (5 ** 0.5 - 1) / 2
    for _ in range(30):
        a, b = hi * (lo / hi) ** ratio, lo * (hi / lo) ** ratio
        if log_loss(episodes, a, default) < log_loss(episodes, b, default):
            hi = b
        else:
            lo = a
    return {'temperature': round(float((lo * hi) ** 0.5), 2), 'unknown_cosine': s0}


def auroc(known, foreign):
    """Probability that a known picture's best cosine is above a foreign one's."""
    both = np.concatenate([known, foreign])
    order = both.argsort(kind='stable')
    rank = np.empty(len(both))
    rank[order] = np.arange(1, len(both) + 1)
    return (rank[:len(known)].sum() - len(known) * (len(known) + 1) / 2) / (len(known) * len(foreign))


def report(q, labels, constants, n_episodes=1000):
    """Prints, for several ways of teaching, own refused and foreign claimed at each share, and the AUROC."""
    print(f'T {constants["temperature"]}  s_0 ' + ' '.join(f'{s:.4f}' for s in constants['unknown_cosine']))
    print('own refused / foreign claimed, % at the shares ' + ' '.join(f'{s:.0%}' for s in SHARES)
          + '; AUROC of each lesson\'s questions, averaged')
    ways = [('episodes as fitted', CLASSES_TAUGHT, PICTURES_TAUGHT)]
    ways += [(f'{k} class{"es" * (k > 1)} of {n}', (k, k), (n, n)) for k in (1, 2, 4, 8) for n in (1, 5, 20)]
    for name, classes, pictures in ways:
        episodes = list(Episodes(q, labels, 2).many(n_episodes, classes, pictures))
        known = np.stack([e[0].max(1) for e in episodes])
        foreign = np.stack([e[2].max(1) for e in episodes])
        cells = [f'{(known < s).mean() * 100:5.1f} /{(foreign >= s).mean() * 100:5.1f}'
                 for s in constants['unknown_cosine']]
        area = np.mean([auroc(a, b) for a, b in zip(known, foreign)])
        right = np.mean([e[0].argmax(1) == e[1] for e in episodes])
        loss = log_loss(episodes, constants['temperature'], constants['unknown_cosine'][SHARES.index(DEFAULT_SHARE)])
        print(f'{name:20s}' + '  '.join(cells) + f'   AUROC {area:.3f}  class right {right:.3f}  log-loss {loss:.3f}')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('model')
    p.add_argument('--engine')
    p.add_argument('--features', type=pathlib.Path, help='npz with h and y: made when it is not there')
    p.add_argument('--write', nargs=2, metavar=('JSON', 'NAME'))
    a = p.parse_args()
    if a.features and a.features.exists():
        h, labels = (np.load(a.features)[k] for k in ('h', 'y'))
    else:
        if not datasets.shared_data():
            sys.exit('BNND_SHARED_DATA does not name the folder with the data sets')
        pictures, labels = datasets.cifar10('train')
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
        path.write_text(json.dumps(known, indent=1, sort_keys=True) + '\n')


if __name__ == '__main__':
    main()
