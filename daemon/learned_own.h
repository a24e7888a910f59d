/* SPDX-License-Identifier: MIT */
/* daemon/learned_own.h: what learned.c (open, load, publish) and learned_change.c (the changes) share. */
#pragma once

#include "daemon/learned.h"
#include "daemon/record.h"
#include "daemon/snapshot_own.h"

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

/* Everything anew from the store: at start and after undo or rollback. */
int learned_reload(struct learned *learned, struct err *err);
/* Makes learned->snapshot from the fields above. */
void learned_publish(struct learned *learned);
/* Labels as they were at any time, for entries read back from the store. */
struct label_table;
struct label_table *label_table_load(struct store *store, struct err *err);                 /* NULL: err says why */
bool label_table_at(void *table, uint32_t class_id, uint64_t seq, struct label *ret_label); /* a record_label_fn */
void label_table_free(struct label_table *table);
