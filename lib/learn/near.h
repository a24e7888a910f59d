/* SPDX-License-Identifier: MIT */
/* lib/learn/near.h: near-duplicates among the pictures of a lesson, which count as one.
 *
 * Frames of one burst say little more than one of them does, but would weigh as many. In index order each picture joins
 * the leader of its class that it is most like (the first of equals) if their cosine is at least theta, else it becomes a
 * leader itself. Leaders, not chains: a walk around a thing is no single group. doc/LEARNER.md, "Near-duplicates". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/learn/learn.h"

struct near_groups {
	size_t n;         /* groups, in the order of their leaders */
	uint32_t *leader; /* n: index of the picture */
	uint32_t *group;  /* of each picture */
};
/* Of n pictures q[n * d] of the classes y[n]. theta 0, and always in the reference preset: every picture is a group. stop
 * (NULL allowed) is asked now and then. Returns 0, or 1: stop said so, and there is nothing to free. */
int near_find(const struct learn_settings *settings, double theta, const int8_t *q, const uint32_t *y, size_t n,
	size_t d, bool (*stop)(void *ctx), void *stop_ctx, struct near_groups *ret_groups);
void near_groups_deinit(struct near_groups *groups);
/* What a row is trained on: a picture a group, the mean of its q rounded half to even; of a group whose mean rounds to
 * nothing its leader. n pictures in all; ret_q[groups->n * d], ret_y[groups->n]. */
void near_merge(const struct near_groups *groups, const int8_t *q, const uint32_t *y, size_t n, size_t d, int8_t *ret_q,
	uint32_t *ret_y);
