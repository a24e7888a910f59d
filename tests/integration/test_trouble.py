# SPDX-License-Identifier: MIT
"""What happens to the state while the daemon runs: nothing is acknowledged into a file that is lost, it is said, and what
passes is noticed."""

import glob
import os
import resource
import shutil
import subprocess
import tempfile
import unittest

from tests.integration.daemon import BNND_FAULTY, WRAPPER, DaemonTest, answer_key, bnnd, main, picture, pictures

Code = bnnd.Code


def answer(client):
	return answer_key(client.infer(picture("disc", 700), top=10))


class Lost(DaemonTest):
	def taught(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
		return daemon

	def check_refused(self, daemon, pattern):
		"""Lessons and changes are UNAVAILABLE, the first one, too; status says so; what was learned answers."""
		with daemon.client() as client:
			before = answer(client)
			self.refused(Code.UNAVAILABLE, pattern, client.learn, "cross", pictures("cross", 3))
			self.refused(Code.UNAVAILABLE, pattern, client.rename, "ring", "hoop")
			self.refused(Code.UNAVAILABLE, pattern, client.undo)
			status = client.status()
			self.assertEqual(("degraded", 2), (status.state, status.seq))
			self.check_sentence(" ".join(status.reasons), pattern)
			self.assertEqual(before, answer(client))
			self.assertEqual(2, len(client.classes()))
		self.assertRegex(daemon.text(), "warning: .*" + pattern)

	def check_recovers(self, daemon):
		with daemon.client() as client:
			self.wait_until(lambda: client.status().state == "ready", message="it does not notice that all is well")
			self.assertEqual(2, len(client.classes()))
			self.assertEqual(3, client.learn("cross", pictures("cross", 3)).seq)
		daemon.restart()
		with daemon.client() as client:
			self.assertEqual(("ready", 3), (client.status().state, len(client.classes())))

	def test_directory_removed(self):
		daemon = self.taught()
		shutil.rmtree(daemon.state)
		self.check_refused(daemon, "removed or moved away")
		self.assertFalse(os.path.exists(daemon.state))
		daemon.restart()
		with daemon.client() as client:
			self.assertEqual(("ready", 1), (client.status().state, self.teach(client, "disc").seq))

	def test_directory_moved_and_put_back(self):
		daemon = self.taught()
		os.rename(daemon.state, daemon.state + ".away")
		self.check_refused(daemon, "removed or moved away")
		os.mkdir(daemon.state)
		self.check_refused(daemon, "removed or moved away")
		os.rmdir(daemon.state)
		os.rename(daemon.state + ".away", daemon.state)
		self.check_recovers(daemon)

	def test_a_file_moved_and_put_back(self):
		for end in (".db", ".db-wal"):
			with self.subTest(end):
				daemon = self.taught()
				(path,) = glob.glob(os.path.join(daemon.state, "state-*" + end))
				os.rename(path, path + ".away")
				self.check_refused(daemon, "removed or moved away")
				os.rename(path + ".away", path)
				self.check_recovers(daemon)

	def test_a_copy_laid_over_it(self):
		"""As `cp -r backup/. state/` does: the same files, other content."""
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc")
		backup = os.path.join(self.folder(), "backup")
		shutil.copytree(daemon.state, backup)
		with daemon.client() as client:
			self.teach(client, "ring")
		for name in os.listdir(backup):
			shutil.copyfile(os.path.join(backup, name), os.path.join(daemon.state, name))
		self.check_refused(daemon, "written to by something else")

	def test_a_copy_in_its_place(self):
		"""As rsync does: other files of the same name."""
		daemon = self.taught()
		(path,) = glob.glob(os.path.join(daemon.state, "state-*.db"))
		shutil.copyfile(path, path + ".new")
		os.replace(path + ".new", path)
		self.check_refused(daemon, "another file")


@unittest.skipIf(WRAPPER, "file locks of two processes, seen natively")
class Locked(DaemonTest):
	def check_locked(self, daemon, by):
		with daemon.client() as client:
			status = client.status()
			self.assertEqual("degraded", status.state)
			self.check_sentence(" ".join(status.reasons), f"in use by process {by.process.pid}")
			self.refused(Code.UNAVAILABLE, str(by.process.pid), client.learn, "cross", pictures("cross", 3))
			self.assertFalse(client.infer(picture("ring", 1)).known)

	def test_goes_on_when_the_other_has_gone(self):
		first = self.daemon()
		key = os.urandom(16)
		with first.client() as client:
			self.teach(client, "disc")
			client.learn("ring", pictures("ring", 3), key=key)
			before = answer(client)
		second = self.daemon(state=first.state)
		self.check_locked(second, first)
		first.kill()
		with second.client() as client:
			self.wait_until(lambda: client.status().state == "ready", message="it does not try again")
			self.assertEqual(before, answer(client))
			again = client.learn("ring", pictures("ring", 3), key=key)
			self.assertEqual((2, True), (again.seq, again.repeated))
			self.assertEqual(3, client.learn("cross", pictures("cross", 3)).seq)

	def test_two_on_a_fresh_directory(self):
		first = self.daemon()
		second = self.daemon(state=first.state)
		self.check_locked(second, first)
		with first.client() as client:
			self.assertEqual("ready", client.status().state)
			self.teach(client, "disc")
		self.check_locked(second, first)
		self.assertEqual(0, first.stop())
		with second.client() as client:
			self.wait_until(lambda: client.status().state == "ready", message="it does not try again")
			self.assertEqual([b"disc"], [c.label for c in client.classes()])
			self.assertEqual(2, self.teach(client, "ring").seq)

	def test_a_directory_made_for_nothing_goes(self):
		daemon = self.daemon()
		self.assertEqual([], os.listdir(daemon.state))
		daemon.stop()
		self.assertFalse(os.path.exists(daemon.state))


@unittest.skipIf(WRAPPER, "counts the daemon's own descriptors")
class Descriptors(DaemonTest):
	def test_none_left_during_the_first_lesson(self):
		"""It fails or not, wherever that is met; when there are some again the next one works, without a restart."""
		refused = 0
		for spare in range(4):
			daemon = self.daemon()
			pid = daemon.process.pid
			with daemon.client() as client:
				old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
				highest = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
				resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + spare, old[1]))
				try:
					self.teach(client, "disc")
				except bnnd.Error as error:
					self.check_error(error, Code.UNAVAILABLE, "Too many open files")
					self.assertEqual("degraded", client.status().state)
					refused += 1
				resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
				self.wait_until(lambda: client.status().state == "ready", message="it does not try again")
				seq = self.teach(client, "ring").seq
			daemon.restart()
			with daemon.client() as client:
				self.assertEqual(("ready", seq), (client.status().state, client.status().seq))
		self.assertGreater(refused, 0)


