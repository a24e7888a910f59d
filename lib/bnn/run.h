/* SPDX-License-Identifier: MIT */
/* lib/bnn/run.h: steps of a plan one by one, for run.c and for tests that put operands where they can watch them. */
#pragma once

#include "lib/bnn/model.h"

struct bnn_run {
	const struct bnn_model *model;
	uint8_t *arena;
};

/* Where a step's operands lie: in a run's arena, or where a test puts them. NULL: the step has none. */
struct step_operands {
	const void *x;
	const float *v;
	float *y;
	uint64_t *bits;
	void *scratch;
	const float *const *parts; /* of concat */
};
void step_execute(const struct plan *plan, const struct plan_step *step, const struct step_operands *operands);

/* A buffer in a run's arena; NULL for PLAN_NO_BUFFER. */
void *run_buffer(const struct bnn_run *run, int buffer);
