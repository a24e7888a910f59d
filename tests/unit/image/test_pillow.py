# SPDX-License-Identifier: MIT
"""lib/image against the installed Pillow on seeded random pictures, sizes, regions, rotations and fits, where the
committed vectors are few. Usage: python3 -m tests.unit.image.test_pillow IMAGE_PIPE [ROUNDS [SEED]]; 77 (skipped) without Pillow or numpy."""

import io
import random
import struct
import subprocess
import sys

try:
	import numpy  # noqa: F401, make_image.py needs it
	from PIL import Image, ImageOps, features
except ImportError as e:
	print(f"skipped: {e} (Debian packages python3-pil, python3-numpy)")
	sys.exit(77)

from tests.vectors import make_image as make

TURN = {90: Image.ROTATE_270, 180: Image.ROTATE_180, 270: Image.ROTATE_90}


def ask(pipe, data, raw, rotate, size, fit, roi):
	pipe.stdin.write(
		struct.pack(
			"<10I4d",
			2 if raw else 1,
			len(data),
			*(raw or (0, 0, 0)),
			rotate,
			*size,
			fit,
			roi is not None,
			*(roi or (0, 0, 0, 0)),
		)
		+ data
	)
	pipe.stdin.flush()
	(result,) = struct.unpack("<i", pipe.stdout.read(4))
	body = pipe.stdout.read(size[0] * size[1] * 3 if result == 0 else 400)
	return body if result == 0 else body.split(b"\0")[0].decode()


def side(rng, most):
	return rng.choice([rng.randint(1, 8), rng.randint(1, 64), rng.randint(1, most)])


def draw_roi(rng):
	if rng.random() < 0.5:
		return None
	x, y = round(rng.uniform(0, 0.95), 3), round(rng.uniform(0, 0.95), 3)
	return x, y, max(0.001, round(rng.uniform(0, 1 - x), 3)), max(0.001, round(rng.uniform(0, 1 - y), 3))


def box_of(roi, seen):
	return make.region_of(roi, *seen) if roi else (0, 0) + tuple(seen)


def raw_case(rng):
	width, height, channels = side(rng, 900), side(rng, 900), rng.choice([1, 3])
	data = make.noise(rng.getrandbits(32), width, height, channels)
	return (
		data,
		(width, height, channels),
		lambda *_: Image.frombytes("RGB" if channels == 3 else "L", (width, height), data),
	)


def png_case(rng):
	picture = make.drawing(side(rng, 300), side(rng, 300), rng.randint(0, 99))
	picture = (
		picture.quantize(rng.randint(2, 40)) if rng.random() < 0.3 else picture.convert(rng.choice(["RGB", "L", "1"]))
	)
	out = io.BytesIO()
	picture.save(out, "PNG")
	return out.getvalue(), None, lambda *_: picture


def jpeg_case(rng):
	picture = make.drawing(side(rng, 900), side(rng, 700), rng.randint(0, 99)).convert(
		rng.choice(["RGB", "RGB", "L", "CMYK"])
	)
	data = make.jpeg(
		picture, quality=rng.choice([20, 75, 95]), subsampling=rng.choice([0, 1, 2]), progressive=rng.random() < 0.3
	)
	orientation = rng.randint(0, 9)
	data = make.with_segment(data, make.exif_segment(orientation, rng.random() < 0.5)[1])

	def seen(rotate, size, roi):
		opened = Image.open(io.BytesIO(data))
		transposed = (5 <= orientation <= 8) != (rotate in (90, 270))
		for n in (8, 4, 2, 1):
			reduced = (-(-picture.width // n), -(-picture.height // n))
			x, y, end_x, end_y = box_of(roi, reduced[::-1] if transposed else reduced)
			if n == 1 or (end_x - x >= 2 * size[0] and end_y - y >= 2 * size[1]):
				break
		if n > 1:
			opened.draft(None, (picture.width // n, picture.height // n))
		assert opened.size == reduced
		return ImageOps.exif_transpose(opened)

	return data, None, seen


def main():
	pipe = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
	rounds, seed = int(sys.argv[2]) if len(sys.argv) > 2 else 300, int(sys.argv[3]) if len(sys.argv) > 3 else 1
	rng = random.Random(seed)
	kinds = [raw_case, png_case]
	if features.check_feature("libjpeg_turbo"):
		kinds.append(jpeg_case)
	else:
		print("this Pillow has another libjpeg: JPEG is left to the vectors")
	passed = failed = 0
	for n in range(rounds):
		data, raw, picture_of = kinds[n % len(kinds)](rng)
		rotate, fit, roi = rng.choice([0, 0, 90, 180, 270]), rng.randint(1, 3), draw_roi(rng)
		size = rng.choice([(64, 64), (96, 96), (side(rng, 128), side(rng, 128))])
		seen = picture_of(rotate, size, roi).convert("RGB")
		seen = seen.transpose(TURN[rotate]) if rotate else seen
		expected = make.fitted(seen, box_of(roi, seen.size), *size, fit, (7, 130, 250)).tobytes()
		got = ask(pipe, data, raw, rotate, size, fit, roi)
		if got == expected:
			passed += 1
			continue
		failed += 1
		what = (
			got
			if isinstance(got, str)
			else f"{sum(a != b for a, b in zip(got, expected, strict=True))} of {len(got)} bytes differ"
		)
		print(f"round {n}: {kinds[n % len(kinds)].__name__} {seen.size} {rotate} {roi} {size} fit {fit}: {what}")
	pipe.stdin.close()
	if pipe.wait() != 0:
		failed += 1
	print(f"{passed} passed, {failed} failed")
	return failed != 0


if __name__ == "__main__":
	sys.exit(main())
