# SPDX-License-Identifier: MIT
"""What was acknowledged survives; a state that cannot be used is left alone and said so."""

import glob
import os
import shutil
import sqlite3
import subprocess
import threading
import time
import unittest

from tests.integration.daemon import (
	BNND,
	BNND_FAULTY,
	SLOW,
	SOURCE,
	WRAPPER,
	DaemonTest,
	DidNotStart,
	answer_key,
	bnnd,
	environment,
	main,
	picture,
	pictures,
	qemu_subset,
)

Code = bnnd.Code
KINDS = ("disc", "ring", "cross", "bars", "dots")


def answers(client):
	return [answer_key(client.infer(picture(kind, 700), top=10)) for kind in KINDS]


def state_file(daemon):
	(path,) = glob.glob(os.path.join(daemon.state, "state-*.db"))
	return path


def folder_bytes(folder):
	found = {}
	for name in sorted(os.listdir(folder)):
		with open(os.path.join(folder, name), "rb") as f:
			found[name] = f.read()
	return found


class Restart(DaemonTest):
	@qemu_subset
	def test_the_same_answers_after_kill_9(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
			with client.lesson() as lesson:
				for i in range(4):
					lesson.add("cross", picture("cross", i))
					lesson.add(None, picture("dots", i))
			client.rename("ring", "hoop")
			before, classes, history = answers(client), client.classes(), client.history()
		for end in (daemon.kill, daemon.stop, daemon.kill):
			end()
			daemon.start()
			with daemon.client() as client:
				self.assertEqual(before, answers(client))
				self.assertEqual(classes, client.classes())
				self.assertEqual(history, client.history())
				self.assertEqual(("ready", 4), (client.status().state, client.hello.seq))

	def test_an_upgrade_with_another_default_forgets_nothing(self):
		models = self.folder()
		for name in ("photo96-5", "nano64-3"):
			os.symlink(os.path.join(SOURCE, "models", name + ".bnn"), os.path.join(models, name + ".bnn"))
		os.symlink("photo96-5.bnn", os.path.join(models, "default.bnn"))
		daemon = self.make(model=None, config=f"model:\n  dir: {models}\n").start()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
			before = answers(client)
		os.remove(os.path.join(models, "default.bnn"))
		os.symlink("nano64-3.bnn", os.path.join(models, "default.bnn"))
		daemon.restart()
		with daemon.client() as client:
			self.assertEqual("photo96-5", client.hello.model.name)
			self.assertEqual(before, answers(client))
			self.assertEqual("ready", client.status().state)
		os.remove(os.path.join(models, "photo96-5.bnn"))
		daemon.restart()
		with daemon.client() as client:
			self.assertEqual("nano64-3", client.hello.model.name)
			status = client.status()
			self.assertEqual("degraded", status.state)
			self.check_sentence(" ".join(status.reasons), "2 classes were learned with the model 'photo96-5'")
		with open(os.path.join(daemon.state, "current"), "r+b") as current:
			current.write(b"BNND")
		daemon.restart()
		with daemon.client() as client:
			status = client.status()
			self.assertEqual("degraded", status.state)
			self.check_sentence(" ".join(status.reasons), "current is damaged")

	def test_what_waits_for_another_model_is_said(self):
		"""Another model was asked for than the one that was taught: its classes are not lost, and log and status say where."""
		models = [os.path.join(SOURCE, "models", name + ".bnn") for name in ("photo96-5", "nano64-3")]
		daemon = self.make(model=models[0]).start()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
			self.assertEqual("", client.status().waiting)
		daemon.stop()
		said = "2 classes were learned with the model 'photo96-5' and wait in "
		self.assertNotIn(said, daemon.text())
		other = self.make(model=models[1], state=daemon.state).start()
		with other.client() as client:
			self.assertEqual([], client.classes())
			self.assertEqual("ready", client.status().state)
			self.assertIn(said + daemon.state, client.status().waiting)
			self.assertIn(said + daemon.state, other.ctl("status")[1])
		self.assertIn(said + daemon.state, other.text())
		other.stop()
		daemon.start()
		with daemon.client() as client:
			self.assertEqual(2, len(client.classes()))

	def test_what_waits_is_text(self):
		"""A state directory's name may be any bytes, a protobuf string may not."""
		models = [os.path.join(SOURCE, "models", name + ".bnn") for name in ("photo96-5", "nano64-3")]
		state = os.path.join(self.folder(), os.fsdecode(b"st\xffate"))
		daemon = self.make(model=models[0], state=state).start()
		with daemon.client() as client:
			self.teach(client, "disc")
		daemon.stop()
		with self.make(model=models[1], state=state).start().client() as client:
			self.assertIn("st?ate; ", client.status().waiting)

	def test_undo_after_a_restart(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc")
			one = answers(client)
			self.teach(client, "ring")
		daemon.restart()
		with daemon.client() as client:
			client.undo()
			self.assertEqual(one, answers(client))
		daemon.restart()
		with daemon.client() as client:
			self.assertEqual(one, answers(client))
			undone = client.undo()
			self.assertEqual((4, 0), (undone.seq, undone.restored_seq))
			self.assertEqual([], client.classes())

	def test_an_open_lesson_does_not_survive(self):
		daemon = self.daemon()
		client = daemon.client()
		lesson = client.lesson()
		lesson.add("disc", picture("disc", 1))
		lesson.settle()
		daemon.restart()
		with self.assertRaises((bnnd.ConnectionLost, OSError)):
			client.status()
		client.close()
		with daemon.client() as client:
			self.assertEqual((0, []), (client.status().seq, client.classes()))

	def test_idle_writes_nothing(self):
		daemon = self.daemon()
		with daemon.client() as client:
			list(client.infer_many(pictures("disc", 20)))
			client.learn("disc", pictures("disc", 3), dry_run=True)
		self.assertEqual([], glob.glob(os.path.join(daemon.state, "*")))

	def test_state_files_are_private(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc")
		self.assertEqual(0o700, os.stat(daemon.state).st_mode & 0o777)
		for path in glob.glob(os.path.join(daemon.state, "*")):
			self.assertEqual(0o600, os.stat(path).st_mode & 0o777, path)


class Degraded(DaemonTest):
	def check_degraded(self, daemon, pattern):
		"""Every answer unknown, lessons unavailable, and why."""
		with daemon.client() as client:
			status = client.status()
			self.assertEqual("degraded", status.state)
			self.check_sentence(" ".join(status.reasons), pattern)
			for kind in KINDS:
				answer = client.infer(picture(kind, 1))
				self.assertEqual((False, 0), (answer.known, len(answer.top)))
			self.refused(Code.UNAVAILABLE, pattern, client.learn, "disc", pictures("disc", 2))
			self.refused(Code.UNAVAILABLE, pattern, client.undo)
			self.assertEqual([], client.classes())
		code, out, _ = daemon.ctl("status")
		self.assertEqual(0, code)
		self.assertIn("degraded", out)
		code, checked, _ = daemon.ctl("status", "--check")
		self.assertEqual(7, code)
		self.assertIn("degraded", checked, "the reasons are for whoever the monitor calls")

	def taught(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc")
		daemon.stop()
		return daemon

	@qemu_subset
	def test_garbage_stays_untouched(self):
		daemon = self.taught()
		path = state_file(daemon)
		for rest in glob.glob(path + "-*"):
			os.unlink(rest)
		with open(path, "wb") as f:
			f.write(b"This is somebody's diary, not a database. " * 300)
		before = folder_bytes(daemon.state)
		daemon.start()
		self.check_degraded(daemon, os.path.basename(path))
		daemon.stop()
		self.assertEqual(before, folder_bytes(daemon.state))

	def test_a_foreign_database_stays_untouched(self):
		daemon = self.taught()
		path = state_file(daemon)
		os.unlink(path)
		with sqlite3.connect(path) as db:
			db.execute("create table recipes(name text)")
			db.execute("insert into recipes values('soup')")
		db.close()
		before = folder_bytes(daemon.state)
		daemon.start()
		self.check_degraded(daemon, "not|another|application")
		daemon.stop()
		self.assertEqual(before, folder_bytes(daemon.state))

	def test_a_newer_schema_stays_untouched(self):
		daemon = self.taught()
		path = state_file(daemon)
		db = sqlite3.connect(path)
		(version,) = db.execute("pragma user_version").fetchone()
		db.execute(f"pragma user_version={version + 1}")
		db.commit()
		db.close()
		before = folder_bytes(daemon.state)
		daemon.start()
		self.check_degraded(daemon, "newer")
		daemon.stop()
		self.assertEqual(before, folder_bytes(daemon.state))

	@unittest.skipIf(WRAPPER, "file locks of two processes, seen natively")
	def test_a_locked_file_names_its_owner(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc")
		second = self.daemon(state=daemon.state)
		self.check_degraded(second, str(daemon.process.pid))
		with daemon.client() as client:
			self.assertEqual("ready", client.status().state)
			self.teach(client, "ring")

	def test_other_widths_are_a_start_up_error(self):
		daemon = self.taught()
		daemon.config = "learner:\n  width: 8/32\n"
		with self.assertRaises(DidNotStart) as caught:
			daemon.start()
		self.assertEqual(78, caught.exception.returncode)
		self.assertRegex(caught.exception.text, "8/16")
		self.assertRegex(caught.exception.text, "8/32")
		self.assertRegex(caught.exception.text, "use the bnnd that taught it, or choose another state.dir")
		daemon.process = None
		daemon.config = None
		daemon.start()

	def test_a_flipped_bit_drops_one_class(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
			client.learn("disc", pictures("disc", 3, 50))
		daemon.stop()
		db = sqlite3.connect(state_file(daemon))
		columns = [row[1] for row in db.execute("pragma table_info(item)")]
		self.assertIn("crc", columns)
		# The living row of the class taught second.
		rowid, data = db.execute("select rowid, data from item where kind = 1 and born = 2").fetchone()
		flipped = bytearray(data)
		flipped[len(flipped) // 2] ^= 4
		db.execute("update item set data = ? where rowid = ?", (bytes(flipped), rowid))
		db.commit()
		db.close()
		daemon.start()
		with daemon.client() as client:
			status = client.status()
			self.assertEqual("degraded", status.state)
			self.check_sentence(" ".join(status.reasons), "ring")
			self.assertEqual(b"disc", client.infer(picture("disc", 9)).top[0].label)
			self.assertNotEqual(b"ring", client.infer(picture("ring", 9)).top[0].label)
			self.teach(client, "ring", start=90)

	def check_state(self, directory):
		done = subprocess.run(
			WRAPPER + [BNND, "--check-state", directory], env=environment(), capture_output=True, text=True
		)
		return done.returncode, done.stdout, done.stderr

	def test_check_state_finds_it(self):
		daemon = self.taught()
		code, out, err = self.check_state(daemon.state)
		self.assertEqual((0, ""), (code, err), out)
		self.assertRegex(out, r": 1 class, 1 lesson; the newest change is 1 \(learn\), of 20\d\d-\d\d-\d\d ")
		db = sqlite3.connect(state_file(daemon))
		rowid, data = db.execute("select rowid, data from item where kind = 1").fetchone()
		db.execute("update item set data = ? where rowid = ?", (data[:-1] + bytes([data[-1] ^ 1]), rowid))
		db.commit()
		db.close()
		code, out, err = self.check_state(daemon.state)
		self.assertEqual(1, code)
		self.check_sentence(out.strip().split("\n")[0], ".")
		self.assertIn("is damaged", out)

	def test_check_state_of_nothing(self):
		code, out, err = self.check_state(self.folder())
		self.assertEqual(1, code, out)
		self.check_sentence(err.strip(), "there is no state in")

	def test_check_state_of_half_a_copy(self):
		daemon = self.taught()
		copy = self.folder()
		shutil.copy(state_file(daemon), copy)
		code, out, err = self.check_state(copy)
		self.assertEqual(1, code, out)
		self.assertIn("its -wal is missing", out)
		self.assertIn("behind change 1 ", out)


@unittest.skipUnless(os.path.exists(BNND_FAULTY), "bnnd-faulty is not built")
class Faults(DaemonTest):
	"""The same daemon on a disk that fails: a test-only layer under SQLite, told by a file what to do."""

	def faulty(self, **options):
		folder = self.folder()
		self.fault = os.path.join(folder, "fault")
		self.set_fault("")
		return self.make(folder, executable=BNND_FAULTY, env={"BNND_FAULT_FILE": self.fault}, **options)

	def set_fault(self, text):
		with open(self.fault + ".new", "w", encoding="utf-8") as f:
			f.write(text)
		os.replace(self.fault + ".new", self.fault)

	def test_a_full_disk_refuses_the_lesson_and_the_next_one_tries_again(self):
		daemon = self.faulty().start()
		with daemon.client() as client:
			self.teach(client, "disc")
			before = answers(client)
			self.set_fault("enospc")
			self.refused(Code.RESOURCE_EXHAUSTED, "full|space", client.learn, "ring", pictures("ring", 3))
			self.assertEqual(before, answers(client))
			self.assertEqual(1, client.status().seq)
			self.set_fault("")
			self.assertEqual(2, client.learn("ring", pictures("ring", 3)).seq)
			after = answers(client)
		daemon.restart()
		with daemon.client() as client:
			self.assertEqual(after, answers(client))

	def test_after_a_failed_sync_no_lessons_until_restart(self):
		daemon = self.faulty().start()
		with daemon.client() as client:
			self.teach(client, "disc")
			before = answers(client)
			self.set_fault("eio-sync")
			self.refused(Code.UNAVAILABLE, ".", client.learn, "ring", pictures("ring", 3))
			self.set_fault("")
			self.refused(Code.UNAVAILABLE, "restart", client.learn, "ring", pictures("ring", 3))
			status = client.status()
			self.assertEqual("degraded", status.state)
			self.check_sentence(" ".join(status.reasons), "restart")
			self.assertEqual(before, answers(client))
		daemon.restart()
		with daemon.client() as client:
			self.assertEqual("ready", client.status().state)
			self.assertIn(client.hello.seq, (1, 2), "never acknowledged: may be there or not, but whole")
			client.learn("cross", pictures("cross", 3))

	def test_a_read_only_directory_serves_what_was_learned(self):
		daemon = self.faulty().start()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
			before = answers(client)
		daemon.kill()  # what was acknowledged is still in the -wal
		files = folder_bytes(daemon.state)
		self.set_fault("readonly")
		daemon.start()
		with daemon.client() as client:
			self.assertEqual(before, answers(client))
			self.assertEqual(2, len(client.classes()))
			status = client.status()
			self.assertEqual("degraded", status.state)
			self.check_sentence(" ".join(status.reasons), "read-only|written")
			self.refused(Code.UNAVAILABLE, ".", client.learn, "cross", pictures("cross", 3))
		daemon.stop()
		self.assertEqual(files, folder_bytes(daemon.state))
		self.set_fault("")
		daemon.start()
		with daemon.client() as client:
			self.assertEqual(before, answers(client))


class Stop(DaemonTest):
	def test_sigterm_finishes_the_lesson_being_written(self):
		daemon = self.daemon(config="learner:\n  epochs: 100\n")
		key = os.urandom(16)
		with daemon.client() as client:
			lesson = client.lesson(key=key)
			for i in range(150):
				lesson.add("abc"[i % 3], picture(("disc", "ring", "dots")[i % 3], i, 32, 32))
			lesson.settle()
			result = {}

			def commit():
				try:
					result["changed"] = lesson.commit()
				except (bnnd.Error, bnnd.ConnectionLost, OSError) as e:
					result["error"] = e

			thread = threading.Thread(target=commit)
			thread.start()
			time.sleep(0.02)
			self.assertEqual(0, daemon.stop())
			thread.join()
			self.assertTrue(any("STOPPING=1" in n for n in daemon.read_notes()), daemon.notes)
		daemon.start()
		with daemon.client() as client:
			classes = {c.label: c.samples for c in client.classes()}
			if "changed" in result:
				self.assertEqual({b"a": 50, b"b": 50, b"c": 50}, classes)
			else:
				# Not acknowledged: whole or not at all, and the key tells.
				self.assertIn(classes, ({}, {b"a": 50, b"b": 50, b"c": 50}))

	def test_sighup_is_ignored(self):
		import signal

		daemon = self.daemon()
		daemon.process.send_signal(signal.SIGHUP)
		time.sleep(0.1 * SLOW)
		self.serves(daemon)


if __name__ == "__main__":
	main()
