# SPDX-License-Identifier: MIT
"""Tests of tools/ and of the committed models: python3 -m tests.tools.test_tools [CLASS].

Container     what is written is read again, equal; damaged and unsound files are refused
Arithmetic    the exact evaluator: fused multiply-add, order of sums, hand-computed operations
Reproduction  the tools make the committed models and vectors byte for byte; the cards say what the files are
Golden        operations and features of photo96-1 against the training code's
Engine        bnnd-features (BNND_FEATURES) gives the features of the exact evaluator, and refuses what it should

Reproduction of photo96-1 and Golden need BNND_SHARED_DATA and are skipped without.
"""

import hashlib
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
from fractions import Fraction

import numpy as np

from tests.vectors import make_features, make_tiny
from tools import compare_golden, convert_photo, datasets
from tools.bnnfile import BadModel, Builder, Evaluator, feature_id, pack_bits, proto, read, unpack_bits, write
from tools.bnnfile.build import window
from tools.bnnfile.evaluate import fma32, sum8
from tools.bnnfile.format import HEADER, align, parse, serialize

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "vectors" / "models" / "tiny.bnn"
STAGES = ROOT / "tests" / "vectors" / "models" / "stages.bnn"
ODD = ROOT / "tests" / "vectors" / "models" / "odd.bnn"
VECTORS = ROOT / "tests" / "vectors" / "features"
FIRST = ROOT / "tests" / "vectors" / "models" / "photo96-1.bnn"
NEEDS_SHARED = "needs BNND_SHARED_DATA, the folder of trained backbones"

# What binds learned state. A change here orphans every learned state of that model.
FEATURE_IDS = {
	"tiny": "3c882ffb5c7acddc9567184fc1fa1dc3c62382449628a69469a647149e531162",
	"stages": "0542822612e15805c0824486b52d4aac92ac4fc27133bc7af21231695f384a31",
	"odd": "73c46e5d355ff5b341d065a2eb78b29d38fe91ebdac0817f76347694c2c814c2",
	"photo96-1": "70fc14abe346a5edd9baa66bfd93b176185d1847a01d61f3650b4bd716349d3b",
	"nano64-3": "cb2bc36d2438bb2c1222de0969cf5b36720221c93ed259bd5158f26a99a40b0c",
	"photo96-5": "388ec64f9e264c5089e5f5d48f74c93ebf9815ec2bd81e1267361f2b4ccb9413",
}
SHIPPED = {name: ROOT / "models" / f"{name}.bnn" for name in make_features.SHIPPED}
LATENTS = {
	"photo96-5": "photo96-4",
	"nano64-3": "nano64-2",
}  # whose weights a shipped network has, under a tail of its own
PATHS = {"tiny": TINY, "stages": STAGES, "odd": ODD, FIRST.stem: FIRST, **SHIPPED}


def grouped(graph, groups, factors):
	"""These features fall into groups, each with a factor."""
	graph.answers.groups.extend(groups)
	graph.answers.group_factors.extend(factors)


def golden_folder():
	"""Where FIRST was made from, and its golden files."""
	return datasets.shared_data() / "models" / "v1-96"


def equal(a, b):
	"""Same graph, same constants."""
	return (
		a.graph.SerializeToString(deterministic=True) == b.graph.SerializeToString(deterministic=True)
		and a.constants.keys() == b.constants.keys()
		and all(np.array_equal(a.constants[i], b.constants[i]) for i in a.constants)
	)


def with_digest(blob):
	"""The file with the digest that its bytes have."""
	rest = blob[HEADER.size :]
	return blob[:32] + hashlib.sha256(rest).digest() + rest


