/* SPDX-License-Identifier: MIT */
/* client/lib/exchange.c: frames out, frames in, each reply to the request it belongs to.
 *
 * Invariant: pending[] has exactly the requests that were sent and have no final reply yet; the daemon answers each one
 * once, cancelled ones too. Anything that does not fit this (an unknown id, a second hello, a frame over the limits)
 * is no bnnd: the connection is given up. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "client/lib/conn.h"
#include "client/lib/result.h"
#include "lib/base/clock.h"
#include "proto/limits.h"

int64_t conn_now_ms(void)
{
	return (int64_t)(clock_us() / 1000);
}

int64_t conn_deadline(const struct bnnd_conn *conn)
{
	return conn->timeout_ms == BNND_NO_TIMEOUT ? CONN_NEVER : conn_now_ms() + conn->timeout_ms;
}

static int64_t grace(int64_t deadline)
{
	return deadline == CONN_NEVER ? CONN_NEVER : deadline + CONN_GRACE_MS;
}

static int poll_timeout(int64_t deadline)
{
	if (deadline == CONN_NEVER)
		return -1;
	int64_t left = deadline - conn_now_ms();
	return left <= 0 ? 0 : left > 1 << 30 ? 1 << 30 : (int)left;
}

static bool is_over(int64_t deadline)
{
	return poll_timeout(deadline) == 0;
}

static int lost_again(const struct bnnd_conn *conn, struct bnnd_error *err)
{
	if (err)
		*err = conn->lost;
	return -conn->lost.code;
}

#define conn_lose(conn, err, code, ...)                                                                                \
	(error_set(&(conn)->lost, BNND_ORIGIN_LOST, code, __VA_ARGS__), lost_again(conn, err))

/* ---- in -------------------------------------------------------------------------------------------------------- */

static int take_hello(struct bnnd_conn *conn, const struct frame_header *h, const uint8_t *body, struct bnnd_error *err)
{
	ProtobufCMessage *message;
	struct err why;
	if (h->kind != FRAME_HELLO ||
		decode_body(&conn->arena, &bnnd__hello_reply__descriptor, body, h->body_bytes, &message, &why) != 0)
		return conn_lose(conn, err, BNND_FAILED_PRECONDITION, "what answers is no bnnd: no hello came");
	const Bnnd__HelloReply *hello = (const Bnnd__HelloReply *)message;
	if (hello->status && hello->status->code != 0) {
		(void)error_from_status(&conn->lost, hello->status);
		return lost_again(conn, err);
	}
	if (hello->major != PROTOCOL_MAJOR)
		return conn_lose(conn, err, BNND_FAILED_PRECONDITION,
			"the daemon speaks protocol %u.%u, this client %d.%d: install both from the same release",
			hello->major, hello->minor, PROTOCOL_MAJOR, PROTOCOL_MINOR);
	result_hello(hello, &conn->hello);
	conn->greeted = true;
	return 0;
}

/* A reply to nobody's request is about the connection: the daemon says why, then closes it. */
static int take_farewell(
	struct bnnd_conn *conn, const struct frame_header *h, const uint8_t *body, struct bnnd_error *err)
{
	ProtobufCMessage *message;
	if (decode_body(&conn->arena, &bnnd__reply__descriptor, body, h->body_bytes, &message, NULL) == 0 &&
		error_from_status(&conn->lost, ((const Bnnd__Reply *)message)->status) != 0) {
		conn->lost.origin = BNND_ORIGIN_LOST;
		return lost_again(conn, err);
	}
	return conn_lose(conn, err, BNND_INTERNAL, "the daemon answered a request that nobody made");
}

static int take_reply(struct bnnd_conn *conn, const struct frame_header *h, const uint8_t *body, const uint8_t *payload,
	struct bnnd_error *err)
{
	size_t i = 0;
	if (h->request_id == 0)
		return take_farewell(conn, h, body, err);
	while (i < conn->n_pending && conn->pending[i].id != h->request_id)
		i++;
	if (i == conn->n_pending)
		return conn_lose(conn, err, BNND_INTERNAL, "the daemon answered a request that nobody made");
	if (h->flags & FRAME_MORE)
		return conn_lose(conn, err, BNND_INTERNAL, "the daemon answered in parts, which was not asked for");
	struct conn_pending pending = conn->pending[i];
	conn->pending[i] = conn->pending[--conn->n_pending];
	conn->payload_in_flight_bytes -= pending.payload_bytes;
	ProtobufCMessage *message;
	struct err why;
	if (decode_body(&conn->arena, &bnnd__reply__descriptor, body, h->body_bytes, &message, &why) != 0)
		return conn_lose(conn, err, BNND_INTERNAL, "a reply of the daemon: %s", why.text);
	if (pending.fn)
		pending.fn(pending.ctx, pending.tag, (const Bnnd__Reply *)message, payload, h->payload_bytes);
	return 0;
}

