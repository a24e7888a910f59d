/* SPDX-License-Identifier: MIT */
/* lib/image/decode.h: inside lib/image only. A decoder reads one format row by row and hands every row that is needed
 * to a resampler, so nobody ever holds a whole picture; what must be held (an interlaced PNG, the coefficients of a
 * progressive JPEG) is checked against the limit first. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/image/picture.h"

enum {
	DECODE_ROWS_PER_STOP = 16, /* rows between two questions to image_limits.stop */
	DECODE_PRICE_PIXEL = 16,   /* the price of a pixel of an 8-bit colour PNG, see image_limits */
};
#define DECODE_MEMORY_SETTING     "image.decode_memory_mib"
#define DECODE_MEGAPIXELS_SETTING "image.decode_megapixels"
#define DECODE_SECONDS_SETTING    "image.decode_seconds"

/* One call of image_to_input; borrowed by the decoder, checked by image.c. */
struct decode_job {
	const struct image_picture *picture;
	const struct image_input *input;
	const struct image_limits *limits; /* never NULL here */
	uint8_t *pixels;                   /* the result, input->height x input->width x 3 */
};

/* Each writes all of job->pixels or returns what image_to_input returns. */
int decode_jpeg(const struct decode_job *job, struct err *err);
int decode_png(const struct decode_job *job, struct err *err);
int decode_raw(const struct decode_job *job, struct err *err);

/* A picture of width x height pixels: at least one, within IMAGE_MAX_SIDE and IMAGE_MAX_PIXELS.
 * ERR_INVALID_ARGUMENT, ERR_RESOURCE_EXHAUSTED with the limit. */
int decode_check_size(uint64_t width, uint64_t height, struct err *err);

/* ERR_RESOURCE_EXHAUSTED with the setting's name when need_bytes is over the limit; what: "this progressive JPEG";
 * remedy: "" or what a person can do. */
int decode_check_memory(
	const struct decode_job *job, uint64_t need_bytes, const char *what, const char *remedy, struct err *err);

/* What a sentence calls the picture that is too much, and the command that makes it less. */
struct decode_subject {
	const char *kind; /* "PNG" */
	uint32_t width, height;
	const char *remedy;
};

/* ERR_RESOURCE_EXHAUSTED with the setting's name when the price so far is over the limit. */
int decode_check_price(
	const struct decode_job *job, const struct decode_subject *subject, uint64_t price, struct err *err);

/* Asks image_limits.stop: ERR_DEADLINE_EXCEEDED, or ERR_RESOURCE_EXHAUSTED with the setting's name. */
int decode_check_stop(const struct decode_job *job, const struct decode_subject *subject, struct err *err);
