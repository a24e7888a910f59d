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
	CLAIMED_AT_2, /* foreign claimed where thresholds are all moved by as much as refuses 2 % of the own */
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

struct outcome {
	size_t n_own, n_foreign;
	double value[MEASURES];
};
/* ret[PARTS]: PART_ALL alone but for CASE_UNEQUAL. */
void measure_plan(const struct draw *draw, const struct bench_case *what, const struct plan *plan,
	const struct learner_rule *rule, enum answerer by, struct outcome ret[PARTS]);
