/* SPDX-License-Identifier: MIT */
/* daemon/work/learn.h: one change through the learn lane: checked, computed, written, published, answered, in this order.
 *
 * Once the lane has a lesson, neither cancel, deadline nor disconnect stops it (a dry run can be stopped). */
#pragma once

#include "daemon/lesson/lesson.h"
#include "daemon/state/learned.h"
#include "daemon/state/published.h"
#include "daemon/work/lanes.h"

enum learn_what { LEARN_TEACH, LEARN_FIND_KEY, LEARN_FORGET, LEARN_RENAME, LEARN_UNDO, LEARN_ROLLBACK };

struct learn_job {
	struct job job;
	/* The caller's, set before learn_push. */
	enum learn_what what;
	struct learned *learned;
	uint64_t deadline_us; /* 0: none; checked when the lane takes it, never for TEACH */
	bool has_key;
	uint8_t key[STORE_KEY_BYTES];
	struct change_guard guard; /* its key is the one above */
	struct label label, new_label;
	uint64_t seq;                    /* ROLLBACK */
	struct lesson_material material; /* TEACH */
	/* what came of it */
	struct err why; /* why a dry run was cancelled */
	struct change_outcome outcome;
	bool has_outcome; /* FIND_KEY: false is "not known" */
	struct snapshot *snapshot;
};

/* job->done is the caller's to set, and frees what the job is part of. Loop thread, like all of these. */
void learn_job_init(
	struct learn_job *job, enum learn_what what, const struct fair_owner *owner, struct learned *learned);
void learn_job_deinit(struct learn_job *job);
/* Into the lane. */
void learn_push(struct lane *lane, struct learn_job *job);
/* Only what waits, or a dry run, can be stopped: a change that has begun may be durable already. Done at once, or when the
 * dry run has noticed. */
void learn_cancel(struct lane *lane, struct learn_job *job, const struct err *why);
/* First thing when it is done: publishes the state it left, remembers the key of a change. */
void learn_publish(struct learn_job *job, struct published *published, struct keyset *committed);
/* NULL: it has an outcome. code 0: FIND_KEY does not know the key. */
const struct err *learn_failure(const struct learn_job *job);
