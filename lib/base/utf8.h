/* SPDX-License-Identifier: MIT */
/* lib/base/utf8.h: bytes into code points; what a code point is on a screen is text.h's. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Length in bytes of the UTF-8 character at s (1 to 4), its code point in *ret_point; 0 when it is not UTF-8
 * (overlong forms, surrogates, above U+10FFFF and cut sequences are not). */
size_t utf8_decode(const uint8_t *s, size_t len_bytes, uint32_t *ret_point);
