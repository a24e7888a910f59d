/* SPDX-License-Identifier: MIT */
/* A connection on a socketpair, with three functions for what frames mean: what it takes, what it refuses, and that
 * nothing is left of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/session/session.h"
#include "lib/base/clock.h"
#include "proto/limits.h"
#include "tests/unit/daemon/put_header.h"

enum { SHARE = 1 << 20, LONG_MS = 20000, REPLY_MAX_BYTES = 4096 };

struct fixture {
	uv_loop_t loop;
	struct sessions sessions;
	int fd; /* the peer's end; -1: closed */
	int n_hello, n_request, n_gone, n_stopped;
	bool keep; /* requests are kept in flight, not answered */
	struct request *kept[IN_FLIGHT_PER_SESSION];
	size_t payload_bytes; /* of the last request */
	uint8_t payload_first;
	struct err why; /* of the last stop */
};

/* ---- what frames mean -------------------------------------------------------------------------------------------- */

static struct frame *plain_frame(uint16_t kind, uint32_t id)
{
	struct frame_header header = {.kind = kind, .request_id = id};
	struct frame *frame = frame_new(FRAME_HEADER_BYTES, NULL, 0);
	frame_header_encode(&header, frame->head);
	return frame;
}

static void on_hello(void *ctx, struct session *session, uint32_t id, const uint8_t *body, size_t body_bytes)
{
	struct fixture *f = ctx;
	(void)body, (void)body_bytes;
	f->n_hello++;
	session->context = f;
	session_greet(session, plain_frame(FRAME_HELLO, id));
}

static void on_stop(struct request *request, const struct err *why)
{
	struct fixture *f = request->work;
	f->n_stopped++;
	f->why = *why;
	if (request->session)
		session_put(request->session, plain_frame(FRAME_REPLY, request->id));
	request_free(request);
}

static void on_request(void *ctx, struct session *session, const struct frame_header *header, const uint8_t *body,
	struct payload payload)
{
	struct fixture *f = ctx;
	struct err err;
	(void)body;
	assert_ptr_equal(session->context, f);
	f->payload_bytes = payload.len_bytes;
	f->payload_first = payload.len_bytes ? payload.bytes[0] : 0;
	payload_drop(&payload);
	struct request *request = request_new(&session->requests, header->request_id);
	assert_int_equal(request_charge(request, &err), 0);
	f->n_request++;
	if (f->keep) {
		request->stop = on_stop;
		request->work = f;
	} else {
		session_put(session, plain_frame(FRAME_REPLY, header->request_id));
		request_free(request);
	}
}

static void on_gone(void *ctx, struct session *session)
{
	struct fixture *f = ctx;
	f->n_gone++;
	session->context = NULL;
}

/* ---- the two ends ------------------------------------------------------------------------------------------------ */

