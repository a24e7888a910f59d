# SPDX-License-Identifier: MIT
"""Lessons as conversations: several classes, none, dry run, abort, idle, keys, counts; and what undoes them."""

import os
import time

from tests.integration.daemon import SLOW, DaemonTest, answer_key, bnnd, main, picture, pictures, qemu_subset

Code = bnnd.Code


class Lessons(DaemonTest):
	@qemu_subset
	def test_several_classes_in_one_lesson(self):
		daemon = self.daemon()
		with daemon.client() as client:
			with client.lesson() as lesson:
				for i in range(6):
					for kind in ("disc", "cross", "checks"):
						lesson.add(kind, picture(kind, i))
			self.assertEqual(
				{b"disc": 6, b"cross": 6, b"checks": 6}, {c.label: c.samples for c in lesson.result.classes}
			)
			self.assertEqual(1, len(client.history()))
			for kind in ("disc", "cross", "checks"):
				self.assertEqual(kind.encode(), client.infer(picture(kind, 77)).top[0].label)

	def test_none_is_answered_as_none(self):
		daemon = self.daemon()
		with daemon.client() as client:
			with client.lesson() as lesson:
				for p in pictures("dots", 10):
					lesson.add(None, p)
			self.assertTrue(lesson.result.classes[0].none)
			self.teach(client, "disc", n=10)
			answers = [client.infer(p) for p in pictures("dots", 10)]
			reasons = [a.reason for a in answers]
			self.assertGreaterEqual(reasons.count(bnnd.messages().REASON_NONE), 8)
			for answer in answers:
				if answer.reason == bnnd.messages().REASON_NONE:
					self.assertEqual((False, b"", True), (answer.known, answer.label, answer.top[0].none))
			status = client.status()
			self.assertEqual((1, 10), (status.classes, status.negatives))
			client.forget(none=True)
			self.assertEqual(0, client.status().negatives)
			self.refused(Code.NOT_FOUND, "negative|none", client.forget, none=True)

	def test_dry_run_changes_nothing(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc")
			before = answer_key(client.infer(picture("ring", 3)))
			key = os.urandom(16)
			changed = client.learn("ring", pictures("ring", 5), dry_run=True, key=key)
			self.assertEqual(0, changed.seq)
			self.assertEqual([(b"ring", 5, True)], [(c.label, c.samples, c.is_new) for c in changed.classes])
			self.assertEqual(before, answer_key(client.infer(picture("ring", 3))))
			self.assertEqual(1, client.status().seq)
			# The key is not remembered: it may still be used.
			changed = client.learn("ring", pictures("ring", 5), key=key)
			self.assertEqual((2, False), (changed.seq, changed.repeated))

	def test_learn_says_when_nothing_was_left(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.refused(
				Code.INVALID_ARGUMENT, "neither JPEG nor PNG", client.learn, "disc", [bnnd.Picture(b"x" * 99)] * 2
			)
			self.refused(Code.INVALID_ARGUMENT, "U\\+202E", client.learn, "a\u202eb", pictures("disc", 2))
			self.assertEqual(0, client.status().seq)
			changed = client.learn("disc", [bnnd.Picture(b"x" * 99)] + pictures("disc", 3))
			self.assertEqual([3], [c.samples for c in changed.classes])
			self.assertEqual(3, client.learn("disc", [bnnd.Picture(b"x" * 99)] + pictures("disc", 3)).already_known)

	def test_abort_and_disconnect_leave_nothing(self):
		daemon = self.daemon()
		with daemon.client() as client:
			lesson = client.lesson()
			lesson.add("disc", picture("disc", 1))
			lesson.abort()
			self.refused(Code.NOT_FOUND, "lesson", lesson.commit)
			other = daemon.client()
			left = other.lesson()
			left.add("disc", picture("disc", 1))
			left.settle()
			other.close()
			self.assertEqual([], client.classes())
			# The connection may open another one.
			self.assertEqual(1, self.teach(client, "disc").seq)

	def test_an_idle_lesson_is_dropped(self):
		daemon = self.daemon(config="lesson:\n  idle_s: 1\n")
		with daemon.client() as client:
			self.assertEqual(1000, client.hello.limits.lesson_idle_ms)
			lesson = client.lesson()
			lesson.add("disc", picture("disc", 1))
			lesson.settle()
			time.sleep(1.6 * max(1, SLOW / 2))
			self.refused(Code.NOT_FOUND, "lesson", lesson.commit)
			self.assertEqual(0, client.status().classes)
			self.assertEqual(1, self.teach(client, "disc").seq)

	@qemu_subset
	def test_a_repeated_key_teaches_once(self):
		daemon = self.daemon()
		key = os.urandom(16)
		with daemon.client() as client:
			first = client.learn("disc", pictures("disc", 5), key=key)
			again = client.learn("disc", pictures("disc", 5), key=key)
			self.assertEqual((first.seq, True, False), (again.seq, again.repeated, again.undone))
			self.assertEqual(
				[(c.label, c.samples) for c in first.classes], [(c.label, c.samples) for c in again.classes]
			)
		daemon.restart()
		with daemon.client() as client:
			again = client.learn("disc", pictures("disc", 5), key=key)
			self.assertEqual((first.seq, True), (again.seq, again.repeated))
			client.undo()
			again = client.learn("disc", pictures("disc", 5), key=key)
			self.assertEqual((first.seq, True, True), (again.seq, again.repeated, again.undone))
			self.assertEqual(2, len(client.history()))

	def test_one_key_on_two_connections(self):
		daemon = self.daemon()
		key = os.urandom(16)
		with daemon.client() as one, daemon.client() as two:
			lesson = one.lesson(key=key)
			error = self.refused(Code.ABORTED, "key", two.lesson, key=key)
			self.assertGreater(error.retry_after_ms, 0)
			lesson.add("disc", picture("disc", 1))
			lesson.commit()
			again = two.lesson(key=key)
			self.assertEqual((lesson.result.seq, True), (again.result.seq, again.result.repeated))

	def test_commit_with_the_wrong_count(self):
		daemon = self.daemon()
		with daemon.client() as client:
			lesson = client.lesson()
			for p in pictures("disc", 3):
				lesson.add("disc", p)
			self.refused(Code.FAILED_PRECONDITION, "3", lesson.commit, added=2)
			self.assertEqual(0, client.status().seq)

	def test_an_empty_commit_changes_nothing(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc")
			with client.lesson() as lesson:
				pass
			self.assertEqual((1, 0), (lesson.result.seq, len(lesson.result.classes)))
			self.assertEqual(1, len(client.history()))

	def test_already_known_pictures_count_nothing(self):
		daemon = self.daemon()
		with daemon.client() as client:
			client.learn("disc", pictures("disc", 5))
			with client.lesson() as lesson:
				for p in pictures("disc", 7):
					lesson.add("disc", p)
			self.assertEqual((5, 2), (lesson.already_known, lesson.accepted))
			self.assertEqual((2, 5), (lesson.result.classes[0].samples, lesson.result.already_known))
			with client.lesson() as lesson:
				for p in pictures("disc", 7):
					lesson.add("disc", p)
			self.assertEqual(7, lesson.already_known)
			self.assertEqual((2, 0), (lesson.result.seq, len(lesson.result.classes)))
			self.assertEqual(7, client.class_detail("disc").summary.samples)
			# The same picture under another class, region or rotation is another one.
			with client.lesson() as lesson:
				lesson.add("other", picture("disc", 0))
				lesson.add("disc", picture("disc", 0, rotate=90))
				lesson.add("disc", picture("disc", 0, roi=(0, 0, 0.5, 0.5)))
			self.assertEqual((0, 3), (lesson.already_known, lesson.accepted))
			daemon.restart()
		with daemon.client() as client:
			with client.lesson() as lesson:
				lesson.add("disc", picture("disc", 3))
			self.assertEqual(1, lesson.already_known)

	def test_a_picture_twice_in_one_lesson_counts_once(self):
		daemon = self.daemon()
		with daemon.client() as client:
			with client.lesson() as lesson:
				for _ in range(3):
					lesson.add("disc", picture("disc", 1))
				lesson.add("disc", picture("disc", 2))
			self.assertEqual((2, 2), (lesson.accepted, lesson.already_known))
			self.assertEqual(2, lesson.result.classes[0].samples)

	def test_a_second_lesson_on_one_connection(self):
		daemon = self.daemon()
		with daemon.client() as client:
			lesson = client.lesson()
			self.refused(Code.FAILED_PRECONDITION, "lesson", client.lesson)
			lesson.add("disc", picture("disc", 1))
			lesson.commit()
			self.assertEqual(1, client.status().seq)
			client.lesson().abort()

	def test_too_many_lessons_of_one_user(self):
		daemon = self.daemon(config="lesson:\n  per_uid: 2\n")
		with daemon.client() as a, daemon.client() as b, daemon.client() as c:
			first, second = a.lesson(), b.lesson()
			error = self.refused(Code.RESOURCE_EXHAUSTED, "lesson", c.lesson)
			self.assertEqual(2, error.limit)
			first.abort()
			c.lesson().abort()
			second.abort()

	def test_limits_of_a_lesson(self):
		daemon = self.daemon(config="lesson:\n  max_pictures: 3\n  max_classes: 2\n")
		with daemon.client() as client:
			lesson = client.lesson(pipeline=False)
			lesson.add("a", picture("disc", 1))
			lesson.add("b", picture("disc", 2))
			lesson.add("c", picture("disc", 3))
			lesson.settle()
			((index, error),) = lesson.refused
			self.assertEqual((2, Code.RESOURCE_EXHAUSTED, 2), (index, error.code, error.limit))
			lesson.add("a", picture("disc", 4))
			lesson.add("a", picture("disc", 5))
			lesson.settle()
			self.assertEqual((Code.RESOURCE_EXHAUSTED, 3), (lesson.refused[-1][1].code, lesson.refused[-1][1].limit))
			self.assertEqual(3, sum(c.samples for c in lesson.commit().classes), "a refused add leaves the lesson open")

	def test_a_refused_picture_leaves_the_lesson_open(self):
		daemon = self.daemon()
		with daemon.client() as client:
			with client.lesson() as lesson:
				lesson.add("disc", picture("disc", 1))
				lesson.add("disc", bnnd.Picture(b"this is no picture at all"))
				lesson.add("disc", picture("disc", 2))
			((index, error),) = lesson.refused
			self.assertEqual((1, Code.INVALID_ARGUMENT), (index, error.code))
			self.assertEqual(2, lesson.result.classes[0].samples)


class Changes(DaemonTest):
	def answers(self, client):
		return [answer_key(client.infer(picture(kind, 900), top=10)) for kind in ("disc", "ring", "cross", "bars")]

	@qemu_subset
	def test_undo_walks_back_and_rollback_is_the_redo(self):
		daemon = self.daemon()
		with daemon.client() as client:
			states = [self.answers(client)]
			for kind in ("disc", "ring", "cross"):
				self.teach(client, kind)
				states.append(self.answers(client))
			undone = client.undo()
			self.assertEqual((4, "undo", 2), (undone.seq, undone.op, undone.restored_seq))
			self.assertEqual(("learn", 3, b"cross"), (undone.undid.op, undone.undid.seq, undone.undid.classes[0].label))
			self.assertEqual(states[2], self.answers(client))
			self.assertEqual(1, client.undo().restored_seq)
			self.assertEqual(states[1], self.answers(client))
			self.assertEqual(0, client.undo().restored_seq)
			self.assertEqual(states[0], self.answers(client))
			self.refused(Code.FAILED_PRECONDITION, "nothing", client.undo)
			again = client.rollback(3)
			self.assertEqual((7, "rollback", 3), (again.seq, again.op, again.restored_seq))
			self.assertEqual(states[3], self.answers(client))
			client.undo()
			self.assertEqual(states[0], self.answers(client))
			client.rollback(2)
			self.assertEqual(states[2], self.answers(client))
			self.refused(Code.NOT_FOUND, "100", client.rollback, 100)
			self.assertEqual(9, client.history()[0].seq)

	@qemu_subset
	def test_what_ranks_is_a_setting(self):
		"""By a metric of the kept pictures, by their means, by trained rows: each comes back with its very scores."""
		by_method = {}
		daemon = self.daemon()
		with daemon.client() as client:
			for kind in ("disc", "ring", "cross"):
				self.teach(client, kind)
			before = self.answers(client)
			self.teach(client, "bars", start=40)
			self.assertNotEqual(before, self.answers(client), "others are told apart otherwise, too")
			client.undo()
			self.assertEqual(before, self.answers(client))
			self.assertEqual(("metric", ""), (client.status().method, client.status().no_metric))
			for answer in client.infer_many(pictures("disc", 5, 200)):
				self.assertEqual(b"disc", answer.top[0].label)
				scores = [s.score for s in answer.top]
				self.assertEqual(sorted(scores, reverse=True), scores)
				self.assertAlmostEqual(1, answer.unknown_score + sum(scores))
				self.assertEqual(answer.known, scores[0] >= answer.unknown_score)
		_, out, _ = daemon.ctl("status")
		self.assertIn("ranks by metric", out)
		for method in ("metric", "means", "cwr", "metric"):
			self.assertEqual(0, daemon.stop())
			daemon.config = f"learner:\n  method: {method}\n"
			daemon.start()
			with daemon.client() as client:
				self.assertEqual((method, "ready"), (client.status().method, client.status().state))
				answers = self.answers(client)
				self.assertEqual(answers, by_method.setdefault(method, answers))
		self.assertEqual(before, by_method["metric"])
		self.assertEqual(3, len({str(answers) for answers in by_method.values()}))

	def test_without_kept_features_there_is_no_metric(self):
		for method, state in (("metric", "degraded"), ("cwr", "ready"), (None, "ready")):
			asked = f"  method: {method}\n" if method else ""
			daemon = self.daemon(config="learner:\n  keep: none\n" + asked)
			with daemon.client() as client:
				self.teach(client, "disc", "ring")
				status = client.status()
				self.assertEqual((state, "cwr"), (status.state, status.method))
				self.assertIn("learner.keep is none", status.no_metric)
				self.assertEqual(method == "metric", "ranked by cwr" in " ".join(status.reasons))
				self.assertEqual(b"disc", client.infer(picture("disc", 99)).top[0].label)

	def test_forget_and_its_undo(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
			before = self.answers(client)
			changed = client.forget("disc")
			self.assertEqual(("forget", b"disc", 3), (changed.op, changed.label, changed.seq))
			self.assertEqual([b"ring"], [c.label for c in client.classes()])
			self.assertNotEqual(b"disc", client.infer(picture("disc", 1)).top[0].label)
			self.refused(Code.NOT_FOUND, "class", client.forget, "disc")
			client.undo()
			self.assertEqual(before, self.answers(client))
			# A name that was forgotten may be taught anew; nothing of the old class comes back.
			client.forget("disc")
			self.teach(client, "disc", start=50)
			self.assertEqual(5, client.class_detail("disc").summary.samples)

	def test_rename(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
			before = client.infer(picture("disc", 9))
			changed = client.rename("disc", "red disc")
			self.assertEqual(("rename", b"disc", b"red disc"), (changed.op, changed.label, changed.new_label))
			after = client.infer(picture("disc", 9))
			self.assertEqual((b"red disc", before.top[0].score), (after.top[0].label, after.top[0].score))
			self.refused(Code.ALREADY_EXISTS, "class", client.rename, "red disc", "ring")
			self.refused(Code.NOT_FOUND, "class", client.rename, "disc", "x")
			client.undo()
			self.assertEqual([b"disc", b"ring"], [c.label for c in client.classes()])
			history = client.history()
			self.assertEqual(
				[("undo", False), ("rename", True), ("learn", False), ("learn", False)],
				[(h.op, h.undone) for h in history],
			)

	def test_if_seq_guards_every_change(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
			for call in (
				lambda: client.undo(if_seq=1),
				lambda: client.rollback(1, if_seq=1),
				lambda: client.forget("disc", if_seq=1),
				lambda: client.rename("disc", "x", if_seq=1),
				lambda: client.learn("disc", pictures("disc", 2, 40), if_seq=1),
			):
				self.refused(Code.ABORTED, "2", call)
			self.assertEqual(2, client.status().seq)
			self.assertEqual(3, client.learn("disc", pictures("disc", 2, 40), if_seq=2).seq)
			self.assertEqual(4, client.rename("disc", "x", if_seq=3).seq)
			self.assertEqual(5, client.forget("x", if_seq=4).seq)
			self.assertEqual(6, client.undo(if_seq=5).seq)
			self.assertEqual(7, client.rollback(1, if_seq=6).seq)

	def test_keys_of_other_changes(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc", "ring")
			for call in (
				lambda k: client.rename("disc", "x", key=k),
				lambda k: client.forget("ring", key=k),
				lambda k: client.undo(key=k),
				lambda k: client.rollback(2, key=k),
			):
				key = os.urandom(16)
				first, again = call(key), call(key)
				self.assertEqual((first.seq, first.op, True), (again.seq, again.op, again.repeated))
			self.assertEqual(6, client.status().seq)
			self.refused(Code.INVALID_ARGUMENT, "16", client.undo, key=b"short")

	def test_a_class_seen_again(self):
		daemon = self.daemon()
		with daemon.client() as client:
			self.teach(client, "disc")
			changed = client.learn("disc", pictures("disc", 4, 20))
			self.assertEqual((4, False), (changed.classes[0].samples, changed.classes[0].is_new))
			detail = client.class_detail("disc")
			self.assertEqual(
				(9, 2, [(2, 4), (1, 5)]),
				(
					detail.summary.samples,
					detail.summary.lessons,
					[(lesson.seq, lesson.samples) for lesson in detail.lessons],
				),
			)


if __name__ == "__main__":
	main()
