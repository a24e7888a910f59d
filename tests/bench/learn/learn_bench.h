/* SPDX-License-Identifier: MIT */
/* tests/bench/learn: the two verbs of learn_bench and what they share. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A file of n records of record_bytes: 4 letters, then little-endian u32 n and three more numbers, then the records. */
struct bench_file {
	uint32_t n, shape[3];
	uint8_t *data; /* free */
};
/* Exits with a sentence when the file is not there or not whole. */
void bench_read(const char *path, const char magic[4], struct bench_file *ret);
void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* features MODEL PICTURES OUT: pictures ("BNPX", width, height, channels) through lib/image and lib/bnn; writes q
 * ("BNQX", d, 0, 0) and prints the model's constants of Answers. */
int bench_features(int argc, char **argv);
/* lessons SETTING=VALUE... -- Q LESSONS ASKED OUT: teaches the lines of LESSONS ("class:index class:index ...", a lesson
 * a line, indices into Q) in order, prints a line for each, then answers every q of ASKED and writes 24 bytes each:
 * u32 id (class + 1) ranked first, u32 0, f64 cosine, f64 score. */
int bench_lessons(int argc, char **argv);
