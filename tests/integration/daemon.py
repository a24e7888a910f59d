# SPDX-License-Identifier: MIT
"""A real bnnd in a folder of its own, and pictures to teach it: what every integration test builds on.

The daemon is the one of the build folder (BNND_BUILD_DIR), started through BNND_WRAPPER when it is for another machine.
Each Daemon has its own folder, socket and state; stop() and the end of the test check that it ended as it should and
that no sanitizer complained. BNND_SLOW multiplies every waiting time.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

import bnnd
import numpy as np

SOURCE = os.environ.get("BNND_SOURCE_DIR") or os.path.dirname(
	os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
)
BUILD = os.path.abspath(os.environ.get("BNND_BUILD_DIR") or os.path.join(SOURCE, "build"))
WRAPPER = shlex.split(os.environ.get("BNND_WRAPPER", ""))
SLOW = float(os.environ.get("BNND_SLOW", "1"))
BNND = os.path.join(BUILD, "daemon", "bnnd")
BNND_FAULTY = os.path.join(BUILD, "tests", "integration", "bnnd-faulty")
BNNCTL = os.path.join(BUILD, "client", "bnnctl")
MODEL = os.path.join(SOURCE, "models", "default.bnn")
START_S = 20 * SLOW
STOP_S = 20 * SLOW
SANITIZED = bool(os.environ.get("BNND_SANITIZED"))
SOCKET_FOLDER_MAX_BYTES = 70  # a socket's path has at most 107 bytes: what of them the scratch folder may take
SANITIZER = re.compile(r"ERROR: \w*Sanitizer|runtime error:|SUMMARY: \w*Sanitizer")


def environment(**more):
	"""The caller's environment without anything that would lead a daemon or a client elsewhere."""
	env = {
		k: v
		for k, v in os.environ.items()
		if not k.startswith(("BNND_", "LISTEN_", "NOTIFY_", "WATCHDOG_", "JOURNAL_"))
	}
	env.update(more)
	return env


def scratch_root(for_all=False):
	"""Where scratch folders go: TMPDIR, or /tmp when a socket's path would not fit below it or, for_all, when another
	user cannot come that far (a folder of root's own)."""

	def reachable(folder):
		while os.stat(folder).st_mode & stat.S_IXOTH:
			if folder == "/":
				return True
			folder = os.path.dirname(folder)
		return False

	chosen = os.path.realpath(tempfile.gettempdir())
	fits = len(os.fsencode(chosen)) <= SOCKET_FOLDER_MAX_BYTES and (not for_all or reachable(chosen))
	return chosen if fits else "/tmp"


class DidNotStart(Exception):
	def __init__(self, returncode, text):
		super().__init__(f"the daemon ended with {returncode}: {text}")
		self.returncode = returncode
		self.text = text


