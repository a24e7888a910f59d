/* SPDX-License-Identifier: MIT */
/* lib/image/sniff.h: inside lib/image only. What a file is, by its first bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum sniff_format { SNIFF_JPEG = 1, SNIFF_PNG };

/* The format of a file that is read; a format that is recognised but not read, and one that is not recognised, is
 * ERR_INVALID_ARGUMENT, the former with the command that converts it. Looks at the first bytes only. */
int sniff_format(const uint8_t *bytes, size_t len_bytes, enum sniff_format *ret_format, struct err *err);
