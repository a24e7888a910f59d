/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/draw.c: see draw.h. */
#include "draw.h"

#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"

enum { USUAL = 20, EPOCH_CLASSES = 0, EPOCH_PICTURES = 1, EPOCH_PHOTOGRAPHS = 2 };

void indices_add(struct indices *list, uint32_t i)
{
	list->at = mem_grow(list->at, list->n, sizeof *list->at);
	list->at[list->n++] = i;
}

bool indices_have(const struct indices *list, uint32_t i)
{
	for (size_t k = 0; k < list->n; k++)
		if (list->at[k] == i)
			return true;
	return false;
}

/* Classes shuffle apart: what one has does not move the others. */
static void shuffle(const struct draw *draw, uint32_t what, uint32_t class, struct indices *list)
{
	uint32_t *order = mem_zalloc(list->n + 1, sizeof *order), *before = mem_dup(list->at, list->n * sizeof *order);
	random_shuffle(((uint64_t)draw->seed + 1) << 16 | class, what, list->n, order);
	for (size_t i = 0; i < list->n; i++)
		list->at[i] = before[order[i]];
	free(order);
	free(before);
}

/* Of the class's pictures, shuffled: the first of those that may be taught are the pool, others that may be asked are. */
static void split(struct draw *draw, uint32_t class, const struct indices *pictures)
{
	const struct set_file *set = draw->set;
	struct draw_class *c = &draw->classes[class];
	size_t n = 0;
	for (size_t i = 0; i < pictures->n; i++)
		n += (set->rows[pictures->at[i]].may & SET_MAY_TEACH) != 0;
	n = n * set->share / 100;
	n = n < set->pool ? n : set->pool;
	for (size_t i = 0; i < pictures->n; i++) {
		const uint32_t may = set->rows[pictures->at[i]].may;
		if ((may & SET_MAY_TEACH) && c->pool.n < n)
			indices_add(&c->pool, pictures->at[i]);
		else if ((may & SET_MAY_ASK) && c->asked.n < set->asked)
			indices_add(&c->asked, pictures->at[i]);
	}
}

static void sort_out(struct draw *draw, struct indices *pictures)
{
	const struct set_file *set = draw->set;
	uint32_t n_scenes = 0;
	for (size_t i = 0; i < set->n; i++)
		if (set->rows[i].kind == SET_EMPTY && set->rows[i].of >= n_scenes)
			n_scenes = set->rows[i].of + 1;
	for (uint32_t i = 0; i < set->n; i++) {
		const struct set_row row = set->rows[i];
		const bool here = n_scenes > 0 && row.of == draw->seed % n_scenes;
		struct draw_class *c = &draw->classes[row.class];
		if (row.kind == SET_PICTURE)
			indices_add(&pictures[row.class], i);
		else if (row.kind == SET_FRAME && (set->rows[i - 1].kind != SET_FRAME || set->rows[i - 1].of != row.of))
			indices_add(&c->photographs, i);
		else if (row.kind == SET_IN_SCENE && here)
			indices_add(&c->scene[row.may == SET_MAY_ASK], i);
		else if (row.kind == SET_EMPTY && here)
			indices_add(&draw->empty[row.may == SET_MAY_ASK], i);
	}
}

void draw_make(const struct set_file *set, uint32_t seed, struct draw *ret_draw)
{
	struct draw *draw = ret_draw;
	*draw = (struct draw){.set = set, .seed = seed};
	draw->classes = mem_zalloc(set->n_classes, sizeof *draw->classes);
	struct indices *pictures = mem_zalloc(set->n_classes, sizeof *pictures);
	sort_out(draw, pictures);
	for (uint32_t c = 0; c < set->n_classes; c++) {
		struct draw_class *class = &draw->classes[c];
		shuffle(draw, EPOCH_PICTURES, c, &pictures[c]);
		shuffle(draw, EPOCH_PHOTOGRAPHS, c, &class->photographs);
		split(draw, c, &pictures[c]);
		if (class->pool.n > 0 && class->asked.n > 0)
			indices_add(&draw->order, c);
		free(pictures[c].at);
	}
	shuffle(draw, EPOCH_CLASSES, 0, &draw->order);
	for (size_t i = 0; i < draw->order.n; i++) {
		const struct draw_class *class = &draw->classes[draw->order.at[i]];
		if (class->photographs.n > 0)
			indices_add(&draw->bursts, draw->order.at[i]);
		if (class->scene[0].n > 0 && class->scene[1].n > 0)
			indices_add(&draw->scenes, draw->order.at[i]);
	}
	free(pictures);
}

void draw_drop(struct draw *draw)
{
	for (size_t c = 0; c < draw->set->n_classes; c++) {
		free(draw->classes[c].pool.at);
		free(draw->classes[c].asked.at);
		free(draw->classes[c].photographs.at);
		free(draw->classes[c].scene[0].at);
		free(draw->classes[c].scene[1].at);
	}
	free(draw->classes);
	free(draw->order.at);
	free(draw->bursts.at);
	free(draw->scenes.at);
	free(draw->empty[0].at);
	free(draw->empty[1].at);
}

size_t draw_taught(const struct draw *draw, uint32_t class, size_t n)
{
	const size_t wanted = n == USUAL ? draw->set->usual : n, has = draw->classes[class].pool.n;
	return wanted < has ? wanted : has;
}

bool draw_has(const struct draw *draw, size_t n)
{
	size_t with = 0;
	for (size_t i = 0; i < draw->order.n; i++)
		with += draw->classes[draw->order.at[i]].pool.n >= (n == USUAL ? 1 : n);
	return 2 * with >= draw->order.n;
}
