/* SPDX-License-Identifier: MIT */
/* daemon/state/class_lessons.c: see class_lessons.h. */
#include "daemon/state/class_lessons.h"

#include <stdlib.h>

#include "daemon/state/record.h"
#include "lib/base/memory.h"
#include "proto/limits.h"

static int by_id(const void *a, const void *b)
{
	uint32_t x = ((const struct touched *)a)->id, y = ((const struct touched *)b)->id;
	return (x > y) - (x < y);
}

struct touched *touched_find(const struct touches *touches, uint32_t id)
{
	if (touches->n == 0)
		return NULL; /* and no list, which bsearch wants even for nothing */
	return bsearch(&(struct touched){.id = id}, touches->list, touches->n, sizeof *touches->list, by_id);
}

void touches_add(struct touches *touches, uint32_t class_id)
{
	touches->list = mem_grow(touches->list, touches->n, sizeof *touches->list);
	touches->list[touches->n++] = (struct touched){.id = class_id};
}

void touches_sort(struct touches *touches)
{
	size_t n = 0;
	if (touches->n)
		qsort(touches->list, touches->n, sizeof *touches->list, by_id);
	for (size_t i = 0; i < touches->n; i++)
		if (n == 0 || touches->list[n - 1].id != touches->list[i].id)
			touches->list[n++] = touches->list[i];
	touches->n = n;
}

void touches_deinit(struct touches *touches)
{
	for (size_t i = 0; i < touches->n; i++) {
		class_node_unref(touches->list[i].old);
		class_lesson_unref(touches->list[i].newest);
		free(touches->list[i].seen);
	}
	free(touches->list);
}

void touched_see(struct touches *touches, const struct change_entry *entry, const struct taught_class *class)
{
	struct touched *touched = touched_find(touches, class->id);
	if (!touched || touched->is_known)
		return;
	if (!touched->seen)
		touched->seen = mem_zalloc(CLASS_LESSONS_MAX, sizeof *touched->seen);
	if (touched->n_seen < CLASS_LESSONS_MAX) {
		touched->seen[touched->n_seen++] =
			(struct lesson_seen){.seq = entry->seq, .time_ms = entry->time_ms, .samples = class->samples};
	} else {
		touched->unseen.n++;
		touched->unseen.samples += class->samples;
		touched->unseen.first_ms = entry->time_ms;
	}
	if (class->is_new) { /* its beginning: what was taught under this id before was forgotten */
		class_lesson_unref(touched->newest);
		touched->newest = NULL;
		touched->is_known = true;
		touches->n_unknown--;
	}
}

/* What was seen becomes lessons, on top of those before. */
static void touched_build(struct touched *touched)
{
	const struct class_lesson *old = touched->newest;
	struct lesson_sums *sums = &touched->unseen;
	if (sums->n > 0) {
		const struct lesson_seen *seen = &touched->seen[--touched->n_seen];
		if (old)
			*sums = (struct lesson_sums){sums->n + old->n, sums->samples + old->samples_all, old->first_ms};
		touched->newest = class_lesson_after(sums, seen->seq, seen->time_ms, seen->samples);
		class_lesson_unref(old);
	}
	while (touched->n_seen > 0) {
		const struct lesson_seen *seen = &touched->seen[--touched->n_seen];
		touched->newest = class_lesson_new(touched->newest, seen->seq, seen->time_ms, seen->samples);
	}
}

enum { WALK_ENDS = 1 };

static int see_entry(void *ctx, const struct store_entry *stored)
{
	struct touches *touches = ctx;
	if (touches->n_unknown == 0)
		return WALK_ENDS;
	if (stored->undone)
		return 0;
	struct change_entry *entry = record_decode(stored, NULL);
	for (size_t i = 0; i < entry->n_classes; i++)
		touched_see(touches, entry, &entry->classes[i]);
	change_entry_unref(entry);
	return 0;
}

int lessons_count(struct learned *learned, struct touches *touches, struct err *err)
{
	int r = touches->n_unknown ? store_lessons(learned->store, see_entry, touches, err) : 0;
	for (size_t i = 0; i < touches->n; i++)
		touched_build(&touches->list[i]);
	return r < 0 ? r : 0;
}

void lessons_give(struct learned *learned, struct touches *touches)
{
	for (size_t i = 0; i < touches->n; i++) {
		struct touched *touched = &touches->list[i];
		struct class_node *node = roster_find(&learned->classes, touched->id);
		if (!node)
			continue;
		node->entry.newest = touched->newest;
		touched->newest = NULL;
	}
}

int class_lessons_load(struct learned *learned, struct err *err)
{
	struct touches touches = {.n_unknown = learned->classes.n};
	for (size_t i = 0; i < learned->classes.n; i++)
		touches_add(&touches, learned->classes.by_id[i]->id);
	int r = lessons_count(learned, &touches, err);
	lessons_give(learned, &touches);
	touches_deinit(&touches);
	return r;
}
