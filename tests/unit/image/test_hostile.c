/* SPDX-License-Identifier: MIT */
/* lib/image and files made so that two readers see two pictures in them: headers, palettes and frames that come again with
 * another size, pieces out of place. Each is an error or one picture, all of whose pixels are its own: the buffer that a
 * picture is decoded into may hold what somebody else sent. */
#include "tests/unit/image/vectors.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "tests/unit/image/make_jpeg.h"
#include "tests/unit/image/make_png.h"

static const struct image_input input_96 = {.width = 96, .height = 96, .fit = IMAGE_FIT_COVER};

static int decode_file(const uint8_t *file, size_t file_bytes, uint8_t **ret_pixels, struct err *err)
{
	struct image_picture picture = {.source = IMAGE_ENCODED, .bytes = file, .len_bytes = file_bytes};
	memset(err, 0, sizeof *err);
	return decode_twice(&picture, &input_96, NULL, ret_pixels, err);
}

static void check_refused(const uint8_t *file, size_t file_bytes, const char *words)
{
	struct err err;
	assert_int_equal(decode_file(file, file_bytes, NULL, &err), -ERR_INVALID_ARGUMENT);
	if (!strstr(err.text, words))
		fail_msg("'%s' is not in: %s", words, err.text);
	assert_string_equal(err.field, "picture");
}

static void check_same_picture(const uint8_t *file, size_t file_bytes, const uint8_t *pixels)
{
	struct err err;
	uint8_t *got = NULL;
	if (decode_file(file, file_bytes, &got, &err) != 0)
		fail_msg("%s", err.text);
	assert_memory_equal(got, pixels, 96 * 96 * 3);
	free(got);
}

/* ---- PNG --------------------------------------------------------------------------------------------------------- */

/* The first header's data, then a header of another size: whoever takes the size from the last one reads rows, columns or
 * passes that are not there. */
static void test_png_second_header(void **state)
{
	(void)state;
	static const struct {
		struct png_wish first, second;
	} cases[] = {
		{{96, 1, 8, 2, .rows_there = 1}, {96, 96, 8, 2}},               /* the pixels of who came before */
		{{96, 96, 8, 2, true, 120}, {96, 96, 8, 2}},                    /* more rows than are wanted */
		{{96, 96, 8, 2, .rows_there = 96}, {96, 96, 8, 2, true}},       /* and the other way round */
		{{4000, 96, 8, 2, .rows_there = 96}, {8, 96, 8, 2}},            /* wider than its buffer */
		{{4000, 96, 8, 2, true, 120}, {1001, 96, 8, 2, true}},          /* the same in passes */
		{{8, 8, 8, 2, .rows_there = 8}, {8, 8, 8, 2, .rows_there = 8}}, /* even the same again */
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int behind = 0; behind < 2; behind++) {
			const struct png_wish *first = &cases[i].first;
			uint8_t *file = mem_zalloc(png_room(first), 1), *at = file;
			put_png_signature(&at);
			put_png_header(&at, first);
			if (!behind)
				put_png_header(&at, &cases[i].second);
			put_png_data(&at, first);
			if (behind)
				put_png_header(&at, &cases[i].second);
			put_png_chunk(&at, "IEND", NULL, 0);
			check_refused(file, (size_t)(at - file), "is a second header");
			free(file);
		}
}

/* A header that is too short to be read, as the file's last bytes: nothing may be read behind them. */
static void test_png_header_of_any_length(void **state)
{
	(void)state;
	static const struct png_wish wish = {8, 8, 8, 2, .rows_there = 8};
	uint8_t *file = mem_zalloc(png_room(&wish), 1), zeros[32] = {0};
	for (size_t n = 0; n <= sizeof zeros; n++) {
		uint8_t *at = file;
		put_png_signature(&at);
		put_png_header(&at, &wish);
		put_png_data(&at, &wish);
		put_png_chunk(&at, "IHDR", zeros, n);
		check_refused(file, (size_t)(at - file), "is a second header");
		at = file;
		put_png_signature(&at);
		put_png_chunk(&at, "IHDR", zeros, n);
		put_png_data(&at, &wish);
		check_refused(file, (size_t)(at - file), n == 13 ? "in its header" : "where the header must be");
	}
	free(file);
}

struct piece {
	const char *type; /* "data": what makes the pixels; NULL: no more */
	const char *data;
	size_t n;
};
#define DATA                                                                                                           \
	{                                                                                                              \
		"data", NULL, 0                                                                                        \
	}
#define END                                                                                                            \
	{                                                                                                              \
		"IEND", "", 0                                                                                          \
	}

