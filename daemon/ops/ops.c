/* SPDX-License-Identifier: MIT */
/* daemon/ops/ops.c: see ops.h. What every request passes, whatever it asks: decoding, the operation's name, the role, the
 * time-out, the payload, the share of requests in flight. */
#include "daemon/ops/ops.h"

#include <stdlib.h>

#include "daemon/ops/answer.h"
#include "daemon/ops/hello.h"
#include "daemon/ops/lesson.h"
#include "lib/base/memory.h"
#include "proto/limits.h"

#define OP(name) BNND__REQUEST__OP_##name
static const struct op table[] = {
	{OP(STATUS), "status", ROLE_USE, OP_LOOP, false, op_status},
	{OP(INFER), "infer", ROLE_USE, OP_INFER, true, op_infer},
	{OP(EMBED), "embed", ROLE_TEACH, OP_INFER, true, op_embed},
	{OP(LOOK), "look", ROLE_USE, OP_INFER, true, op_look},
	{OP(LESSON_BEGIN), "lesson_begin", ROLE_TEACH, OP_LOOP, false, op_lesson_begin},
	{OP(LESSON_ADD), "lesson_add", ROLE_TEACH, OP_ADD, true, op_lesson_add},
	{OP(LESSON_COMMIT), "lesson_commit", ROLE_TEACH, OP_LEARN, false, op_lesson_commit},
	{OP(LESSON_ABORT), "lesson_abort", ROLE_TEACH, OP_LOOP, false, op_lesson_abort},
	{OP(CLASSES), "classes", ROLE_USE, OP_LOOP, false, op_classes},
	{OP(CLASS_DETAIL), "class_detail", ROLE_USE, OP_LOOP, false, op_class_detail},
	{OP(HISTORY), "history", ROLE_USE, OP_LOOP, false, op_history},
	{OP(FORGET), "forget", ROLE_TEACH, OP_LEARN, false, op_forget},
	{OP(RENAME), "rename", ROLE_TEACH, OP_LEARN, false, op_rename},
	{OP(UNDO), "undo", ROLE_TEACH, OP_LEARN, false, op_undo},
	{OP(ROLLBACK), "rollback", ROLE_TEACH, OP_LEARN, false, op_rollback},
};
#undef OP
enum { N_OPS = sizeof table / sizeof *table };

const struct op *op_at(size_t i)
{
	return i < N_OPS ? &table[i] : NULL;
}

const struct op *op_find(Bnnd__Request__OpCase code)
{
	for (size_t i = 0; i < N_OPS; i++)
		if (table[i].code == code)
			return &table[i];
	return NULL;
}

/* Everything that can be said about a request before its operation looks at it. */
static int check(const struct ops *ops, const struct session *session, const struct op *op,
	const Bnnd__Request *message, size_t payload_bytes, struct err *err)
{
	if (!op)
		return err_set(err, ERR_UNIMPLEMENTED,
			"the request names no operation that this daemon (bnnd " BNND_VERSION ") knows");
	if (session->role < op->role)
		return err_set(err, ERR_PERMISSION_DENIED, "%s needs the role %s, you have %s", op->name,
			access_role_name(op->role), access_role_name(session->role));
	if (message->timeout_ms > TIMEOUT_MAX_MS)
		return err_set_about(err, ERR_INVALID_ARGUMENT,
			(struct err_about){.field = "timeout_ms", .limit = TIMEOUT_MAX_MS},
			"timeout_ms is %u: at most %d, or 0 for none", message->timeout_ms, TIMEOUT_MAX_MS);
	if (payload_bytes && !op->picture)
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "payload"},
			"%s takes no payload", op->name);
	if (ops->health->stopping && op->lane != OP_LOOP)
		return err_set(err, ERR_UNAVAILABLE, "the daemon is stopping");
	return 0;
}

/* session_handlers.request */
static void dispatch(void *ctx, struct session *session, const struct frame_header *header, const uint8_t *body,
	struct payload payload)
{
	struct ops *ops = ctx;
	struct op_input input = {.ops = ops, .payload = payload};
	const struct op *op = NULL;
	ProtobufCMessage *message;
	struct err err;
	int r = 0;
	if (header->flags & FRAME_MORE)
		r = err_set(&err, ERR_INVALID_ARGUMENT, "no operation takes a request in several frames");
	if (r == 0)
		r = decode_body(&ops->arena, &bnnd__request__descriptor, body, header->body_bytes, &message, &err);
	if (r == 0) {
		input.message = (const Bnnd__Request *)message;
		op = op_find(input.message->op_case);
		r = check(ops, session, op, input.message, payload.len_bytes, &err);
	}
	if (r != 0) {
		payload_drop(&input.payload);
		session_refuse(session, header->request_id, &err);
		return;
	}
	struct request *request = request_new(&session->requests, header->request_id);
	if (input.message->timeout_ms)
		request->deadline_us = request->received_us + (uint64_t)input.message->timeout_ms * 1000;
	if (op->lane != OP_LOOP && request_charge(request, &err) != 0)
		answer_error(request, &err);
	else
		op->handle(request, &input);
	payload_drop(&input.payload);
}

/* session_handlers.hello */
static void hello(void *ctx, struct session *session, uint32_t id, const uint8_t *body, size_t body_bytes)
{
	hello_answer(ctx, session, id, body, body_bytes);
}

/* session_handlers.gone */
static void gone(void *ctx, struct session *session)
{
	if (session->context)
		lesson_drop(ctx, session->context, "its connection was closed");
	free(session->context);
	session->context = NULL;
}

struct session_handlers ops_handlers(struct ops *ops)
{
	return (struct session_handlers){.ctx = ops, .hello = hello, .request = dispatch, .gone = gone};
}

void ops_init(struct ops *ops)
{
	const struct config *config = ops->config;
	const struct lesson_limits limits = {.n_features = ops->model->n_features,
		.features_bytes = LESSON_FEATURES_MAX_BYTES,
		.pictures = config->lesson_max_pictures,
		.classes = config->lesson_max_classes,
		.known_classes = config->max_classes,
		.idle_us = (uint64_t)config->lesson_idle_s * 1000000};
	lessons_init(&ops->lessons, &limits);
	ops->arena_memory = mem_aligned(DECODE_ARENA_BYTES);
	decode_arena_init(&ops->arena, ops->arena_memory, DECODE_ARENA_BYTES);
}

void ops_start(struct ops *ops, uv_loop_t *loop)
{
	lesson_clock_init(ops, loop);
}

void ops_stop(struct ops *ops)
{
	lesson_drop_all(ops, "the daemon is stopping");
}

void ops_deinit(struct ops *ops)
{
	lesson_clock_free(ops);
	lessons_deinit(&ops->lessons);
	free(ops->arena_memory);
}
