/* SPDX-License-Identifier: MIT */
/* daemon/session/request.h: one request, from its last byte to its final reply, of which there is exactly one. Loop thread.
 *
 * It outlives its connection when a lane works for it: then nobody waits for the answer, and the shares it holds are
 * given back when the lane is done. */
#pragma once

#include "daemon/session/sessions.h"
#include "lib/base/err.h"

/* Those of one connection. */
struct requests {
	struct list list;
	uint32_t n_in_flight; /* of them, those that a lane works for */
	struct sessions *sessions;
	struct session *session;
	struct fair_owner owner;
};

struct request {
	struct list link;
	struct requests *among; /* NULL: the connection is gone */
	struct sessions *sessions;
	struct session *session;       /* NULL: nobody waits */
	struct quota_charge in_flight; /* nothing: the loop answers it at once */
	struct fair_owner owner;       /* of the connection it came by */
	uint32_t id;
	uint64_t received_us;
	uint64_t deadline_us; /* 0: none */
	/* Tries to stop it: answers the request with *why if that is still possible, else marks or ignores it. NULL: there
	 * is nothing to stop. */
	void (*stop)(struct request *request, const struct err *why);
	void *work; /* for stop */
};

void requests_init(
	struct requests *requests, struct sessions *sessions, struct session *session, const struct fair_owner *owner);
/* Nobody waits any more at the other end: whatever can be stopped is, the rest goes on without a connection. */
void requests_stop(struct requests *requests);
/* ERR_RESOURCE_EXHAUSTED: the connection has as many in flight as it may. */
int requests_room(const struct requests *requests, struct err *err);
struct request *requests_find(const struct requests *requests, uint32_t id); /* NULL: none in flight */

struct request *request_new(struct requests *requests, uint32_t id);
/* Charges it to connection and uid. ERR_RESOURCE_EXHAUSTED: too many. */
int request_charge(struct request *request, struct err *err);
/* DEADLINE_EXCEEDED or 0: may the request's result still be told? */
int request_expired(const struct request *request, struct err *err);
/* The request is over; the caller has answered it. */
void request_free(struct request *request);
