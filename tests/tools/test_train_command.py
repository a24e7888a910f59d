# SPDX-License-Identifier: MIT
"""Tests of the commands of tools/train, as a person runs them: python3 -m tests.tools.test_train_command [CLASS].
Skips (77) without torch.

Words     --init and its options; a run asked again with the same words, and with others
Refusals  wrong inputs end with a sentence, before the work
Stops     Ctrl-C, at once and in the middle
Export    what the .bnn file and its card are made of
Command   train.py, export.py, compare.py, one after the other, as doc/TRAINING.md says
"""

import contextlib
import io
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import numpy as np
from PIL import Image

from tests.tools.drawn import ROOT, drawn_set, torch, write_folder
from tools.bnnfile import read
from tools.train import checkpoint, command, compare, episodes, export, nets, normalise, run, train

OPTIONS = {"channels": [8, 16], "layers": [1, 2], "stem": 8, "feat": 16}
SHORT = ("--epochs", "1", "--sides", "1:32", "--batch", "16", "--threads", "1")


def said(main, *argv):
	"""(exit status, what was printed) of a command in this process; a traceback is a test's error."""
	out = io.StringIO()
	status = 0
	with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
		try:
			command.run(lambda: main([str(a) for a in argv]))
		except SystemExit as e:
			status = e.code if isinstance(e.code, int) else 1
			out.write(str(e.code) + "\n")
	return status, out.getvalue()


class Case(unittest.TestCase):
	def setUp(self):
		temporary = tempfile.TemporaryDirectory()
		self.addCleanup(temporary.cleanup)
		self.folder = pathlib.Path(temporary.name)
		self.addCleanup(os.chdir, os.getcwd())
		os.chdir(self.folder)
		for name, value in (("EPISODES", 60), ("REPORT_EPISODES", 40)):
			patch = mock.patch.object(episodes, name, value)
			patch.start()
			self.addCleanup(patch.stop)

	def refuses(self, words, main, *argv):
		status, text = said(main, *argv)
		self.assertNotEqual(status, 0, text)
		self.assertRegex(text, words)
		return text

	def does(self, words, main, *argv):
		status, text = said(main, *argv)
		self.assertEqual(status, 0, text)
		if words:
			self.assertRegex(text, words)
		return text

	def trained(self, *more, data="mine", out="run"):
		if not pathlib.Path(data).exists():
			write_folder(pathlib.Path(data), drawn_set())
		return self.does("", train.main, data, out, *SHORT, "--options", json.dumps(OPTIONS), *more)

	def latents(self, name="x.latent.npz", **options):
		options = {**OPTIONS, **options}
		checkpoint.save_latents(name, nets.build("photo", 3, options).state_dict(), "photo", options)
		return name


