# SPDX-License-Identifier: MIT
"""The house's rules, checked: who includes whom, which headers belong to which room, an SPDX line in every file, no file
that has grown out of reading, nothing that only exists at the place where it was written.

Reads the source folder alone (BNND_SOURCE_DIR or two folders up); build folders are left out.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import unittest

ROOT = os.environ.get("BNND_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINES_MAX = 600

# What a folder may include beside itself. The longest matching prefix counts.
LAYERS = {
	"lib/base": set(),
	"lib/image": {"lib/base"},
	"lib/bnn": {"lib/base", "lib/bnn/kernels"},
	"lib/bnn/kernels": {"lib/base"},
	"lib/learn": {"lib/base"},
	"lib/store": {"lib/base"},
	"proto": {"lib/base"},
	"client": set(),  # bnnd.h, which stands alone
	"client/lib": {"client", "proto", "lib/base"},
	"client/ctl": {"client", "lib/base"},
	# Of the daemon's rooms (doc/DESIGN.md); the folder itself, where they are put together, may include them all.
	"daemon/config": {"proto", "lib/base", "lib/image", "lib/bnn", "lib/learn", "lib/store"},
	"daemon/host": {"daemon/config", "proto", "lib/base"},
	"daemon/state": {"daemon/config", "proto", "lib/base", "lib/learn", "lib/store"},
	"daemon/shares": {"lib/base"},
	"daemon/lesson": {"daemon/state", "lib/base", "lib/store"},
	"daemon/wire": {"daemon/state", "proto", "lib/base", "lib/image", "lib/bnn"},
	"daemon/session": {"daemon/host", "daemon/wire", "daemon/shares", "proto", "lib/base"},
	"daemon/work": {"daemon/state", "daemon/lesson", "daemon/shares", "lib/base", "lib/image", "lib/bnn"},
	"daemon/ops": {
		*("daemon/session", "daemon/wire", "daemon/work", "daemon/lesson", "daemon/state", "daemon/config"),
		*("proto", "lib/base", "lib/bnn"),
	},
	"daemon": {
		*("daemon/config", "daemon/host", "daemon/state", "daemon/shares", "daemon/lesson", "daemon/wire"),
		*("daemon/session", "daemon/work", "daemon/ops"),
		*("proto", "lib/base", "lib/image", "lib/bnn", "lib/learn", "lib/store"),
	},
}
# Headers of other people's libraries, and the only places that may know them.
FOREIGN = [
	(r"uv\.h|uv/.*", r"daemon/(session/.*|ops/lesson\.c|server\.c)"),
	(r"yaml\.h", r"daemon/config/config_load\.c"),
	(r"utf8proc\.h", r"lib/base/(label|text)\.c"),
	(r"sqlite3(ext)?\.h", r"lib/store/.*"),
	(r"jpeglib\.h|jerror\.h|turbojpeg\.h|spng\.h", r"lib/image/.*"),
	(r"(imm|x86|xmm|emm|smm|tmm|nmm|pmm|avx\w*)intrin\.h|arm_(neon|sve|acle)\.h", r"lib/bnn/kernels/.*"),
	(r"(.*/)?model\.pb-c\.h", r"lib/bnn/graph_unpack\.c"),
]
CMOCKA_TEST = re.compile(r"^(?:static )?void (?!test_)(\w+)\(void \*\*", re.M)
MESON_TEST = re.compile(r"^\s*test\(", re.M)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
SKIP_FOLDERS = {".git", ".ruff_cache", "__pycache__", "node_modules"}
# Formats that cannot carry a comment, or are not text.
NO_SPDX = re.compile(
	r"(^|/)(LICENSE|\.gitignore|\.clang-format|\.clang-tidy|\.gitattributes)$|\.(bnn|png|jpe?g|bin|raw"
	r"|npy|npz|json|golden|hex|svg|f32|q8|db|txt)$"
)
# Made by a script from data: reading them is nobody's task.
GENERATED = re.compile(r"^tests/vectors/(?!\w+\.(py|build)$)|^models/|^tests/fuzz/corpus/")


def files():
	for folder, folders, names in os.walk(ROOT):
		relative = os.path.relpath(folder, ROOT)
		folders[:] = sorted(
			f for f in folders if f not in SKIP_FOLDERS and not (relative == "." and f.startswith("build"))
		)
		for name in sorted(set(names) - SKIP_FOLDERS):  # .git is a file in a second work tree
			path = os.path.normpath(os.path.join(relative, name))
			if not os.path.islink(os.path.join(ROOT, path)) and not path.endswith((".pyc", ".lock")):
				yield path


def read(path):
	with open(os.path.join(ROOT, path), "rb") as f:
		return f.read()


def is_text(path):
	return b"\0" not in read(path)[:4096]


def layer_of(path):
	fits = [layer for layer in LAYERS if path == layer or path.startswith(layer + "/")]
	return max(fits, key=len) if fits else None


def target_of(path, name):
	"""The file of ours that an include in `path` means, whether or not it is there; None: it is somebody else's."""
	if "/" in name and not name.startswith("."):
		return name
	return os.path.normpath(os.path.join(os.path.dirname(path), name))


