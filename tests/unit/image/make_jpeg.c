/* SPDX-License-Identifier: MIT */
/* tests/unit/image/make_jpeg.c: see make_jpeg.h. libjpeg's standard error handler ends the test program, which is what
 * should happen when a test asks for something impossible. */
#include "tests/unit/image/make_jpeg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <jpeglib.h>

#include "lib/base/memory.h"

static const jpeg_scan_info separate[] = {{1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
static const jpeg_scan_info two_scans[] = {{1, {0}, 0, 0, 0, 0}, {1, {0}, 1, 63, 0, 0}};

static void choose(struct jpeg_compress_struct *jpeg, const struct jpeg_wish *wish)
{
	jpeg_set_defaults(jpeg);
	if (wish->components == 3 && !wish->subsampled)
		jpeg->comp_info[0].h_samp_factor = jpeg->comp_info[0].v_samp_factor = 1;
	jpeg->arith_code = wish->kind == JPEG_ARITHMETIC;
	jpeg->restart_in_rows = wish->restart_rows;
	if (wish->kind == JPEG_PROGRESSIVE) {
		jpeg_simple_progression(jpeg);
	} else if (wish->kind == JPEG_SEPARATE) {
		jpeg->scan_info = separate;
		jpeg->num_scans = 3;
	} else if (wish->kind == JPEG_TWO_SCANS) {
		jpeg->scan_info = two_scans;
		jpeg->num_scans = 2;
	}
}

void make_jpeg(const struct jpeg_wish *wish, uint8_t **ret_file, size_t *ret_bytes)
{
	static const J_COLOR_SPACE spaces[] = {JCS_UNKNOWN, JCS_GRAYSCALE, JCS_UNKNOWN, JCS_RGB};
	struct jpeg_error_mgr errors;
	struct jpeg_compress_struct jpeg = {.err = jpeg_std_error(&errors)};
	unsigned long n = 0;
	jpeg_create_compress(&jpeg);
	*ret_file = NULL;
	jpeg_mem_dest(&jpeg, ret_file, &n);
	jpeg.image_width = wish->width;
	jpeg.image_height = wish->height;
	jpeg.input_components = wish->components;
	jpeg.in_color_space = spaces[wish->components];
	choose(&jpeg, wish);
	jpeg_start_compress(&jpeg, TRUE);
	size_t row_bytes = (size_t)wish->width * (size_t)wish->components;
	uint8_t *row = mem_zalloc(row_bytes, 1);
	memset(row, 100, row_bytes);
	while (jpeg.next_scanline < jpeg.image_height) {
		if (wish->pixels)
			memcpy(row, wish->pixels + jpeg.next_scanline * row_bytes, row_bytes);
		JSAMPROW rows[] = {row};
		jpeg_write_scanlines(&jpeg, rows, 1);
	}
	free(row);
	jpeg_finish_compress(&jpeg);
	jpeg_destroy_compress(&jpeg);
	*ret_bytes = n;
}

size_t find_marker(const uint8_t *file, size_t file_bytes, unsigned marker, unsigned n)
{
	for (size_t at = 2; at + 1 < file_bytes; at++)
		if (file[at] == 0xFF && file[at + 1] == marker && n-- == 0)
			return at;
	fail_msg("no marker %02x", marker);
	return 0;
}
