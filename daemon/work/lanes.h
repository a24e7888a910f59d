/* SPDX-License-Identifier: MIT */
/* daemon/work/lanes.h: threads that work off jobs, and how a finished job comes back.
 *
 *   loop: lane_push -> [first | second queue] -> thread: job->run -> lane_results -> loop: job->done
 *
 * Both queues are fair to every user (fair.h); how much may wait is the users' share of requests in flight.
 *
 * The infer lane has N threads and two queues: infer (first) before add (second). A job of the second queue is taken
 * when the first is empty, when every other user that waits there had a turn since the last one, or when none was taken
 * for starve_us while one waited: so adds go on under load, and an inference waits for at most one picture in
 * computation and one of each other user. The learn lane has one thread and uses the first queue alone. A job owns what
 * it needs; a lane never looks into it. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/shares/fair.h"
#include "lib/base/err.h"

enum lane_queue { LANE_FIRST, LANE_SECOND, LANE_QUEUES };

struct job {
	struct fair_item waits; /* guarded by the lane */
	struct list link;       /* among the results */
	struct fair_owner owner;
	void (*run)(struct job *job, void *thread); /* on a thread of the lane, with that thread's context */
	void (*done)(struct job *job);              /* on the loop; frees the job */
	atomic_bool cancelled;                      /* set by the loop, read by run */
	enum lane_queue queue;
	struct err err; /* code 0: it worked */
};

/* Where lanes leave finished jobs; one for all lanes, so that completions keep their order. */
struct lane_results {
	pthread_mutex_t mutex;
	struct list jobs;
	void (*wake)(void *ctx); /* called on a lane's thread after a job was left */
	void *wake_ctx;
};
void lane_results_init(struct lane_results *results, void (*wake)(void *ctx), void *wake_ctx);
void lane_results_deinit(struct lane_results *results);
/* On the loop: calls done for every job that was left. */
void lane_results_collect(struct lane_results *results);

/* The two queues and the rule which of them is next; no thread. */
struct lane_queues {
	struct fair_queue jobs[LANE_QUEUES];
	uint64_t starve_us;
	/* When the last job of the second queue was taken, or the first came into it: the time, and the turns of the first
	 * queue. */
	uint64_t second_us, second_turn;
};
void lane_queues_init(struct lane_queues *queues, uint64_t starve_us);
void lane_queues_put(struct lane_queues *queues, enum lane_queue which, struct job *job, uint64_t now_us);
struct job *lane_queues_take(struct lane_queues *queues, uint64_t now_us); /* NULL: nothing waits */

struct lane_options {
	const char *name; /* of the threads, at most 15 bytes */
	size_t n_threads;
	size_t stack_bytes;    /* of each */
	void *const *contexts; /* one for each thread, handed to job->run; NULL: none */
	uint64_t starve_us;
	struct lane_results *results;
	int nice; /* added to the threads' own, so that others go first where cores are short; 0 or more */
};
struct lane;
int lane_start(const struct lane_options *options, struct lane **ret_lane, struct err *err);
/* Lets every thread finish the job it runs and joins it; waiting jobs must have been taken back. */
void lane_stop(struct lane *lane); /* NULL allowed */

/* When the job began that has run for longest of those that run now; 0: every thread is idle. Any thread. */
uint64_t lane_busy_since_us(struct lane *lane);

/* Hands the job over. */
void lane_push(struct lane *lane, enum lane_queue which, struct job *job);
/* true: the job was still waiting, and is the caller's again. */
bool lane_take_back(struct lane *lane, struct job *job);
/* A waiting job, taken back; NULL: none waits. */
struct job *lane_take_any(struct lane *lane);
