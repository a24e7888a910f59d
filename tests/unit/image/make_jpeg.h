/* SPDX-License-Identifier: MIT */
/* tests/unit/image/make_jpeg.h: JPEG files that no ordinary program writes, made by libjpeg at test time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum jpeg_kind {
	JPEG_BASELINE,
	JPEG_SEPARATE,    /* baseline, one scan a component */
	JPEG_PROGRESSIVE, /* libjpeg's own scans */
	JPEG_ARITHMETIC,  /* baseline, arithmetic coding */
	JPEG_TWO_SCANS,   /* progressive: all DC coefficients, then all AC ones; needs one component */
};

struct jpeg_wish {
	uint32_t width, height;
	int components; /* 1 grey, 2 of no meaning, 3 YCbCr */
	enum jpeg_kind kind;
	int restart_rows;      /* rows of blocks between restart markers, 0: none */
	const uint8_t *pixels; /* height x width x components, NULL: all of them 100 */
	bool subsampled;       /* 4:2:0, as cameras do */
};

/* The file; the caller frees *ret_file with free(). */
void make_jpeg(const struct jpeg_wish *wish, uint8_t **ret_file, size_t *ret_bytes);

/* Where the n-th (from 0) marker of that kind begins. Entropy-coded data is skipped as it contains none. */
size_t find_marker(const uint8_t *file, size_t file_bytes, unsigned marker, unsigned n);
