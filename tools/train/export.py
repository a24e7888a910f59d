#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A checkpoint to a .bnn file: folded, whitened, with the constants of Answers, a prior and a card.

  export.py CHECKPOINT OUT.bnn [--name NAME] [--side 64] [--episodes DATA] [--terms "whose pictures, under what terms"]
            [--accuracy TABLE.md] [--licence MIT]

The whitening and the prior covariance come from the training data's held-out part. The constants of Answers come from
episodes on the pictures of --episodes, which should be of classes that the network was not trained on (class folders
set aside, or CIFAR-10's training part); without it, from the held-out part, and the card says so. OUT.md is the card
alone. The latent weights go beside it, OUT.latent.npz, to continue training from.
"""
import argparse
import pathlib

import numpy as np
import torch

import card
import checkpoint
import graph
import nets
import normalise
import pictures
import train

import fit_answers                 # of tools/, which graph.py put on the path
from bnnfile import feature_id, write
from datasets import quantize

EPISODES = 2000
REPORT_EPISODES = 500
REPORT_SEED = 2


def build_model(net, side, mean, matrix, covariance, name, answers=None, text=''):
    """The bnnfile.Model of a network in eval mode."""
    writer = graph.Writer(side)
    x = net.write(writer, writer.x)
    writer.g.output(writer.normalise(x, mean, matrix, net.root))
    writer.g.card(name, text)
    if answers:
        writer.g.answers(**answers)
    writer.g.prior(covariance, 'F16')
    return writer.g.model()


def episode_sizes(y):
    """What lessons and questions the smallest class leaves room for: {classes, pictures, n_asked} of fit_answers."""
    counts = np.bincount(y)
    least = int(counts[counts > 0].min())
    if len(counts) < 2 or least < 2 * fit_answers.FEWEST:
        raise SystemExit(f'episodes need two classes with {2 * fit_answers.FEWEST} pictures each at least: give --episodes')
    taught = min(fit_answers.PICTURES_TAUGHT[1], least // 2)
    return {'classes': (1, min(fit_answers.CLASSES_TAUGHT[1], len(counts) - 1)), 'pictures': (1, taught),
            'n_asked': min(fit_answers.N_ASKED, least - taught)}


def fit_constants(h, y):
    """(constants, what they do on other episodes of the same pictures)."""
    q, y = quantize(h), np.unique(y, return_inverse=True)[1]
    sizes = episode_sizes(y)
    constants = fit_answers.fit(q, y, EPISODES, **sizes)
    episodes = list(fit_answers.Episodes(q, y, REPORT_SEED, sizes['n_asked']).many(
        REPORT_EPISODES, sizes['classes'], sizes['pictures']))
    shares = []
    for share in fit_answers.SHARES:
        known, foreign = (np.concatenate(m) for m in zip(*(e.margins(share, constants) for e in episodes)))
        shares.append((float((known < 0).mean()), float((foreign >= 0).mean())))
    right = float(np.mean([(e.known.argmax(1) == e.label).mean() for e in episodes]))
    return constants, {'sizes': sizes, 'shares': shares, 'right': right}


def whole(parts):
    """Both parts of a data set as one."""
    return pictures.Pictures(np.concatenate([p.x for p in parts]), np.concatenate([p.y for p in parts]),
                             parts[0].classes)


def export(a):
    net, c = checkpoint.load_net(a.checkpoint)
    side, cache = a.side or c['side'], a.checkpoint.parent
    if side % net.side_multiple:
        raise SystemExit(f'{c["net"]} takes sides that are multiples of {net.side_multiple}')
    held_out = pictures.load(a.data or c['data'], c['store'], c['held_out'], cache)[1].spread(a.most)
    print(f'whitening from {len(held_out)} held-out pictures at {side} px')
    raw = normalise.features(net, held_out.x, side)
    mean, matrix = (v.astype('f4') for v in normalise.whitening(raw, held_out.y, net.root))
    h = normalise.normalise(raw, mean, matrix, net.root)
    covariance = normalise.prior_covariance(h, held_out.y)
    if a.episodes:
        others = whole(pictures.load(a.episodes, c['store'], c['held_out'], cache))
        asked = normalise.normalise(normalise.features(net, others.x, side), mean, matrix, net.root), others.y
    else:
        asked = h, held_out.y
    print(f'constants of Answers from {len(asked[1])} pictures')
    constants, effect = fit_constants(*asked)
    model = build_model(net, side, mean, matrix, covariance, a.name)
    facts = {'name': a.name, 'side': side, 'checkpoint': c, 'terms': a.terms, 'episodes': a.episodes,
             'held_out': len(held_out), 'top1': train.top1(net, held_out, side, torch.device('cpu')),
             'constants': constants, 'effect': effect, 'feature_id': feature_id(model), 'cost': card.cost(model),
             'n_features': len(mean), 'licence': a.licence, 'accuracy': a.accuracy.read_text() if a.accuracy else ''}
    text = card.text(facts)
    model = build_model(net, side, mean, matrix, covariance, a.name, constants, text)
    size = write(a.out, model)
    a.out.with_suffix('.md').write_text(text)
    checkpoint.save_latents(a.out.with_suffix('.latent.npz'), net.state_dict(), c['net'], c['options'])
    print(f'{a.out}: {size} bytes, feature_id {facts["feature_id"]}')


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('checkpoint', type=pathlib.Path)
    p.add_argument('out', type=pathlib.Path)
    p.add_argument('--name', help='letters, digits, - _ . (the name of OUT)')
    p.add_argument('--side', type=int, help='of the input: the last side of the training')
    p.add_argument('--data', help='where the training data is now')
    p.add_argument('--episodes', help='pictures of other classes')
    p.add_argument('--terms', default='Not stated by whoever trained it.')
    p.add_argument('--licence', help='SPDX identifier, for the card')
    p.add_argument('--accuracy', type=pathlib.Path, help='what measure.py --report printed, for the card')
    p.add_argument('--most', type=int, default=10000, help='held-out pictures, evenly chosen')
    p.add_argument('--threads', type=int)
    a = p.parse_args(argv)
    if a.threads:
        torch.set_num_threads(a.threads)
    a.name = a.name or a.out.stem
    export(a)


if __name__ == '__main__':
    main()
