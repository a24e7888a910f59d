/* SPDX-License-Identifier: MIT */
/* lib/learn/metric_state.h: what metric_rows.c sees of the state, too. */
#pragma once

#include "lib/learn/metric.h"

enum { METRIC_SCATTER_UNIT = 1 << 8 }; /* the scatter is counted in 2^-8 */

struct metric_class {
	uint32_t id, n; /* n >= 1 pictures */
	int32_t *sum;   /* d: s_c */
};

struct metric {
	struct metric_shape shape;
	size_t d, n_classes, n_pictures;
	struct metric_class *classes;       /* by id */
	int64_t *within[METRIC_GROUPS_MAX]; /* W: a group's lower triangle, packed by rows */
};

/* Elements of the lower triangle of a p x p matrix. */
static inline size_t metric_triangle(size_t p)
{
	return p * (p + 1) / 2;
}
