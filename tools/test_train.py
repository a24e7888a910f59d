#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of tools/train: test_train.py [CLASS]. Skips (77) where torch is not there: nothing else needs it.

Signs     the exact convolution, its gradient, half latents of the same signs
Data      folders, CIFAR files and npy pairs; the held-out part; views
Training  a run that was stopped gives the weights of one that was not; latents continue
Engine    every network, trained for a few steps and exported: features of lib/bnn (BNND_FEATURES) and of the numpy
          evaluator against torch in double
Command   train.py, export.py on a folder of pictures, as doc/TRAINING.md says
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import torch
except ImportError:
    print('skipped: torch is not installed')
    sys.exit(77)
import numpy as np
import torch.nn.functional as F
from PIL import Image

TOOLS = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(TOOLS), str(TOOLS / 'train')]
import augment        # noqa: E402
import binary         # noqa: E402
import checkpoint     # noqa: E402
import export         # noqa: E402
import leave_out_near  # noqa: E402
import nets           # noqa: E402
import normalise      # noqa: E402
import pictures       # noqa: E402
import prepare_pictures  # noqa: E402
import teacher        # noqa: E402
import train          # noqa: E402
from bnnfile import Evaluator, read, write    # noqa: E402
from datasets import engine_features          # noqa: E402

COSINE = 0.9999
N_CLASSES, N_EACH, STORED = 4, 24, 40
SMALL = {
    'photo': ({'channels': [8, 16, 40], 'layers': [1, 1, 2], 'stem': 8, 'feat': 24}, 32),
    'photo early pool': ({'channels': [8, 16, 40], 'layers': [1, 2, 1], 'stem': 8, 'feat': 24, 'early_pool': True,
                          'unit_slopes': True}, 64),
    'quicknet': ({'channels': [16, 24, 40], 'layers': [1, 1, 2]}, 64),
    'birealnet18': ({'channels': [8, 16, 40], 'layers': [2, 1, 1]}, 64),
    'reactnet_a': ({'channels': [8, 16, 32, 32, 64]}, 64),
}


