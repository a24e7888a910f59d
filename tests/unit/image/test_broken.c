/* SPDX-License-Identifier: MIT */
/* lib/image and broken pictures: cut at every byte, changed in every byte, damaged on purpose, of another format. Each is
 * an error with a sentence or, where the damage cannot be seen, a picture; never a crash, and never more than asked for. */
#include "tests/unit/image/vectors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "tests/unit/image/make_jpeg.h"
#include "tests/unit/image/make_png.h"

static const struct image_input input_8 = {.width = 8, .height = 8, .fit = IMAGE_FIT_COVER};

static int decode_file(const uint8_t *file, size_t file_bytes, struct err *err)
{
	struct image_picture picture = {.source = IMAGE_ENCODED, .bytes = file, .len_bytes = file_bytes};
	memset(err, 0, sizeof *err);
	int r = decode_tight(&picture, &input_8, NULL, NULL, err);
	if (r < 0) {
		assert_int_equal(r, -err->code);
		assert_true(strlen(err->text) > 20);
	}
	return r;
}

/* Refused as invalid, and the sentence has these words. */
static void check_refused(const uint8_t *file, size_t file_bytes, const char *words)
{
	struct err err;
	assert_int_equal(decode_file(file, file_bytes, &err), -ERR_INVALID_ARGUMENT);
	if (!strstr(err.text, words))
		fail_msg("'%s' is not in: %s", words, err.text);
	assert_string_equal(err.field, "picture");
}

static const char *const whole_files[] = {"jpeg subsampling 2 by 1", "jpeg progressive subsampling 0 by 1",
	"jpeg grey by 1", "jpeg CMYK by 1", "jpeg EXIF 6 by 1", "png 13x11 colour 2 depth 16 key",
	"png 13x11 colour 3 depth 4 alpha interlaced", "png with other chunks"};
enum { N_WHOLE_FILES = sizeof whole_files / sizeof *whole_files };

/* How much of a file is enough: all to the last IDAT of a PNG, all but the end marker of a JPEG. */
static size_t needed_bytes(const struct image_picture *p)
{
	if (p->bytes[1] != 'P')
		return p->len_bytes - 2;
	size_t needed = 0;
	for (size_t at = 8; at < p->len_bytes; at += load_be32(p->bytes + at) + 12u)
		if (memcmp(p->bytes + at + 4, "IDAT", 4) == 0)
			needed = at + load_be32(p->bytes + at) + 12;
	return needed;
}

/* The bytes of chunks that make no pixels. */
static size_t other_bytes(const struct image_picture *p)
{
	size_t n = 0;
	for (size_t at = 8; at < p->len_bytes; at += load_be32(p->bytes + at) + 12u)
		if (p->bytes[at + 4] >= 'a' && memcmp(p->bytes + at + 4, "tRNS", 4) != 0)
			n += load_be32(p->bytes + at) + 12;
	return n;
}

/* A file that is cut off is refused, but for one of which nothing is missing that makes pixels: that is the same picture. */
static void test_cut_at_every_byte(void **state)
{
	for (size_t i = 0; i < N_WHOLE_FILES; i++) {
		const struct image_picture *p = &vectors_find(*state, whole_files[i])->picture;
		uint8_t *pixels, *whole;
		struct image_picture cut = *p;
		struct err err = {0};
		assert_int_equal(decode_tight(p, &input_8, NULL, &whole, NULL), 0);
		for (cut.len_bytes = 0; cut.len_bytes < p->len_bytes; cut.len_bytes++) {
			int r = decode_twice(&cut, &input_8, NULL, &pixels, &err);
			/* The last bits of a JPEG may be nothing but padding: the comparison below is what counts. */
			bool may_pass = cut.len_bytes + 2 >= needed_bytes(p) && p->bytes[1] != 'P';
			if (r != (cut.len_bytes < needed_bytes(p) ? -ERR_INVALID_ARGUMENT : 0) && !(may_pass && r == 0))
				fail_msg("%s cut at %zu of %zu: %s", whole_files[i], cut.len_bytes, p->len_bytes,
					err.text);
			if (r != 0)
				continue;
			assert_memory_equal(pixels, whole, 8 * 8 * 3);
			free(pixels);
		}
		check_refused(p->bytes, p->len_bytes / 2, "truncated");
		free(whole);
	}
}