static int take_frame(
	struct bnnd_conn *conn, const struct frame_header *h, const uint8_t *bytes, struct bnnd_error *err)
{
	const uint8_t *body = bytes + FRAME_HEADER_BYTES;
	if (!conn->greeted)
		return take_hello(conn, h, body, err);
	if (h->kind == FRAME_EVENT)
		return 0;
	if (h->kind == FRAME_REPLY)
		return take_reply(conn, h, body, body + h->body_bytes, err);
	return conn_lose(conn, err, BNND_INTERNAL, "the daemon sent a frame of kind %u out of turn", h->kind);
}

/* Makes room for `total` bytes of one frame. */
static int in_reserve(struct bnnd_conn *conn, size_t total, struct bnnd_error *err)
{
	if (total <= conn->in_capacity)
		return 0;
	uint8_t *in = realloc(conn->in, total);
	if (!in)
		return conn_lose(conn, err, BNND_RESOURCE_EXHAUSTED, "no memory for a reply of %zu bytes", total);
	conn->in = in;
	conn->in_capacity = total;
	return 0;
}

/* Hands out every whole frame of the buffer. */
static int take_frames(struct bnnd_conn *conn, struct bnnd_error *err)
{
	size_t used = 0;
	int r = 0;
	while (r == 0 && conn->in_used - used >= FRAME_HEADER_BYTES) {
		struct frame_header h;
		int outcome = frame_header_decode(conn->in + used, &h);
		if (outcome != 0)
			return conn_lose(conn, err, conn->greeted ? BNND_INTERNAL : BNND_FAILED_PRECONDITION,
				"what answers is no bnnd: its frame %s",
				outcome == FRAME_E_KIND    ? "is of no known kind"
				: outcome == FRAME_E_FLAGS ? "has unknown flags"
							   : "is over the limits");
		size_t total = FRAME_HEADER_BYTES + (size_t)h.body_bytes + h.payload_bytes;
		if (conn->in_used - used < total) {
			memmove(conn->in, conn->in + used, conn->in_used - used);
			conn->in_used -= used;
			return in_reserve(conn, total, err);
		}
		r = take_frame(conn, &h, conn->in + used, err);
		used += total;
	}
	memmove(conn->in, conn->in + used, conn->in_used - used);
	conn->in_used -= used;
	return r;
}

/* Reads what is there. 0 also when there was nothing. */
static int read_some(struct bnnd_conn *conn, struct bnnd_error *err)
{
	ssize_t n = recv(conn->fd, conn->in + conn->in_used, conn->in_capacity - conn->in_used, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		int e = n < 0 ? errno : 0;
		int r = conn_lose(conn, err, BNND_UNAVAILABLE, "the daemon closed the connection%s%s%s",
			conn->in_used > 0 ? " in the middle of a reply" : "", e ? ": " : "", e ? strerror(e) : "");
		conn->lost.sys_errno = e;
		if (err)
			err->sys_errno = e;
		return r;
	}
	conn->in_used += (size_t)n;
	return take_frames(conn, err);
}

int conn_pump(struct bnnd_conn *conn, int64_t deadline, struct bnnd_error *err)
{
	if (conn->lost.code)
		return lost_again(conn, err);
	/* Also when there is something to read: what never becomes a reply may come without end. */
	if (is_over(deadline))
		return CONN_E_DEADLINE;
	struct pollfd p = {.fd = conn->fd, .events = POLLIN};
	int n = poll(&p, 1, poll_timeout(deadline));
	if (n == 0)
		return CONN_E_DEADLINE;
	return n < 0 ? 0 : read_some(conn, err);
}

/* ---- out ------------------------------------------------------------------------------------------------------- */

static void iov_advance(struct iovec *iov, size_t n_iov, size_t n)
{
	for (size_t i = 0; i < n_iov; i++) {
		if (iov[i].iov_len == 0)
			continue; /* may be no memory at all (no payload), to which nothing may be added, not even 0 */
		size_t step = n < iov[i].iov_len ? n : iov[i].iov_len;
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + step;
		iov[i].iov_len -= step;
		n -= step;
	}
}

