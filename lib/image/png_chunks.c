/* SPDX-License-Identifier: MIT */
/* lib/image/png_chunks.c: see png_chunks.h. Refuses what would let two readers of a file see two pictures: a header, a
 * palette or a transparency that comes twice or too late, picture data in two places. */
#include "lib/image/png_chunks.h"

#include <string.h>

#include <zlib.h>

#include "lib/base/endian.h"
#include "lib/image/exif.h"

enum {
	CHUNK_EXTRA_BYTES = 12, /* length, type and checksum around the data */
	IHDR_BYTES = 13,
	ANCILLARY_BIT = 0x20, /* of the first letter: a reader may ignore the chunk */
};

static const struct err_about about_picture = {.field = "picture"};

/* What has been passed on the way. */
struct walk {
	struct png_chunks *chunks;
	struct err *err;
	bool palette, exif, data, data_over;
};

static int broken(const struct walk *w, const char *what, size_t at)
{
	return err_set_about(w->err, ERR_INVALID_ARGUMENT, about_picture,
		"the PNG is broken: its %.4s chunk at byte %zu of %zu %s", (const char *)w->chunks->bytes + at + 4, at,
		w->chunks->len_bytes, what);
}

static bool chunk_is(const uint8_t *chunk, const char *type)
{
	return memcmp(chunk + 4, type, 4) == 0;
}

/* tRNS is among them: by its first letter it could be ignored, but the picture would be another one. */
static bool chunk_is_pixels(const uint8_t *chunk)
{
	return chunk_is(chunk, "IHDR") || chunk_is(chunk, "PLTE") || chunk_is(chunk, "tRNS") ||
	       chunk_is(chunk, "IDAT") || chunk_is(chunk, "IEND");
}

/* Every chunk once and in its place; data is the only one that may come in pieces, one behind the other. */
static int check_place(struct walk *w, size_t at)
{
	const uint8_t *chunk = w->chunks->bytes + at;
	if (at == PNG_SIGNATURE_BYTES)
		return 0;
	if (chunk_is(chunk, "IHDR"))
		return broken(w, "is a second header", at);
	if (chunk_is(chunk, "IDAT")) {
		if (w->data_over)
			return broken(w, "is apart from the other picture data", at);
		w->data = true;
		return 0;
	}
	w->data_over = w->data;
	bool *seen = chunk_is(chunk, "PLTE")   ? &w->palette
		     : chunk_is(chunk, "tRNS") ? &w->chunks->has_transparency
					       : NULL;
	if (!seen)
		return 0;
	if (*seen)
		return broken(w, "comes a second time", at);
	if (w->data)
		return broken(w, "comes after the picture data", at);
	if (seen == &w->palette && w->chunks->has_transparency)
		return broken(w, "comes after the transparency of its colours", at);
	*seen = true;
	return 0;
}

static int check_chunk(struct walk *w, size_t at)
{
	const uint8_t *chunk = w->chunks->bytes + at, *type = chunk + 4;
	size_t length = load_be32(chunk);
	for (int i = 0; i < 4; i++)
		if ((type[i] | ANCILLARY_BIT) < 'a' || (type[i] | ANCILLARY_BIT) > 'z')
			return broken(w, "has a name that is none", at);
	bool is_whole = crc32(crc32(0, NULL, 0), type, (uInt)length + 4) == load_be32(chunk + 8 + length);
	if (chunk_is_pixels(chunk)) {
		if (!is_whole)
			return broken(w, "has a wrong checksum", at);
		return check_place(w, at);
	}
	if (!(type[0] & ANCILLARY_BIT))
		return broken(w, "is unknown, but needed to decode the picture", at);
	w->data_over = w->data;
	if (is_whole && chunk_is(chunk, "eXIf") && !w->exif) {
		w->exif = true;
		w->chunks->exif = exif_orientation_of_tiff(chunk + 8, length);
	}
	return 0;
}

static int refuse_empty(const struct walk *w, bool is_ended)
{
	const struct png_chunks *c = w->chunks;
	if (!is_ended)
		return err_set_about(w->err, ERR_INVALID_ARGUMENT, about_picture,
			"the PNG is truncated: its %zu bytes end before any chunk of picture data is whole",
			c->len_bytes);
	return err_set_about(w->err, ERR_INVALID_ARGUMENT, about_picture,
		"the PNG is broken: no picture data before its end at byte %zu of %zu", c->end, c->len_bytes);
}

int png_chunks_check(const uint8_t *bytes, size_t len_bytes, struct png_chunks *ret_chunks, struct err *err)
{
	*ret_chunks = (struct png_chunks){
		.bytes = bytes, .len_bytes = len_bytes, .exif = 1, .next_bounds = PNG_SIGNATURE_BYTES};
	struct walk w = {.chunks = ret_chunks, .err = err};
	bool is_ended = false;
	for (size_t at = PNG_SIGNATURE_BYTES; !is_ended;) {
		const uint8_t *chunk = bytes + at;
		ret_chunks->end = at;
		if (len_bytes - at < CHUNK_EXTRA_BYTES)
			break;
		size_t length = load_be32(chunk);
		if (at == PNG_SIGNATURE_BYTES && (!chunk_is(chunk, "IHDR") || length != IHDR_BYTES))
			return broken(&w, "stands where the header must be", at);
		if (length > len_bytes - at - CHUNK_EXTRA_BYTES)
			break;
		int r = check_chunk(&w, at);
		if (r < 0)
			return r;
		at += length + CHUNK_EXTRA_BYTES;
		is_ended = chunk_is(chunk, "IEND");
		if (is_ended)
			ret_chunks->end = at;
	}
	return w.data ? 0 : refuse_empty(&w, is_ended);
}

bool png_chunks_take(struct png_chunks *c, void *dest, size_t n)
{
	for (uint8_t *out = dest; n > 0;) {
		while (c->next == c->next_bounds) {
			if (c->next >= c->end)
				return false;
			/* Within the end, every length was checked. */
			c->next_bounds += load_be32(c->bytes + c->next) + (size_t)CHUNK_EXTRA_BYTES;
			if (!chunk_is_pixels(c->bytes + c->next))
				c->next = c->next_bounds;
		}
		size_t part = c->next_bounds - c->next < n ? c->next_bounds - c->next : n;
		memcpy(out, c->bytes + c->next, part);
		c->next += part;
		out += part;
		n -= part;
	}
	return true;
}
