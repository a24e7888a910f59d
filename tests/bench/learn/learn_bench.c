/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/learn_bench.c: what accuracy.py drives: features by the engine, lessons by the learner, as the
 * daemon calls them. It computes no accuracy: it is shown no label of an asked picture. */
#include "learn_bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"

enum { HEADER_BYTES = 20 };

void bench_die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("learn_bench: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

void bench_read(const char *path, const char magic[4], struct bench_file *ret)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		bench_die("cannot open %s", path);
	uint8_t header[HEADER_BYTES];
	if (fread(header, 1, sizeof header, f) != sizeof header || memcmp(header, magic, 4) != 0)
		bench_die("%s is no %.4s file", path, magic);
	*ret = (struct bench_file){.n = load_le32(header + 4)};
	size_t bytes = ret->n;
	for (int i = 0; i < 3; i++) {
		ret->shape[i] = load_le32(header + 8 + 4 * i);
		bytes *= ret->shape[i] ? ret->shape[i] : 1;
	}
	ret->data = malloc(bytes + 1);
	if (!ret->data || fread(ret->data, 1, bytes, f) != bytes)
		bench_die("%s is cut short", path);
	fclose(f);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "features") == 0)
		return bench_features(argc - 2, argv + 2);
	if (argc > 1 && strcmp(argv[1], "lessons") == 0)
		return bench_lessons(argc - 2, argv + 2);
	fputs("usage: learn_bench features MODEL PICTURES OUT\n"
	      "       learn_bench lessons SETTING=VALUE... -- Q LESSONS ASKED OUT\n",
		stderr);
	return 2;
}
