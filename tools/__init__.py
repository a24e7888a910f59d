# SPDX-License-Identifier: MIT
"""The tools of this tree: python3 -m tools.NAME, or tools.train.NAME, at its top. README.md says what each does."""
