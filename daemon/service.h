/* SPDX-License-Identifier: MIT */
/* daemon/service.h: what the rooms of the running daemon share. Everything here belongs to the loop's thread; lanes see
 * only what is handed to them in a job. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/work/lanes.h"
#include "daemon/lesson/lesson.h"
#include "lib/base/list.h"
#include "daemon/host/listen.h"
#include "daemon/shares/quota.h"
#include "daemon/server.h"
#include "daemon/session/turns.h"
#include "lib/image/image.h"
#include "proto/decode.h"

struct service {
	const struct server_parts *parts;
	const struct config *config;
	const struct bnn_info *model;
	struct image_input input;
	struct snapshot *snapshot; /* what is published: swapped before a change is acknowledged */
	uint64_t started_us;
	bool stopping;
	uint32_t n_infer_threads;
	uint64_t memory_bound_bytes;

	uv_loop_t loop;
	uv_poll_t accept_poll;
	uv_timer_t accept_pause, tick, mend;
	uv_timer_t log_timer;    /* what the log held back */
	uv_timer_t status_timer; /* runs after a STATUS= was sent; no other before it ends */
	bool status_due;
	uv_timer_t watchdog; /* tells systemd that all turns */
	uv_async_t results_ready;
	uv_signal_t sigterm, sigint;
	struct listener listener;

	struct lane_results results;
	struct lane *infer, *learn;
	void **infer_threads; /* struct infer_thread */

	struct list sessions;
	size_t n_sessions;
	bool mending;          /* the learn lane looks whether the state can be used again */
	uint64_t next_session; /* number */
	struct turns turns;
	size_t n_requests; /* charged and not answered, those of lost connections too */
	struct quota quota;
	struct lessons lessons;

	struct decode_arena arena; /* one body at a time */
	void *arena_memory;
	uint8_t *staging; /* SERVICE_STAGING_BYTES: what one read of a socket brought */
};

enum { SERVICE_STAGING_BYTES = 64 << 10 };

/* Takes over one reference; a state other than the present one becomes the state, and STATUS says so. */
void service_publish(struct service *service, struct snapshot *snapshot);

/* The clock for lesson.idle_s runs only while lessons are open. */
void service_watch_lessons(struct service *service);

/* Goes on with an orderly stop when nothing is left to wait for. */
void service_stop_further(struct service *service);

/* Is anything degraded? Calls fn for every reason, the state's first; NULL allowed. Returns how many. */
size_t service_reasons(const struct service *service, void (*fn)(void *ctx, const char *sentence), void *ctx);
