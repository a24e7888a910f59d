# SPDX-License-Identifier: MIT
"""Pictures packed small, in parts of equal size that are mixed alike, for burst.py: what a machine can be sent that is
lent for minutes.

  python3 -m tools.train.pack OUT --labelled FOLDER[=MOST] --also FOLDER[=MOST] ... [--sides 64 84 128] [--quality 70]
           [--part-megabytes 36] [--leave-out NAMES.txt]

--labelled: class folders, at most MOST pictures a class. --also: folders of pictures of whatever classes, at most MOST
squares each; only the teacher speaks about them, and pictures longer than 1.4 give the squares at both ends, as in
prepare_pictures.py (--leave-out as there). A square is reduced to the largest of the sides that it has, never enlarged;
smaller ones are passed over. WebP at quality 70 takes half the bytes of JPEG at 80.

OUT/part-K.npz: `data` all files end to end, `offsets` where each begins (one more than pictures), `labels` (NO_CLASS
where there is none), `classes` the names. A part is whole under its name only.
"""

from tools.train import command

if __name__ == "__main__":
	command.begin("numpy", "PIL")

import argparse
import io
import os
import pathlib

import numpy as np
from PIL import Image

from tools.train import folders
from tools.train.prepare_pictures import ends

NO_CLASS = -1  # as pictures.NO_CLASS, without torch
SEED = 1
MEGA = 1_000_000
METHOD = 4  # WebP's effort
SAID_EVERY = 5000


# --- one picture -----------------------------------------------------------------------------------------------------


def encode(square, quality):
	body = io.BytesIO()
	Image.fromarray(square).save(body, "WEBP", quality=quality, method=METHOD)
	return body.getvalue()


def decode(body):
	"""bytes of a file -> S x S x 3. Any module may be asked to do this in a process of its own."""
	return np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))


def squares_of(path, sides, both_ends):
	"""Squares of a picture at the largest of these sides that it has; none of a smaller one."""
	image = folders.open_upright(path, max(sides))
	w, h = image.size
	side = max((s for s in sides if s <= min(w, h)), default=None)
	if side is None:
		return []
	boxes = ends(w, h) if both_ends else []
	return [folders.resized(image, side, box) for box in boxes] or [folders.central(image, side)]


# --- folders ---------------------------------------------------------------------------------------------------------


def labelled_files(root, most, rng):
	"""([(path, class number)], class names): at most `most` of each class, drawn."""
	found, _ = folders.class_files(root)
	classes = sorted({name for _, name in found})
	rows = []
	for number, name in enumerate(classes):
		paths = [path for path, of in found if of == name]
		rows += [(paths[i], number) for i in rng.permutation(len(paths))[:most]]
	return rows, classes


def other_files(root, left_out, rng):
	"""Paths in a drawn order."""
	paths = [p for p in folders.pictures_below(root)[0] if not left_out.intersection(p.relative_to(root).parts[:-1])]
	return [paths[i] for i in rng.permutation(len(paths))]


def encoded(paths, sides, quality, both_ends, most=None):
	"""(place in paths, file) of each square; what cannot be read is said."""
	made, unreadable = [], []
	for i, path in enumerate(paths):
		if most is not None and len(made) >= most:
			break
		squares, why = folders.attempt(lambda p, s: squares_of(p, s, both_ends), path, sides)
		if why is not None:
			unreadable.append((path, why))
			continue
		made += [(i, encode(square, quality)) for square in squares]
		if i % SAID_EVERY == SAID_EVERY - 1:
			print(f"  {i + 1} files, {sum(len(b) for _, b in made) / MEGA:.1f} MB", flush=True)
	folders.say_unreadable(unreadable)
	return made[:most]


# --- parts -----------------------------------------------------------------------------------------------------------


