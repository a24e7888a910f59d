# SPDX-License-Identifier: MIT
"""Labelled pictures from a folder of class folders, CIFAR files, or npy files. All squares of bytes, N x S x S x 3.

  FOLDER/CLASS/*.jpg                        a class a folder; FOLDER/train/CLASS and FOLDER/val/CLASS where both are there
  FOLDER/{train,val}_{x,y}.npy              as prepare_tiny_imagenet.py writes them; classes.txt may name the classes
  FOLDER/train_x.npy                        without classes, for a teacher to speak about
  FILE.bin, FILE.bin.xz                     CIFAR-10 or CIFAR-100 (fine labels) as their authors pack them

What has no held-out part of its own gets one: a share of each class, the same in every run. Pictures of a folder are
turned upright (EXIF), cropped to their centre square and reduced once; the squares are kept in a cache.
"""
import hashlib
import lzma
import os
import pathlib

import numpy as np
import torch
from PIL import Image, ImageOps

SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')
CIFAR_SIDE = 32
SPLIT_SEED = 1
NO_CLASS = -1


class Pictures:
    """x: bytes N x S x S x 3 (may be mapped from a file); y: class numbers; classes: their names."""

    def __init__(self, x, y, classes):
        self.x, self.y, self.classes = x, np.asarray(y, np.int64), list(classes)

    def __len__(self):
        return len(self.y)

    def some(self, index):
        return Pictures(self.x[index], self.y[index], self.classes)

    def spread(self, n):
        """At most n of them, evenly spaced."""
        if len(self) <= n:
            return self
        return self.some(np.linspace(0, len(self) - 1, n).astype(int))


def batches(x, n):
    """At most n of them at a time."""
    return (x[i:i + n] for i in range(0, len(x), n))


def squares(x, side):
    """N x S x S x 3 to the networks' side by Pillow's BILINEAR, as lib/image does it."""
    if x.shape[1] == side:
        return np.ascontiguousarray(x)
    return np.stack([np.asarray(Image.fromarray(p).resize((side, side), Image.BILINEAR)) for p in x])


def tensor(x, device, dtype=torch.float32):
    """Bytes N x S x S x 3 -> numbers 0..255, N x 3 x S x S."""
    return torch.from_numpy(np.array(x)).to(device).permute(0, 3, 1, 2).to(dtype)


def open_upright(path, side):
    """The picture, at twice the side or more (if it has as much)."""
    image = Image.open(path)
    image.draft('RGB', (2 * side, 2 * side))    # JPEG: decodes at a half, a quarter or an eighth where that is enough
    return ImageOps.exif_transpose(image).convert('RGB')


def resized(image, side, box):
    return np.asarray(image.resize((side, side), Image.BILINEAR, box))


