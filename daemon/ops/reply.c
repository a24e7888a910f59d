/* SPDX-License-Identifier: MIT */
/* daemon/ops/reply.c: see reply.h.
 *
 * Invariant: no body over FRAME_BODY_MAX_BYTES leaves; whoever builds a page keeps within it, and what does not is told
 * as INTERNAL instead of breaking the client's stream. */
#include "daemon/ops/reply.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/wire/views.h"
#include "lib/base/memory.h"
#include "proto/frame.h"
#include "proto/limits.h"

struct scratch_piece {
	struct scratch_piece *next;
	_Alignas(16) uint8_t bytes[];
};

void *scratch_alloc(struct scratch *scratch, size_t n, size_t bytes)
{
	size_t total = 0;
	if (!size_mul(n, bytes, &total))
		abort();
	struct scratch_piece *piece = mem_zalloc(1, sizeof *piece + total);
	piece->next = scratch->pieces;
	scratch->pieces = piece;
	return piece->bytes;
}

char *scratch_text(struct scratch *scratch, const char *text)
{
	size_t n = strlen(text) + 1;
	return memcpy(scratch_alloc(scratch, 1, n), text, n);
}

void scratch_free(struct scratch *scratch)
{
	while (scratch->pieces) {
		struct scratch_piece *piece = scratch->pieces;
		scratch->pieces = piece->next;
		free(piece);
	}
}

/* Packs any message as the body of a frame. */
static struct outbox_frame *frame_of(
	uint16_t kind, uint32_t id, const ProtobufCMessage *message, uint8_t *payload, size_t payload_bytes)
{
	size_t body_bytes = protobuf_c_message_get_packed_size(message);
	struct frame_header header = {.body_bytes = (uint32_t)body_bytes,
		.payload_bytes = payload ? (uint32_t)payload_bytes : 0,
		.request_id = id,
		.kind = kind};
	struct outbox_frame *frame = outbox_frame_new(FRAME_HEADER_BYTES + body_bytes, payload, payload_bytes);
	frame_header_encode(&header, frame->head);
	protobuf_c_message_pack(message, frame->head + FRAME_HEADER_BYTES);
	return frame;
}

static void put_message(struct session *session, uint16_t kind, uint32_t id, const ProtobufCMessage *message,
	uint8_t *payload, size_t payload_bytes)
{
	session_put(session, frame_of(kind, id, message, payload, payload_bytes));
}

static void status_of(const struct err *err, Bnnd__Status *ret_status)
{
	bnnd__status__init(ret_status);
	ret_status->code = err->code ? (uint32_t)err->code : ERR_INTERNAL;
	ret_status->message = err->code ? (char *)err->text : (char *)"an error without a reason: please report it";
	if (err->field)
		ret_status->field = (char *)err->field;
	ret_status->limit = err->limit;
	ret_status->retry_after_ms = err->retry_after_ms;
}

void reply_refuse(struct session *session, uint32_t id, const struct err *err)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Status status;
	status_of(err, &status);
	reply.status = &status;
	put_message(session, FRAME_REPLY, id, &reply.base, NULL, 0);
}

void reply_error(struct request *request, const struct err *err)
{
	request->stop = NULL;
	if (request->session)
		reply_refuse(request->session, request->id, err);
	request_free(request);
}

void reply_send(struct request *request, const Bnnd__Reply *reply, uint8_t *payload, size_t payload_bytes)
{
	struct err err;
	request->stop = NULL;
	if (!request->session) {
		free(payload);
		request_free(request);
		return;
	}
	if (protobuf_c_message_get_packed_size(&reply->base) > FRAME_BODY_MAX_BYTES) {
		free(payload);
		err_set(&err, ERR_INTERNAL, "the answer does not fit into a frame");
		reply_error(request, &err);
		return;
	}
	if (payload && payload_bytes > FRAME_PAYLOAD_MAX_BYTES) {
		free(payload);
		err_set(&err, ERR_RESOURCE_EXHAUSTED, "the answer's payload of %zu bytes is over the limit",
			payload_bytes);
		err.limit = FRAME_PAYLOAD_MAX_BYTES;
		reply_error(request, &err);
		return;
	}
	put_message(request->session, FRAME_REPLY, request->id, &reply->base, payload, payload_bytes);
	request_free(request);
}

static void hello_init(Bnnd__HelloReply *reply)
{
	bnnd__hello_reply__init(reply);
	reply->major = PROTOCOL_MAJOR;
	reply->minor = PROTOCOL_MINOR;
	reply->software = (char *)"bnnd " BNND_VERSION;
}

static struct outbox_frame *refusing_hello(uint32_t id, const struct err *err)
{
	Bnnd__HelloReply reply;
	Bnnd__Status status;
	hello_init(&reply);
	status_of(err, &status);
	reply.status = &status;
	return frame_of(FRAME_HELLO, id, &reply.base, NULL, 0);
}

void reply_fault(struct session *session, uint32_t id, const struct err *err)
{
	if (session->state == SESSION_NEW)
		session_put(session, refusing_hello(id, err));
	else
		reply_refuse(session, id, err);
	session_end(session);
}

void reply_hello(struct session *session, uint32_t id, const uint8_t *body, size_t body_bytes)
{
	struct service *service = session->service;
	const struct config *config = service->config;
	struct err err;
	ProtobufCMessage *message;
	if (decode_body(&service->arena, &bnnd__hello__descriptor, body, body_bytes, &message, &err) != 0) {
		reply_fault(session, id, &err);
		return;
	}
	const Bnnd__Hello *hello = (const Bnnd__Hello *)message;
	if (hello->major != PROTOCOL_MAJOR) {
		err_set(&err, ERR_FAILED_PRECONDITION,
			"this daemon speaks protocol %d.%d, the client %u.%u: install both from the same release",
			PROTOCOL_MAJOR, PROTOCOL_MINOR, hello->major, hello->minor);
		err.field = "major";
		err.limit = PROTOCOL_MAJOR;
		reply_fault(session, id, &err);
		return;
	}
	Bnnd__HelloReply reply;
	Bnnd__Limits limits = BNND__LIMITS__INIT;
	struct scratch scratch = SCRATCH_INIT;
	hello_init(&reply);
	limits.body_bytes = FRAME_BODY_MAX_BYTES;
	limits.payload_bytes = FRAME_PAYLOAD_MAX_BYTES;
	limits.in_flight = IN_FLIGHT_PER_SESSION;
	limits.lesson_pictures = config->lesson_max_pictures;
	limits.lesson_classes = config->lesson_max_classes;
	limits.lesson_idle_ms = config->lesson_idle_s * 1000;
	limits.classes = config->max_classes;
	limits.page = PAGE_MAX;
	limits.frame_complete_ms = FRAME_COMPLETE_MS;
	reply.limits = &limits;
	reply.model = views_model(service, &scratch);
	reply.role = (Bnnd__Role)session->role;
	reply.seq = service->snapshot->seq;
	session->state = SESSION_GREETED;
	put_message(session, FRAME_HELLO, id, &reply.base, NULL, 0);
	scratch_free(&scratch);
}
