/* SPDX-License-Identifier: MIT */
/* daemon/state/roster.h: the classes that are known, in the orders in which they are asked for. The learned state has one
 * that moves; a snapshot has a copy. A class put in or taken out costs a search and a move of pointers, a copy the pointers
 * and a few counts (shared.h). */
#pragma once

#include <stdbool.h>

#include "daemon/state/class_node.h"

struct roster { /* zeroed: an empty one */
	size_t n, n_named;
	const struct class_entry **by_id;    /* n, none (0) among them */
	const struct class_entry **by_label; /* n_named: without none; bytes of the label, then id */
	const struct class_entry **by_key;   /* the same by key, then as above */
	bool unordered;                      /* by_label and by_key are made by the next copy */
	struct shared_set nodes;
};
/* Many are put one after the other: the labels are put in order once, by the next copy. */
void roster_begin_many(struct roster *roster);
/* Puts a class in its place, instead of the one of its id; takes one out (NULL: there is none). References move. */
void roster_put(struct roster *roster, struct class_node *node);
struct class_node *roster_take(struct roster *roster, uint32_t id);
struct class_node *roster_find(const struct roster *roster, uint32_t id); /* NULL: there is none */
void roster_copy(struct roster *roster, struct roster *ret_copy);
void roster_deinit(struct roster *roster); /* and it is empty */
