# SPDX-License-Identifier: MIT
"""A daemon that systemd starts with a passed socket and that cannot start: whoever waits is told why, and systemd is given
no reason to start it again and again. The socket is passed as systemd does it; nobody has to be systemd."""

import os
import shutil
import socket
import sys
import time
import unittest

from tests.integration.daemon import MODEL, SLOW, WRAPPER, Daemon, DaemonTest, bnnd, main

Code = bnnd.Code
WRONG = "answers:\n  refuse: 0.3\n"
SENTENCE = r"cannot start: .*bnnd\.yaml:2:11: answers\.refuse must be"
# The descriptor becomes number 3, and the variables name the process that the daemon will be.
LAUNCH = (
	"import os, sys; os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
	"os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
)


class Passed(Daemon):
	"""A daemon with the test's listening socket in place of its own."""

	def __init__(self, folder, **options):
		super().__init__(folder, **options)
		self.listener = socket.socket(socket.AF_UNIX)
		self.listener.bind(self.socket)
		self.listener.listen(128)
		self.pass_fds = (self.listener.fileno(),)

	def command(self):
		return [sys.executable, "-c", LAUNCH, str(self.listener.fileno())] + super().command()

	def connect(self):
		s = socket.socket(socket.AF_UNIX)
		s.settimeout(20 * SLOW)
		while True:
			try:
				s.connect(self.socket)
				return s
			except BlockingIOError:
				time.sleep(0.01)  # the socket's queue is full

	def close(self):
		self.listener.close()
		return super().close()


@unittest.skipIf(WRAPPER, "descriptors and pids are the wrapper's")
class CannotStart(DaemonTest):
	def make(self, **options):
		daemon = Passed(self.folder(), **options)
		self.addCleanup(self.finish, daemon)
		return daemon

	def finish(self, daemon):
		if daemon.running():
			daemon.kill()
		daemon.process = None
		daemon.close()

	def refusing(self, **options):
		"""A daemon that somebody's connection started and that refuses everybody."""
		daemon = self.make(**options)
		first = daemon.connect()
		self.addCleanup(first.close)
		return daemon.start()

	def told(self, daemon, pattern=SENTENCE):
		self.refused(Code.UNAVAILABLE, pattern, daemon.client)
		code, _, err = daemon.ctl("status")
		self.assertEqual(1, code, err)
		self.assertRegex(err, pattern)

	def ends(self, daemon, code):
		self.wait_until(lambda: daemon.process.poll() is not None, message="it did not end")
		self.assertEqual(code, daemon.process.returncode, daemon.text())

	def test_clients_are_told_until_the_settings_change(self):
		daemon = self.refusing(config=WRONG)
		for _ in range(3):
			self.told(daemon)
		self.assertTrue(daemon.running())
		self.assertRegex("\n".join(daemon.read_notes()), "STATUS=" + SENTENCE)
		self.assertLess(len(daemon.text().splitlines()), 5, "a line once, not a client: " + daemon.text())
		with open(os.path.join(daemon.folder, "bnnd.yaml"), "w", encoding="utf-8") as f:
			f.write("answers:\n  refuse: 0.2\n")
		self.ends(daemon, 0)
		# The next client starts it again.
		daemon.config = "answers:\n  refuse: 0.2\n"
		daemon.start()
		self.serves(daemon)
		self.assertEqual(0, daemon.stop())

	def test_a_missing_model(self):
		model = os.path.join(self.folder(), "mine.bnn")
		daemon = self.refusing(model=model)
		self.told(daemon, r"cannot start: .*mine\.bnn")
		shutil.copyfile(MODEL, model)
		self.ends(daemon, 0)
		daemon.start()
		self.serves(daemon)
		self.assertEqual(0, daemon.stop())

	def test_a_state_of_another_width(self):
		first = self.make().start()
		with first.client() as client:
			self.teach(client, "disc")
		self.assertEqual(0, first.stop())
		daemon = self.refusing(config="learner.width: 8/8\n", state=first.state)
		self.told(daemon, r"cannot start: .*8/16.*8/8.*set learner\.width")
		with open(os.path.join(daemon.folder, "bnnd.yaml"), "w", encoding="utf-8") as f:
			f.write("learner.width: 8/16\n")
		self.ends(daemon, 0)

	def test_wrong_arguments(self):
		daemon = self.refusing(args=["--nonsense"])
		self.told(daemon, "cannot start: .*arguments")

	def test_nobody_waits(self):
		"""An administrator's start fails at once, visibly."""
		daemon = self.make(config=WRONG)
		daemon.spawn()
		self.ends(daemon, 78)
		self.assertEqual([], daemon.read_notes())

	def test_nobody_asks_any_more(self):
		daemon = self.refusing(config=WRONG)
		self.told(daemon)
		began = time.monotonic()
		self.wait_until(lambda: not daemon.running(), 60)
		self.assertEqual(78, daemon.process.returncode)
		self.assertGreater(time.monotonic() - began, 10)

	def test_those_who_say_nothing_hold_nobody(self):
		daemon = self.refusing(config=WRONG)
		silent = [daemon.connect() for _ in range(100)]
		self.told(daemon)
		for s in silent:
			# They are answered as well: whatever they are, they can be told.
			self.assertIn(b"cannot start", s.recv(4096))
			s.close()

	def test_one_that_goes_away_or_floods(self):
		daemon = self.refusing(config=WRONG)
		for _ in range(200):
			s = daemon.connect()
			s.close()
			s = daemon.connect()
			s.setblocking(False)
			try:
				s.send(bytes(1 << 20))
			except OSError:
				pass
			s.close()
		self.told(daemon)
		self.assertTrue(daemon.running(), daemon.text())


if __name__ == "__main__":
	main()
