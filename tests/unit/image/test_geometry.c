/* SPDX-License-Identifier: MIT */
/* lib/image's rounding rules, by examples that a person can check, and its EXIF reader under hostile bytes. */
#include "tests/unit/image/vectors.h"

#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/image/exif.h"
#include "lib/image/geometry.h"

static struct geometry plan(uint32_t w, uint32_t h, unsigned exif, uint32_t rotate, const double *roi, uint32_t in_w,
	uint32_t in_h, enum image_fit fit)
{
	struct image_picture picture = {.source = IMAGE_RAW, .rotate = rotate, .has_roi = roi != NULL};
	if (roi)
		memcpy(picture.roi, roi, sizeof picture.roi);
	struct image_input input = {.width = in_w, .height = in_h, .fit = fit};
	struct geometry g;
	assert_int_equal(geometry_check(&picture, NULL), 0);
	geometry_plan(&picture, &input, w, h, exif, &g);
	return g;
}

static void check_rect(struct rect r, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	if (r.x != x || r.y != y || r.width != width || r.height != height)
		fail_msg("%u,%u %ux%u is not %u,%u %ux%u", r.x, r.y, r.width, r.height, x, y, width, height);
}

static void test_region(void **state)
{
	(void)state;
	static const struct {
		double start, share;
		uint32_t n, first, count;
	} cases[] = {
		{0, 1, 7, 0, 7},
		{0.5, 0.5, 7, 3, 4},     /* floor(3.5), ceil(7) */
		{0.1, 0.2, 100, 10, 20}, /* 30.000000000000004 is 30 */
		{0.7, 0.3, 10, 7, 3},
		{0.29, 0.01, 100, 29, 1}, /* 28.999999999999996 is 29 */
		{1.0 / 3, 1.0 / 3, 10, 3, 4},
		{0.999999, 0.000001, 3, 2, 1},
		{0, 1e-300, 5, 0, 1},
		{0.9999999999, 1e-10, 16384, 16383, 1},
		{0.5, 1e-12, 1, 0, 1},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		double across[4] = {cases[i].start, 0, cases[i].share, 1},
		       down[4] = {0, cases[i].start, 1, cases[i].share};
		struct geometry g = plan(cases[i].n, 9, 1, 0, across, 4, 4, IMAGE_FIT_STRETCH);
		check_rect(g.region, cases[i].first, 0, cases[i].count, 9);
		g = plan(9, cases[i].n, 1, 0, down, 4, 4, IMAGE_FIT_STRETCH);
		check_rect(g.region, 0, cases[i].first, 9, cases[i].count);
	}
}

static void test_fit(void **state)
{
	(void)state;
	struct geometry g = plan(640, 480, 1, 0, NULL, 96, 96, IMAGE_FIT_COVER);
	check_rect(g.crop, 80, 0, 480, 480);
	check_rect(g.target, 0, 0, 96, 96);
	g = plan(641, 480, 1, 0, NULL, 96, 96, IMAGE_FIT_COVER); /* the odd column is left off at the right */
	check_rect(g.crop, 80, 0, 480, 480);
	g = plan(480, 643, 1, 0, NULL, 96, 96, IMAGE_FIT_COVER);
	check_rect(g.crop, 0, 81, 480, 480);
	g = plan(100, 7, 1, 0, NULL, 3, 2, IMAGE_FIT_COVER); /* 7 * 3 / 2 = 10.5, halves up */
	check_rect(g.crop, 44, 0, 11, 7);
	g = plan(1, 1000, 1, 0, NULL, 1000, 1, IMAGE_FIT_COVER); /* 0.001 of a row is one row */
	check_rect(g.crop, 0, 499, 1, 1);

	g = plan(640, 480, 1, 0, NULL, 96, 96, IMAGE_FIT_CONTAIN);
	check_rect(g.crop, 0, 0, 640, 480);
	check_rect(g.target, 0, 12, 96, 72);
	g = plan(480, 641, 1, 0, NULL, 96, 96, IMAGE_FIT_CONTAIN); /* 71.88 is 72 */
	check_rect(g.target, 12, 0, 72, 96);
	g = plan(10000, 1, 1, 0, NULL, 96, 95, IMAGE_FIT_CONTAIN);
	check_rect(g.target, 0, 47, 96, 1);

	g = plan(640, 480, 1, 0, NULL, 96, 40, IMAGE_FIT_STRETCH);
	check_rect(g.crop, 0, 0, 640, 480);
	check_rect(g.target, 0, 0, 96, 40);
}

