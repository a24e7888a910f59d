/* SPDX-License-Identifier: MIT */
/* daemon/turns.h: the loop's own time, shared: connections that can be served wait in a fair queue, and between two looks
 * at the sockets the loop takes a few small steps (read once, do one frame) for whoever is next. So a flood of one user's
 * requests costs another at most one step before its own. Loop thread. */
#pragma once

#include <uv.h>

#include "daemon/fair.h"

struct turns {
	struct fair_queue ready;
	void (*step)(struct fair_item *item);
	uv_check_t after_poll;
	uv_idle_t busy; /* active while somebody is ready: the loop does not sleep */
};

/* step serves an item once; it may make it ready again. */
void turns_init(struct turns *turns, uv_loop_t *loop, void (*step)(struct fair_item *item));
/* Nothing happens to one that is ready already. */
void turns_ready(struct turns *turns, struct fair_item *item, const struct fair_owner *owner);
/* Whatever it was. */
void turns_forget(struct turns *turns, struct fair_item *item);