def drawn(rng, label, side):
    """A picture with a shape of its class's colour on noise."""
    y, x = np.mgrid[:side, :side] / side
    cy, cx, r = rng.uniform(0.3, 0.7, 2).tolist() + [rng.uniform(0.15, 0.3)]
    inside = (np.hypot(y - cy, x - cx) < r) if label % 2 else (np.maximum(abs(y - cy), abs(x - cx)) < r)
    colour = np.array([(220, 60, 60), (60, 200, 80), (70, 80, 230), (220, 210, 70)][label])
    image = rng.normal(110, 40, (side, side, 3))
    image[inside] = colour + rng.normal(0, 15, (int(inside.sum()), 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def drawn_set(seed=3, side=STORED, n_each=N_EACH):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(N_CLASSES), n_each)
    return pictures.Pictures(np.stack([drawn(rng, c, side) for c in y]), y, [f'class{c}' for c in range(N_CLASSES)])


def arguments(out, *more):
    return train.arguments(['-', str(out), '--threads', '1', '--batch', '16', *more])


def run_of(out, *more, data=None):
    data = data or drawn_set()
    a = arguments(out, *more)
    a.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(a.seed)
    return train.Run(a, data, data.spread(20), torch.device('cpu'))


class Signs(unittest.TestCase):
    def test_exact_in_half(self):
        """What a GPU computes in float16 is what float32 gives, for every even number of taps up to 4096."""
        torch.manual_seed(0)
        x, w = (torch.randn(s).sign() for s in ((2, 256, 5, 5), (16, 256, 3, 3)))
        right = F.conv2d(x, w, padding=1)
        try:
            binary.Precision.forward = torch.float16
            self.assertTrue(torch.equal(binary.sign_conv(x, w, 1, 1, 0), right))
            ones = torch.ones(1, 448, 3, 3)    # 4032 taps, the largest sums there are
            self.assertEqual(binary.sign_conv(ones, ones).item(), 4032)
        finally:
            binary.Precision.forward = torch.float32

    def test_bfloat16_on_cpu(self):
        """Rounds while training, by 1/256 at most, and not otherwise; the gradients are those of float32, rounded."""
        torch.manual_seed(0)
        c = binary.TAPS_FROM_CHANNELS
        x, w = torch.randn(3, c, 6, 6).sign(), torch.randn(c, c, 3, 3)
        g, found = torch.randn(3, c, 6, 6), {}
        for bfloat16 in (False, True):
            binary.Precision.choose(torch.device('cpu'), bfloat16)
            self.addCleanup(binary.Precision.choose, torch.device('cpu'), False)
            a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
            y = binary.sign_conv(a, b, 1, 1)
            found[bfloat16] = y.detach(), *torch.autograd.grad(y, (a, b), g)
            with torch.no_grad():
                self.assertTrue(torch.equal(binary.sign_conv(x, w, 1, 1), found[False][0]))
        for name, exact, rounded in zip(('y', 'x', 'w'), found[False], found[True]):
            self.assertLess(((exact - rounded).norm() / exact.norm()).item(), 2 ** -7, name)
        right, made = found[False][0], found[True][0]
        self.assertTrue(((right - made).abs() <= right.abs() / 256).all())
        self.assertTrue((right == made)[right.abs() <= 256].all())

    def test_gradient(self):
        torch.manual_seed(0)
        for stride, pad, value in ((1, 1, 1), (2, 1, 0), (1, 1, -1), (1, 0, 1)):
            x = torch.randn(2, 6, 7, 7, dtype=torch.double, requires_grad=True)
            w = (torch.randn(5, 6, 3, 3, dtype=torch.double) * 0.3).requires_grad_()
            made = binary.sign_conv(x, w, stride, pad, value)
            signs = torch.where(w >= 0, 1.0, -1.0).double() + w - w.detach()
            padded = F.pad(x, (pad,) * 4, value=float(value))
            right = F.conv2d(padded, signs, stride=stride)
            g = torch.randn_like(made)
            for a, b in zip(torch.autograd.grad(made, (x, w), g), torch.autograd.grad(right, (x, w), g)):
                self.assertLess((a - b).abs().max().item(), 1e-12)
            self.assertTrue(torch.allclose(made, right))

    def test_latents_keep_signs(self):
        a = np.array([1e-9, -1e-9, 0.0, 1e6, -1e6, 0.5, -0.3], np.float32)
        half = checkpoint.to_half(a)
        self.assertEqual(half.dtype, np.float16)
        np.testing.assert_array_equal(half >= 0, a >= 0)
        self.assertTrue(np.isfinite(half).all())

    def test_projection(self):
        net = nets.build('photo', 3, dict(SMALL['photo early pool'][0]))
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(torch.randn_like(p) * 5)
        net.project()
        self.assertLessEqual(max(p.abs().max() for n, p in net.named_parameters() if binary.is_latent(n)),
                             binary.WEIGHT_BOUND)
        slopes = torch.cat([m.weight for m in net.modules() if isinstance(m, torch.nn.PReLU)])
        self.assertTrue(((slopes >= 0) & (slopes <= 1)).all())
        self.assertGreater(net.fc.weight.abs().max(), 2)


class Data(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def write_folder(self, root, data):
        for i, (x, y) in enumerate(zip(data.x, data.y)):
            at = root / data.classes[y]
            at.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x).save(at / f'{i:03d}.png')

    def test_folder(self):
        data = drawn_set()
        self.write_folder(self.folder / 'p', data)
        kept, held = pictures.load(self.folder / 'p', STORED, 0.25, self.folder)
        self.assertEqual((len(kept), len(held)), (72, 24))
        self.assertEqual(np.bincount(held.y).tolist(), [6] * 4)
        self.assertEqual(kept.classes, data.classes)
        both = np.concatenate([kept.x, held.x])
        self.assertEqual({p.tobytes() for p in both}, {p.tobytes() for p in data.x})
        again = pictures.load(self.folder / 'p', STORED, 0.25, self.folder)[1]
        np.testing.assert_array_equal(again.x, held.x)
        self.assertEqual(len(list(self.folder.glob('pictures-*.npy'))), 1)
        Image.fromarray(data.x[0]).save(self.folder / 'p' / 'class0' / 'new.png')
        self.assertEqual(sum(map(len, pictures.load(self.folder / 'p', STORED, 0.25, self.folder))), 97)

    def test_folder_with_parts(self):
        data = drawn_set()
        self.write_folder(self.folder / 'train', data)
        self.write_folder(self.folder / 'val', data.some(np.arange(90, 96)))
        kept, held = pictures.load(self.folder, STORED, 0.25, self.folder)
        self.assertEqual((len(kept), len(held)), (96, 6))
        self.assertEqual(set(held.y), {3})

    def test_picture_is_upright_and_central(self):
        wide = np.zeros((40, 80, 3), np.uint8)
        wide[:, :20], wide[:, 60:] = (255, 0, 0), (0, 0, 255)
        image = Image.fromarray(wide)
        exif = image.getexif()
        exif[0x0112] = 3    # turned by half
        (self.folder / 'a').mkdir()
        image.save(self.folder / 'a' / 'x.png', exif=exif)
        square = pictures.open_square(self.folder / 'a' / 'x.png', 40)
        self.assertEqual(square.shape, (40, 40, 3))
        self.assertEqual(square.max(), 0)
        wide[:, 40:] = (0, 255, 0)
        Image.fromarray(wide).save(self.folder / 'a' / 'y.png', exif=exif)
        self.assertGreater(pictures.open_square(self.folder / 'a' / 'y.png', 40)[20, 5, 1], 200)

    def test_prepare(self):
        (self.folder / 'p' / 'a').mkdir(parents=True)
        (self.folder / 'p' / 'b').mkdir()
        long = np.zeros((64, 128, 3), np.uint8)
        long[:, 64:] = 255
        Image.fromarray(long).save(self.folder / 'p' / 'a' / 'long.png')
        Image.fromarray(long[:, :64]).save(self.folder / 'p' / 'b' / 'square.png')
        Image.fromarray(long[:40, :40]).save(self.folder / 'p' / 'a' / 'small.png')
        (self.folder / 'p' / 'a' / 'broken.jpg').write_bytes(b'not a picture')
        (self.folder / 'names').write_text('b\n')
        for more, means in (((), [0, 255, 0]), (('--leave-out', str(self.folder / 'names')), [0, 255])):
            prepare_pictures.main([str(self.folder / 'out'), str(self.folder / 'p'), '--side', '32', *more])
            made = pictures.unlabelled(self.folder / 'out')
            self.assertEqual(made.x.shape[1:], (32, 32, 3))
            np.testing.assert_allclose(made.x.mean((1, 2, 3)), means, atol=2)    # the ends meet in one pixel
        with self.assertRaisesRegex(SystemExit, 'no pictures'):
            prepare_pictures.main([str(self.folder / 'out'), str(self.folder / 'out')])

    def test_refusals(self):
        with self.assertRaises(SystemExit):
            pictures.load(self.folder / 'nothing', STORED)
        (self.folder / 'a').mkdir()
        with self.assertRaises(SystemExit):
            pictures.load(self.folder, STORED)
        (self.folder / 'a' / 'x.jpg').write_bytes(b'not a picture')
        with self.assertRaises(SystemExit):
            pictures.load(self.folder, STORED, 0.1, self.folder)
        (self.folder / 'c.bin').write_bytes(bytes(100))
        with self.assertRaises(SystemExit):
            pictures.load(self.folder / 'c.bin', STORED)

    def test_cifar(self):
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, 256, (20, 32, 32, 3), np.uint8), np.arange(20) % 2
        for labels in (1, 2):
            rows = [bytes([9] * (labels - 1) + [c]) + p.transpose(2, 0, 1).tobytes() for p, c in zip(x, y)]
            (self.folder / 'c.bin').write_bytes(b''.join(rows))
            found = pictures.load_cifar(self.folder / 'c.bin')
            np.testing.assert_array_equal(found.x, x)
            np.testing.assert_array_equal(found.y, y)

    def test_views(self):
        torch.manual_seed(0)
        crop = augment.crops(500, 0.25, 'cpu')
        self.assertTrue(((crop[:, :2] > 0.4) & (crop[:, :2] <= 1)).all())
        self.assertTrue((crop[:, 2:].abs() + crop[:, :2] <= 1 + 1e-6).all())
        views = torch.from_numpy(teacher.fixed_views(2, 500))
        self.assertTrue((views[0] == torch.tensor([1.0, 1, 0, 0])).all())
        within = augment.inside(views[1], crop)
        self.assertTrue((within[:, 2:].abs() + within[:, :2] <= 1 + 1e-5).all())
        x = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(1, 3, 1, 1)
        quarter = augment.cut(x, torch.tensor([[0.5, 0.5, 0.5, -0.5]]), 4)    # the upper right quarter
        self.assertTrue(torch.allclose(quarter, x[:, :, :4, 4:], atol=1e-4))


