/* SPDX-License-Identifier: MIT */
/* daemon/work/mend.c: see mend.h. mend_run is on the learn thread, everything else on the loop. The job answers no
 * request, but a stop waits for it as for one. */
#include "daemon/work/mend.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/host/log.h"
#include "daemon/service.h"
#include "lib/base/memory.h"

enum { MEND_MS = 200 };

struct mend_job {
	struct job job;
	struct service *service;
	struct learned *learned;
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
	(void)thread;
	if (learned_try_again(job->learned, &base->err) == LEARNED_OPENED)
		learned_keys(job->learned, mend_key, job, &base->err);
	job->snapshot = learned_snapshot(job->learned);
}

/* ---- on the loop ------------------------------------------------------------------------------------------------- */

static void mend_done(struct job *base)
{
	struct mend_job *job = (struct mend_job *)base;
	struct service *service = job->service;
	for (size_t i = 0; i < job->n_keys; i++)
		keyset_add(&service->lessons.committed, job->keys[i]);
	service->mending = false;
	if (job->snapshot)
		service_publish(service, job->snapshot);
	free(job->keys);
	free(job);
	mend_watch(service);
	service_stop_further(service);
}

static void on_mend(uv_timer_t *timer)
{
	struct service *service = timer->data;
	if (service->mending || service->stopping)
		return;
	struct mend_job *job = mem_zalloc(1, sizeof *job);
	list_init(&job->job.link);
	job->job.run = mend_run;
	job->job.done = mend_done;
	job->service = service;
	job->learned = service->parts->learned;
	job->job.owner.uid = service->quota.own_uid;
	lane_push(service->learn, LANE_FIRST, &job->job);
	service->mending = true;
}

void mend_watch(struct service *service)
{
	bool mends = service->snapshot->mends;
	if (service->stopping || mends == (bool)uv_is_active((uv_handle_t *)&service->mend))
		return;
	if (mends)
		uv_timer_start(&service->mend, on_mend, MEND_MS, MEND_MS);
	else
		uv_timer_stop(&service->mend);
}