class Daemon:
	"""One daemon. start() waits for READY=1 on NOTIFY_SOCKET."""

	def __init__(self, folder, config=None, model=MODEL, state=None, args=(), executable=BNND, env=None):
		self.folder = folder
		self.socket = os.path.join(folder, "sock")
		self.state = state or os.path.join(folder, "state")
		self.model = model
		self.config = config
		self.args = list(args)
		self.executable = executable
		self.env = dict(env or {})
		self.process = None
		self.pass_fds = ()
		self.prefix = []  # a program that starts the daemon in its place
		self.log = os.path.join(folder, "log")
		self.notes = []  # what came over NOTIFY_SOCKET, in order
		self._notify = None

	def command(self):
		command = self.prefix + WRAPPER + [self.executable, "--socket", self.socket, "--state", self.state]
		if self.model:
			command += ["--model", self.model]
		if self.config is not None:
			path = os.path.join(self.folder, "bnnd.yaml")
			with open(path, "w", encoding="utf-8") as f:
				f.write(self.config)
			command += ["--config", path]
		return command + self.args

	def spawn(self):
		"""Starts the process and waits for nothing."""
		notify = os.path.join(self.folder, "notify")
		if self._notify is None:
			self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
			self._notify.bind(notify)
			self._notify.setblocking(False)
		with open(self.log, "ab") as log:
			self.process = subprocess.Popen(
				self.command(),
				stdin=subprocess.DEVNULL,
				stdout=log,
				stderr=log,
				cwd=self.folder,
				pass_fds=self.pass_fds,
				env=environment(NOTIFY_SOCKET=notify, **self.env),
			)
		return self

	def start(self):
		self.notes = []
		self.spawn()
		end = time.monotonic() + START_S
		while not any("READY=1" in note.split("\n") for note in self.notes):
			self.read_notes()
			code = self.process.poll()
			if code is not None:
				raise DidNotStart(code, self.text())
			if time.monotonic() > end:
				self.process.kill()
				raise DidNotStart(None, "not ready in time: " + self.text())
			time.sleep(0.003)
		return self

	def read_notes(self):
		while True:
			try:
				self.notes.append(self._notify.recv(4096).decode())
			except BlockingIOError:
				return self.notes

	def text(self):
		with open(self.log, encoding="utf-8", errors="replace") as f:
			return f.read()

	def client(self, **options):
		options.setdefault("timeout", 30 * SLOW)
		return bnnd.Client(self.socket, **options)

	def raw(self):
		return bnnd.Raw(self.socket, timeout=20 * SLOW)

	def running(self):
		return self.process is not None and self.process.poll() is None

	def kill(self):
		"""kill -9: nothing is tidied up."""
		self.process.send_signal(signal.SIGKILL)
		self.process.wait()
		self.process = None

	def stop(self):
		"""SIGTERM; returns the exit status."""
		if self.process is None:
			return 0
		if self.process.poll() is None:
			self.process.send_signal(signal.SIGTERM)
			try:
				self.process.wait(STOP_S)
			except subprocess.TimeoutExpired:
				self.process.kill()
				self.process.wait()
				raise AssertionError("the daemon did not stop after SIGTERM\n" + self.text()) from None
		code, self.process = self.process.returncode, None
		return code

	def restart(self):
		self.kill()
		return self.start()

	def close(self):
		code = self.stop()
		if self._notify is not None:
			self._notify.close()
			self._notify = None
		return code

	def ctl(self, *args, stdin=None, env=None, timeout=60, socket_path=None):
		"""bnnctl: (exit status, stdout, stderr), texts."""
		path = self.socket if socket_path is None else socket_path
		done = subprocess.run(
			WRAPPER + [BNNCTL, "--socket", path] + [os.fsdecode(a) for a in args],
			input=stdin,
			capture_output=True,
			cwd=self.folder,
			env=environment(**(env or {})),
			timeout=timeout * SLOW,
		)
		return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

	def ctl_json(self, *args, **options):
		"""bnnctl --json: (exit status, list of objects, stderr)."""
		code, out, err = self.ctl("--json", *args, **options)
		return code, [json.loads(line) for line in out.splitlines()], err


class DaemonTest(unittest.TestCase):
	"""A test with daemons: self.daemon(...) starts one and ends it with the test."""

	longMessage = True

	def folder(self, for_all=False):
		"""A folder of the test's own; for_all: which every user may enter."""
		folder = tempfile.mkdtemp(prefix="bnnd-test-", dir=scratch_root(for_all))
		self.addCleanup(shutil.rmtree, folder, True)
		if for_all:
			os.chmod(folder, 0o755)
		return folder

	def copy_for_all(self, path):
		"""A program where every user reaches it: the build folder may lie in somebody's own."""
		copy = os.path.join(self.folder(for_all=True), os.path.basename(path))
		shutil.copyfile(path, copy)
		os.chmod(copy, 0o755)
		return copy

	def make(self, folder=None, **options):
		"""A daemon that is not started yet."""
		daemon = Daemon(folder or self.folder(), **options)
		self.addCleanup(self._end, daemon)
		return daemon

	def daemon(self, folder=None, **options):
		return self.make(folder, **options).start()

	def _end(self, daemon):
		started = daemon.process is not None
		code = daemon.close()
		text = daemon.text() if os.path.exists(daemon.log) else ""
		self.assertIsNone(SANITIZER.search(text), text)
		if started:
			self.assertEqual(0, code, "exit status after SIGTERM\n" + text)

	def refused(self, code, pattern, call, *args, **options):
		"""The call is refused with this code and a sentence that matches; returns the Error."""
		with self.assertRaises(bnnd.Error) as caught:
			call(*args, **options)
		self.check_error(caught.exception, code, pattern)
		return caught.exception

	def check_error(self, error, code, pattern):
		self.assertEqual(code, error.code, str(error))
		self.check_sentence(error.message, pattern)

	def check_sentence(self, sentence, pattern):
		self.assertRegex(sentence, pattern)
		self.assertTrue(sentence.isprintable(), repr(sentence))
		self.assertGreater(len(sentence.split()), 2, "a sentence for people: " + sentence)

	def wait_until(self, condition, seconds=10, message="it did not come true"):
		end = time.monotonic() + seconds * SLOW
		while not condition():
			if time.monotonic() > end:
				self.fail(message)
			time.sleep(0.02)

	def serves(self, daemon):
		"""The daemon goes on serving the others."""
		self.assertTrue(daemon.running(), daemon.text())
		with daemon.client() as client:
			self.assertIn(client.status().state, ("ready", "degraded"))
			answer = client.infer(picture("ring", 1))
			self.assertIsNotNone(answer)

	def teach(self, client, *kinds, n=5, start=0):
		"""One lesson a kind; the last Changed."""
		for kind in kinds:
			changed = client.learn(kind, pictures(kind, n, start))
		return changed


