/* SPDX-License-Identifier: MIT */
/* daemon/state/snapshot_make.h: how a snapshot is made: counted nodes that successive snapshots share. For learned_inside.h alone. */
#pragma once

#include <stdatomic.h>

#include "daemon/state/snapshot.h"

struct class_node { /* entry and row never change once the node is in a snapshot */
	atomic_uint refs;
	struct class_entry entry;
	struct learn_row *row; /* owned */
};

/* A node of one reference with room for digests, which the maker fills; its lessons are given later. */
struct class_node *class_node_new(uint32_t id, size_t n_digests);
struct class_node *class_node_ref(struct class_node *node);
void class_node_unref(struct class_node *node); /* NULL allowed */
/* Its label, before it is in a snapshot; an empty one for none. */
void class_node_name(struct class_node *node, const struct label *label);
/* The node behind a class of a snapshot. */
struct class_node *class_node_of(const struct class_entry *entry);

/* Where the id is, or belongs, among nodes of ascending ids: the first that is not smaller; n when all are. */
size_t class_node_place(struct class_node *const *nodes, size_t n, uint32_t id);
/* The one with that id among them, or NULL. */
struct class_node *class_node_find(struct class_node *const *nodes, size_t n, uint32_t id);

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

/* n_classes zeroed classes. */
struct change_entry *change_entry_new(size_t n_classes);
struct change_entry *change_entry_dup(const struct change_entry *entry);
void change_entry_free(struct change_entry *entry); /* NULL allowed */

struct history_node {
	atomic_uint refs;
	struct change_entry *entry; /* owned */
};
struct history_node *history_node_new(struct change_entry *entry); /* takes the entry */
struct history_node *history_node_ref(struct history_node *node);
void history_node_unref(struct history_node *node);

struct snapshot_parts { /* arrays are borrowed; the snapshot takes its own references */
	uint64_t seq;
	size_t n_nodes;
	struct class_node *const *nodes; /* ascending ids, none (0) among them */
	size_t n_history;
	struct history_node *const *history; /* the newest first */
	const bool *undone;                  /* n_history */
	size_t n_reasons;
	char *const *reasons;
	bool writable, mends;
};
struct snapshot *snapshot_new(const struct snapshot_parts *parts, const struct learn_settings *settings, size_t d);
