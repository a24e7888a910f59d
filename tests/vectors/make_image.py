# SPDX-License-Identifier: MIT
"""Makes image.bin: small pictures, what was asked of them, and what Pillow makes of it (PNG types that Pillow reads
otherwise: what the definition says). Every picture is drawn here from seeds; nothing is a photograph.

  python3 -m tests.vectors.make_image

Needs Debian's python3-pil and python3-numpy. The result depends on the JPEG encoder's version (ENCODERS), so image.bin is
committed and this runs only when the cases change.

image.bin, little-endian: "BNNDIMG1", n; then n cases: name (length, bytes), source (0 file, 1 noise from a seed),
seed u64, raw width, height, channels, rotate, has_roi, roi 4 x f64, input width, height, fit, background 4 bytes,
file (length, bytes; length 0xFFFFFFFF: the index of the case that has the same one), expected (length, bytes).
"""

import io
import math
import pathlib
import struct
import zlib

import numpy
from PIL import Image, ImageFilter, ImageOps

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENCODERS = {"libjpeg_turbo": "2.1.5", "zlib": "1.2.13"}  # of PIL.features.version: image.bin was made with them
COVER, CONTAIN, STRETCH = 1, 2, 3
WHOLE = 1e-6
MASK = (1 << 64) - 1


def noise(seed, width, height, channels):
	"""splitmix64, eight bytes a step, low byte first: the C test makes the same."""
	out = bytearray()
	n = width * height * channels
	while len(out) < n:
		seed = (seed + 0x9E3779B97F4A7C15) & MASK
		z = ((seed ^ seed >> 30) * 0xBF58476D1CE4E5B9) & MASK
		z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
		out += (z ^ z >> 31).to_bytes(8, "little")
	return bytes(out[:n])