/* Is the byte one of the four letters of such a chunk, before it was changed by one byte? */
static bool in_name_of(const struct image_picture *p, size_t at, const char *type)
{
	for (size_t name = at - 3; name <= at; name++) {
		int n_same = 0;
		for (int i = 0; i < 4; i++)
			n_same += p->bytes[name + i] == (uint8_t)type[i];
		if (n_same == 3)
			return true;
	}
	return false;
}

/* A checksum guards every byte of a PNG that makes pixels, so any change of one is found; what else there is may change. */
static void test_png_changed_in_every_byte(void **state)
{
	uint64_t seed = 1;
	for (size_t i = 0; i < N_WHOLE_FILES; i++) {
		struct image_picture p = vectors_find(*state, whole_files[i])->picture;
		if (p.bytes[1] != 'P')
			continue;
		uint8_t *file = mem_dup(p.bytes, p.len_bytes), *whole, *pixels;
		size_t n_same = 0;
		p.bytes = file;
		assert_int_equal(decode_tight(&p, &input_8, NULL, &whole, NULL), 0);
		for (size_t at = 0; at < p.len_bytes; at++) {
			uint8_t was = file[at];
			struct err err = {0};
			file[at] ^= (uint8_t)(1 + splitmix64_below(&seed, 255));
			int r = decode_twice(&p, &input_8, NULL, &pixels, &err);
			if (r == 0) {
				/* A tRNS that has lost its name is any chunk that nobody knows. */
				if (memcmp(pixels, whole, 8 * 8 * 3) != 0 && !in_name_of(&p, at, "tRNS"))
					fail_msg("%s changed at %zu is another picture", whole_files[i], at);
				free(pixels);
				n_same++;
			} else if (r != -ERR_INVALID_ARGUMENT) {
				fail_msg("%s changed at %zu: %s", whole_files[i], at, err.text);
			}
			file[at] = was;
		}
		print_message("%s: %zu of %zu changes do not matter\n", whole_files[i], n_same, p.len_bytes);
		assert_true(n_same <= p.len_bytes - needed_bytes(&p) + other_bytes(&p));
		free(whole);
		free(file);
	}
}

/* Seeded changes of one to four bytes; with repaired checksums, so that libspng sees them, too. */
static void test_changed_at_random(void **state)
{
	enum { ROUNDS = 4000 };
	uint64_t seed = 2;
	unsigned n_good = 0, n_bad = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		const struct image_picture *p = &vectors_find(*state, whole_files[round % N_WHOLE_FILES])->picture;
		uint8_t *file = mem_dup(p->bytes, p->len_bytes);
		for (uint32_t k = 1 + splitmix64_below(&seed, 4); k > 0; k--)
			file[splitmix64_below(&seed, (uint32_t)p->len_bytes)] = (uint8_t)splitmix64_next(&seed);
		if (p->bytes[1] == 'P')
			repair_png_checksums(file, p->len_bytes);
		struct err err;
		int r = decode_file(file, p->len_bytes, &err);
		if (r == 0)
			n_good++;
		else if (r == -ERR_INVALID_ARGUMENT || r == -ERR_RESOURCE_EXHAUSTED)
			n_bad++;
		else
			fail_msg("round %u: %d %s", round, r, err.text);
		free(file);
	}
	print_message("%u pictures, %u errors\n", n_good, n_bad);
	assert_true(n_good > ROUNDS / 20 && n_bad > ROUNDS / 4);
}

/* Bytes between or after what belongs together. */
static uint8_t *insert(const uint8_t *file, size_t file_bytes, size_t at, const void *bytes, size_t n)
{
	uint8_t *longer = mem_zalloc(file_bytes + n, 1);
	memcpy(longer, file, at);
	memcpy(longer + at, bytes, n);
	memcpy(longer + at + n, file + at, file_bytes - at);
	return longer;
}

/* Webcams put a few bytes before the end marker, phones whole films behind it: the picture is good. */
static void test_jpeg_stray_bytes(void **state)
{
	const struct image_picture *p = &vectors_find(*state, "jpeg subsampling 0 by 1")->picture;
	static const uint8_t zeros[40];
	static const struct {
		size_t from_end, n;
		bool is_good;
	} cases[] = {{2, 1, true}, {2, 16, true}, {2, 40, false}, {0, 20, true}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t *file = insert(p->bytes, p->len_bytes, p->len_bytes - cases[i].from_end, zeros, cases[i].n);
		struct err err;
		if (cases[i].is_good)
			assert_int_equal(decode_file(file, p->len_bytes + cases[i].n, &err), 0);
		else
			check_refused(file, p->len_bytes + cases[i].n, "extraneous bytes");
		free(file);
	}
}

