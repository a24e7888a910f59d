# SPDX-License-Identifier: MIT
"""Features of a public set's pictures by lib/image and lib/bnn, computed once: what all else here reads.

  BNND_SHARED_DATA=... BNND_PUBLIC_SETS=... python3 -m tests.bench.learn.cache BUILD/tests/bench/learn/learn_bench
           MODEL.bnn [choice|report|NAME]... [--cache DIR] [--scenes] [--floats]

Writes CACHE/NAME-FEATURES-LIST.set, FEATURES being the start of the model's feature_id and LIST a digest of the pictures,
and prints the paths. In a file lie, in this order: the set's pictures; bursts of some of them (bursts.py); with --scenes
some before a static scene, and the scene empty; and what is asked and was never taught: other photographs, the same so
unsharp that only light and colour are left, a black and a white frame. set_file.h has the format. With --scenes it is
NAME-scenes-FEATURES-LIST.set, all the rest being the same. --floats: the features before they are rounded, too, in
NAME-FEATURES-LIST.h.npy.
"""

import argparse
import dataclasses
import hashlib
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np

from tests.bench.learn import bursts, public_sets
from tools import datasets

CHUNK = 500  # pictures a call of learn_bench: something to show meanwhile, little memory
PICTURE, FRAME, IN_SCENE, EMPTY, GENERIC, BLURRED, BLACK, WHITE = datasets.SET_KINDS
TEACH, ASK = datasets.MAY_TEACH, datasets.MAY_ASK
BURST_CLASSES, BURST_PHOTOGRAPHS, BURST_FRAMES = 10, 4, 20
SCENES, SCENE_CLASSES, SCENE_PICTURES = 2, 8, 20
N_GENERIC, N_BLURRED = 400, 40
VERSION = 1  # of how pictures are made here: another one, another cache


def features(program, model, pictures):
	"""q, h of N x height x width x channels bytes, and what the model says of itself."""
	folder = pathlib.Path(os.environ.get("TMPDIR", "/tmp"))
	files = [folder / ("learn-bench-%d-%s" % (os.getpid(), what)) for what in ("pictures", "q", "h")]
	n, height, width, channels = pictures.shape
	files[0].write_bytes(
		b"BNPX" + struct.pack("<4I", n, width, height, channels) + np.ascontiguousarray(pictures).tobytes()
	)
	try:
		command = [str(program), "features", str(model), *map(str, files)]
		words = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
		about = dict(zip(("name", "feature_id", "side", "d"), words, strict=True))
		d = int(about["d"])
		q = np.frombuffer(files[1].read_bytes(), np.int8, n * d, 20).reshape(n, d)
		return q, np.frombuffer(files[2].read_bytes(), np.float32).reshape(n, d), about
	finally:
		for f in files:
			f.unlink(missing_ok=True)


def about(program, model):
	return features(program, model, np.zeros((0, 1, 1, 3), np.uint8))[2]


@dataclasses.dataclass
class Part:
	"""Pictures of one kind: a row {class, kind, may be taught or asked, of} each, and how their bytes are made."""

	rows: np.ndarray
	make: object  # side, indices -> bytes


def part(y, kind, may, of, make):
	return Part(np.stack(np.broadcast_arrays(y, kind, may, of), 1).astype(np.uint32), make)


def spread(n, most):
	return np.unique(np.linspace(0, n - 1, min(n, most)).astype(int))


def some_of_each(labelled, may, classes, n, seed):
	"""At most n indices of each of some classes, drawn; may: which pictures."""
	rng = np.random.default_rng([seed, len(labelled)])
	return [rng.permutation(np.flatnonzero((labelled.y == c) & may))[:n] for c in spread(labelled.y.max() + 1, classes)]


