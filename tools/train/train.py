#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains a backbone on labelled pictures; started again with the same arguments it resumes from OUT/checkpoint.pt.

  train.py DATA OUT [--net photo] [--options '{"layers": [2, 4, 2]}'] [--epochs 30] [--sides 0.25:32,0.62:48,1:64]
           [--init X.latent.npz] [--teacher CACHE] [--also MORE:CACHE ...] [--save-latent X.latent.npz]

doc/TRAINING.md walks through it. The same arguments on the same machine with one thread give the same weights, whether
or not the run was interrupted: the randomness of each step is drawn from its number.
"""
import argparse
import json
import pathlib
import signal
import time

import numpy as np
import torch
import torch.nn.functional as F

import augment
import binary
import checkpoint
import nets
import pictures
from teacher import WHOLE_VIEW, Teacher

WARM_UP_STEPS = 300
LEAST_RATE = 1e-3        # of the first learning rate, at the end
WEIGHT_DECAY = 0.02      # of float matrices; nothing else decays
LOG_STEPS = 100
VALIDATION_MOST = 4000
CE_BESIDE_TEACHER, SMOOTH_BESIDE_TEACHER = 0.5, 0.1
OWN_BESIDE_TEACHER, LABEL_SHARE = 1.0, 0.5    # where the teacher knows the classes: its word and the label's, mixed
AREA, AREA_IN_VIEW = 0.25, 0.75    # least share of a picture, or of a teacher's view, that a crop shows
AREA_WHOLE = 0.8         # the same once --whole-from is reached
DEVICE_SHARE = 0.5       # of the device's free memory that the pictures may take


def schedule(text):
    """'0.25:32,1:64' -> [(0.25, 32), (1.0, 64)]: side until that share of the steps."""
    phases = [(float(part.split(':')[0]), int(part.split(':')[1])) for part in text.split(',')]
    if [s for s, _ in phases] != sorted(s for s, _ in phases) or phases[-1][0] != 1:
        raise argparse.ArgumentTypeError('shares must rise and end at 1')
    return phases


def beside(text):
    """'MORE:CACHE' -> (folder of pictures, folder that teacher.py made of it)."""
    folder, colon, cache = text.partition(':')
    if not colon:
        raise argparse.ArgumentTypeError('MORE:CACHE')
    return pathlib.Path(folder), pathlib.Path(cache)


class Store:
    """The training pictures, on the device if they fit there; parts of different sides stay apart."""

    def __init__(self, data, device):
        self.data, self.device = data, device
        self.y = torch.from_numpy(data.y).to(device)
        self.rows = data.x if isinstance(data.x, pictures.Rows) else pictures.Rows([data.x])
        self.kept = None
        size = sum(part.size for part in self.rows.parts)
        if device.type == 'cuda' and size < DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
            self.kept = [torch.from_numpy(np.array(part)).to(device) for part in self.rows.parts]

    def batch(self, index):
        """([(places in the batch, floats 0..255, n x 3 x S x S)] of the pictures of one side each, labels)."""
        groups = []
        for i, places, rows in self.rows.touched(index):
            if self.kept:
                x = self.kept[i][torch.from_numpy(rows).to(self.device)].permute(0, 3, 1, 2).float()
            else:
                x = pictures.tensor(self.rows.parts[i][rows], self.device)
            groups.append((torch.from_numpy(places).to(self.device), x))
        return groups, self.y[torch.from_numpy(index).to(self.device)]


def optimiser(net, extra, rate):
    named = list(net.named_parameters()) + [(f'extra.{n}', p) for n, p in extra]
    named = [(n, p) for n, p in named if p.requires_grad]
    decays = [p for n, p in named if p.ndim > 1 and p.shape[0] > 1 and not binary.is_latent(n)]
    ids = {id(p) for p in decays}
    rest = [p for _, p in named if id(p) not in ids]
    return torch.optim.AdamW([{'params': decays, 'weight_decay': WEIGHT_DECAY},
                              {'params': rest, 'weight_decay': 0.0}], lr=rate, fused=True)


@torch.no_grad()
def top1(net, data, side, device, batch=250):
    """Share of data whose class the network ranks first. Leaves the network in the mode it was in."""
    was_training = net.training
    net.eval()
    right = 0
    for i in range(0, len(data), batch):
        x = pictures.tensor(pictures.squares(data.x[i:i + batch], side), device)
        right += (net(nets.prepare(x)).argmax(1).cpu().numpy() == data.y[i:i + batch]).sum()
    net.train(was_training)
    return float(right) / max(len(data), 1)


class Run:
    """Everything of one training run; `step` says how far it is."""

    def __init__(self, a, train, held_out, device):
        self.a, self.device, self.held_out = a, device, held_out.spread(VALIDATION_MOST)
        self.classes = train.classes
        self.net = nets.build(a.net, len(train.classes), a.options)
        check_last(self.net, a)
        if a.init:
            name, options, state = checkpoint.read_latents(a.init)
            if name != a.net:
                raise SystemExit(f'{a.init} is of the network {name}')
            left_out = checkpoint.continue_from(self.net, options, state)
            print(f'continues from {a.init}' + ', with a new classifier' * bool(left_out))
        self.net.to(device, memory_format=torch.channels_last).train()
        self.teacher = None
        if a.teacher:
            train = pictures.joined([train] + [pictures.unlabelled(folder) for folder, _ in a.also])
            self.teacher = Teacher([a.teacher] + [cache for _, cache in a.also], len(train), self.net.fc.in_features)
            self.teacher.to(device)
            if self.teacher.has_own and len(self.teacher.own_b) != len(self.classes):
                raise SystemExit(f'{a.teacher} knows {len(self.teacher.own_b)} classes, there are {len(self.classes)}')
        self.optimiser = optimiser(self.net, self.teacher.named_parameters() if self.teacher else [], a.rate)
        self.store = Store(train, device)
        self.objective = torch.compile(self.loss_of, dynamic=False) if a.compile else self.loss_of
        self.batch = min(a.batch, len(train))
        self.steps_an_epoch = len(train) // self.batch
        self.steps = max(1, int(a.epochs * self.steps_an_epoch))
        self.step, self.seconds, self.history, self.order = 0, 0.0, [], None
        self.path = a.out / 'checkpoint.pt'

    def save(self):
        a = self.a
        checkpoint.save(self.path, {
            'net': a.net, 'options': a.options, 'classes': self.classes, 'model': self.net.state_dict(),
            'teacher': self.teacher.state_dict() if self.teacher else None, 'optimiser': self.optimiser.state_dict(),
            'step': self.step, 'steps': self.steps, 'seconds': self.seconds, 'history': self.history,
            'side': a.sides[-1][1], 'store': a.store, 'held_out': a.held_out, 'data': str(a.data), 'seed': a.seed,
            'epochs': self.step / self.steps_an_epoch, 'init': str(a.init or ''), 'teacher_from': str(a.teacher or ''),
            'pictures': len(self.store.data), 'unlabelled': int((self.store.data.y == pictures.NO_CLASS).sum()),
            'blur': a.blur, 'sharpen': a.sharpen, 'batch': self.batch, 'rate': a.rate, 'sides': a.sides,
            'whole_from': a.whole_from})

    def resume(self):
        c = checkpoint.load(self.path)
        own = (self.a.net, self.a.options, self.classes, self.steps)
        if own != (c['net'], c['options'], c['classes'], c['steps']):
            raise SystemExit(f'{self.path} is of another run (network, options, classes or number of steps): '
                             'give another folder')
        self.net.load_state_dict(c['model'])
        if self.teacher:
            self.teacher.load_state_dict(c['teacher'])
        self.optimiser.load_state_dict(c['optimiser'])
        self.step, self.seconds, self.history = c['step'], c['seconds'], c['history']
        print(f'resumes at step {self.step} of {self.steps}')

    def index(self):
        """Pictures of this step: a new order each epoch."""
        epoch, at = divmod(self.step, self.steps_an_epoch)
        if self.order is None or self.order[0] != epoch:
            rng = np.random.default_rng((self.a.seed, epoch))
            self.order = epoch, rng.permutation(len(self.store.data))
        return self.order[1][at * self.batch:(at + 1) * self.batch]

    def side(self):
        share = self.step / self.steps
        return next(side for until, side in self.a.sides if share < until)

    def shown(self):
        """(the teacher's view, least share of it that a crop shows) in this step."""
        if self.step / self.steps >= self.a.whole_from:
            return WHOLE_VIEW, AREA_WHOLE
        if not self.teacher:
            return WHOLE_VIEW, AREA
        return int(np.random.default_rng((self.a.seed, self.step)).integers(self.teacher.n_views)), AREA_IN_VIEW

    def loss_of(self, x, y, embeddings=None):
        """x: input of the network; y: classes, pictures.NO_CLASS where only the teacher knows."""
        if embeddings is None:
            return F.cross_entropy(self.net(x), y, label_smoothing=self.a.smooth)
        features = self.net.features(x)
        return self.class_loss(self.net.fc(features), y, embeddings) + self.teacher.loss(features, embeddings)

    def class_loss(self, logits, y, embeddings):
        """Of the pictures that have a class."""
        known, n = y != pictures.NO_CLASS, logits.shape[1]
        share, weight, other = 1 - SMOOTH_BESIDE_TEACHER, CE_BESIDE_TEACHER, 1 / n
        if self.teacher.has_own:
            share, weight, other = LABEL_SHARE, OWN_BESIDE_TEACHER, self.teacher.own_aim(embeddings)
        aim = share * F.one_hot(y.clamp(min=0), n) + (1 - share) * other
        ce = -(aim * F.log_softmax(logits, 1)).sum(1)
        return weight * (ce * known).sum() / known.sum().clamp(min=1)

    def loss(self):
        index = self.index()
        x, y = self.store.batch(index)
        view, area = self.shown()
        views, embeddings = self.teacher.view(view, index, self.device) if self.teacher else (None, None)
        x = augment.augment(x, self.side(), views, area, self.a.blur, self.a.sharpen)
        return self.objective(x, y, embeddings)

    def one_step(self):
        torch.manual_seed(self.a.seed * 1_000_003 + self.step)
        share = self.step / self.steps
        warm_up = min(WARM_UP_STEPS, max(1, self.steps // 10))
        rate = self.a.rate * max(min(1, (self.step + 1) / warm_up) * (1 - share), LEAST_RATE)
        for group in self.optimiser.param_groups:
            group['lr'] = rate
        loss = self.loss()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.net.project()
        self.step += 1
        return loss.item()

    def evaluate(self):
        side = self.a.sides[-1][1]
        accuracy = top1(self.net, self.held_out, side, self.device)
        self.history.append({'epoch': self.step / self.steps_an_epoch, 'side': side, 'top1': accuracy})
        print(f'epoch {self.step / self.steps_an_epoch:.1f}: held-out top-1 {accuracy:.4f} at {side} px', flush=True)

    def go(self, stop):
        """Trains to the end, or until stop() says so; returns whether the end was reached."""
        losses, since, saved = [], time.monotonic(), time.monotonic()
        while self.step < self.steps and not stop():
            start = time.monotonic()
            losses.append(self.one_step())
            self.seconds += time.monotonic() - start
            if self.step % LOG_STEPS == 0 or self.step == self.steps:
                speed = len(losses) * self.batch / (time.monotonic() - since)
                left = (self.steps - self.step) * self.batch / speed / 60
                print(f'step {self.step} of {self.steps}, {self.side() if self.step < self.steps else ""} px: '
                      f'loss {np.mean(losses):.3f}, {speed:.0f} pictures/s, {left:.0f} min left', flush=True)
                losses, since = [], time.monotonic()
            if self.step % (self.steps_an_epoch * self.a.evaluate) == 0 or self.step == self.steps:
                self.evaluate()
                since = time.monotonic()
            if time.monotonic() - saved > self.a.save_minutes * 60:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.step == self.steps


def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('data')
    p.add_argument('out', type=pathlib.Path)
    p.add_argument('--net', default='photo', choices=nets.NETS)
    p.add_argument('--options', type=json.loads, default={}, help="of the network's constructor, as JSON")
    p.add_argument('--epochs', type=float, default=30)
    p.add_argument('--batch', type=int, default=128)
    p.add_argument('--rate', type=float, help='learning rate: 2e-3, with --init 1e-3')
    p.add_argument('--smooth', type=float, default=0.0, help='label smoothing')
    p.add_argument('--sides', type=schedule, default=schedule('0.25:32,0.62:48,1:64'),
                   help='SHARE:SIDE,... of the training pictures; the last is what it will run at')
    p.add_argument('--store', type=int, help="side that a folder's pictures are kept at: 5/4 of the last side")
    p.add_argument('--held-out', type=float, default=0.1, help='share of each class, where there is no val part')
    p.add_argument('--init', type=pathlib.Path, help='latent weights to continue from')
    p.add_argument('--teacher', type=pathlib.Path, help='folder that teacher.py made')
    p.add_argument('--also', type=beside, action='append', default=[], metavar='MORE:CACHE',
                   help='further pictures, whose classes do not count, and what the teacher says about them')
    p.add_argument('--blur', type=float, default=0.0, help='share of the pictures that lose detail')
    p.add_argument('--sharpen', type=float, default=0.0, help='share of the others whose detail is made stronger')
    p.add_argument('--whole-from', type=float, default=1.0, metavar='SHARE',
                   help='from this share of the steps on it sees pictures nearly whole, as it will be asked about them')
    p.add_argument('--save-latent', type=pathlib.Path, help='at the end')
    p.add_argument('--evaluate', type=int, default=1, help='every so many epochs')
    p.add_argument('--save-minutes', type=float, default=10)
    p.add_argument('--device', help='cuda or cpu: what there is')
    p.add_argument('--bfloat16', action=argparse.BooleanOptionalAction, default=None,
                   help='binary convolutions while training (binary.py): by default on a GPU')
    p.add_argument('--compile', action='store_true', help='with torch.compile: a minute first, then nearly twice as fast')
    p.add_argument('--threads', type=int)
    p.add_argument('--seed', type=int, default=1)
    a = p.parse_args(argv)
    a.rate = a.rate or (1e-3 if a.init else 2e-3)
    a.store = a.store or a.sides[-1][1] * 5 // 4
    return a


def check_last(net, a):
    """The last side is what export.py and the engine will run."""
    if a.sides[-1][1] % net.side_multiple:
        raise SystemExit(f'with these options {a.net} runs at multiples of {net.side_multiple}: the last side cannot be '
                         f'{a.sides[-1][1]}')


def check(a):
    if a.also and not a.teacher:
        raise SystemExit('--also is for a --teacher')
    multiple = nets.NETS[a.net].side_multiple
    for _, side in a.sides:
        if side % multiple:
            raise SystemExit(f'{a.net} takes sides that are multiples of {multiple}, not {side}')


def main(argv=None):
    a = arguments(argv)
    check(a)
    if a.threads:
        torch.set_num_threads(a.threads)
    device = torch.device(a.device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    binary.Precision.choose(device, device.type == 'cuda' if a.bfloat16 is None else a.bfloat16)
    a.out.mkdir(parents=True, exist_ok=True)
    train, held_out = pictures.load(a.data, a.store, a.held_out, a.out)
    print(f'{len(train)} pictures of {len(train.classes)} classes, {len(held_out)} held out; {a.net} on {device}')
    torch.manual_seed(a.seed)
    run = Run(a, train, held_out, device)
    if run.path.exists():
        run.resume()
    stopped = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.append(True))
    if not run.go(lambda: stopped):
        print(f'stopped at step {run.step}: start again with the same arguments to resume')
        return
    if a.save_latent:
        checkpoint.save_latents(a.save_latent, run.net.state_dict(), a.net, a.options)
    print(f'{run.path}: {run.seconds / 60:.1f} minutes of training')


if __name__ == '__main__':
    main()
