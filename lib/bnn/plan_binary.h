/* SPDX-License-Identifier: MIT */
/* lib/bnn/plan_binary.h: the constants of a binary convolution, for plan.c. */
#pragma once

#include "lib/bnn/plan.h"

/* Zeroed constant memory that lives as long as the plan; NULL with a sentence. */
void *plan_keep(struct plan *plan, size_t n, size_t bytes, struct err *err);
float *plan_keep_floats(struct plan *plan, const struct tensor *t, size_t n, struct err *err);

/* Weights, m and b, clamp, the pixels of the ringed map, and for true zero padding the border table. k->win is set.
 * The residual, prelu and sign that may follow are plan.c's. */
int plan_binary_constants(struct plan *plan, const struct graph *g, const struct graph_op *op,
	struct kernel_binary_conv *k, struct err *err);