/* What libjpeg would only warn about and then fill in with grey. */
static void test_jpeg_damaged(void **state)
{
	(void)state;
	uint8_t *pixels = noise_make(9, 64 * 64 * 3), *file;
	size_t n;
	make_jpeg(&(struct jpeg_wish){64, 64, 3, JPEG_SEPARATE, 0, pixels}, &file, &n);
	struct err err;
	assert_int_equal(decode_file(file, n, &err), 0);
	size_t last_scan = find_marker(file, n, 0xDA, 2);
	memcpy(file + last_scan, "\xFF\xD9", 2); /* the end where the third component's scan began */
	check_refused(file, last_scan + 2, "before every colour component had its data");
	free(file);

	make_jpeg(&(struct jpeg_wish){64, 64, 3, JPEG_BASELINE, 2, pixels}, &file, &n);
	assert_int_equal(decode_file(file, n, &err), 0);
	size_t restart = find_marker(file, n, 0xD1, 0);
	file[restart + 1] = 0xD5;
	check_refused(file, n, "found marker 0xd5 instead of RST1");
	file[restart + 1] = 0xD1;
	size_t data = find_marker(file, n, 0xD2, 0);
	memset(file + data + 10, 0xFE, 40);
	assert_int_equal(decode_file(file, n, &err), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(err.text, "Corrupt JPEG data"));
	assert_non_null(strstr(err.text, "row "));
	free(file);

	make_jpeg(&(struct jpeg_wish){16, 16, 2, JPEG_BASELINE, 0, pixels}, &file, &n);
	check_refused(file, n, "2 colour components");
	free(file);
	free(pixels);

	check_refused((const uint8_t *)"\xFF\xD8\xFF\xD9", 4, "the JPEG is broken");
}

/* Without its end marker a file is read, if nothing of the picture is gone with it. */
static void test_jpeg_without_end(void **state)
{
	(void)state;
	static const enum jpeg_kind kinds[] = {JPEG_BASELINE, JPEG_SEPARATE, JPEG_PROGRESSIVE};
	uint8_t *noise = noise_make(13, 64 * 64 * 3), *file, *whole, *pixels;
	size_t n;
	for (int k = 0; k < 3; k++) {
		make_jpeg(&(struct jpeg_wish){64, 64, 3, kinds[k], 0, noise}, &file, &n);
		struct image_picture picture = {.source = IMAGE_ENCODED, .bytes = file, .len_bytes = n};
		assert_int_equal(decode_tight(&picture, &input_8, NULL, &whole, NULL), 0);
		for (picture.len_bytes = n - 2; picture.len_bytes < n; picture.len_bytes++) {
			assert_int_equal(decode_twice(&picture, &input_8, NULL, &pixels, NULL), 0);
			assert_memory_equal(pixels, whole, 8 * 8 * 3);
			free(pixels);
		}
		/* A whole scan less, and before the first one. */
		for (unsigned scan = 0; k > 0 && scan < 3; scan++)
			check_refused(file, find_marker(file, n, 0xDA, scan), "truncated");
		if (kinds[k] == JPEG_PROGRESSIVE)
			check_refused(file, find_marker(file, n, 0xDA, 9), "truncated");
		free(file);
		free(whole);
	}
	/* Missing bytes are zeros to the arithmetic decoder, so its files need their end. */
	make_jpeg(&(struct jpeg_wish){64, 64, 3, JPEG_ARITHMETIC, 0, noise}, &file, &n);
	struct err err;
	assert_int_equal(decode_file(file, n, &err), 0);
	for (size_t cut = n / 2; cut < n; cut++)
		check_refused(file, cut, "truncated");
	free(file);
	free(noise);
}

static void test_jpeg_separate_scans(void **state)
{
	(void)state;
	uint8_t *pixels = noise_make(10, 40 * 24 * 3), *out[3], *file;
	struct image_input input = {.width = 40, .height = 24, .fit = IMAGE_FIT_STRETCH};
	static const enum jpeg_kind kinds[] = {JPEG_BASELINE, JPEG_SEPARATE, JPEG_PROGRESSIVE};
	for (int i = 0; i < 3; i++) {
		size_t n;
		make_jpeg(&(struct jpeg_wish){40, 24, 3, kinds[i], 0, pixels}, &file, &n);
		struct image_picture picture = {.source = IMAGE_ENCODED, .bytes = file, .len_bytes = n};
		assert_int_equal(decode_tight(&picture, &input, NULL, &out[i], NULL), 0);
		free(file);
	}
	assert_memory_equal(out[0], out[1], 40 * 24 * 3);
	assert_memory_equal(out[0], out[2], 40 * 24 * 3);
	for (int i = 0; i < 3; i++)
		free(out[i]);
	free(pixels);
}

