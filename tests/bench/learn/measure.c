/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/measure.c: see measure.h. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"

static const double NOT_ASKED = NAN;

const char *const measure_name[MEASURES] = {"right", "named", "refused", "claimed", "generic", "blurred", "black",
	"white", "empty", "auroc", "auroc_generic", "claimed_at_2", "claimed_at_5", "claimed_at_10", "claimed_at_15",
	"claimed_at_20", "claimed_at_30", "lost", "ms"};
static const struct {
	enum measure measure;
	double refused;
} at_share[] = {{CLAIMED_AT_2, 0.02}, {CLAIMED_AT_5, 0.05}, {CLAIMED_AT_10, 0.10}, {CLAIMED_AT_15, 0.15},
	{CLAIMED_AT_20, 0.20}, {CLAIMED_AT_30, 0.30}};
static const enum measure claimed_of[SET_KINDS] = {[SET_GENERIC] = CLAIMED_GENERIC,
	[SET_BLURRED] = CLAIMED_BLURRED,
	[SET_BLACK] = CLAIMED_BLACK,
	[SET_WHITE] = CLAIMED_WHITE,
	[SET_EMPTY] = CLAIMED_EMPTY};

/* ---- margins ---- */

static int ascending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void margins_add(struct margins *m, double value)
{
	m->at = mem_grow(m->at, m->n, sizeof *m->at);
	m->at[m->n++] = value;
}

static void margins_sort(struct margins *m)
{
	if (m->n > 0)
		qsort(m->at, m->n, sizeof *m->at, ascending);
}

static size_t below(const struct margins *m, double value, bool or_equal)
{
	size_t low = 0, high = m->n;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (m->at[middle] < value || (or_equal && m->at[middle] == value))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The share of pairs in which the own one has the greater margin; equal ones count half. Both sorted. */
static double area(const struct margins *own, const struct margins *foreign)
{
	double sum = 0;
	for (size_t i = 0; i < own->n; i++)
		sum += (double)(below(foreign, own->at[i], false) + below(foreign, own->at[i], true)) / 2;
	return own->n && foreign->n ? sum / (double)own->n / (double)foreign->n : NOT_ASKED;
}

static double claimed_at(const struct margins *own, const struct margins *foreign, double refused)
{
	if (own->n == 0 || foreign->n == 0)
		return NAN;
	const double threshold = own->at[(size_t)(refused * (double)own->n)];
	return (double)(foreign->n - below(foreign, threshold, false)) / (double)foreign->n;
}

/* ---- what was asked ---- */

/* The plan's pictures, then what is asked of every plan: pictures that were never taught; before a scene that, empty. */
static struct indices all_asked(const struct draw *draw, const struct bench_case *what, const struct plan *plan)
{
	struct indices all = {0};
	for (size_t i = 0; i < plan->asked.n; i++)
		indices_add(&all, plan->asked.at[i]);
	for (uint32_t i = 0; i < draw->set->n; i++)
		if (draw->set->rows[i].kind >= SET_GENERIC)
			indices_add(&all, i);
	for (size_t i = 0; what->way == CASE_SCENE && i < draw->empty[1].n; i++)
		indices_add(&all, draw->empty[1].at[i]);
	return all;
}

static bool in_part(const struct plan *plan, uint32_t class, int part)
{
	return part == PART_ALL || plan->group[class] == (size_t)(part - PART_UNEQUAL);
}

struct tally { /* a share that grows */
	double yes, n;
};

static void add(struct tally *tally, bool yes)
{
	tally->yes += yes;
	tally->n++;
}

static void judge(const struct draw *draw, const struct plan *plan, const struct indices *asked,
	const struct reply *replies, bool has_threshold, int part, struct outcome *ret)
{
	struct tally tally[MEASURES] = {0};
	struct margins generic = {0};
	*ret = (struct outcome){0};
	for (size_t i = 0; i < asked->n; i++) {
		const struct set_row row = draw->set->rows[asked->at[i]];
		const struct reply r = replies[i];
		if (row.kind >= SET_GENERIC || row.kind == SET_EMPTY) {
			add(&tally[claimed_of[row.kind]], r.known);
			if (row.kind == SET_GENERIC)
				margins_add(&generic, r.margin);
		} else if (!indices_have(&plan->known, row.class)) {
			add(&tally[CLAIMED], r.known);
			margins_add(&ret->foreign, r.margin);
		} else if (in_part(plan, row.class, part)) {
			add(&tally[OWN_RIGHT], r.id == row.class + 1);
			add(&tally[OWN_NAMED], r.id == row.class + 1 && r.known);
			add(&tally[OWN_REFUSED], !r.known);
			margins_add(&ret->own, r.margin);
		}
	}
	margins_sort(&ret->own);
	margins_sort(&ret->foreign);
	margins_sort(&generic);
	for (int m = 0; m < MEASURES; m++)
		ret->value[m] =
			tally[m].n > 0 && (has_threshold || m == OWN_RIGHT) ? tally[m].yes / tally[m].n : NOT_ASKED;
	ret->value[AREA] = area(&ret->own, &ret->foreign);
	ret->value[AREA_GENERIC] = area(&ret->own, &generic);
	free(generic.at);
}

void outcome_drop(struct outcome *outcome)
{
	free(outcome->own.at);
	free(outcome->foreign.at);
}

void outcome_pool(struct outcome *pool, const struct outcome *outcome)
{
	for (size_t i = 0; i < outcome->own.n; i++)
		margins_add(&pool->own, outcome->own.at[i]);
	for (size_t i = 0; i < outcome->foreign.n; i++)
		margins_add(&pool->foreign, outcome->foreign.at[i]);
}

void outcome_of_pool(struct outcome *pool)
{
	margins_sort(&pool->own);
	margins_sort(&pool->foreign);
	for (int m = 0; m < MEASURES; m++)
		pool->value[m] = NOT_ASKED;
	for (size_t i = 0; i < sizeof at_share / sizeof *at_share; i++)
		pool->value[at_share[i].measure] = claimed_at(&pool->own, &pool->foreign, at_share[i].refused);
}

void measure_plan(const struct draw *draw, const struct bench_case *what, const struct plan *plan,
	const struct learner_rule *rule, enum answerer by, struct outcome ret[PARTS])
{
	const bool has_threshold = by == BY_OURS || by == BY_CWR;
	struct indices asked = all_asked(draw, what, plan);
	struct reply *replies = mem_zalloc(asked.n, sizeof *replies);
	struct learner_report report;
	replies_make(draw, what, plan, rule, by, &asked, replies, &report);
	for (int part = 0; part < (what->way == CASE_UNEQUAL ? PARTS : 1); part++) {
		judge(draw, plan, &asked, replies, has_threshold, part, &ret[part]);
		ret[part].value[UPDATES_LOST] =
			report.updates ? (double)report.lost / (double)report.updates : NOT_ASKED;
		ret[part].value[LESSON_MS] = report.lessons ? report.us / 1e3 / (double)report.lessons : NOT_ASKED;
	}
	free(replies);
	free(asked.at);
}
