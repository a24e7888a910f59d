/* SPDX-License-Identifier: MIT */
/* daemon/state/snapshot_make.c: see snapshot_make.h. Everything behind a reference is immutable; the counters are the only
 * words that two threads write. */
#include "daemon/state/snapshot_make.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "proto/limits.h"

struct snapshot_box {
	struct snapshot seen; /* first: a snapshot is its box */
	atomic_uint refs;
	size_t n_nodes;
	struct class_node **nodes;
	struct history_node **history;
};

struct class_node *class_node_new(uint32_t id, size_t n_digests)
{
	struct class_node *node = mem_zalloc(1, sizeof *node);
	atomic_init(&node->refs, 1);
	node->entry.id = id;
	node->entry.n_digests = n_digests;
	node->entry.digests = mem_zalloc(n_digests, DIGEST_BYTES);
	return node;
}

struct class_node *class_node_ref(struct class_node *node)
{
	atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
	return node;
}

void class_node_unref(struct class_node *node)
{
	if (!node || atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) != 1)
		return;
	class_lesson_unref(node->entry.newest);
	free((void *)node->entry.digests);
	learn_row_free(node->row);
	free(node);
}

void class_node_name(struct class_node *node, const struct label *label)
{
	node->entry.label = *label;
	label_key(label, &node->entry.key);
}

struct class_node *class_node_of(const struct class_entry *entry)
{
	return (struct class_node *)((char *)entry - offsetof(struct class_node, entry));
}

size_t class_node_place(struct class_node *const *nodes, size_t n, uint32_t id)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (nodes[middle]->entry.id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct class_node *class_node_find(struct class_node *const *nodes, size_t n, uint32_t id)
{
	size_t at = class_node_place(nodes, n, id);
	return at < n && nodes[at]->entry.id == id ? nodes[at] : NULL;
}

struct lesson_link {
	struct class_lesson seen; /* first: a lesson is its link */
	atomic_uint refs;
};

const struct class_lesson *class_lesson_after(
	const struct lesson_sums *sums, uint64_t seq, int64_t time_ms, uint32_t samples)
{
	struct lesson_link *link = mem_zalloc(1, sizeof *link);
	atomic_init(&link->refs, 1);
	link->seen = (struct class_lesson){.seq = seq,
		.time_ms = time_ms,
		.samples = samples,
		.n = sums->n + 1,
		.samples_all = sums->samples + samples,
		.first_ms = sums->n ? sums->first_ms : time_ms,
		.n_kept = 1};
	return &link->seen;
}

static struct lesson_sums sums_of(const struct class_lesson *lesson)
{
	return lesson ? (struct lesson_sums){lesson->n, lesson->samples_all, lesson->first_ms}
		      : (struct lesson_sums){0};
}

/* The newest CLASS_LESSONS_KEPT of them in links of their own; takes over the reference. */
static const struct class_lesson *lessons_cut(const struct class_lesson *newest)
{
	const struct class_lesson *list[CLASS_LESSONS_KEPT], *cut = NULL;
	size_t n = 0;
	for (const struct class_lesson *l = newest; l && n < CLASS_LESSONS_KEPT; l = l->before)
		list[n++] = l;
	struct lesson_sums sums = sums_of(list[n - 1]->before);
	while (n-- > 0)
		cut = cut ? class_lesson_new(cut, list[n]->seq, list[n]->time_ms, list[n]->samples)
			  : class_lesson_after(&sums, list[n]->seq, list[n]->time_ms, list[n]->samples);
	class_lesson_unref(newest);
	return cut;
}

const struct class_lesson *class_lesson_new(
	const struct class_lesson *before, uint64_t seq, int64_t time_ms, uint32_t samples)
{
	if (before && before->n_kept >= CLASS_LESSONS_MAX)
		before = lessons_cut(before);
	struct lesson_sums sums = sums_of(before);
	struct class_lesson *lesson = (struct class_lesson *)class_lesson_after(&sums, seq, time_ms, samples);
	lesson->before = before;
	lesson->n_kept = 1 + (before ? before->n_kept : 0);
	return lesson;
}

const struct class_lesson *class_lesson_ref(const struct class_lesson *lesson)
{
	if (lesson)
		atomic_fetch_add_explicit(&((struct lesson_link *)lesson)->refs, 1, memory_order_relaxed);
	return lesson;
}

void class_lesson_unref(const struct class_lesson *lesson)
{
	while (lesson) { /* a loop: there may be as many as there were lessons */
		struct lesson_link *link = (struct lesson_link *)lesson;
		if (atomic_fetch_sub_explicit(&link->refs, 1, memory_order_acq_rel) != 1)
			return;
		lesson = lesson->before;
		free(link);
	}
}

struct change_entry *change_entry_new(size_t n_classes)
{
	struct change_entry *entry = mem_zalloc(1, sizeof *entry);
	entry->n_classes = n_classes;
	entry->classes = mem_zalloc(n_classes, sizeof *entry->classes);
	return entry;
}

struct change_entry *change_entry_dup(const struct change_entry *entry)
{
	struct change_entry *copy = mem_dup(entry, sizeof *entry);
	copy->classes = mem_dup(entry->classes, entry->n_classes * sizeof *entry->classes);
	return copy;
}

void change_entry_free(struct change_entry *entry)
{
	if (!entry)
		return;
	free(entry->classes);
	free(entry);
}

struct history_node *history_node_new(struct change_entry *entry)
{
	struct history_node *node = mem_zalloc(1, sizeof *node);
	atomic_init(&node->refs, 1);
	node->entry = entry;
	return node;
}

struct history_node *history_node_ref(struct history_node *node)
{
	atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
	return node;
}

void history_node_unref(struct history_node *node)
{
	if (!node || atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) != 1)
		return;
	change_entry_free(node->entry);
	free(node);
}

