/* SPDX-License-Identifier: MIT */
/* daemon/work/lanes.c: see lanes.h.
 *
 * Invariant: a job is in exactly one place: a queue, a thread, the results, or the loop's hands. One mutex a lane is
 * held for a few pointer moves, never while a job runs. */
#include "daemon/work/lanes.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/require.h"

void lane_results_init(struct lane_results *results, void (*wake)(void *), void *wake_ctx)
{
	pthread_mutex_init(&results->mutex, NULL);
	list_init(&results->jobs);
	results->wake = wake;
	results->wake_ctx = wake_ctx;
}

void lane_results_deinit(struct lane_results *results)
{
	pthread_mutex_destroy(&results->mutex);
}

static void lane_results_put(struct lane_results *results, struct job *job)
{
	pthread_mutex_lock(&results->mutex);
	list_append(&results->jobs, &job->link);
	pthread_mutex_unlock(&results->mutex);
	results->wake(results->wake_ctx);
}

void lane_results_collect(struct lane_results *results)
{
	struct list jobs;
	list_init(&jobs);
	pthread_mutex_lock(&results->mutex);
	list_move_all(&results->jobs, &jobs);
	pthread_mutex_unlock(&results->mutex);
	for (struct list *node; (node = list_take(&jobs));) {
		struct job *job = LIST_ENTRY(node, struct job, link);
		job->done(job);
	}
}

void lane_queues_init(struct lane_queues *queues, uint64_t starve_us)
{
	*queues = (struct lane_queues){.starve_us = starve_us};
	for (int i = 0; i < LANE_QUEUES; i++)
		fair_init(&queues->jobs[i]);
}

static void note_second(struct lane_queues *queues, uint64_t now_us)
{
	queues->second_us = now_us;
	queues->second_turn = queues->jobs[LANE_FIRST].turns;
}

void lane_queues_put(struct lane_queues *queues, enum lane_queue which, struct job *job, uint64_t now_us)
{
	if (which == LANE_SECOND && fair_n(&queues->jobs[which]) == 0)
		note_second(queues, now_us);
	job->queue = which;
	fair_put(&queues->jobs[which], &job->waits, &job->owner);
}

/* Is it the second queue's turn? */
static bool second_is_due(const struct lane_queues *queues, uint64_t now_us)
{
	struct fair_next first, second;
	if (!fair_next(&queues->jobs[LANE_SECOND], &second))
		return false;
	if (!fair_next(&queues->jobs[LANE_FIRST], &first))
		return true;
	return (first.uid != second.uid && first.turn > queues->second_turn) ||
	       now_us >= queues->second_us + queues->starve_us;
}

struct job *lane_queues_take(struct lane_queues *queues, uint64_t now_us)
{
	enum lane_queue which = second_is_due(queues, now_us) ? LANE_SECOND : LANE_FIRST;
	struct fair_item *item = fair_take(&queues->jobs[which]);
	if (item && which == LANE_SECOND)
		note_second(queues, now_us);
	return item ? LIST_ENTRY(item, struct job, waits) : NULL;
}

struct lane_thread {
	struct lane *lane;
	void *context;
	pthread_t id;
	uint64_t began_us; /* the job that runs, 0: none; guarded by the lane */
};

struct lane {
	pthread_mutex_t mutex;
	pthread_cond_t ready;
	struct lane_queues queues;
	bool stopping;
	int nice;
	struct lane_results *results;
	size_t n_threads;
	struct lane_thread threads[];
};

static void *lane_main(void *arg)
{
	struct lane_thread *thread = arg;
	struct lane *lane = thread->lane;
	/* Of this thread alone (Linux). Where it may not, all are equal: no reason to stop. */
	if (lane->nice)
		(void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + lane->nice);
	pthread_mutex_lock(&lane->mutex);
	for (;;) {
		struct job *job = lane_queues_take(&lane->queues, clock_us());
		if (job) {
			thread->began_us = clock_us();
			pthread_mutex_unlock(&lane->mutex);
			job->run(job, thread->context);
			lane_results_put(lane->results, job);
			pthread_mutex_lock(&lane->mutex);
			thread->began_us = 0;
		} else if (lane->stopping) {
			break;
		} else {
			pthread_cond_wait(&lane->ready, &lane->mutex);
		}
	}
	pthread_mutex_unlock(&lane->mutex);
	return NULL;
}

int lane_start(const struct lane_options *options, struct lane **ret_lane, struct err *err)
{
	struct lane *lane = mem_zalloc(1, sizeof *lane + options->n_threads * sizeof lane->threads[0]);
	sigset_t all, old;
	pthread_attr_t attributes;
	int r = 0;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, options->stack_bytes);
	pthread_mutex_init(&lane->mutex, NULL);
	pthread_cond_init(&lane->ready, NULL);
	lane_queues_init(&lane->queues, options->starve_us);
	lane->results = options->results;
	lane->nice = options->nice;
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	for (size_t i = 0; i < options->n_threads && r == 0; i++) {
		struct lane_thread *thread = &lane->threads[i];
		thread->lane = lane;
		thread->context = options->contexts ? options->contexts[i] : NULL;
		r = pthread_create(&thread->id, &attributes, lane_main, thread);
		if (r == 0) {
			lane->n_threads++;
			pthread_setname_np(thread->id, options->name);
		}
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	if (r != 0) {
		lane_stop(lane);
		return err_set(err, ERR_UNAVAILABLE, "cannot start thread %s: %s", options->name, strerror(r));
	}
	*ret_lane = lane;
	return 0;
}

void lane_stop(struct lane *lane)
{
	if (!lane)
		return;
	pthread_mutex_lock(&lane->mutex);
	lane->stopping = true;
	pthread_cond_broadcast(&lane->ready);
	pthread_mutex_unlock(&lane->mutex);
	for (size_t i = 0; i < lane->n_threads; i++)
		pthread_join(lane->threads[i].id, NULL);
	REQUIRE(fair_n(&lane->queues.jobs[LANE_FIRST]) == 0 && fair_n(&lane->queues.jobs[LANE_SECOND]) == 0);
	pthread_cond_destroy(&lane->ready);
	pthread_mutex_destroy(&lane->mutex);
	free(lane);
}

uint64_t lane_busy_since_us(struct lane *lane)
{
	uint64_t since = 0;
	pthread_mutex_lock(&lane->mutex);
	for (size_t i = 0; i < lane->n_threads; i++) {
		uint64_t began = lane->threads[i].began_us;
		if (began && (!since || began < since))
			since = began;
	}
	pthread_mutex_unlock(&lane->mutex);
	return since;
}

void lane_push(struct lane *lane, enum lane_queue which, struct job *job)
{
	pthread_mutex_lock(&lane->mutex);
	lane_queues_put(&lane->queues, which, job, clock_us());
	pthread_cond_signal(&lane->ready);
	pthread_mutex_unlock(&lane->mutex);
}

bool lane_take_back(struct lane *lane, struct job *job)
{
	pthread_mutex_lock(&lane->mutex);
	bool waits = fair_waits(&job->waits);
	if (waits)
		fair_remove(&lane->queues.jobs[job->queue], &job->waits);
	pthread_mutex_unlock(&lane->mutex);
	return waits;
}

struct job *lane_take_any(struct lane *lane)
{
	pthread_mutex_lock(&lane->mutex);
	struct fair_item *item = fair_take(&lane->queues.jobs[LANE_FIRST]);
	if (!item)
		item = fair_take(&lane->queues.jobs[LANE_SECOND]);
	pthread_mutex_unlock(&lane->mutex);
	return item ? LIST_ENTRY(item, struct job, waits) : NULL;
}
