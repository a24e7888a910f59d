/* SPDX-License-Identifier: MIT */
/* daemon/state/scene_rows.c: see scene_rows.h. Memory has rows alone: the pictures are read from the store. */
#include "daemon/state/scene_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/state/sample.h"
#include "lib/base/memory.h"

/* ---- rows ---- */

static void class_end(struct shared *thing)
{
	struct scene_class *class = (struct scene_class *)thing;
	learn_row_free(class->row);
	free(class);
}

/* Where the class is, or belongs: the first that is not smaller. */
static size_t place_of(const struct scene_rows *rows, uint32_t id)
{
	size_t low = 0, high = rows->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (rows->classes[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* row NULL: it has none any more. */
static void put_row(struct scene_rows *rows, uint32_t id, struct learn_row *row)
{
	const size_t at = place_of(rows, id);
	if (at < rows->n && rows->classes[at]->id == id) {
		shared_set_remove(&rows->set, id, &rows->classes[at]->shared);
		memmove(rows->classes + at, rows->classes + at + 1, (--rows->n - at) * sizeof *rows->classes);
	}
	if (!row)
		return;
	struct scene_class *class = mem_zalloc(1, sizeof *class);
	shared_init(&class->shared, class_end);
	class->id = id;
	class->row = row;
	rows->classes = mem_grow(rows->classes, rows->n, sizeof(struct scene_class *));
	memmove(rows->classes + at + 1, rows->classes + at, (rows->n++ - at) * sizeof *rows->classes);
	rows->classes[at] = class;
	shared_set_add(&rows->set, id, &class->shared);
}

/* ---- kept pictures -> rows ---- */

struct collecting { /* the pictures of one class after the other */
	struct scene_rows *rows;
	uint32_t id;
	size_t n;
	int8_t *q; /* n x d */
};

static void collected(struct collecting *c)
{
	struct scene_rows *rows = c->rows;
	if (c->n > 0 && c->id != CLASS_ID_NONE)
		put_row(rows, c->id, scene_row_new(rows->scene, &rows->settings, rows->near, c->q, c->n));
	c->n = 0;
}

static int collect(void *ctx, enum store_step step, const struct store_item *item)
{
	struct collecting *c = ctx;
	const size_t d = c->rows->d;
	const int8_t *q = sample_features(item, d);
	(void)step;
	if (c->id != item->class_id)
		collected(c);
	c->id = item->class_id;
	if (!q)
		return 0;
	c->q = mem_grow(c->q, c->n, d);
	memcpy(c->q + c->n++ * d, q, d);
	return 0;
}

static int load_scene(struct scene_rows *rows, struct store *store, struct err *err)
{
	struct collecting none = {.rows = rows, .id = CLASS_ID_NONE};
	int r = store_class_samples(store, CLASS_ID_NONE, collect, &none, err);
	if (r == 0 && none.n > 0)
		rows->scene = scene_new(&rows->constants, none.q, none.n, rows->d, &rows->alike);
	rows->n_pictures = none.n;
	free(none.q);
	return r;
}

static int load_class(struct scene_rows *rows, struct store *store, uint32_t id, struct err *err)
{
	struct collecting class = {.rows = rows, .id = id};
	put_row(rows, id, NULL);
	int r = store_class_samples(store, id, collect, &class, err);
	if (r == 0)
		collected(&class);
	free(class.q);
	return r;
}

static int load_classes(struct scene_rows *rows, struct store *store, struct err *err)
{
	struct collecting all = {.rows = rows};
	int r = store_samples(store, store_seq(store), collect, &all, err);
	if (r == 0)
		collected(&all);
	free(all.q);
	return r;
}

/* ---- the whole ---- */

void scene_rows_init(struct scene_rows *rows, const char *off, const struct learn_settings *settings,
	const struct scene_constants *constants, double near, size_t d)
{
	*rows = (struct scene_rows){.off = off, .settings = *settings, .constants = *constants, .near = near, .d = d};
}

void scene_rows_drop(struct scene_rows *rows)
{
	scene_free(rows->scene);
	rows->scene = NULL;
	rows->alike = 0;
	rows->n_pictures = 0;
	shared_set_deinit(&rows->set);
	free(rows->classes);
	rows->classes = NULL;
	rows->n = 0;
}

int scene_rows_load(struct scene_rows *rows, struct store *store, struct err *err)
{
	scene_rows_drop(rows);
	int r = rows->off ? 0 : load_scene(rows, store, err);
	if (r == 0 && rows->scene)
		r = load_classes(rows, store, err);
	return r;
}

struct touching {
	size_t n;
	uint32_t *ids;
	bool none;
};

static void touch(void *ctx, uint32_t class_id)
{
	struct touching *t = ctx;
	t->none = t->none || class_id == CLASS_ID_NONE;
	t->ids = mem_grow(t->ids, t->n, sizeof *t->ids);
	t->ids[t->n++] = class_id;
}

static int ascending(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

int scene_rows_follow(struct scene_rows *rows, struct store *store, uint64_t seq, struct err *err)
{
	struct touching t = {0};
	int r = rows->off ? 0 : store_touched(store, seq, touch, &t, err);
	if (r == 0 && t.none) {
		r = scene_rows_load(rows, store, err);
	} else if (r == 0 && rows->scene && t.n > 0) {
		qsort(t.ids, t.n, sizeof *t.ids, ascending);
		for (size_t i = 0; r == 0 && i < t.n; i++)
			if (i == 0 || t.ids[i] != t.ids[i - 1])
				r = load_class(rows, store, t.ids[i], err);
	}
	free(t.ids);
	return r;
}

void scene_rows_why(const struct scene_rows *rows, bool has_none, size_t n_classes, char ret_why[SCENE_WHY_BYTES])
{
	ret_why[0] = 0;
	if (rows->off)
		snprintf(ret_why, SCENE_WHY_BYTES, "%s", rows->off);
	else if (has_none && rows->n_pictures == 0)
		snprintf(ret_why, SCENE_WHY_BYTES, "no picture of none is kept with its features");
	else if (has_none && !rows->scene)
		snprintf(ret_why, SCENE_WHY_BYTES,
			"the pictures of none are too unlike to be one scene, so none is taken away: the mean cosine "
			"of two is %.2f, not above %.2f",
			rows->alike, rows->constants.cosine * rows->constants.cosine);
	else if (rows->scene && rows->n < n_classes)
		snprintf(ret_why, SCENE_WHY_BYTES,
			"%zu of %zu classes are judged in the scene, as no picture of theirs is kept with its "
			"features: "
			"forget and teach them again",
			n_classes - rows->n, n_classes);
}

void scene_rows_give(const struct scene_rows *rows, struct learn_head *head, const struct learn_head *before)
{
	if (!rows->scene)
		return;
	const struct learn_row **list = mem_zalloc(rows->n + 1, sizeof *list);
	uint32_t *ids = mem_zalloc(rows->n + 1, sizeof *ids);
	for (size_t i = 0; i < rows->n; i++) {
		list[i] = rows->classes[i]->row;
		ids[i] = rows->classes[i]->id;
	}
	learn_head_take_away(head, rows->scene, &rows->settings, list, ids, rows->n, before);
	free(list);
	free(ids);
}
