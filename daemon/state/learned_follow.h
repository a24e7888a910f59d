/* SPDX-License-Identifier: MIT */
/* daemon/state/learned_follow.h: what an undo or rollback touched, read into memory. For restore.c alone.
 *
 * Invariant: it leads to the same nodes, history and marks as learned_reload, whatever the changes were. */
#pragma once

#include "daemon/state/learned_inside.h"
#include "lib/base/err.h"

/* entry is the newest change, of the store and of the history. An error: memory is half way and has to be read anew. */
int learned_follow(struct learned *learned, const struct change_entry *entry, struct err *err);
