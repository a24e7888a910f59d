/* SPDX-License-Identifier: MIT */
/* daemon/ops/lesson.h: lessons that end without being asked to. */
#pragma once

#include "daemon/ops/op.h"

/* The connection's lesson, if one is open, ends without a commit. `why` is a static part of a sentence. */
void lesson_drop(struct ops *ops, struct connection *connection, const char *why);
/* Those of all connections. */
void lesson_drop_all(struct ops *ops, const char *why);

/* The clock for lesson.idle_s, which runs only while lessons are open. The loop's handles are closed by whoever closes the
 * loop; after that lesson_clock_free. */
void lesson_clock_init(struct ops *ops, uv_loop_t *loop);
void lesson_clock_free(struct ops *ops);
