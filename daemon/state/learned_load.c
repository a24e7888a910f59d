/* SPDX-License-Identifier: MIT */
/* daemon/state/learned_load.c: see learned_load.h. */
#include "daemon/state/learned_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/state/class_lessons.h"
#include "daemon/state/labels.h"
#include "daemon/state/record.h"
#include "lib/base/memory.h"
#include "proto/limits.h"

/* ---- items -> classes ---- */

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

enum { SHOWN_BYTES = LABEL_SHOWN_BYTES + 32 };

/* "class 2 (ring)": people know it by its newest label, if that can be read. */
static void class_shown(uint32_t id, const struct label *label, char text[SHOWN_BYTES])
{
	char name[LABEL_SHOWN_BYTES];
	if (id == CLASS_ID_NONE)
		snprintf(text, SHOWN_BYTES, "the negatives");
	else if (label->len_bytes > 0)
		snprintf(text, SHOWN_BYTES, "class %u (%s)", id, label_shown(name, label));
	else
		snprintf(text, SHOWN_BYTES, "class %u", id);
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
		roster_put(&learned->classes, node);
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
		if (learn_row_decode(learned->config->learner.width, learned->d, item->format, item->data,
			    item->len_bytes, &l->row, &why) < 0)
			learned_reason_add(learned, why.text);
		break;
	case STORE_LABEL:
		if (item->class_id != CLASS_ID_NONE) /* one that is not good leaves what there was */
			label_check_kept(item->data, item->len_bytes, &l->label, NULL);
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
	learned_reason_add(learned, text);
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

int learned_load_classes(struct learned *learned, uint64_t touched_by, struct err *err)
{
	struct loading loading = {.learned = learned};
	int r = touched_by ? store_load_touched(learned->store, touched_by, loading_item, loading_damage, &loading, err)
			   : store_load(learned->store, loading_item, loading_damage, &loading, err);
	loading_end(&loading);
	return r;
}

/* ---- everything ---- */

struct reading {
	struct learned *learned;
	struct label_wants labels;
};

static int reading_entry(void *ctx, const struct store_entry *stored)
{
	struct reading *r = ctx;
	struct change_entry *entry = record_decode(stored, &r->labels);
	learned_history_add(r->learned, entry, stored->undone);
	change_entry_unref(entry);
	return 0;
}

static int history_load(struct learned *learned, struct err *err)
{
	struct reading reading = {.learned = learned};
	int r = store_history(learned->store, 0, SNAPSHOT_HISTORY, reading_entry, &reading, err);
	int labels = labels_find(&reading.labels, learned->store, err);
	return r < 0 ? r : labels;
}

static int load_all(struct learned *learned, struct err *err)
{
	struct err why;
	roster_begin_many(&learned->classes);
	int r = learned_load_classes(learned, 0, err);
	if (r == 0)
		r = history_load(learned, err);
	if (r == 0)
		r = class_lessons_load(learned, err);
	if (r == 0)
		r = ranking_load(&learned->ranking, learned->store, &why, err);
	if (r == RANKING_NO_METRIC)
		learned_reason_add(learned, why.text);
	if (r >= 0)
		r = scene_rows_load(&learned->scene, learned->store, err);
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