class Full(DaemonTest):
	def check_full(self, daemon, client):
		status = client.status()
		self.assertEqual("degraded", status.state)
		self.check_sentence(" ".join(status.reasons), "disk of the state directory is full")
		self.assertRegex(daemon.text(), "warning: .*full")

	@unittest.skipUnless(os.path.exists(BNND_FAULTY), "bnnd-faulty is not built")
	def test_a_full_disk_is_said_and_passes(self):
		folder = self.folder()
		fault = os.path.join(folder, "fault")

		def set_fault(text):
			with open(fault + ".new", "w", encoding="utf-8") as f:
				f.write(text)
			os.replace(fault + ".new", fault)

		set_fault("")
		daemon = self.make(folder, executable=BNND_FAULTY, env={"BNND_FAULT_FILE": fault}).start()
		with daemon.client() as client:
			set_fault("enospc")  # the first lesson, which makes the file, and a later one
			self.refused(Code.RESOURCE_EXHAUSTED, "full", client.learn, "disc", pictures("disc", 3))
			self.check_full(daemon, client)
			set_fault("")
			self.wait_until(lambda: client.status().state == "ready", message="it does not notice that there is room")
			self.teach(client, "disc")
			set_fault("enospc")
			self.refused(Code.RESOURCE_EXHAUSTED, "full", client.learn, "ring", pictures("ring", 3))
			self.check_full(daemon, client)
			set_fault("")
			self.assertEqual(2, self.teach(client, "ring").seq)  # before it is noticed: every lesson is tried
			self.assertEqual("ready", client.status().state)

	def test_a_small_disk(self):
		small = tempfile.mkdtemp(prefix="bnnd-test-disk-")
		self.addCleanup(os.rmdir, small)
		mounted = subprocess.run(
			["mount", "-t", "tmpfs", "-o", "size=300k,mode=0700", "tmpfs", small], capture_output=True, check=False
		)
		if mounted.returncode != 0:
			self.skipTest("needs root, for a small disk: " + mounted.stderr.decode("utf-8", "replace").strip())
		self.addCleanup(subprocess.run, ["umount", "-l", small], check=False)
		daemon = self.daemon(state=os.path.join(small, "state"))
		with daemon.client() as client:
			self.teach(client, "disc")
			ballast = os.path.join(small, "ballast")
			with open(ballast, "wb", buffering=0) as f:
				try:
					while f.write(bytes(4096)):
						pass
				except OSError:
					pass
			self.refused(Code.RESOURCE_EXHAUSTED, "full", client.learn, "ring", pictures("ring", 10))
			self.check_full(daemon, client)
			self.assertTrue(client.infer(picture("disc", 1)).top)
			os.unlink(ballast)
			self.wait_until(lambda: client.status().state == "ready", message="it does not notice that there is room")
			self.assertEqual(2, self.teach(client, "ring").seq)
		daemon.stop()


if __name__ == "__main__":
	main()