static void test_png_damaged(void **state)
{
	const struct image_picture *p = &vectors_find(*state, "png 13x11 colour 2 depth 8")->picture;
	enum { IHDR = 8, FIRST_IDAT = 8 + 12 + 13 };
	size_t n = p->len_bytes;
	uint8_t *file = mem_dup(p->bytes, n);
	assert_memory_equal(file + FIRST_IDAT + 4, "IDAT", 4);

	file[FIRST_IDAT + 11] ^= 0x55;
	check_refused(file, n, "IDAT chunk at byte 33 of");
	check_refused(file, n, "wrong checksum");
	repair_png_checksums(file, n);
	check_refused(file, n, "the PNG is broken");
	file[FIRST_IDAT + 11] ^= 0x55;

	file[IHDR + 8 + 7] = 200; /* more rows than there is data for */
	repair_png_checksums(file, n);
	check_refused(file, n, "row 1");
	file[IHDR + 8 + 7] = 0;
	repair_png_checksums(file, n);
	check_refused(file, n, "image height (in its header)");
	file[IHDR + 8 + 7] = 11;
	file[IHDR + 8 + 9] = 5; /* no such colour type */
	repair_png_checksums(file, n);
	check_refused(file, n, "olor type");
	file[IHDR + 8 + 9] = 2;
	memcpy(file + IHDR + 4, "IHDX", 4);
	check_refused(file, n, "where the header must be");
	memcpy(file + IHDR + 4, "IHDR", 4);
	repair_png_checksums(file, n);
	struct err err;
	assert_int_equal(decode_file(file, n, &err), 0);

	uint8_t chunk[12] = {0, 0, 0, 0, 'C', 'g', 'B', 'I'}; /* critical by its first letter, and unknown */
	uint8_t *longer = insert(file, n, FIRST_IDAT, chunk, sizeof chunk);
	repair_png_checksums(longer, n + sizeof chunk);
	check_refused(longer, n + sizeof chunk, "its CgBI chunk at byte 33");
	memcpy(longer + FIRST_IDAT + 4, "cgBI", 4);
	repair_png_checksums(longer, n + sizeof chunk);
	assert_int_equal(decode_file(longer, n + sizeof chunk, &err), 0);
	longer[FIRST_IDAT + 8] ^= 1; /* its checksum: nobody needs the chunk */
	assert_int_equal(decode_file(longer, n + sizeof chunk, &err), 0);
	memcpy(longer + FIRST_IDAT + 4, "tRNS", 4); /* but without this one it would be another picture */
	check_refused(longer, n + sizeof chunk, "its tRNS chunk at byte 33");
	memcpy(longer + FIRST_IDAT + 4, "cg\nI", 4);
	repair_png_checksums(longer, n + sizeof chunk);
	check_refused(longer, n + sizeof chunk, "a name that is none");
	free(longer);
	memcpy(file, "\x89PNG\n\x1A\n\0", 8);
	check_refused(file, n, "text mode");
	free(file);
}

