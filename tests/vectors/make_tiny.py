# SPDX-License-Identifier: MIT
"""Makes the tiny models that tests use: tests/vectors/models/*.bnn. Seeded, and made of numbers that every machine
computes alike (integers and short binary fractions), so that a second run gives the same bytes.

  python3 -m tests.vectors.make_tiny

tiny.bnn   16 x 16 pictures, 32 features: every operation of the default backbone once, in its order. Its weights are
           random, its whitening is fitted to drawn colours, so that differently coloured pictures lie apart.
stages.bnn the same pictures, 144 features: the maps of tiny.bnn's network under another tail, made of means and
           deviations of three of them; some parts centred, scaled, whitened, weighted, some not.
odd.bnn    13 x 11 pictures, 37 features: channel counts that fill no word or vector, windows that fit nowhere evenly,
           the three sign rules, the three pad values, a clamp that bites, F16 constants, no prior, no answers.
"""

import pathlib

import numpy as np

from tools.bnnfile import Builder, Evaluator, tail, write

TABLE = (np.arange(256) - 118) / 64
MASK = (1 << 64) - 1


class Splitmix64:
	"""Sebastiano Vigna's generator: small, and the same everywhere."""

	def __init__(self, seed):
		self.state = seed

	def next(self):
		self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
		z = self.state
		z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
		z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
		return z ^ z >> 31

	def grid(self, *shape, scale):
		"""Numbers in [-scale, scale) on a grid of scale / 128."""
		flat = [(self.next() >> 56) - 128 for _ in range(int(np.prod(shape)))]
		return np.array(flat, "f8").reshape(shape) * (scale / 128)

	def signs(self, *shape):
		return np.where(self.grid(*shape, scale=1) < 0, -1, 1)


