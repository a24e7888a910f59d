/* SPDX-License-Identifier: MIT */
/* daemon/session/turns.h: the loop's own time, shared: connections that can be served wait in a fair queue, and between two looks
 * at the sockets the loop takes a few small steps (read once, do one frame) for whoever is next. So a flood of one user's
 * requests costs another at most one step before its own.
 *
 * And a user may have a quarter of the loop's time, no more: who used it up is held for the rest of the window. Else a
 * flood of small requests would keep a core busy in the daemon and another in the flooder, and on a small board nothing
 * is left to compute the others' pictures. Loop thread. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "daemon/shares/fair.h"

enum { TURN_WINDOW_US = 2000, TURN_SHARE_US = 500 };

struct turn {
	struct fair_item item;
	struct fair_owner owner;
	bool held; /* its user had its share: there is no sense in watching its socket */
};

struct turns {
	struct fair_queue ready;
	struct list meters; /* of users who had turns lately */
	void (*step)(struct turn *turn);
	void (*changed)(struct turn *turn); /* its `held` */
	uv_check_t after_poll;
	uv_idle_t busy;    /* active while somebody is ready: the loop does not sleep */
	uv_timer_t window; /* runs while somebody is held */
};

/* step serves a turn once; it may make it ready again. */
void turns_init(
	struct turns *turns, uv_loop_t *loop, void (*step)(struct turn *turn), void (*changed)(struct turn *turn));
void turns_deinit(struct turns *turns);
/* Nothing happens to one that is ready or held already. */
void turns_ready(struct turns *turns, struct turn *turn);
/* Whatever it was. */
void turns_forget(struct turns *turns, struct turn *turn);
