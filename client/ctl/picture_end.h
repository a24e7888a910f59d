/* SPDX-License-Identifier: MIT */
/* client/ctl/picture_end.h: where one picture ends and another begins, for what comes through a pipe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The length of the JPEG or PNG at the beginning of bytes when another JPEG or PNG follows it directly; 0: it stands
 * alone, is cut off, or is neither. A JPEG that says it has further pictures inside (MPF: previews, depth, gain maps)
 * stands alone. */
size_t picture_end(const uint8_t *bytes, size_t n);
