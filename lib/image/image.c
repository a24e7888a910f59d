/* SPDX-License-Identifier: MIT */
/* lib/image/image.c: see image.h. Checks what the caller says about the picture before anything is decoded, then
 * leaves it to the decoder of its format. Refuses regions outside the picture, raw pictures of another length than
 * their size says, and formats that are not read. */
#include "lib/image/image.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/image/decode.h"
#include "lib/image/geometry.h"
#include "lib/image/resize.h"
#include "lib/image/sniff.h"

int decode_check_size(uint64_t width, uint64_t height, struct err *err)
{
	if (width == 0 || height == 0)
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "picture"},
			"the picture of %ju x %ju pixels is empty", (uintmax_t)width, (uintmax_t)height);
	if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.field = "picture", .limit = IMAGE_MAX_SIDE},
			"the picture has %ju x %ju pixels: at most %d a side are possible", (uintmax_t)width,
			(uintmax_t)height, IMAGE_MAX_SIDE);
	if (width * height > IMAGE_MAX_PIXELS)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.field = "picture", .limit = IMAGE_MAX_PIXELS},
			"the picture has %ju x %ju pixels: at most %d in all are possible", (uintmax_t)width,
			(uintmax_t)height, IMAGE_MAX_PIXELS);
	return 0;
}

int decode_check_memory(
	const struct decode_job *job, uint64_t need_bytes, const char *what, const char *remedy, struct err *err)
{
	uint64_t limit = job->limits->decode_memory_bytes;
	if (need_bytes <= limit)
		return 0;
	return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
		(struct err_about){.field = DECODE_MEMORY_SETTING, .limit = limit},
		"%s needs %.1f MiB of memory: the limit is %.1f MiB (%s)%s%s", what, (double)need_bytes / (1 << 20),
		(double)limit / (1 << 20), DECODE_MEMORY_SETTING, remedy[0] ? "; " : "", remedy);
}

int decode_check_price(
	const struct decode_job *job, const struct decode_subject *subject, uint64_t price, struct err *err)
{
	enum { MILLION = 1000000 };
	uint64_t limit = job->limits->decode_megapixels;
	if (limit == 0 || price <= limit * MILLION * DECODE_PRICE_PIXEL)
		return 0;
	return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
		(struct err_about){.field = DECODE_MEGAPIXELS_SETTING, .limit = limit},
		"to decode this %s of %u x %u pixels costs as much as %.1f megapixels of plain PNG or more: the "
		"limit is %ju (%s); a smaller picture costs less: %s",
		subject->kind, subject->width, subject->height, (double)price / MILLION / DECODE_PRICE_PIXEL,
		(uintmax_t)limit, DECODE_MEGAPIXELS_SETTING, subject->remedy);
}

int decode_check_stop(const struct decode_job *job, const struct decode_subject *subject, struct err *err)
{
	switch (job->limits->stop ? job->limits->stop(job->limits->stop_ctx) : IMAGE_GO_ON) {
	case IMAGE_GO_ON:
		return 0;
	case IMAGE_STOP_SLOW:
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.field = DECODE_SECONDS_SETTING, .limit = job->limits->decode_seconds},
			"to decode this %s of %u x %u pixels takes more than %u s, the limit (%s); a smaller "
			"picture takes less: %s",
			subject->kind, subject->width, subject->height, job->limits->decode_seconds,
			DECODE_SECONDS_SETTING, subject->remedy);
	case IMAGE_STOP_REQUEST:
		break;
	}
	return err_set(err, ERR_DEADLINE_EXCEEDED, "the time for this request was over while its picture was decoded");
}

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
