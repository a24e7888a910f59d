/* SPDX-License-Identifier: MIT */
/* lib/base/text.h: labels and other text that comes from a stranger. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum { LABEL_MAX_BYTES = 128 };

/* Checks a class name: 1 to LABEL_MAX_BYTES bytes of UTF-8, no control characters (C0, DEL, C1) or NUL, no space at
 * either end. Labels are compared byte for byte. Returns 0 or ERR_INVALID_ARGUMENT with what is wrong; the label
 * itself never enters the sentence. Any thread. */
int label_check(const uint8_t *label, size_t len_bytes, struct err *err);

/* Length in bytes of the UTF-8 character at s (1 to 4), its code point in *ret_point; 0 when it is not UTF-8
 * (overlong forms, surrogates, above U+10FFFF and cut sequences are not). */
size_t utf8_decode(const uint8_t *s, size_t len_bytes, uint32_t *ret_point);

/* Copies at most dest_bytes - 1 bytes of text, with every byte that is not printable UTF-8 as \xNN; NUL-terminated.
 * A foreign text goes through here before it enters a log, a sentence or a terminal. */
void text_escape(char *dest, size_t dest_bytes, const uint8_t *text, size_t len_bytes);

/* In place: control characters and bytes that are not UTF-8 become '?', a character cut at the end is dropped. */
void text_make_printable(char *text);