class Container(unittest.TestCase):
	def test_round_trip(self):
		for path in PATHS.values():
			model = read(path)
			blob = serialize(model)
			self.assertEqual(blob, path.read_bytes(), path.name)
			self.assertTrue(equal(model, parse(blob)), path.name)

	def test_every_dtype_comes_back(self):
		rng = np.random.default_rng(1)
		numbers = {
			"BITS": rng.integers(0, 2, (3, 37)),
			"I8": rng.integers(-128, 128, (5,)),
			"I16": rng.integers(-(2**15), 2**15, (2, 3)),
			"I32": rng.integers(-(2**31), 2**31, (2, 1, 2)),
			"F16": rng.normal(size=7).astype("f2"),
			"F32": rng.normal(size=(1, 2, 3, 4)).astype("f4"),
		}
		model = self.small(lambda g: [g.constant(v, d) for d, v in numbers.items()])
		again = parse(serialize(model))
		found = [again.constants[t.id] for t in again.graph.tensors if t.id in again.constants][-len(numbers) :]
		for (dtype, want), got in zip(numbers.items(), found, strict=True):
			self.assertTrue(np.array_equal(want, got), dtype)

	def small(self, more=lambda g: None):
		g = Builder()
		x = g.op("mean", [g.input(2, 2, np.arange(256))])
		g.output(x)
		g.card("small", "for this test")
		more(g)
		return g.model()

	def test_cards_that_the_engine_refuses(self):
		"""The same names and texts as lib/bnn/check.c: what is written here, bnnd takes."""
		for name, text in (
			("", "x"),
			("a b", "x"),
			("bl\u00fcte", "x"),
			("a/b", "x"),
			("a" * 129, "x"),
			("a\n", "x"),
			("a", "x\r"),
			("a", "\x1b[1m"),
			("a", "\x85"),
			("a", "x" * (1 << 16) + "x"),
		):
			with self.assertRaises(BadModel, msg=(name, text[:9])):
				parse(serialize(self.small(lambda g, name=name, text=text: g.card(name, text))))
		parse(serialize(self.small(lambda g: g.card("A-z_0.9" + "a" * 121, "gr\u00fcn\n\t" + "x" * ((1 << 16) - 7)))))

	def test_bits_by_hand(self):
		bits = np.zeros((2, 33), int)
		bits[0, [0, 31, 32]] = 1
		self.assertEqual(pack_bits(bits).tolist(), [[0x80000001, 1], [0, 0]])
		self.assertEqual(pack_bits(bits)[0].tobytes(), bytes([1, 0, 0, 0x80, 1, 0, 0, 0]))
		self.assertTrue(np.array_equal(unpack_bits(pack_bits(bits), 33), bits))
		with self.assertRaises(BadModel):
			unpack_bits(np.array([[0, 2]], "<u4"), 33)

	def test_layout_by_hand(self):
		blob = TINY.read_bytes()
		self.assertEqual(blob[:8], b"\x89BNND\r\n\x1a")
		major, minor, n_graph, n_data = struct.unpack_from("<HHIQ", blob, 8)
		self.assertEqual((major, minor, blob[24:32]), (1, 0, bytes(8)))
		self.assertEqual(len(blob), 64 + align(n_graph) + n_data)
		self.assertEqual(blob[32:64], hashlib.sha256(blob[64:]).digest())
		graph = proto().Graph.FromString(blob[64 : 64 + n_graph])
		used = [(t.offset, t.length) for t in graph.tensors if t.HasField("offset")]
		self.assertTrue(all(offset % 64 == 0 for offset, _ in used))
		self.assertEqual(max(offset + length for offset, length in used), n_data)

	def test_the_minor_number_says_what_is_used(self):
		model = read(TINY)
		d = model.tensors[model.output("features")].shape[2]
		grouped(model.graph, (d - 2, 2), (1.5, 1))
		blob = serialize(model)
		self.assertEqual(blob[8:12], bytes([1, 0, 1, 0]))
		answers = parse(blob).graph.answers
		self.assertEqual((list(answers.groups), list(answers.group_factors)), ([d - 2, 2], [1.5, 1]))
		for wrong in (blob[:10] + bytes(2) + blob[12:], TINY.read_bytes()[:10] + b"\x01\0" + TINY.read_bytes()[12:]):
			with self.assertRaisesRegex(BadModel, "what is in it is"):
				parse(wrong)

	def test_every_changed_byte_is_refused(self):
		blob = bytearray(TINY.read_bytes())
		for at in list(range(0, 4096, 7)) + list(range(4096, len(blob), 501)):
			blob[at] ^= 0x10
			with self.assertRaises(BadModel, msg=f"byte {at}"):
				parse(bytes(blob))
			blob[at] ^= 0x10
		for n in (0, 63, 64, 1000, len(blob) - 1):
			with self.assertRaises(BadModel):
				parse(bytes(blob[:n]))
		with self.assertRaises(BadModel):
			parse(bytes(blob) + b"\0")

	def test_changed_graph_never_crashes(self):
		"""With its digest set right, a changed graph is refused by a sentence, or is another sound model."""
		blob = bytearray(TINY.read_bytes())
		n_graph = struct.unpack_from("<I", blob, 12)[0]
		refused = 0
		for at in range(64, 64 + n_graph, 11):
			blob[at] ^= 0x41
			try:
				parse(with_digest(bytes(blob)))
			except BadModel:
				refused += 1
			blob[at] ^= 0x41
		self.assertGreater(refused, n_graph // 11 // 3)

	def refuse(self, words, change):
		"""A tiny model with its graph changed is refused with these words."""
		model = read(TINY)
		change(model.graph)
		with self.assertRaisesRegex(BadModel, words):
			parse(serialize(model))

	def test_unsound_graphs(self):
		def op(graph, kind):
			return next(getattr(o, kind) for o in graph.ops if o.WhichOneof("attributes") == kind)

		self.refuse("lacks groups", lambda g: op(g, "conv2d").ClearField("groups"))
		self.refuse("lacks top", lambda g: op(g, "conv2d").window.pads.ClearField("top"))
		self.refuse("lacks hi", lambda g: op(g, "clamp").ClearField("hi"))
		self.refuse("not finite", lambda g: setattr(op(g, "clamp"), "hi", float("inf")))
		self.refuse("rules for", lambda g: op(g, "sign").rules.append(proto().LESS))
		self.refuse("cannot pad with 2", lambda g: setattr(op(g, "binary_conv2d"), "pad_value", 2))
		self.refuse("larger than its padded input", lambda g: setattr(op(g, "avg_pool").window, "kernel_y", 99))
		self.refuse("empty window", lambda g: setattr(op(g, "conv2d").window, "stride_x", 0))
		self.refuse("of no kind", lambda g: g.ops[0].ClearField("conv2d"))
		self.refuse("before it is made", lambda g: g.ops.insert(0, g.ops.pop(3)))
		self.refuse("a second time", lambda g: g.ops[1].outputs.__setitem__(0, g.ops[0].outputs[0]))
		self.refuse("does not exist", lambda g: g.ops[0].inputs.__setitem__(0, 999))
		self.refuse("the outputs are", lambda g: g.ClearField("outputs"))
		self.refuse("no input", lambda g: g.ClearField("input"))
		self.refuse("picture rules 2", lambda g: setattr(g.input, "image_rules", 2))
		self.refuse("the same id", lambda g: g.tensors.add().CopyFrom(g.tensors[0]))
		self.refuse("cosines of unknown", lambda g: g.answers.unknown_cosine.append(1))
		self.refuse("cosines of unknown", lambda g: g.answers.unknown_cosine.__setitem__(0, 0.9))
		self.refuse("deviations", lambda g: g.answers.deviations.append(1))
		self.refuse("deviations", lambda g: g.answers.deviations.__setitem__(0, 0.1))
		self.refuse("the deviation is", lambda g: setattr(g.answers, "deviation", 0))
		for t in (0, 1e-300, 1e300):
			self.refuse("temperature", lambda g, t=t: setattr(g.answers, "temperature", t))
		d = read(TINY).tensors[read(TINY).output("features")].shape[2]
		for groups in ((d + 1,), (d, 0), (d - 1,), (1,) * 16 + (d - 16,)):
			self.refuse("groups of", lambda g, groups=groups: g.answers.groups.extend(groups))
		for factors in ((1,), (1, 1, 1), (1, 0), (-1, 1), (1, 1025), (1, math.nan), (math.inf, 1)):
			self.refuse("factors of 2 groups", lambda g, factors=factors: grouped(g, (d - 2, 2), factors))
		self.refuse("factors of 0 groups", lambda g: grouped(g, (), (1,)))
		self.refuse("constant of shape", lambda g: setattr(g.prior, "covariance", g.input.table))

	def test_unknown_field_is_refused(self):
		blob = TINY.read_bytes()
		n_graph = struct.unpack_from("<I", blob, 12)[0]
		model = proto().Graph.FromString(blob[64 : 64 + n_graph])
		data = blob[64 + align(n_graph) :]
		for extra in (b"\xf8\x07\x01", b"\x2a\x04\xf8\x07\x01\x00"[:5]):  # field 127 of the graph; inside the card
			graph = model.SerializeToString(deterministic=True)
			graph += extra if extra[0] != 0x2A else b"\x2a\x03\xf8\x07\x01"
			rest = graph + bytes(align(len(graph)) - len(graph)) + data
			header = HEADER.pack(blob[:8], 1, 0, len(graph), len(data), bytes(8), hashlib.sha256(rest).digest())
			with self.assertRaisesRegex(BadModel, "does not know"):
				parse(header + rest)

	def test_numbers_that_are_not_finite(self):
		model = read(TINY)
		i = next(i for i, a in model.constants.items() if a.dtype == np.float32 and a.size > 3)
		model.constants[i] = model.constants[i].copy()
		model.constants[i].flat[2] = np.nan
		with self.assertRaisesRegex(BadModel, "not finite"):
			parse(serialize(model))


class Arithmetic(unittest.TestCase):
	def test_fma_rounds_once(self):
		"""Against exact rational arithmetic, over magnitudes that cancel, dominate and tie."""
		rng = np.random.default_rng(2)
		x, w = (rng.integers(-(2**24), 2**24, 4000).astype("f4") for _ in range(2))
		acc = (-x.astype("f8") * w * rng.choice([0, 1, 1 + 2**-20, 2**-30, 2**25], 4000)).astype("f4")
		x[:3], w[:3], acc[:3] = 1 + 2**-12, 1 + 2**-12, [2**-60, -(2**-60), 0]
		got = fma32(x, w, acc)
		for a, b, c, y in zip(x, w, acc, got, strict=True):
			self.assertEqual(y, self.round32(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))))

	@staticmethod
	def round32(exact):
		"""The nearest float32 of a rational number, ties to even."""
		near = np.float32(float(exact))
		around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
		return min(around, key=lambda v: (abs(Fraction(float(v)) - exact), int(v.view("u4")) & 1))

	def test_sum8_by_hand(self):
		terms = np.array([1e8, 1, -1e8, 1, 1, 1, 1, 1, 1, 1], "f4")
		s = [np.float32(1e8) + 1, np.float32(2), np.float32(-1e8), 1, 1, 1, 1, 1]
		want = np.float32(np.float32(s[0] + s[4]) + np.float32(s[2] + s[6])) + np.float32((s[1] + s[5]) + (s[3] + s[7]))
		self.assertEqual(sum8(terms), want)

	def test_binary_convolution_by_hand(self):
		"""2 x 2 bits, one 3 x 3 filter of -1: the dot product is -(sum of what is under it)."""
		bits = np.array([[[[0], [1]], [[0], [0]]]], "u1")  # +1 -1 / +1 +1
		w = np.ones((1, 3, 3, 1), "u1")
		for pad_value, want in ((1, -(2 + 5)), (-1, -(2 - 5)), (0, -2)):
			a = proto().BinaryConv2D(window=window(3, 1, 1), groups=1, pad_value=pad_value, clamp_lo=0, clamp_hi=18)
			twice_a, n_taps = Evaluator(read(TINY)).differing(a, bits, w)
			self.assertEqual((n_taps - twice_a).tolist(), [[[[want]] * 2] * 2], pad_value)

	def test_epilogue_and_clamp_by_hand(self):
		g = Builder()
		x = g.sign(g.input(1, 1, np.arange(256) - 118), [0, 0, 0], "s")
		x = g.binary_conv2d(x, [[[[1, 1, -1]]]], [0.5], [0.25], "b", clamp=(0, 4))
		g.output(x)
		g.card("hand", "")
		for pixel, dot in (((118, 0, 0), 1 - 1 + 1), ((0, 0, 255), -1), ((255, 255, 0), 3)):
			for arithmetic in ("double", "exact"):
				y = Evaluator(g.model(), arithmetic).run(np.array([[[pixel]]], "u1"))
				self.assertEqual(y.item(), max(dot, 3 - 4) * 0.5 + 0.25)

	def test_max_pool_and_concat_by_hand(self):
		"""Taps outside are left out, even where all inside are negative."""
		evaluator = Evaluator(read(TINY), "exact")
		x = np.array([[[[-4], [-2], [-3]], [[-1], [-6], [-5]]]], "f4")
		made = evaluator.op_max_pool(proto().MaxPool(window=window(2, 1, (1, 1, 0, 0))), x)
		self.assertEqual(made[0, ..., 0].tolist(), [[-4, -2, -2], [-1, -1, -2]])
		self.assertEqual(evaluator.op_concat(None, x, made[:, :, :3])[0, 1].tolist(), [[-1, -1], [-6, -1], [-5, -2]])

	def test_deviation_by_hand(self):
		"""4097 and 4095 lie 1 from 4096; one pass, in float32, would find 0. Equal numbers lie 0 from their mean."""
		for arithmetic in ("double", "exact"):
			e = Evaluator(read(TINY), arithmetic)
			x = np.array([[[[4097, 5, -1], [4095, 5, -3]]]], e.math.dtype)
			mean = e.op_mean(None, x)
			self.assertEqual(mean.ravel().tolist(), [4096, 5, -2])
			self.assertEqual(e.op_deviation(None, x, mean).ravel().tolist(), [1, 0, 1])

	def test_sign_rules(self):
		p, e = proto(), Evaluator(read(TINY))
		x = np.array([[[[-1, 0, -0.0, 1, np.nan]]]], "f4")
		zero = np.zeros(1, "f4")
		for rule, want in (("LESS", [1, 0, 0, 0, 0]), ("GREATER", [0, 0, 0, 1, 0]), ("LESS_EQUAL", [1, 1, 1, 0, 0])):
			self.assertEqual(e.op_sign(p.Sign(rules=[getattr(p, rule)]), x, zero).ravel().tolist(), want)

	def test_exact_is_near_double(self):
		for path in PATHS.values():
			model = read(path)
			height, width, _ = model.tensors[model.graph.input.tensor].shape
			pictures = make_tiny.pictures(make_tiny.Splitmix64(11), 2, height, width)
			a, b = Evaluator(model).run(pictures), Evaluator(model, "exact").run(pictures)
			self.assertEqual(b.dtype, np.float32)
			self.assertTrue(((a * b).sum(1) > 0.999).all(), path.name)
			self.assertTrue(np.allclose(np.linalg.norm(b, axis=1), 1, atol=1e-6), path.name)


