# SPDX-License-Identifier: MIT
"""What the tests of tools/train share: drawn pictures, small networks, runs, and the skip where torch is not there."""

import pathlib
import sys

try:
	import torch
except ImportError:
	print("skipped: torch is not installed")
	sys.exit(77)
import numpy as np
from PIL import Image

from tools.train import pictures, run, train

ROOT = pathlib.Path(__file__).resolve().parents[2]

N_CLASSES, N_EACH, STORED = 4, 24, 40
SMALL = {
	"photo": ({"channels": [8, 16, 40], "layers": [1, 1, 2], "stem": 8, "feat": 24}, 32),
	"photo early pool": (
		{"channels": [8, 16, 40], "layers": [1, 2, 1], "stem": 8, "feat": 24, "early_pool": True, "unit_slopes": True},
		64,
	),
	"quicknet": ({"channels": [16, 24, 40], "layers": [1, 1, 2]}, 64),
	"birealnet18": ({"channels": [8, 16, 40], "layers": [2, 1, 1]}, 64),
	"reactnet_a": ({"channels": [8, 16, 32, 32, 64]}, 64),
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
	return pictures.Pictures(np.stack([drawn(rng, c, side) for c in y]), y, [f"class{c}" for c in range(N_CLASSES)])


def arguments(out, *more):
	return train.arguments(["-", str(out), "--threads", "1", "--batch", "16", *more])


def run_of(out, *more, data=None):
	data = data or drawn_set()
	a = arguments(out, *more)
	latents = train.latents_of(a)
	a.out.mkdir(parents=True, exist_ok=True)
	torch.manual_seed(a.seed)
	return run.Run(a, data, data.spread(20), torch.device("cpu"), latents)


def write_folder(root, data):
	for i, (x, y) in enumerate(zip(data.x, data.y, strict=True)):
		at = root / data.classes[y]
		at.mkdir(parents=True, exist_ok=True)
		Image.fromarray(x).save(at / f"{i:03d}.png")
