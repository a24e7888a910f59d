/* SPDX-License-Identifier: MIT */
/* lib/image/resize.h: inside lib/image only. Rows of the crop, top to bottom as stored -> the pixels of the input.
 *
 * Equal to Pillow's Image.resize(..., BILINEAR) of the crop as it is seen, bit for bit: per axis a triangle filter
 * whose width grows with the reduction (antialias), weights rounded to 22 bits, the seen horizontal pass first, bytes
 * between the passes. (Pillow: src/libImaging/Resample.c, precompute_coeffs and normalize_coeffs_8bpc.) */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/image/decode.h"
#include "lib/image/geometry.h"

/* The weights along one stored axis, in stored order: output e sums size[e] source pixels from start[e]. */
struct resize_axis {
	uint32_t n;       /* outputs */
	uint32_t stride;  /* weights kept per output */
	bool flip;        /* output e goes to place n - 1 - e */
	uint32_t *start;  /* first source pixel, rising with e */
	uint32_t *size;   /* source pixels, 1..stride */
	int32_t *weights; /* n x stride */
};

struct resizer {
	struct geometry geometry;
	uint32_t input_width;
	uint8_t *pixels; /* of the whole input, borrowed */
	struct resize_axis x, y;
	uint32_t next_row; /* of the crop */
	uint32_t next_out; /* along y */
	size_t row_bytes;  /* of one row of the ring */
	uint32_t ring_rows;
	uint8_t *ring; /* the newest rows that an output still needs */
	int32_t *sums; /* row_bytes sums */
	uint8_t *line; /* row_bytes bytes: one output of the pass along y */
};

/* Paints the background that stays visible and prepares for geometry. ERR_RESOURCE_EXHAUSTED when the rows that must
 * be held at once are over the job's limit; the resizer is then empty. Deinit in any case. */
int resizer_init(struct resizer *z, const struct decode_job *job, const struct geometry *geometry, struct err *err);

/* The next row of the crop: geometry.crop.width x 3 bytes. Call it geometry.crop.height times. */
void resizer_row(struct resizer *z, const uint8_t *rgb);

/* After the last row: 0 when every row has come, so that every pixel is written; ERR_INVALID_ARGUMENT otherwise. A decoder
 * that returns 0 has called it. */
int resizer_finish(const struct resizer *z, struct err *err);

/* Frees what init made; an all-zero resizer is fine. */
void resizer_deinit(struct resizer *z);
