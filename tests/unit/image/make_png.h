/* SPDX-License-Identifier: MIT */
/* tests/unit/image/make_png.h: PNG files that no ordinary program writes, chunk by chunk, made at test time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct png_wish {
	uint32_t width, height;
	uint8_t depth, colour; /* as the header has them */
	bool interlaced;
	uint32_t rows_there; /* rows of data; fewer than height: it lacks some */
	uint8_t sample;      /* every byte of a row */
	uint8_t filter;      /* of every row */
};

/* Appends to *at, which must have n + 12 bytes of room. */
void put_png_signature(uint8_t **at);
void put_png_chunk(uint8_t **at, const char *type, const void *data, size_t n);
void put_png_header(uint8_t **at, const struct png_wish *wish);
/* Into one IDAT chunk, as small as deflate makes it; at most png_room(wish) bytes. Each row is as long as the widest one. */
void put_png_data(uint8_t **at, const struct png_wish *wish);

/* Enough for the whole file of that wish and 1 KiB of other chunks. */
size_t png_room(const struct png_wish *wish);

/* A whole file; the caller frees it. */
uint8_t *make_png(const struct png_wish *wish, size_t *ret_bytes);

/* Makes every checksum right again, as far as the lengths lead. */
void repair_png_checksums(uint8_t *file, size_t file_bytes);
