/* SPDX-License-Identifier: MIT */
/* tests/fuzz/fuzz.h: what the targets share: the input's bytes, taken from the front, and a check that stops the run.
 *
 * A target is one function that takes any bytes and returns 0 (libFuzzer's interface). It aborts where the code under
 * test broke a promise; the sanitizers see the rest. The same input does the same every time, as far as threads allow. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define FUZZ_CHECK(condition)                                                                                          \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "broken promise at %s:%d: %s\n", __FILE__, __LINE__, #condition);              \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)

/* The rest of the input. Past its end everything is 0, so any input says something. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};
uint8_t fuzz_u8(struct fuzz_input *input);
uint16_t fuzz_u16(struct fuzz_input *input);
uint32_t fuzz_u32(struct fuzz_input *input);
uint64_t fuzz_u64(struct fuzz_input *input);
/* A number in one to nine bytes: most are small, and the ends of every width are as near as 7. */
int64_t fuzz_number(struct fuzz_input *input);
/* At most n bytes as they lie; *ret_n says how many there were. Never NULL. */
const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t n, size_t *ret_n);

/* A refusal: a code of ours, and a sentence that is one. */
void fuzz_check_refusal(int r, const struct err *err);

/* poll() of one descriptor, which signals do not end (libFuzzer has a timer). */
int fuzz_poll(int fd, short events, int timeout_ms, short *ret_events);

/* A folder of this process alone, in memory where there is such a place; removed at exit. Every call empties it. */
const char *fuzz_folder(void);
/* The bytes of a file of the source tree; the caller frees them. */
uint8_t *fuzz_source_file(const char *path, size_t *ret_n);
