/* SPDX-License-Identifier: MIT */
/* daemon/session/session.h: one connection: frames in, requests in flight, frames out.
 *
 *   readable -> its turn -> recvmsg -> inbox -> (header: charge or refuse) -> (frame: a handler of sessions.h)
 *   answered -> session_put -> outbox -> sendmsg
 *
 * Invariants: a payload is charged before it is read; reading pauses only while more than OUTPUT_MARK_BYTES of replies
 * are unread; each request has exactly one final reply. A session is freed after the loop has let go of its handles, so
 * a pointer stays good until the present callback returns. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/host/access.h"
#include "daemon/session/inbox.h"
#include "daemon/session/outbox.h"
#include "daemon/session/request.h"
#include "daemon/session/sessions.h"
#include "daemon/shares/payload.h"

struct session {
	struct list link;
	struct sessions *sessions;
	void *context; /* the handlers' own; goes with handlers.gone */
	int fd;
	struct peer peer;
	enum role role;
	struct quota_charge charge; /* a connection, or one too many that is told so */
	uv_poll_t poll;
	uv_timer_t timer;
	int n_handles; /* the loop has not let go of */
	int poll_events;
	struct turn turn; /* with the peer's uid and this connection's number */
	int ready_events; /* what it can be served */
	enum { SESSION_NEW, SESSION_GREETED, SESSION_ENDING, SESSION_CLOSED } state;
	bool shut; /* ENDING: all is written, we wait for the peer to read it */
	bool gone; /* the handlers were told */
	bool lost; /* a write failed: closed from the loop, never from inside a reply */
	bool in_feed;

	struct inbox inbox;
	struct payload payload; /* of the frame in the inbox */
	bool refused;           /* that frame is answered already */
	uint8_t *stash;         /* read, but not fed: reading has paused */
	size_t stash_at, stash_bytes;

	struct outbox outbox;
	struct requests requests;

	uint64_t hello_us;  /* NEW: when the hello must be complete */
	uint64_t frame_us;  /* when the frame in the inbox must be complete, 0: none has begun */
	uint64_t paused_us; /* since when reading pauses, 0: it does not */
	uint64_t end_us;    /* ENDING: when we stop waiting */
};

struct sessions_options {
	struct session_handlers handlers;
	const struct quota_limit *shares; /* QUOTA_KINDS of them */
	uid_t own_uid;
	uint32_t stall_s;
};
void sessions_init(struct sessions *sessions, const struct sessions_options *options);
/* The loop is there: sessions may be opened. It is borrowed, and closes what they left open in it. */
void sessions_start(struct sessions *sessions, uv_loop_t *loop);
/* The loop was closed, and no request is left. */
void sessions_deinit(struct sessions *sessions);

/* Takes over the descriptor. Where it may not be, it is told why, or just closed. */
void session_open(struct sessions *sessions, int fd);
/* At once; handlers.gone is called if it was not. */
void session_close(struct session *session);
/* After all replies are written; nothing more is read. Requests in flight are stopped without an answer. */
void session_end(struct session *session);
/* All of them. */
void sessions_end(struct sessions *sessions);

/* The answer to the Hello: from now on requests are taken. Takes the frame over. */
void session_greet(struct session *session, struct frame *frame);
/* Queues a frame and writes what can be written. */
void session_put(struct session *session, struct frame *frame);
/* A request that never became one, refused by its header or its body. */
void session_refuse(struct session *session, uint32_t id, const struct err *err);
/* What is wrong with the connection itself: before the hello as a HELLO, after it as a REPLY with this id (0: of no
 * request). The session ends. */
void session_fault(struct session *session, uint32_t id, const struct err *err);
