/* SPDX-License-Identifier: MIT */
/* lib/image against Pillow: every case of tests/vectors/image.bin (raw, JPEG, PNG; each rotation, fit, orientation and
 * reduction), byte for byte. */
#include "tests/unit/image/vectors.h"

#include <string.h>

#include "lib/base/memory.h"

/* The cases whose names begin with prefix; reports all that differ, not only the first. */
static void check_group(const struct vectors *v, const char *prefix, unsigned at_least)
{
	unsigned n = 0, n_wrong = 0;
	for (uint32_t i = 0; i < v->n; i++) {
		const struct vector *c = &v->cases[i];
		if (strncmp(c->name, prefix, strlen(prefix)) != 0)
			continue;
		n++;
		struct err err = {0};
		uint8_t *pixels = NULL;
		if (decode_tight(&c->picture, &c->input, NULL, &pixels, &err) < 0) {
			print_error("%s: %s\n", c->name, err.text);
			n_wrong++;
			continue;
		}
		for (size_t k = 0; k < c->expected_bytes; k++)
			if (pixels[k] != c->expected[k]) {
				print_error("%s: byte %zu is %u, not %u\n", c->name, k, pixels[k], c->expected[k]);
				n_wrong++;
				break;
			}
		free(pixels);
	}
	assert_int_equal(n_wrong, 0);
	assert_true(n >= at_least);
}

static void test_raw(void **state)
{
	check_group(*state, "raw ", 81);
}

static void test_jpeg(void **state)
{
	check_group(*state, "jpeg ", 44);
}

static void test_png(void **state)
{
	check_group(*state, "png ", 70);
}

/* A grey picture and the same as three equal channels are the same picture. */
static void test_grey_is_three_times(void **state)
{
	(void)state;
	uint8_t *grey = noise_make(5, 31 * 17), *colour = mem_zalloc(31 * 17, 3), *a = NULL, *b = NULL;
	for (size_t i = 0; i < 31 * 17 * 3; i++)
		colour[i] = grey[i / 3];
	struct image_input input = {.width = 12, .height = 9, .fit = IMAGE_FIT_COVER};
	struct image_picture picture = {.source = IMAGE_RAW,
		.bytes = grey,
		.len_bytes = 31 * 17,
		.raw_width = 31,
		.raw_height = 17,
		.raw_channels = 1};
	assert_int_equal(decode_tight(&picture, &input, NULL, &a, NULL), 0);
	picture.bytes = colour;
	picture.len_bytes *= 3;
	picture.raw_channels = 3;
	assert_int_equal(decode_tight(&picture, &input, NULL, &b, NULL), 0);
	assert_memory_equal(a, b, 12 * 9 * 3);
	free(a);
	free(b);
	free(grey);
	free(colour);
}

static void test_png_encode(void **state)
{
	(void)state;
	static const uint32_t sides[][2] = {{1, 1}, {96, 96}, {3, 500}, {1024, 7}};
	for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
		uint32_t w = sides[i][0], h = sides[i][1];
		uint8_t *pixels = noise_make(i, (size_t)w * h * 3), *png = NULL, *back = NULL;
		size_t png_bytes = 0;
		struct err err;
		assert_int_equal(image_png_encode(pixels, w, h, &png, &png_bytes, &err), 0);
		struct image_picture picture = {.source = IMAGE_ENCODED, .bytes = png, .len_bytes = png_bytes};
		struct image_input input = {.width = w, .height = h, .fit = IMAGE_FIT_STRETCH};
		assert_int_equal(decode_tight(&picture, &input, NULL, &back, &err), 0);
		assert_memory_equal(back, pixels, (size_t)w * h * 3);
		free(back);
		free(png);
		free(pixels);
	}
	uint8_t *png = NULL;
	size_t png_bytes = 0;
	struct err err;
	assert_int_equal(image_png_encode(NULL, 0, 5, &png, &png_bytes, &err), -ERR_INVALID_ARGUMENT);
	assert_int_equal(
		image_png_encode(NULL, IMAGE_MAX_SIDE + 1, 5, &png, &png_bytes, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_null(png);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_jpeg),
		cmocka_unit_test(test_png),
		cmocka_unit_test(test_grey_is_three_times),
		cmocka_unit_test(test_png_encode),
	};
	return cmocka_run_group_tests(tests, vectors_load, vectors_unload);
}
