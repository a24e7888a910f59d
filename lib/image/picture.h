/* SPDX-License-Identifier: MIT */
/* lib/image/picture.h: a picture as it comes, the input that a model wants of it, and what making the one of the other
 * may cost. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum image_fit { IMAGE_FIT_COVER = 1, IMAGE_FIT_CONTAIN, IMAGE_FIT_STRETCH };

/* What the model wants to see; from the model file, never from configuration. */
struct image_input {
	uint32_t width, height; /* pixels, 1..IMAGE_INPUT_MAX_SIDE */
	enum image_fit fit;
	uint8_t background[3]; /* R, G, B: under transparent pixels and around a contained picture */
};

enum {
	IMAGE_INPUT_MAX_SIDE = 1024,
	IMAGE_MAX_SIDE = 16384,      /* of a source picture, pixels */
	IMAGE_MAX_PIXELS = 64 << 20, /* of a source picture */
	IMAGE_MAX_SCANS = 64,        /* of a progressive JPEG */

	/* What one picture may cost where nobody says otherwise. */
	IMAGE_DECODE_MEMORY_MIB = 48,
	IMAGE_DECODE_MEGAPIXELS = 24,
	IMAGE_DECODE_SECONDS = 10,
};

enum image_source { IMAGE_ENCODED = 1, IMAGE_RAW };

/* A picture as a client gives it. Borrowed; nothing in it is trusted. */
struct image_picture {
	enum image_source source;
	const uint8_t *bytes; /* encoded: a whole JPEG or PNG file; raw: height x width x channels, rows packed */
	size_t len_bytes;
	uint32_t raw_width, raw_height, raw_channels; /* raw only; channels 1 (grey) or 3 (R, G, B) */
	uint32_t rotate;                              /* degrees clockwise: 0, 90, 180, 270 */
	bool has_roi;
	double roi[4]; /* x, y, width, height as fractions of the picture as it is seen after rotation */
};

enum image_stop {
	IMAGE_GO_ON,
	IMAGE_STOP_REQUEST, /* nobody waits for it any more: ERR_DEADLINE_EXCEEDED */
	IMAGE_STOP_SLOW,    /* it has taken decode_seconds: ERR_RESOURCE_EXHAUSTED */
};

/* What one picture may cost. Its price is counted in pixels of an 8-bit colour PNG, by what decoders were measured to
 * need: known from the header, but for the scans of a JPEG, which are added as they come.
 *
 *   PNG    grey or palette 1/2, grey with alpha 3/4, colour 1, colour with alpha 1 1/4 a pixel; at 16 bit 3/4, 1 1/4,
 *          1 3/4, 2 1/4; grey of less than 8 bit with a transparent shade 2; interlaced a quarter more
 *   JPEG   1/16 a sample (a colour component of a pixel, as it is stored) of every scan and of the reduced picture:
 *          about 1/10 a pixel for a photograph, 1/2 for a progressive one
 *   raw    nothing: the pixels are there */
struct image_limits {
	size_t decode_memory_bytes; /* what one decoder may hold (image.decode_memory_mib) */
	uint32_t decode_megapixels; /* millions of pixels at that price (image.decode_megapixels); 0: any number */
	uint32_t decode_seconds;    /* for the sentence alone (image.decode_seconds): the clock is the caller's */
	/* Asked every few rows while decoding. NULL: never. */
	enum image_stop (*stop)(void *ctx);
	void *stop_ctx;
};
