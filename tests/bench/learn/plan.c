/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/plan.c: see plan.h. */
#include "plan.h"

#include <stdlib.h>

#include "lib/base/memory.h"

enum { FIVE = 5, ONES_MAX = 10, FIVES_MAX = 4, UNEQUAL_LEAST = 50 };
const size_t case_unequal_count[CASE_UNEQUAL_COUNTS] = {1, 3, 10, 50, 200};

#define TOGETHER(name, who, n)                                                                                         \
	{                                                                                                              \
		name, who, CASE_TOGETHER, n, .together = 1                                                             \
	}
#define BURSTS(name, who, photographs, frames, singles)                                                                \
	{                                                                                                              \
		name, who, CASE_BURSTS, singles, 1, photographs, frames, false                                         \
	}
const struct bench_case bench_cases_table[] = {
	TOGETHER("all-1", CASE_ALL, 1),
	TOGETHER("all-2", CASE_ALL, 2),
	TOGETHER("all-3", CASE_ALL, 3),
	TOGETHER("all-5", CASE_ALL, 5),
	TOGETHER("all-20", CASE_ALL, 20),
	TOGETHER("all-100", CASE_ALL, 100),
	TOGETHER("all-200", CASE_ALL, 200),
	TOGETHER("half-20", CASE_HALF, 20),
	TOGETHER("five-1", CASE_FIVE, 1),
	TOGETHER("five-2", CASE_FIVE, 2),
	TOGETHER("five-3", CASE_FIVE, 3),
	TOGETHER("five-5", CASE_FIVE, 5),
	TOGETHER("five-20", CASE_FIVE, 20),
	TOGETHER("five-100", CASE_FIVE, 100),
	TOGETHER("one-1", CASE_ONE, 1),
	TOGETHER("one-2", CASE_ONE, 2),
	TOGETHER("one-3", CASE_ONE, 3),
	TOGETHER("one-5", CASE_ONE, 5),
	TOGETHER("one-20", CASE_ONE, 20),
	TOGETHER("one-100", CASE_ONE, 100),
	{"unequal", CASE_ALL, CASE_UNEQUAL, 200, .together = 1},
	{"unequal-ones", CASE_ALL, CASE_UNEQUAL, 1, .together = 1},
	BURSTS("photo-one", CASE_ONE, 1, 0, 0),
	BURSTS("photo-five", CASE_FIVE, 1, 0, 0),
	BURSTS("frame-one", CASE_ONE, 1, 1, 0),
	BURSTS("frame-five", CASE_FIVE, 1, 1, 0),
	BURSTS("burst-one", CASE_ONE, 1, 20, 0),
	BURSTS("burst-five", CASE_FIVE, 1, 20, 0),
	BURSTS("views-one", CASE_ONE, 2, 10, 0),
	BURSTS("views-five", CASE_FIVE, 2, 10, 0),
	BURSTS("three-one", CASE_ONE, 3, 10, 0),
	BURSTS("three-five", CASE_FIVE, 3, 10, 0),
	BURSTS("mixed-one", CASE_ONE, 1, 10, 5),
	BURSTS("mixed-five", CASE_FIVE, 1, 10, 5),
	{"apart-all", CASE_ALL, CASE_APART, 20, .together = 1},
	{"apart-five", CASE_FIVE, CASE_APART, 20, .together = 1},
	{"apart-one", CASE_ONE, CASE_APART, 20, .together = 1},
	{"scene-bare-one", CASE_ONE, CASE_SCENE, 20, .together = 1},
	{"scene-none-one", CASE_ONE, CASE_SCENE, 20, .together = 1, .none = true},
	{"scene-bare-five", CASE_FIVE, CASE_SCENE, 20, .together = 1},
	{"scene-none-five", CASE_FIVE, CASE_SCENE, 20, .together = 1, .none = true},
	{"lesson-2", CASE_ALL, CASE_TOGETHER, 20, .together = 2},
	{"lesson-all", CASE_ALL, CASE_TOGETHER, 20, .together = 0},
	{"again", CASE_ALL, CASE_AGAIN, 20, .together = 1},
	TOGETHER("size-31", CASE_ALL, 31),
	TOGETHER("size-32", CASE_ALL, 32),
	TOGETHER("size-33", CASE_ALL, 33),
	TOGETHER("size-40", CASE_ALL, 40),
	TOGETHER("size-63", CASE_ALL, 63),
	TOGETHER("size-64", CASE_ALL, 64),
	TOGETHER("size-65", CASE_ALL, 65),
};
const size_t bench_cases_count = sizeof bench_cases_table / sizeof *bench_cases_table;

static struct indices *new_lesson(struct plan *plan)
{
	plan->lessons = mem_grow(plan->lessons, plan->n_lessons, sizeof *plan->lessons);
	plan->lessons[plan->n_lessons] = (struct indices){0};
	return &plan->lessons[plan->n_lessons++];
}

static void teach(struct plan *plan, struct indices *lesson, uint32_t picture)
{
	indices_add(lesson, picture);
	plan->n_taught++;
}

/* ---- lessons ---- */

