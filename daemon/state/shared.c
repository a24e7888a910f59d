/* SPDX-License-Identifier: MIT */
/* daemon/state/shared.c: see shared.h. Invariant: a group that two sets have never changes. */
#include "daemon/state/shared.h"

#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"

struct shared_group {
	struct shared shared; /* first */
	size_t n;
	struct shared **list;
};

void shared_init(struct shared *thing, void (*end)(struct shared *thing))
{
	atomic_init(&thing->refs, 1);
	thing->end = end;
}

struct shared *shared_ref(struct shared *thing)
{
	atomic_fetch_add_explicit(&thing->refs, 1, memory_order_relaxed);
	return thing;
}

void shared_unref(struct shared *thing)
{
	if (thing && atomic_fetch_sub_explicit(&thing->refs, 1, memory_order_acq_rel) == 1)
		thing->end(thing);
}

static void group_end(struct shared *thing)
{
	struct shared_group *group = (struct shared_group *)thing;
	for (size_t i = 0; i < group->n; i++)
		shared_unref(group->list[i]);
	free(group->list);
	free(group);
}

static struct shared_group *group_new(void)
{
	struct shared_group *group = mem_zalloc(1, sizeof *group);
	shared_init(&group->shared, group_end);
	return group;
}

/* The group of the number, this set's alone: what another set has, too, is copied first. */
static struct shared_group *group_own(struct shared_set *set, uint64_t number)
{
	struct shared_group **at = &set->groups[number % SHARED_GROUPS], *old = *at;
	/* Only whoever has a set with it can count it up: 1 stays 1. */
	if (old && atomic_load_explicit(&old->shared.refs, memory_order_acquire) == 1)
		return old;
	*at = group_new();
	for (size_t i = 0; old && i < old->n; i++) {
		(*at)->list = mem_grow((*at)->list, i, sizeof *(*at)->list);
		(*at)->list[(*at)->n++] = shared_ref(old->list[i]);
	}
	if (old)
		shared_unref(&old->shared);
	return *at;
}

void shared_set_add(struct shared_set *set, uint64_t number, struct shared *thing)
{
	struct shared_group *group = group_own(set, number);
	group->list = mem_grow(group->list, group->n, sizeof *group->list);
	group->list[group->n++] = thing;
}

void shared_set_remove(struct shared_set *set, uint64_t number, struct shared *thing)
{
	struct shared_group *group = group_own(set, number);
	size_t i = 0;
	while (i < group->n && group->list[i] != thing)
		i++;
	REQUIRE(i < group->n);
	group->list[i] = group->list[--group->n];
	shared_unref(thing);
}

void shared_set_copy(const struct shared_set *set, struct shared_set *ret_copy)
{
	*ret_copy = *set;
	for (size_t i = 0; i < SHARED_GROUPS; i++)
		if (set->groups[i])
			shared_ref(&set->groups[i]->shared);
}

void shared_set_deinit(struct shared_set *set)
{
	for (size_t i = 0; i < SHARED_GROUPS; i++)
		if (set->groups[i])
			shared_unref(&set->groups[i]->shared);
	*set = (struct shared_set){0};
}
