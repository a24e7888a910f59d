# SPDX-License-Identifier: MIT
"""bnnctl as a new user meets it: every verb with right and wrong arguments, its words, its keys, its exit status."""

import json
import os
import re

from tests.integration.daemon import BNNCTL, WRAPPER, DaemonTest, bnnd, encoded, environment, main, pixels, qemu_subset

DONE, FAILED, USAGE, NO_DAEMON, NOT_ALLOWED, NOT_FOUND, BUSY = range(7)
VERBS = (
	"status",
	"learn",
	"infer",
	"test",
	"embed",
	"look",
	"classes",
	"history",
	"forget",
	"rename",
	"undo",
	"rollback",
)
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"


def write(path, data):
	os.makedirs(os.path.dirname(path), exist_ok=True)
	with open(path, "wb") as f:
		f.write(data)
	return path


class Ctl(DaemonTest):
	def setUp(self):
		self.d = self.daemon()
		self.dir = os.path.join(self.d.folder, "pictures")

	def files(self, kind, n, start=0, folder=None):
		return [
			write(
				os.path.join(self.dir, folder or kind, f"{kind}-{start + i}.jpg"), encoded(kind, start + i, quality=93)
			)
			for i in range(n)
		]

	def learn(self, kind, n=8):
		code, objects, err = self.d.ctl_json("learn", kind, *self.files(kind, n))
		self.assertEqual(DONE, code, err)
		return objects[0]


class Words(Ctl):
	@qemu_subset
	def test_first_run(self):
		code, out, _ = self.d.ctl("status")
		self.assertEqual(DONE, code)
		self.assertIn("ready", out)
		self.assertEqual(DONE, self.d.ctl("status", "--check")[0])
		code, out, err = self.d.ctl("infer", *self.files("disc", 1))
		self.assertEqual(DONE, code)
		self.assertIn("unknown", out)
		self.assertIn("nothing taught yet: bnnctl learn mug mug-*.jpg", out + err)
		code, out, err = self.d.ctl("classes")
		self.assertEqual(DONE, code)
		self.assertIn("nothing taught yet: bnnctl learn mug mug-*.jpg", out + err)
		code, out, err = self.d.ctl("history")
		self.assertEqual(DONE, code)
		self.assertTrue((out + err).strip())

	def test_no_daemon_says_the_whole_remedy(self):
		for path in (os.path.join(self.d.folder, "nobody"),):
			for verb in (["status"], ["infer", *self.files("disc", 1)], ["undo"]):
				code, out, err = self.d.ctl(*verb, socket_path=path)
				self.assertEqual(NO_DAEMON, code, out + err)
				self.assertIn(path, err)
				self.assertRegex(err, "systemctl start bnnd|bnnd --socket")
		# A socket that nobody serves any more.
		self.d.kill()
		code, _, err = self.d.ctl("status")
		self.assertEqual(NO_DAEMON, code)
		self.assertRegex(err, "systemctl|bnnd --socket")
		self.d.start()

	def test_not_allowed_says_the_whole_remedy(self):
		if os.geteuid() != 0:
			self.skipTest("needs root to become somebody else")
		import subprocess

		daemon = self.daemon(folder=self.folder(for_all=True))
		os.chmod(daemon.socket, 0o600)
		done = subprocess.run(
			WRAPPER + [self.copy_for_all(BNNCTL), "--socket", daemon.socket, "status"],
			env=environment(),
			cwd="/",
			user=65534,
			group=65534,
			extra_groups=[],
			capture_output=True,
			text=True,
		)
		self.assertEqual(NOT_ALLOWED, done.returncode, done.stderr)
		self.assertRegex(done.stderr, "group bnnd|usermod|adduser|gpasswd")

	def test_usage(self):
		for args in (
			[],
			["fly"],
			["learn"],
			["learn", "mug"],
			["infer"],
			["forget"],
			["rename", "a"],
			["rollback"],
			["rollback", "x"],
			["rollback", "-1"],
			["status", "surplus"],
			["infer", "--nonsense", "x"],
			["learn", "--dir"],
			["look", "x"],
			["infer", "--raw", "0x0x3", "x"],
			["infer", "--raw", "axb", "x"],
			["infer", "--roi", "0,0,2,2", "x"],
			["infer", "--roi", "1,2", "x"],
			["infer", "--rotate", "45", "x"],
			["infer", "--refuse", "0.3", "x"],
			["learn", "--key", "zz", "mug", "x"],
			["undo", "--if-seq", "x"],
			["learn", "--dir", "x", "--none"],
		):
			code, out, err = self.d.ctl(*args)
			self.assertEqual(USAGE, code, f"{args}: {out}{err}")
			self.assertTrue(err.strip(), args)
		code, out, _ = self.d.ctl("--help")
		self.assertEqual(DONE, code)
		for verb in VERBS:
			self.assertRegex(out, rf"\b{verb}\b")
		for verb in VERBS:
			code, out, err = self.d.ctl(verb, "--help")
			self.assertEqual(DONE, code, verb + err)
			self.assertIn(verb, out)
		code, out, _ = self.d.ctl("--version")
		self.assertEqual(DONE, code)
		self.assertRegex(out, r"\d+\.\d+")

	def test_a_mistyped_verb_is_guessed(self):
		code, _, err = self.d.ctl("lern", "mug", "x.jpg")
		self.assertEqual(USAGE, code)
		self.assertIn("learn", err)

	def test_the_environment_names_the_socket(self):
		import subprocess

		done = subprocess.run(
			WRAPPER + [BNNCTL, "--json", "status"],
			env=environment(BNND_SOCKET=self.d.socket),
			capture_output=True,
			text=True,
		)
		self.assertEqual(DONE, done.returncode, done.stderr)
		self.assertEqual("ready", json.loads(done.stdout)["state"])

	def test_busy(self):
		with self.d.client() as other:
			lesson = other.lesson(key=bytes(16))
			code, _, err = self.d.ctl("--timeout", "1", "learn", "--key", "0" * 32, "mug", *self.files("disc", 2))
			self.assertEqual(BUSY, code, err)
			self.assertTrue(err.strip())
			lesson.abort()