def include_faults(path, text):
	"""What is wrong with the includes of one C file."""
	faults = []
	layer = layer_of(path)
	for kind, name in INCLUDE.findall(text):
		for header, home in FOREIGN:
			if re.fullmatch(header, name) and not re.fullmatch(home, path) and not path.startswith("tests/"):
				faults.append(f"{path}: <{name}> belongs to {home} alone")
		if kind == "<" or layer is None:
			continue
		target = layer_of(target_of(path, name))
		if target is None:
			if name.startswith(("tests/", "tools/", "systemd/")):
				faults.append(f'{path}: "{name}" is no part of the product')
		elif target != layer and target not in LAYERS[layer]:
			faults.append(f'{path}: {layer} may not include "{name}" of {target}')
	return faults


def c_module(path):
	"""A header and the file behind it are one."""
	return os.path.splitext(path)[0]


def c_edges(texts):
	"""module -> modules that it includes, of the C files in {path: text}."""
	modules = {c_module(path) for path in texts}
	edges = {module: set() for module in modules}
	for path, text in texts.items():
		for kind, name in INCLUDE.findall(text):
			module = c_module(target_of(path, name))
			if kind == '"' and module in modules and module != c_module(path):
				edges[c_module(path)].add(module)
	return edges


def objects(build):
	"""{object: module} of a build, paths from its folder; None: some are older than what they are made of."""
	with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
		commands = json.load(f)
	found = {}
	for command in commands:
		source, made = (os.path.join(build, command[name]) for name in ("file", "output"))
		path = os.path.relpath(source, ROOT)
		if not path.startswith(tuple(LAYERS)):
			continue
		if not os.path.exists(made) or os.path.getmtime(made) < os.path.getmtime(source):
			return None
		found[command["output"]] = c_module(path)
	return found


def symbol_edges(build, modules):
	"""module -> modules whose functions it calls or whose data it uses, from objects; what is called through a pointer is
	no edge."""
	command = ["nm", "-A", "-g", "-P", *modules]
	names = subprocess.run(command, cwd=build, capture_output=True, text=True, check=True).stdout
	home, wants = {}, {}
	for line in names.splitlines():
		made, name, kind = line.split()[:3]
		module = modules[made.rstrip(":")]
		if kind == "U":
			wants.setdefault(module, set()).add(name)
		elif home.setdefault(name, module) != module:
			home[name] = None  # in two programs, such as main
	edges = {module: set() for module in modules.values()}
	for module, needed in wants.items():
		edges[module] = {home[name] for name in needed if home.get(name)} - {module}
	return edges


def imported(path, text):
	"""What a Python file imports, each as dotted names of which the first that is a file counts."""
	package = path.split("/")[:-1]
	for node in ast.walk(ast.parse(text)):
		if isinstance(node, ast.Import):
			yield from ([alias.name] for alias in node.names)
		elif isinstance(node, ast.ImportFrom):
			base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
			name = ".".join(filter(None, (base, node.module)))
			yield from ([f"{name}.{alias.name}", name] for alias in node.names)


def python_file(texts, path, name):
	"""By its path from the top, from client/python, or beside the importing file; None: somebody else's."""
	for folder in ("", "client/python/", os.path.dirname(path) + "/"):
		stem = folder + name.replace(".", "/")
		for found in (stem + ".py", stem + "/__init__.py"):
			if found in texts:
				return found
	return None


