/* SPDX-License-Identifier: MIT */
/* daemon/ops/hello.c: see hello.h. */
#include "daemon/ops/hello.h"

#include "daemon/wire/frames.h"
#include "daemon/wire/scratch.h"
#include "daemon/wire/views.h"
#include "lib/base/memory.h"
#include "proto/limits.h"

_Static_assert((int)ROLE_NONE == BNND__ROLE__ROLE_NONE && (int)ROLE_USE == BNND__ROLE__ROLE_USE &&
		       (int)ROLE_TEACH == BNND__ROLE__ROLE_TEACH && (int)ROLE_ADMIN == BNND__ROLE__ROLE_ADMIN,
	"one is sent as the other");

static int check(const Bnnd__Hello *hello, struct err *err)
{
	if (hello->major == PROTOCOL_MAJOR)
		return 0;
	return err_set_about(err, ERR_FAILED_PRECONDITION,
		(struct err_about){.field = "major", .limit = PROTOCOL_MAJOR},
		"this daemon speaks protocol %d.%d, the client %u.%u: install both from the same release",
		PROTOCOL_MAJOR, PROTOCOL_MINOR, hello->major, hello->minor);
}

static void limits_view(const struct config *config, Bnnd__Limits *limits)
{
	bnnd__limits__init(limits);
	limits->body_bytes = FRAME_BODY_MAX_BYTES;
	limits->payload_bytes = FRAME_PAYLOAD_MAX_BYTES;
	limits->in_flight = IN_FLIGHT_PER_SESSION;
	limits->lesson_pictures = config->lesson_max_pictures;
	limits->lesson_classes = config->lesson_max_classes;
	limits->lesson_idle_ms = config->lesson_idle_s * 1000;
	limits->classes = config->max_classes;
	limits->page = PAGE_MAX;
	limits->frame_complete_ms = FRAME_COMPLETE_MS;
}

void hello_answer(struct ops *ops, struct session *session, uint32_t id, const uint8_t *body, size_t body_bytes)
{
	ProtobufCMessage *message;
	struct err err;
	int r = decode_body(&ops->arena, &bnnd__hello__descriptor, body, body_bytes, &message, &err);
	if (r == 0)
		r = check((const Bnnd__Hello *)message, &err);
	if (r != 0) {
		session_fault(session, id, &err);
		return;
	}
	Bnnd__HelloReply reply;
	Bnnd__Limits limits;
	struct scratch scratch = SCRATCH_INIT;
	frame_hello_init(&reply);
	limits_view(ops->config, &limits);
	reply.limits = &limits;
	reply.model = views_model(ops->model, &scratch);
	reply.role = (Bnnd__Role)session->role;
	reply.seq = ops->published->now->seq;
	session->context = mem_zalloc(1, sizeof(struct connection));
	session_greet(session, frame_of(FRAME_HELLO, id, &reply.base, NULL, 0));
	scratch_free(&scratch);
}
