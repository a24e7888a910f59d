/* SPDX-License-Identifier: MIT */
/* lib/image and its limits: sizes, memory, scans, time. A file that is small and asks for much is refused before it gets
 * it, and an ordinary picture needs little whatever its size. */
#include "tests/unit/image/vectors.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "tests/unit/image/make_jpeg.h"
#include "tests/unit/image/make_png.h"

enum { MIB = 1 << 20, LIMIT_BYTES = 32 * MIB, ASKED_FOR_EVER = 1 << 30 };

/* Stops at the stop_at-th question; notes how much memory is in use whenever it is asked. */
struct watch {
	int asked, stop_at;
	enum image_stop how;
	size_t in_use_bytes, peak_bytes; /* before, and the most seen */
};

static size_t in_use(void)
{
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

/* A sanitizer's allocator says nothing to mallinfo. */
static bool can_measure(void)
{
	size_t before = in_use();
	void *volatile p = malloc(MIB);
	size_t after = in_use();
	free(p);
	return after >= before + MIB;
}

static enum image_stop on_asked(void *ctx)
{
	struct watch *w = ctx;
	size_t now = in_use();
	w->peak_bytes = now > w->peak_bytes ? now : w->peak_bytes;
	return ++w->asked >= w->stop_at ? w->how : IMAGE_GO_ON;
}

static struct image_limits limits_with(struct watch *w, size_t memory_bytes)
{
	w->asked = 0;
	w->in_use_bytes = w->peak_bytes = in_use();
	return (struct image_limits){.decode_memory_bytes = memory_bytes, .stop = on_asked, .stop_ctx = w};
}

static struct image_picture file_picture(const uint8_t *file, size_t n)
{
	return (struct image_picture){.source = IMAGE_ENCODED, .bytes = file, .len_bytes = n};
}

static const struct image_input input_96 = {.width = 96, .height = 96, .fit = IMAGE_FIT_COVER};

static int decode(const struct image_picture *picture, const struct image_limits *limits, struct err *err)
{
	uint8_t pixels[96 * 96 * 3];
	memset(err, 0, sizeof *err);
	return image_to_input(picture, &input_96, limits, pixels, err);
}

static void check_exhausted(
	const struct image_picture *picture, size_t memory_bytes, uint64_t limit, const char *field, const char *words)
{
	struct err err;
	struct watch w = {.stop_at = ASKED_FOR_EVER};
	struct image_limits limits = limits_with(&w, memory_bytes);
	assert_int_equal(decode(picture, &limits, &err), -ERR_RESOURCE_EXHAUSTED);
	if (!strstr(err.text, words))
		fail_msg("'%s' is not in: %s", words, err.text);
	assert_string_equal(err.field, field);
	assert_int_equal(err.limit, limit);
}

static void test_sizes(void **state)
{
	(void)state;
	static const struct {
		uint32_t width, height;
		uint64_t limit;
	} cases[] = {{IMAGE_MAX_SIDE + 1, 1, IMAGE_MAX_SIDE}, {1, IMAGE_MAX_SIDE + 1, IMAGE_MAX_SIDE},
		{0x7FFFFFFF, 0x7FFFFFFF, IMAGE_MAX_SIDE}, {0xFFFFFFFF, 1, IMAGE_MAX_SIDE},
		{IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS / IMAGE_MAX_SIDE + 1, IMAGE_MAX_PIXELS}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct image_picture raw = {.source = IMAGE_RAW,
			.bytes = (const uint8_t *)"",
			.raw_width = cases[i].width,
			.raw_height = cases[i].height,
			.raw_channels = 3};
		check_exhausted(&raw, LIMIT_BYTES, cases[i].limit, "picture", "are possible");
		size_t n;
		uint8_t *png = make_png(&(struct png_wish){cases[i].width, cases[i].height, 8, 2, .rows_there = 0}, &n);
		struct image_picture picture = file_picture(png, n);
		if (cases[i].width <= INT32_MAX) /* more is no PNG at all */
			check_exhausted(&picture, LIMIT_BYTES, cases[i].limit, "picture", "are possible");
		free(png);
	}

	uint8_t *jpeg;
	size_t n;
	make_jpeg(&(struct jpeg_wish){.width = 16, .height = 16, .components = 3}, &jpeg, &n);
	size_t frame = find_marker(jpeg, n, 0xC0, 0);
	store_be16(jpeg + frame + 7, 20000);
	struct image_picture picture = file_picture(jpeg, n);
	check_exhausted(&picture, LIMIT_BYTES, IMAGE_MAX_SIDE, "picture", "20000 x 16 pixels");
	store_be16(jpeg + frame + 5, 16000);
	store_be16(jpeg + frame + 7, 16000);
	check_exhausted(&picture, LIMIT_BYTES, IMAGE_MAX_PIXELS, "picture", "16000 x 16000 pixels");
	free(jpeg);
}

/* The largest picture that is possible, one bit deep: 64 MiB of pixels in a few KiB of file, in a few rows of memory. */
static void test_largest(void **state)
{
	(void)state;
	size_t n;
	uint32_t height = IMAGE_MAX_PIXELS / IMAGE_MAX_SIDE;
	uint8_t *png = make_png(&(struct png_wish){IMAGE_MAX_SIDE, height, 1, .rows_there = height}, &n);
	struct image_picture picture = file_picture(png, n);
	struct watch w = {.stop_at = ASKED_FOR_EVER};
	struct image_limits limits = limits_with(&w, LIMIT_BYTES);
	struct err err;
	assert_int_equal(decode(&picture, &limits, &err), 0);
	assert_true(w.asked >= IMAGE_MAX_PIXELS / IMAGE_MAX_SIDE / 16);
	if (can_measure()) {
		print_message("peak %zu KiB for a PNG of 16384 x 4096\n", (w.peak_bytes - w.in_use_bytes) / 1024);
		assert_true(w.peak_bytes - w.in_use_bytes < MIB);
	}
	free(png);

	png = make_png(&(struct png_wish){IMAGE_MAX_SIDE, 512, 1, .rows_there = 512}, &n);
	picture = file_picture(png, n);
	picture.rotate = 90; /* now the rows that are summed first are wide */
	limits = limits_with(&w, LIMIT_BYTES);
	assert_int_equal(decode(&picture, &limits, &err), 0);
	if (can_measure())
		assert_true(w.peak_bytes - w.in_use_bytes < 3 * MIB);
	free(png);
}

static void test_progressive_bomb(void **state)
{
	(void)state;
	uint8_t *jpeg;
	size_t n;
	make_jpeg(&(struct jpeg_wish){.width = 6000, .height = 4000, .components = 1, .kind = JPEG_PROGRESSIVE}, &jpeg,
		&n);
	struct image_picture picture = file_picture(jpeg, n);
	assert_true(n < MIB);
	struct err err;
	struct watch w = {.stop_at = ASKED_FOR_EVER};
	struct image_limits limits = limits_with(&w, LIMIT_BYTES);
	assert_int_equal(decode(&picture, &limits, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_string_equal(err.field, "image.decode_memory_mib");
	assert_int_equal(err.limit, LIMIT_BYTES);
	assert_non_null(strstr(err.text, "6000 x 4000"));
	assert_non_null(strstr(err.text, "45.8 MiB"));
	assert_non_null(strstr(err.text, "image.decode_memory_mib"));
	assert_non_null(strstr(err.text, "jpegtran -copy all -outfile out.jpg in.jpg"));
	assert_int_equal(w.asked, 0); /* nothing was decoded */
	free(jpeg);
}

/* The same file is read where the limit allows it, within the limit. */
static void test_progressive_within_limit(void **state)
{
	(void)state;
	uint8_t *jpeg;
	size_t n;
	make_jpeg(&(struct jpeg_wish){.width = 1200, .height = 800, .components = 3, .kind = JPEG_PROGRESSIVE}, &jpeg,
		&n);
	struct image_picture picture = file_picture(jpeg, n);
	enum { NEEDED = 1200 * 800 * 3 * 2 };
	check_exhausted(&picture, NEEDED - 1, NEEDED - 1, "image.decode_memory_mib", "this progressive JPEG");
	/* The coefficients alone would fit: libjpeg's own bound counts the rest. */
	check_exhausted(&picture, NEEDED, NEEDED, "image.decode_memory_mib", "image.decode_memory_mib");
	struct err err;
	struct watch w = {.stop_at = ASKED_FOR_EVER};
	struct image_limits limits = limits_with(&w, NEEDED + MIB);
	assert_int_equal(decode(&picture, &limits, &err), 0);
	if (can_measure())
		assert_in_range(w.peak_bytes - w.in_use_bytes, NEEDED, NEEDED + MIB);
	free(jpeg);
}

static void test_interlaced_needs_memory(void **state)
{
	(void)state;
	size_t n;
	uint8_t *png = make_png(&(struct png_wish){1000, 1000, 8, 6, true, 1001}, &n);
	struct image_picture picture = file_picture(png, n);
	enum { NEEDED = 1000 * 1000 * 3 };
	check_exhausted(
		&picture, NEEDED - 1, NEEDED - 1, "image.decode_memory_mib", "convert in.png -interlace none out.png");
	picture.has_roi = true; /* a quarter of it needs a quarter */
	picture.roi[2] = picture.roi[3] = 0.5;
	check_exhausted(&picture, NEEDED / 4 - 1, NEEDED / 4 - 1, "image.decode_memory_mib", "this interlaced PNG");
	free(png);
	uint8_t raw[1000] = {0};
	struct image_picture tall = {.source = IMAGE_RAW,
		.bytes = raw,
		.len_bytes = 1000,
		.raw_width = 1,
		.raw_height = 1000,
		.raw_channels = 1};
	check_exhausted(&tall, 100, 100, "image.decode_memory_mib", "as small as the model's input");
}

/* What the daemon's memory bound is about: ordinary pictures need little whatever their size. */
static void test_ordinary_pictures_need_little(void **state)
{
	(void)state;
	if (!can_measure())
		skip();
	static const struct {
		uint32_t width, height;
		int components;
		size_t at_most_bytes;
	} cases[] = {
		{640, 480, 3, MIB / 2}, {640, 480, 1, MIB / 2}, {4000, 3000, 3, 2 * MIB}, {16384, 4096, 3, 8 * MIB}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t *jpeg;
		size_t n;
		make_jpeg(
			&(struct jpeg_wish){
				.width = cases[i].width, .height = cases[i].height, .components = cases[i].components},
			&jpeg, &n);
		struct image_picture picture = file_picture(jpeg, n);
		for (picture.rotate = 0; picture.rotate <= 90; picture.rotate += 90) {
			struct watch w = {.stop_at = ASKED_FOR_EVER};
			struct image_limits limits = limits_with(&w, LIMIT_BYTES);
			struct err err;
			/* Once before: what malloc keeps for next time counts as in use. */
			assert_int_equal(decode(&picture, &limits, &err), 0);
			limits = limits_with(&w, LIMIT_BYTES);
			assert_int_equal(decode(&picture, &limits, &err), 0);
			print_message("peak %zu KiB for a JPEG of %u x %u turned by %u\n",
				(w.peak_bytes - w.in_use_bytes) / 1024, cases[i].width, cases[i].height,
				picture.rotate);
			assert_true(w.peak_bytes > w.in_use_bytes);
			assert_true(w.peak_bytes - w.in_use_bytes < cases[i].at_most_bytes);
			assert_true(in_use() <= w.in_use_bytes + 4096); /* and gives it back */
		}
		free(jpeg);
	}
}

/* The last scan again and again: each is decoded in full. */
static void test_scans(void **state)
{
	(void)state;
	uint8_t *jpeg;
	size_t n;
	make_jpeg(&(struct jpeg_wish){.width = 64, .height = 64, .components = 1, .kind = JPEG_TWO_SCANS}, &jpeg, &n);
	size_t last = find_marker(jpeg, n, 0xDA, 1), scan_bytes = n - 2 - last;
	for (unsigned extra = IMAGE_MAX_SCANS - 2; extra <= IMAGE_MAX_SCANS - 1; extra++) {
		uint8_t *longer = mem_zalloc(n + extra * scan_bytes, 1);
		memcpy(longer, jpeg, n - 2);
		for (unsigned i = 0; i < extra; i++)
			memcpy(longer + n - 2 + i * scan_bytes, jpeg + last, scan_bytes);
		memcpy(longer + n - 2 + extra * scan_bytes, "\xFF\xD9", 2);
		struct image_picture picture = file_picture(longer, n + extra * scan_bytes);
		struct err err;
		if (extra + 2 <= IMAGE_MAX_SCANS)
			assert_int_equal(decode(&picture, NULL, &err), 0);
		else
			check_exhausted(&picture, LIMIT_BYTES, IMAGE_MAX_SCANS, "picture", "more than 64 scans");
		free(longer);
	}
	free(jpeg);
}

static void check_price(const struct image_picture *picture, uint32_t megapixels, int otherwise)
{
	struct err err;
	struct watch w = {.stop_at = ASKED_FOR_EVER};
	struct image_limits limits = limits_with(&w, 2 * LIMIT_BYTES);
	limits.decode_megapixels = megapixels;
	assert_int_equal(decode(picture, &limits, &err), otherwise);
	limits.decode_megapixels = megapixels - 1;
	assert_int_equal(decode(picture, &limits, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_string_equal(err.field, "image.decode_megapixels");
	assert_int_equal(err.limit, megapixels - 1);
	assert_non_null(strstr(err.text, "(image.decode_megapixels); a smaller picture costs less: convert in."));
}

/* A few bytes may be many pixels, and a pixel of one format costs what several of another do. The pictures have no data:
 * the header is enough. */
static void test_price_of_png(void **state)
{
	(void)state;
	static const struct {
		uint8_t depth, colour;
		bool interlaced;
		uint32_t megapixels; /* that 12 of them cost */
	} cases[] = {{8, 0, false, 6}, {8, 2, false, 12}, {8, 3, false, 6}, {8, 4, false, 9}, {8, 6, false, 15},
		{16, 0, false, 9}, {16, 2, false, 21}, {16, 4, false, 15}, {16, 6, false, 27}, {1, 0, false, 6},
		{4, 0, false, 6}, {1, 3, false, 6}, {8, 2, true, 15}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t n;
		const struct png_wish wish = {4000, 3000, cases[i].depth, cases[i].colour, cases[i].interlaced, 0, 0};
		uint8_t *png = make_png(&wish, &n);
		struct image_picture picture = file_picture(png, n);
		check_price(&picture, cases[i].megapixels, -ERR_INVALID_ARGUMENT);
		free(png);
	}

	/* What held a thread for seconds. */
	size_t n;
	uint8_t *png = make_png(&(struct png_wish){8000, 8000, 16, 6, .rows_there = 0}, &n);
	struct image_picture picture = file_picture(png, n);
	struct err err;
	assert_int_equal(decode(&picture, NULL, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(err.text, "this PNG of 16 bit of 8000 x 8000 pixels costs as much as 144.0 megapixels"));
	assert_non_null(strstr(err.text, "convert in.png -depth 8 -resize 1600x1600 out.png"));
	free(png);
}

static void test_price_of_jpeg(void **state)
{
	(void)state;
	uint8_t *jpeg;
	size_t n;
	make_jpeg(&(struct jpeg_wish){.width = 4000, .height = 3000, .components = 3}, &jpeg, &n);
	struct image_picture picture = file_picture(jpeg, n);
	check_price(&picture, 3, 0); /* 36 million samples, and half a million of the reduced picture */
	picture.has_roi = true;      /* a small part: not reduced, 36 million more */
	picture.roi[2] = picture.roi[3] = 0.02;
	check_price(&picture, 5, 0);
	free(jpeg);

	/* Each scan walks the picture once more. Refused when the first of them is too much, not after all. */
	make_jpeg(&(struct jpeg_wish){.width = 4000, .height = 3000, .components = 1, .kind = JPEG_PROGRESSIVE}, &jpeg,
		&n);
	picture = file_picture(jpeg, n);
	check_price(&picture, 5, 0); /* six scans of 12 million */
	struct err err;
	struct watch w = {.stop_at = ASKED_FOR_EVER};
	struct image_limits limits = limits_with(&w, LIMIT_BYTES);
	assert_int_equal(decode(&picture, &limits, &err), 0);
	int all = w.asked;
	limits.decode_megapixels = 2;
	w.asked = 0;
	assert_int_equal(decode(&picture, &limits, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_true(w.asked > 0 && w.asked < all / 2);
	limits.decode_megapixels = 1;
	limits.decode_memory_bytes = 1;
	w.asked = 0;
	picture.has_roi = true;
	picture.roi[2] = picture.roi[3] = 0.02;
	assert_int_equal(decode(&picture, &limits, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_string_equal(err.field, "image.decode_megapixels"); /* by the header alone */
	assert_int_equal(w.asked, 0);
	free(jpeg);
}

/* What phones make is read with the settings as they come: 12 megapixels, progressive too, and one of 5.8 in full colour.
 * Progressive, 12 megapixels and full colour is too much to hold, and the sentence says what to do. */
static void test_phones(void **state)
{
	(void)state;
	static const struct {
		uint32_t width, height;
		enum jpeg_kind kind;
		bool subsampled;
	} cases[] = {{4032, 3024, JPEG_BASELINE, true}, {3024, 4032, JPEG_BASELINE, false},
		{4032, 3024, JPEG_PROGRESSIVE, true}, {2784, 2088, JPEG_PROGRESSIVE, false},
		{8160, 6120, JPEG_BASELINE, true}, {4032, 3024, JPEG_PROGRESSIVE, false}};
	enum { N = sizeof cases / sizeof *cases };
	for (size_t i = 0; i < N; i++) {
		uint8_t *jpeg;
		size_t n;
		make_jpeg(&(struct jpeg_wish){.width = cases[i].width,
				  .height = cases[i].height,
				  .components = 3,
				  .kind = cases[i].kind,
				  .subsampled = cases[i].subsampled},
			&jpeg, &n);
		struct image_picture picture = file_picture(jpeg, n);
		struct err err;
		int r = decode(&picture, NULL, &err);
		if (r != (i + 1 < N ? 0 : -ERR_RESOURCE_EXHAUSTED))
			fail_msg("case %zu: %s", i, err.text);
		free(jpeg);
	}
	size_t n;
	uint8_t *png = make_png(&(struct png_wish){4032, 3024, 8, 6, .rows_there = 3024}, &n);
	struct image_picture picture = file_picture(png, n);
	struct err err;
	assert_int_equal(decode(&picture, NULL, &err), 0);
	free(png);
}

/* Less memory than the settings allow: an error of this picture, not the end of the daemon. */
static void test_no_memory(void **state)
{
	(void)state;
	if (!can_measure())
		skip(); /* a sanitizer's malloc ends the program */
	uint8_t *files[3];
	size_t n[3];
	files[0] = make_png(&(struct png_wish){3600, 3600, 8, 2, true, 4100}, &n[0]);
	files[1] = make_png(&(struct png_wish){16384, 2800, 1, .rows_there = 2800}, &n[1]);
	make_jpeg(&(struct jpeg_wish){.width = 3600, .height = 3600, .components = 1, .kind = JPEG_PROGRESSIVE},
		&files[2], &n[2]);
	struct rlimit before, tight;
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	tight = before;
	tight.rlim_cur = 1;
	assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
	void *volatile p = malloc(8 * MIB);
	bool is_enforced = p == NULL;
	free(p);
	for (int i = 0; is_enforced && i < 3; i++) {
		struct image_picture picture = file_picture(files[i], n[i]);
		picture.rotate = i == 1 ? 90 : 0; /* whole rows must be held */
		struct err err;
		int r = decode(&picture, NULL, &err);
		if (r != -ERR_RESOURCE_EXHAUSTED || !strstr(err.text, "memory"))
			fail_msg("file %d: %d %s", i, r, err.text);
	}
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	for (int i = 0; i < 3; i++)
		free(files[i]);
	if (!is_enforced)
		skip();
}

/* Every decoder asks now and then, and stops whenever it is told to. */
static void test_deadline(void **state)
{
	static const char *const names[] = {"jpeg subsampling 2 by 1", "jpeg progressive subsampling 2 by 1",
		"png with other chunks", "png 13x11 colour 2 depth 8 interlaced", "raw 640x480 to 12x12"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const struct vector *c = vectors_find(*state, names[i]);
		struct watch w = {.stop_at = ASKED_FOR_EVER};
		struct image_limits limits = limits_with(&w, LIMIT_BYTES);
		struct err err = {0};
		assert_int_equal(decode_tight(&c->picture, &c->input, &limits, NULL, &err), 0);
		int all = w.asked;
		assert_true(all >= 1);
		for (w.stop_at = 1; w.stop_at <= all; w.stop_at++) {
			w.asked = 0;
			w.how = IMAGE_STOP_REQUEST;
			int r = decode_tight(&c->picture, &c->input, &limits, NULL, &err);
			assert_int_equal(r, -ERR_DEADLINE_EXCEEDED);
			assert_int_equal(err.code, ERR_DEADLINE_EXCEEDED);
			assert_int_equal(w.asked, w.stop_at);
			w.asked = 0;
			w.how = IMAGE_STOP_SLOW;
			limits.decode_seconds = 7;
			r = decode_tight(&c->picture, &c->input, &limits, NULL, &err);
			assert_int_equal(r, -ERR_RESOURCE_EXHAUSTED);
			assert_string_equal(err.field, "image.decode_seconds");
			assert_int_equal(err.limit, 7);
			assert_non_null(strstr(err.text, "takes more than 7 s, the limit (image.decode_seconds)"));
			assert_int_equal(w.asked, w.stop_at);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_progressive_bomb),
		cmocka_unit_test(test_progressive_within_limit),
		cmocka_unit_test(test_interlaced_needs_memory),
		cmocka_unit_test(test_ordinary_pictures_need_little),
		cmocka_unit_test(test_scans),
		cmocka_unit_test(test_price_of_png),
		cmocka_unit_test(test_price_of_jpeg),
		cmocka_unit_test(test_phones),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_deadline),
	};
	mallopt(M_MMAP_THRESHOLD, MIB); /* what is large is given back when it is freed, see test_no_memory */
	return cmocka_run_group_tests(tests, vectors_load, vectors_unload);
}
