/* SPDX-License-Identifier: MIT */
/* tests/fuzz/fuzz_image.c: pictures of every format, with any region, rotation and input shape.
 *
 * Each is decoded twice, over two different patterns: what was accepted has written every pixel, the same both times, and
 * nothing behind them. What was refused has a sentence.
 *
 *   HOW VIEW SHAPE... then the picture:
 *   HOW % 4   0, 3: the rest is a file; with bit 2 the CRCs of its PNG chunks are made right first
 *             1: raw pixels: width, height, channels, then the bytes, or (bit 2) as many as fit
 *             2: a PNG from a list of chunks (see png_of_list): valid in form, anything in order and content */
#include <string.h>
#include <zlib.h>

#include "lib/base/endian.h"
#include "lib/base/random.h"
#include "lib/image/image.h"
#include "tests/fuzz/fuzz.h"

enum {
	HOW_RAW = 1,
	HOW_PNG_LIST = 2,
	HOW_MENDED = 4, /* bit 2 */
	SIDE_MAX = 64,  /* of the input shape */
	STOPS_MAX = 64, /* so often a decoder may ask whether to go on: bounds the time of one input */
	GUARD_BYTES = 64,
	PNG_SIGNATURE_BYTES = 8,
	PNG_CHUNK_BYTES = 12, /* length, type, CRC */
	PNG_MAX_BYTES = 1 << 17,
	PNG_ROWS_MAX_BYTES = 1 << 16,
};

static const uint8_t png_signature[PNG_SIGNATURE_BYTES] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

/* ---- PNG files --------------------------------------------------------------------------------------------------- */

static void png_mend(uint8_t *bytes, size_t n)
{
	for (size_t at = PNG_SIGNATURE_BYTES; at < n && n - at >= PNG_CHUNK_BYTES;) {
		size_t data = load_be32(bytes + at);
		if (data > n - at - PNG_CHUNK_BYTES)
			return;
		store_be32(bytes + at + 8 + data, (uint32_t)crc32(0, bytes + at + 4, (uInt)(4 + data)));
		at += PNG_CHUNK_BYTES + data;
	}
}

struct png {
	uint8_t bytes[PNG_MAX_BYTES];
	size_t n;
	uint8_t rows[PNG_ROWS_MAX_BYTES], packed[PNG_ROWS_MAX_BYTES + 4096];
	size_t packed_n, packed_at; /* compressed rows that no IDAT has carried yet */
};

static void png_chunk(struct png *png, const uint8_t type[4], const uint8_t *data, size_t n)
{
	if (n + PNG_CHUNK_BYTES > sizeof png->bytes - png->n)
		return;
	uint8_t *to = png->bytes + png->n;
	store_be32(to, (uint32_t)n);
	memcpy(to + 4, type, 4);
	if (n)
		memcpy(to + 8, data, n);
	store_be32(to + 8 + n, (uint32_t)crc32(0, to + 4, (uInt)(4 + n)));
	png->n += PNG_CHUNK_BYTES + n;
}

static void png_header(struct png *png, struct fuzz_input *input)
{
	static const uint8_t depths[] = {1, 2, 4, 8, 8, 8, 16, 16}, colours[] = {0, 2, 3, 4, 6, 0, 2, 6};
	uint8_t ihdr[13] = {0}, how = fuzz_u8(input);
	store_be32(ihdr, (uint32_t)fuzz_number(input));
	store_be32(ihdr + 4, (uint32_t)fuzz_number(input));
	ihdr[8] = depths[how % 8];
	ihdr[9] = colours[how / 8 % 8];
	ihdr[12] = how >> 6 & 1;
	if (how >> 7)
		ihdr[8 + fuzz_u8(input) % 5] = fuzz_u8(input);
	png_chunk(png, (const uint8_t *)"IHDR", ihdr, sizeof ihdr);
}

