/* SPDX-License-Identifier: MIT */
/* lib/image/decode_png.c: PNG by libspng, see decode.h.
 *
 * The rules (part of IMAGE_RULES): 16 bit by the high byte; grey three times; colour c with alpha a over the model's
 * background b is (c a + b (255 - a)) / 255 to the nearest; gamma and profiles ignored; eXIf's orientation obeyed.
 *
 * The chunks are walked here first: every length and checksum, so that a damaged file is refused with the name and the
 * place of the chunk, and libspng is given only those that make pixels. So nothing that the file merely carries (text,
 * profiles, compressed or not) is ever unpacked or kept, and memory is a few rows. The one exception is an interlaced
 * picture, whose rows come in pieces: the crop of it is held, and counted against the limit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spng.h>
#include <zlib.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/image/decode.h"
#include "lib/image/exif.h"
#include "lib/image/geometry.h"
#include "lib/image/resize.h"

enum {
	SIGNATURE_BYTES = 8,
	CHUNK_EXTRA_BYTES = 12, /* length, type and checksum around the data */
	IHDR_BYTES = 13,
	IHDR_INTERLACE_AT = 12,
	CHUNK_LENGTH_MAX = 0x7FFFFFFF,
	ANCILLARY_BIT = 0x20, /* of the first letter: a reader may ignore the chunk */
	ADAM7_PASSES = 7,
};

struct png_reader {
	const struct decode_job *job;
	struct err *err;
	uint32_t width, height;
	bool interlaced;
	unsigned exif;
	size_t at, chunk_end; /* what libspng reads next, where this chunk ends */
	struct geometry geometry;
	struct resizer resizer;
	uint8_t *row;  /* width x RGBA */
	uint8_t *line; /* the crop of a row as RGB */
	uint8_t *held; /* interlaced: the whole crop as RGB */
};

static int broken(const struct png_reader *p, const char *what, const uint8_t type[4], size_t at)
{
	int r = err_set(p->err, ERR_INVALID_ARGUMENT, "the PNG is broken: its %.4s chunk at byte %zu of %zu %s",
		(const char *)type, at, p->job->picture->len_bytes, what);
	if (p->err)
		p->err->field = "picture";
	return r;
}

static bool chunk_is(const uint8_t *chunk, const char *type)
{
	return memcmp(chunk + 4, type, 4) == 0;
}

/* Chunks that make pixels; all others stay with us. */
static bool chunk_is_pixels(const uint8_t *chunk)
{
	return chunk_is(chunk, "IHDR") || chunk_is(chunk, "PLTE") || chunk_is(chunk, "tRNS") ||
	       chunk_is(chunk, "IDAT") || chunk_is(chunk, "IEND");
}

static int check_chunk(const struct png_reader *p, size_t at)
{
	const uint8_t *chunk = p->job->picture->bytes + at, *type = chunk + 4;
	size_t room = p->job->picture->len_bytes - at, length = load_be32(chunk);
	for (int i = 0; i < 4; i++)
		if ((type[i] | ANCILLARY_BIT) < 'a' || (type[i] | ANCILLARY_BIT) > 'z')
			return broken(p, "has a name that is none", type, at);
	if (at == SIGNATURE_BYTES && (!chunk_is(chunk, "IHDR") || length != IHDR_BYTES))
		return broken(p, "stands where the header must be", type, at);
	if (length > CHUNK_LENGTH_MAX || length > room - CHUNK_EXTRA_BYTES)
		return broken(p, "goes beyond the end of the file, which is truncated", type, at);
	if (crc32(crc32(0, NULL, 0), type, (uInt)length + 4) != load_be32(chunk + 8 + length))
		return broken(p, "has a wrong checksum", type, at);
	if (!(type[0] & ANCILLARY_BIT) && !chunk_is_pixels(chunk))
		return broken(p, "is unknown, but needed to decode the picture", type, at);
	return 0;
}

