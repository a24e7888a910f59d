/* SPDX-License-Identifier: MIT */
/* daemon/work/mend.c: see mend.h. mend_run is on the learn thread, everything else on the loop. */
#include "daemon/work/mend.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"

struct mend_job {
	struct job job;
	struct mend *mend;
	struct snapshot *snapshot; /* NULL: it never ran */
	size_t n_keys;
	uint8_t (*keys)[STORE_KEY_BYTES]; /* of a state that was opened, for the loop's index */
};

/* ---- on the learn thread ----------------------------------------------------------------------------------------- */

static void mend_key(void *ctx, const uint8_t key[STORE_KEY_BYTES])
{
	struct mend_job *job = ctx;
	job->keys = mem_grow(job->keys, job->n_keys, sizeof *job->keys);
	memcpy(job->keys[job->n_keys++], key, STORE_KEY_BYTES);
}

static void mend_run(struct job *base, void *thread)
{
	struct mend_job *job = (struct mend_job *)base;
	struct learned *learned = job->mend->learned;
	(void)thread;
	if (learned_try_again(learned, &base->err) == LEARNED_OPENED)
		learned_keys(learned, mend_key, job, &base->err);
	job->snapshot = learned_snapshot(learned);
}

/* ---- on the loop ------------------------------------------------------------------------------------------------- */

static void mend_done(struct job *base)
{
	struct mend_job *job = (struct mend_job *)base;
	struct mend *mend = job->mend;
	for (size_t i = 0; i < job->n_keys; i++)
		keyset_add(mend->committed, job->keys[i]);
	mend->running = false;
	if (job->snapshot)
		published_set(mend->published, job->snapshot);
	free(job->keys);
	free(job);
}

bool mend_wanted(const struct mend *mend)
{
	return mend->published->now->mends;
}

void mend_push(struct mend *mend)
{
	if (mend->running)
		return;
	struct mend_job *job = mem_zalloc(1, sizeof *job);
	list_init(&job->job.link);
	job->job.run = mend_run;
	job->job.done = mend_done;
	job->job.owner = mend->owner;
	job->mend = mend;
	lane_push(mend->lane, LANE_FIRST, &job->job);
	mend->running = true;
}