class Reproduction(unittest.TestCase):
	def test_tiny_models(self):
		self.assertEqual(serialize(make_tiny.fitted_tiny()), TINY.read_bytes())
		self.assertEqual(serialize(make_tiny.stages()), STAGES.read_bytes())
		self.assertEqual(serialize(make_tiny.odd()), ODD.read_bytes())

	def test_first_model(self):
		if not datasets.shared_data():
			self.skipTest(NEEDS_SHARED)
		constants = json.loads((ROOT / "models" / "answers.json").read_text())[FIRST.stem]
		card = FIRST.with_suffix(".md").read_text()
		self.assertEqual(
			serialize(convert_photo.convert(golden_folder(), constants, FIRST.stem, card)), FIRST.read_bytes()
		)

	def test_vectors(self):
		shared = datasets.shared_data()
		for name, body in make_features.vectors(shared / "models" if shared else None).items():
			self.assertEqual((VECTORS / name).read_bytes(), body, name)

	def test_feature_ids(self):
		self.assertEqual(set(FEATURE_IDS), set(PATHS))
		for name, path in PATHS.items():
			self.assertEqual(feature_id(read(path)), FEATURE_IDS[name], name)

	def test_feature_id_means_features(self):
		"""Card, answers, prior, names, ids and logits change no id; a threshold, the background or the fit does."""
		model = read(TINY)
		same = feature_id(model)
		graph = model.graph
		graph.card.text, graph.answers.temperature = "another", 1
		grouped(graph, (3, 1), (1.5, 1))
		graph.ClearField("prior")
		for op in graph.ops:
			op.name = "x"
		graph.outputs.add(name="logits", tensor=graph.ops[-2].outputs[0])
		self.assertEqual(feature_id(model), same)
		graph.input.fit = proto().STRETCH
		self.assertNotEqual(feature_id(model), same)
		graph.input.fit = proto().COVER
		sign = next(op for op in graph.ops if op.WhichOneof("attributes") == "sign")
		model.constants[sign.inputs[1]] = model.constants[sign.inputs[1]] + np.float32(1)
		self.assertNotEqual(feature_id(model), same)

	def test_card_of_the_first(self):
		card, model = FIRST.with_suffix(".md").read_text(), read(FIRST)
		self.assertEqual(model.graph.card.text, card)
		self.assertIn(f"`{feature_id(model)}`", card)
		self.assertIn(f"| {FIRST.stat().st_size:,} bytes |", card)
		answers = model.graph.answers
		self.assertIn(
			"T = {}; sd_0 = {:.4f}, worth {:g} pictures; k = {}; s_0 = {} for".format(
				round(answers.temperature, 2),
				answers.deviation,
				answers.deviation_weight,
				", ".join(f"{k:.4f}" for k in answers.deviations),
				", ".join(f"{s:.4f}" for s in answers.unknown_cosine),
			),
			" ".join(card.split()),
		)

	def test_cards_of_shipped(self):
		for name, path in SHIPPED.items():
			card, model = path.with_suffix(".md").read_text(), read(path)
			self.assertEqual((model.graph.card.name, model.graph.card.text), (name, card))
			self.assertIn(f"`{feature_id(model)}`", card)
			self.assertIn(f"T = {round(model.graph.answers.temperature, 4)};", card)

	def test_latents(self):
		"""The latent weights beside the models have the signs of their weights."""
		self.assertEqual(set(LATENTS), set(SHIPPED))
		for name, path in SHIPPED.items():
			latents, model = np.load(path.with_name(f"{LATENTS[name]}.latent.npz")), read(path)
			kernels = [latents[k] for k in latents.files if k.startswith("body.") and k.endswith(".w")]
			made = [
				model.constants[op.inputs[1]]
				for op in model.graph.ops
				if op.WhichOneof("attributes") == "binary_conv2d"
			]
			self.assertEqual(len(kernels), len(made), name)
			for latent, bits in zip(kernels, made, strict=True):
				np.testing.assert_array_equal(bits == 1, latent.transpose(0, 2, 3, 1) < 0, name)  # 1 is -1

	def test_default(self):
		self.assertEqual(os.readlink(ROOT / "models" / "default.bnn"), make_features.SHIPPED[0] + ".bnn")


