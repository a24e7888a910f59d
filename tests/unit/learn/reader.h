/* SPDX-License-Identifier: MIT */
/* tests/unit/learn/reader.h: a file of tests/vectors/learn/, read from front to end; a test fails where it ends early.
 * Include it behind cmocka.h. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"

enum { READER_FILE_MAX_BYTES = 1 << 20 };

struct reader {
	uint8_t *bytes; /* the caller's (free) */
	size_t at, len_bytes;
};

static inline const uint8_t *take(struct reader *r, size_t n)
{
	assert_true(n <= r->len_bytes - r->at);
	r->at += n;
	return r->bytes + r->at - n;
}

static inline uint32_t take_u32(struct reader *r)
{
	return load_le32(take(r, 4));
}

static inline uint64_t take_u64(struct reader *r)
{
	return load_le64(take(r, 8));
}

static inline double take_f64(struct reader *r)
{
	uint64_t bits = take_u64(r);
	double x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

/* The environment names the source directory. */
static inline void open_case(const char *name, const char magic[4], struct reader *ret)
{
	const char *source = getenv("BNND_SOURCE_DIR");
	char path[4096];
	snprintf(path, sizeof path, "%s/tests/vectors/learn/%s.bin", source ? source : ".", name);
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("cannot open %s", path);
	*ret = (struct reader){.bytes = malloc(READER_FILE_MAX_BYTES)};
	ret->len_bytes = fread(ret->bytes, 1, READER_FILE_MAX_BYTES, f);
	fclose(f);
	assert_memory_equal(take(ret, 4), magic, 4);
}
