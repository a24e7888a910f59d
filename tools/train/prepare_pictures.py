# SPDX-License-Identifier: MIT
"""Folders of photographs, whatever their classes, to one array for a teacher to speak about.

  python3 -m tools.train.prepare_pictures OUT FOLDER... [--side 64] [--leave-out NAMES.txt]

Writes OUT/train_x.npy (N x S x S x 3 bytes) for teacher.py and for train.py --also. A picture gives its central square;
one that is longer than 1.4 gives the squares at both ends. --leave-out: names of sub-folders, one a line, that are not
read: the classes of the validation part, where collections draw from the same source.
"""

from tools.train import command

if __name__ == "__main__":
	command.begin("torch", "numpy", "PIL")

import argparse
import os
import pathlib

import numpy as np

from tools.train import folders

LONG = 1.4
LEAST_SIDE = 60  # smaller pictures are passed over


def ends(w, h):
	"""The boxes of the squares at both ends of a long picture; none of others."""
	s = min(w, h)
	return [(0, 0, s, s), (w - s, h - s, w, h)] if max(w, h) > LONG * s else []


def squares_of(path, side):
	"""One or two squares of a picture, or none of a small one."""
	image = folders.open_upright(path, side)
	if min(image.size) < LEAST_SIDE:
		return []
	return [folders.resized(image, side, box) for box in ends(*image.size)] or [folders.central(image, side)]


def read(roots, side, left_out):
	"""Squares of everything below the folders that is a picture; what cannot be read is said and passed over."""
	found = []
	for root in roots:
		before, unreadable = len(found), []
		paths, other = folders.pictures_below(root)
		for path in paths:
			if left_out.intersection(path.relative_to(root).parts[:-1]):
				continue
			squares, why = folders.attempt(squares_of, path, side)
			if why is None:
				found += squares
			else:
				unreadable.append((path, why))
		folders.say_kinds(other)
		folders.say_unreadable(unreadable)
		print(f"{root}: {len(found) - before} squares", flush=True)
	return found


def main(argv=None):
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("out", type=pathlib.Path)
	p.add_argument("folder", type=pathlib.Path, nargs="+")
	p.add_argument("--side", type=command.number(int, 8, 4096), default=64)
	p.add_argument("--leave-out", type=pathlib.Path)
	a = p.parse_args(argv)
	for folder in a.folder:
		if not folder.is_dir():
			raise SystemExit(f"{folder}: no such folder")
	found = read(a.folder, a.side, set(a.leave_out.read_text().split()) if a.leave_out else set())
	if not found:
		raise SystemExit(f"no pictures ({', '.join(folders.SUFFIXES)}) below {', '.join(map(str, a.folder))}")
	a.out.mkdir(parents=True, exist_ok=True)
	part = a.out / "train_x.part.npy"
	np.save(part, np.stack(found))
	os.replace(part, a.out / "train_x.npy")


if __name__ == "__main__":
	command.run(main)
