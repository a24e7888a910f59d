/* SPDX-License-Identifier: MIT */
/* daemon/work/learn.h: one change through the learn lane: checked, computed, written, published, answered, in this order.
 *
 * Once the lane has a lesson, neither cancel, deadline nor disconnect stops it (a dry run can be stopped). */
#pragma once

#include "daemon/ops/ops.h"

enum learn_what { LEARN_TEACH, LEARN_FIND_KEY, LEARN_FORGET, LEARN_RENAME, LEARN_UNDO, LEARN_ROLLBACK };

struct learn_job {
	struct job job;
	struct service *service;
	struct request *request;
	struct err why;
	enum learn_what what;
	struct learned *learned;
	uint64_t deadline_us; /* 0: none; checked when the lane takes it, never for TEACH */
	bool has_key, has_if_seq, dry_run;
	uint8_t key[STORE_KEY_BYTES];
	uint64_t if_seq;
	struct label label, new_label;
	uint64_t seq;                    /* ROLLBACK */
	struct lesson_material material; /* TEACH */
	uint64_t lesson;                 /* TEACH, FIND_KEY: its number */
	/* what came of it */
	struct change_outcome outcome;
	bool has_outcome; /* FIND_KEY: false is "not known" */
	struct snapshot *snapshot;
};

struct learn_job *learn_job_new(struct request *request, enum learn_what what);
void learn_job_guard(struct learn_job *job, const Bnnd__Guard *guard);
/* Into the learn lane. */
void learn_job_push(struct learn_job *job);
/* First thing when it is done: publishes the state it left, remembers the key of a change. */
void learn_job_publish(struct learn_job *job);
/* Answers its request with what it did, or why not. */
void learn_job_reply(struct learn_job *job);
void learn_job_free(struct learn_job *job);
