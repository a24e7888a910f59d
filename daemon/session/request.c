/* SPDX-License-Identifier: MIT */
/* daemon/session/request.c: see request.h. */
#include "daemon/session/request.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "daemon/session/session.h"
#include "lib/base/memory.h"
#include "proto/limits.h"

enum { REQUEST_RETRY_MS = 100 /* advice with RESOURCE_EXHAUSTED */ };

struct request *request_new(struct session *s, uint32_t id, const struct op *op)
{
	struct request *request = mem_zalloc(1, sizeof *request);
	request->service = s->service;
	request->session = s;
	request->owner = s->turn.owner;
	request->id = id;
	request->op = op;
	request->received_us = clock_us();
	list_append(&s->requests, &request->link);
	return request;
}

int request_room(const struct session *s, struct err *err)
{
	if (s->n_in_flight < IN_FLIGHT_PER_SESSION)
		return 0;
	err_set(err, ERR_RESOURCE_EXHAUSTED,
		"this connection has %u requests in flight: the limit is %d, wait for a reply", s->n_in_flight,
		IN_FLIGHT_PER_SESSION);
	err->field = "in_flight";
	err->limit = IN_FLIGHT_PER_SESSION;
	err->retry_after_ms = REQUEST_RETRY_MS;
	return -ERR_RESOURCE_EXHAUSTED;
}

int request_charge(struct request *request, struct err *err)
{
	struct session *s = request->session;
	int r = request_room(s, err);
	if (r == 0)
		r = quota_charge(&s->service->quota, s->peer.uid, QUOTA_IN_FLIGHT, 1, &request->in_flight, err);
	if (r != 0)
		return r;
	s->n_in_flight++;
	s->service->n_requests++;
	return 0;
}

void request_free(struct request *request)
{
	if (request->in_flight.amount) {
		quota_release(&request->in_flight);
		request->service->n_requests--;
		if (request->session)
			request->session->n_in_flight--;
	}
	list_remove(&request->link);
	free(request);
}

struct request *session_request(struct session *s, uint32_t id)
{
	LIST_EACH(node, &s->requests)
	{
		struct request *request = LIST_ENTRY(node, struct request, link);
		if (request->id == id)
			return request;
	}
	return NULL;
}

int request_expired(const struct request *request, struct err *err)
{
	if (request->deadline_us && clock_us() >= request->deadline_us)
		return err_set(err, ERR_DEADLINE_EXCEEDED, "the request's timeout_ms was over before its result");
	return 0;
}

/* A stop may end other requests, never begin new ones. */
void requests_stop(struct session *s)
{
	struct err gone;
	struct list requests;
	err_set(&gone, ERR_CANCELLED, "the connection is gone");
	list_init(&requests);
	list_move_all(&s->requests, &requests);
	LIST_EACH(node, &requests)
	{
		struct request *request = LIST_ENTRY(node, struct request, link);
		request->session = NULL;
		if (request->in_flight.amount)
			s->n_in_flight--;
	}
	for (struct list *node; (node = list_take(&requests));) {
		struct request *request = LIST_ENTRY(node, struct request, link);
		if (request->stop)
			request->stop(request, &gone);
	}
}
