/* SPDX-License-Identifier: MIT */
/* daemon/state/change.h: what the changes have in common. For change.c and teach.c alone. */
#pragma once

#include "daemon/state/learned_inside.h"

enum { CHANGE_REPEATED = 1 };

/* Key, mode and guard, before anything is computed. 0: go on; CHANGE_REPEATED: *ret_outcome is the first result. */
int change_begin(
	struct learned *learned, const struct change_guard *guard, struct change_outcome *ret_outcome, struct err *err);
/* The transaction: entry gets its time and seq (a dry run: seq 0, nothing written). */
int change_commit(struct learned *learned, struct store_change *change, struct change_entry *entry,
	const struct change_guard *guard, struct err *err);
/* Memory's history follows the store's. */
void history_push(struct learned *learned, const struct change_entry *entry);
/* UTC since 1970. */
int64_t wall_time_ms(void);