static void start(struct fixture *f, uint32_t stall_s)
{
	struct quota_limit shares[QUOTA_KINDS];
	int fds[2];
	*f = (struct fixture){.fd = -1};
	for (int i = 0; i < QUOTA_KINDS; i++)
		shares[i] = quota_limit_of(SHARE, 0);
	const struct sessions_options options = {
		.handlers = {.ctx = f, .hello = on_hello, .request = on_request, .gone = on_gone},
		.shares = shares,
		.own_uid = geteuid(),
		.stall_s = stall_s};
	assert_int_equal(uv_loop_init(&f->loop), 0);
	sessions_init(&f->sessions, &options);
	sessions_start(&f->sessions, &f->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	f->fd = fds[1];
	session_open(&f->sessions, fds[0]);
	assert_int_equal(f->sessions.n, 1);
}

static void on_late(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("nothing came of it");
}

/* Turns the loop until done says so. */
static void turn_until(struct fixture *f, bool (*done)(const struct fixture *f))
{
	uv_timer_t late;
	uv_timer_init(&f->loop, &late);
	uv_timer_start(&late, on_late, LONG_MS, 0);
	while (!done(f))
		uv_run(&f->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&late, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
}

static bool no_session(const struct fixture *f)
{
	return f->sessions.n == 0;
}

static void close_rest(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* The peer leaves, if it is still there: the session must go, and give back what it held. */
static void end(struct fixture *f)
{
	if (f->fd >= 0)
		close(f->fd);
	turn_until(f, no_session);
	assert_int_equal(f->n_gone, 1);
	assert_int_equal(f->sessions.n_requests, 0);
	assert_true(list_empty(&f->sessions.quota.users));
	uv_walk(&f->loop, close_rest, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	sessions_deinit(&f->sessions);
}

static void say_header(const struct fixture *f, uint16_t kind, uint32_t id, uint32_t body_bytes, uint32_t payload_bytes)
{
	uint8_t bytes[FRAME_HEADER_BYTES];
	put_header(bytes, body_bytes, payload_bytes, id, kind, 0);
	assert_int_equal(send(f->fd, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
}

static void say(const struct fixture *f, uint16_t kind, uint32_t id)
{
	say_header(f, kind, id, 0, 0);
}

static struct frame_header heard;
static uint8_t heard_body[REPLY_MAX_BYTES];

static bool hears(const struct fixture *f)
{
	uint8_t head[FRAME_HEADER_BYTES];
	if (recv(f->fd, head, sizeof head, MSG_DONTWAIT | MSG_PEEK) != (ssize_t)sizeof head)
		return false;
	assert_int_equal(frame_header_decode(head, &heard), 0);
	assert_true(heard.body_bytes <= sizeof heard_body);
	assert_int_equal(recv(f->fd, head, sizeof head, MSG_DONTWAIT), sizeof head);
	if (heard.body_bytes) /* written in one piece */
		assert_int_equal(recv(f->fd, heard_body, heard.body_bytes, MSG_DONTWAIT), heard.body_bytes);
	return true;
}

/* The next frame must be this one. */
static void hear(struct fixture *f, uint16_t kind, uint32_t id)
{
	turn_until(f, hears);
	assert_int_equal(heard.kind, kind);
	assert_int_equal(heard.request_id, id);
}

/* The code of the status in the frame that was heard. */
static uint32_t heard_code(void)
{
	uint32_t code = 0;
	if (heard.kind == FRAME_HELLO) {
		Bnnd__HelloReply *hello = bnnd__hello_reply__unpack(NULL, heard.body_bytes, heard_body);
		assert_non_null(hello);
		code = hello->status ? hello->status->code : 0;
		bnnd__hello_reply__free_unpacked(hello, NULL);
	} else {
		Bnnd__Reply *reply = bnnd__reply__unpack(NULL, heard.body_bytes, heard_body);
		assert_non_null(reply);
		code = reply->status ? reply->status->code : 0;
		bnnd__reply__free_unpacked(reply, NULL);
	}
	return code;
}

/* The daemon's end is shut. */
static bool ended(const struct fixture *f)
{
	uint8_t byte;
	return recv(f->fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void greet(struct fixture *f)
{
	say(f, FRAME_HELLO, 0);
	hear(f, FRAME_HELLO, 0);
	assert_int_equal(f->n_hello, 1);
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static void test_frames_come_to_their_handlers(void **state)
{
	(void)state;
	struct fixture f;
	uint8_t payload[3000];
	start(&f, 30);
	greet(&f);
	say(&f, FRAME_REQUEST, 7);
	hear(&f, FRAME_REPLY, 7);
	assert_int_equal(heard_code(), 0);
	memset(payload, 0x5a, sizeof payload);
	say_header(&f, FRAME_REQUEST, 8, 0, sizeof payload);
	assert_int_equal(send(f.fd, payload, sizeof payload, 0), sizeof payload);
	hear(&f, FRAME_REPLY, 8);
	assert_int_equal(f.payload_bytes, sizeof payload);
	assert_int_equal(f.payload_first, 0x5a);
	assert_int_equal(f.n_request, 2);
	assert_int_equal(f.n_gone, 0);
	end(&f);
}

static void test_the_first_frame_is_a_hello(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 30);
	say(&f, FRAME_REQUEST, 5);
	hear(&f, FRAME_HELLO, 5);
	assert_int_equal(heard_code(), ERR_FAILED_PRECONDITION);
	turn_until(&f, ended);
	assert_int_equal(f.n_hello + f.n_request, 0);
	end(&f);
}

static void test_what_breaks_the_stream_ends_it(void **state)
{
	(void)state;
	static const struct {
		uint16_t kind;
		uint32_t id, body, payload;
		uint32_t expected_id, code;
	} rows[] = {
		{FRAME_HELLO, 0, 0, 0, 0, ERR_INVALID_ARGUMENT},
		{FRAME_REPLY, 3, 0, 0, 0, ERR_INVALID_ARGUMENT},
		{FRAME_REQUEST, 0, 0, 0, 0, ERR_INVALID_ARGUMENT},
		{FRAME_CANCEL, 3, 1, 0, 0, ERR_INVALID_ARGUMENT},
		{99, 3, 0, 0, 0, ERR_INVALID_ARGUMENT},
		{FRAME_REQUEST, 3, FRAME_BODY_MAX_BYTES + 1, 0, 3, ERR_RESOURCE_EXHAUSTED},
		{FRAME_REQUEST, 3, 0, FRAME_PAYLOAD_MAX_BYTES + 1, 3, ERR_RESOURCE_EXHAUSTED},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fixture f;
		start(&f, 30);
		greet(&f);
		say_header(&f, rows[i].kind, rows[i].id, rows[i].body, rows[i].payload);
		hear(&f, FRAME_REPLY, rows[i].expected_id);
		assert_int_equal(heard_code(), rows[i].code);
		turn_until(&f, ended);
		assert_int_equal(f.n_request, 0);
		end(&f);
	}
}

static bool one_stopped(const struct fixture *f)
{
	return f->n_stopped == 1;
}

static void test_a_cancel_stops_its_request_alone(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 30);
	greet(&f);
	f.keep = true;
	say(&f, FRAME_REQUEST, 1);
	say(&f, FRAME_REQUEST, 2);
	say(&f, FRAME_CANCEL, 9); /* nobody's */
	say(&f, FRAME_CANCEL, 2);
	turn_until(&f, one_stopped);
	assert_int_equal(f.why.code, ERR_CANCELLED);
	hear(&f, FRAME_REPLY, 2);
	assert_int_equal(f.sessions.n_requests, 1);
	end(&f);
	assert_int_equal(f.n_stopped, 2); /* the other by the peer's going away */
}

static void test_an_id_in_flight_is_not_given_twice(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 30);
	greet(&f);
	f.keep = true;
	say(&f, FRAME_REQUEST, 1);
	say(&f, FRAME_REQUEST, 1);
	hear(&f, FRAME_REPLY, 0);
	assert_int_equal(heard_code(), ERR_INVALID_ARGUMENT);
	assert_int_equal(f.n_stopped, 1);
	turn_until(&f, ended);
	end(&f);
}

/* With its payload: no memory is made for it, and the next frame is understood. */
static void test_one_request_too_many_is_refused(void **state)
{
	(void)state;
	struct fixture f;
	uint8_t payload[100] = {0};
	start(&f, 30);
	greet(&f);
	f.keep = true;
	for (uint32_t id = 1; id <= IN_FLIGHT_PER_SESSION; id++)
		say(&f, FRAME_REQUEST, id);
	say_header(&f, FRAME_REQUEST, 50, 0, sizeof payload);
	assert_int_equal(send(f.fd, payload, sizeof payload, 0), sizeof payload);
	hear(&f, FRAME_REPLY, 50);
	assert_int_equal(heard_code(), ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(f.n_request, IN_FLIGHT_PER_SESSION);
	say(&f, FRAME_CANCEL, 1);
	hear(&f, FRAME_REPLY, 1);
	end(&f);
	assert_int_equal(f.n_stopped, IN_FLIGHT_PER_SESSION);
}

static bool is_paused(const struct fixture *f)
{
	const struct session *s = LIST_ENTRY(f->sessions.list.next, struct session, link);
	return s->paused_us != 0;
}

/* A peer that does not read what it asked for. */
static void test_unread_replies_end_it(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 0);
	greet(&f);
	struct session *s = LIST_ENTRY(f.sessions.list.next, struct session, link);
	size_t bytes = 2 * (size_t)OUTPUT_MARK_BYTES;
	session_put(s, frame_new(FRAME_HEADER_BYTES, calloc(1, bytes), bytes));
	assert_true(is_paused(&f));
	turn_until(&f, no_session);
	assert_int_equal(f.n_gone, 1);
	end(&f);
}

/* The server's stop: replies are written, nothing more is read, and the peer is told by the end of the stream. */
static void test_an_orderly_end(void **state)
{
	(void)state;
	struct fixture f;
	start(&f, 30);
	greet(&f);
	sessions_end(&f.sessions);
	assert_int_equal(f.n_gone, 1);
	say(&f, FRAME_REQUEST, 1);
	turn_until(&f, ended);
	assert_int_equal(f.n_request, 0);
	turn_until(&f, no_session); /* though the peer stays */
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_come_to_their_handlers),
		cmocka_unit_test(test_the_first_frame_is_a_hello),
		cmocka_unit_test(test_what_breaks_the_stream_ends_it),
		cmocka_unit_test(test_a_cancel_stops_its_request_alone),
		cmocka_unit_test(test_an_id_in_flight_is_not_given_twice),
		cmocka_unit_test(test_one_request_too_many_is_refused),
		cmocka_unit_test(test_unread_replies_end_it),
		cmocka_unit_test(test_an_orderly_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
