# SPDX-License-Identifier: MIT
"""What every command here does alike: it says what is missing, and ends with a sentence instead of a traceback.

Imports nothing but Python's own: begin() is called before torch is imported, which takes seconds.
"""

import argparse
import importlib.util
import json
import math
import os
import signal
import sys

PIP_NAMES = {"torch": "torch", "numpy": "numpy", "PIL": "pillow", "google.protobuf": '"protobuf<5"'}


def there(module):
	try:
		return importlib.util.find_spec(module) is not None
	except ModuleNotFoundError:  # of the package that it is in
		return False


def begin(*modules):
	"""Until a command has its own way to stop, Ctrl-C ends it with a sentence; so do modules that are missing."""

	def stop(number, _frame):
		os.write(2, b"\nstopped; nothing was begun\n")
		os._exit(128 + number)

	signal.signal(signal.SIGINT, stop)
	missing = [PIP_NAMES[m] for m in modules or PIP_NAMES if not there(m)]
	if missing:
		sys.exit(f"Python packages are missing: pip install {' '.join(missing)}")


def run(main):
	"""main(); what the system refuses (no space, no such file, no memory) becomes a sentence."""
	try:
		main()
	except OSError as e:
		sys.exit(f"{e.filename}: {e.strerror}" if e.filename else str(e))
	except MemoryError:
		sys.exit("not enough memory")
	except RuntimeError as e:  # torch's way to say the same
		if "memory" not in str(e):
			raise
		sys.exit(
			"not enough memory: give a smaller --batch or --sides, or stop other programs: " + str(e).splitlines()[0]
		)


def number(kind, least, most=math.inf, above=False):
	"""The type of an argument: int or float from least (or above it) to most."""

	def parse(text):
		try:
			value = kind(text)
		except ValueError:
			value = math.nan
		if not (least < value if above else least <= value) or not value <= most or math.isinf(value):
			limit = f"{'above' if above else 'from'} {least:g}" + f" to {most:g}" * math.isfinite(most)
			raise argparse.ArgumentTypeError(f"{text!r} is not {'a whole' if kind is int else 'a'} number {limit}")
		return value

	return parse


def options(text):
	"""A JSON object."""
	try:
		value = json.loads(text)
	except ValueError as e:
		raise argparse.ArgumentTypeError(
			f"{text!r} is not JSON ({e}): write it like '{{\"layers\": [2, 4, 6]}}'"
		) from None
	if not isinstance(value, dict):
		raise argparse.ArgumentTypeError(f"{text!r} is no JSON object: write it like '{{\"layers\": [2, 4, 6]}}'")
	return value


def writable(path):
	"""Refuses, before the work, a file that could not be written after it."""
	if path.is_dir():
		sys.exit(f"{path}: is a folder")
	if not path.parent.is_dir():
		sys.exit(f"{path.parent}: no such folder to write {path.name} to")
	if not os.access(path.parent, os.W_OK) or path.exists() and not os.access(path, os.W_OK):
		sys.exit(f"{path}: may not be written")