/* Rows of noise: a filter byte where one can be for the given stride, everything below the mask. */
static void png_pack_rows(struct png *png, struct fuzz_input *input)
{
	uint64_t seed = fuzz_u8(input);
	uint8_t mask = fuzz_u8(input), stride = fuzz_u8(input);
	size_t n = fuzz_u16(input);
	for (size_t i = 0; i < n; i++) {
		png->rows[i] = (uint8_t)splitmix64_next(&seed) & mask;
		if (stride && i % stride == 0)
			png->rows[i] %= 5;
	}
	uLongf packed = sizeof png->packed;
	FUZZ_CHECK(compress2(png->packed, &packed, png->rows, n, seed % 2 ? 1 : 0) == Z_OK);
	png->packed_n = packed;
	png->packed_at = 0;
}

static void png_rows_chunk(struct png *png, struct fuzz_input *input)
{
	uint8_t how = fuzz_u8(input);
	size_t n;
	if (how % 4 == 0)
		png_pack_rows(png, input);
	if (how % 4 == 3) { /* as it comes */
		const uint8_t *data = fuzz_bytes(input, fuzz_u8(input), &n);
		png_chunk(png, (const uint8_t *)"IDAT", data, n);
		return;
	}
	n = png->packed_n - png->packed_at;
	if (how % 4 == 2 || how & 8) { /* a part of what waits */
		size_t part = fuzz_u16(input);
		n = part < n ? part : n;
	}
	png_chunk(png, (const uint8_t *)"IDAT", png->packed + png->packed_at, n);
	png->packed_at += n;
}