class Words(Case):
	def test_init_keeps_its_options(self):
		self.trained()
		self.latents(early_pool=True)
		text = self.does("continues from x.latent.npz", train.main, "mine", "same", "--init", "x.latent.npz", *SHORT)
		self.assertNotIn("--options", text)
		self.assertEqual(checkpoint.load("same/checkpoint.pt")["options"], {**OPTIONS, "early_pool": True})
		self.does(
			r"--options changes the network: layers is \[1, 2\] in x.latent.npz, \[2, 2\]",
			train.main,
			"mine",
			"more",
			"--init",
			"x.latent.npz",
			"--options",
			'{"layers": [2, 2]}',
			*SHORT,
		)
		self.assertEqual(
			checkpoint.load("more/checkpoint.pt")["options"], {**OPTIONS, "early_pool": True, "layers": [2, 2]}
		)
		for wrong in (
			'{"channels": [8, 24]}',
			'{"feat": 32}',
			'{"stem": 16}',
			'{"layers": [1, 2, 3]}',
			'{"layer": [1]}',
			'{"layers": [1, 2, 3], "channels": [8, 16, 32]}',
		):
			self.refuses(
				r'x.latent.npz has the options \{.*"early_pool": true.*\}',
				train.main,
				"mine",
				"wrong",
				"--init",
				"x.latent.npz",
				"--options",
				wrong,
				*SHORT,
			)
		self.refuses(
			"is of the network photo, not quicknet",
			train.main,
			"mine",
			"wrong",
			"--init",
			"x.latent.npz",
			"--net",
			"quicknet",
			*SHORT,
		)

	def test_shipped_latents_keep_their_options(self):
		for path in sorted((ROOT / "models").glob("*.latent.npz")):
			a = train.arguments(["mine", "run", "--init", str(path)])
			options, state = train.latents_of(a)
			net = nets.build(a.net, 200, a.options)
			self.assertEqual(checkpoint.continue_from(net, options, state), [], path)
			self.assertEqual(set(net.state_dict()), set(state), path)

	def test_asked_again(self):
		"""A finished run is left as it is; with other words it is another run, whose card would lie."""
		self.trained()
		before = pathlib.Path("run/checkpoint.pt").read_bytes()
		self.assertIn("trained to the end already, all 5 steps", self.trained("--save-latent", "late.npz"))
		self.assertTrue(pathlib.Path("late.npz").exists())
		common = ("mine", "run", "--epochs", 1, "--batch", 16, "--options", json.dumps(OPTIONS))
		for other in (
			("--sides", "1:64"),
			("--sides", "1:32", "--rate", "1e-4"),
			("--sides", "1:32", "--blur", "0.5"),
			("--sides", "1:32", "--epochs", 2),
			("--sides", "1:32", "--seed", 2),
			("--sides", "1:32", "--init", self.latents()),
		):
			name = other[-2]
			self.refuses(f"trained with other words.*{name}.*then.*now", train.main, *common, *other)
		shutil.copy("mine/class0/000.png", "mine/class1/moved.png")
		self.refuses(r"other words.*(pictures|held out) \d+ \(.*then", train.main, *common, "--sides", "1:32")
		self.assertEqual(pathlib.Path("run/checkpoint.pt").read_bytes(), before)


