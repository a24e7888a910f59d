/* SPDX-License-Identifier: MIT */
/* lib/image/image.c: see image.h. Checks what the caller says about the picture before anything is decoded, then
 * leaves it to the decoder of its format. Refuses regions outside the picture and formats that are not read. */
#include "lib/image/image.h"

#include <string.h>

#include "lib/base/require.h"
#include "lib/image/decode.h"
#include "lib/image/geometry.h"
#include "lib/image/sniff.h"

int image_to_input(const struct image_picture *picture, const struct image_input *input,
	const struct image_limits *limits, uint8_t *ret_pixels, struct err *err)
{
	static const struct image_limits defaults = {.decode_memory_bytes = IMAGE_DECODE_MEMORY_MIB << 20,
		.decode_megapixels = IMAGE_DECODE_MEGAPIXELS,
		.decode_seconds = IMAGE_DECODE_SECONDS};
	/* The input comes from a model that was checked when it was loaded. */
	REQUIRE(input->width >= 1 && input->width <= IMAGE_INPUT_MAX_SIDE && input->height >= 1 &&
		input->height <= IMAGE_INPUT_MAX_SIDE && input->fit >= IMAGE_FIT_COVER &&
		input->fit <= IMAGE_FIT_STRETCH);
	memset(ret_pixels, 0, (size_t)input->width * input->height * 3); /* they may be another's picture */
	int r = geometry_check(picture, err);
	if (r < 0)
		return r;
	struct decode_job job = {picture, input, limits ? limits : &defaults, ret_pixels};
	if (picture->source == IMAGE_RAW)
		return decode_raw(&job, err);
	REQUIRE(picture->source == IMAGE_ENCODED);
	enum sniff_format format;
	r = sniff_format(picture->bytes, picture->len_bytes, &format, err);
	if (r < 0) {
		err_set_field(err, "picture");
		return r;
	}
	return format == SNIFF_JPEG ? decode_jpeg(&job, err) : decode_png(&job, err);
}
