/* SPDX-License-Identifier: MIT */
/* daemon/state/shared.h: what successive snapshots share: counted things, and sets of them that are copied with few counts.
 *
 * A snapshot differs from the one before by what one change touched; counting everything that it has, at its beginning and
 * at its end, would make each change cost as much as is known. So sets count groups, and groups count things. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

/* The first member of a thing. References may be dropped on any thread. */
struct shared {
	atomic_uint refs;
	void (*end)(struct shared *thing); /* frees it */
};
void shared_init(struct shared *thing, void (*end)(struct shared *thing)); /* one reference */
struct shared *shared_ref(struct shared *thing);
void shared_unref(struct shared *thing); /* NULL allowed */

enum { SHARED_GROUPS = 32 };
struct shared_group;

/* Things, one reference each, by a number (which several may have). A set is one thread's, its copies may be others'.
 * Zeroed: an empty one. A copy costs SHARED_GROUPS counts, a change after it as many as a group has things. */
struct shared_set {
	struct shared_group *groups[SHARED_GROUPS];
};
void shared_set_add(struct shared_set *set, uint64_t number, struct shared *thing); /* takes over the reference */
/* Drops its reference; it is there, under this number. */
void shared_set_remove(struct shared_set *set, uint64_t number, struct shared *thing);
void shared_set_copy(const struct shared_set *set, struct shared_set *ret_copy);
void shared_set_deinit(struct shared_set *set); /* and it is empty */
