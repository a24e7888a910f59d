/* SPDX-License-Identifier: MIT */
/* daemon/state/change.c: see change.h; and the first result of a key, which every change looks up before anything else. */
#include "daemon/state/change.h"

#include <stdlib.h>
#include <time.h>

#include "daemon/state/labels.h"
#include "daemon/state/learned_load.h"
#include "daemon/state/record.h"
#include "lib/base/clock.h"

void change_outcome_deinit(struct change_outcome *outcome)
{
	change_entry_unref(outcome->entry);
	change_entry_unref(outcome->undid);
	*outcome = (struct change_outcome){0};
}

struct change_entry *change_undone_by(const struct learned *learned, uint64_t target)
{
	for (size_t i = 0; i < learned->n_history; i++)
		if (learned->history[i].entry->seq == target + 1)
			return change_entry_ref(learned->history[i].entry);
	return NULL;
}

/* ---- asking again ---- */

struct finding {
	struct label_wants labels;
	struct change_outcome *outcome;
};

static int finding_entry(void *ctx, const struct store_entry *stored)
{
	struct finding *f = ctx;
	f->outcome->entry = record_decode(stored, &f->labels);
	f->outcome->undone = stored->undone;
	f->outcome->repeated = true;
	return 0;
}

/* The key first: labels are read for what it found, and a new key reads none. */
int learned_find_key(struct learned *learned, const uint8_t key[STORE_KEY_BYTES], struct change_outcome *ret_outcome,
	struct err *err)
{
	struct change_outcome outcome = {0};
	struct finding finding = {.outcome = &outcome};
	if (store_mode(learned->store) == STORE_CLOSED)
		return 1;
	int r = store_find_key(learned->store, key, finding_entry, &finding, err);
	if (r == 0)
		r = labels_find(&finding.labels, learned->store, err);
	if (r != 0) {
		label_wants_drop(&finding.labels);
		change_entry_unref(outcome.entry);
		return r;
	}
	if (outcome.entry->op == STORE_OP_UNDO)
		outcome.undid = change_undone_by(learned, outcome.entry->restored_seq);
	*ret_outcome = outcome;
	return 0;
}

/* ---- the skeleton ---- */

enum { CHANGE_REPEATED = 1 };

/* Key, mode and guard, before anything is computed. CHANGE_REPEATED: *ret_outcome is the first result. */
static int change_check(
	struct learned *learned, const struct change_guard *guard, struct change_outcome *ret_outcome, struct err *err)
{
	uint64_t seq = store_seq(learned->store);
	if (store_look(learned->store))
		learned_publish(learned);
	if (guard->key) {
		int r = learned_find_key(learned, guard->key, ret_outcome, err);
		if (r < 0)
			learned_publish(learned); /* the file may have turned out to be broken */
		if (r < 0)
			return r;
		if (r == 0)
			return CHANGE_REPEATED;
	}
	if (store_mode(learned->store) != STORE_READ_WRITE)
		return err_set(
			err, ERR_UNAVAILABLE, "nothing can be learned or changed: %s", store_why(learned->store));
	if (guard->has_if_seq && guard->if_seq != seq)
		return err_set_about(err, ERR_ABORTED, (struct err_about){.field = "guard.if_seq"},
			"the newest change is %llu, not %llu", (unsigned long long)seq,
			(unsigned long long)guard->if_seq);
	return 0;
}

/* UTC since 1970. */
static int64_t wall_time_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The one transaction; entry gets its seq. */
static int change_write(
	struct learned *learned, const struct change_draft *draft, const struct change_guard *guard, struct err *err)
{
	struct change_entry *entry = draft->entry;
	struct store_change write = draft->write;
	uint8_t *result = NULL;
	record_encode(entry, &result, &write.result_bytes);
	write.result = result;
	write.op = entry->op;
	write.time_ms = entry->time_ms;
	write.key = guard->key;
	int r = entry->op == STORE_OP_UNDO || entry->op == STORE_OP_ROLLBACK
			? store_restore(learned->store, entry->restored_seq, &write, &entry->seq, err)
			: store_commit(learned->store, &write, &entry->seq, err);
	free(result);
	/* change_check has looked the key up and nobody else writes: a key that is known now is in a damaged file. */
	if (r == STORE_E_KEY_KNOWN)
		r = err_set(err, ERR_DATA_LOSS, "the state file is damaged (its index of keys)");
	if (r < 0)
		learned_publish(learned); /* the disk may have become unusable */
	return r;
}

static int change_follow(
	struct learned *learned, const struct change_plan *plan, const struct change_draft *draft, struct err *err)
{
	learned_history_push(learned, draft->entry);
	for (size_t i = 0; i < draft->write.n_drop_classes; i++)
		class_node_unref(roster_take(&learned->classes, draft->write.drop_classes[i]));
	int r = plan->follow ? plan->follow(plan->ctx, learned, draft->entry, err) : 0;
	if (r == 0)
		r = ranking_follow(&learned->ranking, learned->store, draft->entry->seq, err);
	if (r == 0)
		r = scene_rows_follow(&learned->scene, learned->store, draft->entry->seq, err);
	if (r < 0)
		return learned_reload(learned, err);
	learned_publish(learned);
	return 0;
}

int change_run(struct learned *learned, const struct change_plan *plan, const struct change_guard *guard,
	struct change_outcome *ret_outcome, struct err *err)
{
	struct change_draft draft = {.entry = NULL};
	uint64_t started = clock_us();
	int r = change_check(learned, guard, ret_outcome, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = plan->compute(plan->ctx, learned, &draft, err);
	struct change_entry *entry = draft.entry;
	bool writes = !draft.empty && !guard->dry_run;
	if (r == 0) {
		entry->seq = draft.empty && !guard->dry_run ? store_seq(learned->store) : 0;
		entry->time_ms = draft.empty ? 0 : wall_time_ms();
		entry->us = plan->timed ? clock_us() - started : 0;
	}
	if (r == 0 && writes)
		r = change_write(learned, &draft, guard, err);
	if (r == 0 && plan->timed)
		entry->us = clock_us() - started;
	if (r == 0 && writes)
		r = change_follow(learned, plan, &draft, err);
	if (r < 0) {
		change_entry_unref(entry);
		change_entry_unref(draft.undid);
		return r;
	}
	*ret_outcome = (struct change_outcome){.entry = entry, .undid = draft.undid, .written = writes};
	return 0;
}