# ---- pictures, drawn and seeded --------------------------------------------------------------------------------------


def _ring(x, y, r):
	d = np.hypot(x, y)
	return (d < r) & (d > 0.55 * r)


SHAPES = {
	"disc": lambda x, y, r: np.hypot(x, y) < r,
	"ring": _ring,
	"square": lambda x, y, r: np.maximum(abs(x), abs(y)) < 0.85 * r,
	"cross": lambda x, y, r: (np.minimum(abs(x), abs(y)) < 0.22 * r) & (np.maximum(abs(x), abs(y)) < r),
	"stripes": lambda x, y, r: (np.sin(x * 9 / r) > 0) & (abs(y) < 1.3 * r),
	"bars": lambda x, y, r: (np.sin(y * 9 / r) > 0) & (abs(x) < 1.3 * r),
	"checks": lambda x, y, r: (np.sin(x * 7 / r) * np.sin(y * 7 / r)) > 0,
	"triangle": lambda x, y, r: (y < 0.7 * r) & (y > 1.8 * abs(x) - 0.9 * r),
	"waves": lambda x, y, r: np.sin(x * 6 / r + 2.5 * np.sin(y * 4 / r)) > 0.2,
	"dots": lambda x, y, r: np.hypot((x * 3 / r) % 1 - 0.5, (y * 3 / r) % 1 - 0.5) < 0.3,
}
COLOURS = {
	"disc": (210, 40, 40),
	"ring": (40, 90, 210),
	"square": (40, 160, 60),
	"cross": (230, 200, 40),
	"stripes": (20, 20, 20),
	"bars": (240, 240, 240),
	"checks": (130, 60, 160),
	"triangle": (240, 120, 20),
	"waves": (30, 180, 190),
	"dots": (200, 90, 140),
}


def pixels(kind, seed, width=96, height=96):
	"""A drawn picture of a kind as height x width x 3 uint8; the same for the same arguments."""
	rng = np.random.default_rng([seed, sorted(SHAPES).index(kind)])
	background = rng.integers(90, 170, 3)
	image = background + rng.normal(0, 6, (height, width, 3))
	size = min(width, height)
	cx, cy = rng.uniform(0.42, 0.58, 2) * (width, height)
	r = rng.uniform(0.3, 0.4) * size
	y, x = np.mgrid[0:height, 0:width]
	mask = SHAPES[kind](x - cx, y - cy, r)
	image[mask] = np.array(COLOURS[kind]) + rng.normal(0, 8, 3) + rng.normal(0, 6, (mask.sum(), 3))
	return np.clip(image, 0, 255).astype(np.uint8)


def picture(kind, seed, width=96, height=96, **options):
	return bnnd.Picture.array(pixels(kind, seed, width, height), **options)


def pictures(kind, n, start=0):
	return [picture(kind, start + i) for i in range(n)]


def encoded(kind, seed, format="JPEG", width=160, height=120, **options):
	"""The picture as the bytes of a JPEG or PNG file."""
	import io

	from PIL import Image

	out = io.BytesIO()
	Image.fromarray(pixels(kind, seed, width, height)).save(out, format, **options)
	return out.getvalue()


def answer_key(answer):
	"""Everything of an answer that must be the same for the same state and picture, to the bit."""
	return (
		answer.known,
		answer.label,
		answer.reason,
		answer.unknown_score,
		answer.margin,
		tuple((s.label, s.none, s.score, s.cosine) for s in answer.top),
	)


def qemu_subset(test):
	"""Marks one of the tests that also run with the daemon of another architecture."""
	test.qemu_subset = True
	return test


def main():
	"""Runs the tests of the calling module; with BNND_QEMU_SUBSET only the marked ones."""
	if os.environ.get("BNND_QEMU_SUBSET"):
		module = sys.modules["__main__"]
		for case in [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, unittest.TestCase)]:
			for name in [n for n in dir(case) if n.startswith("test")]:
				if not getattr(getattr(case, name), "qemu_subset", False):
					setattr(case, name, None)
	signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
	unittest.main(verbosity=2)
