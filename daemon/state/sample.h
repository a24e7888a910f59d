/* SPDX-License-Identifier: MIT */
/* daemon/state/sample.h: a kept picture as an item of the store: its digest, then q unless learner.keep was none. */
#pragma once

#include <stdio.h>

#include "daemon/state/snapshot.h" /* DIGEST_BYTES */
#include "lib/store/store.h"

static inline void sample_format(bool with_features, size_t d, char ret_format[STORE_FORMAT_MAX_BYTES])
{
	if (with_features)
		snprintf(ret_format, STORE_FORMAT_MAX_BYTES, "digest16 q8 d=%zu", d);
	else
		snprintf(ret_format, STORE_FORMAT_MAX_BYTES, "digest16");
}

/* q[d], or NULL: kept without. Lives as long as the item. */
static inline const int8_t *sample_features(const struct store_item *item, size_t d)
{
	return item->len_bytes == DIGEST_BYTES + d ? (const int8_t *)item->data + DIGEST_BYTES : NULL;
}
