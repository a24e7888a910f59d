/* SPDX-License-Identifier: MIT */
/* daemon/learned.c: opens the state, reads it back, publishes snapshots. The changes are in learned_change.c.
 *
 * Invariant: nodes, history and reasons are exactly what the store's newest state says; the snapshot is made of them. */
#include "daemon/learned_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"

/* ---- labels of all times ---- */

struct label_table {
	size_t n;
	struct label_at {
		uint32_t class_id;
		uint64_t born;
		struct label label;
	} * rows; /* the oldest first */
};

static int label_table_add(void *ctx, const struct store_item *item)
{
	struct label_table *table = ctx;
	if (item->len_bytes == 0 || item->len_bytes > LABEL_MAX_BYTES)
		return 0;
	if ((table->n & (table->n - 1)) == 0)
		table->rows = mem_realloc(table->rows, table->n ? 2 * table->n : 1, sizeof *table->rows);
	struct label_at *row = &table->rows[table->n++];
	row->class_id = item->class_id;
	row->born = item->born;
	row->label.len_bytes = (uint8_t)item->len_bytes;
	memcpy(row->label.bytes, item->data, item->len_bytes);
	return 0;
}

struct label_table *label_table_load(struct store *store, struct err *err)
{
	struct label_table *table = mem_zalloc(1, sizeof *table);
	if (store_labels(store, label_table_add, table, err) < 0) {
		label_table_free(table);
		return NULL;
	}
	return table;
}

bool label_table_at(void *ctx, uint32_t class_id, uint64_t seq, struct label *ret_label)
{
	const struct label_table *table = ctx;
	for (size_t i = table->n; i-- > 0;)
		if (table->rows[i].class_id == class_id && table->rows[i].born <= seq) {
			*ret_label = table->rows[i].label;
			return true;
		}
	return false;
}

void label_table_free(struct label_table *table)
{
	if (!table)
		return;
	free(table->rows);
	free(table);
}

/* ---- loading ---- */

static void reason_add(struct learned *learned, const char *text)
{
	if (learned->n_reasons < LEARNED_REASONS_MAX)
		learned->reasons[learned->n_reasons++] = mem_strdup(text);
}

struct loading { /* the class whose items are coming */
	struct learned *learned;
	struct label_table *labels;
	bool open;
	uint32_t id;
	struct learn_row *row;
	struct label label;
	size_t n_digests;
	uint8_t (*digests)[DIGEST_BYTES];
};

enum { SHOWN_BYTES = LABEL_MAX_BYTES + 32 };

/* "class 2 (ring)": people know it by its newest label, if that can be read. */
static void class_shown(const struct loading *l, uint32_t id, char text[SHOWN_BYTES])
{
	struct label label;
	char name[LABEL_MAX_BYTES + 1];
	if (id == CLASS_ID_NONE) {
		snprintf(text, SHOWN_BYTES, "the negatives");
	} else if (label_table_at(l->labels, id, UINT64_MAX, &label)) {
		text_escape(name, sizeof name, label.bytes, label.len_bytes);
		snprintf(text, SHOWN_BYTES, "class %u (%s)", id, name);
	} else {
		snprintf(text, SHOWN_BYTES, "class %u", id);
	}
}

static void loading_finish(struct loading *l)
{
	struct learned *learned = l->learned;
	if (!l->open)
		return;
	bool named = l->label.len_bytes > 0 || l->id == CLASS_ID_NONE;
	if (l->row && named) {
		struct class_node *node = class_node_new(l->id, 0, l->n_digests);
		if (l->n_digests)
			memcpy((void *)node->entry.digests, l->digests, l->n_digests * DIGEST_BYTES);
		node->entry.label = l->label;
		node->row = l->row;
		learned->nodes = mem_realloc(learned->nodes, learned->n_nodes + 1, sizeof *learned->nodes);
		learned->nodes[learned->n_nodes++] = node;
	} else {
		char text[SHOWN_BYTES + 120], shown[SHOWN_BYTES];
		class_shown(l, l->id, shown);
		snprintf(text, sizeof text, "%s has no usable %s and is left out", shown, l->row ? "label" : "row");
		reason_add(learned, text);
		learn_row_free(l->row);
	}
	free(l->digests);
	*l = (struct loading){.learned = learned, .labels = l->labels};
}

