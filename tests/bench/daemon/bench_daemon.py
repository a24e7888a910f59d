# SPDX-License-Identifier: MIT
"""What the running daemon costs, measured against the aims of the design. Prints machine, date and threads, then one
line a figure.

  BNND_BUILD_DIR=BUILD python3 -m tests.bench.daemon.bench_daemon [--quick]


  socket       `infer` of a raw picture over the socket less the same call in process
  start        exec to READY=1, with ten classes taught
  commit       a change on the disk: time, syncs, bytes
  memory       idle after 100 inferences of 640x480 JPEGs, and its peak
  lesson       inference of raw pictures idle and while a lesson of 1,000 pictures runs, in turns
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from tests.integration import daemon as d

HERE = os.path.join(d.BUILD, "tests", "bench", "daemon")
ARGUMENTS = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ARGUMENTS.add_argument("--quick", action="store_true", help="fewer rounds: to see that it runs, not to quote")
ARGUMENTS.add_argument("--teach", metavar="SOCKET", help=argparse.SUPPRESS)  # the teacher, a process of its own
LESSON = 1000


def quantile(values, share):
	values = sorted(values)
	return values[min(len(values) - 1, int(len(values) * share))]


def line(name, text, aim=""):
	print(f"{name:36} {text:44} {aim}", flush=True)


def tool(name, *args):
	done = subprocess.run([os.path.join(HERE, name), *map(str, args)], stdout=subprocess.PIPE, text=True, check=True)
	return {k: float(v) for k, v in (row.split() for row in done.stdout.splitlines())}


def machine():
	cpu = platform.processor() or platform.machine()
	with open("/proc/cpuinfo", encoding="utf-8") as f:
		for row in f:
			if row.startswith(("model name", "Model")):
				cpu = row.split(":", 1)[1].strip()
				break
	return f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}"


def memory(pid):
	with open(f"/proc/{pid}/status", encoding="ascii") as f:
		fields = dict(row.split(":", 1) for row in f)
	return {k: int(fields[k].split()[0]) / 1024 for k in ("VmRSS", "VmHWM", "RssAnon")}


def bench_socket(daemon, rounds):
	us = tool("bench_socket", d.MODEL, daemon.socket, rounds)
	line("infer, raw 96x96, in process", f"p50 {us['in_process_p50']:.0f} us, p99 {us['in_process_p99']:.0f} us")
	line("infer, raw 96x96, over the socket", f"p50 {us['socket_p50']:.0f} us, p99 {us['socket_p99']:.0f} us")
	line("  the daemon's own total of it", f"p50 {us['in_daemon_p50']:.0f} us, p99 {us['in_daemon_p99']:.0f} us")
	line("socket overhead", f"p50 {us['difference_p50']:.0f} us, p99 {us['difference_p99']:.0f} us", "p50 <= 150 us")


def bench_start(daemon, rounds):
	times = []
	for _ in range(rounds):
		daemon.stop()
		began = time.monotonic()
		daemon.start()
		times.append(1000 * (time.monotonic() - began))
	line("exec to READY, 10 classes taught", f"p50 {quantile(times, 0.5):.0f} ms, max {max(times):.0f} ms", "<= 100 ms")


def bench_commit(folder):
	"""The lesson's line of bench_store, which has the other changes, too."""
	tool = os.path.join(d.BUILD, "tests", "bench", "store", "bench_store")
	done = subprocess.run([tool, os.path.join(folder, "commits"), "300"], check=True, stdout=subprocess.PIPE, text=True)
	line("commit of 20 pictures of a class", " ".join(done.stdout.splitlines()[0].split()[2:]))


def bench_memory(daemon):
	daemon.restart()
	empty = memory(daemon.process.pid)
	with daemon.client() as client:
		for i in range(100):
			client.infer(d.bnnd.Picture(d.encoded(sorted(d.SHAPES)[i % 10], i, width=640, height=480, quality=90)))
		time.sleep(0.2)
		used = memory(daemon.process.pid)
	line("memory just started", f"{empty['VmRSS']:.1f} MiB resident, {empty['RssAnon']:.1f} MiB its own")
	line(
		"memory after 100 640x480 JPEGs",
		f"{used['VmRSS']:.1f} MiB resident, {used['RssAnon']:.1f} MiB its own",
		"<= 32 MiB",
	)
	line("  its peak", f"{used['VmHWM']:.1f} MiB resident")


def teach(socket_path):
	"""The teacher process: at each line on stdin a lesson of LESSON new pictures; says when it begins, commits and ends."""
	os.nice(10)  # a client's hunger for the processor is not what is measured here
	base = [d.pixels(kind, i) for kind in sorted(d.SHAPES) for i in range(10)]
	with d.bnnd.Client(socket_path, timeout=600) as client:
		print("ready", flush=True)
		for number, _ in enumerate(sys.stdin):
			print("begin", flush=True)
			with client.lesson() as lesson:
				for i in range(LESSON):
					image = base[i % len(base)]
					image[0, 0] = (number, i >> 8, i & 255)
					lesson.add(f"thing {i % 10}", d.bnnd.Picture.array(image))
				lesson.settle()
				print("commit", flush=True)
			print("end", flush=True)


