/* SPDX-License-Identifier: MIT */
/* daemon/state/change.h: the one skeleton of every change. For the changes alone: edit.c, restore.c, teach.c.
 *
 * Invariant: check -> compute -> one transaction -> memory follows -> publish. Nothing in memory moves before the
 * transaction is on the disk, and what is on the disk is followed, at worst by reading everything anew. */
#pragma once

#include "daemon/state/learned.h"
#include "daemon/state/learned_inside.h"

/* What a plan computed. entry and undid are given away; what `write` points to is the plan's and lives until change_run
 * returns. */
struct change_draft {
	struct change_entry *entry; /* op, classes, restored_seq, ...; seq, time and us are change_run's */
	struct change_entry *undid; /* undo: what it takes back, or NULL */
	struct store_change write;  /* puts, drops, samples_per_class: the rest is change_run's. A restore has none */
	bool empty;                 /* there is nothing to change: nothing is written, entry->seq is the newest */
};

/* How one kind of change is made. */
struct change_plan {
	void *ctx; /* of both functions */
	/* Key, mode and guard allow a change: checks what is its own and fills the draft (zeroed). Moves nothing in
	 * memory. What it left in the draft is freed after an error, too. */
	int (*compute)(void *ctx, struct learned *learned, struct change_draft *draft, struct err *err);
	/* The change is on the disk, entry is complete, the history has it and dropped classes are gone: puts in memory
	 * what else is new. An error: everything is read anew. NULL: there is nothing more. */
	int (*follow)(void *ctx, struct learned *learned, const struct change_entry *entry, struct err *err);
	bool timed; /* entry->us tells how long it took (in the store: without the writing) */
};

/* See learned.h for outcome and errors. A repeated key: the first result, and the plan is not asked. */
int change_run(struct learned *learned, const struct change_plan *plan, const struct change_guard *guard,
	struct change_outcome *ret_outcome, struct err *err);

/* What an undo to `target` takes back: the first change after it. NULL: it is folded or cannot be read. */
struct change_entry *change_undone_by(const struct learned *learned, uint64_t target);
