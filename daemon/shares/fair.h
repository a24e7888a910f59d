/* SPDX-License-Identifier: MIT */
/* daemon/shares/fair.h: a queue that is fair to every user: users take turns, so do the connections of a user, and within a
 * connection what came first goes first. So whoever puts one thing in waits for at most one of each other user,
 * however much they have waiting; and for none, when all who wait had their turn since its own last one.
 *
 * It knows neither threads nor what waits in it; items are embedded in it. Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/list.h"

struct fair_owner {
	uid_t uid;
	uint64_t connection; /* its number */
};

struct fair_item {
	struct list link;
	struct fair_group *group; /* of its connection; NULL: it waits nowhere */
};

/* All users, one user, or one connection of it. */
struct fair_group {
	struct list link;
	struct fair_group *parent; /* NULL: all users */
	uint64_t key;              /* uid, number of the connection */
	size_t n;                  /* items in it */
	uint64_t turn;             /* its last, 0: none since it came */
	struct list fresh;         /* users without a turn yet: they are next */
	struct list served;        /* the other groups in it, the next one first, even if empty now; or its items */
};

struct fair_queue {
	struct fair_group all;
	uint64_t turns; /* taken so far */
};

/* Whose turn is next. */
struct fair_next {
	uid_t uid;
	uint64_t turn; /* its last one, by the queue's count; 0: it came since */
};

void fair_init(struct fair_queue *queue);
void fair_put(struct fair_queue *queue, struct fair_item *item, const struct fair_owner *owner);
struct fair_item *fair_take(struct fair_queue *queue);              /* NULL: nothing waits */
void fair_remove(struct fair_queue *queue, struct fair_item *item); /* which waits in it */
/* false: nothing waits. */
bool fair_next(const struct fair_queue *queue, struct fair_next *ret_next);

static inline bool fair_waits(const struct fair_item *item)
{
	return item->group != NULL;
}

static inline size_t fair_n(const struct fair_queue *queue)
{
	return queue->all.n;
}
