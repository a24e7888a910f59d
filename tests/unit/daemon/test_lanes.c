/* SPDX-License-Identifier: MIT */
/* Lanes: which job is next, and that each comes back exactly once. */
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "daemon/work/lanes.h"

static struct job *plain_job(void)
{
	struct job *job = calloc(1, sizeof *job);
	list_init(&job->link);
	return job;
}

static void test_first_before_second_in_order(void **state)
{
	(void)state;
	struct lane_queues q;
	struct job *jobs[6];
	static const int expected[6] = {1, 3, 5, 0, 2, 4};
	lane_queues_init(&q, 1000);
	for (int i = 0; i < 6; i++) {
		jobs[i] = plain_job();
		lane_queues_put(&q, i % 2 ? LANE_FIRST : LANE_SECOND, jobs[i], 10);
	}
	for (int i = 0; i < 6; i++)
		assert_ptr_equal(lane_queues_take(&q, 20), jobs[expected[i]]);
	assert_null(lane_queues_take(&q, 20));
	for (int i = 0; i < 6; i++)
		free(jobs[i]);
}

/* Inferences without end: one add goes through in each starve_us, no more. */
static void test_adds_starve_no_longer_than_said(void **state)
{
	(void)state;
	enum { STARVE_US = 1000, STEP_US = 100, STEPS = 100, ADDS = 8 };
	struct lane_queues q;
	struct job *adds[ADDS];
	uint64_t now = 0, last = 0;
	int taken = 0;
	lane_queues_init(&q, STARVE_US);
	for (int i = 0; i < ADDS; i++) {
		adds[i] = plain_job();
		lane_queues_put(&q, LANE_SECOND, adds[i], now);
	}
	for (int i = 0; i < STEPS; i++, now += STEP_US) {
		struct job *infer = plain_job();
		lane_queues_put(&q, LANE_FIRST, infer, now);
		struct job *job = lane_queues_take(&q, now);
		if (taken < ADDS && job == adds[taken]) {
			assert_int_equal(now - last, STARVE_US);
			last = now;
			taken++;
			job = lane_queues_take(&q, now); /* and then the inference at once */
			assert_ptr_equal(job, infer);
		}
		assert_ptr_equal(job, infer);
		free(infer);
	}
	assert_int_equal(taken, ADDS);
	for (int i = 0; i < ADDS; i++)
		free(adds[i]);
}

/* Questions of two users without end and lessons of two others: a question each, then a picture of one lesson. A user's
 * own questions go before its lesson. */
static void test_users_take_turns_between_the_queues(void **state)
{
	(void)state;
	static const struct {
		uid_t uid;
		enum lane_queue queue;
		int n;
	} waiting[] = {
		{1, LANE_FIRST, 6}, {2, LANE_FIRST, 6}, {3, LANE_SECOND, 2}, {4, LANE_SECOND, 2}, {5, LANE_SECOND, 1}};
	static const uid_t expected[] = {1, 2, 3, 1, 2, 4, 1, 2, 5, 1, 2, 3, 1, 2, 4, 1, 2};
	struct lane_queues q;
	uint64_t connection = 0;
	lane_queues_init(&q, 1000000);
	for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++)
		for (int k = 0; k < waiting[i].n; k++) {
			struct job *job = plain_job();
			job->owner = (struct fair_owner){.uid = waiting[i].uid, .connection = ++connection};
			lane_queues_put(&q, waiting[i].queue, job, 0);
		}
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		struct job *job = lane_queues_take(&q, 1);
		assert_non_null(job);
		assert_int_equal(job->owner.uid, expected[i]);
		free(job);
	}
	assert_null(lane_queues_take(&q, 1));
	struct job *question = plain_job(), *again = plain_job(), *add = plain_job();
	lane_queues_put(&q, LANE_SECOND, add, 2);
	lane_queues_put(&q, LANE_FIRST, question, 2);
	lane_queues_put(&q, LANE_FIRST, again, 2);
	assert_ptr_equal(lane_queues_take(&q, 3), question);
	assert_ptr_equal(lane_queues_take(&q, 3), again);
	assert_ptr_equal(lane_queues_take(&q, 3), add);
	free(question);
	free(again);
	free(add);
}

/* ---- with threads ------------------------------------------------------------------------------------------------ */

struct counted_job {
	struct job job;
	int number;
	sem_t *started, *go; /* NULL: runs through */
};

static int done_order[1000], n_done, sum_run;
static pthread_mutex_t sum_mutex = PTHREAD_MUTEX_INITIALIZER;

static void counted_run(struct job *base, void *thread)
{
	struct counted_job *job = (struct counted_job *)base;
	if (job->started)
		sem_post(job->started);
	if (job->go)
		while (sem_wait(job->go) != 0)
			;
	pthread_mutex_lock(&sum_mutex);
	sum_run += job->number;
	if (thread)
		(*(int *)thread)++;
	pthread_mutex_unlock(&sum_mutex);
}

static void counted_done(struct job *base)
{
	struct counted_job *job = (struct counted_job *)base;
	done_order[n_done++] = job->number;
	free(job);
}

static struct counted_job *counted_job(int number, sem_t *started, sem_t *go)
{
	struct counted_job *job = calloc(1, sizeof *job);
	list_init(&job->job.link);
	job->job.run = counted_run;
	job->job.done = counted_done;
	job->number = number;
	job->started = started;
	job->go = go;
	return job;
}

static void count_wake(void *ctx)
{
	sem_post(ctx);
}

struct fixture {
	sem_t woken, started, go;
	struct lane_results results;
	struct lane *lane;
	int nice;
};

