/* SPDX-License-Identifier: MIT */
/* daemon/state/published.c: see published.h. */
#include "daemon/state/published.h"

void published_set(struct published *published, struct snapshot *snapshot)
{
	struct snapshot *before = published->now;
	published->now = snapshot;
	if (snapshot != before && published->on_change)
		published->on_change(published->ctx, before);
	snapshot_unref(before);
}
