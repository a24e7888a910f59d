/* SPDX-License-Identifier: MIT */
/* tests/unit/learn/stored_row.h: the stored form of a row, read as it is written today. */
#pragma once

#include "lib/learn/learn.h"

enum { FORM_HEADER = 32 }; /* bytes of a stored row before its masters: past, e, r, mean, squares */

static inline int read_row(enum learn_width width, size_t d, const uint8_t *bytes, size_t len_bytes,
	struct learn_row **ret_row, struct err *err)
{
	char format[64];
	learn_row_format(width, d, LEARN_ROW_VERSION, format, sizeof format);
	return learn_row_decode(width, d, format, bytes, len_bytes, ret_row, err);
}
