/* SPDX-License-Identifier: MIT */
/* daemon/state/learned_inside.h: what learned.c (open, publish), learned_load.c and the changes share. */
#pragma once

#include "daemon/state/labels.h"
#include "daemon/state/learned.h"
#include "daemon/state/record.h"
#include "daemon/state/snapshot_make.h"

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

/* learned_load.c. Everything anew from the store, and published. */
int learned_reload(struct learned *learned, struct err *err);
void learned_forget_all(struct learned *learned);
/* After an undo or rollback, whose entry has its seq: what it touched, and published. */
int learned_follow(struct learned *learned, const struct change_entry *entry, struct err *err);
/* Puts a node in its place, instead of the class's present one; takes one out (NULL: there is none). References move. */
void learned_put(struct learned *learned, struct class_node *node);
struct class_node *learned_take(struct learned *learned, uint32_t class_id);
/* Makes learned->snapshot from the fields above. */
void learned_publish(struct learned *learned);
