# SPDX-License-Identifier: MIT
"""The examples that people copy: those in bnnd.h and in the Python package, as they stand there, with and without a
daemon. The C ones are compiled with every variable that they leave unset filled with a pattern."""

import os
import re
import subprocess
import sys

from tests.integration.daemon import (
	BUILD,
	SLOW,
	SOURCE,
	WRAPPER,
	DaemonTest,
	bnnd,
	encoded,
	environment,
	main,
	qemu_subset,
)

PROGRAM = os.path.join(BUILD, "tests", "integration", "header-examples")


class Examples(DaemonTest):
	def setUp(self):
		self.jpeg = os.path.join(self.folder(), "mug.jpg")
		with open(self.jpeg, "wb") as f:
			f.write(encoded("disc", 1))

	def run_c(self, socket_path, *args):
		done = subprocess.run(
			WRAPPER + [PROGRAM, self.jpeg, *args],
			env=environment(BNND_SOCKET=socket_path),
			stdout=subprocess.PIPE,
			stderr=subprocess.STDOUT,
			text=True,
			timeout=60 * SLOW,
		)
		self.assertEqual(0, done.returncode, done.stdout)
		return done.stdout.splitlines()

	@qemu_subset
	def test_the_headers_examples_with_a_daemon(self):
		daemon = self.daemon()
		self.assertEqual(["unknown"], self.run_c(daemon.socket))
		self.run_c(daemon.socket, "teach")
		with daemon.client() as client:
			(taught,) = client.classes()
			self.assertEqual((b"mug", 1), (taught.label, taught.samples))  # the same picture three times counts once

	@qemu_subset
	def test_the_headers_examples_without_a_daemon(self):
		for args in ((), ("teach",)):
			(line,) = self.run_c(os.path.join(self.folder(), "nobody"), *args)
			self.assertRegex(line, "^no daemon answers at ")

	def test_the_packages_example(self):
		daemon = self.daemon()
		example = re.search(r"\n\n((?:\t.*\n)+)\n", bnnd.__doc__).group(1)
		program = re.sub(r"^\t", "", example, flags=re.M)
		folder = self.folder()
		for name, seed in (("mug-1.jpg", 1), ("mug-2.jpg", 2), ("what.jpg", 3)):
			with open(os.path.join(folder, name), "wb") as f:
				f.write(encoded("disc", seed))

		def run(path):
			return subprocess.run(
				[sys.executable, "-c", program],
				cwd=folder,
				text=True,
				timeout=60 * SLOW,
				env=environment(
					BNND_SOCKET=path,
					PYTHONPATH=os.path.join(SOURCE, "client", "python"),
					BNND_PYTHON_CACHE=os.environ.get("BNND_PYTHON_CACHE", folder),
				),
				capture_output=True,
			)

		done = run(daemon.socket)
		self.assertEqual(0, done.returncode, done.stderr)
		self.assertRegex(done.stdout, r"^1\n(mug|unknown)\n$")
		done = run(os.path.join(folder, "nobody"))
		self.assertRegex(done.stderr.splitlines()[-1], "ConnectionLost: no daemon at ")


if __name__ == "__main__":
	main()
