/* SPDX-License-Identifier: MIT */
/* lib/image/image.h: an encoded or raw picture -> exactly the bytes the network sees.
 *
 *   bytes -> decode (JPEG reduced by 1, 2, 4 or 8) -> EXIF orientation -> rotate -> roi -> fit -> resize -> H x W x 3
 *
 * The rules have a number (IMAGE_RULES), which is part of the model's input format: the same picture gives the same
 * bytes on every CPU. The resize equals Pillow's BILINEAR with antialias bit for bit. In full:
 *
 *   JPEG     libjpeg-turbo's ISLOW DCT, fancy upsampling, profiles ignored; reduced by the largest of 8, 4, 2 that leaves
 *            both sides of the region, as it is in the reduced picture, at least twice the input's side
 *   colour   grey three times; 16 bit by the high byte; CMYK: red = c k / 255 to the nearest, where 255 is no ink, as
 *            Adobe stores it and browsers take it, with or without Adobe's marker; alpha: (c a + b (255 - a)) / 255 to
 *            the nearest over the model's background b
 *   seen     as EXIF says (JPEG's first EXIF segment, PNG's eXIf; nonsense there means 1), then turned by rotate
 *   region   columns floor(x W) to ceil((x + w) W), rows likewise, at least one; what is within 1e-6 pixels of a whole
 *            number is that number, so 0.1 + 0.2 of 100 is 30
 *   cover    the region's centre with the input's shape: the longer side is other side * ratio to the nearest, the margin
 *            before it is floor(rest / 2)
 *   contain  the whole region, the shorter side of the result to the nearest, floor(rest / 2) of background before it
 *   stretch  the whole region to the whole input
 *   resize   Image.crop(...).resize(size, BILINEAR) of Pillow, of the picture as it is seen
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum { IMAGE_RULES = 1 };

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

/* Writes input->height x input->width x 3 bytes (R, G, B) to ret_pixels. One thread per call, no state kept.
 * What was in ret_pixels is cleared first, and 0 is returned only when every pixel was written: nobody sees a part of the
 * picture that was decoded before. After an error ret_pixels holds anything of this picture. limits may be NULL:
 * those above, no stop.
 * Errors: ERR_INVALID_ARGUMENT (broken, truncated, raw size wrong, roi or rotate out of range, a format that is
 * recognised but not read: the sentence has the command that converts it), ERR_RESOURCE_EXHAUSTED (over a limit, with the
 * setting and what makes the picture cheaper), ERR_DEADLINE_EXCEEDED. */
int image_to_input(const struct image_picture *picture, const struct image_input *input,
	const struct image_limits *limits, uint8_t *ret_pixels, struct err *err);

/* An 8-bit RGB PNG of the pixels; *ret_png belongs to the caller (free). For `look`. */
int image_png_encode(const uint8_t *pixels, uint32_t width, uint32_t height, uint8_t **ret_png, size_t *ret_len_bytes,
	struct err *err);
