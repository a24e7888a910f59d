/* SPDX-License-Identifier: MIT */
/* client/lib/lesson.c: a lesson as a conversation: begin, adds that travel many at once, commit or abort.
 *
 * Invariant: accepted is the number of adds that the daemon took and will train on, which commit names as a check
 * against loss; outstanding is the number of adds without an answer. */
#include <stdlib.h>
#include <string.h>

#include "client/lib/conn.h"
#include "client/lib/result.h"

enum { ABORT_WAIT_MS = 1000 };

struct bnnd_lesson {
	struct bnnd_conn *conn;
	uint64_t number;
	bnnd_added_fn *on_added;
	void *ctx;
	uint32_t accepted;
	size_t outstanding;
	/* What the newest answer was, for the caller who waits for each. */
	int last_code;
	bool last_known;
	struct bnnd_error last_err;
};

int bnnd_lesson_begin(struct bnnd_conn *conn, const struct bnnd_lesson_options *options,
	struct bnnd_lesson **ret_lesson, struct bnnd_change **ret_first, struct bnnd_error *err)
{
	static const struct bnnd_lesson_options defaults;
	*ret_lesson = NULL;
	if (ret_first)
		*ret_first = NULL;
	options = options ? options : &defaults;
	if (conn->lesson)
		return error_set(err, BNND_ORIGIN_CALL, BNND_FAILED_PRECONDITION,
			"a lesson is open on this connection: commit or abort it first");
	struct bnnd_lesson *lesson = calloc(1, sizeof *lesson);
	if (!lesson)
		return error_set(err, BNND_ORIGIN_CALL, BNND_RESOURCE_EXHAUSTED, "no memory for a lesson");
	uint8_t key[BNND_KEY_BYTES];
	if (options->change.key)
		memcpy(key, options->change.key, sizeof key);
	else
		bnnd_key_random(key);
	Bnnd__Guard guard = BNND__GUARD__INIT;
	Bnnd__LessonBegin begin = BNND__LESSON_BEGIN__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	guard.if_seq = options->change.if_seq;
	begin.key = (ProtobufCBinaryData){.len = sizeof key, .data = key};
	begin.dry_run = options->dry_run;
	begin.guard = options->change.has_if_seq ? &guard : NULL;
	request.op_case = BNND__REQUEST__OP_LESSON_BEGIN;
	request.lesson_begin = &begin;
	struct result_begun begun;
	int r = conn_call(conn, &request, NULL, BNND__REPLY__RESULT_BEGUN, result_begun, &begun, err);
	if (r != 0 || begun.first) {
		free(lesson);
		if (r != 0)
			return r;
		if (ret_first)
			*ret_first = begun.first;
		else
			free(begun.first);
		return BNND_LESSON_DONE_BEFORE;
	}
	lesson->conn = conn;
	lesson->number = begun.lesson;
	lesson->on_added = options->on_added;
	lesson->ctx = options->ctx;
	conn->lesson = lesson;
	*ret_lesson = lesson;
	return 0;
}

static void added_reply(void *ctx, uint64_t tag, const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes)
{
	(void)payload;
	(void)payload_bytes;
	struct bnnd_lesson *lesson = ctx;
	struct bnnd_added added = {.tag = tag};
	lesson->outstanding--;
	added.code = -error_from_status(&lesson->last_err, reply->status);
	if (added.code == 0 && reply->result_case != BNND__REPLY__RESULT_ADDED)
		added.code = -error_set(&lesson->last_err, BNND_ORIGIN_DAEMON, BNND_INTERNAL,
			"the daemon answered something else than what was asked");
	if (added.code != 0) {
		added.error = &lesson->last_err;
	} else {
		added.already_known = reply->added->already_known;
		added.us = result_times(reply->added->us);
		lesson->accepted += !added.already_known;
	}
	lesson->last_code = added.code;
	lesson->last_known = added.already_known;
	if (lesson->on_added)
		lesson->on_added(lesson->ctx, &added);
}