static void fixture_start(struct fixture *f, size_t n_threads, void *const *contexts)
{
	struct lane_options options = {.name = "test",
		.n_threads = n_threads,
		.stack_bytes = 1 << 20,
		.contexts = contexts,
		.starve_us = 1000000,
		.results = &f->results,
		.nice = f->nice};
	struct err err;
	sem_init(&f->woken, 0, 0);
	sem_init(&f->started, 0, 0);
	sem_init(&f->go, 0, 0);
	lane_results_init(&f->results, count_wake, &f->woken);
	assert_int_equal(lane_start(&options, &f->lane, &err), 0);
	n_done = sum_run = 0;
}

static void fixture_collect(struct fixture *f, int n)
{
	while (n_done < n) {
		while (sem_wait(&f->woken) != 0)
			;
		lane_results_collect(&f->results);
	}
}

static void fixture_stop(struct fixture *f)
{
	lane_stop(f->lane);
	lane_results_collect(&f->results);
	lane_results_deinit(&f->results);
	sem_destroy(&f->woken);
	sem_destroy(&f->started);
	sem_destroy(&f->go);
}

static void test_one_thread_keeps_the_order(void **state)
{
	(void)state;
	struct fixture f = {.nice = 0};
	fixture_start(&f, 1, NULL);
	struct counted_job *first = counted_job(0, &f.started, &f.go);
	lane_push(f.lane, LANE_FIRST, &first->job);
	while (sem_wait(&f.started) != 0)
		;
	for (int i = 1; i <= 20; i++)
		lane_push(f.lane, i % 2 ? LANE_SECOND : LANE_FIRST, &counted_job(i, NULL, NULL)->job);
	sem_post(&f.go);
	fixture_collect(&f, 21);
	for (int i = 0; i <= 10; i++)
		assert_int_equal(done_order[i], 2 * i);
	for (int i = 0; i < 10; i++)
		assert_int_equal(done_order[11 + i], 2 * i + 1);
	fixture_stop(&f);
}

static void note_nice(struct job *job, void *context)
{
	(void)context;
	LIST_ENTRY(job, struct counted_job, job)->number = getpriority(PRIO_PROCESS, 0);
}

static void test_a_lane_that_lets_others_go_first(void **state)
{
	(void)state;
	struct fixture f = {.nice = 3};
	int own = getpriority(PRIO_PROCESS, 0), expected = own + 3 < 19 ? own + 3 : 19;
	fixture_start(&f, 1, NULL);
	struct counted_job *job = counted_job(0, NULL, NULL);
	job->job.run = note_nice;
	lane_push(f.lane, LANE_FIRST, &job->job);
	fixture_collect(&f, 1);
	assert_int_equal(done_order[0], expected);
	assert_int_equal(getpriority(PRIO_PROCESS, 0), own);
	fixture_stop(&f);
}

static void test_every_job_comes_back_once(void **state)
{
	(void)state;
	enum { JOBS = 1000, THREADS = 4 };
	struct fixture f = {.nice = 0};
	int counts[THREADS] = {0}, expected = 0, total = 0;
	void *contexts[THREADS];
	bool seen[JOBS] = {false};
	for (int i = 0; i < THREADS; i++)
		contexts[i] = &counts[i];
	fixture_start(&f, THREADS, contexts);
	for (int i = 0; i < JOBS; i++, expected += i)
		lane_push(f.lane, i % 3 ? LANE_FIRST : LANE_SECOND, &counted_job(i, NULL, NULL)->job);
	fixture_collect(&f, JOBS);
	for (int i = 0; i < JOBS; i++) {
		assert_false(seen[done_order[i]]);
		seen[done_order[i]] = true;
	}
	for (int i = 0; i < THREADS; i++)
		total += counts[i];
	assert_int_equal(total, JOBS);
	assert_int_equal(sum_run, JOBS * (JOBS - 1) / 2);
	fixture_stop(&f);
}

static void test_what_waits_can_be_taken_back(void **state)
{
	(void)state;
	struct fixture f = {.nice = 0};
	fixture_start(&f, 1, NULL);
	assert_int_equal(lane_busy_since_us(f.lane), 0);
	uint64_t before = clock_us();
	struct counted_job *running = counted_job(1, &f.started, &f.go);
	lane_push(f.lane, LANE_FIRST, &running->job);
	while (sem_wait(&f.started) != 0)
		;
	assert_in_range(lane_busy_since_us(f.lane), before, clock_us());
	struct counted_job *a = counted_job(2, NULL, NULL), *b = counted_job(3, NULL, NULL),
			   *c = counted_job(4, NULL, NULL);
	lane_push(f.lane, LANE_FIRST, &a->job);
	lane_push(f.lane, LANE_FIRST, &b->job);
	lane_push(f.lane, LANE_SECOND, &c->job);
	assert_false(lane_take_back(f.lane, &running->job));
	assert_true(lane_take_back(f.lane, &a->job));
	assert_false(lane_take_back(f.lane, &a->job));
	assert_ptr_equal(lane_take_any(f.lane), &b->job);
	assert_ptr_equal(lane_take_any(f.lane), &c->job);
	assert_null(lane_take_any(f.lane));
	sem_post(&f.go);
	fixture_stop(&f); /* waits for the one that runs, and brings it back */
	assert_int_equal(n_done, 1);
	assert_int_equal(done_order[0], 1);
	free(a);
	free(b);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_before_second_in_order),
		cmocka_unit_test(test_users_take_turns_between_the_queues),
		cmocka_unit_test(test_adds_starve_no_longer_than_said),
		cmocka_unit_test(test_one_thread_keeps_the_order),
		cmocka_unit_test(test_a_lane_that_lets_others_go_first),
		cmocka_unit_test(test_every_job_comes_back_once),
		cmocka_unit_test(test_what_waits_can_be_taken_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
