# SPDX-License-Identifier: MIT
"""Names of classes: what cannot be seen or looks like an answer is refused, two spellings are one class, folders that are
no class are no class; and what is said of a word or a picture that would otherwise be passed over in silence."""

import os

from tests.integration.daemon import DaemonTest, bnnd, encoded, main, pictures

Code = bnnd.Code
DONE, FAILED, USAGE = 0, 1, 2
NFC, NFD = "caf\u00e9", "cafe\u0301"
ZWNJ_WORD = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
REFUSED = (
	"(none)",
	"none",
	"unknown",
	"Unknown",
	"\u202etxet",
	"mug\u200b",
	"mu\u200dg",
	"a\u00a0b",
	"a\u3000b",
	"\u2066mug\u2069",
	"mug\U000e0041",
	"\ue000",
	"\u0378",
	"mug\ufe0f",
	"\u0301mug",
	"\ufeffmug",
)


class Labels(DaemonTest):
	def setUp(self):
		self.d = self.daemon()
		self.dir = os.path.join(self.d.folder, "pictures")

	def files(self, kind, n, start=0, folder=None):
		folder = os.path.join(self.dir, folder or kind)
		os.makedirs(folder, exist_ok=True)
		paths = [os.path.join(folder, f"{kind}-{start + i}.jpg") for i in range(n)]
		for i, path in enumerate(paths):
			with open(path, "wb") as f:
				f.write(encoded(kind, start + i))
		return paths

	def labels(self):
		return [c["label"] for c in self.d.ctl_json("classes")[1] if not c.get("none")]

	def test_what_no_class_can_be_called(self):
		c = self.d.client()
		c.learn("mug", pictures("disc", 2))
		for label in REFUSED:
			with self.subTest(label=ascii(label)):
				with c.lesson() as lesson:
					lesson.add(label, pictures("disc", 1)[0])
				self.check_error(lesson.refused[0][1], Code.INVALID_ARGUMENT, "label|called")
				self.refused(Code.INVALID_ARGUMENT, "label|called", c.learn, label, pictures("disc", 1))
				self.refused(Code.INVALID_ARGUMENT, "label|called", c.rename, "mug", label)
				code, out, err = self.d.ctl("learn", "--", label, *self.files("disc", 1))
				self.assertEqual(USAGE, code, err)
				if not label.isascii():
					self.assertNotIn(label, out + err)
		self.assertEqual(["mug"], self.labels())

	def test_two_spellings_are_one_class(self):
		c = self.d.client()
		self.assertEqual(1, c.learn(NFD, pictures("disc", 3)).seq)
		for spelling in (NFC, NFD):
			result = c.learn(spelling, pictures("disc", 3, 10 + len(spelling)))
			self.assertEqual((NFC.encode(), False), (result.classes[0].label, result.classes[0].is_new))
			self.assertEqual(NFC.encode(), c.class_detail(spelling).summary.label)
		self.assertEqual([NFC], self.labels())
		with c.lesson() as lesson:  # and within one lesson
			for i, spelling in enumerate((ZWNJ_WORD, ZWNJ_WORD.replace("\u200c", ""), NFC, NFD)):
				lesson.add(spelling, pictures("ring", 1, i)[0])
		self.assertEqual(
			[(ZWNJ_WORD.encode(), 2), (NFC.encode(), 2)], [(k.label, k.samples) for k in lesson.result.classes]
		)
		self.refused(Code.ALREADY_EXISTS, "already", c.rename, ZWNJ_WORD, NFD)
		c.forget(NFD)
		self.assertEqual([ZWNJ_WORD], self.labels())

	def test_what_is_seen_is_kept(self):
		c = self.d.client()
		for label in (ZWNJ_WORD, FAMILY, "\u2764\ufe0f", "1\ufe0f\u20e3", "\u65e5\u672c", "\u0915\u094d\u200d\u0937"):
			c.learn(label, pictures("disc", 2))
			self.assertEqual([label], self.labels())
			code, out, _ = self.d.ctl("classes")
			self.assertIn(label, out)
			self.assertEqual(label.encode(), c.forget(label).label)

	def test_learn_none_with_a_name(self):
		files = self.files("disc", 2)
		os.makedirs(os.path.join(self.d.folder, "cup"))
		for words in (
			["--none", "mug", *files],
			["--none", *files, "St. Bernard"],
			["--none", "cup", *files],
			["--none", "mug"],
			["mug", "--none", *files],
		):
			code, _, err = self.d.ctl("learn", *words)
			self.assertEqual(USAGE, code, err)
			self.assertRegex(err, r"without a name.*bnnctl learn '(mug|cup|St\. Bernard)' FILE")
		code, _, err = self.d.ctl("learn", "none", *files)
		self.assertEqual(USAGE, code)
		self.assertIn("bnnctl learn --none FILE", err)
		self.assertEqual(0, self.d.ctl_json("status")[1][0]["seq"])
		code, _, err = self.d.ctl("learn", "--none", *files, os.path.join(self.dir, "gone.jpg"))
		self.assertEqual(FAILED, code)  # a picture that is missing is reported, the others are taught
		self.assertEqual(2, self.d.ctl_json("status")[1][0]["negatives"])

	def test_folders_that_are_no_class(self):
		self.files("disc", 6, folder="train/disc")
		self.files("dots", 6, folder="train/None")
		self.files("dots", 6, 10, folder="train/background")
		for folder in ("@eaDir", "__MACOSX", ".thumbnails", "#recycle", "@eaDir/disc"):
			self.files("ring", 2, folder="train/" + folder)
		for name in ("Thumbs.db", ".DS_Store", "._disc-0.jpg", "Icon\r", "desktop.ini"):
			with open(os.path.join(self.dir, "train", "disc", name), "wb") as f:
				f.write(b"no picture")
		code, out, err = self.d.ctl("learn", "--dir", os.path.join(self.dir, "train"))
		self.assertEqual(DONE, code, err)
		self.assertRegex(err, r"train/None: taught as none")
		self.assertRegex(err, r"train/background: taught as none")
		self.assertIn("3 folders passed over", err)
		self.assertEqual(["disc"], self.labels())
		self.assertEqual(12, self.d.ctl_json("status")[1][0]["negatives"])
		code, (answer,), _ = self.d.ctl_json("infer", self.files("dots", 1, 30)[0])
		self.assertEqual("none", answer["reason"])

	def test_test_knows_those_folders(self):
		self.files("disc", 8, folder="train/" + NFD)
		self.files("dots", 8, folder="train/none")
		self.assertEqual(DONE, self.d.ctl("learn", "--dir", os.path.join(self.dir, "train"))[0])
		self.files("disc", 5, 50, folder="asked/" + NFD)
		self.files("dots", 5, 50, folder="asked/background")
		self.files("ring", 2, folder="asked/@eaDir")
		code, objects, err = self.d.ctl_json("test", "--confusion", os.path.join(self.dir, "asked"))
		self.assertEqual(DONE, code, err)
		total = objects[-1]
		self.assertEqual((10, 0), (total["images"], total["foreign"]))
		none, cafe = total["per_class"]
		self.assertEqual((None, True, True), (none["label"], none["none"], none["taught"]))
		self.assertEqual((NFC, True), (cafe["label"], cafe["taught"]))
		self.assertEqual(none["correct"], none["refused"])
		self.assertGreaterEqual(total["correct"], 8)
		self.assertEqual(DONE, self.d.ctl("forget", "--none")[0])
		total = self.d.ctl_json("test", os.path.join(self.dir, "asked"))[1][-1]
		self.assertEqual(5, total["foreign"])  # never taught: to be refused all the same
		code, out, _ = self.d.ctl("test", "--each", os.path.join(self.dir, "asked"))
		self.assertIn("(none)", out)

	def test_more_than_one_picture_on_standard_input(self):
		one, two = encoded("disc", 1), encoded("ring", 2)
		png = encoded("disc", 3, format="PNG")
		self.assertEqual(DONE, self.d.ctl("learn", "disc", *self.files("disc", 6))[0])
		self.assertEqual(DONE, self.d.ctl("learn", "ring", *self.files("ring", 6))[0])
		code, (alone,), err = self.d.ctl_json("infer", "-", stdin=one)
		self.assertEqual((DONE, ""), (code, err))
		for stream in (one + two, one + png, one + two * 2000):
			code, (answer,), err = self.d.ctl_json("infer", "-", stdin=stream)
			self.assertEqual(DONE, code, err)
			self.assertIn("the rest was not looked at", err)
			self.assertEqual(alone["top"], answer["top"])
		self.assertIn("the rest was not looked at", self.d.ctl("infer", "-", stdin=png + one)[2])
		self.assertIn("the rest was not looked at", self.d.ctl("learn", "disc", "-", stdin=one + two)[2])
		self.assertEqual("", self.d.ctl("infer", "-", stdin=one + b"\n")[2])


if __name__ == "__main__":
	main()
