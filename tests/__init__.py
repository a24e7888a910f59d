# SPDX-License-Identifier: MIT
"""A package: tests are run as modules, python3 -m tests.integration.test_spine at the top of the tree, and so find one
another and tools/. This is the one place that adds to the search path: the client library is used where it lies."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "client" / "python"))
