/* SPDX-License-Identifier: MIT */
/* daemon/state/teach.h: one lesson as a change of the learned state. */
#pragma once

#include "daemon/state/learned.h"

/* A lesson as the conversation collected it; everything borrowed. Samples in the order of the adds' arrival. */
struct teach_class {
	struct label label; /* len 0: none */
};
struct teach_work {
	size_t n_classes;
	const struct teach_class *classes;
	size_t n;
	const int8_t *q;                        /* n x n_features */
	const uint32_t *y;                      /* index into classes */
	const uint8_t (*digests)[DIGEST_BYTES]; /* of each sample */
	uint32_t already_known; /* pictures that the conversation left out itself: counted in the result */
};
/* Pictures already known under their class are left out; nothing left: no change, entry->seq is the current one and
 * n_classes 0. stop is asked while training (NULL: never): ERR_CANCELLED. As the changes of learned.h. */
int learned_teach(struct learned *learned, const struct teach_work *work, const struct change_guard *guard,
	bool (*stop)(void *ctx), void *stop_ctx, struct change_outcome *ret_outcome, struct err *err);
