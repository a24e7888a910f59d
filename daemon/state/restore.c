/* SPDX-License-Identifier: MIT */
/* daemon/state/restore.c: undo and rollback: the state of an earlier change made again, as a change. See learned.h. */
#include "daemon/state/change.h"
#include "daemon/state/learned_follow.h"

static struct change_entry *entry_of(enum store_op op, uint64_t target)
{
	struct change_entry *entry = change_entry_new(0);
	entry->op = op;
	entry->restored_seq = target;
	return entry;
}

static int undo_compute(void *ctx, struct learned *learned, struct change_draft *draft, struct err *err)
{
	uint64_t target = 0;
	int r = store_undo_target(learned->store, &target, err);
	(void)ctx;
	if (r < 0)
		return r;
	draft->entry = entry_of(STORE_OP_UNDO, target);
	draft->undid = change_undone_by(learned, target);
	return 0;
}

static int rollback_compute(void *ctx, struct learned *learned, struct change_draft *draft, struct err *err)
{
	const uint64_t *target = ctx;
	(void)learned, (void)err;
	draft->entry = entry_of(STORE_OP_ROLLBACK, *target);
	return 0;
}

/* Only the store knows what came back and what went. */
static int restore_follow(void *ctx, struct learned *learned, const struct change_entry *entry, struct err *err)
{
	(void)ctx;
	return learned_follow(learned, entry, err);
}

int learned_undo(
	struct learned *learned, const struct change_guard *guard, struct change_outcome *ret_outcome, struct err *err)
{
	const struct change_plan plan = {.compute = undo_compute, .follow = restore_follow};
	return change_run(learned, &plan, guard, ret_outcome, err);
}

int learned_rollback(struct learned *learned, uint64_t seq, const struct change_guard *guard,
	struct change_outcome *ret_outcome, struct err *err)
{
	const struct change_plan plan = {.ctx = &seq, .compute = rollback_compute, .follow = restore_follow};
	return change_run(learned, &plan, guard, ret_outcome, err);
}