/* The chunks behind a header of 8 x 8 palette pixels, in any order. */
static void test_png_order(void **state)
{
	(void)state;
	static const struct {
		struct piece pieces[6];
		const char *words; /* NULL: a picture */
	} cases[] = {
		{{{"PLTE", "abcdef", 6}, {"tRNS", "\0", 1}, DATA, END}, NULL}, {{DATA, END}, "PLTE"},
		{{{"PLTE", "abcdef", 6}, {"PLTE", "abc", 3}, DATA, END}, "comes a second time"},
		{{{"PLTE", "abcdef", 6}, DATA, {"PLTE", "abcdef", 6}, END}, "comes a second time"},
		{{DATA, {"PLTE", "abcdef", 6}, END}, "comes after the picture data"},
		{{{"PLTE", "abcdef", 6}, DATA, {"tRNS", "\0", 1}, END}, "comes after the picture data"},
		{{{"PLTE", "abcdef", 6}, {"tRNS", "\0", 1}, {"tRNS", "\0", 1}, DATA, END}, "comes a second time"},
		{{{"tRNS", "\0", 1}, {"PLTE", "abcdef", 6}, DATA, END}, "comes after the transparency"},
		{{{"PLTE", "abcdef", 6}, DATA, {"tEXt", "a\0b", 3}, {"IDAT", "", 0}, END},
			"apart from the other picture data"},
		{{{"PLTE", "abcdef", 6}, DATA, {"IDAT", "", 0}, END}, NULL},
		{{{"PLTE", "abcdef", 6}, END, DATA}, "no picture data"},
		{{{"PLTE", "abcdef", 6}, {"IDAT", "", 0}, END}, "the PNG is broken"},
		{{{"PLTE", "abcde", 5}, DATA, END}, "the PNG is broken"},
		{{{"PLTE", "", 0}, DATA, END}, "the PNG is broken"},
		{{{"PLTE", "abcdef", 6}, DATA, END, {"IHDR", "", 0}}, NULL}, /* behind the end: no matter */
	};
	static const struct png_wish wish = {8, 8, 8, 3, .rows_there = 8, .sample = 1};
	uint8_t *file = mem_zalloc(png_room(&wish), 1);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t *at = file, *pixels = NULL;
		put_png_signature(&at);
		put_png_header(&at, &wish);
		for (const struct piece *p = cases[i].pieces; p->type; p++)
			if (p->data)
				put_png_chunk(&at, p->type, p->data, p->n);
			else
				put_png_data(&at, &wish);
		struct err err;
		if (cases[i].words) {
			check_refused(file, (size_t)(at - file), cases[i].words);
			continue;
		}
		if (decode_file(file, (size_t)(at - file), &pixels, &err) != 0)
			fail_msg("case %zu: %s", i, err.text);
		assert_memory_equal(pixels, "def", 3);
		free(pixels);
	}
	/* Cut within its first chunk of data, as a copy that stopped: the sentence speaks of the whole file. */
	uint8_t *at = file;
	put_png_signature(&at);
	put_png_header(&at, &wish);
	put_png_chunk(&at, "PLTE", "abcdef", 6);
	put_png_data(&at, &wish);
	char words[80];
	snprintf(words, sizeof words, "is truncated: its %zu bytes end before any chunk", (size_t)(at - file) - 1);
	check_refused(file, (size_t)(at - file) - 1, words);
	free(file);
}

/* ---- JPEG -------------------------------------------------------------------------------------------------------- */

/* The n bytes of a file with others put in at a place. */
static uint8_t *insert(const uint8_t *file, size_t file_bytes, size_t at, const void *bytes, size_t n)
{
	uint8_t *longer = mem_zalloc(file_bytes + n, 1);
	memcpy(longer, file, at);
	memcpy(longer + at, bytes, n);
	memcpy(longer + at + n, file + at, file_bytes - at);
	return longer;
}

struct jpeg {
	uint8_t *file, *pixels; /* pixels: as it decodes */
	size_t n, frame, frame_bytes, tables, scan;
};

static void jpeg_open(struct jpeg *j, enum jpeg_kind kind)
{
	uint8_t *noise = noise_make(12, 200 * 160 * 3);
	make_jpeg(&(struct jpeg_wish){200, 160, 3, kind, 0, noise}, &j->file, &j->n);
	free(noise);
	j->frame = find_marker(j->file, j->n, kind == JPEG_PROGRESSIVE ? 0xC2 : 0xC0, 0);
	j->frame_bytes = 2 + (size_t)load_be16(j->file + j->frame + 2);
	j->tables = find_marker(j->file, j->n, 0xDB, 0);
	j->scan = find_marker(j->file, j->n, 0xDA, 0);
	struct err err;
	assert_int_equal(decode_file(j->file, j->n, &j->pixels, &err), 0);
}

static void jpeg_close(struct jpeg *j)
{
	free(j->file);
	free(j->pixels);
}

