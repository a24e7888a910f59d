# SPDX-License-Identifier: MIT
"""What one picture costs on a board, as a model of cycles says: the one place with its constants.

  python3 -m tools.cycles [--write] MODEL.bnn...

Prints each board's milliseconds; --write puts them into the model's card, beside it and in the file, and changes nothing
else.

Estimates, not measurements: no board was at hand. The constants were fitted on 2026-11-27 to the passes of photo96-4 and
nano64-2 as the portable NEON kernels make them (Debian's gcc 12, -O3): exact guest instructions of every step under
qemu-aarch64 (24.7 and 9.2 million), and for their blocks the cycles of llvm-mca 19 (cortex-a72; neoverse-n1 for the A76)
or, for the A53, of a small in-order model with instruction times measured on a Raspberry Pi 3. They give both passes
within 2 %, single steps within 40 %. When kernels change, they are fitted anew.

How far a board is from such a model: Larq Compute Engine publishes 27.7, 45.0 and 77.0 ms for QuickNetSmall, QuickNet
and QuickNetLarge on a Raspberry Pi 4B at 1.5 GHz. The last two differ by 1,850 million binary multiply-adds and 32.0 ms,
so 3.3 cycles for 128 of them, where llvm-mca says 1.5 for LCE's inner loop: caches, and cores that are not as wide as
they are described. A board may need up to LCE_SHARE times what is printed here.
"""

import argparse
import collections
import math
import pathlib
import re

from tools.bnnfile import read, write

# Cycles: for 128 binary multiply-adds, for a result of a binary convolution, for a float multiply-add of the three kinds
# of layers, for a result of any other step; and the clock in GHz.
Board = collections.namedtuple("Board", "binary_128 binary_result conv2d depthwise_conv2d dense other_result ghz")
BOARDS = {
	"Raspberry Pi Zero 2 (A53)": Board(4.73, 34.91, 1.03, 9.37, 2.65, 10.44, 1.0),
	"Raspberry Pi 4 (A72)": Board(1.93, 15.29, 0.42, 4.40, 0.99, 4.10, 1.5),
	"Raspberry Pi 5 (A76)": Board(1.96, 10.76, 0.26, 6.92, 0.84, 2.88, 2.4),
}
UNIT_BITS = 128
LCE_SHARE = 3.3 / 1.5
# What a mean or a deviation costs lies in what it reads, four numbers a vector: for one of those llvm-mca says 6 to 8
# cycles on the A53, 4 to 6 on the A72 and 2 on the A76, so it counts as a result of any other step.
STATISTICS, STATISTIC_LANES = ("mean", "deviation"), 4
# What lib/bnn computes within the step of the convolution before it.
FUSED = {"binary_conv2d": ("add", "prelu", "sign"), "conv2d": ("clamp",), "depthwise_conv2d": ("clamp",)}
ROW = "| {board}, estimate | {ms:.1f} ms a picture |"


def count(model):
	"""What of each kind a picture takes: a Counter with Board's fields (without the clock) as keys."""
	counts, within = collections.Counter(), {}  # within: a result -> the convolution whose step makes it
	for op in model.graph.ops:
		kind, out = op.WhichOneof("attributes"), op.outputs[0]
		results = math.prod(model.tensors[out].shape)
		step = next((within[x] for x in op.inputs if x in within and kind in FUSED[within[x]]), None)
		if kind == "binary_conv2d":
			counts["binary_128"] += results * math.prod(model.tensors[op.inputs[1]].shape[1:]) / UNIT_BITS
			counts["binary_result"] += results
		elif kind in ("conv2d", "depthwise_conv2d", "dense"):
			shape = model.tensors[op.inputs[1]].shape
			counts[kind] += results * math.prod(shape[:2] if kind == "depthwise_conv2d" else shape[1:])
		elif kind in STATISTICS:
			counts["other_result"] += math.prod(model.tensors[op.inputs[0]].shape) / STATISTIC_LANES
		elif step is None:
			counts["other_result"] += results
		if step or kind in FUSED:
			within[out] = step or kind
	counts["other_result"] += math.prod(model.tensors[model.graph.input.tensor].shape)
	return counts


def milliseconds(counts, board):
	"""board: a name in BOARDS."""
	costs = BOARDS[board]
	return sum(n * getattr(costs, kind) for kind, n in counts.items()) / costs.ghz / 1e6


def rows(model):
	counts = count(model)
	return [ROW.format(board=board, ms=milliseconds(counts, board)) for board in BOARDS]


def rewrite(path):
	"""The card's rows as the constants are now; the model's numbers and its feature_id stay."""
	model = read(path)
	text = model.graph.card.text
	for board, row in zip(BOARDS, rows(model), strict=True):
		text = re.sub(r"^\| " + re.escape(board) + r", estimate \|.*$", row, text, flags=re.M)
	model.graph.card.text = text
	write(path, model)
	path.with_suffix(".md").write_text(text)


def main(argv=None):
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	p.add_argument("--write", action="store_true")
	p.add_argument("models", type=pathlib.Path, nargs="+")
	a = p.parse_args(argv)
	for path in a.models:
		if a.write:
			rewrite(path)
		counts = count(read(path))
		print(f"{path.name}: " + ", ".join(f"{board} {milliseconds(counts, board):.1f} ms" for board in BOARDS))


if __name__ == "__main__":
	main()
