/* SPDX-License-Identifier: MIT */
/* daemon/ops/hello.h: the first frame of a connection. */
#pragma once

#include "daemon/ops/op.h"

/* Answers the client's Hello and begins its struct connection, or refuses it and ends the session. */
void hello_answer(struct ops *ops, struct session *session, uint32_t id, const uint8_t *body, size_t body_bytes);
