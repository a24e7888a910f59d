/* SPDX-License-Identifier: MIT */
/* lib/base/text.c: see text.h. Pure functions. */
#include "lib/base/text.h"

#include <stdio.h>
#include <string.h>

size_t utf8_decode(const uint8_t *s, size_t len_bytes, uint32_t *ret_point)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	if (len_bytes == 0)
		return 0;
	size_t n = s[0] < 0x80             ? 1
		   : (s[0] & 0xE0) == 0xC0 ? 2
		   : (s[0] & 0xF0) == 0xE0 ? 3
		   : (s[0] & 0xF8) == 0xF0 ? 4
					   : 0;
	if (n == 0 || n > len_bytes)
		return 0;
	uint32_t point = n == 1 ? s[0] : s[0] & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return 0;
		point = point << 6 | (s[i] & 0x3F);
	}
	if (point < smallest[n] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
		return 0;
	*ret_point = point;
	return n;
}

static int is_control(uint32_t point)
{
	return point < 0x20 || (point >= 0x7F && point < 0xA0);
}

int label_check(const uint8_t *label, size_t len_bytes, struct err *err)
{
	int r = 0;
	if (len_bytes == 0)
		r = err_set(err, ERR_INVALID_ARGUMENT, "the label is empty: 1 to %d bytes of UTF-8 are needed",
			LABEL_MAX_BYTES);
	else if (len_bytes > LABEL_MAX_BYTES)
		r = err_set(err, ERR_INVALID_ARGUMENT, "the label is %zu bytes long: the limit is %d", len_bytes,
			LABEL_MAX_BYTES);
	else if (label[0] == ' ' || label[len_bytes - 1] == ' ')
		r = err_set(err, ERR_INVALID_ARGUMENT, "the label has a space at its beginning or end");
	for (size_t i = 0, n; r == 0 && i < len_bytes; i += n) {
		uint32_t point = 0;
		n = utf8_decode(label + i, len_bytes - i, &point);
		if (n == 0)
			r = err_set(err, ERR_INVALID_ARGUMENT, "the label is not UTF-8 at byte %zu", i);
		else if (is_control(point))
			r = err_set(err, ERR_INVALID_ARGUMENT, "the label has the control character U+%04X at byte %zu",
				point, i);
	}
	if (r != 0 && err) {
		err->field = "label";
		err->limit = LABEL_MAX_BYTES;
	}
	return r;
}

void text_escape(char *dest, size_t dest_bytes, const uint8_t *text, size_t len_bytes)
{
	size_t used = 0;
	for (size_t i = 0, n; i < len_bytes; i += n) {
		char piece[8];
		uint32_t point = 0;
		n = utf8_decode(text + i, len_bytes - i, &point);
		size_t piece_bytes = n;
		if (n == 0 || is_control(point)) {
			piece_bytes = (size_t)snprintf(piece, sizeof piece, "\\x%02X", text[i]);
			n = 1;
		} else {
			memcpy(piece, text + i, n);
		}
		if (used + piece_bytes + 1 > dest_bytes)
			break;
		memcpy(dest + used, piece, piece_bytes);
		used += piece_bytes;
	}
	if (dest_bytes > 0)
		dest[used] = '\0';
}

void text_make_printable(char *text)
{
	uint8_t *s = (uint8_t *)text;
	size_t len = strlen(text);
	for (size_t i = 0, n; i < len; i += n) {
		uint32_t point = 0;
		n = utf8_decode(s + i, len - i, &point);
		if (n == 0 && len - i < 4 && s[i] >= 0xC2 && s[i] <= 0xF4) {
			s[i] = '\0';
			return;
		}
		if (n == 0 || is_control(point)) {
			for (size_t k = 0; k < (n ? n : 1); k++)
				s[i + k] = '?';
			n = n ? n : 1;
		}
	}
}
