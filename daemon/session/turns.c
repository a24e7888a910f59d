/* SPDX-License-Identifier: MIT */
/* daemon/session/turns.c: see turns.h. The list of meters is as short as there are users. */
#include "daemon/session/turns.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/require.h"

enum { TURN_STEPS = 4 }; /* between two looks at the sockets: who is new waits for no more */

struct meter {
	struct list link;
	uid_t uid;
	uint64_t since_us; /* the window */
	uint64_t used_us;  /* in it */
	struct list held;  /* turns, by their item's link */
};

static bool meter_over(const struct meter *meter, uint64_t now)
{
	return now >= meter->since_us + TURN_WINDOW_US;
}

static void meter_free(struct meter *meter)
{
	list_remove(&meter->link);
	free(meter);
}

/* The user's, in a window that is not over; those of others that nobody needs are dropped. */
static struct meter *meter_of(struct turns *turns, uid_t uid, uint64_t now)
{
	struct meter *found = NULL;
	LIST_EACH(node, &turns->meters)
	{
		struct meter *meter = LIST_ENTRY(node, struct meter, link);
		if (meter->uid == uid)
			found = meter;
		else if (list_empty(&meter->held) && meter_over(meter, now))
			meter_free(meter);
	}
	if (!found) {
		found = mem_zalloc(1, sizeof *found);
		found->uid = uid;
		list_init(&found->held);
		list_append(&turns->meters, &found->link);
	}
	if (list_empty(&found->held) && meter_over(found, now)) {
		found->since_us = now;
		found->used_us = 0;
	}
	return found;
}

/* Windows that are over let go of what they held; while others hold something the timer goes on. */
static void on_window(uv_timer_t *timer)
{
	struct turns *turns = timer->data;
	uint64_t now = clock_us();
	bool any = false;
	LIST_EACH(node, &turns->meters)
	{
		struct meter *meter = LIST_ENTRY(node, struct meter, link);
		if (!meter_over(meter, now)) {
			any = any || !list_empty(&meter->held);
			continue;
		}
		for (struct list *held; (held = list_take(&meter->held));) {
			struct turn *turn = LIST_ENTRY(held, struct turn, item.link);
			turn->held = false;
			turns_ready(turns, turn);
			turns->changed(turn);
		}
		meter_free(meter);
	}
	if (any)
		uv_timer_start(timer, on_window, 1, 0);
}

static void turns_hold(struct turns *turns, struct meter *meter, struct turn *turn)
{
	turn->held = true;
	list_append(&meter->held, &turn->item.link);
	if (!uv_is_active((uv_handle_t *)&turns->window))
		uv_timer_start(&turns->window, on_window, TURN_WINDOW_US / 1000, 0);
	turns->changed(turn);
}

static void turns_take(uv_check_t *check)
{
	struct turns *turns = check->data;
	uint64_t now = clock_us();
	for (int steps = 0; steps < TURN_STEPS && fair_n(&turns->ready) > 0;) {
		struct turn *turn = LIST_ENTRY(fair_take(&turns->ready), struct turn, item);
		struct meter *meter = meter_of(turns, turn->owner.uid, now);
		if (meter->used_us >= TURN_SHARE_US) {
			turns_hold(turns, meter, turn);
			continue;
		}
		turns->step(turn);
		uint64_t then = clock_us();
		meter->used_us += then - now;
		now = then;
		steps++;
	}
	if (fair_n(&turns->ready) == 0)
		uv_idle_stop(&turns->busy);
}

static void do_nothing(uv_idle_t *idle)
{
	(void)idle;
}

void turns_init(struct turns *turns, uv_loop_t *loop, void (*step)(struct turn *), void (*changed)(struct turn *))
{
	fair_init(&turns->ready);
	list_init(&turns->meters);
	turns->step = step;
	turns->changed = changed;
	REQUIRE(uv_check_init(loop, &turns->after_poll) == 0 && uv_idle_init(loop, &turns->busy) == 0);
	REQUIRE(uv_timer_init(loop, &turns->window) == 0);
	turns->after_poll.data = turns->window.data = turns;
	uv_check_start(&turns->after_poll, turns_take);
	/* The loop lives for its connections, not for these. */
	uv_unref((uv_handle_t *)&turns->after_poll);
	uv_unref((uv_handle_t *)&turns->busy);
	uv_unref((uv_handle_t *)&turns->window);
}

void turns_deinit(struct turns *turns)
{
	REQUIRE(fair_n(&turns->ready) == 0);
	LIST_EACH(node, &turns->meters)
	meter_free(LIST_ENTRY(node, struct meter, link));
}

void turns_ready(struct turns *turns, struct turn *turn)
{
	if (turn->held || fair_waits(&turn->item))
		return;
	fair_put(&turns->ready, &turn->item, &turn->owner);
	uv_idle_start(&turns->busy, do_nothing);
}

void turns_forget(struct turns *turns, struct turn *turn)
{
	if (turn->held)
		list_remove(&turn->item.link);
	else if (fair_waits(&turn->item))
		fair_remove(&turns->ready, &turn->item);
	turn->held = false;
}