/* Walks all chunks to IEND and fills in width, height, interlaced and exif. */
static int check_chunks(struct png_reader *p)
{
	const uint8_t *bytes = p->job->picture->bytes;
	size_t len_bytes = p->job->picture->len_bytes;
	for (size_t at = SIGNATURE_BYTES;;) {
		if (len_bytes - at < CHUNK_EXTRA_BYTES) {
			int r = err_set(p->err, ERR_INVALID_ARGUMENT,
				"the PNG is broken: the file ends at byte %zu, before its IEND chunk: it is truncated",
				len_bytes);
			if (p->err)
				p->err->field = "picture";
			return r;
		}
		int r = check_chunk(p, at);
		if (r < 0)
			return r;
		const uint8_t *chunk = bytes + at;
		size_t length = load_be32(chunk);
		if (chunk_is(chunk, "IHDR")) {
			p->width = load_be32(chunk + 8);
			p->height = load_be32(chunk + 12);
			p->interlaced = chunk[8 + IHDR_INTERLACE_AT] != 0;
		} else if (chunk_is(chunk, "eXIf")) {
			p->exif = exif_orientation_of_tiff(chunk + 8, length);
		} else if (chunk_is(chunk, "IEND")) {
			return 0;
		}
		at += length + CHUNK_EXTRA_BYTES;
	}
}

/* libspng's source: the signature and the chunks that make pixels, as if the file had no others. */
static int feed(spng_ctx *ctx, void *user, void *dest, size_t n)
{
	(void)ctx;
	struct png_reader *p = user;
	const uint8_t *bytes = p->job->picture->bytes;
	size_t len_bytes = p->job->picture->len_bytes;
	for (uint8_t *out = dest; n > 0;) {
		while (p->at == p->chunk_end) {
			if (len_bytes - p->at < CHUNK_EXTRA_BYTES)
				return SPNG_IO_EOF;
			size_t chunk_bytes = load_be32(bytes + p->at) + (size_t)CHUNK_EXTRA_BYTES;
			if (chunk_bytes > len_bytes - p->at)
				return SPNG_IO_EOF;
			p->chunk_end += chunk_bytes;
			if (!chunk_is_pixels(bytes + p->at))
				p->at = p->chunk_end;
		}
		size_t part = p->chunk_end - p->at < n ? p->chunk_end - p->at : n;
		memcpy(out, bytes + p->at, part);
		p->at += part;
		out += part;
		n -= part;
	}
	return 0;
}

/* One RGBA pixel over the background. */
static void blend(const uint8_t *rgba, const uint8_t background[3], uint8_t *rgb)
{
	unsigned alpha = rgba[3];
	for (int k = 0; k < 3; k++)
		rgb[k] = (uint8_t)((rgba[k] * alpha + background[k] * (255 - alpha) + 127) / 255);
}

static void take_row(struct png_reader *p, uint32_t y)
{
	const struct rect *crop = &p->geometry.crop;
	if (y < crop->y || y - crop->y >= crop->height)
		return;
	for (size_t i = 0; i < crop->width; i++)
		blend(p->row + (crop->x + i) * 4, p->job->input->background, p->line + i * 3);
	resizer_row(&p->resizer, p->line);
}

/* A row of one pass has pixels only at that pass's columns; the others of p->row are left over. */
static void take_interlaced(struct png_reader *p, const struct spng_row_info *info)
{
	static const uint8_t first[ADAM7_PASSES] = {0, 4, 0, 2, 0, 1, 0}, step[ADAM7_PASSES] = {8, 8, 4, 4, 2, 2, 1};
	const struct rect *crop = &p->geometry.crop;
	if (info->pass < 0 || info->pass >= ADAM7_PASSES || info->row_num < crop->y ||
		info->row_num - crop->y >= crop->height)
		return;
	uint8_t *dest = p->held + (size_t)(info->row_num - crop->y) * crop->width * 3;
	for (size_t x = first[info->pass]; x < (size_t)crop->x + crop->width; x += step[info->pass])
		if (x >= crop->x)
			blend(p->row + x * 4, p->job->input->background, dest + (x - crop->x) * 3);
}

