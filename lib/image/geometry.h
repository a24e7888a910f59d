/* SPDX-License-Identifier: MIT */
/* lib/image/geometry.h: inside lib/image only. Which stored pixels are read, and where they go in the input.
 *
 * "Stored" is the order of the file (or of the reduced JPEG), "seen" is after EXIF orientation and rotation. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/image/picture.h"

/* One of the eight ways to see a stored picture. Without transpose, seen (x, y) is stored (x, y); with it, stored
 * (y, x); then flip_x and flip_y count the *stored* column or row from the other end. */
struct orientation {
	bool transpose, flip_x, flip_y;
};

struct rect {
	uint32_t x, y, width, height;
};

struct geometry {
	struct orientation orientation;
	struct rect region; /* the roi, seen pixels */
	struct rect crop;   /* what of the region is used, stored pixels */
	struct rect target; /* where it goes in the input, input pixels */
};

/* Rotation and roi are in range: ERR_INVALID_ARGUMENT otherwise. */
int geometry_check(const struct image_picture *picture, struct err *err);

/* The plan for a stored picture of width x height pixels; exif is 1 to 8. picture passed geometry_check. Pure. */
void geometry_plan(const struct image_picture *picture, const struct image_input *input, uint32_t width,
	uint32_t height, unsigned exif, struct geometry *ret_geometry);
