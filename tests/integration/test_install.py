# SPDX-License-Identifier: MIT
"""What is built and installed: the files and where they go, the settings that stay the administrator's, systemd's units,
and that compiler and linker guard the programs as the build asks them to."""

import glob
import json
import os
import re
import shutil
import stat
import subprocess
import unittest

from tests.integration.daemon import (
	BNNCTL,
	BNND,
	BUILD,
	SLOW,
	SOURCE,
	WRAPPER,
	DaemonTest,
	environment,
	main,
	qemu_subset,
)


def output(*command, **options):
	return subprocess.run(command, check=True, capture_output=True, text=True, env=environment(), **options).stdout


@unittest.skipIf(WRAPPER, "the native build installs")
class Install(DaemonTest):
	def install(self, root=None, **options):
		"""meson install into a folder: that folder, and {name: path} of what was put there."""
		root = root or os.path.join(self.folder(), "dest dir")
		output("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root, timeout=60 * SLOW, **options)
		return root, {name: os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names}

	def test_what_is_installed_works(self):
		_, found = self.install()
		with open(os.path.join(SOURCE, "models", "shipped.txt"), encoding="ascii") as f:
			shipped = {name + ".bnn" for name in f.read().split()}
		self.assertLessEqual(
			shipped
			| {
				"bnnd",
				"bnnctl",
				"bnnd.h",
				"bnnd.service",
				"bnnd.socket",
				"bnnd.conf",
				"default.bnn",
				"libbnnd.so.0",
				"bnnd.pc",
			},
			set(found),
		)
		self.assertNotIn("bnnd-faulty", found)
		daemon = self.daemon(executable=found["bnnd"], model=found["default.bnn"])
		self.serves(daemon)
		with open(found["bnnd"], "rb") as f:
			self.assertNotIn(b"BNND_FAULT", f.read(), "the shipped daemon has no hook")

	@unittest.skipUnless(
		shutil.which("systemd-analyze") and shutil.which("systemd-sysusers"), "systemd is not installed"
	)
	def test_systemd_understands_its_files(self):
		root, found = self.install(self.folder())
		# The program must be where the unit says: look at the unit with the path that it has here.
		with open(found["bnnd.service"], encoding="utf-8") as f:
			unit = f.read()
		self.assertRegex(unit, "(?m)^ExecStart=/.*/bnnd$")

		def value(text, name):
			return re.search(rf"(?m)^{name}=(.*)$", text).group(1)

		self.assertLess(int(value(unit, "LimitDATA").rstrip("M")), int(value(unit, "MemoryMax").rstrip("M")))
		self.assertEqual("0", value(self.read(found["bnnd.socket"]), "TriggerLimitIntervalSec"))
		for line in (
			"Type=notify",
			"RuntimeDirectoryPreserve=yes",
			"Requires=bnnd.socket",
			"Restart=on-failure",
			"RestartPreventExitStatus=2 78",
		):
			self.assertIn(line + "\n", unit)
		units = self.folder()
		with open(os.path.join(units, "bnnd.service"), "w", encoding="utf-8") as f:
			f.write(unit.replace("ExecStart=/", f"ExecStart={root}/"))
		shutil.copy(found["bnnd.socket"], units)
		done = subprocess.run(
			["systemd-analyze", "verify", "--man=no", os.path.join(units, "bnnd.service")],
			env=environment(SYSTEMD_UNIT_PATH=units + ":"),
			capture_output=True,
			text=True,
		)
		if "Failed to initialize manager" in done.stderr:
			self.skipTest("systemd-analyze does not run here: " + done.stderr.strip())
		complaints = [line for line in done.stderr.splitlines() if "bnnd" in line]
		self.assertEqual([], complaints)
		os.makedirs(os.path.join(units, "etc"))
		done = subprocess.run(
			["systemd-sysusers", f"--root={units}", found["bnnd.conf"]], capture_output=True, text=True
		)
		self.assertEqual(0, done.returncode, done.stderr)
		with open(os.path.join(units, "etc", "passwd"), encoding="utf-8") as f:
			self.assertRegex(f.read(), "(?m)^bnnd:.*nologin$")

	def test_settings_are_never_replaced(self):
		"""An edited bnnd.yaml survives the next installation and the uninstallation."""
		root, found = self.install(umask=0o077)
		settings = os.path.join(root, self.config_file().lstrip("/"))
		self.assertEqual(0o644, stat.S_IMODE(os.stat(settings).st_mode), "the daemon's user reads it")
		self.assertEqual(0o755, stat.S_IMODE(os.stat(os.path.dirname(settings)).st_mode))
		with open(settings, "a+", encoding="utf-8") as f:
			f.seek(0)
			self.assertEqual(self.read(os.path.join(SOURCE, "systemd", "bnnd.yaml")), f.read())
			f.write("answers: {refuse: 0.2}\n")
		edited = self.read(settings)
		defaults = glob.glob(os.path.join(glob.escape(root), "usr", "**", "share", "bnnd", "bnnd.yaml"), recursive=True)
		self.assertEqual(1, len(defaults), "today's defaults, to compare with")
		self.install(root)
		self.assertEqual(edited, self.read(settings))
		# What `ninja uninstall` runs; ninja itself might want to build first.
		output("meson", "--internal", "uninstall", cwd=BUILD)
		self.assertEqual(edited, self.read(settings))
		self.assertEqual(
			[settings], [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
		)

	def test_a_settings_file_that_is_a_link_is_somebodys(self):
		root = self.folder()
		settings = os.path.join(root, self.config_file().lstrip("/"))
		os.makedirs(os.path.dirname(settings))
		os.symlink("/nonexistent/of-another-tool.yaml", settings)
		self.install(root)
		self.assertEqual("/nonexistent/of-another-tool.yaml", os.readlink(settings))

	def config_file(self):
		return re.search(r"default: (/.*/bnnd\.yaml)", output(BNND, "--help")).group(1)

	def read(self, path):
		with open(path, encoding="utf-8") as f:
			return f.read()


@unittest.skipUnless(shutil.which("readelf"), "readelf is missing")
class Hardening(unittest.TestCase):
	"""Without a look nobody notices when a flag is lost: the programs work as well."""

	@classmethod
	def setUpClass(cls):
		cls.options = {
			o["name"]: o["value"] for o in json.loads(output("meson", "introspect", "--buildoptions", BUILD))
		}
		(library,) = glob.glob(os.path.join(BUILD, "client", "libbnnd.so.?.?.?"))
		cls.programs, cls.shared = [BNND, BNNCTL], library

	def each(self, *flags):
		for path in self.programs + [self.shared]:
			yield path, output("readelf", "-W", *flags, path)

	@qemu_subset
	def test_position_independent(self):
		for path, text in self.each("-hd"):
			self.assertRegex(text, r"Type:\s+DYN")
			if path != self.shared:
				self.assertRegex(text, r"\(FLAGS_1\).*\bPIE\b")

	@qemu_subset
	def test_relocations_are_done_at_start_and_read_only_then(self):
		for _, text in self.each("-ld"):
			self.assertRegex(text, r"\(FLAGS_1\).*\bNOW\b")
			self.assertIn("GNU_RELRO", text)
			self.assertRegex(text, r"GNU_STACK.* RW  ")

	@qemu_subset
	def test_stack_protector(self):
		for _, text in self.each("--dyn-syms"):
			self.assertRegex(text, r"UND __stack_chk_fail\b")

	@qemu_subset
	def test_fortify(self):
		if self.options["b_sanitize"] != "none" or self.options["optimization"] in ("0", "g", "plain"):
			self.skipTest("the sanitizers check more, and without optimization there is nothing to check with")
		for _, text in self.each("--dyn-syms"):
			self.assertRegex(text, r"UND __\w+_chk\b")

	@qemu_subset
	def test_control_flow(self):
		"""Every object of ours carries the mark; a program has it where the C library's own start files do, too."""
		machine = output("readelf", "-hW", BNND)
		mark = "IBT, SHSTK" if "X86-64" in machine else "BTI, PAC" if "AArch64" in machine else None
		if not mark:
			self.skipTest("nothing of the kind on this machine")
		objects = [
			path
			for folder in ("lib", "proto", "client", "daemon")
			for path in glob.glob(os.path.join(BUILD, folder, "**", "*.o"), recursive=True)
		]
		self.assertGreater(len(objects), 50)
		for path in objects:
			self.assertRegex(output("readelf", "-nW", path), f"feature: {mark}", path)


if __name__ == "__main__":
	main()