def write_part(path, bodies, labels, classes):
	offsets = np.cumsum([0] + [len(b) for b in bodies])
	part = path.with_suffix(".part")
	with open(part, "wb") as f:
		np.savez(
			f,
			data=np.frombuffer(b"".join(bodies), np.uint8),
			offsets=offsets.astype(np.int64),
			labels=np.array(labels, np.int64),
			classes=np.array(classes, np.str_),
		)
	os.replace(part, path)


def read_part(path):
	"""(files, labels, class names); refuses what write_part did not write."""
	try:
		with np.load(path) as z:
			data, offsets, labels, classes = (z[k] for k in ("data", "offsets", "labels", "classes"))
	except Exception as e:  # damaged files make numpy and zipfile raise anything
		raise SystemExit(f"{path}: not a part of pack.py, or cut short ({type(e).__name__})") from None
	sound = len(offsets) == len(labels) + 1 and offsets[0] == 0 and offsets[-1] == len(data)
	sound = sound and (np.diff(offsets) > 0).all() and len(labels) > 0
	if not sound or labels.min() < NO_CLASS or labels.max() >= len(classes):
		raise SystemExit(f"{path}: its files do not fit its offsets and labels")
	data = data.tobytes()
	return [data[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)], labels, [str(c) for c in classes]


def write_parts(out, rows, classes, part_bytes, rng):
	"""rows: (file, label). As many parts as needed, filled evenly, each a mixture of all."""
	order = rng.permutation(len(rows))
	n = max(1, -(-sum(len(rows[i][0]) for i in order) // part_bytes))
	for k in range(n):
		some = [rows[i] for i in order[k::n]]
		write_part(out / f"part-{k}.npz", [b for b, _ in some], [y for _, y in some], classes)
		print(
			f"{out / f'part-{k}.npz'}: {len(some)} pictures, {sum(len(b) for b, _ in some) / MEGA:.1f} MB", flush=True
		)


def source(text):
	"""'FOLDER=MOST' -> (folder, most or None)."""
	folder, _, most = text.partition("=")
	if most and not (most.isdigit() and int(most)):
		raise argparse.ArgumentTypeError(f"{text!r} is not FOLDER or FOLDER=MOST")
	return pathlib.Path(folder), int(most) if most else None


def main(argv=None):
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("out", type=pathlib.Path)
	p.add_argument("--labelled", type=source, required=True)
	p.add_argument("--also", type=source, nargs="*", default=[])
	p.add_argument("--sides", type=command.number(int, 8, 1024), nargs="+", default=[64, 84, 128])
	p.add_argument("--quality", type=command.number(int, 1, 100), default=70)
	p.add_argument("--part-megabytes", type=command.number(float, 0, 1e6, above=True), default=36.0)
	p.add_argument("--leave-out", type=pathlib.Path)
	a = p.parse_args(argv)
	for folder, _ in [a.labelled, *a.also]:
		if not folder.is_dir():
			raise SystemExit(f"{folder}: no such folder")
	rng = np.random.default_rng(SEED)
	files, classes = labelled_files(*a.labelled, rng)
	made = encoded([path for path, _ in files], a.sides, a.quality, both_ends=False)
	rows = [(body, files[i][1]) for i, body in made]
	print(f"{a.labelled[0]}: {len(rows)} pictures, {sum(len(b) for b, _ in rows) / MEGA:.1f} MB", flush=True)
	left_out = set(a.leave_out.read_text().split()) if a.leave_out else set()
	for folder, most in a.also:
		found = encoded(other_files(folder, left_out, rng), a.sides, a.quality, True, most)
		rows += [(body, NO_CLASS) for _, body in found]
		print(f"{folder}: {len(found)} squares, {sum(len(b) for _, b in found) / MEGA:.1f} MB", flush=True)
	if not rows:
		raise SystemExit("no pictures")
	a.out.mkdir(parents=True, exist_ok=True)
	write_parts(a.out, rows, classes, int(a.part_megabytes * MEGA), rng)


if __name__ == "__main__":
	command.run(main)
