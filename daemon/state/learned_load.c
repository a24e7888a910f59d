/* SPDX-License-Identifier: MIT */
/* daemon/state/learned_load.c: what the store holds, read into memory: all of it, or what an undo or rollback touched.
 *
 * Invariant: both ways lead to the same nodes, history and marks, whatever the changes were. A class's lessons are the
 * changes in force that taught it, from its beginning on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/state/change.h"
#include "lib/base/memory.h"
#include "lib/base/text.h"
#include "proto/limits.h"

void learned_put(struct learned *learned, struct class_node *node)
{
	size_t at = class_node_place(learned->nodes, learned->n_nodes, node->entry.id);
	if (at < learned->n_nodes && learned->nodes[at]->entry.id == node->entry.id) {
		class_node_unref(learned->nodes[at]);
		learned->nodes[at] = node;
		return;
	}
	learned->nodes = mem_realloc(learned->nodes, learned->n_nodes + 1, sizeof *learned->nodes);
	memmove(learned->nodes + at + 1, learned->nodes + at, (learned->n_nodes - at) * sizeof *learned->nodes);
	learned->nodes[at] = node;
	learned->n_nodes++;
}

struct class_node *learned_take(struct learned *learned, uint32_t class_id)
{
	size_t at = class_node_place(learned->nodes, learned->n_nodes, class_id);
	if (at == learned->n_nodes || learned->nodes[at]->entry.id != class_id)
		return NULL;
	struct class_node *node = learned->nodes[at];
	memmove(learned->nodes + at, learned->nodes + at + 1, (--learned->n_nodes - at) * sizeof *learned->nodes);
	return node;
}

/* ---- items -> classes ---- */

static void reason_add(struct learned *learned, const char *text)
{
	if (learned->n_reasons < LEARNED_REASONS_MAX)
		learned->reasons[learned->n_reasons++] = mem_strdup(text);
}

struct loading { /* the class whose items are coming */
	struct learned *learned;
	bool open;
	uint32_t id;
	struct learn_row *row;
	struct label label;
	size_t n_digests;
	uint8_t (*digests)[DIGEST_BYTES];
	/* What went wrong, told when the reading has ended: a class's name is read from the same store. */
	size_t n_troubles;
	struct trouble {
		uint32_t class_id;
		const char *has_no; /* "row", "label": it is left out; NULL: damage */
		struct store_damage damage;
	} troubles[LEARNED_REASONS_MAX];
};

static void trouble_add(struct loading *l, const struct trouble *trouble)
{
	if (l->n_troubles < LEARNED_REASONS_MAX)
		l->troubles[l->n_troubles++] = *trouble;
}

enum { SHOWN_BYTES = TEXT_ESCAPED_BYTES(LABEL_MAX_BYTES) + 32 };

/* "class 2 (ring)": people know it by its newest label, if that can be read. */
static void class_shown(uint32_t id, const struct label *label, char text[SHOWN_BYTES])
{
	char name[TEXT_ESCAPED_BYTES(LABEL_MAX_BYTES)];
	if (id == CLASS_ID_NONE) {
		snprintf(text, SHOWN_BYTES, "the negatives");
	} else if (label->len_bytes > 0) {
		text_escape(name, sizeof name, label->bytes, label->len_bytes);
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
		struct class_node *node = class_node_new(l->id, l->n_digests);
		if (l->n_digests)
			memcpy((void *)node->entry.digests, l->digests, l->n_digests * DIGEST_BYTES);
		class_node_name(node, &l->label);
		node->row = l->row;
		learned_put(learned, node);
	} else {
		trouble_add(l, &(struct trouble){.class_id = l->id, .has_no = l->row ? "label" : "row"});
		learn_row_free(l->row);
	}
	free(l->digests);
	l->open = false;
	l->row = NULL;
	l->label.len_bytes = 0;
	l->n_digests = 0;
	l->digests = NULL;
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
		if (item->class_id != CLASS_ID_NONE && label_check_kept(item->data, item->len_bytes, NULL) == 0) {
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
	case STORE_UNREADABLE:
		break;
	}
	return 0;
}

static void loading_damage(void *ctx, const struct store_damage *damage)
{
	trouble_add(ctx, &(struct trouble){.class_id = damage->class_id, .damage = *damage});
}