def pictures(rng, n, height, width):
	"""n pictures of two colours each, n a multiple of 8 not needed: top and bottom, with a little noise."""
	out = np.empty((n, height, width, 3), "u1")
	for i in range(n):
		top, bottom = (rng.grid(3, scale=104) + 128 for _ in range(2))
		out[i, : height // 2], out[i, height // 2 :] = top, bottom
		out[i] = np.clip(out[i] + rng.grid(height, width, 3, scale=16), 0, 255)
	return out


def hadamard(n):
	"""Sylvester's orthogonal matrix of +1 and -1; n a power of two."""
	h = np.ones((1, 1))
	while len(h) < n:
		h = np.block([[h, h], [h, -h]])
	return h


def binary_residual(g, rng, x, c, name):
	bits = g.sign(x, rng.grid(c, scale=0.5), name + ".sign")
	y = g.binary_conv2d(
		bits,
		rng.signs(c, 3, 3, c),
		rng.grid(c, scale=1 / 64) + 1 / 32,
		rng.grid(c, scale=0.25),
		name,
		pads=1,
		pad_value=1,
	)
	return g.prelu(g.op("add", [x, y], name + ".add"), rng.grid(c, scale=0.25) + 0.25, name + ".prelu")


def tiny(mean=None, inverse_spread=None):
	"""The model; without mean and spread the one whose roots of pooled activations they are fitted to."""
	rng = Splitmix64(1)
	g = Builder()
	x = g.input(16, 16, TABLE)
	x = g.relu(
		g.conv2d(x, rng.grid(8, 3, 3, 3, scale=0.5), rng.grid(8, scale=0.5), "stem", stride=2, pads=1), "stem.relu"
	)
	x = g.depthwise_conv2d(x, rng.grid(3, 3, 8, scale=0.5), rng.grid(8, scale=0.5), "dw", stride=2, pads=1)
	x = g.conv2d(x, rng.grid(32, 1, 1, 8, scale=1), rng.grid(32, scale=0.5), "pw")
	x = binary_residual(g, rng, x, 32, "bin0")
	x = g.avg_pool(x, 2, "pool0")
	x = g.conv2d(x, rng.grid(32, 1, 1, 32, scale=0.5), rng.grid(32, scale=0.5), "tr0")
	x = binary_residual(g, rng, x, 32, "bin1")
	x = g.relu(g.conv2d(x, rng.grid(32, 1, 1, 32, scale=0.5), rng.grid(32, scale=0.5), "last"), "last.relu")
	x = g.op("sqrt", [g.op("mean", [x], "mean")], "sqrt")
	if mean is None:
		g.output(x)
	else:
		x = g.op("sub", [x, g.constant(mean, name="norm.mean")], "centre")
		x = g.dense(x, hadamard(32) * inverse_spread, None, "whiten")
		g.output(g.op("l2", [x], "l2"))
		g.prior(np.eye(32) / 32)
		g.answers(8.0, [0.25, 0.375, 0.5, 0.5625, 0.625], [2.5, 2.0, 1.5, 1.25, 1.0], 0.125, 4.0)
	g.card(
		"tiny",
		"A model for tests: random weights, made by tests/vectors/make_tiny.py. Its answers are good for plain "
		"colours and nothing else.",
	)
	return g.model()


def stages():
	rng = Splitmix64(5)
	parts = [tail.part(p) for p in ("last:mean", "bin1.prelu:mean=0.5", "bin1.prelu:deviation=0.375")]
	parts += [tail.part(p) for p in ("dw:mean=0.25", "dw:deviation=0.25", "bin0.prelu:deviation=0.75")]
	parts[1].centre, parts[2].centre = rng.grid(32, scale=0.25), rng.grid(32, scale=0.25)
	parts[1].matrix = hadamard(32) * (rng.grid(32, scale=0.5) + 1)
	parts[0].centre, parts[0].scale = rng.grid(32, scale=0.25), rng.grid(32, scale=0.5) + 1
	text = "A model for tests: random weights and statistics of several maps, made by tools/make_tiny.py."
	return tail.with_tail(tiny(), parts, "stages", text)


def odd():
	rng = Splitmix64(2)
	g = Builder()
	x = g.input(13, 11, [TABLE, TABLE / 2, -TABLE], fit="CONTAIN", background=(1, 2, 254))
	x = g.conv2d(
		x,
		rng.grid(7, 3, 2, 3, scale=0.5),
		rng.grid(7, scale=0.5),
		"stem",
		stride=(1, 2),
		pads=(1, 0, 2, 1),
		dtype="F16",
	)
	x = g.op("clamp", [x], "stem.clamp", lo=-0.75, hi=1.5)
	x = g.depthwise_conv2d(x, rng.grid(3, 5, 7, scale=0.5), rng.grid(7, scale=0.5), "dw", pads=(0, 2, 1, 2))
	x = g.conv2d(x, rng.grid(33, 1, 1, 7, scale=1), None, "pw")
	for i, (c, o, stride, pads, value, rules, clamp) in enumerate(
		(
			(33, 37, 2, 1, 0, ("GREATER",), None),
			(
				37,
				37,
				1,
				(0, 1, 2, 1),
				-1,
				tuple(("LESS", "GREATER", "LESS_EQUAL")[k % 3] for k in range(37)),
				(300, 380),
			),
			(37, 37, 1, 1, 1, ("LESS_EQUAL",), None),
		)
	):
		bits = g.sign(x, rng.grid(c, scale=0.5) if i else np.zeros(1), f"bin{i}.sign", rules)
		y = g.binary_conv2d(
			bits,
			rng.signs(o, 3, 3, c),
			rng.grid(o, scale=1 / 32),
			rng.grid(o, scale=0.25),
			f"bin{i}",
			stride=stride,
			pads=pads,
			pad_value=value,
			clamp=clamp,
		)
		x = g.op("add", [x, y], f"bin{i}.add") if c == o and stride == 1 and pads == 1 else y
		x = g.prelu(x, rng.grid(o, scale=0.5), f"bin{i}.prelu")
	x = g.avg_pool(x, 3, "pool")
	x = g.op("sqrt", [g.op("mean", [x], "mean")], "sqrt")
	x = g.op("sub", [x, g.constant(rng.grid(37, scale=0.25), name="norm.mean")], "centre")
	x = g.dense(x, rng.grid(37, 37, scale=0.5), rng.grid(37, scale=0.125), "whiten", dtype="F16")
	g.output(g.op("l2", [x], "l2"))
	g.card("odd", "A model for tests: odd sizes throughout, made by tests/vectors/make_tiny.py.")
	return g.model()


def fitted_tiny():
	"""Mean and spread of the roots of the pooled activations over drawn pictures, rounded to short fractions."""
	roots = Evaluator(tiny()).run(pictures(Splitmix64(3), 64, 16, 16))
	mean = np.rint(roots.mean(0) * 64) / 64
	spread = np.exp2(np.rint(np.log2(roots.std(0) + 1 / 64)))
	return tiny(mean, 1 / spread)


if __name__ == "__main__":
	folder = pathlib.Path(__file__).resolve().parent / "models"
	for name, model in (("tiny", fitted_tiny()), ("stages", stages()), ("odd", odd())):
		write(folder / f"{name}.bnn", model)