/* All of one frame. A socket that is closed for writing is no error yet: see write_closed. */
static int send_frame(struct bnnd_conn *conn, const struct frame_header *h, const uint8_t *body, const void *payload,
	int64_t deadline, struct bnnd_error *err)
{
	uint8_t header[FRAME_HEADER_BYTES];
	frame_header_encode(h, header);
	struct iovec iov[3] = {
		{header, sizeof header}, {(void *)body, h->body_bytes}, {(void *)payload, h->payload_bytes}};
	size_t left = sizeof header + (size_t)h->body_bytes + h->payload_bytes;
	while (left > 0 && !conn->write_closed) {
		struct msghdr message = {.msg_iov = iov, .msg_iovlen = 3};
		ssize_t n = sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			left -= (size_t)n;
			iov_advance(iov, 3, (size_t)n);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN) {
			conn->write_closed = true;
			break;
		}
		struct pollfd p = {.fd = conn->fd, .events = POLLIN | POLLOUT};
		int ready = poll(&p, 1, poll_timeout(deadline));
		if (ready == 0 || is_over(deadline))
			return conn_lose(
				conn, err, BNND_DEADLINE_EXCEEDED, "the daemon did not take the request in time");
		int r = ready > 0 && p.revents & ~POLLOUT ? read_some(conn, err) : 0;
		if (r != 0)
			return r;
	}
	return 0;
}

static bool has_room(const struct bnnd_conn *conn, size_t payload_bytes)
{
	if (conn->n_pending == 0)
		return true;
	return conn->n_pending < conn->hello.in_flight && conn->n_pending < CONN_PENDING_MAX &&
	       conn->payload_in_flight_bytes + payload_bytes <= CONN_PAYLOAD_WINDOW_BYTES;
}

static uint32_t next_id(struct bnnd_conn *conn)
{
	for (;;) {
		uint32_t id = ++conn->last_id;
		bool used = id == 0;
		for (size_t i = 0; i < conn->n_pending; i++)
			used |= conn->pending[i].id == id;
		if (!used)
			return id;
	}
}

static int out_of_time(struct bnnd_conn *conn, struct bnnd_error *err)
{
	return error_set(err, BNND_ORIGIN_CALL, BNND_DEADLINE_EXCEEDED, "the daemon did not answer within %u.%u s",
		conn->timeout_ms / 1000, conn->timeout_ms % 1000 / 100);
}

int conn_submit(struct bnnd_conn *conn, Bnnd__Request *request, const void *payload, size_t payload_bytes,
	int64_t deadline, conn_reply_fn *fn, void *ctx, uint64_t tag, struct bnnd_error *err)
{
	while (conn->write_closed || !has_room(conn, payload_bytes)) {
		int r = conn_pump(conn, grace(deadline), err);
		if (r != 0)
			return r < 0 ? r : out_of_time(conn, err);
	}
	if (conn->lost.code)
		return lost_again(conn, err);
	if (deadline != CONN_NEVER) {
		int64_t left = deadline - conn_now_ms();
		if (left <= 0)
			return out_of_time(conn, err);
		request->timeout_ms = left < TIMEOUT_MAX_MS ? (uint32_t)left : TIMEOUT_MAX_MS;
	}
	size_t body_bytes = bnnd__request__get_packed_size(request);
	if (body_bytes > FRAME_BODY_MAX_BYTES)
		return error_set(err, BNND_ORIGIN_CALL, BNND_INVALID_ARGUMENT,
			"the request is %zu bytes: the limit is %d", body_bytes, FRAME_BODY_MAX_BYTES);
	uint8_t *body = malloc(body_bytes + 1);
	if (!body)
		return error_set(err, BNND_ORIGIN_CALL, BNND_RESOURCE_EXHAUSTED, "no memory for a request");
	(void)bnnd__request__pack(request, body);
	struct frame_header h = {.body_bytes = (uint32_t)body_bytes,
		.payload_bytes = (uint32_t)payload_bytes,
		.request_id = next_id(conn),
		.kind = FRAME_REQUEST};
	conn->pending[conn->n_pending++] = (struct conn_pending){h.request_id, payload_bytes, fn, ctx, tag};
	conn->payload_in_flight_bytes += payload_bytes;
	int r = send_frame(conn, &h, body, payload, deadline, err);
	free(body);
	return r;
}