static void trouble_say(struct learned *learned, const struct trouble *trouble, const struct label *label)
{
	char text[SHOWN_BYTES + 200], shown[SHOWN_BYTES];
	const struct store_damage *damage = &trouble->damage;
	const char *what = store_kind_name(damage->kind);
	unsigned long long bad = damage->bad_seq, restored = damage->restored_seq;
	class_shown(trouble->class_id, label, shown);
	if (trouble->has_no)
		snprintf(text, sizeof text, "%s has no usable %s and is left out", shown, trouble->has_no);
	else if (damage->kind == STORE_UNREADABLE)
		snprintf(text, sizeof text, "an item of change %llu cannot be read and is left out", bad);
	else if (damage->kind == STORE_SAMPLE || damage->kind == STORE_NOTE)
		snprintf(text, sizeof text, "%s: a kept %s of change %llu is damaged and left out", shown,
			damage->kind == STORE_SAMPLE ? "picture" : what, bad);
	else if (restored)
		snprintf(text, sizeof text, "%s: its %s of change %llu is damaged, that of change %llu is used", shown,
			what, bad, restored);
	else
		snprintf(text, sizeof text, "%s: its %s of change %llu is damaged and there is no earlier one", shown,
			what, bad);
	reason_add(learned, text);
}

/* After the store has given its last item. */
static void loading_end(struct loading *l)
{
	struct label labels[LEARNED_REASONS_MAX] = {0};
	struct label_wants wants = {0};
	loading_finish(l);
	for (size_t i = 0; i < l->n_troubles; i++)
		label_want(&wants, l->troubles[i].class_id, UINT64_MAX, &labels[i]);
	(void)labels_find(&wants, l->learned->store, NULL); /* a class without a name is told by its number */
	for (size_t i = 0; i < l->n_troubles; i++)
		trouble_say(l->learned, &l->troubles[i], &labels[i]);
}

/* ---- history -> lessons ---- */

/* A class whose lessons are looked for. */
struct touched {
	uint32_t id;
	bool is_known;                     /* its lessons are complete */
	struct class_node *old;            /* as it was, NULL: it was not */
	const struct class_lesson *newest; /* one reference */
	size_t n_seen;
	struct lesson_seen {
		uint64_t seq;
		int64_t time_ms;
		uint32_t samples;
	} * seen;                  /* CLASS_LESSONS_MAX, the newest first: they go on top of `newest` */
	struct lesson_sums unseen; /* of those between, which are not kept */
};

struct touches { /* ascending ids */
	size_t n;
	struct touched *list;
	size_t n_unknown;
};

static int by_id(const void *a, const void *b)
{
	uint32_t x = ((const struct touched *)a)->id, y = ((const struct touched *)b)->id;
	return (x > y) - (x < y);
}

static struct touched *touched_find(const struct touches *touches, uint32_t id)
{
	if (touches->n == 0)
		return NULL; /* and no list, which bsearch wants even for nothing */
	return bsearch(&(struct touched){.id = id}, touches->list, touches->n, sizeof *touches->list, by_id);
}

static void touches_deinit(struct touches *touches)
{
	for (size_t i = 0; i < touches->n; i++) {
		class_node_unref(touches->list[i].old);
		class_lesson_unref(touches->list[i].newest);
		free(touches->list[i].seen);
	}
	free(touches->list);
}

static void touched_see(struct touches *touches, const struct change_entry *entry, const struct taught_class *class)
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
	change_entry_free(entry);
	return 0;
}

/* The lessons of the classes that are not known, from the newest change back to where the last of them began. */
static int lessons_count(struct learned *learned, struct touches *touches, struct err *err)
{
	int r = touches->n_unknown ? store_lessons(learned->store, see_entry, touches, err) : 0;
	for (size_t i = 0; i < touches->n; i++)
		touched_build(&touches->list[i]);
	return r < 0 ? r : 0;
}

static void lessons_give(struct learned *learned, struct touches *touches)
{
	for (size_t i = 0; i < touches->n; i++) {
		struct touched *touched = &touches->list[i];
		struct class_node *node = class_node_find(learned->nodes, learned->n_nodes, touched->id);
		if (!node)
			continue;
		node->entry.newest = touched->newest;
		touched->newest = NULL;
	}
}

/* ---- everything ---- */

struct reading {
	struct learned *learned;
	struct label_wants labels;
};

static int reading_entry(void *ctx, const struct store_entry *stored)
{
	struct reading *r = ctx;
	struct learned *learned = r->learned;
	learned->history[learned->n_history] = history_node_new(record_decode(stored, &r->labels));
	learned->undone[learned->n_history++] = stored->undone;
	return 0;
}