@unittest.skipUnless(datasets.shared_data(), NEEDS_SHARED)
class Golden(unittest.TestCase):
	def compare(self, function, *more):
		check = compare_golden.Check(quiet=True)
		function(check, golden_folder(), read(FIRST), *more)
		self.assertEqual(check.failed, 0)

	def test_steps(self):
		for arithmetic in ("double", "exact"):
			self.compare(compare_golden.compare_steps, arithmetic)

	def test_features(self):
		self.compare(compare_golden.compare_features, FIRST, None)

	def test_a_wrong_model_fails(self):
		"""The comparison can fail: a threshold moved by a tenth is seen."""
		model = read(FIRST)
		sign = next(op for op in model.graph.ops if op.name == "bin3.sign")
		model.constants[sign.inputs[1]] = model.constants[sign.inputs[1]] + np.float32(0.1)
		check = compare_golden.Check(quiet=True)
		silence, sys.stdout = sys.stdout, open(os.devnull, "w")
		try:
			compare_golden.compare_steps(check, golden_folder(), model, "double")
		finally:
			sys.stdout.close()
			sys.stdout = silence
		self.assertGreater(check.failed, 0)


@unittest.skipUnless(os.environ.get("BNND_FEATURES"), "needs BNND_FEATURES, the program bnnd-features of a build")
class Engine(unittest.TestCase):
	program = os.environ.get("BNND_FEATURES")

	def test_golden_features(self):
		if not datasets.shared_data():
			self.skipTest(NEEDS_SHARED)
		check = compare_golden.Check(quiet=True)
		compare_golden.compare_features(check, golden_folder(), read(FIRST), FIRST, self.program)
		self.assertEqual(check.failed, 0)

	def test_steps_bit_for_bit(self):
		"""Every tensor that the engine makes, whatever it fused, is by its name the exact evaluator's."""
		for kernels in ("ref", None):
			for name, path in PATHS.items():
				self.check_steps(name, path, kernels)

	def check_steps(self, name, path, kernels):
		model = read(path)
		height, width, _ = model.tensors[model.graph.input.tensor].shape
		picture = make_tiny.pictures(make_tiny.Splitmix64(12), 1, height, width)
		evaluator = Evaluator(model, "exact")
		want = {"input": evaluator.input(picture)[0]}
		evaluator.run(picture, lambda op, made: want.__setitem__(op.name, made[0][0]))
		steps = self.trace(path, picture, kernels)
		self.assertGreaterEqual(len(steps), len(want) // 3, name)
		self.assertEqual(steps[-1][0], model.graph.ops[-1].name)
		for step, values in steps:
			self.assertIn(step, want, name)
			self.assertTrue(np.array_equal(values, want[step].astype(values.dtype)), f"{name}, {kernels}: {step}")

	def trace(self, path, picture, kernels):
		environment = {k: v for k, v in os.environ.items() if k != "BNND_KERNELS"}
		if kernels:
			environment["BNND_KERNELS"] = kernels
		made = subprocess.run(
			[self.program, "--trace", path],
			input=picture.tobytes(),
			check=True,
			stdout=subprocess.PIPE,
			env=environment,
		).stdout
		steps, at = [], 0
		while at < len(made):
			end = made.index(b"\n", at)
			name, _, h, w, c, dtype = made[at:end].decode().rsplit(" ", 5)
			kind = np.dtype({"f": "<f4", "b": "u1", "i": "<i4"}[dtype])
			shape = int(h), int(w), int(c)
			at = end + 1 + int(np.prod(shape)) * kind.itemsize
			steps.append((name, np.frombuffer(made[end + 1 : at], kind).reshape(shape)))
		return steps

	def test_max_pool_and_concat(self):
		"""Two ways to a smaller map, joined, on an odd shape; by hand where it is one line."""
		g = Builder()
		x = g.conv2d(
			g.input(7, 9, (np.arange(256) - 118) / 64),
			np.linspace(-1, 1, 5 * 27).reshape(5, 3, 3, 3),
			None,
			"conv",
			pads=1,
		)
		most = g.op("max_pool", [x], "max_pool", window=window((3, 2), (2, 3), (1, 0, 2, 1)))
		other = g.conv2d(x, np.linspace(1, -1, 3 * 30).reshape(3, 3, 2, 5), None, "other", (2, 3), (1, 0, 2, 1))
		x = g.op("concat", [most, other, most], "concat")
		g.output(g.op("mean", [x], "mean"))
		g.card("joined", "")
		with tempfile.TemporaryDirectory() as folder:
			path = pathlib.Path(folder) / "joined.bnn"
			write(path, g.model())
			for kernels in ("ref", "portable", None):
				self.check_steps("joined", path, kernels)

	def test_refusals(self):
		def run(*arguments, pictures=b""):
			return subprocess.run([self.program, *arguments], input=pictures, capture_output=True)

		self.assertEqual(run().returncode, 2)
		self.assertEqual(run("/nonexistent.bnn").returncode, 1)
		self.assertEqual(run(str(pathlib.Path(__file__))).returncode, 1)
		short = run(str(TINY), pictures=bytes(16 * 16 * 3 + 5))
		self.assertEqual((short.returncode, len(short.stdout)), (1, 32 * 4))
		self.assertIn(b"picture 1 has 5 bytes", short.stderr)
		self.assertEqual((run(str(TINY)).returncode, run(str(TINY)).stdout), (0, b""))


if __name__ == "__main__":
	unittest.main(verbosity=0)
