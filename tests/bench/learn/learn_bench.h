/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/learn_bench.h: the verbs of learn_bench, each in its file, and what they share. */
#pragma once

#include <stdio.h>

void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
FILE *bench_open(const char *path, const char *mode); /* or exits with a sentence */

/* features MODEL PICTURES Q H: pictures ("BNPX", then u32 n, width, height, channels and the bytes) through lib/image and
 * lib/bnn. Writes q ("BNQX", u32 n, d, 0, 0, then int8) and h (f32); prints name, feature_id, side and d of the model. */
int bench_features(int argc, char **argv);
/* See cases.c. */
int bench_cases(int argc, char **argv);
int bench_draws(int argc, char **argv);