def bench_lesson(daemon, rounds, questions):
	"""Idle and teaching in turns; every question's time goes to the phase it began in."""
	pictures = [d.picture(kind, 900 + i) for kind in sorted(d.SHAPES) for i in range(5)]
	times = {"idle": [], "adds": [], "commit": []}
	inside = {"idle": [], "adds": [], "commit": []}  # the daemon's own total: from the request's last byte to the reply
	phase = ["idle"]
	teacher = subprocess.Popen(
		[sys.executable, "-m", "tests.bench.daemon.bench_daemon", "--teach", daemon.socket],
		stdin=subprocess.PIPE,
		stdout=subprocess.PIPE,
		text=True,
		bufsize=1,
	)
	ended = threading.Event()

	def listen():
		for row in teacher.stdout:
			phase[0] = {"begin": "adds", "commit": "commit"}.get(row.strip(), "idle")
			if row.strip() in ("ready", "end"):
				ended.set()
		ended.set()

	listener = threading.Thread(target=listen)
	listener.start()
	backbone = []
	taught = 0.0
	with daemon.client() as client:

		def ask(number):
			at = phase[0]
			began = time.monotonic()
			answer = client.infer(pictures[number % len(pictures)])
			times[at].append(1e6 * (time.monotonic() - began))
			inside[at].append(answer.us.total)
			if at == "idle":
				backbone.append(answer.us.image + answer.us.backbone + answer.us.head)

		ended.wait()
		for i in range(20):
			ask(i)
		times["idle"].clear()
		inside["idle"].clear()
		backbone.clear()
		for _ in range(rounds):
			for i in range(questions):
				ask(i)
			ended.clear()
			began = time.monotonic()
			teacher.stdin.write("go\n")
			teacher.stdin.flush()
			i = 0
			while not ended.is_set():
				ask(i)
				i += 1
			taught += time.monotonic() - began
	teacher.stdin.close()
	teacher.wait()
	listener.join()
	picture = quantile(backbone, 0.5)
	idle50, idle99 = quantile(times["idle"], 0.5), quantile(times["idle"], 0.99)
	line("infer, raw, idle", f"p50 {idle50:.0f} us, p99 {idle99:.0f} us ({len(times['idle'])} questions)")
	line("  one picture in the daemon", f"p50 {picture:.0f} us")
	own50, own99 = quantile(inside["idle"], 0.5), quantile(inside["idle"], 0.99)
	line("  in the daemon, queue and all", f"p50 {own50:.0f} us, p99 {own99:.0f} us")
	both = times["adds"] + times["commit"]
	for name, values in (
		("while 1,000 pictures are taught", both),
		("  of it while they arrive", times["adds"]),
		("  of it while it trains and writes", times["commit"]),
	):
		if values:
			line(
				name,
				f"p50 {quantile(values, 0.5):.0f} us, p99 {quantile(values, 0.99):.0f} us, max {max(values):.0f} us "
				f"({len(values)})",
				f"p50 <= {idle50 + picture:.0f} us, p99 aim {idle50 + 2 * picture:.0f} us" if values is both else "",
			)
	own = inside["adds"] + inside["commit"]
	line(
		"  in the daemon, queue and all",
		f"p50 {quantile(own, 0.5):.0f} us, p99 {quantile(own, 0.99):.0f} us",
		f"p50 <= {own50 + picture:.0f} us, p99 aim {own50 + 2 * picture:.0f} us",
	)
	line("  a lesson beside the questions", f"{taught / rounds:.1f} s ({rounds} lessons)")


def main(options):
	folder = tempfile.mkdtemp(prefix="bnnd-bench-")
	daemon = d.Daemon(folder)
	try:
		daemon.start()
		with daemon.client() as client:
			for kind in sorted(d.SHAPES):
				client.learn(kind, d.pictures(kind, 20))
			status = client.status()
		print(f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; {machine()}; load {os.getloadavg()[0]:.1f}")
		print(
			f"bnnd {status.version}, model {status.model.name}, kernels {status.kernels}, {status.infer_threads} infer "
			f"thread(s), widths {status.widths}\n"
		)
		bench_socket(daemon, 200 if options.quick else 3000)
		bench_start(daemon, 3 if options.quick else 30)
		bench_commit(folder)
		bench_memory(daemon)
		bench_lesson(daemon, 1 if options.quick else 5, 100 if options.quick else 1000)
	finally:
		daemon.close()
		shutil.rmtree(folder, True)


if __name__ == "__main__":
	given = ARGUMENTS.parse_args()
	if given.teach:
		teach(given.teach)
	else:
		main(given)
