/* SPDX-License-Identifier: MIT */
/* daemon/session/sessions.h: what all connections share, and what their owner does with what they bring. Loop thread. */
#pragma once

#include <uv.h>

#include "daemon/session/turns.h"
#include "daemon/shares/payload.h"
#include "daemon/shares/quota.h"
#include "lib/base/list.h"
#include "proto/frame.h"

struct session;

/* A connection knows frames and shares; what they mean is handed in. */
struct session_handlers {
	void *ctx;
	/* The first frame, a Hello: answered by session_greet or session_fault. The body is gone when it returns. */
	void (*hello)(void *ctx, struct session *session, uint32_t id, const uint8_t *body, size_t body_bytes);
	/* A complete request, whose header is lawful. Takes the payload over; the body is gone when it returns. */
	void (*request)(void *ctx, struct session *session, const struct frame_header *header, const uint8_t *body,
		struct payload payload);
	/* Once for each session: nothing more comes from it, and no answer will reach it. session->context goes here. */
	void (*gone)(void *ctx, struct session *session);
};

struct sessions {
	struct session_handlers handlers;
	uint32_t stall_s; /* how long a peer may leave replies unread */
	uv_loop_t *loop;  /* NULL before sessions_start */
	struct list list;
	size_t n;
	uint64_t next; /* number */
	struct turns turns;
	size_t n_requests; /* charged and not answered, those of lost connections too */
	struct quota quota;
	uint8_t *staging; /* SESSION_STAGING_BYTES: what one read of a socket brought */
};

enum { SESSION_STAGING_BYTES = 64 << 10 };
