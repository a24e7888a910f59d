/* SPDX-License-Identifier: MIT */
/* daemon/wire/frames.c: see frames.h. */
#include "daemon/wire/frames.h"

#include <stdlib.h>

#include "lib/base/memory.h"
#include "proto/frame.h"
#include "proto/limits.h"

struct frame *frame_new(size_t head_bytes, uint8_t *payload, size_t payload_bytes)
{
	struct frame *frame = mem_zalloc(1, sizeof *frame + head_bytes);
	list_init(&frame->link);
	frame->head_bytes = head_bytes;
	frame->payload = payload;
	frame->payload_bytes = payload ? payload_bytes : 0;
	return frame;
}

void frame_free(struct frame *frame)
{
	free(frame->payload);
	free(frame);
}

struct frame *frame_of(
	uint16_t kind, uint32_t id, const ProtobufCMessage *message, uint8_t *payload, size_t payload_bytes)
{
	size_t body_bytes = protobuf_c_message_get_packed_size(message);
	struct frame_header header = {.body_bytes = (uint32_t)body_bytes,
		.payload_bytes = payload ? (uint32_t)payload_bytes : 0,
		.request_id = id,
		.kind = kind};
	struct frame *frame = frame_new(FRAME_HEADER_BYTES + body_bytes, payload, payload_bytes);
	frame_header_encode(&header, frame->head);
	protobuf_c_message_pack(message, frame->head + FRAME_HEADER_BYTES);
	return frame;
}

void frame_hello_init(Bnnd__HelloReply *reply)
{
	bnnd__hello_reply__init(reply);
	reply->major = PROTOCOL_MAJOR;
	reply->minor = PROTOCOL_MINOR;
	reply->software = (char *)"bnnd " BNND_VERSION;
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

struct frame *frame_refusal(uint32_t id, const struct err *err)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Status status;
	status_of(err, &status);
	reply.status = &status;
	return frame_of(FRAME_REPLY, id, &reply.base, NULL, 0);
}

struct frame *frame_hello_refusal(uint32_t id, const struct err *err)
{
	Bnnd__HelloReply reply;
	Bnnd__Status status;
	frame_hello_init(&reply);
	status_of(err, &status);
	reply.status = &status;
	return frame_of(FRAME_HELLO, id, &reply.base, NULL, 0);
}