class Refusals(Case):
	def test_what_is_no_latents(self):
		self.trained()
		body = pathlib.Path(self.latents()).read_bytes()
		pathlib.Path("cut.npz").write_bytes(body[: len(body) // 2])
		pathlib.Path("text.npz").write_text("no latents")
		np.savez("other.npz", a=np.zeros(3))
		np.savez("bad.npz", __net__=np.array('{"net"'), **{"fc.bias": np.zeros(3)})
		model = ROOT / "models" / "nano64-3.bnn"
		for path, words in (
			("run", "is a folder: give the file"),
			("run/checkpoint.pt", "a checkpoint: give the latent"),
			(model, "a .bnn file has the signs"),
			("nothing.npz", "no such file"),
			("cut.npz", "cut short"),
			("text.npz", "no latent weights"),
			("other.npz", "no latent weights"),
			("bad.npz", "no latent weights"),
		):
			self.refuses(words, train.main, "mine", "out", "--init", path, *SHORT)
		self.assertFalse(pathlib.Path("out").exists())  # before any picture was read

	def test_arguments(self):
		write_folder(pathlib.Path("mine"), drawn_set(n_each=6))
		for words, argv in (
			("SHARE:SIDE", ("--sides", "64")),
			("SHARE:SIDE", ("--sides", "")),
			("SHARE:SIDE", ("--sides", "1:x")),
			("end at 1", ("--sides", "0.5:32")),
			("end at 1", ("--sides", "nan:32")),
			("multiples of 16", ("--sides", "1:40")),
			("from 1 on", ("--sides", "1:0")),
			("not JSON", ("--options", '{"layers": [1, 2')),
			("no JSON object", ("--options", "[1]")),
			("no option 'layer'", ("--options", '{"layer": [1]}')),
			("layers is a list", ("--options", '{"layers": 3}')),
			("layers is a list", ("--options", '{"layers": []}')),
			("layers is a list", ("--options", '{"layers": [1, "2", 3]}')),
			("stages", ("--options", '{"layers": [1, 2]}')),
			("stem is a whole", ("--options", '{"stem": -1}')),
			("early_pool is true", ("--options", '{"early_pool": 1}')),
			("above 0", ("--epochs", "0")),
			("above 0", ("--epochs", "-1")),
			("above 0", ("--epochs", "nan")),
			("above 0", ("--epochs", "inf")),
			("less than one step", ("--epochs", "0.01")),
			("above 0", ("--rate", "0")),
			("from 2", ("--batch", "0")),
			("above 0", ("--held-out", "0")),
			("from 0 to 1", ("--blur", "2")),
			("from 1", ("--threads", "0")),
			("device", ("--device", "toaster")),
			("no such folder", ("--teacher", "nowhere")),
			("no such folder", ("--save-latent", "nowhere/x.npz")),
			("is a folder", ("--save-latent", "mine")),
			(
				"with these options cannot run",
				("--net", "reactnet_a", "--options", '{"channels": [8, 24]}', "--sides", "1:32"),
			),
		):
			with self.subTest(argv=argv):
				self.refuses(words, train.main, "mine", "out", "--batch", 8, *argv)
		self.refuses("is a file", train.main, "mine", "mine/class0/000.png")
		self.refuses("no such folder or file", train.main, "nowhere", "out")

	def test_one_class(self):
		data = drawn_set()
		write_folder(pathlib.Path("mine"), data.some(np.flatnonzero(data.y == 2)))
		self.refuses("one class only .class2.", train.main, "mine", "run", *SHORT)
		write_folder(pathlib.Path("single"), data.some(np.array([0, 30, 60])))
		self.refuses("nothing to hold out", train.main, "single", "run", *SHORT)

	def test_checkpoints(self):
		self.trained()
		whole = pathlib.Path("run/checkpoint.pt").read_bytes()
		torch.save({"a": 1}, "other.pt")
		pathlib.Path("cut").mkdir()
		for n in (0, 100, len(whole) // 2, len(whole) - 1):
			pathlib.Path("cut/checkpoint.pt").write_bytes(whole[:n])
			self.refuses("cut short", export.main, "cut/checkpoint.pt", "x.bnn")
		self.refuses("cut short", train.main, "mine", "cut", *SHORT, "--options", json.dumps(OPTIONS))
		for path, words in (
			("run", "is a folder: give run/checkpoint.pt"),
			("nothing.pt", "no such file"),
			("other.pt", "lacks net"),
			(self.latents(), "not a checkpoint"),
		):
			self.refuses(words, export.main, path, "x.bnn")
			self.refuses(words, compare.main, path, "x.bnn", "--engine", sys.executable)

	def test_loss_that_is_no_number(self):
		with mock.patch.object(run.Run, "one_step", lambda self: float("nan")):
			write_folder(pathlib.Path("mine"), drawn_set(n_each=6))
			self.refuses("smaller --rate", train.main, "mine", "run", *SHORT)
		self.assertFalse(pathlib.Path("run/checkpoint.pt").exists())

	def test_full_disk(self):
		"""A limit of the size of files stands in for it: what was saved before stays, and can be gone on from."""
		self.trained()
		before = pathlib.Path("run/checkpoint.pt").read_bytes()
		limits = resource.getrlimit(resource.RLIMIT_FSIZE)
		resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
		try:
			net, contents = checkpoint.load_net("run/checkpoint.pt")
			self.refuses(
				"run/checkpoint.pt: cannot be written", lambda _: checkpoint.save("run/checkpoint.pt", contents)
			)
			state = {**net.state_dict(), "large": torch.randn(len(before))}
			self.refuses("x.npz: cannot be written", lambda _: checkpoint.save_latents("x.npz", state, "photo", {}))
		finally:
			resource.setrlimit(resource.RLIMIT_FSIZE, limits)
		self.assertEqual(pathlib.Path("run/checkpoint.pt").read_bytes(), before)
		self.assertEqual(list(pathlib.Path().rglob("*.part")), [])

	def test_missing_tools(self):
		with (
			self.assertRaisesRegex(SystemExit, r"pip install torch .*protobuf<5"),
			mock.patch.object(command, "there", lambda module: False),
		):
			with mock.patch.object(signal, "signal"):
				command.begin()
		self.trained()
		with mock.patch.dict(os.environ, PATH="/nowhere"), mock.patch.object(export, "proto", export.proto.__wrapped__):
			self.assertIn("export.py will need protoc", self.trained(out="run2"))
			with mock.patch.object(normalise, "features", side_effect=AssertionError("before the check")):
				self.refuses("protoc is not here", export.main, "run/checkpoint.pt", "x.bnn")

	def test_export_checks_first(self):
		self.trained()
		write_folder(pathlib.Path("others"), drawn_set(seed=4))
		pathlib.Path("empty").mkdir()
		pathlib.Path("accuracy.md").write_text("a\x07b")
		ck = "run/checkpoint.pt"
		with mock.patch.object(normalise, "features", side_effect=AssertionError("before the checks")):
			for words, argv in (
				("not 1 to 128 letters", (ck, "mine 1.bnn")),
				("not 1 to 128 letters", (ck, "blüte.bnn")),
				("not 1 to 128 letters", (ck, "x.bnn", "--name", "a/b")),
				("not 1 to 128 letters", (ck, "x.bnn", "--name", "a" * 129)),
				("ends in .bnn", (ck, "mine.md")),
				("control character", (ck, "x.bnn", "--terms", "mine\x1b[1m")),
				("control character", (ck, "x.bnn", "--accuracy", "accuracy.md")),
				("nowhere.md: No such file", (ck, "x.bnn", "--accuracy", "nowhere.md")),
				("nowhere: no such folder", (ck, "nowhere/x.bnn")),
				("multiples of 16", (ck, "x.bnn", "--side", "40")),
				("empty: no class folders", (ck, "x.bnn", "--episodes", "empty")),
				("no such folder or file", (ck, "x.bnn", "--episodes", "nowhere")),
				("they differ in class0", (ck, "x.bnn", "--data", "others2")),
			):
				if "others2" in argv and not pathlib.Path("others2").exists():
					shutil.copytree("others", "others2")
					shutil.rmtree("others2/class0")
				with self.subTest(argv=argv):
					self.refuses(words, export.main, *argv)
		self.assertEqual(list(pathlib.Path().glob("*.bnn")), [])


class Stops(Case):
	def test_first_seconds(self):
		"""Ctrl-C while torch is still being imported: one of its own that takes long stands in for it."""
		pathlib.Path("torch.py").write_text('import time\nprint("importing", flush=True)\ntime.sleep(60)\n')
		for name in ("train", "export", "teacher", "measure", "compare", "prepare_pictures"):
			with subprocess.Popen(
				[sys.executable, "-B", "-m", "tools.train." + name, "a", "b"],
				text=True,
				env={**os.environ, "PYTHONPATH": f".:{ROOT}"},
				stdout=subprocess.PIPE,
				stderr=subprocess.PIPE,
			) as process:
				if name != "prepare_pictures":  # which needs none
					self.assertEqual(process.stdout.readline(), "importing\n")
					process.send_signal(signal.SIGINT)
				_, errors = process.communicate()
			self.assertNotIn("Traceback", errors)
			self.assertEqual(process.returncode, 1 if name == "prepare_pictures" else 130, name + errors)

	def test_in_the_middle(self):
		"""It says so to the shell, and export.py does not take what is half trained for done."""
		write_folder(pathlib.Path("mine"), drawn_set())
		step = run.Run.one_step

		def stopped(self):
			if self.step == 2:
				os.kill(os.getpid(), signal.SIGINT)
			return step(self)

		argv = ("mine", "run", *SHORT, "--options", json.dumps(OPTIONS))
		with mock.patch.object(run.Run, "one_step", stopped):
			self.assertEqual(said(train.main, *argv)[0], 130)
		self.refuses("stopped at step 3 of 5.*--unfinished", export.main, "run/checkpoint.pt", "x.bnn")
		write_folder(pathlib.Path("others"), drawn_set(seed=4))
		self.does("", export.main, "run/checkpoint.pt", "x.bnn", "--episodes", "others", "--unfinished", "--threads", 1)
		self.assertIn("Stopped at step 3 of 5.", pathlib.Path("x.md").read_text())
		self.does("resumes at step 3 of 5", train.main, *argv)

	def test_pace(self):
		"""Speed and time left are those of the steps, however few there are in an epoch and however long it evaluates."""
		now = [0.0]

		def step(self):
			now[0] += (self.side() / 32) ** 2
			self.step += 1
			return 1.0

		def evaluated(*_):
			now[0] += 50.0
			return 0.5

		write_folder(pathlib.Path("mine"), drawn_set())
		with (
			mock.patch.object(run.time, "monotonic", lambda: now[0]),
			mock.patch.object(run.Run, "one_step", step),
			mock.patch.object(run, "top1", evaluated),
			mock.patch.object(run, "LOG_SECONDS", 1e9),
			mock.patch.object(run, "LOG_STEPS", 12),
		):
			text = self.does("", train.main, "mine", "run", "--epochs", 8, "--batch", 16, "--sides", "0.5:32,1:64")
		lines = [line for line in text.splitlines() if line.startswith("step")]
		self.assertEqual(len(lines), 4)
		self.assertRegex(
			lines[0], "step 12 of 40, 32 px: loss 1.000, 16 pictures/s, 6 min left"
		)  # 8 + 20 * 4 + 6 * 50 s
		self.assertRegex(lines[1], "step 24 of 40, 64 px: loss 1.000, 4 pictures/s, 4 min left")  # 16 * 4 + 4 * 50
		self.assertRegex(lines[3], "step 40 of 40, 64 px: .* 50 s left")  # the last evaluation


class Export(Case):
	def export(self, *more, words=""):
		return self.does(words, export.main, "run/checkpoint.pt", "x.bnn", "--threads", 1, *more)

	def test_episodes_of_the_training(self):
		self.trained()
		self.refuses(
			r"--episodes mine: \d+ of its 96 pictures were trained on",
			export.main,
			"run/checkpoint.pt",
			"x.bnn",
			"--episodes",
			"mine",
		)
		write_folder(pathlib.Path("others"), drawn_set(seed=4))
		shutil.copy("mine/class0/001.png", "others/class0/copy.png")
		shutil.copy("mine/class0/002.png", "others/class0/copy2.png")
		text = self.export("--episodes", "others", words="class0, class1, class2, class3 were trained")
		self.assertRegex(text, "passed over: [12] pictures of others that were trained on")
		self.assertIn("of which 4 classes were trained, too", pathlib.Path("x.md").read_text())
		pathlib.Path("others").rename("named")
		for i in range(4):
			pathlib.Path(f"named/class{i}").rename(f"named/new{i}")
		self.export("--episodes", "named")
		self.assertIn("classes that were not trained", pathlib.Path("x.md").read_text())

	def test_small_classes(self):
		"""Classes of five, of which two would be taught, do not spoil the episodes of the others."""
		self.trained()
		for seed, n in ((4, 12), (5, 5)):
			write_folder(pathlib.Path("others"), drawn_set(seed=seed, n_each=n))
			for c in range(4):
				pathlib.Path(f"others/class{c}").rename(f"others/n{n}-{c}")
		self.export(
			"--episodes", "others", words="not in the episodes: n5-0, n5-1, n5-2, n5-3, with fewer than 6 pictures"
		)
		self.assertIn("with 1 to 6 pictures each", pathlib.Path("x.md").read_text())
		for c in range(1, 4):
			shutil.rmtree(f"others/n12-{c}")
		self.refuses(
			"others: episodes need two classes with 6 pictures each at least, here is one",
			export.main,
			"run/checkpoint.pt",
			"y.bnn",
			"--episodes",
			"others",
		)

	def test_whitening(self):
		"""Few held-out pictures do not whiten alone, and that they are few is said."""
		self.trained()
		write_folder(pathlib.Path("others"), drawn_set(seed=4))
		text = self.export(
			"--episodes", "others", words=r"whitening 16 directions from 96 pictures at 32 px, \d+ of them"
		)
		self.assertNotIn("these are few", text)
		self.assertIn("Whitened with 96 pictures of the trained classes", pathlib.Path("x.md").read_text())
		self.export("--episodes", "others", "--most", 40, words="these are few")
		with mock.patch.object(export, "HELD_OUT_ENOUGH", 0.5):
			self.export("--episodes", "others", words=r"from (\d+) pictures at 32 px, \1 of them held out")

	def test_shrinkage(self):
		"""Chosen by what others gain: none where the scatter is known well, much where it is not."""
		rng = np.random.default_rng(0)
		d, y, asked_y = 24, np.repeat(np.arange(6), 400), np.repeat(np.arange(10), 60)

		def drawn(y, spread):
			return rng.normal(0, 1, (y.max() + 1, d))[y] + rng.normal(0, 2, (len(y), d)) * spread

		for n, spread, least, most in ((1, np.geomspace(0.1, 4, d), 0.1, 0.2), (100, np.ones(d), 0.6, 0.9)):
			chosen = normalise.choose_shrinkage(drawn(y, spread)[::n], y[::n], drawn(asked_y, spread), asked_y, False)
			self.assertTrue(least <= chosen <= most, chosen)
		self.assertGreater(normalise.shrinkage(512, 168), 0.8)
		self.assertEqual(normalise.shrinkage(512, 10000), 0.1)

	def test_pictures_since(self):
		self.trained()
		for i, x in enumerate(drawn_set(seed=9).x):
			Image.fromarray(x).save(f"mine/class3/more{i}.png")
		write_folder(pathlib.Path("others"), drawn_set(seed=4))
		self.export("--episodes", "others", words="the pictures of mine are others than at the training")


class Command(Case):
	def test_a_folder(self):
		write_folder(self.folder / "mine", drawn_set())
		write_folder(self.folder / "others", drawn_set(seed=4))
		for i in range(4):
			(self.folder / "others" / f"class{i}").rename(self.folder / "others" / f"other{i}")
		done = subprocess.run(
			[
				sys.executable,
				"-B",
				"-m",
				"tools.train.train",
				"mine",
				"run",
				*SHORT,
				"--options",
				json.dumps(OPTIONS),
			],
			check=True,
			env={**os.environ, "PYTHONPATH": str(ROOT)},
			stdout=subprocess.PIPE,
			text=True,
		)
		self.assertIn("held-out top-1", done.stdout)
		self.does("", export.main, "run/checkpoint.pt", "mine.bnn", "--episodes", "others", "--threads", 1)
		model = read(self.folder / "mine.bnn")
		self.assertEqual(model.graph.card.name, "mine")
		self.assertIn("4 classes", model.graph.card.text)
		self.assertEqual((len(model.graph.answers.deviations), model.graph.answers.near_duplicate), (5, 0.70))
		self.assertEqual(model.covariance().shape, (16, 16))
		self.does("continues from mine.latent.npz", train.main, "others", "run2", "--init", "mine.latent.npz", *SHORT)
		engine = os.environ.get("BNND_FEATURES")
		if engine:
			self.does(
				r"pictures: the cosine of both features is (1\.0|0\.99999)",
				compare.main,
				"run/checkpoint.pt",
				"mine.bnn",
				"--engine",
				engine,
			)
			self.trained("--seed", 5, out="other")
			self.refuses("less than 0.9999", compare.main, "other/checkpoint.pt", "mine.bnn", "--engine", engine)
			self.refuses("not a .bnn file", compare.main, "run/checkpoint.pt", "mine.md", "--engine", engine)
		self.refuses("no such program", compare.main, "run/checkpoint.pt", "mine.bnn", "--engine", "nowhere")


if __name__ == "__main__":
	unittest.main(verbosity=2)
