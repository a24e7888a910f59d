/* SPDX-License-Identifier: MIT */
/* daemon/state/learned_inside.h: the learned state in memory, which learned*.c and the changes read and move.
 *
 * Invariant: nodes, history and reasons are exactly what the store's newest state says; the snapshot is made of them. */
#pragma once

#include "daemon/config/config.h"
#include "daemon/state/snapshot_make.h"
#include "lib/store/store.h"

enum { LEARNED_REASONS_MAX = 16 };

struct learned {
	const struct config *config;
	size_t d;
	char row_format[STORE_FORMAT_MAX_BYTES];
	struct store *store;
	struct snapshot *snapshot; /* the newest, one reference */
	/* What the snapshot was made of, one reference each. */
	size_t n_nodes;
	struct class_node **nodes; /* ascending ids */
	size_t n_history;
	struct history_node **history; /* the newest first, at most SNAPSHOT_HISTORY */
	bool *undone;
	size_t n_reasons;
	char *reasons[LEARNED_REASONS_MAX + 1]; /* found at load; the store's own comes on top when publishing */
};

/* Puts a node in its place, instead of the class's present one; takes one out (NULL: there is none). References move. */
void learned_put(struct learned *learned, struct class_node *node);
struct class_node *learned_take(struct learned *learned, uint32_t class_id);
/* A change becomes the newest of the history; entry is copied. */
void history_push(struct learned *learned, const struct change_entry *entry);
void learned_forget_all(struct learned *learned);
/* Makes learned->snapshot from the fields above. */
void learned_publish(struct learned *learned);