def python_edges(texts):
	"""file -> files that it imports, of the Python files in {path: text}."""
	edges = {path: set() for path in texts}
	for path, text in texts.items():
		for names in imported(path, text):
			found = filter(None, (python_file(texts, path, name) for name in names))
			edges[path] |= set(list(found)[:1]) - {path}
	return edges


def circles(edges):
	"""Sets of nodes of which each reaches every other (Tarjan)."""
	order, low, stack, found = {}, {}, [], []

	def visit(node):
		order[node] = low[node] = len(order)
		stack.append(node)
		for other in sorted(edges[node]):
			if other not in order:
				visit(other)
			if other in stack:
				low[node] = min(low[node], low[other])
		if low[node] == order[node]:
			at = stack.index(node)
			found.append(sorted(stack[at:]))
			del stack[at:]

	for node in sorted(edges):
		if node not in order:
			visit(node)
	return [circle for circle in found if len(circle) > 1]


class Rules(unittest.TestCase):
	maxDiff = None

	def no_faults(self, faults):
		self.assertEqual([], faults, "\n" + "\n".join(faults))

	def test_the_source_is_found(self):
		found = set(files())
		self.assertIn("proto/frame.c", found)
		self.assertIn("lib/base/err.h", found)

	def test_layers(self):
		faults = []
		for path in files():
			if path.endswith((".c", ".h", ".S")):
				faults += include_faults(path, read(path).decode("utf-8"))
		self.no_faults(faults)

	def test_the_layer_check_sees_what_it_forbids(self):
		for path, include in (
			("lib/learn/a.c", '"lib/bnn/bnn.h"'),
			("lib/store/a.c", '"proto/frame.h"'),
			("client/lib/a.c", '"lib/image/image.h"'),
			("client/lib/a.c", '"daemon/server.h"'),
			("client/lib/a.c", '"client/ctl/ctl.h"'),
			("client/ctl/a.c", '"client/lib/conn.h"'),
			("client/ctl/a.c", '"proto/limits.h"'),
			("client/bnnd.h", '"lib/base/err.h"'),
			("proto/a.h", '"client/bnnd.h"'),
			("lib/bnn/a.c", '"../learn/learn.h"'),
			("lib/image/a.c", "<uv.h>"),
			("daemon/a.c", "<yaml.h>"),
			("daemon/a.c", "<sqlite3.h>"),
			("daemon/a.c", "<spng.h>"),
			("lib/bnn/pass.c", "<immintrin.h>"),
			("lib/bnn/kernels/a.c", '"lib/bnn/graph.h"'),
			("daemon/a.c", '"lib/bnn/kernels/choose.h"'),
			("lib/bnn/plan.c", '"lib/bnn/model.pb-c.h"'),
			("daemon/a.c", '"tests/testlib/faulty_vfs.h"'),
			("daemon/session/a.c", '"daemon/ops/ops.h"'),
			("daemon/work/a.c", '"daemon/wire/views.h"'),
			("daemon/state/a.c", '"../lesson/lesson.h"'),
			("daemon/ops/a.c", '"daemon/server.h"'),
			("daemon/ops/a.c", "<uv.h>"),
		):
			with self.subTest(path=path, include=include):
				self.assertEqual(1, len(include_faults(path, f"#include {include}\n")))
		for path, include in (
			("daemon/a.c", '"lib/bnn/bnn.h"'),
			("daemon/config/config_load.c", "<yaml.h>"),
			("daemon/ops/a.c", '"daemon/session/session.h"'),
			("daemon/ops/lesson.c", "<uv.h>"),
			("lib/bnn/kernels/avx2.c", "<immintrin.h>"),
			("lib/bnn/graph_unpack.c", '"lib/bnn/model.pb-c.h"'),
			("lib/learn/a.c", '"learn.h"'),
			("lib/learn/a.c", '"lib/base/err.h"'),
			("client/lib/a.c", '"proto/limits.h"'),
			("client/ctl/a.c", '"client/bnnd.h"'),
		):
			with self.subTest(path=path, include=include):
				self.assertEqual([], include_faults(path, f"#include {include}\n"))

	def texts(self, *endings):
		return {path: read(path).decode("utf-8") for path in files() if path.endswith(endings)}

	def test_no_circles(self):
		found = circles(c_edges(self.texts(".c", ".h", ".S"))) + circles(python_edges(self.texts(".py")))
		self.no_faults([" <-> ".join(circle) for circle in found])

	@unittest.skipUnless(shutil.which("nm"), "there is no nm")
	def test_no_circles_of_calls(self):
		build = os.environ.get("BNND_BUILD_DIR")
		if not build:
			self.skipTest("BNND_BUILD_DIR is not set: only a build knows who calls whom")
		modules = objects(build)
		if not modules:
			self.skipTest("the build is older than its sources")
		edges = symbol_edges(build, modules)
		self.assertIn("lib/base/err", edges["daemon/ops/ops"])
		self.no_faults([" <-> ".join(circle) for circle in circles(edges)])

	def test_circles_are_seen(self):
		c = {"a/x.h": "", "a/x.c": '#include "a/x.h"\n#include "b/y.h"\n', "b/y.h": '#include "b/z.h"\n', "b/z.h": ""}
		self.assertEqual([], circles(c_edges(c)))
		c["b/z.c"] = '#include "../a/x.h"\n'
		self.assertEqual([["a/x", "b/y", "b/z"]], circles(c_edges(c)))
		python = {
			"p/__init__.py": "",
			"p/a.py": "import p.b\n",
			"p/b.py": "import json\n",
			"p/c.py": "from .a import b\n",
		}
		self.assertEqual([], circles(python_edges(python)))
		python["p/b.py"] = "def later():\n\tfrom p import c\n"
		self.assertEqual([["p/a.py", "p/b.py", "p/c.py"]], circles(python_edges(python)))

	def test_every_file_names_its_licence(self):
		self.no_faults(
			[
				f"{path}: no SPDX line at its top"
				for path in files()
				if not NO_SPDX.search(path)
				and not GENERATED.search(path)
				and is_text(path)
				and not re.search(rb"SPDX-License-Identifier: MIT", b"\n".join(read(path).split(b"\n")[:5]))
			]
		)

	def test_no_file_is_too_long(self):
		self.no_faults(
			[
				f"{path}: {n} lines, at most {LINES_MAX}"
				for path in files()
				if not GENERATED.search(path) and is_text(path) and (n := read(path).count(b"\n")) > LINES_MAX
			]
		)

	def test_nothing_names_the_place_where_it_was_written(self):
		# Written so that this file does not find itself.
		places = [
			re.compile(p)
			for p in (rb"(?<!\w)/" + rb"work/", rb"\." + rb"library", rb"/" + rb"home/\w+/", rb"/" + rb"root/\w")
		]
		self.no_faults(
			[
				f"{path}:{number}: {line.strip()[:100].decode('utf-8', 'replace')}"
				for path in files()
				if is_text(path)
				for number, line in enumerate(read(path).split(b"\n"), 1)
				if any(place.search(line) for place in places)
			]
		)

	def test_no_leftovers(self):
		words = re.compile(rb"\b(" + rb"TO" + rb"DO|FIX" + rb"ME|XX" + rb"X)\b")
		self.no_faults(
			[
				f"{path}:{number}: {line.strip()[:100].decode('utf-8', 'replace')}"
				for path in files()
				if is_text(path)
				for number, line in enumerate(read(path).split(b"\n"), 1)
				if words.search(line)
			]
		)

	def test_tests_are_written_alike(self):
		"""As tests/README.md says: cmocka's functions and groups, registration in meson, where Python looks for modules."""
		faults = []
		for path in files():
			text = read(path).decode("utf-8", "replace")
			if path.startswith("tests/") and path.endswith(".c") and "cmocka" in text:
				faults += [f"{path}: {name} is not test_{name}" for name in CMOCKA_TEST.findall(text)]
				faults += [f"{path}: a group with a name"] * ("cmocka_run_group_tests_" + "name" in text)
			if path.endswith("meson.build") and len(MESON_TEST.findall(text)) != text.count("kwargs: "):
				faults.append(f"{path}: a test without the environment and the suite of its kind (kwargs)")
			if path.endswith(".py") and path != "tests/__init__.py" and "sys." + "path" in text:
				faults.append(f"{path}: changes where modules are looked for")
		self.no_faults(faults)

	def test_threads_of_libuv_are_not_used(self):
		self.no_faults(
			[
				f"{path}: uv_queue_work"
				for path in files()
				if path.startswith("daemon/") and b"uv_queue_work(" in read(path)
			]
		)


if __name__ == "__main__":
	unittest.main(verbosity=1)
