/* SPDX-License-Identifier: MIT */
/* daemon/session/request.c: see request.h. */
#include "daemon/session/request.h"

#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "proto/limits.h"

void requests_init(
	struct requests *requests, struct sessions *sessions, struct session *session, const struct fair_owner *owner)
{
	*requests = (struct requests){.sessions = sessions, .session = session, .owner = *owner};
	list_init(&requests->list);
}

struct request *request_new(struct requests *requests, uint32_t id)
{
	struct request *request = mem_zalloc(1, sizeof *request);
	request->among = requests;
	request->sessions = requests->sessions;
	request->session = requests->session;
	request->owner = requests->owner;
	request->id = id;
	request->received_us = clock_us();
	list_append(&requests->list, &request->link);
	return request;
}

int requests_room(const struct requests *requests, struct err *err)
{
	if (requests->n_in_flight < IN_FLIGHT_PER_SESSION)
		return 0;
	return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
		(struct err_about){
			.field = "in_flight", .limit = IN_FLIGHT_PER_SESSION, .retry_after_ms = ERR_RETRY_REQUEST_MS},
		"this connection has %u requests in flight: the limit is %d, wait for a reply", requests->n_in_flight,
		IN_FLIGHT_PER_SESSION);
}

int request_charge(struct request *request, struct err *err)
{
	struct requests *requests = request->among;
	int r = requests_room(requests, err);
	if (r == 0)
		r = quota_charge(
			&request->sessions->quota, request->owner.uid, QUOTA_IN_FLIGHT, 1, &request->in_flight, err);
	if (r != 0)
		return r;
	requests->n_in_flight++;
	request->sessions->n_requests++;
	return 0;
}

void request_free(struct request *request)
{
	if (request->in_flight.amount) {
		quota_release(&request->in_flight);
		request->sessions->n_requests--;
		if (request->among)
			request->among->n_in_flight--;
	}
	list_remove(&request->link);
	free(request);
}

struct request *requests_find(const struct requests *requests, uint32_t id)
{
	LIST_EACH(node, &requests->list)
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
void requests_stop(struct requests *requests)
{
	struct err gone;
	struct list left;
	err_set(&gone, ERR_CANCELLED, "the connection is gone");
	list_init(&left);
	list_move_all(&requests->list, &left);
	LIST_EACH(node, &left)
	{
		struct request *request = LIST_ENTRY(node, struct request, link);
		request->among = NULL;
		request->session = NULL;
	}
	requests->n_in_flight = 0;
	for (struct list *node; (node = list_take(&left));) {
		struct request *request = LIST_ENTRY(node, struct request, link);
		if (request->stop)
			request->stop(request, &gone);
	}
}
