/* SPDX-License-Identifier: MIT */
/* daemon/state/class_node.c: see class_node.h. */
#include "daemon/state/class_node.h"

#include <stdlib.h>

#include "lib/base/memory.h"
#include "proto/limits.h"

static void node_end(struct shared *thing)
{
	struct class_node *node = (struct class_node *)thing;
	class_lesson_unref(node->entry.newest);
	free((void *)node->entry.digests);
	learn_row_free(node->row);
	free(node);
}

struct class_node *class_node_new(uint32_t id, size_t n_digests)
{
	struct class_node *node = mem_zalloc(1, sizeof *node);
	shared_init(&node->shared, node_end);
	node->entry.id = id;
	node->entry.n_digests = n_digests;
	node->entry.digests = mem_zalloc(n_digests, DIGEST_BYTES);
	return node;
}

void class_node_unref(struct class_node *node)
{
	shared_unref(node ? &node->shared : NULL);
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