def central(image, side):
    w, h = image.size
    s = min(w, h)
    return resized(image, side, ((w - s) // 2, (h - s) // 2, (w - s) // 2 + s, (h - s) // 2 + s))


def open_square(path, side):
    return central(open_upright(path, side), side)


# --- folders ---------------------------------------------------------------------------------------------------------

def class_files(folder):
    """[(path, class name)] in the order of the names."""
    found = []
    for sub in sorted(p for p in folder.iterdir() if p.is_dir()):
        found += [(p, sub.name) for p in sorted(sub.rglob('*')) if p.suffix.lower() in SUFFIXES]
    return found


def decode(files, side, cache):
    """The squares of files, from the cache if they are the same files as then."""
    key = hashlib.sha256(str(side).encode())
    for path, _ in files:
        stat = path.stat()
        key.update(f'{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n'.encode())
    at = pathlib.Path(cache) / f'pictures-{key.hexdigest()[:16]}.npy'
    if at.exists():
        return np.load(at, mmap_mode='r')
    at.parent.mkdir(parents=True, exist_ok=True)
    part = at.with_suffix('.part')
    out = np.lib.format.open_memmap(part, mode='w+', dtype=np.uint8, shape=(len(files), side, side, 3))
    for i, (path, _) in enumerate(files):
        try:
            out[i] = open_square(path, side)
        except (OSError, ValueError) as e:
            raise SystemExit(f'{path}: not a picture that can be read: {e}') from None
        if i % 2000 == 1999:
            print(f'{i + 1} of {len(files)} pictures read', flush=True)
    out.flush()
    os.replace(part, at)
    return np.load(at, mmap_mode='r')


def load_folder(folder, side, held_out, cache):
    parts = [folder / 'train', folder / 'val'] if (folder / 'train').is_dir() and (folder / 'val').is_dir() else [folder]
    files = [class_files(p) for p in parts]
    classes = sorted({c for part in files for _, c in part})
    if not classes:
        raise SystemExit(f'{folder}: no class folders with pictures ({", ".join(SUFFIXES)})')
    number = {c: i for i, c in enumerate(classes)}
    made = [Pictures(decode(f, side, cache), [number[c] for _, c in f], classes) for f in files if f]
    return made if len(made) == 2 else split(made[0], held_out)


# --- arrays ----------------------------------------------------------------------------------------------------------

def load_cifar(path):
    with (lzma.open if path.suffix == '.xz' else open)(path, 'rb') as f:
        raw = f.read()
    plane = CIFAR_SIDE * CIFAR_SIDE
    labels = next((n for n in (1, 2) if len(raw) % (n + 3 * plane) == 0), None)
    if labels is None:
        raise SystemExit(f'{path}: not a CIFAR file')
    rows = np.frombuffer(raw, np.uint8).reshape(-1, labels + 3 * plane)
    x = rows[:, labels:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE).transpose(0, 2, 3, 1)
    y = rows[:, labels - 1]
    return Pictures(np.ascontiguousarray(x), y, [str(i) for i in range(int(y.max()) + 1)])


def load_npy(folder):
    parts = []
    for part in ('train', 'val'):
        x, y = np.load(folder / f'{part}_x.npy', mmap_mode='r'), np.load(folder / f'{part}_y.npy')
        if x.ndim != 4 or x.shape[1] != x.shape[2] or x.shape[3] != 3 or x.dtype != np.uint8 or len(x) != len(y):
            raise SystemExit(f'{folder}/{part}_x.npy: not bytes N x S x S x 3 with as many labels')
        parts.append((x, y))
    names = folder / 'classes.txt'
    n = max(int(y.max()) for _, y in parts) + 1
    classes = names.read_text().split('\n')[:n] if names.exists() else [str(i) for i in range(n)]
    return [Pictures(x, y, classes) for x, y in parts]


def split(pictures, share):
    """(the rest, a share of each class): at least one held out where a class has two."""
    rng = np.random.default_rng(SPLIT_SEED)
    held = []
    for c in range(len(pictures.classes)):
        index = rng.permutation(np.flatnonzero(pictures.y == c))
        held.append(index[:max(1, round(len(index) * share)) if len(index) > 1 else 0])
    mask = np.zeros(len(pictures), bool)
    mask[np.concatenate(held)] = True
    return pictures.some(np.flatnonzero(~mask)), pictures.some(np.flatnonzero(mask))


def unlabelled(folder):
    x = np.load(pathlib.Path(folder) / 'train_x.npy', mmap_mode='r')
    return Pictures(x, np.full(len(x), NO_CLASS), [])


def training_part(source, side, held_out, cache):
    """As load()'s first, or the pictures of a folder without classes."""
    folder = pathlib.Path(source)
    if (folder / 'train_x.npy').exists() and not (folder / 'train_y.npy').exists():
        return unlabelled(folder)
    return load(source, side, held_out, cache)[0]


class Rows:
    """Arrays, one after the other, as one; rows are taken out of it where those of all are of one shape."""

    def __init__(self, parts):
        self.parts, self.starts = parts, np.cumsum([0] + [len(p) for p in parts])

    def __len__(self):
        return int(self.starts[-1])

    def touched(self, index):
        """Of each part that index touches: its number, the places in index, and its own rows there."""
        for i, (part, start) in enumerate(zip(self.parts, self.starts)):
            places = np.flatnonzero((index >= start) & (index < start + len(part)))
            if len(places):
                yield i, places, index[places] - start

    def __getitem__(self, index):
        out = np.empty((len(index), *self.parts[0].shape[1:]), self.parts[0].dtype)
        for i, places, rows in self.touched(index):
            out[places] = self.parts[i][rows]
        return out


def joined(parts):
    """Pictures after pictures, with the classes of the first. Their sides may differ."""
    if len(parts) == 1:
        return parts[0]
    return Pictures(Rows([p.x for p in parts]), np.concatenate([p.y for p in parts]), parts[0].classes)


def load(source, side, held_out=0.1, cache='.'):
    """(training part, held-out part). side: to which the pictures of folders are reduced; others stay as they are."""
    source = pathlib.Path(source)
    if source.is_file():
        return split(load_cifar(source), held_out)
    if (source / 'train_x.npy').exists():
        return load_npy(source)
    if source.is_dir():
        return load_folder(source, side, held_out, cache)
    raise SystemExit(f'{source}: no such folder or file')