class Training(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        torch.set_num_threads(1)

    def test_resumes(self):
        """Stopped after any step and started again: the same weights, bit for bit."""
        more = ('--epochs', '2', '--sides', '0.5:32,1:48', '--options', '{"channels": [8, 16], "layers": [1, 1]}')
        whole = run_of(self.folder / 'whole', *more)
        self.assertTrue(whole.go(lambda: False))
        for stop_at in (1, 7):
            parts = run_of(self.folder / f'parts{stop_at}', *more)
            self.assertFalse(parts.go(lambda: parts.step == stop_at))
            parts = run_of(self.folder / f'parts{stop_at}', *more)
            parts.resume()
            self.assertEqual(parts.step, stop_at)
            self.assertTrue(parts.go(lambda: False))
            for a, b in zip(whole.net.state_dict().values(), parts.net.state_dict().values()):
                self.assertTrue(torch.equal(a, b))
        other = run_of(self.folder / 'parts1', *more, '--epochs', '3')
        with self.assertRaises(SystemExit):
            other.resume()

    def test_learns(self):
        options = '{"channels": [8, 16], "layers": [1, 1]}'
        run = run_of(self.folder, '--epochs', '12', '--sides', '1:32', '--options', options)
        run.go(lambda: False)
        self.assertGreater(run.history[-1]['top1'], 0.6)

    def test_top1_keeps_mode(self):
        """Batch norm of a network left in training mode would depend on which pictures are asked together."""
        net, data = nets.build('photo', N_CLASSES, SMALL['photo'][0]), drawn_set()
        for mode in (True, False):
            train.top1(net.train(mode), data, 32, torch.device('cpu'))
            self.assertEqual(net.training, mode)
        x = data.x[:10]
        alone = np.concatenate([normalise.features(net, p[None], 32) for p in x])
        np.testing.assert_allclose(normalise.features(net, x, 32), alone, atol=1e-4)

    def test_latents(self):
        options, _ = SMALL['photo']
        net = nets.build('photo', 3, options)
        checkpoint.save_latents(self.folder / 'x.npz', net.state_dict(), 'photo', options)
        name, found, state = checkpoint.read_latents(self.folder / 'x.npz')
        self.assertEqual((name, found), ('photo', options))
        other = nets.build('photo', 5, found)
        fc = other.fc.weight.clone()
        self.assertEqual(checkpoint.continue_from(other, found, state), ['fc.bias', 'fc.weight'])
        self.assertTrue(torch.equal(other.fc.weight, fc))
        for (key, a), b in zip(net.named_parameters(), other.parameters()):
            if not key.startswith('fc.'):
                self.assertLess((a - b).abs().max().item(), 1e-2)
                self.assertTrue(torch.equal(a >= 0, b >= 0))
        with self.assertRaises(SystemExit):
            checkpoint.continue_from(nets.build('photo', 3, {**options, 'stem': 16}), options, state)
        with self.assertRaises(SystemExit):
            checkpoint.continue_from(nets.build('quicknet', 3, SMALL['quicknet'][0]), {}, state)

    def test_grows(self):
        """Further layers change nothing at first, and then learn."""
        run = run_of(self.folder / 'few', '--epochs', '2', '--sides', '1:32', '--options',
                     '{"channels": [8, 16], "layers": [1, 2]}', '--save-latent', str(self.folder / 'few.npz'))
        run.go(lambda: False)
        state, x = run.net.state_dict(), drawn_set().x[:20]
        more = {'channels': [8, 16], 'layers': [3, 4]}
        grown = nets.build('photo', N_CLASSES, more)
        checkpoint.continue_from(grown, run.a.options, state)
        np.testing.assert_array_equal(normalise.features(grown.eval(), x, 32),
                                      normalise.features(run.net.eval(), x, 32))
        checkpoint.save_latents(self.folder / 'few.npz', state, 'photo', run.a.options)
        run = run_of(self.folder / 'more', '--epochs', '2', '--sides', '1:32', '--options', json.dumps(more), '--init',
                     str(self.folder / 'few.npz'))
        run.go(lambda: False)
        self.assertGreater(min(run.net.body[i].bn.weight.abs().max() for i in (1, 2, 6, 7)), 1e-3)
        back = nets.build('photo', N_CLASSES, {**more, 'layers': [1, 2]})
        checkpoint.continue_from(back, more, run.net.state_dict())
        self.assertTrue(torch.equal(back.body[3].w, run.net.body[5].w))    # the last that is left, of the second stage
        with self.assertRaisesRegex(SystemExit, 'other stages'):
            checkpoint.continue_from(nets.build('photo', N_CLASSES, {}), more, run.net.state_dict())

    def test_pool_of_odd_sides(self):
        pool, x = nets.EarlyPool(), torch.arange(36.0).reshape(1, 1, 6, 6)
        self.assertTrue(torch.equal(pool(x), F.avg_pool2d(x, 2)))
        x = x[:, :, :3, :3]
        self.assertEqual(pool(x).flatten().tolist(), [x[0, 0, i:i + 2, j:j + 2].mean() for i in (0, 1) for j in (0, 1)])

    def test_last_side(self):
        """Refused before the training, not after it by export."""
        with self.assertRaisesRegex(SystemExit, 'multiples of 32'):
            run_of(self.folder, '--sides', '0.5:64,1:48', '--options', json.dumps(SMALL['photo early pool'][0]))

    def made_up_teacher(self, name, y):
        """A folder as teacher.py makes it, whose embeddings are of the classes y."""
        folder, rng = self.folder / name, np.random.default_rng(0)
        folder.mkdir()
        of_class = rng.normal(0, 1, (N_CLASSES, teacher.EMBEDDING)).astype(np.float16)
        np.save(folder / teacher.VIEWS, teacher.fixed_views(2, len(y)))
        np.save(folder / teacher.KEPT, np.stack([of_class[y]] * 2))
        np.savez(folder / teacher.CLASSIFIER, w=rng.normal(0, 0.05, (7, teacher.EMBEDDING)).astype('f4'),
                 b=np.zeros(7, 'f4'))
        return folder

    def test_more_pictures(self):
        """Pictures without classes beside those with: the teacher's embeddings stay with their pictures."""
        data, more = drawn_set(), drawn_set(seed=5)
        (self.folder / 'more').mkdir()
        np.save(self.folder / 'more' / 'train_x.npy', more.x)
        caches = self.made_up_teacher('a', data.y), self.made_up_teacher('b', more.y)
        run = run_of(self.folder / 'run', '--epochs', '2', '--sides', '1:32', '--teacher', str(caches[0]), '--also',
                     f'{self.folder / "more"}:{caches[1]}', '--blur', '0.5', '--sharpen', '0.5', '--options',
                     '{"channels": [8, 16], "layers": [1, 1]}', data=data)
        self.assertEqual(len(run.store.data), len(data) + len(more))
        index = np.array([len(data) + 3, 2, len(data)])
        groups, y = run.store.batch(index)
        self.assertEqual(y.tolist(), [pictures.NO_CLASS, data.y[2], pictures.NO_CLASS])
        self.assertEqual([where.tolist() for where, _ in groups], [[1], [0, 2]])
        for (_, x), part in zip(groups, (data.x[[2]], more.x[[3, 0]])):
            np.testing.assert_array_equal(x.permute(0, 2, 3, 1).numpy(), part)
        kept = [np.load(c / teacher.KEPT)[1] for c in caches]
        np.testing.assert_array_equal(run.teacher.view(1, index, 'cpu')[1].numpy(),
                                      np.stack([kept[1][3], kept[0][2], kept[1][0]]))
        losses = [run.one_step() for _ in range(run.steps)]
        self.assertTrue(np.isfinite(losses).all())
        with self.assertRaises(SystemExit):
            train.check(train.arguments(['x', 'y', '--also', 'a:b']))

    def test_leaves_out_near(self):
        """Copies of held-out pictures are found by their embeddings; pictures and embeddings go together."""
        rng, more = np.random.default_rng(3), drawn_set(seed=5)
        held_out = rng.normal(2, 1, (30, teacher.EMBEDDING)).astype('f4')
        made = rng.normal(2, 1, (len(more), teacher.EMBEDDING)).astype(np.float16)
        made[[4, 9]] = held_out[[7, 0]] + rng.normal(0, 0.2, (2, teacher.EMBEDDING))
        self.assertEqual(np.flatnonzero(leave_out_near.nearest(made, held_out) > 0.8).tolist(), [4, 9])
        folder, cache = self.folder / 'more', self.made_up_teacher('cache', more.y)
        folder.mkdir()
        np.save(folder / 'train_x.npy', more.x)
        index = np.flatnonzero(~np.isin(np.arange(len(more)), [4, 9]))
        leave_out_near.leave_out(folder, cache, self.folder / 'out', self.folder / 'out-cache', index)
        np.testing.assert_array_equal(np.load(self.folder / 'out' / 'train_x.npy')[4], more.x[5])
        left = teacher.Teacher([self.folder / 'out-cache'], len(index), 8)
        np.testing.assert_array_equal(left.view(1, np.array([4]), 'cpu')[1][0], np.load(cache / teacher.KEPT)[1][5])

    def test_sides_together(self):
        """Pictures of two sides in one batch: each is cut from its own pixels, and stands in its place."""
        small, large = drawn_set(), drawn_set(seed=5)
        large = pictures.Pictures(large.x.repeat(2, 1).repeat(2, 2), np.full(len(large), pictures.NO_CLASS), [])
        store = train.Store(pictures.joined([small, large]), torch.device('cpu'))
        groups, _ = store.batch(np.array([len(small) + 1, 3, 0]))
        made = augment.cut_groups(groups, torch.tensor([augment.WHOLE] * 3, dtype=torch.float32), STORED)
        made = made.permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(made[1:], small.x[[3, 0]], atol=0.1)
        halved = pictures.squares(large.x, STORED).astype('f4')
        self.assertEqual(abs(made[0] - halved).mean((1, 2, 3)).argmin(), 1)
        self.assertIs(pictures.joined([small]), small)

    def test_own_classes(self):
        """The teacher's word on the pictures' own classes: fitted, kept, and mixed with the label."""
        data = drawn_set()
        folder = self.made_up_teacher('teacher', data.y)
        more = ('--epochs', '8', '--sides', '1:32', '--teacher', str(folder), '--options',
                '{"channels": [8, 16], "layers": [1, 1]}')
        run = run_of(self.folder / 'none', *more)
        logits, y = torch.randn(6, N_CLASSES), torch.tensor([0, 1, pictures.NO_CLASS, 2, 3, pictures.NO_CLASS])
        self.assertFalse(run.teacher.has_own)
        smooth = F.cross_entropy(logits, y, label_smoothing=train.SMOOTH_BESIDE_TEACHER, ignore_index=pictures.NO_CLASS)
        self.assertAlmostEqual(run.class_loss(logits, y, None).item(), train.CE_BESIDE_TEACHER * smooth.item(), 4)
        teacher.add_own(folder, data, torch.device('cpu'))
        made = teacher.Teacher([folder], len(data), 8)
        kept = np.load(folder / teacher.KEPT).astype('f4')
        aim = made.own_aim(torch.from_numpy(kept[1]))
        self.assertEqual(aim.shape, (len(data), N_CLASSES))
        self.assertTrue((aim.argmax(1).numpy() == data.y).all())
        run = run_of(self.folder / 'run', *more)
        rows = torch.from_numpy(kept[0][:6])
        own = F.one_hot(y.clamp(min=0), N_CLASSES) * train.LABEL_SHARE + (1 - train.LABEL_SHARE) * made.own_aim(rows)
        each = -(own * F.log_softmax(logits, 1)).sum(1)[y >= 0]
        self.assertAlmostEqual(run.class_loss(logits, y, rows).item(), train.OWN_BESIDE_TEACHER * each.mean().item(), 4)
        losses = [run.one_step() for _ in range(run.steps)]
        self.assertLess(np.mean(losses[-6:]), 0.8 * np.mean(losses[:6]))
        own = np.load(folder / teacher.OWN)
        np.savez(folder / teacher.OWN, w=own['w'][:2], b=own['b'][:2])
        with self.assertRaisesRegex(SystemExit, 'knows 2 classes, there are 4'):
            run_of(self.folder / 'other', '--teacher', str(folder))
        other = pictures.Pictures(data.x, np.full(len(data), pictures.NO_CLASS), [])
        teacher.add_own(self.made_up_teacher('unlabelled', data.y), other, torch.device('cpu'))
        self.assertFalse((self.folder / 'unlabelled' / teacher.OWN).exists())

    def test_detail(self):
        torch.manual_seed(0)
        x = torch.rand(8, 3, 32, 32) * 255
        made = augment.detail(x, 0.5, 0.5)
        rough = (lambda p: (p[..., 1:] - p[..., :-1]).abs().mean((1, 2, 3)))
        self.assertTrue((rough(made[:4]) < 0.9 * rough(x[:4])).all())
        self.assertTrue((rough(made[4:6]) > rough(x[4:6])).all())
        self.assertTrue(torch.equal(made[6:], x[6:]))
        self.assertTrue(torch.equal(augment.detail(x, 0.0, 0.0), x))

    def test_teacher(self):
        """A made-up teacher: views and embeddings are used, and its loss falls."""
        data = drawn_set()
        folder = self.made_up_teacher('teacher', data.y)
        run = run_of(self.folder / 'run', '--epochs', '8', '--sides', '1:32', '--teacher', str(folder), '--options',
                     '{"channels": [8, 16], "layers": [1, 1]}')
        losses = [run.one_step() for _ in range(run.steps)]
        self.assertLess(np.mean(losses[-6:]), 0.7 * np.mean(losses[:6]))
        with self.assertRaises(SystemExit):
            run_of(self.folder / 'run2', '--teacher', str(folder), data=data.spread(50))

    def test_whole_from(self):
        """At the end pictures are seen as they will be asked about: the teacher's whole view, and most of it."""
        data = drawn_set()
        folder = self.made_up_teacher('teacher', data.y)
        for beside, area in ((['--teacher', str(folder)], train.AREA_IN_VIEW), ([], train.AREA)):
            run = run_of(self.folder / f'run{area}', '--epochs', '4', '--sides', '1:32', '--whole-from', '0.5', '--options',
                         '{"channels": [8, 16], "layers": [1, 1]}', *beside)
            shown = []
            while run.step < run.steps:
                shown.append(run.shown())
                run.one_step()
            half = run.steps // 2
            self.assertEqual({least for _, least in shown[:half]}, {area})
            self.assertEqual({view for view, _ in shown[:half]}, {0, 1} if beside else {train.WHOLE_VIEW})
            self.assertEqual(set(shown[half:]), {(train.WHOLE_VIEW, train.AREA_WHOLE)})

    def test_whitening(self):
        rng = np.random.default_rng(0)
        y = np.repeat(np.arange(8), 400)
        spread = rng.normal(0, 1, (16, 16))
        raw = (rng.normal(0, 3, (8, 16))[y] + rng.normal(0, 1, (len(y), 16)) @ spread).astype('f4')
        mean, matrix = normalise.whitening(raw, y, root=False, shrink=0.0)
        np.testing.assert_allclose(normalise.within_scatter((raw - mean) @ matrix, y), np.eye(16), atol=1e-6)
        h = normalise.normalise(raw, mean, matrix, False)
        np.testing.assert_allclose(np.linalg.norm(h, axis=1), 1)
        chosen, rest = normalise.few(y, 20)
        found = normalise.heads(h[chosen], y[chosen], h[rest], y[rest], normalise.prior_covariance(h, y))
        self.assertGreater(min(found.values()), 0.9)


class Engine(unittest.TestCase):
    def test_features(self):
        torch.set_num_threads(1)
        data = drawn_set(side=64)
        program = os.environ.get('BNND_FEATURES')
        for name, (options, side) in SMALL.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                run = run_of(pathlib.Path(folder), '--net', name.split()[0], '--epochs', '3', '--sides', f'1:{side}',
                             '--options', json.dumps(options), data=data)
                run.go(lambda: False)
                self.compare(run.net.eval(), side, data, pathlib.Path(folder) / 'x.bnn', program)

    def compare(self, net, side, data, path, program):
        x = pictures.squares(data.x, side)
        raw = normalise.features(net, x, side)
        mean, matrix = (v.astype('f4') for v in normalise.whitening(raw, data.y, net.root))
        covariance = normalise.prior_covariance(normalise.normalise(raw, mean, matrix, net.root), data.y)
        write(path, export.build_model(net, side, mean, matrix, covariance, 'x'))
        some = x[::6]
        right = normalise.normalise(normalise.features(net.double(), some, side, torch.double), mean.astype('f8'),
                                    matrix.astype('f8'), net.root)
        made = {'double': Evaluator(read(path)).run(some), 'exact': Evaluator(read(path), 'exact').run(some[:2])}
        if program:
            made['engine'] = engine_features(program, path, some)
            self.assertTrue(np.array_equal(made['engine'][:2].view('u4'), made['exact'].view('u4')))
        for what, h in made.items():
            cosine = (h * right[:len(h)]).sum(1) / np.linalg.norm(h, axis=1)
            self.assertGreaterEqual(cosine.min(), COSINE, what)


class Command(unittest.TestCase):
    def test_a_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            Data.write_folder(self, folder / 'mine', drawn_set())
            Data.write_folder(self, folder / 'others', drawn_set(seed=4))

            def tool(name, *more):
                return subprocess.run([sys.executable, '-B', str(TOOLS / 'train' / name), *map(str, more)], check=True,
                                      cwd=folder, stdout=subprocess.PIPE, text=True).stdout
            options = '{"channels": [8, 16], "layers": [1, 1], "stem": 8, "feat": 16}'
            common = ('mine', 'run', '--epochs', 1, '--sides', '1:32', '--options', options, '--threads', 1,
                      '--batch', 16)
            self.assertIn('held-out top-1', tool('train.py', *common))
            self.assertIn('resumes at step 5 of 5', tool('train.py', *common, '--save-latent', 'mine.npz'))
            tool('export.py', 'run/checkpoint.pt', 'mine.bnn', '--episodes', 'others', '--threads', 1)
            model = read(folder / 'mine.bnn')
            self.assertEqual(model.graph.card.name, 'mine')
            self.assertIn('4 classes', model.graph.card.text)
            self.assertEqual(len(model.graph.answers.unknown_cosine), 5)
            self.assertEqual(model.covariance().shape, (16, 16))
            self.assertIn('continues from mine.latent.npz', tool(
                'train.py', 'others', 'run2', '--init', 'mine.latent.npz', *common[2:]))


if __name__ == '__main__':
    unittest.main(verbosity=2)
