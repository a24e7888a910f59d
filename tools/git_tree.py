# SPDX-License-Identifier: MIT
"""Files in the tree of a git directory's commit, read without a work tree."""

import subprocess
import threading


class NoTree(Exception):
	"""Not a git directory that has the commit."""


class GitTree:
	"""names: every file below the folder `below` ("" or with / at its end), sorted, without that part."""

	def __init__(self, path, commit="HEAD", below=""):
		self.git = ["git", f"--git-dir={path}"]
		try:
			listed = subprocess.check_output(
				self.git + ["ls-tree", "-r", "-z", commit], stderr=subprocess.DEVNULL
			).decode()
		except (OSError, subprocess.CalledProcessError):
			raise NoTree(f"{path}: not a git directory with the commit {commit}") from None
		at = [(line.split("\t")[1], line.split()[2]) for line in listed.split("\0") if line]
		self.ids = {name[len(below) :]: i for name, i in at if name.startswith(below)}
		self.names = sorted(self.ids)

	def read(self, names):
		"""Yields the bytes of each, through one process."""
		piped = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
		with subprocess.Popen(self.git + ["cat-file", "--batch"], **piped) as process:

			def feed():  # beside the reader: a full pipe would stop both
				for name in names:
					process.stdin.write((self.ids[name] + "\n").encode())
				process.stdin.close()

			feeder = threading.Thread(target=feed)
			feeder.start()
			for _ in names:
				size = int(process.stdout.readline().split()[2])
				yield process.stdout.read(size)
				process.stdout.read(1)
			feeder.join()

	def text(self, name):
		return list(self.read([name]))[0].decode()
