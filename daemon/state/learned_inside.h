/* SPDX-License-Identifier: MIT */
/* daemon/state/learned_inside.h: the learned state in memory, which learned*.c and the changes read and move.
 *
 * Invariant: classes, history and reasons are exactly what the store's newest state says; the snapshot is made of them. */
#pragma once

#include "daemon/config/config.h"
#include "daemon/state/change_entry.h"
#include "daemon/state/ranking.h"
#include "daemon/state/scene_rows.h"
#include "daemon/state/snapshot_make.h"
#include "lib/store/store.h"

enum { LEARNED_REASONS_MAX = 16 };

struct learned {
	const struct config *config;
	size_t d;
	double near; /* see learned_options */
	char row_format[STORE_FORMAT_MAX_BYTES];
	struct store *store;
	struct snapshot *snapshot; /* the newest, one reference */
	/* What the snapshot was made of. */
	struct roster classes;
	size_t n_history;
	struct history_item *history; /* the newest first, room for SNAPSHOT_HISTORY */
	struct shared_set entries;    /* of the history */
	struct ranking ranking;
	struct scene_rows scene;
	size_t n_reasons;
	char *reasons[LEARNED_REASONS_MAX + 1]; /* found at load; the store's own comes on top when publishing */
};

/* A change becomes the newest of the history, or (the store gives the newest first) its oldest; the entry is shared. */
void learned_history_push(struct learned *learned, const struct change_entry *entry);
void learned_history_add(struct learned *learned, const struct change_entry *entry, bool undone);
void learned_forget_all(struct learned *learned);
void learned_reason_add(struct learned *learned, const char *sentence); /* LEARNED_REASONS_MAX at most */
/* Makes learned->snapshot from the fields above. */
void learned_publish(struct learned *learned);
