/* SPDX-License-Identifier: MIT */
/* daemon/state/sample.h: a kept picture as an item of the store: its digest, then q unless learner.keep was none.
 *
 * The item's format says whether it is a near-duplicate of another one of its lesson (lib/learn/near.h). That is all that
 * a sum over kept pictures needs to take one of a group: its leader, a picture like any other, counts and the rest do not.
 * Each item tells by itself, so what dies, comes back or is damaged changes nothing of the others. (The mean of a group
 * would be another sort of picture, with less noise than single ones, and would change with what is left of the group.) */
#pragma once

#include <stdio.h>
#include <string.h>

#include "daemon/state/snapshot.h" /* DIGEST_BYTES */
#include "lib/store/store.h"

#define SAMPLE_NEAR_SUFFIX " near"

static inline void sample_format(bool with_features, size_t d, bool near, char ret_format[STORE_FORMAT_MAX_BYTES])
{
	if (with_features)
		snprintf(ret_format, STORE_FORMAT_MAX_BYTES, "digest16 q8 d=%zu%s", d, near ? SAMPLE_NEAR_SUFFIX : "");
	else
		snprintf(ret_format, STORE_FORMAT_MAX_BYTES, "digest16");
}

/* q[d], or NULL: kept without. Lives as long as the item. */
static inline const int8_t *sample_features(const struct store_item *item, size_t d)
{
	return item->len_bytes == DIGEST_BYTES + d ? (const int8_t *)item->data + DIGEST_BYTES : NULL;
}

/* A near-duplicate of a picture that stands for both. Items older than the distinction never are. */
static inline bool sample_is_near(const struct store_item *item)
{
	const size_t n = strlen(item->format), suffix = strlen(SAMPLE_NEAR_SUFFIX);
	return n > suffix && strcmp(item->format + n - suffix, SAMPLE_NEAR_SUFFIX) == 0;
}
