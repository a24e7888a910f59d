/* SPDX-License-Identifier: MIT */
/* daemon/state/learned_follow.c: see learned_follow.h. */
#include "daemon/state/learned_follow.h"

#include "daemon/state/class_lessons.h"
#include "daemon/state/learned_load.h"
#include "daemon/state/record.h"
#include "proto/limits.h"

static void touch(void *ctx, uint32_t class_id)
{
	touches_add(ctx, class_id);
}

/* Each once, and what memory has of them taken out of it. */
static int touches_gather(struct learned *learned, uint64_t seq, struct touches *touches, struct err *err)
{
	int r = store_touched(learned->store, seq, touch, touches, err);
	touches_sort(touches);
	for (size_t i = 0; i < touches->n; i++) {
		struct touched *touched = &touches->list[i];
		touched->old = roster_take(&learned->classes, touched->id);
		touched->newest = touched->old ? class_lesson_ref(touched->old->entry.newest) : NULL;
	}
	return r;
}

enum { WALK_ENDS = 1 };

/* Two walks back along the changes in force, before and after, to where they meet: behind that all lessons are shared. */
struct fork {
	struct touches *touches;
	uint64_t old_at, new_at;
};

static void touched_unlearn(const struct touches *touches, const struct change_entry *entry)
{
	for (size_t i = 0; i < entry->n_classes; i++) {
		struct touched *touched = touched_find(touches, entry->classes[i].id);
		const struct class_lesson *newest = touched ? touched->newest : NULL;
		if (!newest || newest->seq != entry->seq)
			continue;
		touched->newest = class_lesson_ref(newest->before);
		class_lesson_unref(newest);
	}
}

static int fork_entry(void *ctx, const struct store_entry *stored)
{
	struct fork *fork = ctx;
	bool was = stored->seq == fork->old_at, is = stored->seq == fork->new_at;
	if (fork->old_at == fork->new_at)
		return WALK_ENDS;
	if (was)
		fork->old_at = store_entry_before(stored);
	if (is)
		fork->new_at = store_entry_before(stored);
	if ((!was && !is) || stored->op != STORE_OP_LEARN)
		return 0;
	struct change_entry *entry = record_decode(stored, NULL);
	if (was)
		touched_unlearn(fork->touches, entry);
	for (size_t i = 0; is && i < entry->n_classes; i++)
		touched_see(fork->touches, entry, &entry->classes[i]);
	change_entry_unref(entry);
	return 0;
}

/* Are all that there were still linked, or a page of them? */
static bool lessons_suffice(const struct touched *touched)
{
	const struct class_lesson *newest = touched->newest;
	return newest && (newest->n_kept == newest->n || newest->n_kept >= CLASS_LESSONS_KEPT);
}

static int lessons_follow(
	struct learned *learned, const struct change_entry *entry, struct touches *touches, struct err *err)
{
	struct fork fork = {.touches = touches, .old_at = entry->seq - 1, .new_at = entry->restored_seq};
	touches->n_unknown = touches->n;
	int r = store_history(learned->store, entry->seq, SIZE_MAX, fork_entry, &fork, err);
	if (r < 0)
		return r;
	touches->n_unknown = 0;
	for (size_t i = 0; i < touches->n; i++) {
		struct touched *touched = &touches->list[i];
		bool lives = roster_find(&learned->classes, touched->id);
		touched->is_known = touched->is_known || lessons_suffice(touched) || !lives;
		if (touched->is_known)
			continue;
		/* It was forgotten and is back, or most of it is undone: anew, from its beginning. */
		class_lesson_unref(touched->newest);
		touched->newest = NULL;
		touched->unseen = (struct lesson_sums){0};
		touched->n_seen = 0;
		touches->n_unknown++;
	}
	return lessons_count(learned, touches, err);
}

static int mark_entry(void *ctx, const struct store_entry *stored)
{
	struct history_item **item = ctx;
	(*item)++->undone = stored->undone;
	return 0;
}

static int follow(struct learned *learned, const struct change_entry *entry, struct touches *touches, struct err *err)
{
	struct history_item *item = learned->history;
	int r = touches_gather(learned, entry->seq, touches, err);
	if (r == 0)
		r = learned_load_classes(learned, entry->seq, err);
	if (r == 0)
		r = lessons_follow(learned, entry, touches, err);
	if (r != 0)
		return r;
	lessons_give(learned, touches);
	return store_history(learned->store, 0, learned->n_history, mark_entry, &item, err);
}

int learned_follow(struct learned *learned, const struct change_entry *entry, struct err *err)
{
	struct touches touches = {0};
	/* What was damaged may be whole now, or the other way round: all is judged anew. */
	int r = learned->n_reasons > 0 ? -ERR_DATA_LOSS : follow(learned, entry, &touches, err);
	touches_deinit(&touches);
	return r;
}