static int loading_item(void *ctx, const struct store_item *item)
{
	struct loading *l = ctx;
	struct learned *learned = l->learned;
	struct err why;
	if (l->open && l->id != item->class_id)
		loading_finish(l);
	l->open = true;
	l->id = item->class_id;
	switch (item->kind) {
	case STORE_ROW:
		learn_row_free(l->row);
		l->row = NULL;
		if (learn_row_decode(
			    learned->config->learner.width, learned->d, item->data, item->len_bytes, &l->row, &why) < 0)
			reason_add(learned, why.text);
		break;
	case STORE_LABEL:
		if (label_check(item->data, item->len_bytes, NULL) == 0) {
			l->label.len_bytes = (uint8_t)item->len_bytes;
			memcpy(l->label.bytes, item->data, item->len_bytes);
		}
		break;
	case STORE_SAMPLE:
		if (item->len_bytes < DIGEST_BYTES)
			break;
		l->digests = mem_realloc(l->digests, l->n_digests + 1, DIGEST_BYTES);
		memcpy(l->digests[l->n_digests++], item->data, DIGEST_BYTES);
		break;
	case STORE_NOTE:
		break;
	}
	return 0;
}

static void loading_damage(void *ctx, const struct store_damage *damage)
{
	struct loading *l = ctx;
	char text[SHOWN_BYTES + 200], shown[SHOWN_BYTES];
	static const char *const what[] = {"", "row", "label", "picture", "note"};
	class_shown(l, damage->class_id, shown);
	if (damage->kind == STORE_SAMPLE)
		snprintf(text, sizeof text, "%s: a kept picture of change %llu is damaged and left out", shown,
			(unsigned long long)damage->bad_seq);
	else if (damage->restored_seq)
		snprintf(text, sizeof text, "%s: its %s of change %llu is damaged, that of change %llu is used", shown,
			what[damage->kind], (unsigned long long)damage->bad_seq,
			(unsigned long long)damage->restored_seq);
	else
		snprintf(text, sizeof text, "%s: its %s of change %llu is damaged and there is no earlier one", shown,
			what[damage->kind], (unsigned long long)damage->bad_seq);
	reason_add(l->learned, text);
}

/* ---- history ---- */

struct reading {
	struct learned *learned;
	struct label_table *labels;
};

/* A class's lessons are the changes in force that taught it; they come the newest first and are turned later. */
static void count_lessons(struct learned *learned, const struct change_entry *entry)
{
	for (size_t i = 0; i < entry->n_classes; i++) {
		size_t at = class_node_place(learned->nodes, learned->n_nodes, entry->classes[i].id);
		if (at == learned->n_nodes || learned->nodes[at]->entry.id != entry->classes[i].id)
			continue;
		struct class_entry *e = &learned->nodes[at]->entry;
		struct class_lesson *lessons = mem_realloc((void *)e->lessons, e->n_lessons + 1, sizeof *lessons);
		lessons[e->n_lessons++] = (struct class_lesson){
			.seq = entry->seq, .time_ms = entry->time_ms, .samples = entry->classes[i].samples};
		e->lessons = lessons;
		e->samples += entry->classes[i].samples;
	}
}

static int reading_entry(void *ctx, const struct store_entry *stored)
{
	struct reading *r = ctx;
	struct learned *learned = r->learned;
	struct change_entry *entry = record_decode(stored, label_table_at, r->labels);
	if (entry->op == STORE_OP_LEARN && !stored->undone)
		count_lessons(learned, entry);
	if (learned->n_history >= SNAPSHOT_HISTORY) {
		change_entry_free(entry);
		return 0;
	}
	learned->history[learned->n_history] = history_node_new(entry);
	learned->undone[learned->n_history++] = stored->undone;
	return 0;
}

static void lessons_turn(struct class_entry *entry)
{
	struct class_lesson *lessons = (struct class_lesson *)entry->lessons;
	for (size_t i = 0, k = entry->n_lessons; i + 1 < k; i++) {
		struct class_lesson t = lessons[--k];
		lessons[k] = lessons[i];
		lessons[i] = t;
	}
}

