/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/plan.h: the cases that are measured, and the plans of a draw for them: which pictures are taught in
 * which lessons, and which are asked. */
#pragma once

#include "draw.h"

enum case_who { CASE_ALL, CASE_HALF, CASE_FIVE, CASE_ONE }; /* how many classes are known */
enum case_way {
	CASE_TOGETHER, /* a class's pictures in one lesson, each class in one */
	CASE_UNEQUAL,  /* the same; one class has 1, the next 3, 10, 50, 200; with n 1 all have one, to compare with */
	CASE_APART,    /* lessons of one picture, class by class in turn */
	CASE_AGAIN,    /* then lessons of all until CASE_AGAIN_STEPS steps are done */
	CASE_BURSTS,   /* frames of photographs, and others */
	CASE_SCENE,    /* things before a static scene */
};
enum { CASE_UNEQUAL_COUNTS = 5, CASE_AGAIN_STEPS = 1000 };
extern const size_t case_unequal_count[CASE_UNEQUAL_COUNTS]; /* 1, 3, 10, 50, 200 */

struct bench_case {
	const char *name; /* its group before the first '-' */
	enum case_who who;
	enum case_way way;
	size_t n;                   /* pictures a class; of CASE_BURSTS single ones beside the bursts */
	size_t together;            /* classes a lesson; 0: all */
	size_t photographs, frames; /* of CASE_BURSTS; frames 0: the photograph itself */
	bool none;                  /* of CASE_SCENE: the empty scene is taught as none, first */
};
extern const struct bench_case bench_cases_table[];
extern const size_t bench_cases_count;

struct plan {
	size_t n_lessons, again_from; /* lessons from there on are repeated */
	struct indices *lessons;      /* of pictures; SET_EMPTY is taught as none */
	struct indices known;         /* classes */
	struct indices asked;         /* pictures of all classes; of the known: own */
	size_t n_taught;              /* pictures of known classes */
	size_t *group;                /* by class: of CASE_UNEQUAL which count it has, or would have */
};
/* All plans of a case; *ret_n 0 where the set has not enough for it. Each is dropped with plan_drop, then free. */
struct plan *plans_make(const struct draw *draw, const struct bench_case *what, size_t *ret_n);
void plan_drop(struct plan *plan);
