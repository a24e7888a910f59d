# SPDX-License-Identifier: MIT
"""Class folders of pictures: which files count, their squares, and what was passed over and why.

What file managers, cameras and archives leave behind (a name that begins with a dot, __MACOSX, @eaDir) is not looked at.
Every other file that is not read is said. The squares are kept in a cache beside the run.
"""

import hashlib
import os
import pathlib

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
LEFT_BEHIND = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")
SAID_MOST = 20  # files that were passed over, said one by one
KEY_BYTES = 8  # of a picture's digest, see pictures.Pictures.keys
READ_BETWEEN_LINES = 2000


def looked_at(name):
	return not name.startswith(".") and name not in LEFT_BEHIND


def pictures_below(folder):
	"""(paths of pictures in the order of their names, paths of other files) below a folder."""
	found, other = [], []
	for at, folders, files in os.walk(folder):
		folders[:] = sorted(f for f in folders if looked_at(f))
		for path in (pathlib.Path(at) / f for f in files if looked_at(f)):
			good = path.suffix.lower() in SUFFIXES and path.is_file()
			(found if good else other).append(path)
	return sorted(found), sorted(other)


def class_folders(folder):
	return sorted(p for p in folder.iterdir() if p.is_dir() and looked_at(p.name))


def class_files(folder):
	"""([(path, class name)] in the order of the names, other files)."""
	found, other = [], [p for p in folder.iterdir() if not p.is_dir() and looked_at(p.name)]
	for sub in class_folders(folder):
		good, bad = pictures_below(sub)
		found += [(p, sub.name) for p in good]
		other += bad
	return found, other


def say_kinds(other):
	"""A line for each kind of file that is not read as a picture."""
	kinds = {}
	for path in other:
		kinds.setdefault(path.suffix.lower() or "without a suffix", []).append(path)
	for kind, paths in sorted(kinds.items()):
		why = "no picture of a class" if kind in SUFFIXES else f"read are {', '.join(SUFFIXES)}"
		print(f"passed over: {len(paths)} {kind} ({why}), {paths[0]}" + " and others" * (len(paths) > 1), flush=True)


def say_unreadable(unreadable):
	for path, why in unreadable[:SAID_MOST]:
		print(f"passed over, cannot be read: {path}: {why}")
	if len(unreadable) > SAID_MOST:
		print(f"and {len(unreadable) - SAID_MOST} more")


# --- one picture -----------------------------------------------------------------------------------------------------


def open_upright(path, side):
	"""The picture, at twice the side or more (if it has as much)."""
	image = Image.open(path)
	image.draft("RGB", (2 * side, 2 * side))  # JPEG: decodes at a half, a quarter or an eighth where that is enough
	return ImageOps.exif_transpose(image).convert("RGB")


def resized(image, side, box):
	return np.asarray(image.resize((side, side), Image.BILINEAR, box))


def central(image, side):
	w, h = image.size
	s = min(w, h)
	return resized(image, side, ((w - s) // 2, (h - s) // 2, (w - s) // 2 + s, (h - s) // 2 + s))


def open_square(path, side):
	return central(open_upright(path, side), side)


def attempt(read, path, side):
	"""(what read(path, side) gives, None) or (None, why not). Damaged files raise anything in Pillow's readers."""
	try:
		return read(path, side), None
	except Exception as e:
		return None, str(e).replace(f" {str(path)!r}", "").replace(str(path), "it") or type(e).__name__


# --- many ------------------------------------------------------------------------------------------------------------


def key_of(data):
	return int.from_bytes(hashlib.blake2b(data, digest_size=KEY_BYTES).digest(), "big")


def decode(files, side, cache):
	"""(squares, keys, index of the files that could be read, [(path, why)] of the others), from the cache if they are
	the same files as then."""
	digest = hashlib.sha256(str(side).encode())
	for path in files:
		stat = path.stat()
		digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
	at = pathlib.Path(cache) / f"pictures-{digest.hexdigest()[:16]}.npy"
	beside = at.with_suffix(".npz")
	if not (at.exists() and beside.exists()):
		at.parent.mkdir(parents=True, exist_ok=True)
		decode_to(at, beside, files, side)
	kept = np.load(beside)
	x = np.load(at, mmap_mode="r")[: len(kept["index"])]
	return x, kept["keys"], kept["index"], [(files[i], why) for i, why in zip(kept["bad"], kept["why"], strict=True)]


def decode_to(at, beside, files, side):
	"""Writes the squares to `at`, what cannot be read left out, and to `beside` which those are."""
	part = at.with_suffix(".part")
	shape = (len(files), side, side, 3)
	out = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
	with open(part, "r+b") as f:  # no space is an error here, and would be a signal when the map is written
		os.posix_fallocate(f.fileno(), 0, os.path.getsize(part))
	keys, index, bad, whys = [], [], [], []
	for i, path in enumerate(files):
		square, why = attempt(open_square, path, side)
		if why is None:
			out[len(index)] = square
			keys.append(key_of(path.read_bytes()))
			index.append(i)
		else:
			bad.append(i)
			whys.append(why)
		if i % READ_BETWEEN_LINES == READ_BETWEEN_LINES - 1:
			print(f"{i + 1} of {len(files)} pictures read", flush=True)
	out.flush()
	np.savez(
		beside,
		keys=np.array(keys, np.uint64),
		index=np.array(index, np.int64),
		bad=np.array(bad, np.int64),
		why=np.array(whys, np.str_),
	)
	os.replace(part, at)