static void test_other_formats(void **state)
{
	(void)state;
	static const struct {
		size_t n;
		const char *bytes, *words;
	} cases[] = {
		{0, "", "empty"},
		{1, "x", "neither JPEG nor PNG"},
		{2, "\xFF\xD8", "neither JPEG nor PNG"},
		{12,
			"\0\0\0\x18"
			"ftypheic",
			"HEIC, but only JPEG and PNG are read; convert it with: heif-convert in.heic out.jpg"},
		{20,
			"\0\0\0\x18"
			"ftypmif1\0\0\0\0heic",
			"heif-convert in.heic out.jpg"},
		{20,
			"\0\0\0\x18"
			"ftypmif1\0\0\0\0avif",
			"heif-convert in.avif out.jpg"},
		{16,
			"\0\0\0\x18"
			"ftypmsf1\0\0\0\0",
			"heif-convert in.heic out.jpg"},
		{12,
			"\0\0\0\x18"
			"ftypavif",
			"heif-convert in.avif out.jpg"},
		{12,
			"\0\0\0\x18"
			"ftypisom",
			"ffmpeg -i in.mp4 -frames:v 1 out.jpg"},
		{16, "RIFF\0\0\0\0WEBPVP8 ", "dwebp in.webp -o out.png"},
		{6, "GIF89a", "convert 'in.gif[0]' out.png"},
		{6, "GIF87a", "GIF"},
		{4, "BM\0\0", "convert in.bmp out.png"},
		{4, "II*\0", "TIFF"},
		{4, "MM\0*", "TIFF"},
		{3, "P6\n", "PNM"},
		{4, "P6xx", "neither"},
		{2, "\xFF\x0A", "djxl"},
		{12,
			"\0\0\0\x0C"
			"jP  \r\n\x87\n",
			"opj_decompress"},
		{5, "%PDF-", "pdftoppm"},
		{5, "<?xml", "rsvg-convert"},
		{7, "RIFF\0\0\0", "neither"},
		{6, "\x89PNG\r\r", "text mode"},
		{40, "<html><body>not found</body></html>     ", "it begins with 3c 68 74 6d"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check_refused((const uint8_t *)cases[i].bytes, cases[i].n, cases[i].words);
}

static void check_picture_refused(const struct image_picture *picture, const char *field, const char *words)
{
	struct err err = {0};
	assert_int_equal(decode_tight(picture, &input_8, NULL, NULL, &err), -ERR_INVALID_ARGUMENT);
	assert_string_equal(err.field, field);
	if (!strstr(err.text, words))
		fail_msg("'%s' is not in: %s", words, err.text);
}

static void test_raw_refused(void **state)
{
	(void)state;
	uint8_t bytes[48] = {0};
	struct image_picture good = {.source = IMAGE_RAW,
		.bytes = bytes,
		.len_bytes = 48,
		.raw_width = 4,
		.raw_height = 4,
		.raw_channels = 3};
	assert_int_equal(decode_tight(&good, &input_8, NULL, NULL, NULL), 0);
	struct image_picture p = good;
	p.len_bytes = 47;
	check_picture_refused(&p, "picture.raw", "has 47 bytes, but 4x4x3 are 48");
	p = good;
	p.raw_channels = 1;
	check_picture_refused(&p, "picture.raw", "has 48 bytes, but 4x4x1 are 16");
	p.raw_channels = 4;
	check_picture_refused(&p, "picture.raw", "4 channels");
	p.raw_channels = 0;
	check_picture_refused(&p, "picture.raw", "0 channels");
	p = good;
	p.raw_height = 0;
	check_picture_refused(&p, "picture", "empty");

	static const struct {
		uint32_t rotate;
		double roi[4];
	} bad[] = {{45, {0, 0, 1, 1}}, {360, {0, 0, 1, 1}}, {0x80000000u, {0, 0, 1, 1}}, {0, {-0.1, 0, 1, 1}},
		{0, {0, 0, 0, 1}}, {0, {0, 0, 1, 0}}, {0, {0, 0, 1.01, 1}}, {0, {0.5, 0, 0.6, 1}}, {0, {1, 0, 0.1, 1}},
		{0, {0, 1, 1, 1}}, {0, {0, 0, -1, 1}}, {0, {NAN, 0, 1, 1}}, {0, {0, 0, 1, NAN}},
		{0, {0, INFINITY, 1, 1}}, {0, {0, 0, 1e300, 1}}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		p = good;
		p.rotate = bad[i].rotate;
		p.has_roi = true;
		memcpy(p.roi, bad[i].roi, sizeof p.roi);
		check_picture_refused(&p, p.rotate ? "picture.rotate" : "picture.roi",
			p.rotate ? "0, 90, 180 or 270" : "fractions from 0 to 1");
	}
	p = good;
	p.has_roi = true;
	p.roi[0] = 0.7;
	p.roi[2] = 0.1 + 0.2; /* together a hair over 1 */
	p.roi[3] = 1;
	assert_int_equal(decode_tight(&p, &input_8, NULL, NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_png_changed_in_every_byte),
		cmocka_unit_test(test_changed_at_random),
		cmocka_unit_test(test_jpeg_stray_bytes),
		cmocka_unit_test(test_jpeg_damaged),
		cmocka_unit_test(test_jpeg_without_end),
		cmocka_unit_test(test_jpeg_separate_scans),
		cmocka_unit_test(test_png_damaged),
		cmocka_unit_test(test_other_formats),
		cmocka_unit_test(test_raw_refused),
	};
	return cmocka_run_group_tests(tests, vectors_load, vectors_unload);
}
