/* SPDX-License-Identifier: MIT */
/* lib/base/text.c: see text.h. Pure functions. */
#include "lib/base/text.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "lib/base/utf8.h"

enum { ZWNJ = 0x200C, ZWJ = 0x200D, EMOJI_SELECTOR = 0xFE0F, BRAILLE_BLANK = 0x2800, VIRAMA_CLASS = 9 };

static bool is_pictograph(uint32_t point)
{
	return utf8proc_get_property((utf8proc_int32_t)point)->boundclass == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC;
}

static bool is_skin_tone(uint32_t point)
{
	return point >= 0x1F3FB && point <= 0x1F3FF;
}

static bool is_variation_selector(uint32_t point)
{
	return (point >= 0xFE00 && point <= 0xFE0F) || (point >= 0xE0100 && point <= 0xE01EF);
}

/* Does spelling need a joiner or non-joiner here? After RFC 5892, appendix A, whose joining types utf8proc does not
 * have: between any two Arabic letters (bidirectional class AL) stands for them. */
static bool joins(uint32_t before, uint32_t joiner, uint32_t after)
{
	const utf8proc_property_t *b = utf8proc_get_property((utf8proc_int32_t)before);
	const utf8proc_property_t *a = utf8proc_get_property((utf8proc_int32_t)after);
	if (before == 0 || after == 0)
		return false;
	if (b->combining_class == VIRAMA_CLASS || a->combining_class == VIRAMA_CLASS)
		return true;
	if (a->bidi_class == UTF8PROC_BIDI_CLASS_AL)
		return b->bidi_class == UTF8PROC_BIDI_CLASS_AL || b->category == UTF8PROC_CATEGORY_MN;
	return joiner == ZWJ && is_pictograph(after) &&
	       (is_pictograph(before) || is_skin_tone(before) || before == EMOJI_SELECTOR);
}

/* Pictographs, ideographs, digits of keycaps, mathematical signs. */
static bool has_variants(uint32_t point)
{
	utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
	return point != 0 &&
	       (is_pictograph(point) || point == '#' || point == '*' || category == UTF8PROC_CATEGORY_LO ||
		       category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_SM);
}

enum text_kind text_kind(uint32_t before, uint32_t point, uint32_t after)
{
	const utf8proc_property_t *is = utf8proc_get_property((utf8proc_int32_t)point);
	if (point == ZWJ || point == ZWNJ)
		return joins(before, point, after) ? TEXT_SHOWN : TEXT_FORMAT;
	if (is_variation_selector(point))
		return has_variants(before) ? TEXT_SHOWN : TEXT_FORMAT;
	if (is->ignorable || point == BRAILLE_BLANK)
		return point == BRAILLE_BLANK ? TEXT_BLANK : TEXT_FORMAT;
	switch (is->category) {
	case UTF8PROC_CATEGORY_CC:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
		return TEXT_CONTROL;
	case UTF8PROC_CATEGORY_CF:
		return TEXT_FORMAT;
	case UTF8PROC_CATEGORY_ZS:
		return point == ' ' ? TEXT_SHOWN : TEXT_BLANK;
	case UTF8PROC_CATEGORY_CO:
		return TEXT_PRIVATE;
	case UTF8PROC_CATEGORY_CN:
	case UTF8PROC_CATEGORY_CS:
		return TEXT_UNASSIGNED;
	case UTF8PROC_CATEGORY_MN:
	case UTF8PROC_CATEGORY_MC:
	case UTF8PROC_CATEGORY_ME:
		return before == 0 ? TEXT_MARK : TEXT_SHOWN;
	default:
		return TEXT_SHOWN;
	}
}

bool text_next(struct text_walk *walk)
{
	uint32_t after = 0;
	walk->at = walk->next;
	if (walk->at >= walk->len_bytes)
		return false;
	walk->n_bytes = utf8_decode(walk->text + walk->at, walk->len_bytes - walk->at, &walk->point);
	walk->next = walk->at + (walk->n_bytes ? walk->n_bytes : 1);
	if (walk->n_bytes == 0) {
		walk->kind = TEXT_CONTROL;
	} else {
		if (utf8_decode(walk->text + walk->next, walk->len_bytes - walk->next, &after) == 0)
			after = 0;
		walk->kind = text_kind(walk->before, walk->point, after);
	}
	walk->before = walk->kind == TEXT_SHOWN ? walk->point : 0;
	return true;
}

void text_escape(char *dest, size_t dest_bytes, const uint8_t *text, size_t len_bytes)
{
	enum { ESCAPED_BYTES = 4 }; /* \xNN */
	size_t used = 0;
	struct text_walk walk = {.text = text, .len_bytes = len_bytes};
	while (text_next(&walk)) {
		bool shown = walk.kind == TEXT_SHOWN;
		size_t n = walk.next - walk.at, room = shown ? n : n * ESCAPED_BYTES;
		if (used + room + 1 > dest_bytes)
			break;
		if (shown)
			memcpy(dest + used, text + walk.at, n);
		for (size_t i = 0; !shown && i < n; i++)
			(void)snprintf(
				dest + used + i * ESCAPED_BYTES, ESCAPED_BYTES + 1, "\\x%02X", text[walk.at + i]);
		used += room;
	}
	if (dest_bytes > 0)
		dest[used] = '\0';
}

size_t text_columns(const char *text)
{
	struct text_walk walk = {.text = (const uint8_t *)text, .len_bytes = strlen(text)};
	size_t columns = 0;
	while (text_next(&walk))
		columns += walk.n_bytes ? (size_t)utf8proc_charwidth((utf8proc_int32_t)walk.point) : 1;
	return columns;
}

void text_make_printable(char *text)
{
	uint8_t *s = (uint8_t *)text;
	struct text_walk walk = {.text = s, .len_bytes = strlen(text)};
	while (text_next(&walk)) {
		size_t left = walk.len_bytes - walk.at;
		if (walk.n_bytes == 0 && left < 4 && s[walk.at] >= 0xC2 && s[walk.at] <= 0xF4) {
			s[walk.at] = '\0';
			return;
		}
		if (walk.kind != TEXT_SHOWN)
			memset(s + walk.at, '?', walk.next - walk.at);
	}
}
