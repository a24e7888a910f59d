/* SPDX-License-Identifier: MIT */
/* lib/base/text.h: text that comes from a stranger: what of it can be shown. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum text_kind {
	TEXT_SHOWN,   /* people see it, and see that it is there */
	TEXT_CONTROL, /* C0, DEL, C1, line and paragraph separators */
	TEXT_FORMAT, /* format characters (Cf) and others that are invisible, bidirectional overrides and tags included */
	TEXT_BLANK,      /* looks like a space and is not U+0020 */
	TEXT_MARK,       /* a combining mark with nothing before it: it would join what was printed before the text */
	TEXT_PRIVATE,    /* private use */
	TEXT_UNASSIGNED, /* no character in utf8proc's version of Unicode */
};
/* What a character is between its neighbours (0: there is none). Joiners are TEXT_SHOWN where spelling needs them
 * (between pictographs, beside a virama, between Arabic letters), variation selectors behind what has variants. */
enum text_kind text_kind(uint32_t before, uint32_t point, uint32_t after);

/* A walk over text, character by character: while (text_next(&walk)). */
struct text_walk {
	const uint8_t *text; /* the caller's */
	size_t len_bytes;
	size_t at;      /* where the character stands */
	size_t n_bytes; /* its length; 0: the byte there is not UTF-8 */
	uint32_t point;
	enum text_kind kind; /* of a byte that is not UTF-8: TEXT_CONTROL */
	/* The walk's own. */
	size_t next;
	uint32_t before;
};
bool text_next(struct text_walk *walk);

/* Room for n bytes, every one of them escaped. */
#define TEXT_ESCAPED_BYTES(n) (4 * (n) + 1)

/* Copies at most dest_bytes - 1 bytes of text, with every byte of what is not TEXT_SHOWN as \xNN; NUL-terminated.
 * A foreign text goes through here before it enters a log, a sentence or a terminal. */
void text_escape(char *dest, size_t dest_bytes, const uint8_t *text, size_t len_bytes);

/* Columns that printable UTF-8 takes on a terminal: 2 for East Asian wide and emoji, 0 for combining marks. */
size_t text_columns(const char *text);

/* In place: the bytes of what is not TEXT_SHOWN become '?', a character cut at the end is dropped. */
void text_make_printable(char *text);
