/* SPDX-License-Identifier: MIT */
/* daemon/ops/ops.c: see ops.h. What every request passes, whatever it asks: decoding, the operation's name, the role, the
 * time-out, the payload, the share of requests in flight; then the handlers of what the loop answers itself. */
#include "daemon/ops/ops.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "daemon/ops/reply.h"
#include "daemon/wire/views.h"
#include "proto/limits.h"

static void op_status(struct request *request, struct op_input *input)
{
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__DaemonStatus status;
	(void)input;
	views_status(request->service, &scratch, &status);
	reply.result_case = BNND__REPLY__RESULT_DAEMON_STATUS;
	reply.daemon_status = &status;
	reply_send(request, &reply, NULL, 0);
	scratch_free(&scratch);
}

static void op_classes(struct request *request, struct op_input *input)
{
	const Bnnd__Classes *ask = input->message->classes;
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__ClassList list;
	/* Any bytes: no label is longer, so what is cut off decides nothing. */
	struct label after = {
		.len_bytes = (uint8_t)(ask->after.len < LABEL_MAX_BYTES ? ask->after.len : LABEL_MAX_BYTES)};
	if (after.len_bytes)
		memcpy(after.bytes, ask->after.data, after.len_bytes);
	views_classes(request->service->snapshot, &after, ask->limit, &scratch, &list);
	reply.result_case = BNND__REPLY__RESULT_CLASS_LIST;
	reply.class_list = &list;
	reply_send(request, &reply, NULL, 0);
	scratch_free(&scratch);
}

static void op_class_detail(struct request *request, struct op_input *input)
{
	const Bnnd__ClassDetail *ask = input->message->class_detail;
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__ClassInfo info;
	struct err err;
	struct label label = {.len_bytes = 0};
	const struct snapshot *snapshot = request->service->snapshot;
	int r = ask->none && ask->label.len == 0 ? 0 : label_from(snapshot, &ask->label, "label", &label, &err);
	if (r == 0)
		r = views_class(snapshot, &label, &scratch, &info, &err);
	if (r != 0) {
		reply_error(request, &err);
	} else {
		reply.result_case = BNND__REPLY__RESULT_CLASS_INFO;
		reply.class_info = &info;
		reply_send(request, &reply, NULL, 0);
	}
	scratch_free(&scratch);
}

static void op_history(struct request *request, struct op_input *input)
{
	const Bnnd__History *ask = input->message->history;
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__HistoryList list;
	views_history(request->service->snapshot, ask->before_seq, ask->limit, &scratch, &list);
	reply.result_case = BNND__REPLY__RESULT_HISTORY_LIST;
	reply.history_list = &list;
	reply_send(request, &reply, NULL, 0);
	scratch_free(&scratch);
}

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
static int op_check(const struct session *session, const struct op *op, const Bnnd__Request *message,
	size_t payload_bytes, struct err *err)
{
	int r;
	if (!op)
		return err_set(err, ERR_UNIMPLEMENTED,
			"the request names no operation that this daemon (bnnd " BNND_VERSION ") knows");
	if (session->role < op->role)
		return err_set(err, ERR_PERMISSION_DENIED, "%s needs the role %s, you have %s", op->name,
			access_role_name(op->role), access_role_name(session->role));
	if (message->timeout_ms > TIMEOUT_MAX_MS) {
		r = err_set(err, ERR_INVALID_ARGUMENT, "timeout_ms is %u: at most %d, or 0 for none",
			message->timeout_ms, TIMEOUT_MAX_MS);
		err->field = "timeout_ms";
		err->limit = TIMEOUT_MAX_MS;
		return r;
	}
	if (payload_bytes && !op->picture) {
		r = err_set(err, ERR_INVALID_ARGUMENT, "%s takes no payload", op->name);
		err->field = "payload";
		return r;
	}
	if (session->service->stopping && op->lane != OP_LOOP)
		return err_set(err, ERR_UNAVAILABLE, "the daemon is stopping");
	return 0;
}

void ops_dispatch(
	struct session *session, const struct frame_header *header, const uint8_t *body, struct payload payload)
{
	struct op_input input = {.payload = payload};
	const struct op *op = NULL;
	ProtobufCMessage *message;
	struct err err;
	int r = 0;
	if (header->flags & FRAME_MORE)
		r = err_set(&err, ERR_INVALID_ARGUMENT, "no operation takes a request in several frames");
	if (r == 0)
		r = decode_body(
			&session->service->arena, &bnnd__request__descriptor, body, header->body_bytes, &message, &err);
	if (r == 0) {
		input.message = (const Bnnd__Request *)message;
		op = op_find(input.message->op_case);
		r = op_check(session, op, input.message, payload.len_bytes, &err);
	}
	if (r != 0) {
		payload_drop(&input.payload);
		reply_refuse(session, header->request_id, &err);
		return;
	}
	struct request *request = request_new(session, header->request_id, op);
	if (input.message->timeout_ms)
		request->deadline_us = request->received_us + (uint64_t)input.message->timeout_ms * 1000;
	if (op->lane != OP_LOOP && request_charge(request, &err) != 0)
		reply_error(request, &err);
	else
		op->handle(request, &input);
	payload_drop(&input.payload);
}

int label_new_from(const ProtobufCBinaryData *data, const char *field, struct label *ret_label, struct err *err)
{
	int r = label_check(data->data, data->len, ret_label, err);
	if (r != 0)
		err->field = field;
	return r;
}

int label_from(const struct snapshot *snapshot, const ProtobufCBinaryData *data, const char *field,
	struct label *ret_label, struct err *err)
{
	struct label given = {.len_bytes = (uint8_t)data->len};
	if (data->len > 0 && data->len <= LABEL_MAX_BYTES) {
		memcpy(given.bytes, data->data, data->len);
		if (snapshot_find_exact(snapshot, &given)) { /* whatever the rule of its time was */
			*ret_label = given;
			return 0;
		}
	}
	int r = label_new_from(data, field, &given, err);
	if (r != 0)
		return r;
	const struct class_entry *class = snapshot_find(snapshot, &given);
	*ret_label = class ? class->label : given;
	return 0;
}

int key_from(const ProtobufCBinaryData *data, bool may_lack, bool *ret_has, uint8_t ret_key[STORE_KEY_BYTES],
	struct err *err)
{
	if (data->len != STORE_KEY_BYTES && !(may_lack && data->len == 0)) {
		int r = err_set(err, ERR_INVALID_ARGUMENT, "the key has %zu bytes: it must have %d", data->len,
			STORE_KEY_BYTES);
		err->field = "key";
		err->limit = STORE_KEY_BYTES;
		return r;
	}
	*ret_has = data->len > 0;
	if (*ret_has)
		memcpy(ret_key, data->data, STORE_KEY_BYTES);
	return 0;
}

static void take_first(void *ctx, const char *sentence)
{
	const char **first = ctx;
	if (!*first)
		*first = sentence;
}

int changes_allowed(const struct service *service, struct err *err)
{
	const char *why;
	if (service->stopping)
		return err_set(err, ERR_UNAVAILABLE, "the daemon is stopping");
	if (service->snapshot->writable)
		return 0;
	/* What can be done about it says more than what SQLite met. */
	why = service->parts->state_obstacle;
	if (!why)
		service_reasons(service, take_first, &why);
	return err_set(err, ERR_UNAVAILABLE, "nothing can be learned now: %s", why ? why : "the state is not writable");
}
