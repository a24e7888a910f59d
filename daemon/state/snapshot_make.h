/* SPDX-License-Identifier: MIT */
/* daemon/state/snapshot_make.h: how a snapshot is made: of what is known, which successive snapshots share. For
 * learned_inside.h alone. */
#pragma once

#include "daemon/state/roster.h"
#include "daemon/state/scene_rows.h"
#include "daemon/state/shared.h"
#include "daemon/state/snapshot.h"

struct snapshot_parts { /* everything is borrowed, the snapshot takes its own references */
	uint64_t seq;
	const struct snapshot
		*before; /* the one that this one follows, whose head is shared where it is the same; NULL */
	struct roster *classes;
	size_t n_history;
	const struct history_item *history; /* the newest first */
	const struct shared_set *entries;   /* of the history */
	const struct metric_rows *ranking;  /* what ranks the classes; NULL: their own rows */
	const struct scene_rows *scene;     /* by what known is decided before a scene */
	size_t n_reasons;
	char *const *reasons;
	bool writable, mends;
};
/* Costs copies of pointers, not of what they point to. */
struct snapshot *snapshot_new(const struct snapshot_parts *parts, const struct learn_settings *settings, size_t d);
