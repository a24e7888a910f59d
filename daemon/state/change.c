/* SPDX-License-Identifier: MIT */
/* daemon/state/change.c: forget, rename, undo, rollback, and what every change has in common. Lessons: teach.c.
 *
 * Invariant: check -> compute -> one transaction -> memory follows the store -> publish. Nothing in memory moves before
 * the transaction is on the disk. */
#include "daemon/state/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/base/text.h"

int64_t wall_time_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void change_outcome_deinit(struct change_outcome *outcome)
{
	change_entry_free(outcome->entry);
	change_entry_free(outcome->undid);
	*outcome = (struct change_outcome){0};
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

/* What an undo to `target` took back: the first change after it. NULL: it is folded or cannot be read. */
static struct change_entry *entry_undone_by(struct learned *learned, uint64_t target)
{
	for (size_t i = 0; i < learned->n_history; i++)
		if (learned->history[i]->entry->seq == target + 1)
			return change_entry_dup(learned->history[i]->entry);
	return NULL;
}

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
		change_entry_free(outcome.entry);
		return r;
	}
	if (outcome.entry->op == STORE_OP_UNDO)
		outcome.undid = entry_undone_by(learned, outcome.entry->restored_seq);
	*ret_outcome = outcome;
	return 0;
}

/* ---- before and after ---- */

int change_begin(
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
	if (guard->has_if_seq && guard->if_seq != seq) {
		int r = err_set(err, ERR_ABORTED, "the newest change is %llu, not %llu", (unsigned long long)seq,
			(unsigned long long)guard->if_seq);
		err->field = "guard.if_seq";
		return r;
	}
	return 0;
}

static void change_fill(struct store_change *change, const struct change_entry *entry, const struct change_guard *guard,
	uint8_t **ret_result)
{
	record_encode(entry, ret_result, &change->result_bytes);
	change->result = *ret_result;
	change->op = entry->op;
	change->time_ms = entry->time_ms;
	change->key = guard->key;
}

/* change_begin has looked the key up and nobody else writes: a key that is known now is in a damaged file. */
static int key_unfindable(int r, struct err *err)
{
	return r == STORE_E_KEY_KNOWN ? err_set(err, ERR_DATA_LOSS, "the state file is damaged (its index of keys)")
				      : r;
}

int change_commit(struct learned *learned, struct store_change *change, struct change_entry *entry,
	const struct change_guard *guard, struct err *err)
{
	uint8_t *result = NULL;
	uint64_t seq = 0;
	entry->time_ms = wall_time_ms();
	if (guard->dry_run)
		return 0;
	change_fill(change, entry, guard, &result);
	int r = store_commit(learned->store, change, &seq, err);
	free(result);
	r = key_unfindable(r, err);
	if (r < 0)
		learned_publish(learned); /* the disk may have become unusable */
	else
		entry->seq = seq;
	return r;
}

void history_push(struct learned *learned, const struct change_entry *entry)
{
	if (learned->n_history == SNAPSHOT_HISTORY)
		history_node_unref(learned->history[--learned->n_history]);
	memmove(learned->history + 1, learned->history, learned->n_history * sizeof *learned->history);
	memmove(learned->undone + 1, learned->undone, learned->n_history * sizeof *learned->undone);
	learned->history[0] = history_node_new(change_entry_dup(entry));
	learned->undone[0] = false;
	learned->n_history++;
}

static const struct class_entry *class_of(const struct learned *learned, const struct label *label)
{
	return snapshot_find(learned->snapshot, label);
}

static int no_such_class(const struct label *label, struct err *err)
{
	char name[TEXT_ESCAPED_BYTES(LABEL_MAX_BYTES)];
	text_escape(name, sizeof name, label->bytes, label->len_bytes);
	int r = label->len_bytes ? err_set(err, ERR_NOT_FOUND, "there is no class '%s'", name)
				 : err_set(err, ERR_NOT_FOUND, "no negatives were taught");
	err->field = "label";
	return r;
}

/* An entry of one class, for forget and rename. */
static struct change_entry *entry_of_class(enum store_op op, const struct class_entry *class)
{
	struct change_entry *entry = change_entry_new(1);
	entry->op = op;
	entry->classes[0].id = class->id;
	entry->classes[0].label = class->label;
	return entry;
}

/* ---- forget and rename ---- */

int learned_forget(struct learned *learned, const struct label *label, const struct change_guard *guard,
	struct change_outcome *ret_outcome, struct err *err)
{
	int r = change_begin(learned, guard, ret_outcome, err);
	if (r != 0)
		return r < 0 ? r : 0;
	const struct class_entry *class = class_of(learned, label);
	if (!class)
		return no_such_class(label, err);
	struct change_entry *entry = entry_of_class(STORE_OP_FORGET, class);
	uint32_t id = class->id;
	struct store_change change = {.drop_classes = &id, .n_drop_classes = 1};
	r = change_commit(learned, &change, entry, guard, err);
	if (r < 0) {
		change_entry_free(entry);
		return r;
	}
	if (!guard->dry_run) {
		class_node_unref(learned_take(learned, id));
		history_push(learned, entry);
		learned_publish(learned);
	}
	*ret_outcome = (struct change_outcome){.entry = entry, .written = !guard->dry_run};
	return 0;
}

