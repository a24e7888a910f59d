#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""demo.py [DIR]: the story that scripts/demo tells, against a real daemon over its socket. Everything printed is measured
in this run."""

import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time

import bnnd
import demo_pictures as pictures
from demo_sheet import contact_sheet

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BNND_BUILD_DIR") or os.path.join(ROOT, "build-demo")

OWN, FOREIGN, SHEET = 100, 500, 20
START_S = 30


def say(title):
	print(f"\n\033[1m== {title}\033[0m" if sys.stdout.isatty() else f"\n== {title}", flush=True)


def median(values):
	return sorted(values)[len(values) // 2] if values else 0


def quantile(values, share):
	return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0


def percent(part, whole):
	return f"{100 * part / whole:.1f} %" if whole else "-"


def name(answer):
	return answer.label.decode() if answer.known else "unknown"


def best(answer):
	"""The class ranked first, answered or not."""
	return answer.top[0].label.decode() if answer.top else None


def key(answer):
	"""All of an answer but its times."""
	return (
		answer.known,
		answer.label,
		answer.reason,
		answer.unknown_score,
		tuple((s.label, s.none, s.score, s.cosine) for s in answer.top),
	)


class Daemon:
	"""The demo's own daemon: everything it has lies in one temporary folder."""

	def __init__(self):
		self.folder = tempfile.mkdtemp(prefix="bnnd-demo-")
		self.socket = os.path.join(self.folder, "sock")
		self.config = os.path.join(self.folder, "bnnd.yaml")
		with open(self.config, "w", encoding="utf-8") as f:
			f.write(
				"# made by scripts/demo\n"
				f"socket:\n  path: {self.socket}\n"
				f"state:\n  dir: {os.path.join(self.folder, 'state')}\n"
				f"model:\n  path: {os.path.join(ROOT, 'models', 'default.bnn')}\n"
			)
		self.process = None

	def start(self):
		"""Seconds until the daemon answered."""
		began = time.monotonic()
		with open(os.path.join(self.folder, "log"), "ab") as log:
			self.process = subprocess.Popen(
				[os.path.join(BUILD, "daemon", "bnnd"), "--config", self.config],
				stdout=log,
				stderr=log,
				stdin=subprocess.DEVNULL,
			)
		while time.monotonic() < began + START_S and self.process.poll() is None:
			try:
				bnnd.Client(self.socket).close()
				return time.monotonic() - began
			except (bnnd.ConnectionLost, bnnd.Error):
				time.sleep(0.002)
		with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as log:
			sys.exit("the daemon did not start:\n" + log.read())

	def end(self, how):
		if self.process and self.process.poll() is None:
			self.process.send_signal(how)
			self.process.wait()


def ask(client, shots):
	"""One after the other: (answers, seconds of each call)."""
	answers, times = [], []
	for shot in shots:
		p = shot.picture()
		began = time.monotonic()
		answers.append(client.infer(p))
		times.append(time.monotonic() - began)
	return answers, times


def teach(client, label, shots):
	"""One lesson with one class: its seconds."""
	began = time.monotonic()
	with client.lesson() as lesson:
		for shot in shots:
			lesson.add(label, shot.picture())
	for index, error in lesson.refused:
		print(f"  not taught: {shots[index].source}: {error.message}")
	return time.monotonic() - began


def one_class(client, taught, asked):
	"""Teaches one class alone: does it know its own, and leave the others alone?"""
	label = min(taught, key=lambda c: (-len(asked[c]), c))
	rng = random.Random(pictures.SEED)
	others = [shot for c in asked if c != label for shot in asked[c]]
	own, foreign = asked[label][:OWN], rng.sample(others, min(FOREIGN, len(others)))
	say(f"one class taught alone: {len(taught[label])} pictures of {label}")
	print(
		f"taught in {teach(client, label, taught[label]):.2f} s; then {len(own)} pictures of {label} and {len(foreign)} of other "
		"things, none seen before:"
	)
	print(f"{'':42}{'own refused':>16}{'others claimed':>20}")

	def row(title, refuse=None):
		"""Prints it; the labels of what was claimed."""
		refused = sum(not a.known for a in client.infer_many([s.picture() for s in own], refuse=refuse))
		answers = client.infer_many([s.picture() for s in foreign], refuse=refuse)
		claimed = [s.label for s, a in zip(foreign, answers, strict=True) if a.known]
		print(
			f"{title:42}{f'{refused} ({percent(refused, len(own))})':>16}"
			f"{f'{len(claimed)} ({percent(len(claimed), len(foreign))})':>20}"
		)
		return claimed

	claimed = row("as it comes")
	row("at the strictest (--refuse 0.2)", 0.2)
	if claimed:
		mistaken = max(set(claimed), key=lambda c: (claimed.count(c), c))
		teach(client, None, taught[mistaken])
		row(f"after {len(taught[mistaken])} of {mistaken[:14]} as --none")
	client.rollback(0)
	print("rolled back: nothing is taught again")


