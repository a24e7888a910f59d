/* SPDX-License-Identifier: MIT */
/* lib/learn/near.c: see near.h. Invariant: integer dots, and cosines by x / and sqrt of doubles: the same groups everywhere. */
#include "lib/learn/near.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/learn/integer.h"

enum { ASK_STOP_EVERY = 64 };

struct near_search {
	const int8_t *q;
	const uint32_t *y;
	size_t d;
	double theta;
	double *norm; /* of each picture looked at */
	const struct near_groups *groups;
};

/* The group that the picture joins, or groups->n: none. */
static size_t search(const struct near_search *s, size_t picture)
{
	size_t best = s->groups->n;
	double greatest = 0;
	for (size_t g = 0; s->theta > 0 && g < s->groups->n; g++) {
		const size_t leader = s->groups->leader[g];
		const double length = s->norm[picture] * s->norm[leader];
		if (s->y[leader] != s->y[picture] || length <= 0)
			continue;
		const double cosine = dot_i8(s->q + picture * s->d, s->q + leader * s->d, s->d) / length;
		if (cosine < s->theta || (best < s->groups->n && cosine <= greatest))
			continue;
		greatest = cosine;
		best = g;
	}
	return best;
}

int near_find(const struct learn_settings *settings, double theta, const int8_t *q, const uint32_t *y, size_t n,
	size_t d, bool (*stop)(void *ctx), void *stop_ctx, struct near_groups *ret_groups)
{
	struct near_groups groups = {
		.leader = mem_zalloc(n, sizeof *groups.leader), .group = mem_zalloc(n, sizeof *groups.group)};
	struct near_search s = {.q = q,
		.y = y,
		.d = d,
		.theta = settings->preset == LEARN_REFERENCE ? 0 : theta,
		.norm = mem_zalloc(n, sizeof *s.norm),
		.groups = &groups};
	bool stopped = false;
	for (size_t j = 0; j < n && !stopped; j++) {
		s.norm[j] = sqrt((double)dot_i8(q + j * d, q + j * d, d));
		const size_t g = search(&s, j);
		if (g == groups.n)
			groups.leader[groups.n++] = (uint32_t)j;
		groups.group[j] = (uint32_t)g;
		stopped = stop && j % ASK_STOP_EVERY == ASK_STOP_EVERY - 1 && stop(stop_ctx);
	}
	free(s.norm);
	if (stopped) {
		near_groups_deinit(&groups);
		return 1;
	}
	*ret_groups = groups;
	return 0;
}

void near_groups_deinit(struct near_groups *groups)
{
	free(groups->leader);
	free(groups->group);
	*groups = (struct near_groups){0};
}

/* The rounded mean of one group's pictures; of such whose mean rounds to nothing the leader. */
static void merge_one(const struct near_groups *groups, size_t g, const int8_t *q, size_t n, size_t d, int8_t *ret_q)
{
	const size_t leader = groups->leader[g];
	int64_t *sum = mem_zalloc(d, sizeof *sum), count = 0;
	bool any = false;
	for (size_t j = leader; j < n; j++) {
		if (groups->group[j] != g)
			continue;
		count++;
		for (size_t i = 0; i < d; i++)
			sum[i] += q[j * d + i];
	}
	for (size_t i = 0; i < d; i++) {
		ret_q[i] = (int8_t)divide_even(sum[i], count);
		any = any || ret_q[i] != 0;
	}
	if (!any)
		memcpy(ret_q, q + leader * d, d);
	free(sum);
}

void near_merge(const struct near_groups *groups, const int8_t *q, const uint32_t *y, size_t n, size_t d, int8_t *ret_q,
	uint32_t *ret_y)
{
	for (size_t g = 0; g < groups->n; g++) {
		merge_one(groups, g, q, n, d, ret_q + g * d);
		ret_y[g] = y[groups->leader[g]];
	}
}
