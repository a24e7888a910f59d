/* SPDX-License-Identifier: MIT */
/* lib/image/geometry.c: see geometry.h. Orientation, rotation, region and fit, in integers where a rounding counts.
 * The roundings here are part of IMAGE_RULES. */
#include "lib/image/geometry.h"

#include <math.h>

#include "lib/base/require.h"

/* A fraction typed in decimal is not exact in binary: 0.1 + 0.2 of 100 columns is 30.000000000000004, which must not
 * become 31. So "whole" is what lies within this of a whole number of pixels. */
static const double WHOLE_PIXEL = 1e-6;
static const double ROI_END_MAX = 1.0 + 1e-9;

static struct orientation orientation_of_exif(unsigned exif)
{
	static const struct orientation table[] = {
		{0, 0, 0}, /* 1: as stored */
		{0, 1, 0}, /* 2: mirrored left to right */
		{0, 1, 1}, /* 3: turned by 180 */
		{0, 0, 1}, /* 4: mirrored top to bottom */
		{1, 0, 0}, /* 5: transposed */
		{1, 0, 1}, /* 6: to be turned by 90 clockwise */
		{1, 1, 1}, /* 7: transposed along the other diagonal */
		{1, 1, 0}, /* 8: to be turned by 270 clockwise */
	};
	REQUIRE(exif >= 1 && exif <= 8);
	return table[exif - 1];
}

/* Turning the seen picture by 90 degrees clockwise: new (x, y) is old (y, h - 1 - x), where h is the old seen height,
 * so the axis that x now runs along is counted from its other end: the stored row if it was not transposed before. */
static struct orientation orientation_turn(struct orientation o)
{
	if (o.transpose)
		return (struct orientation){false, !o.flip_x, o.flip_y};
	return (struct orientation){true, o.flip_x, !o.flip_y};
}

int geometry_check(const struct image_picture *picture, struct err *err)
{
	if (picture->rotate % 90 != 0 || picture->rotate > 270)
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "picture.rotate"},
			"rotate is %u: 0, 90, 180 or 270 are possible", picture->rotate);
	if (!picture->has_roi)
		return 0;
	const double *roi = picture->roi;
	/* Written so that NaN fails. */
	if (roi[0] >= 0 && roi[0] < 1 && roi[1] >= 0 && roi[1] < 1 && roi[2] > 0 && roi[3] > 0 &&
		roi[0] + roi[2] <= ROI_END_MAX && roi[1] + roi[3] <= ROI_END_MAX)
		return 0;
	return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "picture.roi"},
		"the region %g,%g,%g,%g is not inside the picture: x,y,width,height are fractions from 0 to 1, "
		"x + width and y + height at most 1",
		roi[0], roi[1], roi[2], roi[3]);
}

/* [start, start + share) of n pixels: floor of the start, ceiling of the end, at least one pixel. */
static void region_axis(double start, double share, uint32_t n, uint32_t *ret_first, uint32_t *ret_count)
{
	double from = floor(start * n + WHOLE_PIXEL), to = ceil((start + share) * n - WHOLE_PIXEL);
	uint32_t first = from < n ? (uint32_t)from : n - 1;
	uint32_t end = to < n ? (uint32_t)(to < 0 ? 0 : to) : n;
	*ret_first = first;
	*ret_count = end > first ? end - first : 1;
}

/* a * b / c to the nearest whole number, halves up, within 1..max. */
static uint32_t scaled(uint32_t a, uint32_t b, uint32_t c, uint32_t max)
{
	uint64_t v = (2 * (uint64_t)a * b + c) / (2 * (uint64_t)c);
	return v < 1 ? 1 : v > max ? max : (uint32_t)v;
}

/* cover: the largest part of the region with the input's shape, from its middle; an odd pixel is left off at the right
 * or bottom end. contain: the largest part of the input with the region's shape, likewise. */
static void fit(const struct image_input *input, struct rect *crop, struct rect *target)
{
	uint32_t w = crop->width, h = crop->height;
	*target = (struct rect){0, 0, input->width, input->height};
	bool wider = (uint64_t)w * input->height > (uint64_t)h * input->width;
	if (input->fit == IMAGE_FIT_COVER && wider) {
		crop->width = scaled(h, input->width, input->height, w);
		crop->x += (w - crop->width) / 2;
	} else if (input->fit == IMAGE_FIT_COVER) {
		crop->height = scaled(w, input->height, input->width, h);
		crop->y += (h - crop->height) / 2;
	} else if (input->fit == IMAGE_FIT_CONTAIN && wider) {
		target->height = scaled(h, input->width, w, input->height);
		target->y = (input->height - target->height) / 2;
	} else if (input->fit == IMAGE_FIT_CONTAIN) {
		target->width = scaled(w, input->height, h, input->width);
		target->x = (input->width - target->width) / 2;
	}
}

void geometry_plan(const struct image_picture *picture, const struct image_input *input, uint32_t width,
	uint32_t height, unsigned exif, struct geometry *ret_geometry)
{
	struct orientation o = orientation_of_exif(exif);
	for (uint32_t turned = 0; turned < picture->rotate; turned += 90)
		o = orientation_turn(o);
	uint32_t seen_width = o.transpose ? height : width, seen_height = o.transpose ? width : height;

	struct rect region = {0, 0, seen_width, seen_height};
	if (picture->has_roi) {
		region_axis(picture->roi[0], picture->roi[2], seen_width, &region.x, &region.width);
		region_axis(picture->roi[1], picture->roi[3], seen_height, &region.y, &region.height);
	}
	struct rect seen = region, target;
	fit(input, &seen, &target);

	struct rect stored = seen;
	if (o.transpose)
		stored = (struct rect){seen.y, seen.x, seen.height, seen.width};
	if (o.flip_x)
		stored.x = width - stored.x - stored.width;
	if (o.flip_y)
		stored.y = height - stored.y - stored.height;
	*ret_geometry = (struct geometry){o, region, stored, target};
}
