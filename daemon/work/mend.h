/* SPDX-License-Identifier: MIT */
/* daemon/work/mend.h: while something that may pass stands in the way of changes (another process has the state, the disk
 * is full, the directory was moved away), the learn lane is asked every MEND_MS whether it has passed. */
#pragma once

#include "daemon/lesson/keyset.h"
#include "daemon/state/learned.h"
#include "daemon/state/published.h"
#include "daemon/work/lanes.h"

enum { MEND_MS = 200 };

struct mend { /* all borrowed, and outlives the lane */
	struct lane *lane;
	struct learned *learned;
	struct published *published;
	struct keyset *committed; /* gets the keys of a state that was opened */
	struct fair_owner owner;  /* whose turn in the lane it is */
	bool running;             /* it answers no request, but a stop waits for it as for one */
};

/* Does anything stand in the way that may pass? Then mend_push is to be called in MEND_MS. An idle daemon in good order is
 * never woken. */
bool mend_wanted(const struct mend *mend);
/* Asks the lane once, but for the one that it is being asked already. Loop thread. */
void mend_push(struct mend *mend);
