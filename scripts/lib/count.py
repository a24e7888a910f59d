#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""count.py LOG.json...: sums what the tests of meson's testlog.json say of themselves.

cmocka 1.1.5 and unittest print how many of their cases passed, failed and were skipped; a test that prints neither
counts as one. meson's own verdict is the authority: a test that failed without naming a failed case (a crash, a leak, a
time-out) adds one failure. Prints the sum as `N passed, N failed, N skipped` and ends with 1 when something failed or
nothing ran.
"""

import json
import re
import sys

CMOCKA = {
	"passed": re.compile(r"^\[  PASSED  \] (\d+) test", re.M),
	"failed": re.compile(r"^\[  FAILED  \] (\d+) test", re.M),
	"skipped": re.compile(r"^\[  SKIPPED \] (\d+) test", re.M),
}
CMOCKA_ANY = re.compile(r"^\[==========\] (?:tests: |.*?: )?(?:Running )?\d+ test", re.M)
UNITTEST = re.compile(r"^Ran (\d+) tests? in .*?\n\n(OK|FAILED)(?: \((.*?)\))?\s*$", re.M | re.S)


def cases(text):
	"""(passed, failed, skipped) as the text says, or None when it says nothing."""
	found = None
	if CMOCKA_ANY.search(text) or CMOCKA["passed"].search(text):
		found = [sum(map(int, CMOCKA[k].findall(text))) for k in ("passed", "failed", "skipped")]
	for ran, _, details in UNITTEST.findall(text):
		found = found or [0, 0, 0]
		counts = {k.strip(): int(v) for k, v in re.findall(r"([a-z ]+)=(\d+)", details or "")}
		failed = sum(counts.get(k, 0) for k in ("failures", "errors", "unexpected successes"))
		found[0] += max(0, int(ran) - failed - counts.get("skipped", 0))
		found[1] += failed
		found[2] += counts.get("skipped", 0)
	return found


def count(test):
	result = test["result"]
	text = "\n".join(test.get(k) or "" for k in ("stdout", "stderr"))
	found = cases(text)
	if result == "SKIP":
		return found if found and not found[0] and not found[1] and found[2] else [0, 0, 1]
	good = result in ("OK", "EXPECTEDFAIL")
	if found is None or not any(found):
		return [1, 0, 0] if good else [0, 1, 0]
	if good and found[1]:
		raise SystemExit(f"{test['name']}: prints a failure but ends with success")
	if not good and not found[1]:
		found[1] = 1
	return found


def main(paths):
	total = [0, 0, 0]
	for path in paths:
		with open(path, encoding="utf-8") as log:
			for line in log:
				test = json.loads(line)
				passed, failed, skipped = count(test)
				total = [a + b for a, b in zip(total, (passed, failed, skipped), strict=True)]
				if skipped:
					print(f"skipped: {skipped} of {test['name']}")
				if failed:
					print(f"FAILED: {failed} of {test['name']} ({test['result']})")
	print("{} passed, {} failed, {} skipped".format(*total))
	return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
	sys.exit(main(sys.argv[1:]))
