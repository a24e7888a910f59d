/* SPDX-License-Identifier: MIT */
/* daemon/state/learned_load.h: what the store holds, read into memory. For learned*.c and change.c alone. */
#pragma once

#include "daemon/state/learned_inside.h"
#include "lib/base/err.h"

/* Everything anew from the store, and published. */
int learned_reload(struct learned *learned, struct err *err);
/* Puts the store's classes in memory, without their lessons: all of them (touched_by 0), or those alone that the newest
 * change, touched_by, touched. What is damaged becomes a reason. */
int learned_load_classes(struct learned *learned, uint64_t touched_by, struct err *err);
