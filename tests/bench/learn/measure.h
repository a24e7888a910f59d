/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/measure.h: a plan taught and asked by one method, and what comes of it. */
#pragma once

#include "reply.h"

/* Shares from 0 to 1; NAN: not asked, or the method has no such thing. Own: asked pictures of known classes; foreign: of
 * the same set's other classes. */
enum measure {
	OWN_RIGHT,   /* its class is ranked first */
	OWN_NAMED,   /* and it is known */
	OWN_REFUSED, /* whatever is ranked first */
	CLAIMED,     /* foreign, said to be known */
	CLAIMED_GENERIC,
	CLAIMED_BLURRED,
	CLAIMED_BLACK,
	CLAIMED_WHITE,
	CLAIMED_EMPTY,
	AREA,         /* under the ROC curve of the margin, own against foreign: 1 is best */
	AREA_GENERIC, /* own against generic pictures */
	CLAIMED_AT_2, /* foreign claimed where all thresholds of a draw are moved by as much as refuses 2 % of the own */
	CLAIMED_AT_5,
	CLAIMED_AT_10,
	CLAIMED_AT_15,
	CLAIMED_AT_20,
	CLAIMED_AT_30,
	UPDATES_LOST, /* of lessons; of CASE_AGAIN of the repeated ones */
	LESSON_MS,    /* milliseconds a lesson, training alone */
	MEASURES
};
extern const char *const measure_name[MEASURES];

/* The parts of a plan whose own pictures are measured apart: all, or those of classes of so many pictures. */
enum { PART_ALL, PART_UNEQUAL, PARTS = PART_UNEQUAL + CASE_UNEQUAL_COUNTS };

struct margins {
	size_t n;
	double *at; /* ascending */
};

struct outcome { /* margins are freed by outcome_drop; CLAIMED_AT is of many plans and NAN here */
	struct margins own, foreign;
	double value[MEASURES];
};
void outcome_drop(struct outcome *outcome);
/* Adds to *pool, which is all zero at first, the margins of another plan. */
void outcome_pool(struct outcome *pool, const struct outcome *outcome);
/* What is of many plans: the pool's own and foreign margins -> its values, NAN but for CLAIMED_AT. */
void outcome_of_pool(struct outcome *pool);
/* ret[PARTS]: PART_ALL alone but for CASE_UNEQUAL. */
void measure_plan(const struct draw *draw, const struct bench_case *what, const struct plan *plan,
	const struct learner_rule *rule, enum answerer by, struct outcome ret[PARTS]);