/* Each chunk: TYPE, then what it needs: a header, compressed rows, or LENGTH and bytes. */
static void png_of_list(struct png *png, struct fuzz_input *input)
{
	static const char types[][5] = {"IHDR", "IDAT", "IEND", "PLTE", "tRNS", "eXIf", "gAMA", "sBIT", "bKGD", "tEXt",
		"zTXt", "iCCP", "iTXt", "sRGB", "pHYs", "hIST", "tIME", "cHRM", "sPLT", "oFFs"};
	enum { N_TYPES = sizeof types / sizeof *types, CHUNKS_MAX = 64 };
	memcpy(png->bytes, png_signature, sizeof png_signature);
	png->n = sizeof png_signature;
	for (int i = 0; i < CHUNKS_MAX && input->left; i++) {
		uint8_t which = fuzz_u8(input) % 32, type[4];
		size_t n;
		if (which == 0) {
			png_header(png, input);
		} else if (which == 1) {
			png_rows_chunk(png, input);
		} else {
			store_be32(type, which < N_TYPES ? load_be32((const uint8_t *)types[which]) : fuzz_u32(input));
			const uint8_t *data = fuzz_bytes(input, fuzz_u8(input), &n);
			png_chunk(png, type, data, n);
		}
	}
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

static enum image_stop stop(void *ctx)
{
	return ++*(int *)ctx > STOPS_MAX ? IMAGE_STOP_REQUEST : IMAGE_GO_ON;
}

static void take_view(struct fuzz_input *input, struct image_picture *picture)
{
	static const uint32_t turns[] = {0, 90, 180, 270, 0, 0, 45, UINT32_MAX};
	uint8_t view = fuzz_u8(input);
	picture->rotate = turns[view % 8];
	picture->has_roi = view & 8;
	for (size_t i = 0; picture->has_roi && i < 4; i++) {
		if (view & 16) {
			uint64_t bits = fuzz_u64(input);
			memcpy(&picture->roi[i], &bits, sizeof bits);
		} else {
			picture->roi[i] = fuzz_u8(input) / 200.0;
		}
	}
}

static struct image_input take_shape(struct fuzz_input *input)
{
	struct image_input shape = {.width = 1 + fuzz_u8(input) % SIDE_MAX, .height = 1 + fuzz_u8(input) % SIDE_MAX};
	uint8_t fit = fuzz_u8(input);
	shape.fit = (enum image_fit)(IMAGE_FIT_COVER + fit % 3);
	shape.background[0] = fit;
	shape.background[1] = 118;
	return shape;
}

static int decode(const struct image_picture *picture, const struct image_input *shape,
	const struct image_limits *given, uint8_t pattern, uint8_t *pixels, struct err *err)
{
	size_t n = (size_t)shape->width * shape->height * 3;
	int asked = 0;
	struct image_limits limits = *given;
	limits.stop = stop;
	limits.stop_ctx = &asked;
	for (size_t i = 0; i < n + GUARD_BYTES; i++)
		pixels[i] = (uint8_t)(pattern ^ i * 37);
	int r = image_to_input(picture, shape, &limits, pixels, err);
	for (size_t i = n; i < n + GUARD_BYTES; i++)
		FUZZ_CHECK(pixels[i] == (uint8_t)(pattern ^ i * 37));
	return r;
}

/* What `look` shows is a picture that gives the same pixels. */
static void check_look(const struct image_input *shape, const uint8_t *pixels, uint8_t *scratch)
{
	uint8_t *png;
	size_t n;
	struct err err;
	FUZZ_CHECK(image_png_encode(pixels, shape->width, shape->height, &png, &n, &err) == 0);
	struct image_picture picture = {.source = IMAGE_ENCODED, .bytes = png, .len_bytes = n};
	struct image_limits limits = {.decode_memory_bytes = 32 << 20};
	FUZZ_CHECK(decode(&picture, shape, &limits, 0x5a, scratch, &err) == 0);
	FUZZ_CHECK(memcmp(pixels, scratch, (size_t)shape->width * shape->height * 3) == 0);
	free(png);
}

static void check_picture(
	const struct image_picture *picture, const struct image_input *shape, const struct image_limits *limits)
{
	static uint8_t first[SIDE_MAX * SIDE_MAX * 3 + GUARD_BYTES], second[sizeof first];
	struct err err = {0}, again = {0};
	int r = decode(picture, shape, limits, 0x00, first, &err);
	FUZZ_CHECK(decode(picture, shape, limits, 0xff, second, &again) == r);
	if (r != 0) {
		fuzz_check_refusal(r, &err);
		FUZZ_CHECK(strcmp(err.text, again.text) == 0);
		return;
	}
	FUZZ_CHECK(memcmp(first, second, (size_t)shape->width * shape->height * 3) == 0);
	check_look(shape, first, second);
}

/* Exactly so many bytes on the heap, so that a step behind them is seen. */
static uint8_t *exact_copy(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	FUZZ_CHECK(copy);
	if (n)
		memcpy(copy, bytes, n);
	return copy;
}

static uint8_t *take_raw(struct fuzz_input *input, bool as_many_as_fit, struct image_picture *picture)
{
	picture->source = IMAGE_RAW;
	picture->raw_width = (uint32_t)fuzz_number(input);
	picture->raw_height = (uint32_t)fuzz_number(input);
	picture->raw_channels = fuzz_u8(input) % 5;
	uint64_t n = (uint64_t)picture->raw_width * picture->raw_height * picture->raw_channels;
	if (!as_many_as_fit || picture->raw_width > 4096 || picture->raw_height > 4096 || n > 1 << 20) {
		picture->len_bytes = input->left;
		return exact_copy(input->at, input->left);
	}
	picture->len_bytes = n;
	uint8_t *bytes = malloc(n ? n : 1);
	FUZZ_CHECK(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = input->left ? input->at[i % input->left] : (uint8_t)(i * 31);
	return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct png png;
	struct fuzz_input input = {bytes, n};
	struct image_picture picture = {.source = IMAGE_ENCODED};
	uint8_t how = fuzz_u8(&input), *copy;
	take_view(&input, &picture);
	struct image_input shape = take_shape(&input);
	uint8_t limit = fuzz_u8(&input);
	struct image_limits limits = {
		.decode_memory_bytes = (size_t)1024 << limit % 16, .decode_megapixels = limit / 16};
	switch (how % 4) {
	case HOW_RAW:
		copy = take_raw(&input, how & HOW_MENDED, &picture);
		break;
	case HOW_PNG_LIST:
		png.packed_n = png.packed_at = 0;
		png_of_list(&png, &input);
		copy = exact_copy(png.bytes, png.n);
		picture.len_bytes = png.n;
		break;
	default:
		copy = exact_copy(input.at, input.left);
		picture.len_bytes = input.left;
		if (how & HOW_MENDED)
			png_mend(copy, input.left);
	}
	picture.bytes = copy;
	check_picture(&picture, &shape, &limits);
	free(copy);
	return 0;
}
