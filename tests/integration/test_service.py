# SPDX-License-Identifier: MIT
"""The daemon as a service: flags, configuration errors with line and column, sockets, systemd's protocols."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
import unittest

from tests.integration.daemon import (
	BNND,
	MODEL,
	SANITIZED,
	SLOW,
	WRAPPER,
	DaemonTest,
	DidNotStart,
	bnnd,
	environment,
	main,
	picture,
	qemu_subset,
)


def bnnd_run(*args, cwd=None, **env):
	done = subprocess.run(
		WRAPPER + [BNND, *args], env=environment(**env), cwd=cwd, capture_output=True, text=True, timeout=30 * SLOW
	)
	return done.returncode, done.stdout, done.stderr


class Configuration(DaemonTest):
	def fails(self, text, position, *patterns):
		"""--check-config and a start both refuse it, with file:line:column."""
		folder = self.folder()
		path = os.path.join(folder, "test.yaml")
		with open(path, "w", encoding="utf-8") as f:
			f.write(text)
		for args in (
			["--check-config", path],
			["--config", path, "--socket", os.path.join(folder, "s"), "--state", folder],
		):
			code, _, err = bnnd_run(*args, cwd=folder)
			self.assertEqual(78, code, err)
			self.assertIn(f"test.yaml:{position}", err)
			for pattern in patterns:
				self.assertRegex(err, pattern)

	@qemu_subset
	def test_errors_have_line_and_column(self):
		self.fails("infer:\n  thread: 2\n", "2:3", "infer\\.threads")
		self.fails("infer:\n  threads: 2\n  threads: 3\n", "3:3", "before|twice|duplicate")
		self.fails("infer:\n  threads: many\n", "2:12", "0", "64")
		self.fails("infer:\n  threads: 65\n", "2:12", "64")
		self.fails("infer:\n  threads: -1\n", "2:12", "64")
		self.fails("infer:\n  threads: [1, 2]\n", "2:12")
		self.fails("infer: 3\n", "1:8")
		self.fails("# hello\n\nanswers:\n  refuse: 0.3\n", "4:11", "0\\.05")
		self.fails("learner:\n  width: 4/4\n", "2:10", "8/16")
		self.fails("learner:\n  preset: best\n", "2:11", "default", "reference")
		self.fails("learner:\n  method: best\n", "2:11", "metric, means, cwr")
		self.fails(
			"learner:\n  method: metric\n  preset: reference\n", "2:11", "learner.method must be cwr", "reference"
		)
		self.fails("nonsense:\n  a: 1\n", "1:1")
		self.fails("infer:\n\tthreads: 2\n", "2:")
		self.fails("socket:\n  mode: 0999\n", "2:9")
		self.fails("learner:\n  eta: .nan\n", "2:8")

	def test_what_the_settings_name_is_opened(self):
		"""--check-config is right about a file only when the daemon starts with it."""
		folder = self.folder()
		path = os.path.join(folder, "test.yaml")

		def check(text):
			with open(path, "w", encoding="utf-8") as f:
				f.write(text)
			return bnnd_run("--check-config", path, cwd=folder)

		good = f"model.path: {MODEL}\nstate.dir: {folder}/state\nsocket.path: {folder}/sock\n"
		self.assertEqual(0, check(good)[0], check(good))
		self.assertFalse(os.path.exists(f"{folder}/state"), "looking makes nothing")
		for text, pattern in (
			(good.replace("default", "missing"), r"model\.path: .*missing\.bnn"),
			(good.replace(MODEL, "/etc/passwd"), r"model\.path: .*/etc/passwd"),
			(good.replace("/state", "/no/state"), r"state\.dir: .*/no/state cannot be made: .*/no: No such"),
			(good.replace("/state", "/test.yaml"), r"state\.dir: .*test\.yaml is no folder"),
			(good.replace("/sock", "/no/sock"), r"socket\.path: the folder .*/no cannot"),
			(good + "socket.group: no-such-group\n", r"socket\.group: there is no group no-such-group"),
			(good.replace(f"{folder}/state", "~/state"), r"test\.yaml:2:12: state\.dir begins with ~"),
		):
			code, out, err = check(text)
			self.assertEqual(78, code, out + err)
			self.assertRegex(err, pattern)
		# All that is wrong, not the first.
		_, _, err = check(good.replace("default", "missing").replace("/sock", "/no/sock"))
		self.assertRegex(err, r"(?s)socket\.path.*model\.path")

	@unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
	@unittest.skipIf(WRAPPER, "the wrapper's libraries may be somebody's own")
	def test_what_is_in_the_way_is_named(self):
		"""Not 'Permission denied' alone: which folder lets whom not in."""
		folder = self.folder(for_all=True)
		closed = os.path.join(folder, "closed")
		os.mkdir(closed, 0o700)
		shutil.copy(MODEL, closed)
		program = self.copy_for_all(BNND)
		model = self.copy_for_all(MODEL)

		def run(*args):
			done = subprocess.run(
				[program, "--socket", os.path.join(folder, "s"), *args],
				env=environment(),
				cwd="/",
				user=65534,
				group=65534,
				extra_groups=[],
				capture_output=True,
				text=True,
				timeout=30 * SLOW,
			)
			return done.returncode, done.stderr

		code, err = run("--state", folder, "--model", os.path.join(closed, os.path.basename(MODEL)))
		self.assertEqual(78, code, err)
		self.assertRegex(err, rf"user \w+ may not enter {closed}")
		os.chmod(os.path.dirname(model), 0o711)
		os.chmod(model, 0o600)
		code, err = run("--state", folder, "--model", model)
		self.assertRegex(err, rf"user \w+ may not read {model}")
		settings = os.path.join(folder, "own.yaml")
		with open(settings, "w", encoding="utf-8"):
			os.chmod(settings, 0o600)
		code, err = run("--config", settings)
		self.assertEqual(78, code, err)
		self.assertRegex(err, rf"user \w+ may not read {settings}")

	@unittest.skipUnless(os.geteuid() == 0, "needs root to become somebody else")
	@unittest.skipIf(WRAPPER, "the wrapper's libraries may be somebody's own")
	def test_a_state_that_cannot_be_kept_is_told_at_the_start(self):
		folder = self.folder(for_all=True)
		daemon = self.make(
			executable=self.copy_for_all(BNND), model=self.copy_for_all(MODEL), state=os.path.join(folder, "state")
		)
		os.chmod(daemon.folder, 0o777)
		os.chmod(daemon.model, 0o644)
		daemon.prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
		daemon.spawn()
		self.wait_until(lambda: "ready" in daemon.text(), message="it did not start")
		with daemon.client() as client:
			status = client.status()
			self.refused(
				bnnd.Code.UNAVAILABLE,
				f"user .* may not write into {folder}",
				client.learn,
				"disc",
				[picture("disc", 1)],
			)
		self.assertEqual("degraded", status.state)
		self.assertRegex(
			" ".join(status.reasons), rf"state cannot be written: the daemon's user \w+ may not write into {folder}"
		)

	def test_a_missing_file(self):
		code, _, err = bnnd_run("--config", "/nonexistent/x.yaml")
		self.assertEqual(78, code)
		self.assertIn("/nonexistent/x.yaml", err)

	def test_flag_environment_file_default(self):
		folder = self.folder()
		path = os.path.join(folder, "c.yaml")
		with open(path, "w", encoding="utf-8") as f:
			f.write("socket:\n  path: /tmp/from-file\nstate:\n  dir: /tmp/state-file\ninfer:\n  threads: 3\n")
		code, out, err = bnnd_run(
			"--print-config",
			"--config",
			path,
			"--state",
			"/tmp/state-flag",
			BNND_SOCKET="/tmp/from-env",
			BNND_STATE="/tmp/state-env",
		)
		self.assertEqual((0, ""), (code, err))
		self.assertIn("/tmp/from-env", out)
		self.assertIn("/tmp/state-flag", out)
		self.assertRegex(out, "threads: 3")
		self.assertRegex(out, "lesson:")
		# What it prints is a configuration.
		printed = os.path.join(folder, "printed.yaml")
		with open(printed, "w", encoding="utf-8") as f:
			f.write(out)
		code, again, err = bnnd_run("--print-config", "--config", printed)
		self.assertEqual((0, ""), (code, err))
		self.assertEqual(out, again)

	def test_settings_are_in_force(self):
		daemon = self.daemon(
			config="infer:\n  threads: 2\nanswers:\n  refuse: 0.2\nlearner:\n  preset: reference\n"
			"  width: float/float\nsocket:\n  mode: 0640\n"
		)
		with daemon.client() as client:
			status = client.status()
			self.assertEqual(
				(2, 0.2, "reference", "float/float", "cwr"),
				(status.infer_threads, status.refuse, status.preset, status.widths, status.method),
			)
		self.assertEqual(0o640, stat.S_IMODE(os.stat(daemon.socket).st_mode))

	def test_usage(self):
		for args in (["--nonsense"], ["surplus"], ["--socket"], ["--infer-threads", "2"]):
			code, _, err = bnnd_run(*args)
			self.assertEqual(2, code, err)
			self.assertTrue(err.strip())
		code, out, _ = bnnd_run("--version")
		self.assertEqual(0, code)
		self.assertRegex(out, r"^bnnd \d+\.\d+")
		code, out, _ = bnnd_run("--help")
		self.assertEqual(0, code)
		for flag in (
			"--config",
			"--socket",
			"--state",
			"--model",
			"--check-config",
			"--check-state",
			"--explain-model",
			"--print-config",
			"--version",
		):
			self.assertIn(flag, out)
		code, out, err = bnnd_run("--explain-model", MODEL)
		self.assertEqual((0, ""), (code, err))
		self.assertGreater(len(out.splitlines()), 5)

	def test_a_bad_model(self):
		folder = self.folder()
		bad = os.path.join(folder, "bad.bnn")
		with open(MODEL, "rb") as f:
			data = bytearray(f.read())
		data[len(data) // 2] ^= 1
		with open(bad, "wb") as f:
			f.write(data)
		for path, pattern in (
			(bad, "bad\\.bnn"),
			(os.path.join(folder, "none.bnn"), "none\\.bnn"),
			("/etc/passwd", "passwd"),
		):
			with self.assertRaises(DidNotStart) as caught:
				self.start_failing(model=path)
			self.assertEqual(78, caught.exception.returncode, caught.exception.text)
			self.assertRegex(caught.exception.text, pattern)

	def test_a_model_with_groups_of_features(self):
		"""Another metric of the same features: what was learned is served, and told apart otherwise."""
		from tools.bnnfile import format as model_file

		grouped = os.path.join(self.folder(), "grouped.bnn")
		model = model_file.read(MODEL)
		answers = model.graph.answers
		del answers.groups[:], answers.group_factors[:]
		answers.groups.extend((1000, 24))
		answers.group_factors.extend((1, 1.5))
		model_file.write(grouped, model)
		code, out, err = bnnd_run("--explain-model", grouped)
		self.assertEqual((0, ""), (code, err))
		self.assertRegex(out, "(?m)^groups +1000 24 \\(factor 1.5\\)$")
		scores = []
		daemon = self.daemon(config="learner:\n  method: metric\n")
		for path in (MODEL, grouped):
			daemon.stop()
			daemon.model = path
			daemon.start()
			with daemon.client() as client:
				if not client.classes():
					self.teach(client, "disc", "ring", "cross")
				self.assertEqual(("ready", 3), (client.status().state, client.status().classes))
				scores.append([s.score for s in client.infer(picture("disc", 77)).top])
		self.assertNotEqual(scores[0], scores[1])

	def test_a_model_of_other_picture_rules(self):
		"""It would see other pixels than it was made for."""
		from tools.bnnfile import format as model_file

		model = model_file.read(MODEL)
		model.graph.input.image_rules = 2
		path = os.path.join(self.folder(), "other.bnn")
		with open(path, "wb") as f:
			f.write(model_file.serialize(model))
		with self.assertRaises(DidNotStart) as caught:
			self.start_failing(model=path)
		self.assertEqual(78, caught.exception.returncode, caught.exception.text)
		self.assertRegex(caught.exception.text, "picture rules 2, this bnnd has 1")

	def test_a_file_in_place_of_the_state(self):
		path = os.path.join(self.folder(), "state")
		with open(path, "wb"):
			pass
		with self.assertRaises(DidNotStart) as caught:
			self.start_failing(state=path)
		self.assertEqual(78, caught.exception.returncode, caught.exception.text)
		self.assertRegex(caught.exception.text, "is not a directory: choose another state.dir")

	def start_failing(self, **options):
		daemon = self.make(**options)
		try:
			daemon.start()
		except DidNotStart:
			daemon.process = None
			raise


class Sockets(DaemonTest):
	def fails_to_start(self, daemon, pattern, codes=(1, 2, 78)):
		with self.assertRaises(DidNotStart) as caught:
			daemon.start()
		daemon.process = None
		self.assertIn(caught.exception.returncode, codes)
		self.assertRegex(caught.exception.text, pattern)

	def test_one_line_when_ready(self):
		daemon = self.daemon()
		lines = daemon.text().splitlines()
		self.assertEqual(1, len([line for line in lines if daemon.socket in line]), lines)

	def test_mode_of_an_ordinary_users_socket(self):
		if os.geteuid() == 0:
			self.skipTest("root's default is 0660 with the group bnnd")
		daemon = self.daemon()
		self.assertEqual(0o600, stat.S_IMODE(os.stat(daemon.socket).st_mode))

	def test_a_stale_socket_is_replaced_a_living_one_is_not(self):
		daemon = self.daemon()
		second = self.make()
		second.socket = daemon.socket
		self.fails_to_start(second, "another|already|lives|running")
		with daemon.client() as client:
			self.assertEqual("ready", client.status().state)
		daemon.kill()
		self.assertTrue(os.path.exists(daemon.socket))
		daemon.start()
		self.serves(daemon)

	def test_the_socket_goes_with_an_orderly_stop(self):
		daemon = self.daemon()
		daemon.stop()
		self.assertFalse(os.path.exists(daemon.socket))

	def test_never_replaces_what_is_no_socket(self):
		daemon = self.make()
		with open(daemon.socket, "w", encoding="utf-8") as f:
			f.write("precious")
		self.fails_to_start(daemon, "socket")
		with open(daemon.socket, encoding="utf-8") as f:
			self.assertEqual("precious", f.read())

	def test_a_path_that_is_too_long(self):
		daemon = self.make()
		daemon.socket = os.path.join(daemon.folder, "x" * 100)
		self.fails_to_start(daemon, "107")

	def test_a_missing_folder(self):
		daemon = self.make()
		daemon.socket = os.path.join(daemon.folder, "nowhere", "sock")
		self.fails_to_start(daemon, "nowhere")


class Systemd(DaemonTest):
	def test_ready_and_status(self):
		daemon = self.daemon()
		notes = "\n".join(daemon.read_notes())
		self.assertIn("READY=1", notes)
		self.assertRegex(notes, r"STATUS=\S+ .*\S")
		daemon.stop()
		notes = "\n".join(daemon.read_notes())
		self.assertIn("STOPPING=1", notes)

	def test_watchdog(self):
		"""It says that its loop turns, twice in the time that systemd gives it, and not when nobody asked."""
		daemon = self.daemon(env={"WATCHDOG_USEC": "200000"})
		self.wait_until(lambda: daemon.read_notes().count("WATCHDOG=1") >= 5)
		self.serves(daemon)
		other = self.daemon()
		time.sleep(0.5)
		self.assertNotIn("WATCHDOG=1", other.read_notes())

	@unittest.skipUnless(shutil.which("prlimit"), "prlimit is missing")
	@unittest.skipIf(WRAPPER, "the limit is the wrapper's")
	@unittest.skipIf(SANITIZED, "shadow memory counts")
	def test_the_limit_of_data(self):
		"""More threads than fit the unit's LimitDATA= are told what will happen."""
		limit = 512 << 20
		daemon = self.make(config="infer: {threads: 64}\n")
		daemon.prefix = ["prlimit", f"--data={limit}"]
		daemon.start()
		with daemon.client() as client:
			self.assertEqual(64, client.status().infer_threads)
		self.assertRegex(daemon.text(), r"limit of data is 512 MiB.*infer\.threads.*LimitDATA=")
		self.serves(daemon)

	@unittest.skipUnless(shutil.which("systemd-socket-activate"), "systemd-socket-activate is missing")
	@unittest.skipIf(WRAPPER, "systemd-socket-activate starts the daemon itself, without a wrapper")
	def test_socket_activation(self):
		folder = self.folder()
		path = os.path.join(folder, "activated")
		with open(os.path.join(folder, "log"), "wb") as log:
			process = subprocess.Popen(
				[
					"systemd-socket-activate",
					"-l",
					path,
					"-E",
					"PATH",
					BNND,
					"--model",
					MODEL,
					"--state",
					os.path.join(folder, "state"),
					"--socket",
					os.path.join(folder, "unused"),
				],
				env=environment(),
				stdout=log,
				stderr=log,
			)
		try:
			self.wait_until(lambda: os.path.exists(path))
			# The first to come starts the daemon and is answered by it.
			with bnnd.Client(path, timeout=30 * SLOW) as client:
				self.assertEqual("ready", client.status().state)
				client.learn("disc", [picture("disc", i) for i in range(3)])
				self.assertEqual(b"disc", client.infer(picture("disc", 1)).top[0].label)
			self.assertFalse(os.path.exists(os.path.join(folder, "unused")))
		finally:
			process.terminate()
			self.assertEqual(0, process.wait(20 * SLOW))
		# Who owns the socket removes it, not the daemon.
		self.assertTrue(os.path.exists(path))

	def test_a_wrong_descriptor_is_an_error(self):
		folder = self.folder()
		program = (
			"import os,sys;"
			"os.environ['LISTEN_PID']=str(os.getpid());os.environ['LISTEN_FDS']='1';"
			"r=os.open('/dev/null',os.O_RDWR);os.dup2(r,3);os.execvp(sys.argv[1],sys.argv[1:])"
		)
		if WRAPPER:
			self.skipTest("descriptors and pids are the wrapper's")
		done = subprocess.run(
			[
				sys.executable,
				"-c",
				program,
				BNND,
				"--model",
				MODEL,
				"--state",
				folder,
				"--socket",
				os.path.join(folder, "s"),
			],
			env=environment(),
			capture_output=True,
			text=True,
			timeout=20 * SLOW,
		)
		self.assertNotEqual(0, done.returncode)
		self.assertRegex(done.stderr, "socket")


class Many(DaemonTest):
	def test_descriptors_run_out(self):
		"""accept() fails with EMFILE: listening pauses and goes on; nobody who is served notices."""
		import resource

		if WRAPPER:
			self.skipTest("the wrapper needs descriptors of its own")
		daemon = self.make(config="session:\n  max: 1000\n")
		daemon.start()
		resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (40, 40))
		with daemon.client() as served:
			waiting = []
			for _ in range(60):
				s = socket.socket(socket.AF_UNIX)
				s.setblocking(False)
				try:
					s.connect(daemon.socket)
				except BlockingIOError:
					pass
				waiting.append(s)
			time.sleep(0.4)
			for _ in range(20):
				served.infer(picture("disc", 1))
			for s in waiting:
				s.close()
		self.wait_until(lambda: self.can_connect(daemon))
		self.serves(daemon)

	def can_connect(self, daemon):
		try:
			daemon.client(timeout=2).close()
			return True
		except (bnnd.Error, OSError):
			return False


if __name__ == "__main__":
	main()
