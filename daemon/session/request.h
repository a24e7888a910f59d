/* SPDX-License-Identifier: MIT */
/* daemon/session/request.h: one request, from its last byte to its final reply, of which there is exactly one. Loop thread.
 *
 * It outlives its connection when a lane works for it: then nobody waits for the answer, and the shares it holds are
 * given back when the lane is done. */
#pragma once

#include <stdint.h>

#include "daemon/shares/fair.h"
#include "daemon/shares/quota.h"
#include "lib/base/err.h"

struct op;
struct service;
struct session;

struct request {
	struct list link; /* in session->requests */
	struct service *service;
	struct session *session;       /* NULL: the connection is gone, nobody waits */
	struct quota_charge in_flight; /* nothing: the loop answers it at once */
	struct fair_owner owner;       /* of the connection it came by */
	uint32_t id;
	const struct op *op;
	uint64_t received_us;
	uint64_t deadline_us; /* 0: none */
	/* Tries to stop it: answers the request with *why if that is still possible, else marks or ignores it. NULL: there
	 * is nothing to stop. */
	void (*stop)(struct request *request, const struct err *why);
	void *work; /* for stop */
};

struct request *request_new(struct session *session, uint32_t id, const struct op *op);
/* ERR_RESOURCE_EXHAUSTED: the connection has as many in flight as it may. */
int request_room(const struct session *session, struct err *err);
/* Charges it to connection and uid. ERR_RESOURCE_EXHAUSTED: too many. */
int request_charge(struct request *request, struct err *err);
/* The request is over; the caller has answered it. */
void request_free(struct request *request);
struct request *session_request(struct session *session, uint32_t id); /* NULL: none in flight */
/* DEADLINE_EXCEEDED or 0: may the request's result still be told? */
int request_expired(const struct request *request, struct err *err);
/* Nobody waits any more at the other end: whatever can be stopped is, the rest goes on without a connection. */
void requests_stop(struct session *session);
