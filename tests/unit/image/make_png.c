/* SPDX-License-Identifier: MIT */
/* tests/unit/image/make_png.c: see make_png.h. */
#include "tests/unit/image/make_png.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <zlib.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"

enum { ROOM_BYTES = 1200 };

static size_t row_bytes(const struct png_wish *wish)
{
	static const size_t channels[] = {1, 0, 3, 1, 2, 0, 4};
	return 1 + ((size_t)wish->width * channels[wish->colour] * wish->depth + 7) / 8;
}

size_t png_room(const struct png_wish *wish)
{
	return wish->rows_there ? compressBound(wish->rows_there * row_bytes(wish)) + ROOM_BYTES : ROOM_BYTES;
}

void put_png_signature(uint8_t **at)
{
	memcpy(*at, "\x89PNG\r\n\x1A\n", 8);
	*at += 8;
}

void put_png_chunk(uint8_t **at, const char *type, const void *data, size_t n)
{
	store_be32(*at, (uint32_t)n);
	memcpy(*at + 4, type, 4);
	if (n > 0)
		memcpy(*at + 8, data, n);
	store_be32(*at + 8 + n, (uint32_t)crc32(crc32(0, NULL, 0), *at + 4, (uInt)n + 4));
	*at += n + 12;
}

void put_png_header(uint8_t **at, const struct png_wish *wish)
{
	uint8_t header[13] = {[8] = wish->depth, [9] = wish->colour, [12] = wish->interlaced};
	store_be32(header, wish->width);
	store_be32(header + 4, wish->height);
	put_png_chunk(at, "IHDR", header, sizeof header);
}

void put_png_data(uint8_t **at, const struct png_wish *wish)
{
	size_t n = wish->rows_there ? row_bytes(wish) : 0;
	uint8_t *plain = mem_zalloc(wish->rows_there, n);
	for (uint32_t y = 0; y < wish->rows_there; y++) {
		plain[y * n] = wish->filter;
		memset(plain + y * n + 1, wish->sample, n - 1);
	}
	uLongf packed_bytes = compressBound(wish->rows_there * n);
	uint8_t *packed = mem_zalloc(packed_bytes, 1);
	assert_int_equal(compress2(packed, &packed_bytes, plain, wish->rows_there * n, 6), Z_OK);
	put_png_chunk(at, "IDAT", packed, packed_bytes);
	free(plain);
	free(packed);
}

uint8_t *make_png(const struct png_wish *wish, size_t *ret_bytes)
{
	uint8_t *file = mem_zalloc(png_room(wish), 1), *at = file;
	put_png_signature(&at);
	put_png_header(&at, wish);
	put_png_data(&at, wish);
	put_png_chunk(&at, "IEND", NULL, 0);
	*ret_bytes = (size_t)(at - file);
	return file;
}

void repair_png_checksums(uint8_t *file, size_t file_bytes)
{
	for (size_t at = 8; file_bytes - at >= 12;) {
		size_t length = load_be32(file + at);
		if (length > file_bytes - at - 12)
			return;
		store_be32(file + at + 8 + length, (uint32_t)crc32(crc32(0, NULL, 0), file + at + 4, (uInt)length + 4));
		at += length + 12;
	}
}
