/* SPDX-License-Identifier: MIT */
/* daemon/session/session.h: one connection: frames in, requests in flight, frames out.
 *
 *   readable -> its turn -> recvmsg -> inbox -> (header: charge or refuse) -> (frame: ops_dispatch) -> request
 *   request answered -> reply -> outbox -> sendmsg
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
#include "daemon/shares/payload.h"
#include "daemon/session/request.h"
#include "daemon/service.h"

struct session {
	struct list link;
	struct service *service;
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
	bool lost; /* a write failed: closed from the loop, never from inside a reply */
	bool in_feed;

	struct inbox inbox;
	struct payload payload; /* of the frame in the inbox */
	bool refused;           /* that frame is answered already */
	uint8_t *stash;         /* read, but not fed: reading has paused */
	size_t stash_at, stash_bytes;

	struct outbox outbox;
	struct list requests;
	uint32_t n_in_flight;
	uint64_t lesson;      /* number of the open one, 0: none */
	uint64_t lesson_gone; /* the last that ended without a commit, and why */
	const char *lesson_gone_why;

	uint64_t hello_us;  /* NEW: when the hello must be complete */
	uint64_t frame_us;  /* when the frame in the inbox must be complete, 0: none has begun */
	uint64_t paused_us; /* since when reading pauses, 0: it does not */
	uint64_t end_us;    /* ENDING: when we stop waiting */
};

/* Takes over the descriptor. */
void session_open(struct service *service, int fd);
/* At once: requests are stopped, an open lesson is dropped. */
void session_close(struct session *session);
/* After all replies are written; nothing more is read. Requests in flight are stopped without an answer. */
void session_end(struct session *session);
/* The loop's turn for it (turns.h): writes what can be written, reads once, does one frame. */
void session_step(struct turn *turn);
/* Whether it is held changed. */
void session_turn_changed(struct turn *turn);
/* Queues a frame and writes what can be written. */
void session_put(struct session *session, struct outbox_frame *frame);
