/* SPDX-License-Identifier: MIT */
/* The loop's turns: a few steps between two looks at the sockets, whoever has how much to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "daemon/session/turns.h"

enum { FEW = 8 };

struct client {
	struct turn turn;
	int steps, left;   /* how often it is ready again */
	uint64_t takes_us; /* a step */
	int n_changed;
};

static struct turns turns;
static uv_timer_t alive; /* turns alone do not keep a loop going */
static int steps, longest, since_poll;

static void step(struct turn *turn)
{
	struct client *client = LIST_ENTRY(turn, struct client, turn);
	uint64_t until = clock_us() + client->takes_us;
	while (clock_us() < until)
		;
	client->steps++;
	steps++;
	since_poll++;
	longest = since_poll > longest ? since_poll : longest;
	if (--client->left > 0)
		turns_ready(&turns, &client->turn);
}

static void changed(struct turn *turn)
{
	LIST_ENTRY(turn, struct client, turn)->n_changed++;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)poll;
	(void)status;
	(void)events;
	since_poll = 0;
	if (steps >= 400)
		uv_poll_stop(poll);
}

static void on_timer(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("the loop stood still");
}

static void start(uv_loop_t *loop)
{
	steps = longest = since_poll = 0;
	assert_int_equal(uv_loop_init(loop), 0);
	turns_init(&turns, loop, step, changed);
	uv_timer_init(loop, &alive);
	uv_timer_start(&alive, on_timer, 60000, 0);
}

static void end(uv_loop_t *loop)
{
	uv_close((uv_handle_t *)&turns.after_poll, NULL);
	uv_close((uv_handle_t *)&turns.busy, NULL);
	uv_close((uv_handle_t *)&turns.window, NULL);
	uv_close((uv_handle_t *)&alive, NULL);
	uv_run(loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(loop), 0);
	turns_deinit(&turns);
}

/* A pipe that is always readable is seen again after a few steps, and each of two clients has every second one, but where
 * the machine took the processor away in the middle of a step: that is its user's time, and may be his share. */
static void test_sockets_are_looked_at_between(void **state)
{
	(void)state;
	struct client a = {.turn.owner = {.uid = 1, .connection = 1}, .left = 300},
		      b = {.turn.owner = {.uid = 2, .connection = 2}, .left = 100};
	uv_loop_t loop;
	uv_poll_t poll;
	int fds[2];
	start(&loop);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	uv_poll_init(&loop, &poll, fds[0]);
	uv_poll_start(&poll, UV_READABLE, on_readable);
	turns_ready(&turns, &a.turn);
	turns_ready(&turns, &a.turn); /* ready already */
	turns_ready(&turns, &b.turn);
	while (steps < 100)
		uv_run(&loop, UV_RUN_NOWAIT);
	if (a.n_changed + b.n_changed == 0)
		assert_true(abs(a.steps - b.steps) <= 1);
	while (steps < 400)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(a.steps, 300);
	assert_int_equal(b.steps, 100);
	assert_true(longest > 0 && longest <= FEW);
	assert_false(uv_is_active((uv_handle_t *)&turns.busy)); /* else the loop would spin */
	uv_close((uv_handle_t *)&poll, NULL);
	end(&loop);
	close(fds[0]);
	close(fds[1]);
}

/* A user who has had a share of the loop's time is held until the window is over, and then goes on; meanwhile another has
 * his turn. How long that takes is nobody's promise, that it comes to an end is. */
static void test_who_had_a_share_is_held(void **state)
{
	(void)state;
	enum { STEPS = 20 };
	struct client a = {.turn.owner = {.uid = 1, .connection = 1}, .left = STEPS, .takes_us = TURN_SHARE_US},
		      b = {.turn.owner = {.uid = 2, .connection = 2}, .left = 1};
	uv_loop_t loop;
	start(&loop);
	turns_ready(&turns, &a.turn);
	uint64_t began = clock_us();
	while (!a.turn.held)
		uv_run(&loop, UV_RUN_NOWAIT);
	turns_ready(&turns, &a.turn); /* nothing: it is held */
	turns_ready(&turns, &b.turn);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(b.steps, 1);
	while (a.steps < STEPS)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(clock_us() - began >= (STEPS - 2) * TURN_WINDOW_US / 2);
	assert_true(a.n_changed >= STEPS / 2);
	/* The loop does not wait for what is held when it is forgotten. */
	a.left = STEPS;
	turns_ready(&turns, &a.turn);
	while (!a.turn.held)
		uv_run(&loop, UV_RUN_NOWAIT);
	turns_forget(&turns, &a.turn);
	assert_false(a.turn.held);
	end(&loop);
}

static void test_who_is_forgotten_has_no_turn(void **state)
{
	(void)state;
	struct client a = {.turn.owner = {.uid = 1, .connection = 1}, .left = 1}, b = a;
	uv_loop_t loop;
	start(&loop);
	turns_forget(&turns, &a.turn);
	turns_ready(&turns, &a.turn);
	turns_ready(&turns, &b.turn);
	turns_forget(&turns, &a.turn);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(a.steps, 0);
	assert_int_equal(b.steps, 1);
	end(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockets_are_looked_at_between),
		cmocka_unit_test(test_who_had_a_share_is_held),
		cmocka_unit_test(test_who_is_forgotten_has_no_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
