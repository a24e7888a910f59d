/* SPDX-License-Identifier: MIT */
/* daemon/lesson/lesson.h: lessons as conversations: begin, add any number of times, commit or abort. The rules alone: no
 * socket, no loop, no lane; time is handed in. Loop thread.
 *
 *              begin                commit            adds all done          learn lane is done
 *   (nothing) ------> LESSON_OPEN --------> LESSON_WAITS ---------> LESSON_LEARNS ------> (nothing)
 *       \--> LESSON_LOOKUP --^ (key known: the store has the last word)
 *
 * Samples keep the order in which their adds arrived, whenever their features came: so the same frames teach the same
 * bits with any number of threads. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/lesson/keyset.h"
#include "lib/base/list.h"
#include "daemon/state/snapshot.h"
#include "daemon/state/teach.h"
#include "lib/base/err.h"

struct lesson_limits {
	size_t n_features;      /* bytes of one sample */
	size_t features_bytes;  /* in all open lessons together */
	uint32_t pictures;      /* of one lesson */
	uint32_t classes;       /* of one lesson */
	uint32_t known_classes; /* the most the daemon learns, with what it has */
	uint64_t idle_us;
};

enum lesson_state { LESSON_LOOKUP, LESSON_OPEN, LESSON_WAITS, LESSON_LEARNS };

struct lesson_sample;
struct lesson_group; /* one class of a lesson */

struct lesson {
	struct list link;
	uint64_t number; /* not 0; never used again in this start */
	enum lesson_state state;
	uint8_t key[STORE_KEY_BYTES];
	bool dry_run;
	bool has_if_seq;
	uint64_t if_seq;
	uint64_t touched_us;
	size_t n_groups;
	struct list groups;
	size_t n_samples, samples_max;
	struct lesson_sample **samples; /* in order of arrival; refused ones are gone */
	uint32_t n_pending, n_accepted, n_known;
	uint64_t next_order;
	void *caller; /* the caller's own, never looked at; NULL when it begins */
};

struct lessons {
	struct lesson_limits limits;
	struct list open; /* all of them, whatever their state */
	uint64_t next_number;
	size_t features_bytes; /* held now */
	struct keyset committed;
};

void lessons_init(struct lessons *lessons, const struct lesson_limits *limits);
void lessons_deinit(struct lessons *lessons);

struct lesson_options {
	const uint8_t *key; /* STORE_KEY_BYTES */
	bool dry_run, has_if_seq;
	uint64_t if_seq;
};
/* A new lesson: LESSON_OPEN, or LESSON_LOOKUP when the key may be committed already (lesson_opened follows when it is
 * not). ERR_ABORTED with retry_after_ms: the key is open or being committed elsewhere. */
int lesson_begin(struct lessons *lessons, const struct lesson_options *options, uint64_t now_us,
	struct lesson **ret_lesson, struct err *err);
void lesson_opened(struct lesson *lesson, uint64_t now_us);
struct lesson *lesson_find(struct lessons *lessons, uint64_t number); /* NULL: there is none */
/* Drops it and what it holds. */
void lesson_end(struct lessons *lessons, struct lesson *lesson);

/* An add has arrived: reserves its place. label len 0: none. snapshot: what is known now, for the limit of classes.
 * *ret_order is for lesson_add_done. ERR_FAILED_PRECONDITION: it is being committed; ERR_RESOURCE_EXHAUSTED: a limit. */
int lesson_add(struct lessons *lessons, struct lesson *lesson, const struct label *label,
	const struct snapshot *snapshot, uint64_t now_us, uint64_t *ret_order, struct err *err);

enum lesson_added { LESSON_REFUSED, LESSON_KNOWN, LESSON_ACCEPTED };
/* The features are there (accepted: q and digest are copied), or the picture is known under its class, or it is refused.
 * Returns what came of it: a picture that is twice in one lesson counts once, at its first place. */
enum lesson_added lesson_add_done(struct lessons *lessons, struct lesson *lesson, uint64_t order,
	enum lesson_added outcome, const int8_t *q, const uint8_t digest[DIGEST_BYTES], uint64_t now_us);

/* LESSON_WAITS -> LESSON_LEARNS. Needs n_pending 0. ERR_FAILED_PRECONDITION: `added` is not what was accepted; the
 * lesson is open again. */
int lesson_seal(struct lesson *lesson, uint32_t added, uint64_t now_us, struct err *err);

/* What is taught, as arrays of their own; free with lesson_material_deinit. Classes are numbered by their first sample.
 * The samples move out of the lesson, which stays charged for them until it ends. */
struct lesson_material {
	struct teach_work work;
	struct teach_class *classes;
	int8_t *q;
	uint32_t *y;
	uint8_t (*digests)[DIGEST_BYTES];
};
void lesson_take(struct lesson *lesson, size_t n_features, struct lesson_material *ret_material);
void lesson_material_deinit(struct lesson_material *material);

/* Was it left alone for longer than the limit? Never while an add is under way or a commit waits. */
bool lesson_idle(const struct lessons *lessons, const struct lesson *lesson, uint64_t now_us);
