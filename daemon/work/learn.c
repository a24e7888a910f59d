/* SPDX-License-Identifier: MIT */
/* daemon/work/learn.c: see learn.h. learn_run is on the learn thread, the only user of struct learned while the
 * daemon runs; everything else is on the loop. */
#include "daemon/work/learn.h"

#include "lib/base/clock.h"

/* ---- on the learn thread ----------------------------------------------------------------------------------------- */

static bool learn_stop(void *ctx)
{
	const struct learn_job *job = ctx;
	return atomic_load_explicit(&job->job.cancelled, memory_order_relaxed);
}

static int learn_change(struct learn_job *job, struct err *err)
{
	struct change_guard guard = job->guard;
	guard.key = job->has_key ? job->key : NULL;
	switch (job->what) {
	case LEARN_TEACH:
		return learned_teach(job->learned, &job->material.work, &guard, job->guard.dry_run ? learn_stop : NULL,
			job, &job->outcome, err);
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

void learn_job_init(
	struct learn_job *job, enum learn_what what, const struct fair_owner *owner, struct learned *learned)
{
	*job = (struct learn_job){.what = what, .learned = learned};
	list_init(&job->job.link);
	job->job.run = learn_run;
	job->job.owner = *owner;
}

void learn_job_deinit(struct learn_job *job)
{
	lesson_material_deinit(&job->material);
	if (job->has_outcome)
		change_outcome_deinit(&job->outcome);
	snapshot_unref(job->snapshot);
}

void learn_push(struct lane *lane, struct learn_job *job)
{
	lane_push(lane, LANE_FIRST, &job->job);
}

void learn_cancel(struct lane *lane, struct learn_job *job, const struct err *why)
{
	if (job->what == LEARN_TEACH && !job->guard.dry_run)
		return;
	if (lane_take_back(lane, &job->job)) {
		job->job.err = *why;
		job->job.done(&job->job);
	} else if (job->guard.dry_run) {
		job->why = *why;
		atomic_store_explicit(&job->job.cancelled, true, memory_order_relaxed);
	}
}

void learn_publish(struct learn_job *job, struct published *published, struct keyset *committed)
{
	if (job->snapshot)
		published_set(published, job->snapshot);
	job->snapshot = NULL;
	if (job->has_outcome && job->has_key && job->outcome.written)
		keyset_add(committed, job->key);
}

const struct err *learn_failure(const struct learn_job *job)
{
	if (job->has_outcome)
		return NULL;
	return job->why.code ? &job->why : &job->job.err;
}
