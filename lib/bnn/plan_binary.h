/* SPDX-License-Identifier: MIT */
/* lib/bnn/plan_binary.h: the constants of a binary convolution, for plan.c. */
#pragma once

#include "lib/bnn/constants.h"
#include "lib/bnn/graph.h"
#include "lib/bnn/kernels/kernels.h"

/* Weights, m and b, clamp, the pixels of the ringed map, and for true zero padding the border table; they live as long
 * as `constants`. k->win is set. The residual, prelu and sign that may follow are plan.c's. */
int plan_binary_constants(struct constants *constants, const struct kernels *kernels, const struct graph *g,
	const struct graph_op *op, struct kernel_binary_conv *k, struct err *err);