void conn_abandon(struct bnnd_conn *conn, void *ctx)
{
	for (size_t i = 0; i < conn->n_pending; i++) {
		struct conn_pending *pending = &conn->pending[i];
		if (pending->ctx != ctx || !pending->fn)
			continue;
		pending->fn = NULL;
		/* One small frame or none at all: half a frame would break the connection. */
		uint8_t header[FRAME_HEADER_BYTES];
		frame_header_encode(&(struct frame_header){.request_id = pending->id, .kind = FRAME_CANCEL}, header);
		ssize_t n = send(conn->fd, header, sizeof header, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0 && n < (ssize_t)sizeof header)
			conn->write_closed = true;
	}
}

/* ---- both ------------------------------------------------------------------------------------------------------ */

struct call {
	Bnnd__Reply__ResultCase expect;
	conn_convert_fn *convert;
	void *ret;
	bool done;
	int r;
	struct bnnd_error err;
};

static void call_reply(void *ctx, uint64_t tag, const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes)
{
	(void)tag;
	struct call *call = ctx;
	call->done = true;
	call->r = error_from_status(&call->err, reply->status);
	if (call->r != 0)
		return;
	if (call->convert && reply->result_case != call->expect)
		call->r = error_set(&call->err, BNND_ORIGIN_DAEMON, BNND_INTERNAL,
			"the daemon answered something else than what was asked");
	else if (call->convert && call->convert(reply, payload, payload_bytes, call->ret) < 0)
		call->r = error_set(&call->err, BNND_ORIGIN_CALL, BNND_RESOURCE_EXHAUSTED, "no memory for the answer");
}

static int call_once(struct bnnd_conn *conn, Bnnd__Request *request, const struct bnnd_picture *picture,
	int64_t deadline, struct call *call, struct bnnd_error *err)
{
	int r = conn_submit(conn, request, picture ? picture->data : NULL, picture ? picture->len_bytes : 0, deadline,
		call_reply, call, 0, err);
	while (r == 0 && !call->done)
		r = conn_pump(conn, grace(deadline), err);
	if (r == CONN_E_DEADLINE)
		r = out_of_time(conn, err);
	if (!call->done) {
		conn_abandon(conn, call);
		return r;
	}
	if (call->r != 0 && err)
		*err = call->err;
	return call->r;
}

int conn_call_until(struct bnnd_conn *conn, Bnnd__Request *request, const struct bnnd_picture *picture,
	Bnnd__Reply__ResultCase expect, conn_convert_fn *convert, void *ret, int64_t deadline, struct bnnd_error *err)
{
	struct bnnd_error own;
	err = err ? err : &own;
	for (;;) {
		struct call call = {.expect = expect, .convert = convert, .ret = ret};
		int r = call_once(conn, request, picture, deadline, &call, err);
		if (r == 0 || err->origin != BNND_ORIGIN_DAEMON || err->retry_after_ms == 0 || conn->lost.code)
			return r;
		if (deadline != CONN_NEVER && conn_now_ms() + err->retry_after_ms >= deadline)
			return r;
		(void)poll(NULL, 0, (int)(err->retry_after_ms < 60000 ? err->retry_after_ms : 60000));
	}
}

int conn_call(struct bnnd_conn *conn, Bnnd__Request *request, const struct bnnd_picture *picture,
	Bnnd__Reply__ResultCase expect, conn_convert_fn *convert, void *ret, struct bnnd_error *err)
{
	return conn_call_until(conn, request, picture, expect, convert, ret, conn_deadline(conn), err);
}

int conn_greet(struct bnnd_conn *conn, const char *software, struct bnnd_error *err)
{
	int64_t deadline = conn_deadline(conn);
	uint8_t body[256];
	Bnnd__Hello hello = BNND__HELLO__INIT;
	hello.major = PROTOCOL_MAJOR;
	hello.minor = PROTOCOL_MINOR;
	hello.software = (char *)software;
	if (bnnd__hello__get_packed_size(&hello) > sizeof body)
		return error_set(err, BNND_ORIGIN_CALL, BNND_INVALID_ARGUMENT, "the name of the software is too long");
	struct frame_header h = {.body_bytes = (uint32_t)bnnd__hello__pack(&hello, body), .kind = FRAME_HELLO};
	int r = send_frame(conn, &h, body, NULL, deadline, err);
	while (r == 0 && !conn->greeted)
		r = conn_pump(conn, deadline, err);
	return r == CONN_E_DEADLINE ? out_of_time(conn, err) : r;
}