static const enum jpeg_kind kinds[] = {JPEG_BASELINE, JPEG_SEPARATE, JPEG_PROGRESSIVE};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* A second frame header of another size, wherever one could be. */
static void test_jpeg_second_frame(void **state)
{
	(void)state;
	for (int k = 0; k < N_KINDS; k++) {
		struct jpeg j;
		jpeg_open(&j, kinds[k]);
		uint8_t frame[64];
		memcpy(frame, j.file + j.frame, j.frame_bytes);
		store_be16(frame + 5, 1600);
		store_be16(frame + 7, 16);
		const size_t places[] = {2, j.frame, j.frame + j.frame_bytes, j.scan, j.n - 2};
		for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
			uint8_t *file = insert(j.file, j.n, places[i], frame, j.frame_bytes);
			check_refused(file, j.n + j.frame_bytes, "the JPEG is broken");
			free(file);
		}
		jpeg_close(&j);
	}
}

/* The frame says more, fewer or no rows or columns than its scans have data for. */
static void test_jpeg_frame_of_another_size(void **state)
{
	(void)state;
	static const struct {
		uint16_t height, width;
	} sizes[] = {{0, 200}, {160, 0}, {0, 0}, {161, 200}, {176, 200}, {16000, 200}, {160, 1600}, {80, 200}, {160, 8},
		{8, 8}, {1, 1}};
	for (int k = 0; k < N_KINDS; k++)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			struct jpeg j;
			jpeg_open(&j, kinds[k]);
			store_be16(j.file + j.frame + 5, sizes[i].height);
			store_be16(j.file + j.frame + 7, sizes[i].width);
			struct err err;
			int r = decode_file(j.file, j.n, NULL, &err);
			/* 161 is another number of rows of the same blocks. */
			if (sizes[i].height != 161 && r != -ERR_INVALID_ARGUMENT)
				fail_msg("%u x %u: %d", sizes[i].width, sizes[i].height, r);
			jpeg_close(&j);
		}
}

/* A number of rows that is told behind the first scan (DNL): libjpeg does not read it, so it can change nothing. */
static void test_jpeg_rows_told_late(void **state)
{
	(void)state;
	static const uint8_t rows[] = {0xFF, 0xDC, 0, 4, 0x06, 0x40};
	struct jpeg j;
	jpeg_open(&j, JPEG_BASELINE);
	uint8_t *file = insert(j.file, j.n, j.n - 2, rows, sizeof rows);
	check_same_picture(file, j.n + sizeof rows, j.pixels);
	store_be16(file + j.frame + 5, 0);
	check_refused(file, j.n + sizeof rows, "the JPEG is broken");
	free(file);
	jpeg_close(&j);
}

/* A picture in a picture: behind the end (as phones store a second view), in a segment (a thumbnail), or begun anew. */
static void test_jpeg_two_pictures(void **state)
{
	(void)state;
	struct jpeg j;
	uint8_t *other;
	size_t other_bytes;
	make_jpeg(&(struct jpeg_wish){16, 400, 1, JPEG_BASELINE, 0, NULL}, &other, &other_bytes);
	for (int k = 0; k < N_KINDS; k++) {
		jpeg_open(&j, kinds[k]);
		uint8_t *file = insert(j.file, j.n, j.n, other, other_bytes);
		check_same_picture(file, j.n + other_bytes, j.pixels);
		free(file);

		uint8_t *segment = insert(other, other_bytes, 0, "\xFF\xE1\0\0Exif\0\0", 10);
		store_be16(segment + 2, (uint16_t)(other_bytes + 8));
		for (int place = 0; place < 3; place++) {
			file = insert(
				j.file, j.n, (const size_t[]){2, j.scan, j.n - 2}[place], segment, other_bytes + 10);
			check_same_picture(file, j.n + other_bytes + 10, j.pixels);
			free(file);
		}
		free(segment);

		for (int place = 0; place < 4; place++) {
			size_t at = (const size_t[]){2, j.frame, j.scan, j.n - 2}[place];
			file = insert(j.file, j.n, at, other, other_bytes);
			check_refused(file, j.n + other_bytes, "the JPEG is broken");
			free(file);
			file = insert(j.file, j.n, at, "\xFF\xD8", 2);
			check_refused(file, j.n + 2, "the JPEG is broken");
			free(file);
		}
		jpeg_close(&j);
	}
	free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_png_second_header),
		cmocka_unit_test(test_png_header_of_any_length),
		cmocka_unit_test(test_png_order),
		cmocka_unit_test(test_jpeg_second_frame),
		cmocka_unit_test(test_jpeg_frame_of_another_size),
		cmocka_unit_test(test_jpeg_rows_told_late),
		cmocka_unit_test(test_jpeg_two_pictures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
