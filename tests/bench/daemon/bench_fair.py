# SPDX-License-Identifier: MIT
"""What one user's flood costs another.

  BNND_BUILD_DIR=BUILD python3 -m tests.bench.daemon.bench_fair [--rounds N] [--phase S] [KIND...]

Needs root: it starts a daemon of its own and clients of two uids, which talk to that daemon's socket and nothing else.

One user asks about a raw picture every few milliseconds. Another floods by turns: a phase of nothing, a phase of flood, so
that both see the same machine. Prints machine, date and threads, then for each kind of flood the latencies of both phases
and what the aim allows:

  headers, status, classes, connections, renames, lessons    p99 at most twice idle
  pictures (like the other's)                                p99 at most idle + two pictures
  heaviest (the dearest of a few large pictures)             p99 at most idle + that picture
  connect-in-connections, lesson-in-renames                  each question on a new connection; a lesson instead

cpu-1 and cpu-2 are for comparison: as many processes that burn the processor and leave the daemon alone. What they do to
the other's latency is the scheduler's share, and no daemon can take it away: a flooder and the thread that answers it keep
two cores busy, however few of the requests are done.
"""

import argparse
import gc
import io
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time

from bnnd.wire import HEADER, Kind, encode_frame

from tests.bench.daemon.bench_daemon import line, machine, quantile
from tests.integration import daemon as d

m = d.bnnd.messages()
FLOODER, VICTIM = 61001, 61002  # nobody's uids
PAYLOAD_MAX = 8 << 20
CONNECTIONS = 8
WITHIN_SHARE = 4  # requests under way on each: together what one of two users may have
SETTLE_S = 0.15  # of a phase, while the other kind of phase dies away
GAP_S = 0.002
COUNT_MAX = 400000  # of a flood, all phases


def request(number, payload=b"", **op):
	return encode_frame(Kind.REQUEST, number, m.Request(**op).SerializeToString(), payload)


def hello():
	return encode_frame(Kind.HELLO, 0, m.Hello(major=1, software="bench").SerializeToString())


class Wire:
	"""A connection that counts whole frames and looks into as few as it can."""

	def __init__(self, path):
		self.sock = socket.socket(socket.AF_UNIX)
		self.sock.connect(path)
		self.bytes = b""
		self.ask(hello())

	def frames(self, data):
		"""(request id, body) of what data completes."""
		self.bytes += data
		at, done = 0, []
		while len(self.bytes) - at >= HEADER.size:
			body, payload, number, _, _ = HEADER.unpack_from(self.bytes, at)
			if len(self.bytes) - at < HEADER.size + body + payload:
				break
			done.append((number, self.bytes[at + HEADER.size : at + HEADER.size + body]))
			at += HEADER.size + body + payload
		self.bytes = self.bytes[at:]
		return done

	def ask(self, frame):
		"""Sends, and waits for one frame."""
		self.sock.sendall(frame)
		while True:
			data = self.sock.recv(1 << 18)
			if not data:
				raise ConnectionError("closed")
			if done := self.frames(data):
				return done[0][1]


# ---- who is measured -------------------------------------------------------------------------------------------------


def ask_pictures(path, schedule, tell):
	"""A picture every few milliseconds until the end of the schedule: [begin, seconds, refused, ms in the daemon before a
	thread had it] each, and what one picture takes."""
	gc.disable()
	frames = [
		request(7, p.payload, infer=m.Infer(picture=p.message()))
		for p in (d.picture(kind, 900 + i) for kind in sorted(d.SHAPES) for i in range(5))
	]
	rows, bodies, wire = [], [], Wire(path)
	while time.monotonic() < schedule.end:
		began = time.monotonic()
		body = wire.ask(frames[len(rows) % len(frames)])
		rows.append([began, time.monotonic() - began, 0])
		bodies.append(body)
		time.sleep(GAP_S)
	pictures = []
	for row, body in zip(rows, bodies, strict=True):
		reply = m.Reply.FromString(body)
		row[2] = reply.status.code
		row.append(reply.answer.us.queue / 1000)
		pictures.append(reply.answer.us.image + reply.answer.us.backbone + reply.answer.us.head)
	tell({"rows": rows, "picture_us": pictures})


def connect_and_ask(path, schedule, tell):
	"""A connection of its own for each picture, as a program that is started for each."""
	frame = request(7, (p := d.picture("disc", 900)).payload, infer=m.Infer(picture=p.message()))
	rows = []
	while time.monotonic() < schedule.end:
		began = time.monotonic()
		wire = Wire(path)
		body = wire.ask(frame)
		rows.append([began, time.monotonic() - began, m.Reply.FromString(body).status.code])
		wire.sock.close()
		time.sleep(GAP_S)
	tell({"rows": rows, "picture_us": [0]})