static void teach_together(struct plan *plan, const struct draw *draw, const struct bench_case *what, size_t together)
{
	struct indices *lesson = NULL;
	for (size_t i = 0; i < plan->known.n; i++) {
		const uint32_t class = plan->known.at[i];
		plan->group[class] = i % CASE_UNEQUAL_COUNTS;
		const bool unequal = what->way == CASE_UNEQUAL && what->n > 1;
		const size_t taught =
			draw_taught(draw, class, unequal ? case_unequal_count[plan->group[class]] : what->n);
		if (i % together == 0)
			lesson = new_lesson(plan);
		for (size_t k = 0; k < taught; k++)
			teach(plan, lesson, draw->classes[class].pool.at[k]);
	}
}

static void teach_apart(struct plan *plan, const struct draw *draw, const struct bench_case *what)
{
	for (size_t k = 0; k < what->n; k++)
		for (size_t i = 0; i < plan->known.n; i++)
			if (k < draw_taught(draw, plan->known.at[i], what->n))
				teach(plan, new_lesson(plan), draw->classes[plan->known.at[i]].pool.at[k]);
}

/* ret_used: the photographs, which must not be asked. */
static void teach_bursts(
	struct plan *plan, const struct draw *draw, const struct bench_case *what, struct indices *ret_used)
{
	for (size_t i = 0; i < plan->known.n; i++) {
		const struct draw_class *class = &draw->classes[plan->known.at[i]];
		struct indices *lesson = new_lesson(plan);
		for (size_t p = 0; p < what->photographs && p < class->photographs.n; p++) {
			const uint32_t first = class->photographs.at[p], photograph = draw->set->rows[first].of;
			indices_add(ret_used, photograph);
			if (what->frames == 0)
				teach(plan, lesson, photograph);
			for (uint32_t f = 0; f < what->frames; f++)
				teach(plan, lesson, first + f);
		}
		for (size_t k = 0, left = what->n; k < class->pool.n && left > 0; k++) {
			if (indices_have(ret_used, class->pool.at[k]))
				continue;
			teach(plan, lesson, class->pool.at[k]);
			left--;
		}
	}
}

static void teach_scene(struct plan *plan, const struct draw *draw, const struct bench_case *what)
{
	if (what->none) {
		struct indices *lesson = new_lesson(plan);
		for (size_t i = 0; i < draw->empty[0].n; i++)
			indices_add(lesson, draw->empty[0].at[i]);
	}
	for (size_t i = 0; i < plan->known.n; i++) {
		const struct indices *things = &draw->classes[plan->known.at[i]].scene[0];
		struct indices *lesson = new_lesson(plan);
		for (size_t k = 0; k < what->n && k < things->n; k++)
			teach(plan, lesson, things->at[k]);
	}
}

/* ---- plans ---- */

static void ask(struct plan *plan, const struct draw *draw, bool scene, const struct indices *used)
{
	const struct indices *classes = scene ? &draw->scenes : &draw->order;
	for (size_t i = 0; i < classes->n; i++) {
		const struct draw_class *class = &draw->classes[classes->at[i]];
		const struct indices *from = scene ? &class->scene[1] : &class->asked;
		for (size_t k = 0; k < from->n; k++)
			if (!indices_have(used, from->at[k]))
				indices_add(&plan->asked, from->at[k]);
	}
}

static void plan_make(const struct draw *draw, const struct bench_case *what, const uint32_t *classes, size_t n,
	struct plan *ret_plan)
{
	struct plan *plan = ret_plan;
	struct indices used = {0};
	*plan = (struct plan){.group = mem_zalloc(draw->set->n_classes, sizeof *plan->group)};
	for (size_t i = 0; i < n; i++)
		indices_add(&plan->known, classes[i]);
	const size_t together = what->together ? what->together : n;
	if (what->way == CASE_TOGETHER || what->way == CASE_UNEQUAL || what->way == CASE_AGAIN)
		teach_together(plan, draw, what, together);
	else if (what->way == CASE_APART)
		teach_apart(plan, draw, what);
	else if (what->way == CASE_BURSTS)
		teach_bursts(plan, draw, what, &used);
	else
		teach_scene(plan, draw, what);
	plan->again_from = plan->n_lessons;
	if (what->way == CASE_AGAIN)
		teach_together(plan, draw, what, n);
	ask(plan, draw, what->way == CASE_SCENE, &used);
	free(used.at);
}

struct plan *plans_make(const struct draw *draw, const struct bench_case *what, size_t *ret_n)
{
	const struct indices *from = what->way == CASE_BURSTS  ? &draw->bursts
				     : what->way == CASE_SCENE ? &draw->scenes
							       : &draw->order;
	size_t each = from->n, most = 1;
	if (what->who == CASE_HALF)
		each = from->n / 2;
	if (what->who == CASE_FIVE) { /* of four classes three: others must be left */
		each = from->n > FIVE ? FIVE : from->n - (from->n > 0);
		most = FIVES_MAX;
	}
	if (what->who == CASE_ONE) {
		each = 1;
		most = ONES_MAX;
	}
	const bool enough = what->way == CASE_BURSTS || what->way == CASE_SCENE ||
			    draw_has(draw, what->way == CASE_UNEQUAL ? UNEQUAL_LEAST : what->n);
	*ret_n = 0;
	struct plan *plans = mem_zalloc(most, sizeof *plans);
	for (size_t at = 0; enough && each > 0 && at + each <= from->n && *ret_n < most; at += each)
		plan_make(draw, what, from->at + at, each, &plans[(*ret_n)++]);
	return plans;
}

void plan_drop(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_lessons; i++)
		free(plan->lessons[i].at);
	free(plan->lessons);
	free(plan->known.at);
	free(plan->asked.at);
	free(plan->group);
}
