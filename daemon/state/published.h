/* SPDX-License-Identifier: MIT */
/* daemon/state/published.h: the snapshot in force, of which every request gets its reference. Swapped before the change
 * that made it is answered. Loop thread. */
#pragma once

#include "daemon/state/snapshot.h"

struct published {
	struct snapshot *now;
	/* After a swap to another one; `before` is gone when it returns. NULL: nobody wants to know. */
	void (*on_change)(void *ctx, const struct snapshot *before);
	void *ctx;
};

/* Takes over one reference. The present snapshot, published again, is no change. */
void published_set(struct published *published, struct snapshot *snapshot);