/* The same class under another label: rows are immutable, so the new node has a copy. */
static struct class_node *node_renamed(struct learned *learned, const struct class_node *old, const struct label *label)
{
	struct class_node *node = class_node_new(old->entry.id, old->entry.n_digests);
	node->entry.newest = class_lesson_ref(old->entry.newest);
	memcpy((void *)node->entry.digests, old->entry.digests, old->entry.n_digests * DIGEST_BYTES);
	class_node_name(node, label);
	uint8_t *bytes;
	size_t len_bytes;
	learn_row_encode(old->row, &bytes, &len_bytes);
	int r = learn_row_decode(learned->config->learner.width, learned->d, bytes, len_bytes, &node->row, NULL);
	REQUIRE(r == 0);
	free(bytes);
	return node;
}

int learned_rename(struct learned *learned, const struct label *old_label, const struct label *new_label,
	const struct change_guard *guard, struct change_outcome *ret_outcome, struct err *err)
{
	int r = change_begin(learned, guard, ret_outcome, err);
	if (r != 0)
		return r < 0 ? r : 0;
	const struct class_entry *class = class_of(learned, old_label);
	if (!class)
		return no_such_class(old_label, err);
	const struct class_entry *taken = class_of(learned, new_label);
	if (taken &&
		(taken->id != class->id || label_equal(&taken->label, new_label))) { /* else: its own, spelt anew */
		char name[TEXT_ESCAPED_BYTES(LABEL_MAX_BYTES)];
		text_escape(name, sizeof name, new_label->bytes, new_label->len_bytes);
		r = err_set(err, ERR_ALREADY_EXISTS, "there is a class '%s' already: forget it first", name);
		err->field = "new_label";
		return r;
	}
	struct change_entry *entry = entry_of_class(STORE_OP_RENAME, class);
	entry->new_label = *new_label;
	struct store_put put = {.kind = STORE_LABEL,
		.class_id = class->id,
		.data = new_label->bytes,
		.len_bytes = new_label->len_bytes,
		.format = "utf8"};
	struct store_change change = {.puts = &put, .n_puts = 1};
	r = change_commit(learned, &change, entry, guard, err);
	if (r < 0) {
		change_entry_free(entry);
		return r;
	}
	if (!guard->dry_run) {
		learned_put(learned, node_renamed(learned, class_node_of(class), new_label));
		history_push(learned, entry);
		learned_publish(learned);
	}
	*ret_outcome = (struct change_outcome){.entry = entry, .written = !guard->dry_run};
	return 0;
}

/* ---- undo and rollback ---- */

static int restore(struct learned *learned, enum store_op op, uint64_t target, const struct change_guard *guard,
	struct change_outcome *ret_outcome, struct err *err)
{
	struct change_entry *entry = change_entry_new(0);
	struct change_entry *undid = op == STORE_OP_UNDO ? entry_undone_by(learned, target) : NULL;
	int r = 0;
	entry->op = op;
	entry->restored_seq = target;
	entry->time_ms = wall_time_ms();
	if (!guard->dry_run) {
		struct store_change change = {0};
		uint8_t *result = NULL;
		change_fill(&change, entry, guard, &result);
		r = store_restore(learned->store, target, &change, &entry->seq, err);
		free(result);
		r = key_unfindable(r, err);
		if (r == 0)
			r = learned_follow(learned, entry, err);
		else
			learned_publish(learned);
	}
	if (r < 0) {
		change_entry_free(entry);
		change_entry_free(undid);
		return r;
	}
	*ret_outcome = (struct change_outcome){.entry = entry, .undid = undid, .written = !guard->dry_run};
	return 0;
}

int learned_undo(
	struct learned *learned, const struct change_guard *guard, struct change_outcome *ret_outcome, struct err *err)
{
	uint64_t target = 0;
	int r = change_begin(learned, guard, ret_outcome, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = store_undo_target(learned->store, &target, err);
	return r < 0 ? r : restore(learned, STORE_OP_UNDO, target, guard, ret_outcome, err);
}

int learned_rollback(struct learned *learned, uint64_t seq, const struct change_guard *guard,
	struct change_outcome *ret_outcome, struct err *err)
{
	int r = change_begin(learned, guard, ret_outcome, err);
	if (r != 0)
		return r < 0 ? r : 0;
	return restore(learned, STORE_OP_ROLLBACK, seq, guard, ret_outcome, err);
}
