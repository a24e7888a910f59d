/* SPDX-License-Identifier: MIT */
/* lib/image/decode_png.c: PNG by libspng, see decode.h.
 *
 * The rules (part of IMAGE_RULES): 16 bit by the high byte; grey three times; colour c with alpha a over the model's
 * background b is (c a + b (255 - a)) / 255 to the nearest; gamma and profiles ignored; eXIf's orientation obeyed.
 *
 * The chunks are walked first (png_chunks.h), and libspng is given only those that make pixels. So nothing that the file
 * merely carries (text, profiles, compressed or not) is ever unpacked or kept, and memory is a few rows. The one exception
 * is an interlaced picture, whose rows come in pieces: the crop of it is held, and counted against the limit.
 *
 * What libspng says of the header is what everything here is sized by. A file whose last chunks are missing is read when
 * every row was there. */
#include <stdio.h>
#include <stdlib.h>

#include <spng.h>

#include "lib/base/memory.h"
#include "lib/image/decode.h"
#include "lib/image/geometry.h"
#include "lib/image/png_chunks.h"
#include "lib/image/resize.h"

enum {
	ADAM7_PASSES = 7,
	PRICE_ROW_PIXEL = 4,  /* what each pixel costs, whatever is stored of it */
	PRICE_BYTE = 4,       /* inflated and unfiltered */
	PRICE_BITS = 24,      /* grey of less than 8 bit with transparency: libspng takes it apart and scales it */
	PRICE_INTERLACED = 4, /* one part in four more */
};

#define PNG_REMEDY "convert in.png -depth 8 -resize 1600x1600 out.png (Debian package imagemagick)"

struct png_reader {
	const struct decode_job *job;
	struct err *err;
	struct png_chunks chunks;
	struct spng_ihdr header; /* as libspng read it */
	struct decode_subject subject;
	bool interlaced;
	int format; /* of p->row: SPNG_FMT_G8 where it is possible, which costs a third; else SPNG_FMT_RGBA8 */
	struct geometry geometry;
	struct resizer resizer;
	uint8_t *row;  /* width x RGBA or grey */
	uint8_t *line; /* the crop of a row as RGB */
	uint8_t *held; /* interlaced: the whole crop as RGB */
};

/* libspng's source: as if the file had no other chunks. */
static int feed(spng_ctx *ctx, void *user, void *dest, size_t n)
{
	(void)ctx;
	struct png_reader *p = user;
	return png_chunks_take(&p->chunks, dest, n) ? 0 : SPNG_IO_EOF;
}

/* Pixel x of p->row as RGB: grey three times, any other over the background. */
static inline void take_pixel(const struct png_reader *p, size_t x, uint8_t *rgb)
{
	if (p->format == SPNG_FMT_G8) {
		rgb[0] = rgb[1] = rgb[2] = p->row[x];
		return;
	}
	const uint8_t *rgba = p->row + x * 4, *background = p->job->input->background;
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
		take_pixel(p, crop->x + i, p->line + i * 3);
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
			take_pixel(p, x, dest + (x - crop->x) * 3);
}

static int broken(const struct png_reader *p, int code, uint32_t row)
{
	const struct spng_ihdr *header = &p->header;
	if (code == SPNG_EMEM || code == SPNG_EOVERFLOW)
		return err_set(p->err, ERR_RESOURCE_EXHAUSTED, "no memory to decode this PNG of %u x %u pixels",
			header->width, header->height);
	char place[64] = "in its header";
	if (header->height > 0)
		snprintf(place, sizeof place, "row %u of %u", row, header->height);
	return err_set_about(p->err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "picture"},
		"the PNG is broken: %s (%s)",
		code == SPNG_IO_EOF ? "the file ends before the picture does, it is truncated" : spng_strerror(code),
		place);
}

/* libspng refuses such a header and keeps its numbers to itself. */
static int too_long(const struct png_reader *p)
{
	return err_set_about(p->err, ERR_RESOURCE_EXHAUSTED,
		(struct err_about){.field = "picture", .limit = IMAGE_MAX_SIDE},
		"the PNG has more pixels a side than the limit: at most %d a side are possible", IMAGE_MAX_SIDE);
}

static int resize_held(struct png_reader *p)
{
	const struct rect *crop = &p->geometry.crop;
	for (uint32_t y = 0; y < crop->height; y++) {
		int r = y % DECODE_ROWS_PER_STOP == 0 ? decode_check_stop(p->job, &p->subject, p->err) : 0;
		if (r < 0)
			return r;
		resizer_row(&p->resizer, p->held + (size_t)y * crop->width * 3);
	}
	return resizer_finish(&p->resizer, p->err);
}