def all_classes(client, taught, asked):
	"""One lesson a class; returns the asked shots with their answers."""
	say(f"{len(taught)} classes, one lesson each")
	lessons = [teach(client, label, shots) for label, shots in taught.items()]
	shots = [shot for label in asked for shot in asked[label]]
	began = time.monotonic()
	answers, times = ask(client, shots)
	seconds = time.monotonic() - began
	width = max(14, *(min(len(label), 40) for label in taught))
	print(f"{'class':{width}}  taught  asked  right  refused  most often taken for")
	for label in taught:
		mine = [a for s, a in zip(shots, answers, strict=True) if s.label == label]
		right = sum(best(a) == label for a in mine)
		refused = sum(not a.known for a in mine)
		wrong = [best(a) for a in mine if best(a) != label]
		often = max(set(wrong), key=wrong.count) if wrong else ""
		print(
			f"{label[:40]:{width}}  {len(taught[label]):6d}  {len(mine):5d}  {right:5d}  {refused:7d}  "
			+ (f"{often} ({wrong.count(often)})" if often else "-")
		)
	right = sum(best(a) == s.label for s, a in zip(shots, answers, strict=True))
	refused = sum(not a.known for a in answers)
	answered_right = sum(a.known and best(a) == s.label for s, a in zip(shots, answers, strict=True))
	print(f"{'all':{width}}  {sum(map(len, taught.values())):6d}  {len(shots):5d}  {right:5d}  {refused:7d}")
	print(f"\naccuracy (best class right)        {percent(right, len(shots))}")
	print(f"accuracy of what was answered      {percent(answered_right, len(shots) - refused)}")
	us = [a.us for a in answers]
	print(f"a lesson                           {1000 * median(lessons):.0f} ms (median)")
	print(
		f"a question over the socket         {1000 * median(times):.2f} ms median, {1000 * quantile(times, 0.99):.2f} ms p99"
	)
	print(
		f"  of it picture / network / head   {median([u.image for u in us]) / 1000:.2f} / "
		f"{median([u.backbone for u in us]) / 1000:.2f} / {median([u.head for u in us]) / 1000:.3f} ms"
	)
	print(f"  {len(shots)} questions in             {seconds:.1f} s")
	return shots, answers


def sheet(daemon, shots, answers):
	"""Twenty pictures with their answers; returns their files."""
	rng = random.Random(pictures.SEED)
	chosen = sorted(rng.sample(range(len(shots)), min(SHEET, len(shots))))
	path = os.path.join(daemon.folder, "answers.png")
	contact_sheet(path, [(shots[i].image(), name(answers[i]), answers[i], shots[i].label) for i in chosen])
	folder = os.path.join(daemon.folder, "pictures")
	os.mkdir(folder)
	files = [
		shots[i].save(os.path.join(folder, f"{n + 1:02d}-{shots[i].label.replace(' ', '-').replace('/', '-')}.png"))
		for n, i in enumerate(chosen)
	]
	say("twenty answers to look at" if len(chosen) == SHEET else f"{len(chosen)} answers to look at")
	print(path)
	return files


def kill_and_ask_again(daemon, shots, answers):
	say("kill -9, start again, ask the same")
	daemon.end(signal.SIGKILL)
	seconds = daemon.start()
	with bnnd.Client(daemon.socket) as client:
		again = list(client.infer_many([shot.picture() for shot in shots]))
		same = sum(key(a) == key(b) for a, b in zip(answers, again, strict=True))
		print(
			f"back after {1000 * seconds:.0f} ms with {len(client.classes())} classes; {same} of {len(shots)} answers are the same "
			"to the last bit"
		)
	if same != len(shots):
		sys.exit("the answers differ: this must not happen")


def next_steps(daemon, files):
	say("try next")
	here = os.getcwd()

	def program(path):
		relative = os.path.relpath(path, here)
		return shlex.quote(path if relative.startswith("..") else relative)

	ctl = f"{program(os.path.join(BUILD, 'client', 'bnnctl'))} --socket {daemon.socket}"
	own = os.path.join(daemon.folder, "pictures") + "/*.png"
	several = own if files[0].startswith(daemon.folder) else " ".join(map(shlex.quote, files[:3]))
	print(f"  {program(os.path.join(BUILD, 'daemon', 'bnnd'))} --config {daemon.config} &")
	print(f"  {ctl} infer {several}")
	print(f"  {ctl} history")


def main(arguments):
	try:
		title, taught, asked = pictures.folders(arguments[0]) if arguments else pictures.fashion()
	except pictures.NoPictures as e:
		sys.exit(str(e))
	daemon = Daemon()
	try:
		seconds = daemon.start()
		with bnnd.Client(daemon.socket) as client:
			status = client.status()
			say("a daemon of its own")
			print(f"bnnd {status.version} in {daemon.folder}, ready after {1000 * seconds:.0f} ms")
			print(
				f"model {status.model.name}, kernels {status.kernels}, {status.infer_threads} "
				f"thread{'s' if status.infer_threads != 1 else ''}; pictures: {title}"
			)
			first = next(iter(taught.values()))[0]
			print(f"nothing is taught, so the first picture ({first.label}) is: {name(client.infer(first.picture()))}")
			one_class(client, taught, asked)
			shots, answers = all_classes(client, taught, asked)
		files = sheet(daemon, shots, answers)
		kill_and_ask_again(daemon, shots, answers)
		next_steps(daemon, files)
	finally:
		daemon.end(signal.SIGTERM)
	return 0


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
