/* SPDX-License-Identifier: MIT */
/* tests/unit/image/image_pipe.c: image_to_input behind a pipe, for test_pillow.py. Reads requests from stdin until its
 * end: 9 u32 (source, bytes, raw width, height, channels, rotate, input width, height, fit), has_roi u32, 4 f64, then the
 * bytes. Writes i32 result, then the pixels or 400 bytes of sentence. All little-endian. Trusts its test. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/image/image.h"

enum { REQUEST_BYTES = 10 * 4 + 4 * 8 };

static void answer(const struct image_picture *picture, const struct image_input *input)
{
	struct err err = {0};
	size_t n = (size_t)input->width * input->height * 3;
	uint8_t *pixels = mem_zalloc(n, 1), result[4];
	int r = image_to_input(picture, input, NULL, pixels, &err);
	store_le32(result, (uint32_t)r);
	fwrite(result, 1, sizeof result, stdout);
	if (r == 0)
		fwrite(pixels, 1, n, stdout);
	else
		fwrite(err.text, 1, sizeof err.text, stdout);
	fflush(stdout);
	free(pixels);
}

int main(void)
{
	uint8_t request[REQUEST_BYTES];
	while (fread(request, 1, sizeof request, stdin) == sizeof request) {
		uint32_t v[10];
		for (int i = 0; i < 10; i++)
			v[i] = load_le32(request + 4 * i);
		struct image_picture picture = {.source = (enum image_source)v[0],
			.len_bytes = v[1],
			.raw_width = v[2],
			.raw_height = v[3],
			.raw_channels = v[4],
			.rotate = v[5],
			.has_roi = v[9] != 0};
		for (int i = 0; i < 4; i++) {
			uint64_t bits = load_le64(request + 40 + 8 * i);
			memcpy(&picture.roi[i], &bits, 8);
		}
		struct image_input input = {
			.width = v[6], .height = v[7], .fit = (enum image_fit)v[8], .background = {7, 130, 250}};
		uint8_t *bytes = mem_zalloc(v[1], 1);
		if (fread(bytes, 1, v[1], stdin) != v[1])
			return 1;
		picture.bytes = bytes;
		answer(&picture, &input);
		free(bytes);
	}
	return 0;
}
