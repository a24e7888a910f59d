/* SPDX-License-Identifier: MIT */
/* daemon/ops/ops.h: the table of operations, and how a connection's frames come to them. */
#pragma once

#include "daemon/ops/op.h"

/* NULL: this version knows no such operation. */
const struct op *op_find(Bnnd__Request__OpCase code);
const struct op *op_at(size_t i); /* NULL: i is behind the last; for tests that walk the table */

/* The borrowed fields and those of status are set before; makes the others. */
void ops_init(struct ops *ops);
/* The loop is there; whoever closes it closes what they left open in it. */
void ops_start(struct ops *ops, uv_loop_t *loop);
/* What sessions call. */
struct session_handlers ops_handlers(struct ops *ops);
/* The daemon stops: open lessons that are not being committed end. */
void ops_stop(struct ops *ops);
/* No request and no session is left, and the loop was closed. */
void ops_deinit(struct ops *ops);
