/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/learn_bench.c: features by the engine, lessons and answers by the learner, as the daemon calls them. */
#include "learn_bench.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

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

FILE *bench_open(const char *path, const char *mode)
{
	FILE *f = fopen(path, mode);
	if (!f)
		bench_die("cannot open %s", path);
	return f;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	if (strcmp(verb, "features") == 0)
		return bench_features(argc - 2, argv + 2);
	if (strcmp(verb, "cases") == 0)
		return bench_cases(argc - 2, argv + 2);
	if (strcmp(verb, "draws") == 0)
		return bench_draws(argc - 2, argv + 2);
	fputs("usage: learn_bench features MODEL PICTURES Q H\n"
	      "       learn_bench cases MODEL CSV [NAME=VALUE]... -- SET...\n"
	      "       learn_bench draws [NAME=VALUE]... -- SET...\n",
		stderr);
	return 2;
}
