# SPDX-License-Identifier: MIT
"""JPEG and PNG in their variants, over the socket: what the network sees is what Pillow shows."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.integration.daemon import DaemonTest, bnnd, main, pixels


def save(image, format, **options):
	out = io.BytesIO()
	image.save(out, format, **options)
	return bnnd.Picture(out.getvalue())


def chunk(kind, data):
	return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


class Variants(DaemonTest):
	def setUp(self):
		self.d = self.daemon()
		self.client = self.d.client()
		self.addCleanup(self.client.close)
		self.side = self.client.hello.model.input.width

	def seen(self, p):
		return np.asarray(Image.open(io.BytesIO(self.client.look(p)[1])).convert("RGB")).astype(int)

	def square(self, kind="triangle", seed=4):
		"""A picture of the network's own size: no resizing, so pixels can be compared."""
		return Image.fromarray(pixels(kind, seed, self.side, self.side))

	def test_png(self):
		image = self.square()
		rgb = np.asarray(image).astype(int)
		grey = np.asarray(image.convert("L")).astype(int)
		for mode, expected in (("RGB", rgb), ("L", np.repeat(grey[:, :, None], 3, 2))):
			self.assertEqual(0, abs(self.seen(save(image.convert(mode), "PNG")) - expected).max(), mode)
		palette = image.quantize(64)
		self.assertEqual(0, abs(self.seen(save(palette, "PNG")) - np.asarray(palette.convert("RGB")).astype(int)).max())
		bilevel = image.convert("1")
		self.assertEqual(0, abs(self.seen(save(bilevel, "PNG")) - np.asarray(bilevel.convert("RGB")).astype(int)).max())
		deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
		self.assertEqual("I;16", deep.mode)
		self.assertLessEqual(abs(self.seen(save(deep, "PNG")) - grey[:, :, None]).max(), 1)

	def test_alpha_lies_on_the_models_background(self):
		image = self.square().convert("RGBA")
		image.putalpha(0)
		background = self.seen(save(image, "PNG"))
		self.assertEqual(0, int(np.ptp(background.reshape(-1, 3), axis=0).max()), "one colour")
		image.putalpha(255)
		self.assertEqual(0, abs(self.seen(save(image, "PNG")) - np.asarray(image.convert("RGB")).astype(int)).max())
		image.putalpha(128)
		half = self.seen(save(image, "PNG"))
		expected = np.asarray(image.convert("RGB")) * (128 / 255) + background * (127 / 255)
		self.assertLessEqual(abs(half - expected).max(), 1)

	def test_jpeg(self):
		image = self.square()
		for name, source, options in (
			("baseline", image, {}),
			("progressive", image, {"progressive": True}),
			("4:4:4", image, {"subsampling": 0}),
			("4:2:0", image, {"subsampling": 2}),
			("grey", image.convert("L"), {}),
			("optimised", image, {"optimize": True}),
		):
			with self.subTest(name):
				p = save(source, "JPEG", quality=95, **options)
				expected = np.asarray(Image.open(io.BytesIO(p.payload)).convert("RGB")).astype(int)
				self.assertLessEqual(abs(self.seen(p) - expected).mean(), 1.0)

	def test_cmyk(self):
		image = self.square()
		p = save(image.convert("CMYK"), "JPEG", quality=95)
		self.assertLess(abs(self.seen(p) - np.asarray(image).astype(int)).mean(), 6)

	def test_exif_orientation(self):
		image = self.square()
		reference = self.seen(save(image, "JPEG", quality=95, subsampling=0))
		turn = {
			1: lambda a: a,
			2: lambda a: a[:, ::-1],
			3: lambda a: a[::-1, ::-1],
			4: lambda a: a[::-1],
			5: lambda a: a.transpose(1, 0, 2),
			6: lambda a: np.rot90(a, -1),
			7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
			8: lambda a: np.rot90(a),
		}
		for orientation, how in turn.items():
			with self.subTest(orientation):
				exif = Image.Exif()
				exif[0x0112] = orientation
				p = save(image, "JPEG", quality=95, subsampling=0, exif=exif)
				self.assertLessEqual(abs(self.seen(p) - how(reference)).mean(), 0.01)

	def test_sizes_and_shapes(self):
		for width, height in (
			(1, 1),
			(1, 500),
			(500, 1),
			(7, 1000),
			(640, 480),
			(481, 641),
			(2000, 1500),
			(96, 97),
			(4000, 3000),
		):
			for format in ("JPEG", "PNG"):
				with self.subTest(f"{width}x{height} {format}"):
					image = Image.fromarray(pixels("disc", 1, 64, 64)).resize((width, height))
					self.client.infer(save(image, format))

	def test_resizing_is_pillows_bit_for_bit(self):
		"""Cover: scaled so that the shorter side fits, the middle cut out; raw and PNG alike."""
		if self.client.hello.model.input.fit != "cover":
			self.skipTest("the model does not cover")
		for width, height in ((300, 300), (97, 97), (50, 50)):
			image = Image.fromarray(pixels("waves", 2, width, height))
			expected = np.asarray(image.resize((self.side, self.side), Image.BILINEAR)).astype(int)
			self.assertEqual(0, abs(self.seen(bnnd.Picture.array(np.asarray(image))) - expected).max(), (width, height))
			self.assertEqual(0, abs(self.seen(save(image, "PNG")) - expected).max(), (width, height))

	def test_a_picture_lies_in_its_answer_the_same_however_it_came(self):
		self.teach(self.client, "disc", "ring")
		image = Image.fromarray(pixels("ring", 70, 320, 240))
		png = self.client.infer(save(image, "PNG"))
		raw = self.client.infer(bnnd.Picture.array(np.asarray(image)))
		jpeg = self.client.infer(save(image, "JPEG", quality=97, subsampling=0))
		self.assertEqual([(s.label, s.cosine) for s in png.top], [(s.label, s.cosine) for s in raw.top])
		self.assertEqual(b"ring", jpeg.top[0].label)
		self.assertLess(abs(jpeg.top[0].cosine - png.top[0].cosine), 0.1)

	def heavy(self, side=8000):
		"""Half a megabyte that is side x side pixels of 16 bit with alpha, every row filtered by Paeth's predictor."""
		packer = zlib.compressobj(1)
		row = b"\4" + bytes(8 * side)
		data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
		header = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
		return bnnd.Picture(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))

	def refused(self, client, p, **options):
		with self.assertRaises(bnnd.Error) as caught:
			client.call(p.payload, infer=bnnd.wire.messages().Infer(picture=p.message()), **options)
		return caught.exception

	def test_one_picture_has_a_price(self):
		heavy = self.heavy()
		self.assertLess(len(heavy.payload), 4 << 20)
		error = self.refused(self.client, heavy)
		self.assertEqual(
			(bnnd.Code.RESOURCE_EXHAUSTED, "image.decode_megapixels", 24), (error.code, error.field, error.limit)
		)
		self.assertRegex(error.message, "8000 x 8000.*144.*convert in.png")

		# Where the price is no matter, the clock is; the request's own is asked first.
		slow = self.daemon(config="image:\n  decode_megapixels: 4096\n  decode_seconds: 1\n")
		client = slow.client()
		self.addCleanup(client.close)
		error = self.refused(client, heavy)
		self.assertEqual(
			(bnnd.Code.RESOURCE_EXHAUSTED, "image.decode_seconds", 1), (error.code, error.field, error.limit)
		)
		self.assertRegex(error.message, "more than 1 s.*convert in.png")
		self.assertEqual(bnnd.Code.DEADLINE_EXCEEDED, self.refused(client, heavy, timeout_ms=300).code)
		client.infer(bnnd.Picture.array(pixels("ring", 1)))

	def test_what_phones_make(self):
		"""With the settings as they come: 12 megapixels, progressive too, and no end marker."""
		image = Image.fromarray(pixels("disc", 1, 504, 378)).resize((4032, 3024))
		for options in ({}, {"progressive": True}, {"subsampling": 0}):
			with self.subTest(options):
				p = save(image, "JPEG", quality=85, **options)
				self.client.infer(p)
				self.client.infer(bnnd.Picture(p.payload[:-2]))
		small = image.resize((2784, 2088))
		self.client.infer(save(small, "JPEG", quality=85, progressive=True, subsampling=0))

	def test_nobody_sees_the_picture_before(self):
		"""Files that announce more pixels than they have: refused, and the one thread's buffer is never answered with."""
		secret = pixels("waves", 9, self.side, self.side)
		n = self.side

		def header(height, interlaced=0):
			return chunk(b"IHDR", struct.pack(">IIBBBBB", n, height, 8, 2, 0, 0, interlaced))

		def rows(height):
			return chunk(b"IDAT", zlib.compress(bytes((3 * n + 1) * height)))

		end = chunk(b"IEND", b"")
		for parts in (
			(header(1), rows(1), header(n), end),
			(header(1), header(n), rows(1), end),
			(header(n), rows(1), end),
			(header(n), rows(1)),
			(header(n, 1), rows(n + 8), header(n), end),
			(header(n), rows(n), chunk(b"IHDR", b"")),
		):
			self.client.infer(bnnd.Picture.array(secret))
			with self.assertRaises(bnnd.Error) as caught:
				self.client.look(bnnd.Picture(b"\x89PNG\r\n\x1a\n" + b"".join(parts)))
			self.assertEqual((bnnd.Code.INVALID_ARGUMENT, "picture"), (caught.exception.code, caught.exception.field))
		self.assertTrue(self.d.running())


if __name__ == "__main__":
	main()
