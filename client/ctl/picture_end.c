/* SPDX-License-Identifier: MIT */
/* client/ctl/picture_end.c: see picture_end.h. Walks over the outer structure alone: markers of a JPEG, chunks of a PNG;
 * whether a picture is sound is the daemon's to say. Every step is checked against the end. */
#include "client/ctl/picture_end.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/endian.h"

static const uint8_t jpeg_start[] = {0xFF, 0xD8, 0xFF};
static const uint8_t png_start[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

enum {
	JPEG_TEM = 0x01,
	JPEG_RST0 = 0xD0,
	JPEG_RST7 = 0xD7,
	JPEG_SOI = 0xD8,
	JPEG_EOI = 0xD9,
	JPEG_SOS = 0xDA,
	JPEG_APP2 = 0xE2,
	PNG_CHUNK_BYTES = 12, /* length, type, checksum */
};

static bool starts_with(const uint8_t *bytes, size_t n, const uint8_t *start, size_t start_bytes)
{
	return n >= start_bytes && memcmp(bytes, start, start_bytes) == 0;
}

static bool is_restart(uint8_t marker)
{
	return marker >= JPEG_RST0 && marker <= JPEG_RST7;
}

/* Behind the compressed data that begins at `at`: the next marker that is neither stuffing nor a restart. */
static size_t jpeg_scan_end(const uint8_t *bytes, size_t n, size_t at)
{
	for (; at + 1 < n; at++)
		if (bytes[at] == 0xFF && bytes[at + 1] != 0 && bytes[at + 1] != 0xFF && !is_restart(bytes[at + 1]))
			return at;
	return n;
}

/* Behind the EOI; 0: there is none, or pictures inside are announced. */
static size_t jpeg_end(const uint8_t *bytes, size_t n)
{
	size_t at = 2;
	while (at + 2 <= n && bytes[at] == 0xFF) {
		uint8_t marker = bytes[at + 1];
		if (marker == JPEG_EOI)
			return at + 2;
		if (marker == JPEG_SOI) /* the first has no EOI */
			return at;
		if (marker == 0xFF) { /* fill */
			at++;
			continue;
		}
		at += 2;
		if (marker == JPEG_TEM || is_restart(marker))
			continue;
		if (n - at < 2 || load_be16(bytes + at) < 2 || load_be16(bytes + at) > n - at)
			return 0;
		if (marker == JPEG_APP2 && starts_with(bytes + at + 2, n - at - 2, (const uint8_t *)"MPF", 4))
			return 0;
		at += load_be16(bytes + at);
		if (marker == JPEG_SOS)
			at = jpeg_scan_end(bytes, n, at);
	}
	return 0;
}

/* Behind IEND; 0: there is none. */
static size_t png_end(const uint8_t *bytes, size_t n)
{
	size_t at = sizeof png_start;
	while (n - at >= PNG_CHUNK_BYTES) {
		size_t data_bytes = load_be32(bytes + at);
		bool last = memcmp(bytes + at + 4, "IEND", 4) == 0;
		if (data_bytes > n - at - PNG_CHUNK_BYTES)
			return 0;
		at += PNG_CHUNK_BYTES + data_bytes;
		if (last)
			return at;
	}
	return 0;
}

size_t picture_end(const uint8_t *bytes, size_t n)
{
	size_t end = 0;
	if (starts_with(bytes, n, jpeg_start, sizeof jpeg_start))
		end = jpeg_end(bytes, n);
	else if (starts_with(bytes, n, png_start, sizeof png_start))
		end = png_end(bytes, n);
	if (end == 0 || (!starts_with(bytes + end, n - end, jpeg_start, sizeof jpeg_start) &&
				!starts_with(bytes + end, n - end, png_start, sizeof png_start)))
		return 0;
	return end;
}