/* The crop lies where it is seen: the seen left third of a 90 by 30 picture, as each orientation stores it. */
static void test_orientation(void **state)
{
	(void)state;
	static const double left[4] = {0, 0, 1.0 / 3, 1};
	static const struct {
		unsigned exif;
		uint32_t rotate, w, h;
		struct rect crop;
	} cases[] = {
		{1, 0, 90, 30, {0, 0, 30, 30}},
		{2, 0, 90, 30, {60, 0, 30, 30}},
		{3, 0, 90, 30, {60, 0, 30, 30}},
		{4, 0, 90, 30, {0, 0, 30, 30}},
		{5, 0, 30, 90, {0, 0, 30, 30}},
		{6, 0, 30, 90, {0, 60, 30, 30}}, /* turned clockwise, the bottom comes to the left */
		{7, 0, 30, 90, {0, 60, 30, 30}},
		{8, 0, 30, 90, {0, 0, 30, 30}},
		{1, 90, 30, 90, {0, 60, 30, 30}}, /* the same as EXIF's 6 */
		{1, 180, 90, 30, {60, 0, 30, 30}},
		{1, 270, 30, 90, {0, 0, 30, 30}},
		{6, 270, 90, 30, {0, 0, 30, 30}}, /* turned forth and back */
		{6, 90, 90, 30, {60, 0, 30, 30}},
		{8, 90, 90, 30, {0, 0, 30, 30}},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct geometry g =
			plan(cases[i].w, cases[i].h, cases[i].exif, cases[i].rotate, left, 8, 8, IMAGE_FIT_STRETCH);
		check_rect(g.region, 0, 0, 30, 30);
		struct rect c = cases[i].crop;
		check_rect(g.crop, c.x, c.y, c.width, c.height);
	}
}

/* A TIFF structure with one directory of three entries, the orientation in the middle. */
enum { TIFF_BYTES = 8 + 2 + 3 * 12 + 4 };
static void make_tiff(uint8_t *t, bool big, unsigned orientation)
{
	void (*put16)(void *, uint16_t) = big ? store_be16 : store_le16;
	void (*put32)(void *, uint32_t) = big ? store_be32 : store_le32;
	memset(t, 0, TIFF_BYTES);
	memcpy(t, big ? "MM" : "II", 2);
	put16(t + 2, 42);
	put32(t + 4, 8);
	put16(t + 8, 3);
	static const uint16_t tags[] = {0x010F, 0x0112, 0x0132};
	for (int i = 0; i < 3; i++) {
		uint8_t *entry = t + 10 + 12 * i;
		put16(entry, tags[i]);
		put16(entry + 2, 3);
		put32(entry + 4, 1);
		put16(entry + 8, (uint16_t)(i == 1 ? orientation : 5));
	}
}

static unsigned orientation_of(const uint8_t *tiff, size_t n)
{
	uint8_t *tight = mem_dup(tiff, n);
	unsigned v = exif_orientation_of_tiff(tight, n);
	free(tight);
	return v;
}

