/* SPDX-License-Identifier: MIT */
/* lib/image/exif.c: see exif.h. Reads one tag of one directory, follows one offset, allocates nothing; libjpeg is not
 * asked to keep the segments because a file may have any number of them. */
#include "lib/image/exif.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/endian.h"

enum {
	MARKER_SOI = 0xD8,
	MARKER_EOI = 0xD9,
	MARKER_SOS = 0xDA,
	MARKER_APP1 = 0xE1,
	MARKER_TEM = 0x01,
	MARKER_RST0 = 0xD0,

	TIFF_HEADER_BYTES = 8,
	TIFF_MAGIC = 42,
	TIFF_ENTRY_BYTES = 12,
	TIFF_TYPE_SHORT = 3,
	TAG_ORIENTATION = 0x0112,
	ORIENTATION_NORMAL = 1,
	ORIENTATION_MAX = 8,
};
static const char exif_name[6] = "Exif\0"; /* six bytes: two zeros at the end */

static uint16_t get16(const uint8_t *p, bool big)
{
	return big ? load_be16(p) : load_le16(p);
}

static uint32_t get32(const uint8_t *p, bool big)
{
	return big ? load_be32(p) : load_le32(p);
}

unsigned exif_orientation_of_tiff(const uint8_t *bytes, size_t len_bytes)
{
	if (len_bytes < TIFF_HEADER_BYTES || bytes[0] != bytes[1] || (bytes[0] != 'I' && bytes[0] != 'M'))
		return ORIENTATION_NORMAL;
	bool big = bytes[0] == 'M';
	size_t at = get32(bytes + 4, big);
	if (get16(bytes + 2, big) != TIFF_MAGIC || at > len_bytes || len_bytes - at < 2)
		return ORIENTATION_NORMAL;
	size_t n = get16(bytes + at, big), room = (len_bytes - at - 2) / TIFF_ENTRY_BYTES;
	const uint8_t *entry = bytes + at + 2;
	for (size_t i = 0; i < (n < room ? n : room); i++, entry += TIFF_ENTRY_BYTES) {
		if (get16(entry, big) != TAG_ORIENTATION)
			continue;
		unsigned value = get16(entry + 8, big);
		if (get16(entry + 2, big) != TIFF_TYPE_SHORT || get32(entry + 4, big) != 1 || value < 1 ||
			value > ORIENTATION_MAX)
			return ORIENTATION_NORMAL;
		return value;
	}
	return ORIENTATION_NORMAL;
}

unsigned exif_orientation_of_jpeg(const uint8_t *bytes, size_t len_bytes)
{
	for (size_t at = 2; at + 4 <= len_bytes;) {
		if (bytes[at] != 0xFF) {
			at++; /* not a marker: libjpeg, which warns about it, skips it as well */
			continue;
		}
		unsigned marker = bytes[at + 1];
		if (marker == 0xFF || marker == 0) {
			at++; /* a fill byte */
			continue;
		}
		if (marker == MARKER_SOS || marker == MARKER_EOI)
			break;
		if (marker == MARKER_TEM || (marker >= MARKER_RST0 && marker <= MARKER_SOI)) {
			at += 2; /* has no length */
			continue;
		}
		size_t segment_bytes = load_be16(bytes + at + 2); /* counts its own two bytes */
		const uint8_t *data = bytes + at + 4;
		if (segment_bytes < 2 || segment_bytes > len_bytes - at - 2)
			break;
		if (marker == MARKER_APP1 && segment_bytes - 2 >= sizeof exif_name &&
			memcmp(data, exif_name, sizeof exif_name) == 0)
			return exif_orientation_of_tiff(data + sizeof exif_name, segment_bytes - 2 - sizeof exif_name);
		at += 2 + segment_bytes;
	}
	return ORIENTATION_NORMAL;
}
