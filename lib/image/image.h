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

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/image/picture.h"

enum { IMAGE_RULES = 1 };

/* Writes input->height x input->width x 3 bytes (R, G, B) to ret_pixels. One thread per call, no state kept.
 * What was in ret_pixels is cleared first, and 0 is returned only when every pixel was written: nobody sees a part of the
 * picture that was decoded before. After an error ret_pixels holds anything of this picture. limits may be NULL:
 * IMAGE_DECODE_..., no stop.
 * Errors: ERR_INVALID_ARGUMENT (broken, truncated, raw size wrong, roi or rotate out of range, a format that is
 * recognised but not read: the sentence has the command that converts it), ERR_RESOURCE_EXHAUSTED (over a limit, with the
 * setting and what makes the picture cheaper), ERR_DEADLINE_EXCEEDED. */
int image_to_input(const struct image_picture *picture, const struct image_input *input,
	const struct image_limits *limits, uint8_t *ret_pixels, struct err *err);

/* An 8-bit RGB PNG of the pixels; *ret_png belongs to the caller (free). For `look`. */
int image_png_encode(const uint8_t *pixels, uint32_t width, uint32_t height, uint8_t **ret_png, size_t *ret_len_bytes,
	struct err *err);
