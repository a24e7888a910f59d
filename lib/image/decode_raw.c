/* SPDX-License-Identifier: MIT */
/* lib/image/decode_raw.c: pixels that need no decoding: grey or colour. Refuses another length than the size says. */
#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/image/decode.h"
#include "lib/image/geometry.h"
#include "lib/image/resize.h"

/* One row of the crop as RGB; grey is repeated three times. */
static const uint8_t *raw_row(const struct image_picture *picture, const struct rect *crop, uint32_t y, uint8_t *line)
{
	size_t channels = picture->raw_channels;
	const uint8_t *row = picture->bytes + ((size_t)(crop->y + y) * picture->raw_width + crop->x) * channels;
	if (channels == 3)
		return row;
	for (uint32_t i = 0; i < crop->width; i++)
		line[3 * (size_t)i] = line[3 * (size_t)i + 1] = line[3 * (size_t)i + 2] = row[i];
	return line;
}

int decode_raw(const struct decode_job *job, struct err *err)
{
	const struct image_picture *picture = job->picture;
	if (picture->raw_channels != 1 && picture->raw_channels != 3)
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "picture.raw"},
			"a raw picture of %u channels: 1 (grey) and 3 (red, green, blue) are possible",
			picture->raw_channels);
	int r = decode_check_size(picture->raw_width, picture->raw_height, err);
	if (r < 0)
		return r;
	uint64_t expected = (uint64_t)picture->raw_width * picture->raw_height * picture->raw_channels;
	if (picture->len_bytes != expected)
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "picture.raw"},
			"the raw picture has %zu bytes, but %ux%ux%u are %ju", picture->len_bytes, picture->raw_width,
			picture->raw_height, picture->raw_channels, (uintmax_t)expected);

	const struct decode_subject subject = {
		"raw picture", picture->raw_width, picture->raw_height, "send fewer pixels"};
	struct geometry geometry;
	geometry_plan(picture, job->input, picture->raw_width, picture->raw_height, 1, &geometry);
	struct resizer z;
	r = resizer_init(&z, job, &geometry, err);
	uint8_t *line = r == 0 ? mem_zalloc(geometry.crop.width, 3) : NULL;
	for (uint32_t y = 0; r == 0 && y < geometry.crop.height; y++) {
		if (y % DECODE_ROWS_PER_STOP == 0)
			r = decode_check_stop(job, &subject, err);
		if (r == 0)
			resizer_row(&z, raw_row(picture, &geometry.crop, y, line));
	}
	if (r == 0)
		r = resizer_finish(&z, err);
	free(line);
	resizer_deinit(&z);
	return r;
}
