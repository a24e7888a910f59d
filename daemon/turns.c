/* SPDX-License-Identifier: MIT */
/* daemon/turns.c: see turns.h. */
#include "daemon/turns.h"

#include "lib/base/require.h"

enum { TURN_STEPS = 4 }; /* between two looks at the sockets: who is new waits for no more */

static void turns_take(uv_check_t *check)
{
	struct turns *turns = check->data;
	for (int i = 0; i < TURN_STEPS && fair_n(&turns->ready) > 0; i++)
		turns->step(fair_take(&turns->ready));
	if (fair_n(&turns->ready) == 0)
		uv_idle_stop(&turns->busy);
}

static void do_nothing(uv_idle_t *idle)
{
	(void)idle;
}

void turns_init(struct turns *turns, uv_loop_t *loop, void (*step)(struct fair_item *))
{
	fair_init(&turns->ready);
	turns->step = step;
	REQUIRE(uv_check_init(loop, &turns->after_poll) == 0 && uv_idle_init(loop, &turns->busy) == 0);
	turns->after_poll.data = turns;
	uv_check_start(&turns->after_poll, turns_take);
	/* The loop lives for its connections, not for these. */
	uv_unref((uv_handle_t *)&turns->after_poll);
	uv_unref((uv_handle_t *)&turns->busy);
}

void turns_ready(struct turns *turns, struct fair_item *item, const struct fair_owner *owner)
{
	if (fair_waits(item))
		return;
	fair_put(&turns->ready, item, owner);
	uv_idle_start(&turns->busy, do_nothing);
}

void turns_forget(struct turns *turns, struct fair_item *item)
{
	if (fair_waits(item))
		fair_remove(&turns->ready, item);
}
