# SPDX-License-Identifier: MIT
"""Writes the seeds of the corpora (corpus/TARGET/NAME.seed) and the words of config.dict.

  python3 -m tests.fuzz.make_corpus

Everything in them is made here, or is of this tree (tests/vectors, systemd/bnnd.yaml): no file of anybody else. What is in
the corpora beside the seeds was found from them by the fuzzers; this script leaves it alone.
"""

import io
import pathlib
import struct

from PIL import Image

from tests.vectors.make_tiny import Splitmix64
from tools.bnnfile import Builder
from tools.bnnfile.build import window
from tools.bnnfile.format import parse, serialize

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


# ---- pictures: fuzz_image.c --------------------------------------------------------------------------------------


def picture(mode, width, height):
	"""Something with edges and colours."""
	image = Image.new("RGB", (width, height))
	image.putdata(
		[
			((x * 37 + y * 11) % 256, (x * y * 5) % 256, (y * 29 + (x > width // 2) * 120) % 256)
			for y in range(height)
			for x in range(width)
		]
	)
	return image.convert(mode)


def encoded(mode, width, height, kind, **options):
	out = io.BytesIO()
	picture(mode, width, height).save(out, kind, **options)
	return out.getvalue()


def exif(orientation):
	tags = Image.Exif()
	tags[0x0112] = orientation
	return tags.tobytes()


def shape(width=8, height=8, fit=0, memory=15):
	return bytes([width - 1, height - 1, fit, memory])


PLAIN, RAW, PNG_LIST, MENDED = 0, 1, 2, 4


def header(width, height, depth_and_colour, interlaced=0):
	return bytes([0, depth_and_colour | interlaced << 6, width, height])


def rows(n, stride, how=0, mask=255):
	return bytes([1, how, 3, mask, stride]) + struct.pack(">H", n)


def chunk(which, data):
	return bytes([which, len(data)]) + data


END = bytes([2, 0])
# Of header(): places in fuzz_image.c's tables of depths and colours.
GREY1, GREY8, RGB8, PALETTE8, RGBA8, RGBA16 = 0, 3, 11, 19, 35, 38


def image_seeds():
	for name, mode, size, options in (
		("jpeg-444", "RGB", (19, 13), {"subsampling": 0}),
		("jpeg-420", "RGB", (33, 21), {"subsampling": 2}),
		("jpeg-422", "RGB", (24, 40), {"subsampling": 1, "quality": 30}),
		("jpeg-grey", "L", (17, 9), {}),
		("jpeg-cmyk", "CMYK", (12, 12), {}),
		("jpeg-progressive", "RGB", (32, 24), {"progressive": True}),
		("jpeg-optimised", "RGB", (16, 16), {"optimize": True, "quality": 95}),
	):
		yield name, bytes([PLAIN, 0]) + shape() + encoded(mode, *size, "JPEG", **options)
	for orientation in (2, 6, 8):
		yield (
			f"jpeg-exif-{orientation}",
			bytes([PLAIN, 0]) + shape(12, 6, 1) + encoded("RGB", 20, 10, "JPEG", exif=exif(orientation)),
		)
	for name, mode, options in (
		("png-rgb", "RGB", {}),
		("png-rgba", "RGBA", {}),
		("png-grey", "L", {}),
		("png-bilevel", "1", {}),
		("png-palette", "P", {}),
		("png-transparent", "P", {"transparency": 3}),
		("png-grey-alpha", "LA", {}),
		("png-grey-16", "I;16", {}),
	):
		if mode == "I;16":
			image = Image.frombytes("I;16", (9, 7), bytes(range(126)))
			out = io.BytesIO()
			image.save(out, "PNG")
			data = out.getvalue()
		else:
			data = encoded(mode, 15, 11, "PNG", **options)
		yield name, bytes([MENDED, 0]) + shape() + data
	yield "png-exif", bytes([MENDED, 1]) + shape(10, 16, 2) + encoded("RGB", 10, 14, "PNG", exif=exif(5))
	yield "view-turned", bytes([PLAIN, 9, 20, 10, 100, 120]) + shape(16, 9) + encoded("RGB", 25, 14, "PNG")
	yield (
		"view-real",
		bytes([PLAIN, 8 | 16]) + struct.pack(">4d", 0.1, 0.2, 0.5, 0.75) + shape(5, 5, 2) + encoded("L", 14, 14, "PNG"),
	)
	yield "raw-rgb", bytes([RAW, 0]) + shape() + bytes([4, 3, 3]) + bytes(range(36))
	yield "raw-grey", bytes([RAW, 2]) + shape(3, 7) + bytes([5, 5, 1]) + bytes(range(25))
	yield "raw-fits", bytes([RAW | MENDED, 3]) + shape(64, 64, 1) + bytes([150, 90, 3]) + b"\x00\x40\xff"
	yield "raw-wrong", bytes([RAW, 0]) + shape() + bytes([4, 3, 2]) + bytes(24)
	for name, colour, stride, n in (
		("grey1", GREY1, 3, 30),
		("grey8", GREY8, 11, 110),
		("rgb8", RGB8, 31, 310),
		("palette8", PALETTE8, 11, 110),
		("rgba8", RGBA8, 41, 410),
		("rgba16", RGBA16, 81, 810),
	):
		palette = chunk(3, bytes(range(96))) if "palette" in name else b""
		data = bytes([PNG_LIST, 0]) + shape() + header(10, 10, colour) + palette + rows(n, stride, mask=31) + END
		yield "list-" + name, data
		yield "list-interlaced-" + name, data[:7] + bytes([data[7] | 0x40]) + data[8:]
	begin = bytes([PNG_LIST, 0]) + shape()
	yield "list-two-headers", begin + header(10, 10, RGB8) + header(10, 20, RGB8) + rows(310, 31, mask=4) + END
	yield "list-header-last", begin + header(10, 10, RGB8) + rows(310, 31, mask=4) + header(0, 0, RGB8) + END
	yield (
		"list-parts",
		begin
		+ header(10, 10, RGB8)
		+ rows(310, 31, 8)
		+ b"\x00\x20"
		+ bytes([1, 2])
		+ b"\x00\x40"
		+ bytes([1, 1])
		+ END,
	)
	yield (
		"list-ancillary",
		begin
		+ header(10, 10, RGB8)
		+ chunk(6, b"\x00\x01\x86\xa0")
		+ chunk(4, bytes(6))
		+ chunk(5, exif(3))
		+ chunk(9, b"Comment\0made here")
		+ rows(310, 31, mask=4)
		+ END,
	)
	yield "other-formats", bytes([PLAIN, 0]) + shape() + b"GIF89a" + bytes(20)


# ---- frames and requests: fuzz_service.c -------------------------------------------------------------------------

STATUS, INFER, EMBED, LOOK, BEGIN, ADD, COMMIT, ABORT, CLASSES, DETAIL, HISTORY, FORGET, RENAME, UNDO, ROLLBACK = range(
	8, 23
)
OPEN, CLOSE, WAIT, CANCEL, END_WRITING, BYTES, HEADER, ASK_BYTES = range(8)
NO_KEY = 129
MUG, CUP = 0, 1


def step(what, *operands, peer=0, go_on=False):
	return bytes([what << 3 | go_on << 2 | peer, *operands])


def begin_lesson(key, peer=0):
	return step(BEGIN, key, 0, peer=peer)


def add(label, seed, peer=0, how=64, go_on=False):
	return step(ADD, 1, how, seed, label, peer=peer, go_on=go_on)


def lesson(key, label, seeds, peer=0):
	return begin_lesson(key, peer) + b"".join(add(label, s, peer) for s in seeds) + step(COMMIT, 0, peer=peer)


def vectors(prefix):
	for path in sorted((ROOT / "tests/vectors/wire").glob(prefix + "*.hex")):
		lines = [line for line in path.read_text().split("\n") if not line.startswith("#")]
		yield path.stem, bytes.fromhex("".join(lines))


# A script of steps is read as a line, not as a step a line.
# fmt: off
def service_seeds():
	taught = lesson(1, MUG, (1, 2, 3)) + lesson(2, CUP, (90, 91))
	yield "questions", step(STATUS) + step(INFER, 0, 5, 3, 0) + step(EMBED, 1, 7) + step(LOOK, 64, 9) + step(CLASSES, 0, 0) \
		+ step(HISTORY, 0, 0, 0) + step(DETAIL, 0) + step(DETAIL, 1, MUG)
	yield "taught", taught + step(INFER, 64, 4, 10, 2) + step(CLASSES, 230, 1) + step(CLASSES, 230, 1) + step(DETAIL, 1, MUG)
	yield "negatives", begin_lesson(3) + step(ADD, 0, 64, 7) + step(ADD, 0, 64, 8) + step(COMMIT, 0) + taught + step(CLASSES, 230, 0)
	yield "changes", taught + step(RENAME, NO_KEY, 0, MUG, 2) + step(FORGET, 5, 0, 1, CUP) + step(UNDO, NO_KEY, 0) \
		+ step(UNDO, NO_KEY, 0) + step(ROLLBACK, 6, 130, 1) + step(HISTORY, 0, 0, 2) + step(HISTORY, 1, 2)
	yield "same-keys", taught + lesson(1, MUG, (5,)) + step(UNDO, 9, 0) + step(UNDO, 9, 0) + step(FORGET, 1, 0, 1, MUG)
	yield "nothing-to-change", step(ROLLBACK, NO_KEY, 0, 0) + step(UNDO, NO_KEY, 0) + step(FORGET, NO_KEY, 0, 1, MUG) + taught \
		+ step(ROLLBACK, NO_KEY, 0, 3)
	yield "guards", taught + step(UNDO, NO_KEY, 210, 7) + step(UNDO, NO_KEY, 130)
	yield "limits", b"".join(lesson(10 + i, i, (40 + i,)) for i in range(8))
	yield "full-lesson", begin_lesson(4) + b"".join(add(i % 6, i) for i in range(16)) + step(COMMIT, 210, 3) + step(ABORT, 0)
	yield "two-clients", begin_lesson(1, 0) + begin_lesson(1, 1) + begin_lesson(2, 1) + add(MUG, 1, 0) + add(CUP, 2, 1) \
		+ step(COMMIT, 0, peer=1) + step(COMMIT, 0, peer=0) + step(CLASSES, 230, 0, peer=2)
	yield "at-once", b"".join(step(INFER, 64, i, 3, 2, peer=i % 4, go_on=True) for i in range(24)) + step(WAIT)
	yield "adds-at-once", begin_lesson(6) + b"".join(add(MUG, i, go_on=True) for i in range(8)) + step(WAIT) + step(COMMIT, 0)
	yield "cancelled", step(INFER, 64, 1, 3, 2, go_on=True) + step(CANCEL, 0) + begin_lesson(7) + add(MUG, 3, go_on=True) \
		+ step(CANCEL, 0) + step(COMMIT, 0, go_on=True) + step(CANCEL, 0)
	yield "goes-away", begin_lesson(8) + add(MUG, 3, go_on=True) + step(CLOSE) + begin_lesson(8) + add(MUG, 4) + step(COMMIT, 0, go_on=True) \
		+ step(CLOSE) + step(STATUS, peer=1)
	yield "half-closed", step(STATUS, go_on=True) + step(END_WRITING) + step(STATUS, peer=1)
	yield "hellos", step(OPEN, 230) + step(OPEN, 210) + step(STATUS) + step(OPEN, 0) + step(STATUS)
	yield "pictures", step(LOOK, 241, 0, 0, 9) + encoded("L", 3, 3, "PNG")[:9] + step(LOOK, 225, 3, 20, 20, 100, 100) + step(INFER, 235, 1, 200, 3, 2)
	names = list(vectors("request-"))
	def body(data):
		return data[16:16 + struct.unpack(">I", data[:4])[0]]
	def payload(data):
		return data[16 + struct.unpack(">I", data[:4])[0]:]
	for i in range(0, len(names), 8):
		yield f"bodies-{i // 8}", b"".join(step(ASK_BYTES) + struct.pack(">HB", len(body(d)), len(payload(d))) + body(d) + payload(d)
			for _, d in names[i:i + 8])
	stream = b"".join(data for _, data in vectors("hello.")) + b"".join(data for _, data in names[:6])
	yield "stream", step(OPEN, 210) + step(BYTES) + struct.pack(">H", len(stream)) + stream
	yield "broken-headers", b"".join(step(HEADER, *numbers, peer=i % 4) + struct.pack(">H", 4) + b"abcd"
		for i, numbers in enumerate(((4, 0, 1, 2, 0), (205, 0, 2, 2, 0), (0, 205, 3, 2, 0), (4, 0, 0, 2, 0), (4, 4, 5, 1, 0), (0, 0, 6, 4, 1))))

# fmt: on


# ---- state: fuzz_state.c -----------------------------------------------------------------------------------------

CELL, ROW, MEND, SCHEMA, SCHEMA_TEXT, CUT, POKE = 0, 4, 7, 9, 10, 11, 12
NULL_CELL, REAL, TEXT, BLOB, ZEROS, NUMBER = range(6)
MINUS_ONE, MOST_NEGATIVE, MOST = 200, 201, 202


def state_seeds():
	yield "valid", b""
	yield "bad-sums", bytes([MEND])
	for cell in range(23):
		yield (
			f"cell-{cell}",
			b"".join(bytes([CELL, cell, row, NUMBER, value]) for row, value in ((1, 9), (3, MINUS_ONE), (6, MOST))),
		)
	yield "cells-unmended", bytes([MEND]) + b"".join(bytes([CELL, cell, 2, BLOB, 3, 1, 2, 3]) for cell in range(23))
	yield (
		"cell-types",
		b"".join(bytes([CELL, 6, 1 + t, t, *([7] * 8)]) for t in (0, 1, 4)) + bytes([CELL, 18, 1, TEXT, 4]) + b"text",
	)
	yield (
		"rows",
		bytes([ROW, 0])
		+ bytes([NUMBER, 40, NUMBER, 2, NUMBER, 9, NUMBER, 1, NUMBER, MOST, NUMBER, 40, TEXT, 2])
		+ b"xx"
		+ bytes([BLOB, 3])
		+ b"new"
		+ bytes([NUMBER, 0]),
	)
	yield (
		"changes",
		bytes([ROW, 1])
		+ bytes(
			[
				NUMBER,
				MINUS_ONE,
				NUMBER,
				1,
				NUMBER,
				1,
				NULL_CELL,
				NULL_CELL,
				NULL_CELL,
				NUMBER,
				3,
				NUMBER,
				9,
				NUMBER,
				0,
				BLOB,
				0,
				NUMBER,
				0,
			]
		),
	)
	yield "gone", bytes([ROW, 2, 1, ROW, 2, 4, ROW, 3, 2])
	yield "twice", bytes([ROW, 4, NUMBER, 44, 1, ROW, 5, NUMBER, 60, 1])
	for i in range(27):
		yield f"schema-{i}", bytes([SCHEMA, i])
	yield "schema-view", bytes([SCHEMA, 0, SCHEMA, 9])
	yield "schema-text", bytes([SCHEMA_TEXT, 1, 1, TEXT, 20]) + b"CREATE TABLE meta(a)"
	yield "root-page", bytes([SCHEMA_TEXT, 0, 3, NUMBER, 4])
	yield "cut", bytes([CUT]) + struct.pack(">I", 4096 * 3)
	yield "empty", bytes([CUT]) + struct.pack(">I", 0)
	for page in range(8):
		yield (
			f"poke-{page}",
			bytes([POKE, page * 8 + 1]) + struct.pack(">H", 100 + page * 300) + bytes([7, 255, 0, 1, 2, 3, 4, 5, 6]),
		)
	yield "log", bytes([POKE, 0]) + struct.pack(">HB", 0, 31) + bytes.fromhex("377f0682002de21800001000") + bytes(20)


# ---- settings, models, answers -----------------------------------------------------------------------------------

SETTINGS = ROOT / "systemd/bnnd.yaml"


def settings():
	"""(section, key, value) of each setting of the annotated defaults, active or not ("#key: value"); of its comments ("# ...")
	nothing."""
	section = ""
	for line in SETTINGS.read_text().split("\n"):
		if line.lstrip().startswith("# "):
			continue
		bare = line.lstrip("# ").rstrip()
		key, colon, value = bare.partition(": ")
		if bare.endswith(":") and " " not in bare:
			section = bare[:-1]
		elif section and colon and key.isidentifier():
			yield section, key, value.split("  #")[0].strip()


def words():
	"""The dictionary of the settings' target."""
	found = []
	for section, key, value in settings():
		found += [section + ":", key + ":", value]
	found += [
		"- ",
		"{",
		"}",
		"[",
		"]",
		": ",
		"'",
		'"',
		"&a ",
		"*a",
		"!!str ",
		"!!map ",
		"|\n",
		">\n",
		"---\n",
		"...\n",
		"? ",
		"<<",
		"~",
	]
	quoted = (
		word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\x0a") for word in dict.fromkeys(found) if word
	)
	return "# SPDX-License-Identifier: MIT\n" + "".join(f'"{word}"\n' for word in quoted)


def config_seeds():
	lines, named = [], ""
	for section, key, value in settings():
		lines += [] if section == named else [f"{section}:"]
		lines, named = [*lines, f"  {key}: {value}"], section
	yield "all-keys", "\n".join([*lines, ""]).encode()
	for section, key, value in settings():
		yield f"key-{section}-{key}", f"{section}:\n  {key}: {value}\n".encode()
	yield "preset", b"learner:\n  epochs: 3\n  preset: reference\n  width: float/float\n"
	yield "empty", b""
	yield "comment", b"# nothing\n"
	yield "flow", b"{socket: {path: /tmp/s, mode: '0600'}, answers: {refuse: 0.1}}\n"
	yield "alias", b"lesson: &a {idle_s: 5}\nsession: *a\n"
	yield "twice", b"lesson:\n  idle_s: 5\n  idle_s: 6\n"
	yield "unknown", b"lessons:\n  idle: 5\n"
	yield "types", b"lesson: [1, 2]\nsession:\n  max: {a: b}\n? [x]\n: y\n"
	yield "numbers", b"learner:\n  eta: 1e-3\n  decay: 0x10\n  epochs: 4294967297\n"
	yield "utf16", "lesson:\n  idle_s: 7\n".encode("utf-16")
	yield "nul", b'state:\n  dir: "a\\0b"\n'
	yield "quotes", b'socket:\n  group: ?bnnd"\nstate:\n  dir: "a\\nb\\x01\\u2028 \\\\"\n'
	yield "digits", b"learner:\n  eta: 0.012345678901234567\n  decay: 1.2345678e-5\n"
	yield "tag", b"!!map {state: !!str {dir: x}}\n"
	yield "documents", b"---\nlesson:\n  idle_s: 5\n...\n---\nx: y\n"


def branches():
	"""A small model of the operations that tiny and odd lack."""
	rng = Splitmix64(4)
	g = Builder()
	x = g.input(7, 9, [[k / 64 - 1 for k in range(256)]] * 3, fit="STRETCH")
	x = g.conv2d(x, rng.grid(8, 3, 3, 3, scale=0.5), rng.grid(8, scale=0.5), "stem", pads=1)
	low = g.op("max_pool", [x], "max", window=window((3, 2), (2, 1), (1, 0, 1, 1)))
	high = g.op(
		"max_pool",
		[g.op("mul", [x, g.constant(rng.grid(8, scale=2), name="by")], "mul")],
		"max2",
		window=window((3, 2), (2, 1), (1, 0, 1, 1)),
	)
	x = g.op("concat", [low, high, low], "concat")
	bits = g.sign(x, rng.grid(24, scale=0.5), "sign")
	y = g.binary_conv2d(
		bits, rng.signs(24, 3, 3, 24), rng.grid(24, scale=1 / 32), rng.grid(24, scale=0.25), "bin", pads=1
	)
	x = g.prelu(g.op("add", [x, y], "add"), rng.grid(24, scale=0.5), "prelu")
	x = g.op("avg_pool", [x], "avg", window=window(3, 2, 1), count_padding=True)
	x = g.op("sub", [g.op("mean", [x], "mean"), g.constant(rng.grid(24, scale=0.25), name="norm")], "centre")
	x = g.dense(x, rng.grid(16, 24, scale=0.5), None, "dense")
	g.output(g.op("l2", [x], "l2"))
	g.card("branches", "A model for tests.")
	return serialize(g.model())


def grouped(blob):
	"""The same network, whose features fall into two groups: format 1.1."""
	model = parse(blob)
	d = model.tensors[model.output("features")].shape[2]
	model.graph.answers.groups.extend((d - 3, 3))
	model.graph.answers.group_factors.extend((1.5, 1))
	return serialize(model)


def model_seeds():
	models = {
		name: (ROOT / "tests/vectors/models" / (name + ".bnn")).read_bytes() for name in ("tiny", "stages", "odd")
	}
	models["groups"] = grouped(models["tiny"])
	models["branches"] = branches()
	for name, data in models.items():
		graph_bytes, data_bytes = struct.unpack("<I", data[12:16])[0], struct.unpack("<Q", data[16:24])[0]
		graph = data[64 : 64 + graph_bytes]
		for word, what in ((0x0000803F, "ones"), (0, "zeros"), (0xCDCC4C3E, "fifths"), (0x0000C07F, "nan")):
			yield (
				f"{name}-{what}",
				bytes([1 + 2 * data[10]]) + struct.pack(">I", word) + bytes([min(255, -(-data_bytes // 1024))]) + graph,
			)
		if name not in ("tiny", "groups"):
			yield f"{name}-whole", bytes([0]) + data
	yield "nothing", bytes([0])
	yield "header", bytes([0]) + data[:64]


def hello_answer():
	return answer(dict(vectors("hello-reply"))["hello-reply"])


def answer(data, how=0):
	n, m = struct.unpack(">II", data[:8])
	return bytes([how]) + struct.pack(">HB", n, m) + data[16:]


def client_seeds():
	replies = dict(vectors("reply-"))
	first = {
		"answer": 0,
		"embedding": 1,
		"looked": 2,
		"status": 3,
		"classes": 4,
		"class-info": 5,
		"history": 6,
		"begun": 7,
		"added": 7,
		"changed": 10,
		"error": 3,
	}
	for name, data in replies.items():
		which = name.removeprefix("reply-")
		call = next(n for k, n in sorted(first.items(), key=lambda i: -len(i[0])) if which.startswith(k))
		yield which, bytes([call]) + hello_answer() + answer(data) * 3
	yield "hello-refused", bytes([0]) + answer(dict(vectors("hello-reply-refused"))["hello-reply-refused"])
	yield (
		"lesson",
		bytes([8])
		+ hello_answer()
		+ answer(replies["reply-begun"])
		+ answer(replies["reply-added"]) * 3
		+ answer(replies["reply-changed-learn"]),
	)
	yield (
		"lesson-fast",
		bytes([9])
		+ hello_answer()
		+ answer(replies["reply-begun"])
		+ answer(replies["reply-added"]) * 2
		+ answer(replies["reply-error"])
		+ answer(replies["reply-changed-learn"]),
	)
	yield "pages", bytes([4]) + hello_answer() + answer(replies["reply-classes"]) * 4
	yield "farewell", bytes([3]) + hello_answer() + bytes([16, 0]) + answer(replies["reply-error"])[1:]
	yield (
		"unasked",
		bytes([3])
		+ hello_answer()
		+ answer(replies["reply-status"], 4)
		+ answer(replies["reply-status"], 20)[:1]
		+ b"\x09"
		+ answer(replies["reply-status"])[1:],
	)
	yield "bytes", bytes([3]) + hello_answer() + bytes([2]) + struct.pack(">HB", 16, 0) + replies["reply-status"][:16]


CORPORA = {
	"client": client_seeds,
	"config": config_seeds,
	"image": image_seeds,
	"model": model_seeds,
	"service": service_seeds,
	"state": state_seeds,
}


def files():
	"""{path: bytes}."""
	made = {HERE / "config.dict": words().encode()}
	for name, seeds in CORPORA.items():
		made |= {HERE / "corpus" / name / f"{seed}.seed": data for seed, data in seeds()}
	return made


def main():
	made = files()
	for old in set(HERE.glob("corpus/*/*.seed")) - set(made):
		old.unlink()
	for path, data in made.items():
		path.parent.mkdir(parents=True, exist_ok=True)
		path.write_bytes(data)


if __name__ == "__main__":
	main()
