/* SPDX-License-Identifier: MIT */
/* daemon/state/class_node.h: a class as successive snapshots share it, and the lessons that it came from. */
#pragma once

#include <stddef.h>

#include "daemon/state/shared.h"
#include "daemon/state/snapshot.h"

struct class_node {            /* entry and row never change once the node is in a snapshot */
	struct shared shared;  /* first */
	struct learn_row *row; /* owned; beside the id: a head reads both of every class */
	struct class_entry entry;
};

/* A node of one reference with room for digests, which the maker fills; its lessons are given later. */
struct class_node *class_node_new(uint32_t id, size_t n_digests);
void class_node_unref(struct class_node *node); /* NULL allowed */
/* Its label, before it is in a snapshot; an empty one for none. */
void class_node_name(struct class_node *node, const struct label *label);
/* The node behind a class of a snapshot. */
struct class_node *class_node_of(const struct class_entry *entry);

/* A lesson after another, whose reference it takes over (NULL: the first). */
const struct class_lesson *class_lesson_new(
	const struct class_lesson *before, uint64_t seq, int64_t time_ms, uint32_t samples);
/* The same after lessons of which the sums alone are known (n 0: the first). */
struct lesson_sums {
	uint32_t n;
	uint64_t samples;
	int64_t first_ms;
};
const struct class_lesson *class_lesson_after(
	const struct lesson_sums *sums, uint64_t seq, int64_t time_ms, uint32_t samples);
const struct class_lesson *class_lesson_ref(const struct class_lesson *lesson); /* NULL allowed */
void class_lesson_unref(const struct class_lesson *lesson);                     /* NULL allowed */