def teach_lessons(path, schedule, tell):
	"""A lesson of three pictures instead, each of another class and new."""
	rows, number = [], 0
	with d.bnnd.Client(path, timeout=60) as client:
		while time.monotonic() < schedule.end:
			lesson = []
			for i in range(3):
				image = d.pixels("disc", i)
				image[0, 0] = (number & 255, number >> 8, i)
				lesson.append(d.bnnd.Picture.array(image))
			number += 1
			began, refused = time.monotonic(), 0
			try:
				client.learn("polite", lesson)
			except d.bnnd.Error as e:
				refused = int(e.code)
			rows.append([began, time.monotonic() - began, refused])
			time.sleep(GAP_S)
	tell({"rows": rows, "picture_us": [0]})


# ---- floods: fn(path, until) -> how much of it was done ----------------------------------------------------------------


def pipelined(path, until, window, first, after, connections=CONNECTIONS):
	"""`window` requests under way on each connection: first(i) gives the frames to begin with, after(i, number, body) the
	frames that follow a reply."""
	done = 0
	with selectors.DefaultSelector() as chosen:
		wires = []
		for i in range(connections):
			wire = Wire(path)
			wire.sock.setblocking(False)
			wire.out = b"".join(first(i) for _ in range(window))
			wires.append(wire)
			chosen.register(wire.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, (i, wire))
		while time.monotonic() < until and done < COUNT_MAX:
			for key, events in chosen.select(0.05):
				i, wire = key.data
				if events & selectors.EVENT_READ:
					data = wire.sock.recv(1 << 18)
					if not data:
						raise ConnectionError("the daemon closed a flooding connection")
					for number, body in wire.frames(data):
						done += 1
						wire.out += after(i, number, body)
				if wire.out:
					try:
						wire.out = wire.out[wire.sock.send(wire.out) :]
					except BlockingIOError:
						pass
				chosen.modify(wire.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if wire.out else 0), key.data)
		for wire in wires:
			wire.sock.close()
	return done


def same(frame, window):
	"""The same request over and over; one that the loop answers at once may keep its id."""
	return lambda path, until: pipelined(path, until, window, lambda i: frame, lambda i, number, body: frame)


def numbered(make, window=WITHIN_SHARE):
	"""make(i, number): requests under ids of their own, the next when one is answered."""

	def flood(path, until):
		counts = [0] * CONNECTIONS

		def following(i, *_):
			counts[i] += 1
			return make(i, counts[i])

		return pipelined(path, until, window, following, following)

	return flood


def headers(path, until):
	"""Pictures that are announced and never come."""
	body = m.Request(infer=m.Infer()).SerializeToString()
	promise = HEADER.pack(len(body), PAYLOAD_MAX, 1, Kind.REQUEST, 0) + body
	done = 0
	while time.monotonic() < until and done < COUNT_MAX:
		wires = []
		for _ in range(CONNECTIONS):
			try:
				wires.append(Wire(path))
				wires[-1].sock.sendall(promise)
				done += 1
			except (ConnectionError, OSError):
				pass
		time.sleep(0.002)
		for wire in wires:
			wire.sock.close()
	return done


def connections(path, until):
	done = 0
	while time.monotonic() < until and done < COUNT_MAX:
		sock = socket.socket(socket.AF_UNIX)
		try:
			sock.connect(path)
		except OSError:
			pass
		sock.close()
		done += 1
	return done


def lessons(path, until):
	"""Lesson after lesson of 14 pictures, as fast as they go."""
	count = [0]

	def begin():
		count[0] += 1
		return request(1, lesson_begin=m.LessonBegin(key=struct.pack(">QQ", time.monotonic_ns(), count[0])))

	def picture():
		count[0] += 1
		image = d.pixels("ring", 5)
		image[0, 0] = (count[0] & 255, count[0] >> 8 & 255, count[0] >> 16)
		return d.bnnd.Picture.array(image)

	def after(i, number, body):
		if number == 1:
			reply = m.Reply.FromString(body)
			if reply.status.code:
				return begin()
			lesson = reply.begun.lesson
			adds = b"".join(
				request(
					10 + k, p.payload, lesson_add=m.LessonAdd(lesson=lesson, label=b"flood-%d" % i, picture=p.message())
				)
				for k, p in enumerate(picture() for _ in range(14))
			)
			return adds + request(2, lesson_commit=m.LessonCommit(lesson=lesson, added=14))
		return begin() if number == 2 else b""

	return pipelined(path, until, 1, lambda i: begin(), after, connections=4)