def frames(labelled):
	"""Bursts of BURST_FRAMES frames one behind the other; `of` is the photograph."""
	photographs = np.concatenate(some_of_each(labelled, labelled.teach, BURST_CLASSES, BURST_PHOTOGRAPHS, 1))

	def make(side, which):
		out = []
		for photograph in np.unique(which // BURST_FRAMES):
			large = labelled.squares(2 * side, [photographs[photograph]])[0]
			burst = bursts.burst(large, BURST_FRAMES, side, [1, photographs[photograph]])
			out.append(burst[which[which // BURST_FRAMES == photograph] % BURST_FRAMES])
		return np.concatenate(out)

	of = np.repeat(photographs, BURST_FRAMES)
	return part(labelled.y[of], FRAME, TEACH, of, make)


def in_scenes(labelled, others):
	"""A thing in the middle of a scene that stays, and the scene without it; `of` is the number of the scene."""
	taught = some_of_each(labelled, labelled.teach, SCENE_CLASSES, SCENE_PICTURES, 2)
	asked = [
		np.setdiff1d(a, t)[:SCENE_PICTURES]
		for a, t in zip(some_of_each(labelled, labelled.ask, SCENE_CLASSES, 2 * SCENE_PICTURES, 3), taught, strict=True)
	]
	things = np.concatenate([*taught, *asked])
	may = np.repeat([TEACH, ASK], [sum(map(len, taught)), sum(map(len, asked))])
	n = len(things)
	scenes = spread(len(others), SCENES + 2)[1:-1]

	def make(side, which):
		scene, at = np.divmod(which, n + 2 * SCENE_PICTURES)
		views = others.squares(2 * side, scenes)[scene]
		with_thing = np.flatnonzero(at < n)
		if len(with_thing):
			for i, thing in zip(with_thing, labelled.squares(side, things[at[with_thing]]), strict=True):
				x, y = side // 2 + np.random.default_rng([2, which[i]]).integers(-side // 6, side // 6 + 1, 2)
				views[i, y : y + side, x : x + side] = thing
		return np.stack([bursts.burst(v, 1, side, [3, i], bursts.TRIPOD)[0] for v, i in zip(views, which, strict=True)])

	empty = np.repeat([TEACH, ASK], SCENE_PICTURES)
	return part(
		np.tile(np.concatenate([labelled.y[things], 0 * empty]), SCENES),
		np.tile(np.repeat([IN_SCENE, EMPTY], [n, len(empty)]), SCENES),
		np.tile(np.concatenate([may, empty]), SCENES),
		np.repeat(np.arange(SCENES), n + len(empty)),
		make,
	)


def never_taught(others):
	generic = spread(len(others), N_GENERIC)
	blurred = generic[spread(len(generic), N_BLURRED)]

	def blur(side, which):
		return np.stack([bursts.blurred(p, side) for p in others.squares(side, blurred[which])])

	def flat(level):
		return lambda side, which: np.full((len(which), side, side, 3), level, np.uint8)

	return [
		part(0, GENERIC, ASK, generic, lambda side, which: others.squares(side, generic[which])),
		part(0, BLURRED, ASK, blurred, blur),
		part(0, BLACK, ASK, [0], flat(0)),
		part(0, WHITE, ASK, [0], flat(255)),
	]


def parts_of(public_set, labelled, scenes):
	"""A set's parts in the order of the file."""
	y = labelled.y
	parts = [part(y, PICTURE, TEACH * labelled.teach + ASK * labelled.ask, np.arange(len(y)), labelled.squares)]
	if public_set.name == "cifar100-many":  # many of each: for what needs no more
		return parts
	rest = public_sets.by_name("grocery" if public_set.name == "tiny" else "tiny-rest")
	others = rest.load(rest)
	return parts + [frames(labelled)] + [in_scenes(labelled, others)] * scenes + never_taught(others)


def header(public_set, labelled, n, facts):
	return b"BNSX" + struct.pack(
		"<7I32s32s",
		n,
		int(facts["d"]),
		labelled.y.max() + 1,
		public_set.taught,
		max(public_set.taught, public_set.pool),
		public_set.asked,
		int(100 * public_set.share),
		bytes.fromhex(facts["feature_id"]),
		public_set.name.encode(),
	)


@dataclasses.dataclass
class Cache:
	"""Where features of one model are kept: of each part, so that a set that is cut short or gets another goes on."""

	program: str
	model: str
	folder: pathlib.Path
	floats: bool = False

	def __post_init__(self):
		self.facts = about(self.program, self.model)
		self.side = int(self.facts["side"])
		(pathlib.Path(self.folder) / "parts").mkdir(parents=True, exist_ok=True)

	def of_part(self, name, part, source):
		"""(q, h or None) of a part."""
		made_of = self.facts["feature_id"].encode() + source + part.rows.tobytes() + bytes([VERSION, self.side])
		key = "%s-%s" % (name, hashlib.sha256(made_of).hexdigest()[:24])
		paths = [pathlib.Path(self.folder) / "parts" / (key + "." + what) for what in ("q.npy", "h.npy")]
		wanted = paths if self.floats else paths[:1]
		if not all(p.exists() for p in wanted):
			made = []
			for i in range(0, len(part.rows), CHUNK):
				pictures = part.make(self.side, np.arange(i, min(i + CHUNK, len(part.rows))))
				made.append(features(self.program, self.model, pictures)[:2])
				print("\r%s: %d of %d" % (name, i + len(pictures), len(part.rows)), end="", file=sys.stderr, flush=True)
			print(file=sys.stderr)
			for path, values in zip(wanted, zip(*made, strict=True), strict=False):
				new = path.with_suffix(".new%d" % os.getpid())
				with open(new, "wb") as f:
					np.save(f, np.concatenate(values))
				new.rename(path)
		return np.load(paths[0]), np.load(paths[1]) if self.floats else None

	def of_set(self, public_set, scenes=False):
		"""The path of the set's file, which is made where it is not there."""
		labelled = public_set.load(public_set)
		parts = parts_of(public_set, labelled, scenes)
		rows = np.concatenate([p.rows for p in parts])
		head = header(public_set, labelled, len(rows), self.facts)
		digest = hashlib.sha256(head + rows.tobytes() + labelled.of + bytes([VERSION, self.side])).hexdigest()
		name = public_set.name + "-scenes" * scenes
		path = pathlib.Path(self.folder) / ("%s-%s-%s.set" % (name, self.facts["feature_id"][:12], digest[:12]))
		if path.exists() and (not self.floats or path.with_suffix(".h.npy").exists()):
			return path
		made = [self.of_part("%s-%d" % (public_set.name, p.rows[0, 1]), p, labelled.of) for p in parts]
		if self.floats:
			np.save(path.with_suffix(".h.npy"), np.concatenate([h for _, h in made]))
		new = path.with_suffix(".new%d" % os.getpid())
		new.write_bytes(head + rows.astype("<u4").tobytes() + np.concatenate([q for q, _ in made]).tobytes())
		new.rename(path)
		return path


read = datasets.feature_set  # (rows, q) of a file of the cache


def sets_of(words):
	"""Roles and names -> public sets."""
	return [s for w in words for s in public_sets.SETS if w in (s.name, s.role)]


def arguments(doc):
	p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("program", help="BUILD/tests/bench/learn/learn_bench")
	p.add_argument("model", help="models/default.bnn")
	p.add_argument("--cache", default=os.path.join(os.environ.get("TMPDIR", "/tmp"), "bnnd-learn-bench"))
	return p


def main():
	p = arguments(__doc__)
	p.add_argument("sets", nargs="*", default=["choice"])
	p.add_argument("--floats", action="store_true")
	p.add_argument("--scenes", action="store_true")
	a = p.parse_args()
	cache = Cache(a.program, a.model, a.cache, a.floats)
	for public_set in sets_of(a.sets):
		print(cache.of_set(public_set, a.scenes), flush=True)


if __name__ == "__main__":
	main()
