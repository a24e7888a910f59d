/* SPDX-License-Identifier: MIT */
/* daemon/state/snapshot.h: the learned state as everybody but the learn thread sees it: immutable, counted, published whole.
 *
 * The learn thread makes one after each change and posts it to the loop; the loop owns the current one and hands each
 * request its reference. References may be dropped on any thread. So classes, history and answers never wait for a
 * lesson, and a request sees one state from its beginning to its end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/label.h"
#include "lib/learn/learn.h"
#include "lib/store/store.h"

enum {
	DIGEST_BYTES = 16,       /* of a taught picture: SHA-256 over payload, region and rotation, cut */
	CLASS_ID_NONE = 0,       /* the class of negatives; it has no label */
	SNAPSHOT_HISTORY = 1000, /* newest changes held in memory */
};

struct class_lesson { /* a lesson of a class, and what it came after; successive snapshots share them */
	uint64_t seq;
	int64_t time_ms;
	/* with all those before it */
	uint64_t samples_all;
	int64_t first_ms;
	/* The one before; NULL: there is none, or it is in the store alone (n_kept: how many there are from here on). */
	const struct class_lesson *before;
	uint32_t samples, n, n_kept;
};

struct class_entry { /* one taught class */
	uint32_t id;
	struct label label;
	struct label key;                  /* label_key of it */
	const struct class_lesson *newest; /* lesson; NULL: none is known */
	size_t n_digests;
	const uint8_t (*digests)[DIGEST_BYTES]; /* of the kept pictures, the oldest first */
};

/* Pictures that were taught of it in all, and in how many lessons. */
static inline uint64_t class_samples(const struct class_entry *class)
{
	return class->newest ? class->newest->samples_all : 0;
}
static inline size_t class_lessons(const struct class_entry *class)
{
	return class->newest ? class->newest->n : 0;
}

struct taught_class {
	uint32_t id;
	struct label label;
	uint32_t samples;
	bool is_new;
};

struct change_entry { /* one change of the history, self-contained: labels as they were then */
	uint64_t seq; /* 0: a dry run */
	int64_t time_ms;
	enum store_op op;
	size_t n_classes; /* learn: what was taught; forget, rename: the one class (samples 0) */
	struct taught_class *classes;
	struct label new_label; /* rename */
	uint64_t restored_seq;  /* undo, rollback */
	uint32_t already_known;
	uint64_t us;
	char *hint; /* sentences (hint.h); NULL: there is none */
};

struct history_item {
	const struct change_entry *entry;
	bool undone;
};

struct snapshot {
	uint64_t seq;
	const struct learn_head *head;            /* ids are class ids */
	enum learn_method method;                 /* by which it ranks them */
	size_t n_classes;                         /* without none */
	const struct class_entry *const *classes; /* in label order (bytes) */
	const struct class_entry *const *by_key;  /* the same in the order of their keys, of equal ones by label */
	const struct class_entry *none;           /* NULL: no negatives taught */
	bool scene;                               /* known is decided with the scene of none taken away */
	char no_scene[192]; /* a sentence: why it is not or never is, or for how many classes not; "" */
	size_t n_history;
	const struct history_item *history; /* the newest first */
	size_t n_reasons;
	const char *const *reasons; /* why this state is degraded, sentences; 0: it is not */
	bool mends;                 /* what stands in the way of changes may pass: learned_try_again */
	bool writable;              /* false: lessons are UNAVAILABLE, reasons say why */
};

struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* NULL allowed */
/* The class of these very bytes, else the one that this label names too (an equal key). An empty label: none. NULL:
 * there is no such class. */
const struct class_entry *snapshot_find(const struct snapshot *snapshot, const struct label *label);
/* The class of these very bytes alone. */
const struct class_entry *snapshot_find_exact(const struct snapshot *snapshot, const struct label *label);
const struct class_entry *snapshot_by_id(const struct snapshot *snapshot, uint32_t id); /* CLASS_ID_NONE too */
/* Was this very picture taught under this class? class NULL: no. */
bool class_has_digest(const struct class_entry *class, const uint8_t digest[DIGEST_BYTES]);
/* Index of the first class whose label is greater than the given one (pages). */
size_t snapshot_first_after(const struct snapshot *snapshot, const struct label *label);