static void test_exif(void **state)
{
	(void)state;
	uint8_t t[TIFF_BYTES];
	for (int big = 0; big < 2; big++) {
		for (unsigned v = 0; v <= 10; v++) {
			make_tiff(t, big, v);
			assert_int_equal(orientation_of(t, sizeof t), v >= 1 && v <= 8 ? v : 1);
		}
		make_tiff(t, big, 6);
		for (size_t n = 0; n <= sizeof t; n++) /* needs no more than its own entry */
			assert_int_equal(orientation_of(t, n), n >= 8 + 2 + 2 * 12 ? 6 : 1);
		t[big ? 10 + 12 + 3 : 10 + 12 + 2] = 4; /* of another type */
		assert_int_equal(orientation_of(t, sizeof t), 1);
		make_tiff(t, big, 6);
		t[big ? 10 + 12 + 7 : 10 + 12 + 4] = 2; /* two of them */
		assert_int_equal(orientation_of(t, sizeof t), 1);
		make_tiff(t, big, 6);
		memset(t + 4, 0xFF, 4); /* a directory far away */
		assert_int_equal(orientation_of(t, sizeof t), 1);
		make_tiff(t, big, 6);
		memset(t + 8, 0xFF, 2); /* of 65,535 entries */
		assert_int_equal(orientation_of(t, sizeof t), 6);
	}
	uint64_t seed = 3;
	for (int round = 0; round < 20000; round++) {
		make_tiff(t, round % 2, 3);
		for (int k = 0; k < 3; k++)
			t[splitmix64_below(&seed, TIFF_BYTES)] = (uint8_t)splitmix64_next(&seed);
		assert_in_range(orientation_of(t, 1 + splitmix64_below(&seed, TIFF_BYTES)), 1, 8);
	}
}

/* Appends a segment; returns the new length. */
static size_t put_segment(uint8_t *file, size_t n, unsigned marker, const char *name, size_t name_bytes,
	const uint8_t *data, size_t data_bytes)
{
	file[n] = 0xFF;
	file[n + 1] = (uint8_t)marker;
	store_be16(file + n + 2, (uint16_t)(2 + name_bytes + data_bytes));
	memcpy(file + n + 4, name, name_bytes);
	memcpy(file + n + 4 + name_bytes, data, data_bytes);
	return n + 4 + name_bytes + data_bytes;
}

static void test_exif_in_jpeg(void **state)
{
	(void)state;
	uint8_t t[TIFF_BYTES], other[TIFF_BYTES], file[512] = {0xFF, 0xD8};
	make_tiff(t, true, 8);
	make_tiff(other, false, 3);
	size_t n = put_segment(file, 2, 0xE0, "JFIF\0", 5, t, 9);
	n = put_segment(file, n, 0xE1, "http://ns.adobe.com/xap/1.0/", 29, (const uint8_t *)"<x/>", 4);
	memset(file + n, 0xFF, 3); /* fill bytes before a marker are allowed */
	n = put_segment(file, n + 3, 0xE1, "Exif\0", 6, t, sizeof t);
	n = put_segment(file, n, 0xE1, "Exif\0", 6, other, sizeof other); /* the first one counts */
	size_t scan = n;
	n = put_segment(file, n, 0xDA, "", 0, t, 10);
	for (size_t len = 0; len <= n; len++) {
		uint8_t *tight = mem_dup(file, len);
		assert_in_range(exif_orientation_of_jpeg(tight, len), 1, 8);
		if (len >= scan)
			assert_int_equal(exif_orientation_of_jpeg(tight, len), 8);
		free(tight);
	}

	/* What stands behind the start of the scan is no segment. */
	n = put_segment(file, 2, 0xDA, "", 0, t, 10);
	n = put_segment(file, n, 0xE1, "Exif\0", 6, t, sizeof t);
	assert_int_equal(exif_orientation_of_jpeg(file, n), 1);
	/* A length below its own two bytes must not go on for ever. */
	n = put_segment(file, 2, 0xE1, "Exif\0", 6, t, sizeof t);
	for (uint16_t length = 0; length < 2; length++) {
		store_be16(file + 4, length);
		assert_int_equal(exif_orientation_of_jpeg(file, n), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_region),
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_orientation),
		cmocka_unit_test(test_exif),
		cmocka_unit_test(test_exif_in_jpeg),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