def rename(i, number):
	names = [b"flood-%d" % i, b"flood-%d-again" % i]
	return request(number, rename=m.Rename(old_label=names[(number - 1) % 2], new_label=names[number % 2]))


def renames(path, until):
	"""An odd number of renames is made even, so that the next phase finds the names it knows."""
	done = numbered(rename)(path, until)
	time.sleep(0.05)
	with d.bnnd.Client(path, timeout=60) as client:
		labels = {c.label for c in client.classes()}
		for i in range(CONNECTIONS):
			if b"flood-%d-again" % i in labels:
				client.rename(b"flood-%d-again" % i, b"flood-%d" % i)
	return done


def pictures_like(picture, window=WITHIN_SHARE):
	message = m.Infer(picture=picture.message())
	return numbered(lambda i, number: request(number, picture.payload, infer=message), window)


def burn(path, until):
	done = 0
	while time.monotonic() < until:
		for _ in range(10000):
			done += 1
	return done


def large_pictures():
	"""Some that the daemon takes: photographs of 12 megapixels as JPEG (baseline, progressive), and a PNG of as many as it
	decodes (image.decode_megapixels), which must be smooth to fit into a payload."""
	import numpy as np
	from PIL import Image

	small = Image.fromarray(d.pixels("waves", 3, 400, 300))
	image = np.asarray(small.resize((4000, 3000), Image.BICUBIC))
	grain = np.random.default_rng(1).normal(0, 8, image.shape)
	photo = Image.fromarray(np.clip(image + grain, 0, 255).astype(np.uint8))
	for name, source, form, options in (
		("12 MP JPEG", photo, "JPEG", {"quality": 88}),
		("12 MP progressive JPEG", photo, "JPEG", {"quality": 80, "progressive": True}),
		("24 MP PNG", small.resize((6000, 4000), Image.NEAREST), "PNG", {"compress_level": 6}),
	):
		out = io.BytesIO()
		source.save(out, form, **options)
		if len(out.getvalue()) <= PAYLOAD_MAX:
			yield name, d.bnnd.Picture(out.getvalue())


# ---- one kind of flood -------------------------------------------------------------------------------------------------


class Schedule:
	"""Quiet and flood in turns, by the clock that all processes have in common."""

	def __init__(self, rounds, phase):
		self.begin = time.monotonic() + 0.5
		self.phase = phase
		self.rounds = rounds
		self.end = self.begin + 2 * rounds * phase

	def floods(self):
		return [
			(self.begin + (2 * i + 1) * self.phase, self.begin + (2 * i + 2) * self.phase) for i in range(self.rounds)
		]

	def flooded(self, at):
		"""True, False, or None: where one kind of phase goes over into the other."""
		within = (at - self.begin) % (2 * self.phase)
		if at < self.begin or within % self.phase < SETTLE_S:
			return None
		return within >= self.phase


def child(uid, fn, *args):
	"""A process of that uid; what it tells (JSON) is read from the descriptor."""
	reads, writes = os.pipe()
	pid = os.fork()
	if pid == 0:
		try:
			os.close(reads)
			os.setgroups([])
			os.setgid(uid)
			os.setuid(uid)
			with os.fdopen(writes, "w") as out:
				fn(*args, lambda what: json.dump(what, out))
		except BaseException as e:
			print(f"uid {uid}: {type(e).__name__}: {e}", file=sys.stderr, flush=True)
		os._exit(0)
	os.close(writes)
	return pid, reads


def flooding(path, schedule, flood, tell):
	done = 0
	for begin, end in schedule.floods():
		time.sleep(max(0, begin - time.monotonic()))
		done += flood(path, end)
	tell(done)


def collect(children):
	told = []
	for pid, reads in children:
		with os.fdopen(reads) as f:
			text = f.read()
		os.waitpid(pid, 0)
		told.append(json.loads(text) if text else None)
	return told


def measure(daemon, name, flood, options, victim=ask_pictures, flooders=1, allowed=None, phase=0):
	schedule = Schedule(options.rounds, max(options.phase, phase))
	children = [child(VICTIM, victim, daemon.socket, schedule)]
	children += [child(FLOODER, flooding, daemon.socket, schedule, flood) for _ in range(flooders)]
	try:
		told = collect(children)
	except BaseException:
		for pid, _ in children:
			os.kill(pid, signal.SIGKILL)
		raise
	rows, done = told[0]["rows"], told[1]
	phases = [[row for row in rows if schedule.flooded(row[0]) is flooded] for flooded in (False, True)]
	(q50, q99), (f50, f99) = (
		[quantile([1000 * row[1] for row in phase], share) for share in (0.5, 0.99)] for phase in phases
	)
	queued = [f"{quantile([row[3] for row in phase], 0.99):.2f}" for phase in phases if len(phase[0]) > 3]
	refused = sum(1 for row in rows if row[2])
	aim = allowed(q99, quantile(told[0]["picture_us"], 0.5) / 1000) if allowed else None
	rate = "the flooder failed" if done is None else f"{done / (schedule.rounds * schedule.phase):.0f}/s"
	line(
		name,
		f"idle {q50:.2f} {q99:.2f}  flood {f50:.2f} {f99:.2f} max {1000 * max(row[1] for row in phases[1]):.2f}  "
		f"x{f99 / q99:.2f}",
		f"{'' if aim is None else f'aim <= {aim:.2f}: ' + ('met' if f99 <= aim else 'NOT MET')}  "
		f"{'in the queue ' + ', '.join(queued) + ' ' if queued else ''}"
		f"({len(phases[0])}+{len(phases[1])}, {refused} refused; {rate})",
	)