static int broken_pixels(const struct png_reader *p, int code, uint32_t row)
{
	if (code == SPNG_EMEM || code == SPNG_EOVERFLOW)
		return err_set(p->err, ERR_RESOURCE_EXHAUSTED, "no memory to decode this PNG of %u x %u pixels",
			p->width, p->height);
	int r = err_set(p->err, ERR_INVALID_ARGUMENT, "the PNG is broken: %s (row %u of %u)", spng_strerror(code), row,
		p->height);
	if (p->err)
		p->err->field = "picture";
	return r;
}

static int read_rows(struct png_reader *p, spng_ctx *ctx)
{
	int code = spng_decode_image(ctx, NULL, 0, SPNG_FMT_RGBA8, SPNG_DECODE_TRNS | SPNG_DECODE_PROGRESSIVE);
	struct spng_row_info info = {0};
	for (unsigned n = 0; code == 0; n++) {
		if (n % DECODE_ROWS_PER_STOP == 0 && decode_must_stop(p->job))
			return decode_stopped(p->err);
		code = spng_get_row_info(ctx, &info);
		if (code != 0)
			break;
		code = spng_decode_row(ctx, p->row, (size_t)p->width * 4);
		if (code != 0 && code != SPNG_EOI)
			break;
		if (p->interlaced)
			take_interlaced(p, &info);
		else
			take_row(p, info.row_num);
	}
	if (code != SPNG_EOI)
		return broken_pixels(p, code, info.row_num);
	if (p->interlaced)
		for (uint32_t y = 0; y < p->geometry.crop.height; y++)
			resizer_row(&p->resizer, p->held + (size_t)y * p->geometry.crop.width * 3);
	return 0;
}

static int read_png(struct png_reader *p, spng_ctx *ctx)
{
	const struct rect *crop = &p->geometry.crop;
	geometry_plan(p->job->picture, p->job->input, p->width, p->height, p->exif, &p->geometry);
	size_t held_bytes = p->interlaced ? (size_t)crop->width * crop->height * 3 : 0;
	int r = decode_check_memory(p->job, held_bytes, "this interlaced PNG",
		"one that is not interlaced needs little: convert in.png -interlace none out.png (Debian package "
		"imagemagick)",
		p->err);
	if (r == 0)
		r = resizer_init(&p->resizer, p->job, &p->geometry, p->err);
	if (r < 0)
		return r;
	p->held = held_bytes ? mem_zalloc(held_bytes, 1) : NULL;
	p->row = mem_zalloc(p->width, 4);
	p->line = mem_zalloc(crop->width, 3);
	int code = spng_set_image_limits(ctx, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
	if (code == 0)
		code = spng_set_crc_action(ctx, SPNG_CRC_ERROR, SPNG_CRC_ERROR);
	if (code == 0)
		code = spng_set_png_stream(ctx, feed, p);
	return code != 0 ? broken_pixels(p, code, 0) : read_rows(p, ctx);
}

int decode_png(const struct decode_job *job, struct err *err)
{
	struct png_reader p = {.job = job, .err = err, .exif = 1, .chunk_end = SIGNATURE_BYTES};
	int r = check_chunks(&p);
	if (r == 0)
		r = decode_check_size(p.width, p.height, err);
	if (r < 0)
		return r;
	spng_ctx *ctx = spng_ctx_new(0);
	r = ctx ? read_png(&p, ctx) : broken_pixels(&p, SPNG_EMEM, 0);
	spng_ctx_free(ctx);
	resizer_deinit(&p.resizer);
	free(p.held);
	free(p.row);
	free(p.line);
	return r;
}
