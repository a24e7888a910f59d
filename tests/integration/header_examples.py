#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes a C program of the examples in bnnd.h's first comment, as they stand there: header_examples.py BNND_H OUT_C.

  PROGRAM PICTURE          the first example: asks what the picture is
  PROGRAM PICTURE teach    ... and then the second, over the same connection: teaches it three times over

What the examples take as given (jpeg, n; pictures, n_pictures) is declared here and nothing else.
"""

import re
import sys

BLOCK = re.compile(r"(?:^ \*\t.*\n)+(?: \*\n(?: \*\t.*\n)+)*", re.M)

PROGRAM = """\
#include "client/bnnd.h"
#include <stdio.h>
#include <string.h>

static char jpeg[1 << 23];

static void teach(struct bnnd_conn *conn, const struct bnnd_picture *pictures, size_t n_pictures)
{
	struct bnnd_error err;
@second@}

int main(int argc, char **argv)
{
	FILE *file = fopen(argc > 1 ? argv[1] : "", "rb");
	if (!file)
		return 2;
	size_t n = fread(jpeg, 1, sizeof jpeg, file);
	(void)fclose(file);
	if (argc > 2) {
		struct bnnd_picture one = {.data = jpeg, .len_bytes = n};
		struct bnnd_picture three[] = {one, one, one};
		struct bnnd_conn *conn;
		if (bnnd_connect(NULL, &conn, NULL) == 0)
			teach(conn, three, 3);
		bnnd_close(conn);
	}
@first@	return 0;
}
"""


def main(header, out):
	with open(header, encoding="utf-8") as f:
		comment = f.read().split("#ifndef BNND_H")[0]
	first, second = ("".join(line[2:] + "\n" for line in block.splitlines()) for block in BLOCK.findall(comment))
	with open(out, "w", encoding="utf-8") as f:
		f.write(PROGRAM.replace("@first@", first).replace("@second@", second))


if __name__ == "__main__":
	main(*sys.argv[1:])