static int add_submit(struct bnnd_lesson *lesson, const char *label, const struct bnnd_picture *picture, uint64_t tag,
	int64_t deadline, struct bnnd_error *err)
{
	struct conn_picture parts;
	int r = label ? conn_label_check(label, "label", err) : 0;
	if (r == 0)
		r = conn_picture_fill(lesson->conn, picture, &parts, err);
	if (r != 0)
		return r;
	Bnnd__LessonAdd add = BNND__LESSON_ADD__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	add.lesson = lesson->number;
	if (label) {
		add.what_case = BNND__LESSON_ADD__WHAT_LABEL;
		add.label = conn_label(label);
	} else {
		add.what_case = BNND__LESSON_ADD__WHAT_NONE;
		add.none = true;
	}
	add.picture = &parts.picture;
	request.op_case = BNND__REQUEST__OP_LESSON_ADD;
	request.lesson_add = &add;
	lesson->outstanding++;
	r = conn_submit(
		lesson->conn, &request, picture->data, picture->len_bytes, deadline, added_reply, lesson, tag, err);
	if (r != 0)
		lesson->outstanding--;
	return r;
}

static int wait_until(struct bnnd_lesson *lesson, size_t outstanding, int64_t deadline, struct bnnd_error *err)
{
	while (lesson->outstanding > outstanding) {
		int r = conn_pump(lesson->conn, deadline, err);
		if (r == CONN_E_DEADLINE)
			return error_set(err, BNND_ORIGIN_CALL, BNND_DEADLINE_EXCEEDED,
				"the daemon did not take the lesson's pictures in time");
		if (r != 0)
			return r;
	}
	return 0;
}

int bnnd_lesson_add(struct bnnd_lesson *lesson, const char *label, const struct bnnd_picture *picture, uint64_t tag,
	struct bnnd_error *err)
{
	int64_t deadline = conn_deadline(lesson->conn);
	int r = add_submit(lesson, label, picture, tag, deadline, err);
	if (r != 0 || lesson->on_added)
		return r;
	r = wait_until(lesson, 0, deadline == CONN_NEVER ? deadline : deadline + CONN_GRACE_MS, err);
	if (r != 0)
		return r;
	if (lesson->last_code == 0)
		return lesson->last_known ? BNND_LESSON_KNOWN : 0;
	if (err)
		*err = lesson->last_err;
	return -lesson->last_code;
}

int bnnd_lesson_wait(struct bnnd_lesson *lesson, struct bnnd_error *err)
{
	/* The timeout is for each answer, not for a thousand of them. */
	int r = 0;
	while (r == 0 && lesson->outstanding > 0)
		r = wait_until(lesson, lesson->outstanding - 1, conn_deadline(lesson->conn), err);
	return r;
}

static void lesson_close(struct bnnd_lesson *lesson)
{
	conn_abandon(lesson->conn, lesson);
	lesson->conn->lesson = NULL;
	free(lesson);
}

static int send_abort(struct bnnd_lesson *lesson)
{
	struct bnnd_conn *conn = lesson->conn;
	if (conn->lost.code)
		return -conn->lost.code;
	Bnnd__LessonAbort abort_it = BNND__LESSON_ABORT__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	abort_it.lesson = lesson->number;
	request.op_case = BNND__REQUEST__OP_LESSON_ABORT;
	request.lesson_abort = &abort_it;
	uint32_t timeout_ms = conn->timeout_ms;
	conn->timeout_ms = timeout_ms < ABORT_WAIT_MS ? timeout_ms : ABORT_WAIT_MS;
	int r = conn_call(conn, &request, NULL, BNND__REPLY__RESULT__NOT_SET, NULL, NULL, NULL);
	conn->timeout_ms = timeout_ms;
	return r;
}

int bnnd_lesson_commit(struct bnnd_lesson *lesson, struct bnnd_change **ret_change, struct bnnd_error *err)
{
	struct bnnd_error own;
	*ret_change = NULL;
	err = err ? err : &own;
	int r = bnnd_lesson_wait(lesson, err);
	if (r == 0) {
		Bnnd__LessonCommit commit = BNND__LESSON_COMMIT__INIT;
		Bnnd__Request request = BNND__REQUEST__INIT;
		commit.lesson = lesson->number;
		commit.added = lesson->accepted;
		request.op_case = BNND__REQUEST__OP_LESSON_COMMIT;
		request.lesson_commit = &commit;
		r = conn_call(
			lesson->conn, &request, NULL, BNND__REPLY__RESULT_CHANGED, result_change, ret_change, err);
	}
	/* Refused: the daemon may still hold the lesson open. */
	if (r != 0 && err->origin == BNND_ORIGIN_DAEMON)
		(void)send_abort(lesson);
	lesson_close(lesson);
	return r;
}

void bnnd_lesson_abort(struct bnnd_lesson *lesson)
{
	if (!lesson)
		return;
	conn_abandon(lesson->conn, lesson);
	(void)send_abort(lesson);
	lesson_close(lesson);
}