def twice(idle, picture):
	return 2 * idle


def two_pictures(idle, picture):
	return idle + 2 * picture


def heaviest(daemon):
	"""The picture among the large ones that takes longest, and how long (ms)."""
	best = ("none", None, 0)
	with daemon.client() as client:
		for name, picture in large_pictures():
			try:
				ms = quantile([client.infer(picture).us.image for _ in range(5)], 0.5) / 1000
			except d.bnnd.Error as e:
				print(f"{name}: {e}")
				continue
			best = max(best, (name, picture, ms), key=lambda row: row[2])
	return best


def main(options):
	folder = tempfile.mkdtemp(prefix="bnnd-bench-")
	os.chmod(folder, 0o755)
	daemon = d.Daemon(folder, config='socket:\n  mode: 0666\n  group: ""\n')
	try:
		daemon.start()
		with daemon.client() as client:
			for kind in sorted(d.SHAPES):
				client.learn(kind, d.pictures(kind, 20))
			for i in range(CONNECTIONS):
				client.learn(f"flood-{i}", d.pictures("dots", 2, 100 + 10 * i))
			for i in range(82):
				client.learn(f"class {i}", [d.picture("cross", 100 + i)])
			status = client.status()
			like = d.picture("ring", 77)
		print(f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; {machine()}; load {os.getloadavg()[0]:.1f}")
		print(
			f"bnnd {status.version}, model {status.model.name}, kernels {status.kernels}, {status.infer_threads} infer "
			f"thread(s), {status.classes} classes; {options.rounds} phases of {options.phase} s each\n"
		)
		name, large, large_ms = heaviest(daemon)
		kinds = {
			"cpu-1": (burn, {}),
			"cpu-2": (burn, {"flooders": 2}),
			"headers": (headers, {"allowed": twice}),
			"status": (same(request(1, status=m.GetStatus()), 500), {"allowed": twice}),
			"classes": (same(request(1, classes=m.Classes()), 50), {"allowed": twice}),
			"connections": (connections, {"allowed": twice}),
			"renames": (renames, {"allowed": twice}),
			"lessons": (lessons, {"allowed": twice}),
			"pictures": (pictures_like(like), {"allowed": two_pictures}),
			"pictures-over-the-share": (pictures_like(like, 16), {"allowed": two_pictures}),
			"heaviest": (
				pictures_like(large),
				{"allowed": lambda idle, _: idle + large_ms, "phase": 5 * large_ms / 1000},
			)
			if large
			else None,
			"connect-in-cpu-2": (burn, {"victim": connect_and_ask, "flooders": 2}),
			"connect-in-connections": (connections, {"victim": connect_and_ask}),
			"lesson-in-cpu-2": (burn, {"victim": teach_lessons, "flooders": 2}),
			"lesson-in-renames": (renames, {"victim": teach_lessons}),
		}
		print(
			f"heaviest: {name}, {large_ms:.1f} ms\n{'':36} p50 p99 of the other user, and p99 of what the daemon let it wait for a thread, ms"
		)
		for kind in options.kinds or kinds:
			if kinds[kind]:
				measure(daemon, kind, kinds[kind][0], options, **kinds[kind][1])
	finally:
		code = daemon.close()
		shutil.rmtree(folder, True)
	if code != 0:
		sys.exit(f"the daemon ended with {code}")


if __name__ == "__main__":
	ARGUMENTS = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	ARGUMENTS.add_argument("kinds", metavar="KIND", nargs="*", help="default: all")
	ARGUMENTS.add_argument("--rounds", type=int, default=10, help="phases of each sort (10)")
	ARGUMENTS.add_argument("--phase", type=float, default=1.0, help="seconds of a phase (1.0)")
	given = ARGUMENTS.parse_args()
	if os.geteuid() != 0:
		sys.exit("bench_fair.py needs root: it starts clients of several uids")
	main(given)