static void forget_all(struct learned *learned)
{
	for (size_t i = 0; i < learned->n_nodes; i++)
		class_node_unref(learned->nodes[i]);
	for (size_t i = 0; i < learned->n_history; i++)
		history_node_unref(learned->history[i]);
	for (size_t i = 0; i < learned->n_reasons; i++)
		free(learned->reasons[i]);
	learned->n_nodes = learned->n_history = learned->n_reasons = 0;
}

int learned_reload(struct learned *learned, struct err *err)
{
	int r = 0;
	forget_all(learned);
	if (store_mode(learned->store) != STORE_CLOSED) {
		struct label_table *labels = label_table_load(learned->store, err);
		struct loading loading = {.learned = learned, .labels = labels};
		struct reading reading = {.learned = learned, .labels = labels};
		r = labels ? store_load(learned->store, loading_item, loading_damage, &loading, err) : -ERR_DATA_LOSS;
		loading_finish(&loading);
		if (r == 0)
			r = store_history(learned->store, 0, SIZE_MAX, reading_entry, &reading, err);
		label_table_free(labels);
		for (size_t i = 0; i < learned->n_nodes; i++)
			lessons_turn(&learned->nodes[i]->entry);
	}
	/* A file whose inside is broken is closed by the store and stays as it is: degraded, nothing served. */
	if (r < 0 && store_mode(learned->store) == STORE_CLOSED) {
		forget_all(learned);
		r = 0;
	}
	learned_publish(learned);
	return r;
}

void learned_publish(struct learned *learned)
{
	char *reasons[LEARNED_REASONS_MAX + 1];
	size_t n = 0;
	enum store_mode mode = store_mode(learned->store);
	const char *why = store_why(learned->store);
	if (why[0])
		reasons[n++] = (char *)why;
	for (size_t i = 0; i < learned->n_reasons; i++)
		reasons[n++] = learned->reasons[i];
	struct snapshot_parts parts = {
		.seq = store_seq(learned->store),
		.n_nodes = learned->n_nodes,
		.nodes = learned->nodes,
		.n_history = learned->n_history,
		.history = learned->history,
		.undone = learned->undone,
		.n_reasons = n,
		.reasons = reasons,
		.writable = mode == STORE_READ_WRITE,
	};
	snapshot_unref(learned->snapshot);
	learned->snapshot = snapshot_new(&parts, &learned->config->learner, learned->d);
}

int learned_open(const struct learned_options *options, struct learned **ret_learned, struct err *err)
{
	struct learned *learned = mem_zalloc(1, sizeof *learned);
	learned->config = options->config;
	learned->d = options->n_features;
	learned->history = mem_zalloc(SNAPSHOT_HISTORY, sizeof *learned->history);
	learned->undone = mem_zalloc(SNAPSHOT_HISTORY, sizeof *learned->undone);
	learn_row_format(options->config->learner.width, learned->d, learned->row_format, sizeof learned->row_format);

	struct store_options store = {
		.dir = options->config->state_dir, .model_name = options->model_name, .format = learned->row_format};
	memcpy(store.feature_id, options->feature_id, sizeof store.feature_id);
	int r = store_open(&store, &learned->store, err);
	if (r == 0)
		r = learned_reload(learned, err);
	if (r < 0) {
		learned_close(learned);
		return r;
	}
	*ret_learned = learned;
	return 0;
}

void learned_close(struct learned *learned)
{
	if (!learned)
		return;
	forget_all(learned);
	snapshot_unref(learned->snapshot);
	store_close(learned->store);
	free(learned->nodes);
	free(learned->history);
	free(learned->undone);
	free(learned);
}

struct snapshot *learned_snapshot(struct learned *learned)
{
	return snapshot_ref(learned->snapshot);
}

struct key_walk {
	learned_key_fn *fn;
	void *ctx;
};

static void key_walk(void *ctx, const uint8_t key[STORE_KEY_BYTES], uint64_t seq)
{
	struct key_walk *walk = ctx;
	(void)seq;
	walk->fn(walk->ctx, key);
}

int learned_keys(struct learned *learned, learned_key_fn *fn, void *ctx, struct err *err)
{
	struct key_walk walk = {.fn = fn, .ctx = ctx};
	if (store_mode(learned->store) == STORE_CLOSED)
		return 0;
	return store_keys(learned->store, key_walk, &walk, err);
}