static int history_load(struct learned *learned, struct err *err)
{
	struct reading reading = {.learned = learned};
	int r = store_history(learned->store, 0, SNAPSHOT_HISTORY, reading_entry, &reading, err);
	int labels = labels_find(&reading.labels, learned->store, err);
	return r < 0 ? r : labels;
}

void learned_forget_all(struct learned *learned)
{
	for (size_t i = 0; i < learned->n_nodes; i++)
		class_node_unref(learned->nodes[i]);
	for (size_t i = 0; i < learned->n_history; i++)
		history_node_unref(learned->history[i]);
	for (size_t i = 0; i < learned->n_reasons; i++)
		free(learned->reasons[i]);
	learned->n_nodes = learned->n_history = learned->n_reasons = 0;
}

static int load_all(struct learned *learned, struct err *err)
{
	struct loading loading = {.learned = learned};
	int r = store_load(learned->store, loading_item, loading_damage, &loading, err);
	loading_end(&loading);
	if (r == 0)
		r = history_load(learned, err);
	if (r != 0)
		return r;
	struct touches touches = {.n = learned->n_nodes, .n_unknown = learned->n_nodes};
	touches.list = mem_zalloc(touches.n, sizeof *touches.list);
	for (size_t i = 0; i < touches.n; i++)
		touches.list[i].id = learned->nodes[i]->entry.id;
	r = lessons_count(learned, &touches, err);
	lessons_give(learned, &touches);
	touches_deinit(&touches);
	return r;
}

int learned_reload(struct learned *learned, struct err *err)
{
	int r = 0;
	learned_forget_all(learned);
	if (store_mode(learned->store) != STORE_CLOSED)
		r = load_all(learned, err);
	/* A file whose inside is broken is closed by the store and stays as it is: degraded, nothing served. */
	if (r < 0 && store_mode(learned->store) == STORE_CLOSED) {
		learned_forget_all(learned);
		r = 0;
	}
	learned_publish(learned);
	return r;
}

/* ---- what an undo or rollback touched ---- */

static void touch(void *ctx, uint32_t class_id)
{
	struct touches *touches = ctx;
	touches->list = mem_grow(touches->list, touches->n, sizeof *touches->list);
	touches->list[touches->n++] = (struct touched){.id = class_id};
}

/* Each once, and what memory has of them taken out of it. */
static int touches_gather(struct learned *learned, uint64_t seq, struct touches *touches, struct err *err)
{
	int r = store_touched(learned->store, seq, touch, touches, err);
	size_t n = 0;
	if (touches->n)
		qsort(touches->list, touches->n, sizeof *touches->list, by_id);
	for (size_t i = 0; i < touches->n; i++)
		if (n == 0 || touches->list[n - 1].id != touches->list[i].id)
			touches->list[n++] = touches->list[i];
	touches->n = n;
	for (size_t i = 0; i < n; i++) {
		struct touched *touched = &touches->list[i];
		touched->old = learned_take(learned, touched->id);
		touched->newest = touched->old ? class_lesson_ref(touched->old->entry.newest) : NULL;
	}
	return r;
}

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
	change_entry_free(entry);
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
		bool lives = class_node_find(learned->nodes, learned->n_nodes, touched->id);
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

struct marking {
	struct learned *learned;
	size_t n;
};

static int mark_entry(void *ctx, const struct store_entry *stored)
{
	struct marking *marking = ctx;
	marking->learned->undone[marking->n++] = stored->undone;
	return 0;
}

static int follow(struct learned *learned, const struct change_entry *entry, struct touches *touches, struct err *err)
{
	struct loading loading = {.learned = learned};
	struct marking marking = {.learned = learned};
	int r = touches_gather(learned, entry->seq, touches, err);
	if (r == 0)
		r = store_load_touched(learned->store, entry->seq, loading_item, loading_damage, &loading, err);
	loading_end(&loading);
	if (r == 0)
		r = lessons_follow(learned, entry, touches, err);
	if (r != 0)
		return r;
	lessons_give(learned, touches);
	history_push(learned, entry);
	return store_history(learned->store, 0, learned->n_history, mark_entry, &marking, err);
}

int learned_follow(struct learned *learned, const struct change_entry *entry, struct err *err)
{
	struct touches touches = {0};
	/* What was damaged may be whole now, or the other way round: all is judged anew. */
	int r = learned->n_reasons > 0 ? -ERR_DATA_LOSS : follow(learned, entry, &touches, err);
	touches_deinit(&touches);
	if (r < 0)
		return learned_reload(learned, err);
	learned_publish(learned);
	return 0;
}