static int by_label(const void *a, const void *b)
{
	const struct class_entry *x = *(const struct class_entry *const *)a, *y = *(const struct class_entry *const *)b;
	return label_compare(&x->label, &y->label);
}

static int by_key(const void *a, const void *b)
{
	const struct class_entry *x = *(const struct class_entry *const *)a, *y = *(const struct class_entry *const *)b;
	int r = label_compare(&x->key, &y->key);
	return r != 0 ? r : by_label(a, b);
}

static struct learn_head *head_of(const struct snapshot_box *box, const struct learn_settings *settings, size_t d)
{
	const struct learn_row **rows = mem_zalloc(box->n_nodes, sizeof *rows);
	uint32_t *ids = mem_zalloc(box->n_nodes, sizeof *ids);
	for (size_t i = 0; i < box->n_nodes; i++) {
		rows[i] = box->nodes[i]->row;
		ids[i] = box->nodes[i]->entry.id;
	}
	struct learn_head *head = learn_head_new(settings, d, rows, ids, box->n_nodes, NULL);
	free(rows);
	free(ids);
	return head;
}

struct snapshot *snapshot_new(const struct snapshot_parts *parts, const struct learn_settings *settings, size_t d)
{
	struct snapshot_box *box = mem_zalloc(1, sizeof *box);
	struct snapshot *s = &box->seen;
	atomic_init(&box->refs, 1);
	s->seq = parts->seq;
	s->writable = parts->writable;
	s->mends = parts->mends;

	const struct class_entry **classes = mem_zalloc(parts->n_nodes, sizeof *classes);
	box->n_nodes = parts->n_nodes;
	box->nodes = mem_zalloc(parts->n_nodes, sizeof *box->nodes);
	for (size_t i = 0; i < parts->n_nodes; i++) {
		box->nodes[i] = class_node_ref(parts->nodes[i]);
		if (box->nodes[i]->entry.id == CLASS_ID_NONE)
			s->none = &box->nodes[i]->entry;
		else
			classes[s->n_classes++] = &box->nodes[i]->entry;
	}
	qsort(classes, s->n_classes, sizeof *classes, by_label);
	s->classes = classes;
	const struct class_entry **keyed = mem_zalloc(parts->n_nodes, sizeof *keyed);
	memcpy(keyed, classes, s->n_classes * sizeof *keyed);
	qsort(keyed, s->n_classes, sizeof *keyed, by_key);
	s->by_key = keyed;
	s->head = head_of(box, settings, d);

	struct history_item *history = mem_zalloc(parts->n_history, sizeof *history);
	box->history = mem_zalloc(parts->n_history, sizeof *box->history);
	for (size_t i = 0; i < parts->n_history; i++) {
		box->history[i] = history_node_ref(parts->history[i]);
		history[i] = (struct history_item){.entry = box->history[i]->entry, .undone = parts->undone[i]};
	}
	s->history = history;
	s->n_history = parts->n_history;

	const char **reasons = mem_zalloc(parts->n_reasons, sizeof *reasons);
	for (size_t i = 0; i < parts->n_reasons; i++)
		reasons[i] = mem_strdup(parts->reasons[i]);
	s->reasons = reasons;
	s->n_reasons = parts->n_reasons;
	return s;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	struct snapshot_box *box = (struct snapshot_box *)snapshot;
	atomic_fetch_add_explicit(&box->refs, 1, memory_order_relaxed);
	return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
	struct snapshot_box *box = (struct snapshot_box *)snapshot;
	if (!box || atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < box->n_nodes; i++)
		class_node_unref(box->nodes[i]);
	for (size_t i = 0; i < snapshot->n_history; i++)
		history_node_unref(box->history[i]);
	for (size_t i = 0; i < snapshot->n_reasons; i++)
		free((void *)snapshot->reasons[i]);
	learn_head_free((struct learn_head *)snapshot->head);
	free((void *)snapshot->classes);
	free((void *)snapshot->by_key);
	free((void *)snapshot->history);
	free((void *)snapshot->reasons);
	free(box->nodes);
	free(box->history);
	free(box);
}

const struct class_entry *snapshot_by_id(const struct snapshot *snapshot, uint32_t id)
{
	const struct snapshot_box *box = (const struct snapshot_box *)snapshot;
	const struct class_node *node = class_node_find(box->nodes, box->n_nodes, id);
	return node ? &node->entry : NULL;
}
