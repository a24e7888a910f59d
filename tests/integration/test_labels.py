# SPDX-License-Identifier: MIT
"""Names of classes: what cannot be seen or looks like an answer is refused, two spellings are one class."""
import os

from daemon import DaemonTest, bnnd, encoded, main, pictures

Code = bnnd.Code
DONE, FAILED, USAGE = 0, 1, 2
NFC, NFD = "caf\u00e9", "cafe\u0301"
ZWNJ_WORD = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
REFUSED = ("(none)", "none", "unknown", "Unknown", "\u202etxet", "mug\u200b", "mu\u200dg", "a\u00a0b", "a\u3000b",
	"\u2066mug\u2069", "mug\U000e0041", "\ue000", "\u0378", "mug\ufe0f", "\u0301mug", "\ufeffmug")


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
		with c.lesson() as lesson: # and within one lesson
			for i, spelling in enumerate((ZWNJ_WORD, ZWNJ_WORD.replace("\u200c", ""), NFC, NFD)):
				lesson.add(spelling, pictures("ring", 1, i)[0])
		self.assertEqual([(ZWNJ_WORD.encode(), 2), (NFC.encode(), 2)],
			[(k.label, k.samples) for k in lesson.result.classes])
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


if __name__ == "__main__":
	main()