static int read_rows(struct png_reader *p, spng_ctx *ctx)
{
	int code = spng_decode_image(ctx, NULL, 0, p->format, SPNG_DECODE_TRNS | SPNG_DECODE_PROGRESSIVE);
	struct spng_row_info info = {0};
	for (unsigned n = 0; code == 0; n++) {
		int r = n % DECODE_ROWS_PER_STOP == 0 ? decode_check_stop(p->job, &p->subject, p->err) : 0;
		if (r < 0)
			return r;
		code = spng_get_row_info(ctx, &info);
		if (code != 0)
			break;
		code = spng_decode_row(ctx, p->row, (size_t)p->header.width * 4);
		if (code != 0 && code != SPNG_EOI)
			break;
		if (p->interlaced)
			take_interlaced(p, &info);
		else
			take_row(p, info.row_num);
	}
	if (code != SPNG_EOI)
		return broken(p, code, info.row_num);
	return p->interlaced ? resize_held(p) : resizer_finish(&p->resizer, p->err);
}

static int read_picture(struct png_reader *p, spng_ctx *ctx)
{
	const struct rect *crop = &p->geometry.crop;
	geometry_plan(p->job->picture, p->job->input, p->header.width, p->header.height, p->chunks.exif, &p->geometry);
	size_t held_bytes = p->interlaced ? (size_t)crop->width * crop->height * 3 : 0;
	int r = decode_check_memory(p->job, held_bytes, "this interlaced PNG",
		"one that is not interlaced needs little: convert in.png -interlace none out.png (Debian package "
		"imagemagick)",
		p->err);
	if (r == 0)
		r = resizer_init(&p->resizer, p->job, &p->geometry, p->err);
	if (r < 0)
		return r;
	p->held = held_bytes ? calloc(held_bytes, 1)
			     : NULL; /* the file says how much: that it is not there is its fault */
	if (held_bytes && !p->held)
		return broken(p, SPNG_EMEM, 0);
	p->row = mem_zalloc(p->header.width, 4);
	p->line = mem_zalloc(crop->width, 3);
	return read_rows(p, ctx);
}

/* As image_limits has it; tests/bench/image measures it. */
static uint64_t price_of(const struct png_reader *p)
{
	const struct spng_ihdr *header = &p->header;
	static const uint64_t channels[] = {1, 0, 3, 1, 2, 0, 4}; /* by colour type, which libspng has checked */
	uint64_t bits = channels[header->color_type] * header->bit_depth;
	uint64_t price = PRICE_ROW_PIXEL + PRICE_BYTE * ((bits + 7) / 8);
	if (header->color_type == SPNG_COLOR_TYPE_GRAYSCALE && header->bit_depth < 8 && p->format != SPNG_FMT_G8)
		price += PRICE_BITS;
	price *= (uint64_t)header->width * header->height;
	return header->interlace_method ? price + price / PRICE_INTERLACED : price;
}

static int read_png(struct png_reader *p, spng_ctx *ctx)
{
	int code = spng_set_image_limits(ctx, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
	if (code == 0)
		code = spng_set_crc_action(ctx, SPNG_CRC_ERROR, SPNG_CRC_ERROR);
	if (code == 0)
		code = spng_set_png_stream(ctx, feed, p);
	if (code == 0)
		code = spng_get_ihdr(ctx, &p->header);
	if (code == SPNG_EUSER_WIDTH || code == SPNG_EUSER_HEIGHT)
		return too_long(p);
	if (code != 0)
		return broken(p, code, 0);
	p->interlaced = p->header.interlace_method != 0;
	bool is_plain_grey = p->header.color_type == SPNG_COLOR_TYPE_GRAYSCALE && p->header.bit_depth <= 8 &&
			     !p->chunks.has_transparency;
	p->format = is_plain_grey ? SPNG_FMT_G8 : SPNG_FMT_RGBA8;
	int r = decode_check_size(p->header.width, p->header.height, p->err);
	if (r < 0)
		return r;
	p->subject = (struct decode_subject){
		p->header.bit_depth == 16 ? "PNG of 16 bit" : "PNG", p->header.width, p->header.height, PNG_REMEDY};
	r = decode_check_price(p->job, &p->subject, price_of(p), p->err);
	return r < 0 ? r : read_picture(p, ctx);
}

int decode_png(const struct decode_job *job, struct err *err)
{
	struct png_reader p = {.job = job, .err = err};
	int r = png_chunks_check(job->picture->bytes, job->picture->len_bytes, &p.chunks, err);
	if (r < 0)
		return r;
	spng_ctx *ctx = spng_ctx_new(0);
	r = ctx ? read_png(&p, ctx) : broken(&p, SPNG_EMEM, 0);
	spng_ctx_free(ctx);
	resizer_deinit(&p.resizer);
	free(p.held);
	free(p.row);
	free(p.line);
	return r;
}