class Verbs(Ctl):
	def test_status(self):
		code, (status,), _ = self.d.ctl_json("status")
		self.assertEqual(DONE, code)
		self.assertLessEqual(
			{"state", "reasons", "version", "model", "kernels", "classes", "seq", "uptime_s"}, set(status)
		)
		self.assertLessEqual({"id", "name", "features", "input"}, set(status["model"]))
		self.assertEqual(("ready", [], 0, 0), (status["state"], status["reasons"], status["classes"], status["seq"]))

	@qemu_subset
	def test_learn_and_infer(self):
		result = self.learn("disc")
		self.assertLessEqual({"seq", "classes", "skipped", "already_known", "us"}, set(result))
		self.assertEqual((1, 0, 0), (result["seq"], result["skipped"], result["already_known"]))
		self.assertEqual(
			[{"label": "disc", "samples": 8, "new": True}],
			[{k: c[k] for k in ("label", "samples", "new")} for c in result["classes"]],
		)
		own, foreign = self.files("disc", 2, 50), self.files("waves", 1)
		code, objects, _ = self.d.ctl_json("infer", *own, *foreign)
		self.assertEqual(DONE, code)
		self.assertEqual(own + foreign, [o["source"] for o in objects])
		for o in objects:
			self.assertLessEqual(
				{
					"source",
					"time",
					"known",
					"label",
					"reason",
					"score",
					"unknown_score",
					"margin",
					"top",
					"model",
					"seq",
					"us",
				},
				set(o),
			)
			self.assertLessEqual({"queue", "image", "backbone", "head", "total"}, set(o["us"]))
			self.assertRegex(o["time"], TIME)
			self.assertEqual(o["score"], o["top"][0]["score"])
			self.assertEqual("disc", o["top"][0]["label"])
			self.assertEqual(1, o["seq"])
		self.assertTrue(objects[0]["known"])
		self.assertEqual("disc", objects[0]["label"])
		if not objects[2]["known"]:
			self.assertEqual((None, "unknown"), (objects[2]["label"], objects[2]["reason"]))
		code, out, _ = self.d.ctl("infer", *own)
		self.assertEqual(DONE, code)
		self.assertEqual(2, len([line for line in out.splitlines() if "disc" in line and ".jpg" in line]), out)

	def test_a_bad_file_among_good_ones(self):
		files = self.files("disc", 3)
		bad = write(os.path.join(self.dir, "bad.jpg"), b"\xff\xd8\xff\xe0 not really")
		missing = os.path.join(self.dir, "missing.jpg")
		code, objects, _ = self.d.ctl_json("infer", files[0], bad, missing, files[1])
		self.assertEqual(FAILED, code)
		self.assertEqual([files[0], bad, missing, files[1]], [o["source"] for o in objects])
		self.assertEqual([False, True, True, False], ["error" in o for o in objects])
		for o in objects[1:3]:
			self.assertEqual({"source", "error"}, set(o))
		code, out, err = self.d.ctl("infer", files[0], bad, files[1])
		self.assertEqual(FAILED, code)
		self.assertIn("bad.jpg", out + err)
		code, objects, err = self.d.ctl_json("learn", "disc", files[0], bad, files[1])
		self.assertEqual(FAILED, code)
		self.assertEqual(2, objects[-1]["classes"][0]["samples"])
		self.assertEqual(1, objects[-1]["skipped"])

	def test_learn_again_is_skipped(self):
		files = self.files("disc", 6)
		self.learn("disc", 6)
		code, (result,), _ = self.d.ctl_json("learn", "disc", *files)
		self.assertEqual((DONE, 1, 6, []), (code, result["seq"], result["already_known"], result["classes"]))

	def test_few_pictures_get_a_hint(self):
		result = self.learn("disc", 1)
		self.assertGreater(len(result["hint"].split()), 3)

	def test_learn_dir(self):
		for kind in ("ring", "disc", "cross"):
			self.files(kind, 5)
		write(os.path.join(self.dir, "disc", "notes.txt"), b"not a picture")
		write(os.path.join(self.dir, "disc", ".hidden.jpg"), b"not a picture either")
		code, objects, err = self.d.ctl_json("learn", "--dir", self.dir)
		lessons = [o for o in objects if "seq" in o]
		self.assertEqual(["cross", "disc", "ring"], [o["classes"][0]["label"] for o in lessons], err)
		self.assertEqual([1, 2, 3], [o["seq"] for o in lessons])
		code, objects, err = self.d.ctl_json("learn", "--dir", self.dir)
		self.assertEqual([5, 5, 5], [o["already_known"] for o in objects if "seq" in o])
		code, (status,), _ = self.d.ctl_json("status")
		self.assertEqual(3, status["seq"])

	def test_learn_dir_together(self):
		for kind in ("ring", "disc", "cross"):
			self.files(kind, 5)
		code, objects, err = self.d.ctl_json("learn", "--dir", self.dir, "--together")
		self.assertEqual(DONE, code, err)
		(result,) = objects
		self.assertEqual({"ring", "disc", "cross"}, {c["label"] for c in result["classes"]})
		self.assertEqual(1, result["seq"])

	def test_learn_none_and_dry_run(self):
		code, (result,), _ = self.d.ctl_json("learn", "--dry-run", "disc", *self.files("disc", 5))
		self.assertEqual(DONE, code)
		self.assertEqual(0, self.d.ctl_json("status")[1][0]["seq"])
		self.learn("disc")
		code, _, err = self.d.ctl("learn", "--none", *self.files("dots", 8))
		self.assertEqual(DONE, code, err)
		code, (answer,), _ = self.d.ctl_json("infer", self.files("dots", 1)[0])
		self.assertEqual((False, None, "none"), (answer["known"], answer["label"], answer["reason"]))
		code, out, _ = self.d.ctl("forget", "--none")
		self.assertEqual(DONE, code)

	def test_key(self):
		files = self.files("disc", 4)
		key = "00112233445566778899aabbccddeeff"
		first = self.d.ctl_json("learn", "--key", key, "disc", *files)
		again = self.d.ctl_json("learn", "--key", key, "disc", *files)
		self.assertEqual((DONE, DONE), (first[0], again[0]), first[2] + again[2])
		self.assertEqual(first[1][0]["seq"], again[1][0]["seq"])
		self.assertEqual(1, self.d.ctl_json("status")[1][0]["seq"])

	def test_fail_unknown(self):
		(file,) = self.files("disc", 1)
		self.assertEqual(DONE, self.d.ctl("infer", file)[0])
		self.assertEqual(NOT_FOUND, self.d.ctl("infer", "--fail-unknown", file)[0])
		self.learn("disc")
		self.assertEqual(DONE, self.d.ctl("infer", "--fail-unknown", file)[0])

	def test_raw_roi_rotate_and_refuse(self):
		self.learn("disc")
		raw = write(os.path.join(self.dir, "disc.rgb"), pixels("disc", 30, 80, 60).tobytes())
		grey = write(os.path.join(self.dir, "disc.grey"), pixels("disc", 30, 80, 60)[:, :, 0].tobytes())
		code, (answer,), err = self.d.ctl_json("infer", "--raw", "80x60x3", raw)
		self.assertEqual((DONE, "disc"), (code, answer["top"][0]["label"]), err)
		self.assertEqual(DONE, self.d.ctl("infer", "--raw", "80x60x1", grey)[0])
		code, _, err = self.d.ctl("infer", "--raw", "81x60x3", raw)
		self.assertEqual(FAILED, code)
		self.assertIn(str(81 * 60 * 3), err)
		file = self.files("disc", 1)[0]
		code, a, err = self.d.ctl_json("infer", "--roi", "0.25,0.25,0.5,0.5", "--rotate", "90", "--refuse", "0.2", file)
		self.assertEqual(DONE, code, err)
		self.assertNotEqual(a[0]["top"][0]["score"], self.d.ctl_json("infer", file)[1][0]["top"][0]["score"])

	def test_test(self):
		for kind in ("disc", "cross"):
			self.learn(kind)
			self.files(kind, 6, 100, "asked/" + kind)
		self.files("dots", 3, 0, "asked/dots")
		code, objects, err = self.d.ctl_json("test", os.path.join(self.dir, "asked"))
		self.assertEqual(DONE, code, err)
		total = objects[-1]
		self.assertLessEqual(
			{"images", "correct", "refused", "accuracy", "accuracy_answered", "per_class", "us_median"}, set(total)
		)
		# The folder of a class that was never taught is foreign: counted apart.
		self.assertEqual((12, 3), (total["images"], total["foreign"]))
		self.assertGreaterEqual(total["correct"], 10)
		self.assertAlmostEqual(total["accuracy"], total["correct"] / 12, places=6)
		code, out, _ = self.d.ctl("test", os.path.join(self.dir, "asked"))
		self.assertEqual(DONE, code)
		self.assertIn("cross", out)
		self.assertNotEqual(DONE, self.d.ctl("test", os.path.join(self.dir, "nowhere"))[0])

	def test_embed_and_look(self):
		(file,) = self.files("ring", 1)
		code, (embedding,), _ = self.d.ctl_json("embed", file)
		self.assertEqual((DONE, file), (code, embedding["source"]))
		with self.d.client() as client:
			features = client.embed(bnnd.Picture.file(file)).features
		self.assertEqual([b - 256 if b > 127 else b for b in features], embedding["features"])
		out = os.path.join(self.dir, "seen.png")
		code, _, err = self.d.ctl("look", file, "-o", out)
		self.assertEqual(DONE, code, err)
		with open(out, "rb") as f:
			self.assertEqual(b"\x89PNG", f.read(4))

	@qemu_subset
	def test_the_learned_state(self):
		for kind in ("disc", "ring", "cross"):
			self.learn(kind, 5)
		code, classes, _ = self.d.ctl_json("classes")
		self.assertEqual((DONE, ["cross", "disc", "ring"]), (code, [c["label"] for c in classes]))
		self.assertEqual({5}, {c["samples"] for c in classes})
		code, detail, _ = self.d.ctl_json("classes", "disc")
		self.assertEqual((DONE, "disc"), (code, detail[0]["label"]))
		self.assertEqual(NOT_FOUND, self.d.ctl("classes", "nobody")[0])
		code, history, _ = self.d.ctl_json("history")
		self.assertEqual(
			(DONE, [3, 2, 1], ["learn"] * 3), (code, [h["seq"] for h in history], [h["op"] for h in history])
		)
		for h in history:
			self.assertRegex(h["time"], TIME)
		code, out, _ = self.d.ctl("rename", "disc", "red disc")
		self.assertEqual(DONE, code)
		self.assertEqual(NOT_FOUND, self.d.ctl("rename", "disc", "x")[0])
		self.assertEqual(FAILED, self.d.ctl("rename", "ring", "cross")[0])
		code, out, _ = self.d.ctl("forget", "ring")
		self.assertEqual(DONE, code)
		self.assertEqual(NOT_FOUND, self.d.ctl("forget", "ring")[0])
		code, out, _ = self.d.ctl("undo")
		self.assertEqual(DONE, code)
		self.assertRegex(out, "ring")
		code, (undone,), _ = self.d.ctl_json("undo")
		self.assertEqual(7, undone["seq"])
		self.assertEqual(["cross", "disc", "ring"], [c["label"] for c in self.d.ctl_json("classes")[1]])
		self.assertEqual(FAILED, self.d.ctl("undo", "--if-seq", "1")[0])
		code, _, _ = self.d.ctl("rollback", "--if-seq", "7", "1")
		self.assertEqual(DONE, code)
		self.assertEqual(["disc"], [c["label"] for c in self.d.ctl_json("classes")[1]])
		self.assertEqual(NOT_FOUND, self.d.ctl("rollback", "999")[0])
		for verb in (["classes"], ["classes", "disc"], ["history"], ["status"]):
			code, out, _ = self.d.ctl(*verb)
			self.assertEqual(DONE, code)
			self.assertRegex(out, r"disc|ready")

	def test_names_that_are_not_nice(self):
		(file,) = self.files("disc", 1)
		for label in ("", " mug", "mug ", "m\nug", "x" * 129, b"\xff\xfe"):
			code, out, err = self.d.ctl("learn", label, file)
			self.assertIn(code, (FAILED, USAGE), repr(label))
			self.assertNotIn("\n\n", err)
		self.assertEqual([], self.d.ctl_json("classes")[1])
		for label in ("M\u00fcsli \U0001f600", "-x", 'a"b\\c', "<b>", "%s%n"):
			code, out, err = self.d.ctl("learn", "--", label, file)
			self.assertEqual(DONE, code, label + err)
			self.assertEqual(label, self.d.ctl_json("classes")[1][0]["label"])
			self.assertEqual(DONE, self.d.ctl("undo")[0])

	def test_a_hostile_file_name_does_not_reach_the_terminal(self):
		path = write(os.path.join(self.dir, "a\x1b[31mred\n.jpg"), encoded("disc", 1))
		code, out, err = self.d.ctl("infer", path)
		self.assertEqual(DONE, code)
		self.assertNotIn("\x1b", out + err)
		code, (answer,), _ = self.d.ctl_json("infer", path)
		self.assertEqual(path, answer["source"])

	def test_formats_are_refused_with_their_command(self):
		heic = write(os.path.join(self.dir, "a.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)
		code, _, err = self.d.ctl("infer", heic)
		self.assertEqual(FAILED, code)
		self.assertIn("HEIC", err)
		self.assertRegex(err, r"heif-convert|convert|magick|ffmpeg")
		huge = write(os.path.join(self.dir, "huge.jpg"), encoded("disc", 1) + bytes(9 << 20))
		code, _, err = self.d.ctl("infer", huge)
		self.assertEqual(FAILED, code)
		self.assertRegex(err, r"djpeg|convert|magick|jpegtran|ffmpeg")

	def test_no_control_characters_without_a_terminal(self):
		code, out, err = self.d.ctl("learn", "disc", *self.files("disc", 40))
		self.assertEqual(DONE, code)
		self.assertIsNone(re.search(r"[\x00-\x08\x0b-\x1f]", out + err), "no progress bar, no colours")

	def test_a_closed_pipe(self):
		import subprocess

		p = subprocess.Popen(
			WRAPPER + [BNNCTL, "--socket", self.d.socket, "infer", *self.files("disc", 30)],
			stdout=subprocess.PIPE,
			stderr=subprocess.PIPE,
			env=environment(),
		)
		p.stdout.close()
		_, err = p.communicate(timeout=60)
		self.assertLess(len(err.splitlines()), 5, err)
		self.serves(self.d)

	def test_a_folder_or_a_device_in_place_of_a_file(self):
		os.makedirs(self.dir, exist_ok=True)
		for path in (self.dir, "/dev/null", "/proc/self/mem"):
			code, _, err = self.d.ctl("infer", path, timeout=10)
			self.assertEqual(FAILED, code)
			self.assertIn(path, err)

	def test_a_picture_through_a_pipe(self):
		"""`bnnctl infer <(camera)` works."""
		import threading

		self.learn("disc")
		fifo = os.path.join(self.dir, "fifo")
		os.mkfifo(fifo)
		writer = threading.Thread(target=write, args=(fifo, encoded("disc", 40, width=800, height=600, quality=95)))
		writer.start()
		code, (answer,), err = self.d.ctl_json("infer", fifo)
		writer.join()
		self.assertEqual((DONE, "disc"), (code, answer["top"][0]["label"]), err)


if __name__ == "__main__":
	main()
