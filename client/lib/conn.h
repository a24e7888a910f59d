/* SPDX-License-Identifier: MIT */
/* client/lib/conn.h: the inside of a connection: requests that wait for their reply, bytes that wait to be a frame.
 *
 *   bnnd_... (calls.c, lesson.c) -> conn_call -> conn_submit -> a frame -> socket
 *                                   conn_reply_fn <- conn_pump <- frames <-
 *
 * Sending never blocks on its own: while the socket is full, replies are read. So neither side can wait for the other.
 */
#pragma once

#include "client/bnnd.h"
#include "lib/base/err.h"
#include "proto/bnnd.pb-c.h"
#include "proto/decode.h"
#include "proto/frame.h"

enum {
	CONN_PENDING_MAX = 64,                        /* requests without a reply, whatever the daemon allows */
	CONN_PAYLOAD_WINDOW_BYTES = 16 << 20,         /* payloads in flight: one client leaves room for others */
	CONN_GRACE_MS = 1000,                         /* after the deadline: the daemon's own words may come */
	CONN_ARENA_BYTES = 16 * FRAME_BODY_MAX_BYTES, /* what a reply may unpack to */
	CONN_BUFFER_BYTES = 64 << 10,                 /* of input, at first; grows to one whole frame */
	CONN_LIST_MAX_BYTES = 64 << 20,               /* all pages of a list; no daemon remembers as much */
};

/* Monotonic milliseconds; CONN_NEVER is later than all of them. */
#define CONN_NEVER INT64_MAX
int64_t conn_now_ms(void);

/* One final reply. Called by conn_pump; everything is gone when it returns. It must not call into the connection. */
typedef void conn_reply_fn(
	void *ctx, uint64_t tag, const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes);

struct conn_pending {
	uint32_t id;
	size_t payload_bytes;
	conn_reply_fn *fn; /* NULL: nobody waits for it any more */
	void *ctx;
	uint64_t tag;
};

struct bnnd_conn {
	int fd;
	uint32_t timeout_ms;
	uint32_t last_id;
	bool greeted;
	bool write_closed;      /* sending failed: what the daemon said before it closed is still read */
	struct bnnd_error lost; /* code 0: it is not */
	struct bnnd_hello hello;
	size_t n_pending;
	size_t payload_in_flight_bytes;
	struct conn_pending pending[CONN_PENDING_MAX];
	uint8_t *in; /* in_used bytes of a frame or more */
	size_t in_used, in_capacity;
	struct decode_arena arena;
	void *arena_memory;
	struct bnnd_lesson *lesson; /* the open one, or NULL */
};

/* Fills err (NULL allowed) and returns -code. */
int error_set(struct bnnd_error *err, enum bnnd_origin origin, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
int error_set_about(struct bnnd_error *err, enum bnnd_origin origin, int code, struct err_about about,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
/* From the daemon's status, made printable; returns -code. status NULL or OK: 0. */
int error_from_status(struct bnnd_error *err, const Bnnd__Status *status);

/* now + the connection's timeout. */
int64_t conn_deadline(const struct bnnd_conn *conn);

/* Sends the hello and waits for the other. */
int conn_greet(struct bnnd_conn *conn, const char *software, struct bnnd_error *err);

/* Sends a request when there is room for it; its reply goes to fn. request->timeout_ms is filled in. Returns when all
 * of it is in the socket. */
int conn_submit(struct bnnd_conn *conn, Bnnd__Request *request, const void *payload, size_t payload_bytes,
	int64_t deadline, conn_reply_fn *fn, void *ctx, uint64_t tag, struct bnnd_error *err);

enum { CONN_E_DEADLINE = 1 };
/* Waits for input and hands out the replies in it. 0, CONN_E_DEADLINE, or a lost connection. */
int conn_pump(struct bnnd_conn *conn, int64_t deadline, struct bnnd_error *err);

/* Nobody waits any more for the replies to this ctx; the requests are cancelled. */
void conn_abandon(struct bnnd_conn *conn, void *ctx);

/* Copies a result out of a reply. Returns 0, or negative when there is no memory. */
typedef int conn_convert_fn(const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes, void *ret);

/* A request and its reply, asked again while the daemon says when to. picture NULL: no payload. A reply of another kind
 * than expect is an error. convert NULL: only the status matters. */
int conn_call(struct bnnd_conn *conn, Bnnd__Request *request, const struct bnnd_picture *picture,
	Bnnd__Reply__ResultCase expect, conn_convert_fn *convert, void *ret, struct bnnd_error *err);
/* The same with a deadline that several requests share. */
int conn_call_until(struct bnnd_conn *conn, Bnnd__Request *request, const struct bnnd_picture *picture,
	Bnnd__Reply__ResultCase expect, conn_convert_fn *convert, void *ret, int64_t deadline, struct bnnd_error *err);

/* A picture's description as a message; parts is its memory. */
struct conn_picture {
	Bnnd__Picture picture;
	Bnnd__RawPicture raw;
	Bnnd__Roi roi;
};
int conn_picture_fill(const struct bnnd_conn *conn, const struct bnnd_picture *picture, struct conn_picture *parts,
	struct bnnd_error *err);
/* Checks a label that the caller gave. */
int conn_label_check(const char *label, const char *field, struct bnnd_error *err);
ProtobufCBinaryData conn_label(const char *label);
