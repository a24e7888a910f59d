/* SPDX-License-Identifier: MIT */
/* daemon/work/learn.c: see learn.h. learn_run is on the learn thread, the only user of struct learned while the
 * daemon runs; everything else is on the loop. */
#include "daemon/work/learn.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "daemon/ops/reply.h"
#include "daemon/wire/views.h"
#include "lib/base/memory.h"
#include "proto/limits.h"

struct learn_job *learn_job_new(struct request *request, enum learn_what what)
{
	struct learn_job *job = mem_zalloc(1, sizeof *job);
	list_init(&job->job.link);
	job->service = request->service;
	job->job.owner = request->owner;
	job->request = request;
	job->what = what;
	job->learned = request->service->parts->learned;
	job->deadline_us = request->deadline_us;
	return job;
}

void learn_job_guard(struct learn_job *job, const Bnnd__Guard *guard)
{
	job->has_if_seq = guard != NULL;
	job->if_seq = guard ? guard->if_seq : 0;
}

void learn_job_free(struct learn_job *job)
{
	lesson_material_deinit(&job->material);
	if (job->has_outcome)
		change_outcome_deinit(&job->outcome);
	snapshot_unref(job->snapshot);
	free(job);
}

/* ---- on the learn thread ----------------------------------------------------------------------------------------- */

static bool learn_stop(void *ctx)
{
	const struct learn_job *job = ctx;
	return atomic_load_explicit(&job->job.cancelled, memory_order_relaxed);
}

static int learn_change(struct learn_job *job, struct err *err)
{
	const struct change_guard guard = {.key = job->has_key ? job->key : NULL,
		.has_if_seq = job->has_if_seq,
		.if_seq = job->if_seq,
		.dry_run = job->dry_run};
	switch (job->what) {
	case LEARN_TEACH:
		return learned_teach(job->learned, &job->material.work, &guard, job->dry_run ? learn_stop : NULL, job,
			&job->outcome, err);
	case LEARN_FIND_KEY:
		return learned_find_key(job->learned, job->key, &job->outcome, err);
	case LEARN_FORGET:
		return learned_forget(job->learned, &job->label, &guard, &job->outcome, err);
	case LEARN_RENAME:
		return learned_rename(job->learned, &job->label, &job->new_label, &guard, &job->outcome, err);
	case LEARN_UNDO:
		return learned_undo(job->learned, &guard, &job->outcome, err);
	case LEARN_ROLLBACK:
		return learned_rollback(job->learned, job->seq, &guard, &job->outcome, err);
	}
	return err_set(err, ERR_INTERNAL, "an unknown change");
}

static void learn_run(struct job *base, void *thread)
{
	struct learn_job *job = (struct learn_job *)base;
	(void)thread;
	if (job->what != LEARN_TEACH && job->deadline_us && clock_us() >= job->deadline_us) {
		err_set(&base->err, ERR_DEADLINE_EXCEEDED,
			"the request's timeout_ms was over before its turn came: nothing was changed");
		return;
	}
	job->has_outcome = learn_change(job, &base->err) == 0;
	job->snapshot = learned_snapshot(job->learned);
}

/* ---- on the loop ------------------------------------------------------------------------------------------------- */

/* Only what waits, or a dry run, can be stopped: a change that has begun may be durable already. */
static void learn_request_stop(struct request *request, const struct err *why)
{
	struct learn_job *job = request->work;
	if (job->what == LEARN_TEACH && !job->dry_run)
		return;
	if (lane_take_back(request->service->learn, &job->job)) {
		job->job.err = *why;
		job->job.done(&job->job);
	} else if (job->dry_run) {
		job->why = *why;
		atomic_store_explicit(&job->job.cancelled, true, memory_order_relaxed);
	}
}

void learn_job_push(struct learn_job *job)
{
	struct request *request = job->request;
	job->job.run = learn_run;
	request->stop = learn_request_stop;
	request->work = job;
	lane_push(job->service->learn, LANE_FIRST, &job->job);
}

void learn_job_publish(struct learn_job *job)
{
	if (job->snapshot)
		service_publish(job->service, job->snapshot);
	job->snapshot = NULL;
	if (job->has_outcome && job->has_key && job->outcome.written)
		keyset_add(&job->service->lessons.committed, job->key);
}

void learn_job_reply(struct learn_job *job)
{
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Changed changed;
	if (!job->has_outcome) {
		reply_error(job->request, job->why.code ? &job->why : &job->job.err);
		return;
	}
	views_changed(&job->outcome, &scratch, &changed);
	reply.result_case = BNND__REPLY__RESULT_CHANGED;
	reply.changed = &changed;
	reply_send(job->request, &reply, NULL, 0);
	scratch_free(&scratch);
}
