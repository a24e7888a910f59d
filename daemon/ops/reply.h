/* SPDX-License-Identifier: MIT */
/* daemon/ops/reply.h: replies: built in a scratch, packed into one frame, put into the connection's outbox. */
#pragma once

#include "daemon/session/session.h"
#include "proto/bnnd.pb-c.h"

/* Small memory for the pointers of a reply; everything of it is freed at once. */
struct scratch {
	struct scratch_piece *pieces;
};
#define SCRATCH_INIT                                                                                                   \
	{                                                                                                              \
		0                                                                                                      \
	}
void *scratch_alloc(struct scratch *scratch, size_t n, size_t bytes); /* zeroed */
char *scratch_text(struct scratch *scratch, const char *text);
void scratch_free(struct scratch *scratch);

/* Answers the request and ends it. payload (NULL: none) is taken over. */
void reply_send(struct request *request, const Bnnd__Reply *reply, uint8_t *payload, size_t payload_bytes);
/* The same with why it failed; err->code 0 would be a bug and is told as INTERNAL. */
void reply_error(struct request *request, const struct err *err);

/* A request that never became one: refused by its header or its body. */
void reply_refuse(struct session *session, uint32_t id, const struct err *err);

/* What is wrong with the connection itself: before the hello as a HELLO, after it as a REPLY with this id (0: of no
 * request). The session ends. */
void reply_fault(struct session *session, uint32_t id, const struct err *err);

/* Takes the client's hello: answers it, or refuses it and ends the session. */
void reply_hello(struct session *session, uint32_t id, const uint8_t *body, size_t body_bytes);