def drawing(width, height, seed):
	"""Waves, a board of squares, a slope and a little noise: smooth parts and hard edges in every channel."""
	y, x = numpy.mgrid[0:height, 0:width]
	rng = numpy.random.RandomState(seed)
	picture = numpy.stack(
		[
			128 + 100 * numpy.sin(x / (4 + seed % 5) + y / 9),
			255 * ((x // 5 + y // 7) % 2),
			255 * (x + y) / (width + height),
		],
		2,
	) + rng.randint(-6, 7, (height, width, 3))
	return Image.fromarray(numpy.clip(picture, 0, 255).astype(numpy.uint8))


def region_of(roi, width, height):
	def axis(start, share, n):
		first = math.floor(start * n + WHOLE)
		return first, max(first + 1, min(n, math.ceil((start + share) * n - WHOLE)))

	(x, end_x), (y, end_y) = axis(roi[0], roi[2], width), axis(roi[1], roi[3], height)
	return x, y, end_x, end_y


def nearest(a, b, c, most):
	return max(1, min(most, (2 * a * b + c) // (2 * c)))


def fitted(seen, box, width, height, fit, background):
	"""The rules of image.h in Pillow's words."""
	x, y, end_x, end_y = box
	w, h = end_x - x, end_y - y
	wider = w * height > h * width
	if fit == COVER and wider:
		used = nearest(h, width, height, w)
		x += (w - used) // 2
		w = used
	elif fit == COVER:
		used = nearest(w, height, width, h)
		y += (h - used) // 2
		h = used
	part = seen.crop((x, y, x + w, y + h))
	if fit != CONTAIN:
		return part.resize((width, height), Image.BILINEAR)
	inner = (width, nearest(h, width, w, height)) if wider else (nearest(w, height, h, width), height)
	result = Image.new("RGB", (width, height), background)
	result.paste(part.resize(inner, Image.BILINEAR), ((width - inner[0]) // 2, (height - inner[1]) // 2))
	return result


class Cases:
	def __init__(self):
		self.packed = []
		self.first_use = {}

	def add(
		self,
		name,
		seen,
		*,
		file=b"",
		seed=None,
		raw=(0, 0, 0),
		rotate=0,
		roi=None,
		size,
		fit=STRETCH,
		background=(7, 130, 250),
		box=None,
	):
		"""seen: the picture after EXIF and before rotate, decoded (and reduced) as it should be."""
		if rotate:
			seen = seen.transpose({90: Image.ROTATE_270, 180: Image.ROTATE_180, 270: Image.ROTATE_90}[rotate])
		box = region_of(roi, *seen.size) if roi else (0, 0) + seen.size
		expected = fitted(seen.convert("RGB"), box, *size, fit, background).tobytes()
		self.put(name, expected, file, seed, raw, rotate, roi, size, fit, background)

	def put(
		self,
		name,
		expected,
		file=b"",
		seed=None,
		raw=(0, 0, 0),
		rotate=0,
		roi=None,
		size=(0, 0),
		fit=STRETCH,
		background=(7, 130, 250),
	):
		def blob(b):
			return struct.pack("<I", len(b)) + b

		assert len(expected) == size[0] * size[1] * 3, name
		same_as = self.first_use.setdefault(file, len(self.packed))
		if same_as < len(self.packed):
			file_blob = struct.pack("<II", 0xFFFFFFFF, same_as)
		else:
			file_blob = blob(file)
		self.packed.append(
			blob(name.encode())
			+ struct.pack(
				"<IQ5I4d3I4B",
				seed is not None,
				seed or 0,
				*raw,
				rotate,
				roi is not None,
				*(roi or (0, 0, 0, 0)),
				*size,
				fit,
				*background,
				0,
			)
			+ file_blob
			+ blob(expected)
		)

	def file(self):
		return b"BNNDIMG1" + struct.pack("<I", len(self.packed)) + b"".join(self.packed)


def add_raw(cases):
	pairs = [
		((1, 1), (1, 1)),
		((1, 1), (5, 3)),
		((2, 3), (7, 5)),
		((3, 2), (1, 1)),
		((5, 4), (5, 4)),
		((100, 10), (100, 5)),
		((100, 10), (50, 10)),
		((33, 32), (32, 32)),
		((3000, 7), (16, 9)),
		((7, 3000), (9, 16)),
		((500, 333), (31, 17)),
		((16384, 1), (3, 1)),
		((1, 16384), (1, 3)),
		((40, 2), (1024, 2)),
		((2, 40), (2, 1024)),
		((255, 257), (256, 3)),
		((640, 480), (12, 12)),
		((97, 61), (20, 60)),
		((60, 97), (61, 20)),
		((32, 32), (96, 96)),
	]
	for n, ((w, h), size) in enumerate(pairs):
		picture = Image.frombytes("RGB", (w, h), noise(n, w, h, 3))
		cases.add(f"raw {w}x{h} to {size[0]}x{size[1]}", picture, seed=n, raw=(w, h, 3), size=size)
	grey = Image.frombytes("L", (28, 28), noise(77, 28, 28, 1))
	cases.add("raw grey 28x28 to 40x40", grey, seed=77, raw=(28, 28, 1), size=(40, 40))
	shapes = [(41, 30), (30, 41), (1, 50), (50, 1), (36, 35)]
	for n, (w, h) in enumerate(shapes):
		picture = Image.frombytes("RGB", (w, h), noise(100 + n, w, h, 3))
		for rotate in (0, 90, 180, 270):
			for fit, fit_name in ((COVER, "cover"), (CONTAIN, "contain"), (STRETCH, "stretch")):
				roi = [None, (0.1, 0.2, 0.7, 0.55), (0.5, 0, 0.5, 1), (0.999, 0.999, 0.001, 0.001)][(n + rotate) % 4]
				size = [(12, 9), (9, 12), (11, 11)][(n + rotate // 90) % 3]
				cases.add(
					f"raw {w}x{h} {fit_name} {rotate} {roi}",
					picture,
					seed=100 + n,
					raw=(w, h, 3),
					rotate=rotate,
					roi=roi,
					size=size,
					fit=fit,
				)


def exif_segment(orientation, big=False):
	e = ">" if big else "<"
	entries = struct.pack(e + "HHIHH", 0x0100, 3, 1, 99, 0) + struct.pack(e + "HHIHH", 0x0112, 3, 1, orientation, 0)
	tiff = (b"MM" if big else b"II") + struct.pack(e + "HIH", 42, 8, 2) + entries + bytes(4)
	return tiff, b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff


def jpeg(picture, **options):
	out = io.BytesIO()
	picture.save(out, "JPEG", **options)
	return out.getvalue()


def with_segment(file, segment):
	return file[:2] + segment + file[2:]


def add_jpeg_file(cases, name, file, *, size=(16, 12), roi=None, rotate=0, fit=STRETCH):
	"""Chooses the reduction as image.h says, decodes with Pillow's draft mode, which is libjpeg's scaling."""
	picture = Image.open(io.BytesIO(file))
	for reduction in (8, 4, 2, 1):
		reduced = (-(-picture.width // reduction), -(-picture.height // reduction))
		turned = (picture.getexif().get(0x0112, 1) >= 5) != (rotate in (90, 270))
		seen = reduced[::-1] if turned else reduced
		box = region_of(roi, *seen) if roi else (0, 0) + seen
		if reduction == 1 or (box[2] - box[0] >= 2 * size[0] and box[3] - box[1] >= 2 * size[1]):
			break
	picture.draft(None, (picture.width // reduction, picture.height // reduction))
	assert picture.size == reduced, (name, picture.size, reduced)
	cases.add(
		f"jpeg {name} by {reduction}",
		ImageOps.exif_transpose(picture).convert("RGB"),
		file=file,
		size=size,
		roi=roi,
		rotate=rotate,
		fit=fit,
	)


def add_jpeg(cases):
	small, large = drawing(41, 29, 1), drawing(301, 203, 2).filter(ImageFilter.GaussianBlur(2))
	for subsampling in (0, 1, 2):
		add_jpeg_file(
			cases, f"subsampling {subsampling}", jpeg(small, subsampling=subsampling, quality=80), size=(41, 29)
		)
		add_jpeg_file(
			cases,
			f"progressive subsampling {subsampling}",
			jpeg(small, subsampling=subsampling, quality=80, progressive=True),
			size=(41, 29),
		)
	add_jpeg_file(cases, "grey", jpeg(small.convert("L")), size=(41, 29))
	add_jpeg_file(cases, "grey progressive", jpeg(small.convert("L"), progressive=True), size=(41, 29))
	add_jpeg_file(cases, "1x1", jpeg(drawing(1, 1, 3)), size=(2, 2))
	add_jpeg_file(cases, "16x1", jpeg(drawing(16, 1, 4)), size=(8, 2))
	add_jpeg_file(cases, "1x17", jpeg(drawing(1, 17, 4)), size=(2, 8))

	cmyk = jpeg(small.convert("CMYK"), quality=85)
	at = cmyk.index(b"Adobe")
	add_jpeg_file(cases, "CMYK", cmyk, size=(41, 29))
	add_jpeg_file(cases, "YCCK", cmyk[: at + 11] + b"\x02" + cmyk[at + 12 :], size=(41, 29))
	add_jpeg_file(cases, "CMYK without Adobe", cmyk[: at - 4] + cmyk[at + 12 :], size=(41, 29))
	add_jpeg_file(cases, "CMYK progressive", jpeg(small.convert("CMYK"), progressive=True), size=(20, 14))
	adobe_rgb = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
	full = jpeg(small, subsampling=0)
	app0 = 4 + struct.unpack(">H", full[4:6])[0]
	add_jpeg_file(cases, "RGB by Adobe", full[:2] + adobe_rgb + full[app0:], size=(41, 29))

	big_file = jpeg(large, quality=30)
	for size in ((10, 10), (20, 20), (40, 40), (60, 40), (31, 102)):
		add_jpeg_file(cases, f"reduced for {size[0]}x{size[1]}", big_file, size=size, fit=COVER)
	add_jpeg_file(cases, "progressive reduced", jpeg(large, quality=25, progressive=True), size=(18, 12))
	for n, roi in enumerate([(0.1, 0.2, 0.3, 0.4), (0, 0, 1 / 3, 1 / 3), (0.9, 0.9, 0.1, 0.1), (0.25, 0.5, 0.75, 0.5)]):
		add_jpeg_file(cases, f"roi {n}", big_file, size=(12, 8), roi=roi, rotate=90 * n, fit=COVER)

	tiny = drawing(29, 19, 8)
	for orientation in range(1, 9):
		tagged = with_segment(jpeg(tiny, quality=40), exif_segment(orientation, orientation % 2 == 0)[1])
		add_jpeg_file(cases, f"EXIF {orientation}", tagged, size=(20, 14))
		add_jpeg_file(
			cases,
			f"EXIF {orientation} turned",
			tagged,
			size=(8, 8),
			roi=(0.2, 0.1, 0.5, 0.6),
			rotate=(orientation * 90) % 360,
			fit=COVER,
		)
	for wrong in (0, 9, 65535):
		add_jpeg_file(cases, f"EXIF {wrong}", with_segment(jpeg(tiny, quality=40), exif_segment(wrong)[1]), size=(9, 6))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name, data):
	return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(samples, depth, colour, interlaced=False, extra=b""):
	"""samples: height x width x channels of `depth` bits. Filter types take turns, so all five are met."""
	height, width, channels = samples.shape
	unit = max(1, channels * depth // 8)

	def packed(row):
		bits = "".join(format(int(v), f"0{depth}b") for v in row.reshape(-1))
		bits += "0" * (-len(bits) % 8)
		return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))

	def paeth(a, b, c):
		p = a + b - c
		return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]

	def filtered(part):
		out, above = b"", None
		for y, row in enumerate(part):
			line = packed(row)
			above = above or bytes(len(line))
			kind = y % 5
			out += bytes([kind])
			for i, v in enumerate(line):
				a, b, c = (line[i - unit] if i >= unit else 0), above[i], (above[i - unit] if i >= unit else 0)
				out += bytes([(v - (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) & 255])
			above = line
		return out

	parts = [samples[y0::dy, x0::dx] for x0, y0, dx, dy in ADAM7] if interlaced else [samples]
	data = zlib.compress(b"".join(filtered(p) for p in parts if p.size), 9)
	half = len(data) // 2
	return (
		b"\x89PNG\r\n\x1a\n"
		+ chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
		+ extra
		+ chunk(b"IDAT", data[:half])
		+ chunk(b"IDAT", data[half:])
		+ chunk(b"IEND", b"")
	)


def over(rgb, alpha, background):
	rgb, alpha = rgb.astype(int), alpha.astype(int)[..., None]
	return ((rgb * alpha + numpy.array(background) * (255 - alpha) + 127) // 255).astype(numpy.uint8)


def add_png(cases):
	background = (7, 130, 250)
	rng = numpy.random.RandomState(5)
	for width, height in ((13, 11), (1, 1), (5, 3)):
		for depth, colour, channels in (
			[(d, 0, 1) for d in (1, 2, 4, 8, 16)]
			+ [(d, 3, 1) for d in (1, 2, 4, 8)]
			+ [(8, 2, 3), (16, 2, 3), (8, 4, 2), (16, 4, 2), (8, 6, 4), (16, 6, 4)]
		):
			samples = rng.randint(0, 1 << depth, (height, width, channels))
			opaque = numpy.full((height, width), 255)
			eight = samples >> 8 if depth == 16 else samples * 255 // ((1 << depth) - 1) if colour != 3 else samples
			extras = [("", b"", opaque)]
			if colour in (0, 2):
				samples[0, 0] = samples[-1, -1]
				eight[0, 0] = eight[-1, -1]
				key = samples[0, 0]
				extras.append(
					(
						" key",
						chunk(b"tRNS", struct.pack(f">{channels}H", *key)),
						numpy.where((samples == key).all(2), 0, 255),
					)
				)
			if colour == 3:
				palette = rng.randint(0, 256, (1 << depth, 3))
				alphas = rng.randint(0, 256, (1 << depth) - 1)  # the last colour has none: opaque
				table = numpy.append(alphas, 255)
				plte = chunk(b"PLTE", palette.astype(numpy.uint8).tobytes())
				extras = [
					("", plte, opaque),
					(" alpha", plte + chunk(b"tRNS", alphas.astype(numpy.uint8).tobytes()), table[samples[..., 0]]),
				]
				rgb = palette[samples[..., 0]]
			elif channels <= 2:
				rgb = numpy.repeat(eight[..., :1], 3, 2)
			else:
				rgb = eight[..., :3]
			for word, extra, alpha in extras:
				if colour in (4, 6):
					alpha = eight[..., -1]
				for interlaced in (False, True):
					if (width, height) != (13, 11) and not (interlaced and depth in (1, 16)):
						continue
					file = png(samples, depth, colour, interlaced, extra)
					expected = over(rgb, alpha, background).tobytes()
					name = f"png {width}x{height} colour {colour} depth {depth}{word}{' interlaced' * interlaced}"
					if depth < 16 and not word and colour in (0, 2, 3):
						assert Image.open(io.BytesIO(file)).convert("RGB").tobytes() == expected, name
					cases.put(name, expected, file, size=(width, height), background=background)

	picture = drawing(70, 50, 9)
	samples = numpy.array(picture)
	for interlaced in (False, True):
		for orientation in (1, 6):
			tagged = png(samples[::2, ::2], 8, 2, interlaced, chunk(b"eXIf", exif_segment(orientation)[0]))
			seen = (
				Image.fromarray(samples[::2, ::2]).transpose(Image.ROTATE_270)
				if orientation == 6
				else Image.fromarray(samples[::2, ::2])
			)
			cases.add(
				f"png eXIf {orientation}{' interlaced' * interlaced}",
				seen,
				file=tagged,
				size=(9, 9),
				fit=COVER,
				roi=(0.1, 0.1, 0.8, 0.85),
				rotate=90,
			)
	text = chunk(b"tEXt", b"Comment\0drawn") + chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"zzZz", bytes(300))
	cases.add(
		"png with other chunks",
		Image.fromarray(samples[::2, ::2]),
		file=png(samples[::2, ::2], 8, 2, False, text),
		size=(16, 16),
		fit=CONTAIN,
	)


def files():
	"""{path: bytes}."""
	cases = Cases()
	add_raw(cases)
	add_jpeg(cases)
	add_png(cases)
	return {ROOT / "tests" / "vectors" / "image.bin": cases.file()}


if __name__ == "__main__":
	for path, data in files().items():
		path.write_bytes(data)
