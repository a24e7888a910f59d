# SPDX-License-Identifier: MIT
"""Golden files of the training code (.npz) -> a flat file that a C test can read.

  python3 -m tests.vectors.make_bnn_golden [--small] GOLDEN.npz OUT

--small: what may be committed of drawn pictures: features and raw features of all, signs (packed) and the last binary
layer's output of picture 0.

OUT, little-endian: "BNNGOLD1", u32 number of records; a record: 40 bytes name, u32 dtype ('f' float32, 'b' bytes, 'h'
int16, 'p' bits packed eight a byte, lowest first), u32 rank, 4 x u32 sides (unused: 1), u32 bytes, the bytes, zeros up
to a multiple of 8. tests/vectors/bnn/drawn-*.bin were made so; the pictures are those of tests/vectors/features/*.vec.
"""

import struct
import sys

import numpy as np

KINDS = {"f4": "f", "f8": "f", "u1": "b", "i2": "h"}


def record(name, array, packed):
	kind = "p" if packed else KINDS[array.dtype.str[1:]]
	shape = array.shape
	if kind == "f":
		array = array.astype("<f4")
	body = (np.packbits(array.reshape(-1), bitorder="little") if packed else array).tobytes()
	sides = list(shape) + [1] * (4 - len(shape))
	head = struct.pack("<40s7I", name.encode(), ord(kind), len(shape), *sides, len(body))
	return head + body + bytes(-(len(head) + len(body)) % 8)


def main():
	small = sys.argv[1] == "--small"
	golden = np.load(sys.argv[1 + small])
	names = list(golden.files)
	if small:
		last = [n for n in names if ".binary_residual." in n][-1]
		names = ["features", "raw", last] + [n for n in names if n.endswith(".bits")]
	body = b"".join(record(n, golden[n], small and n.endswith(".bits")) for n in names)
	with open(sys.argv[2 + small], "wb") as out:
		out.write(b"BNNGOLD1" + struct.pack("<2I", len(names), 0) + body)


if __name__ == "__main__":
	main()
