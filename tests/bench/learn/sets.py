# SPDX-License-Identifier: MIT
"""Pictures of the tuning and the report set, and their q by lib/image and lib/bnn, cached by model and set.

CIFAR-10's training part (tuning) comes from BNND_SHARED_DATA, Fashion-MNIST (report) from the Debian package
dataset-fashion-mnist. Exits with 77, and says why, where one is missing. Nothing is copied into the repository.
"""

import gzip
import hashlib
import lzma
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
CLASSES = 10
CHUNK = 1000  # pictures a call of learn_bench: something to show meanwhile


def skip(why):
	print("skipped: " + why, file=sys.stderr)
	sys.exit(77)


def cifar(name, part):
	"""name: cifar10 or cifar100 (by its 100 fine classes); part: train or test."""
	path = pathlib.Path(os.environ.get("BNND_SHARED_DATA", "")) / "data" / ("%s-%s.bin.xz" % (name, part))
	if not os.environ.get("BNND_SHARED_DATA") or not path.exists():
		skip("BNND_SHARED_DATA does not name the folder with data/%s" % path.name)
	labels = {"cifar10": 1, "cifar100": 2}[name]
	rows = np.frombuffer(lzma.open(path).read(), np.uint8).reshape(-1, labels + 3072)
	return rows[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, labels - 1].astype(int)


def fashion(part):
	if not FASHION.is_dir():
		skip("the package dataset-fashion-mnist is not installed")
	pictures = np.frombuffer(gzip.open(FASHION / (part + "-images-idx3-ubyte.gz")).read()[16:], np.uint8)
	labels = np.frombuffer(gzip.open(FASHION / (part + "-labels-idx1-ubyte.gz")).read()[8:], np.uint8)
	return pictures.reshape(-1, 28, 28, 1), labels.astype(int)


def write_q(path, q):
	values = np.ascontiguousarray(q, np.int8)
	path.write_bytes(b"BNQX" + struct.pack("<4I", len(q), q.shape[1], 0, 0) + values.tobytes())


def read_q(path):
	data = path.read_bytes()
	n, d = struct.unpack_from("<2I", data, 4)
	return np.frombuffer(data, np.int8, n * d, 20).reshape(n, d)


class Backbone:
	"""One model, through learn_bench; q are kept in the cache folder."""

	def __init__(self, program, model, cache):
		self.program, self.model = str(program), str(model)
		self.cache = pathlib.Path(cache) / hashlib.sha256(pathlib.Path(model).read_bytes()).hexdigest()[:16]
		self.cache.mkdir(parents=True, exist_ok=True)
		words = self._run(np.zeros((0, 1, 1, 1), np.uint8))[1]
		self.name, self.kernels = words[:2]
		numbers = [float(x) for x in words[2:]]
		self.temperature, self.deviation, self.deviation_weight = numbers[:3]
		self.deviations, self.unknown_cosine = numbers[3:8], numbers[8:]

	def constants(self, share):
		"""The settings of learn_bench for one of the five shares."""
		return {
			"temperature": self.temperature,
			"deviation": self.deviation,
			"deviation_weight": self.deviation_weight,
			"deviations": self.deviations[share],
			"unknown_cosine": self.unknown_cosine[share],
		}

	def _run(self, pictures):
		n, height, width, channels = pictures.shape
		at = self.cache / ("pictures-%d" % os.getpid())
		out = self.cache / ("q-%d" % os.getpid())
		at.write_bytes(
			b"BNPX" + struct.pack("<4I", n, width, height, channels) + np.ascontiguousarray(pictures).tobytes()
		)
		words = subprocess.run(
			[self.program, "features", self.model, str(at), str(out)], check=True, stdout=subprocess.PIPE, text=True
		).stdout.split()
		q = read_q(out)
		at.unlink()
		out.unlink()
		return q, words

	def q(self, name, pictures):
		"""The q of pictures; name says which set they are."""
		path = self.cache / ("%s-%s.q" % (name, hashlib.sha256(np.ascontiguousarray(pictures)).hexdigest()[:16]))
		if not path.exists():
			done = []
			for i in range(0, len(pictures), CHUNK):
				done.append(self._run(pictures[i : i + CHUNK])[0])
				print("\r%s: %d of %d pictures" % (name, i + len(done[-1]), len(pictures)), end="", file=sys.stderr)
			print(file=sys.stderr)
			write_q(path, np.concatenate(done))
		return read_q(path)


class Learner:
	"""lib/learn, through learn_bench, in a scratch folder."""

	def __init__(self, program, scratch):
		self.program, self.scratch = str(program), pathlib.Path(scratch)

	def run(self, q, lessons, asked, **settings):
		"""lessons: lists of (class, index into q). Returns ids ranked first (class + 1), cosines, thresholds of asked,
		and for each lesson a row {classes, samples, steps, updates, lost, us, cosine of the first class's row and mean}."""
		files = [self.scratch / name for name in ("taught", "lessons", "asked", "answers")]
		write_q(files[0], q)
		files[1].write_text("".join(" ".join("%d:%d" % pair for pair in lesson) + "\n" for lesson in lessons))
		write_q(files[2], asked)
		command = [self.program, "lessons"] + ["%s=%s" % pair for pair in settings.items()] + ["--"]
		done = subprocess.run(command + [str(f) for f in files], check=True, capture_output=True, text=True)
		record = [("id", "<u4"), ("", "<u4"), ("cosine", "<f8"), ("score", "<f8"), ("threshold", "<f8")]
		answers = np.frombuffer(files[3].read_bytes(), record)
		report = np.array([[float(x) for x in line.split()] for line in done.stdout.splitlines()])
		return answers["id"].astype(int), answers["cosine"], answers["threshold"], report


def arguments(doc, more_sets=(), seeds=5):
	"""The arguments of the benches."""
	import argparse

	p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("program", help="BUILD/tests/bench/learn/learn_bench")
	p.add_argument("model", help="models/default.bnn")
	p.add_argument(
		"--set", choices=("cifar10", "fashion", *more_sets), default="cifar10", help="tuning set or report set"
	)
	p.add_argument("--seeds", type=int, default=seeds)
	p.add_argument("--cache", default=os.path.join(os.environ.get("TMPDIR", "/tmp"), "bnnd-learn-bench"))
	return p.parse_args()


def draws(name, seeds, taught):
	"""Pictures and labels to teach from and to ask, and for each seed (class order, indices of the taught pictures a
	class, indices of the asked ones). CIFAR-10 and CIFAR-100: both from the training part, 500 (40) others a class
	asked. Fashion-MNIST: taught from the training part, all 10,000 test pictures asked."""
	if name == "fashion":
		pictures, labels = fashion("train")
		asked, asked_labels = fashion("t10k")
	else:
		pictures, labels = asked, asked_labels = cifar(name, "train")
	classes, plans = labels.max() + 1, []
	others = 500 if name == "cifar10" else 40
	for seed in range(seeds):
		rng = np.random.default_rng(seed)
		order = [rng.permutation(np.flatnonzero(labels == c)) for c in range(classes)]
		ask = (
			np.arange(len(asked)) if name == "fashion" else np.concatenate([o[taught : taught + others] for o in order])
		)
		plans.append((rng.permutation(classes), [o[:taught] for o in order], ask))
	return pictures, labels, asked, asked_labels, plans


def machine():
	"""One line: processor, threads, date."""
	import datetime

	model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
	return "%s, 1 thread, %s" % (model[0] if model else os.uname().machine, datetime.date.today().isoformat())
