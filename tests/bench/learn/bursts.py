# SPDX-License-Identifier: MIT
"""Bursts: what a camera makes of one moment, from one real photograph.

People teach by holding a button: twenty frames of a second. Here such frames are made of a photograph, the same for
the same seed: the camera shakes and drifts (shift, turn, zoom, tilt: the neighbouring view), exposure and colour
follow, and each frame has its own blur and noise. The photograph fills a little more than the frame, so that no border
comes in.

  burst(photograph, 20, side, seed)            N x side x side x 3 bytes
  burst(photograph, 20, side, seed, WALK)      another hand

blurred() and dusk() are other pictures of the same photograph: one that shows nothing any more, one by evening light.
"""

import dataclasses

import numpy as np
from PIL import Image, ImageFilter

SHOWN = 0.84  # of the photograph's side, before any motion: the rest is room for it
EDGE = 0.995  # corners are held within this share of the photograph
RATE = 20.0  # frames a second
GAMMA = 2.2


@dataclasses.dataclass(frozen=True)
class Hand:
	"""How a camera is held: standard deviations of what swings, with a time of `swing` seconds, and what drifts over
	the burst from its first frame to its last: uniform within +- the number."""

	shift: float  # of the frame's side
	turn: float  # degrees
	zoom: float  # share
	stops: float  # of exposure
	colour: float  # share of red and of blue
	blur: float  # pixels of a frame of 96
	noise: float  # of 255 in the mid-tones
	drift_shift: float
	drift_turn: float
	drift_zoom: float
	drift_tilt: float  # share by which one side of the view is nearer than the other
	drift_stops: float
	swing: float = 0.15


TRIPOD = Hand(0.001, 0.02, 0.0, 0.03, 0.005, 0.1, 3.0, 0.0, 0.0, 0.0, 0.0, 0.05)
HAND = Hand(0.012, 0.8, 0.01, 0.06, 0.01, 0.4, 4.0, 0.03, 2.0, 0.04, 0.05, 0.15)
WALK = Hand(0.02, 1.5, 0.02, 0.08, 0.02, 0.6, 5.0, 0.07, 5.0, 0.12, 0.16, 0.3)


def swinging(rng, n, deviation, swing):
	"""A path of n frames around 0 that forgets itself in `swing` seconds (first-order autoregression)."""
	keep = np.exp(-1 / (RATE * swing))
	steps = rng.normal(size=n)
	path = np.empty(n)
	path[0] = steps[0]
	for i in range(1, n):
		path[i] = keep * path[i - 1] + np.sqrt(1 - keep * keep) * steps[i]
	return deviation * path


def drifting(rng, n, most):
	return rng.uniform(-most, most) * np.linspace(0, 1, n)


def corners(shift_x, shift_y, turn, zoom, tilt_x, tilt_y):
	"""Where the frame's corners (top left, bottom left, bottom right, top right) lie in a photograph from 0 to 1."""
	half = SHOWN / 2 / (1 + zoom)
	unit = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
	near = 1 + unit[:, :1] * tilt_x + unit[:, 1:] * tilt_y
	a = np.deg2rad(turn)
	turned = (unit / near) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
	at = half * turned + SHOWN * np.array([shift_x, shift_y])
	return 0.5 + at * min(1.0, EDGE * 0.5 / np.abs(at).max())


def perspective(at, size, side):
	"""The eight numbers of Pillow's PERSPECTIVE that map the frame onto the photograph's quadrilateral."""
	frame = [(0, 0), (0, side), (side, side), (side, 0)]
	rows, right = [], []
	for (x, y), (u, v) in zip(frame, at * size, strict=True):
		rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
		right += [u, v]
	return np.linalg.solve(np.array(rows, float), np.array(right))


def lit(pixels, stops, red=0.0, blue=0.0):
	"""0..255 floats under more or less light, and another colour of it."""
	gain = 2.0**stops * np.array([1 + red, 1.0, 1 + blue])
	return 255 * np.clip((pixels / 255) ** GAMMA * gain, 0, 1) ** (1 / GAMMA)


def noisy(rng, pixels, deviation):
	"""Sensor noise: with the root of the light, and a little in the dark."""
	scale = deviation * np.sqrt(0.15 + pixels / 150)
	return np.clip(np.rint(pixels + scale * rng.normal(size=pixels.shape)), 0, 255).astype(np.uint8)


def burst(photograph, frames, side, seed, hand=HAND):
	"""photograph: S x S x 3 bytes, best with S well above side. Returns frames x side x side x 3 bytes."""
	rng = np.random.default_rng(seed)
	image = Image.fromarray(photograph)
	size = image.size[0]

	def path(deviation, drift):
		return swinging(rng, frames, deviation, hand.swing) + drifting(rng, frames, drift)

	moves = np.stack(
		[
			path(hand.shift, hand.drift_shift),
			path(hand.shift, hand.drift_shift),
			path(hand.turn, hand.drift_turn),
			path(hand.zoom, hand.drift_zoom),
			drifting(rng, frames, hand.drift_tilt),
			drifting(rng, frames, hand.drift_tilt),
		],
		1,
	)
	stops = path(hand.stops, hand.drift_stops)
	red, blue = path(hand.colour, 0), path(hand.colour, 0)
	blur = np.abs(swinging(rng, frames, hand.blur, hand.swing)) * side / 96
	wide = min(size, 2 * side)  # taken at twice the size and reduced, as a sensor sees more than the frame keeps
	out = []
	for i in range(frames):
		at = corners(*moves[i])
		frame = image.transform((wide, wide), Image.PERSPECTIVE, perspective(at, size, wide), Image.BICUBIC)
		frame = frame.resize((side, side), Image.BILINEAR).filter(ImageFilter.GaussianBlur(blur[i]))
		out.append(noisy(rng, lit(np.asarray(frame, float), stops[i], red[i], blue[i]), hand.noise))
	return np.stack(out)


def blurred(photograph, side, share=0.12):
	"""So unsharp that only light and colour are left; share: the radius, of the side."""
	frame = Image.fromarray(photograph).resize((side, side), Image.BILINEAR)
	return np.asarray(frame.filter(ImageFilter.GaussianBlur(share * side)))


def dusk(photograph, side, seed, stops=-3.0):
	"""By evening light: darker, bluer, with the noise of a sensor that looks for light."""
	rng = np.random.default_rng(seed)
	frame = np.asarray(Image.fromarray(photograph).resize((side, side), Image.BILINEAR), float)
	return noisy(rng, lit(frame, stops, -0.25, 0.2), 9.0)
