/* SPDX-License-Identifier: MIT */
/* daemon/server.c: see server.h: the loop, what it listens to, and how it stops.
 *
 * Invariants: the loop neither computes nor touches the disk; before it sleeps, a stop goes on as far as it can. */
#include "daemon/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/config/threads.h"
#include "daemon/host/listen.h"
#include "daemon/host/log.h"
#include "daemon/host/notify.h"
#include "daemon/ops/ops.h"
#include "daemon/work/look.h"
#include "daemon/work/mend.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "proto/limits.h"

enum {
	WATCHDOG_PICTURE_S = 20, /* a picture that takes longer never ends: systemd starts the daemon again */
	STATUS_MS = 1000,
	LEARN_NICE = 5,   /* where cores are short a question goes before a lesson's training */
	ACCEPT_BURST = 8, /* connections taken before the loop looks at the others again */
};

struct server {
	const struct server_parts *parts;
	struct listener listener;

	uv_loop_t loop;
	uv_poll_t accept_poll;
	uv_timer_t accept_pause, mend_timer;
	uv_timer_t log_timer;    /* what the log held back */
	uv_timer_t status_timer; /* runs after a STATUS= was sent; no other before it ends */
	bool status_due;
	uv_timer_t watchdog;   /* tells systemd that all turns */
	uv_prepare_t stopping; /* runs while a stop is under way */
	uv_async_t results_ready;
	uv_signal_t sigterm, sigint;

	uint32_t n_infer_threads;
	void **infer_threads; /* struct look_thread */
	struct lane_results results;
	struct lane *infer, *learn;

	struct published published;
	struct health health;
	struct sessions sessions;
	struct ops ops;
	struct mend mend;
};

/* ---- the published state ----------------------------------------------------------------------------------------- */

static bool reasons_differ(const struct snapshot *a, const struct snapshot *b)
{
	bool differ = a->n_reasons != b->n_reasons;
	for (size_t i = 0; i < a->n_reasons && !differ; i++)
		differ = strcmp(a->reasons[i], b->reasons[i]) != 0;
	return differ;
}

/* STATUS= at once, and then no more often than once in STATUS_MS, however fast changes come. */
static void on_status_timer(uv_timer_t *timer)
{
	struct server *server = timer->data;
	char sentence[ERR_TEXT_BYTES];
	if (!server->status_due || server->health.stopping)
		return;
	server->status_due = false;
	health_sentence(&server->health, sentence, sizeof sentence);
	notify_send("STATUS=%s", sentence);
	uv_timer_start(timer, on_status_timer, STATUS_MS, 0);
}

static void on_mend(uv_timer_t *timer)
{
	struct server *server = timer->data;
	mend_push(&server->mend);
}

/* The clock for mending runs only while there is something to mend. */
static void watch_mending(struct server *server)
{
	uv_timer_t *timer = &server->mend_timer;
	bool wanted = mend_wanted(&server->mend) && !server->health.stopping;
	if (wanted == (bool)uv_is_active((uv_handle_t *)timer))
		return;
	if (wanted)
		uv_timer_start(timer, on_mend, MEND_MS, MEND_MS);
	else
		uv_timer_stop(timer);
}

/* published.on_change */
static void on_published(void *ctx, const struct snapshot *before)
{
	struct server *server = ctx;
	const struct snapshot *now = server->published.now;
	char sentence[ERR_TEXT_BYTES];
	bool other_reasons = reasons_differ(before, now);
	watch_mending(server);
	if (before->seq == now->seq && !other_reasons)
		return;
	health_sentence(&server->health, sentence, sizeof sentence);
	bool worse = other_reasons && now->n_reasons;
	log_limited(other_reasons ? LOG_HEALTH : LOG_STATE, worse ? LOG_WARNING : LOG_INFO, "%s", sentence);
	server->status_due = true;
	if (other_reasons || !uv_is_active((uv_handle_t *)&server->status_timer))
		on_status_timer(&server->status_timer);
}

/* ---- events of the loop ------------------------------------------------------------------------------------------ */

static void on_log_timer(uv_timer_t *timer)
{
	(void)timer;
	log_flush(clock_us());
}

static void on_results(uv_async_t *async)
{
	struct server *server = async->data;
	lane_results_collect(&server->results);
}

/* On a thread of a lane. */
static void wake_loop(void *ctx)
{
	struct server *server = ctx;
	uv_async_send(&server->results_ready);
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_accept_pause_over(uv_timer_t *timer)
{
	struct server *server = timer->data;
	uv_poll_start(&server->accept_poll, UV_READABLE, on_connection);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct server *server = poll->data;
	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int fd = accept4(server->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			session_open(&server->sessions, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			/* EMFILE and its like stay until somebody closes something: do not spin. */
			log_limited(LOG_ACCEPT, LOG_WARNING, "cannot accept a connection: %s; trying again in %d ms",
				strerror(errno), ACCEPT_PAUSE_MS);
			uv_poll_stop(&server->accept_poll);
			uv_timer_start(&server->accept_pause, on_accept_pause_over, ACCEPT_PAUSE_MS, 0);
		}
		return;
	}
}

/* The loop turns; so must those who compute pictures. A lesson that is written may take as long as the disk does. */
static void on_watchdog(uv_timer_t *timer)
{
	struct server *server = timer->data;
	uint64_t since_us = lane_busy_since_us(server->infer);
	if (!since_us || clock_us() - since_us < WATCHDOG_PICTURE_S * UINT64_C(1000000))
		notify_send("WATCHDOG=1");
}

/* ---- stopping ---------------------------------------------------------------------------------------------------- */

/* Everything that waits in a lane is answered; what runs goes on. */
static void clear_lane(struct lane *lane, const char *sentence)
{
	for (struct job *job; (job = lane_take_any(lane));) {
		err_set(&job->err, ERR_UNAVAILABLE, "%s", sentence);
		job->done(job);
	}
}

static void close_handle(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Before the loop sleeps, so behind whatever may have been the last that a stop waited for. */
static void on_stopping(uv_prepare_t *prepare)
{
	struct server *server = prepare->data;
	if (server->sessions.n_requests > 0 || server->mend.running)
		return;
	/* No request is left: the connections end when their last replies are read, or after a second. */
	sessions_end(&server->sessions);
	if (server->sessions.n > 0)
		return;
	close_handle((uv_handle_t *)prepare);
	close_handle((uv_handle_t *)&server->results_ready);
	close_handle((uv_handle_t *)&server->sigterm);
	close_handle((uv_handle_t *)&server->sigint);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct server *server = handle->data;
	if (server->health.stopping)
		return;
	log_line(LOG_NOTICE, "stopping (%s)", number == SIGTERM ? "SIGTERM" : "SIGINT");
	server->health.stopping = true;
	notify_send("STOPPING=1\nSTATUS=stopping");
	close_handle((uv_handle_t *)&server->accept_poll);
	close_handle((uv_handle_t *)&server->accept_pause);
	watch_mending(server);
	listener_close(&server->listener);
	ops_stop(&server->ops);
	clear_lane(server->infer, "the daemon is stopping");
	clear_lane(server->learn, "the daemon is stopping: nothing was changed, ask again with the same key");
	uv_prepare_start(&server->stopping, on_stopping);
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

static void remember_key(void *ctx, const uint8_t key[STORE_KEY_BYTES])
{
	keyset_add(ctx, key);
}

_Static_assert((int)BNN_FIT_COVER == IMAGE_FIT_COVER && (int)BNN_FIT_CONTAIN == IMAGE_FIT_CONTAIN &&
		       (int)BNN_FIT_STRETCH == IMAGE_FIT_STRETCH,
	"a model's way to fit is the picture's");

static int start_lanes(struct server *server, struct err *err)
{
	const struct config *config = server->parts->config;
	const struct bnn_info *model = server->ops.model;
	uint32_t n = server->n_infer_threads;
	const struct image_limits limits = {.decode_memory_bytes = (size_t)config->decode_memory_mib << 20,
		.decode_megapixels = config->decode_megapixels,
		.decode_seconds = config->decode_seconds};
	struct image_input input = {.width = model->width, .height = model->height, .fit = (enum image_fit)model->fit};
	memcpy(input.background, model->background, sizeof input.background);
	server->infer_threads = mem_zalloc(n, sizeof *server->infer_threads);
	for (uint32_t i = 0; i < n; i++)
		server->infer_threads[i] = look_thread_new(server->parts->model, &input, &limits);
	struct lane_options infer = {.name = "infer",
		.n_threads = n,
		.stack_bytes = THREAD_STACK_BYTES,
		.contexts = server->infer_threads,
		.starve_us = (uint64_t)config->lesson_starve_ms * 1000,
		.results = &server->results};
	struct lane_options learn = {.name = "learn",
		.n_threads = 1,
		.stack_bytes = THREAD_STACK_BYTES,
		.results = &server->results,
		.nice = LEARN_NICE};
	int r = lane_start(&infer, &server->infer, err);
	if (r == 0)
		r = lane_start(&learn, &server->learn, err);
	server->ops.look = server->infer;
	server->ops.learn = server->mend.lane = server->learn;
	return r;
}

static void init_sessions(struct server *server)
{
	const struct config *config = server->parts->config;
	const struct quota_limit shares[QUOTA_KINDS] = {
		[QUOTA_SESSIONS] = quota_limit_of(config->sessions_max, 0),
		[QUOTA_TURNED_AWAY] = quota_limit_of(TURNED_AWAY_MAX, 0),
		[QUOTA_IN_FLIGHT] = quota_limit_of(IN_FLIGHT_MAX, 0),
		[QUOTA_PAYLOAD] = quota_limit_of(PAYLOAD_BUDGET_BYTES, 0),
		[QUOTA_LESSONS] = quota_limit_of(config->sessions_max, config->lesson_per_uid),
		[QUOTA_FEATURES] = quota_limit_of(LESSON_FEATURES_MAX_BYTES, 0),
	};
	const struct sessions_options options = {.handlers = ops_handlers(&server->ops),
		.shares = shares,
		.own_uid = geteuid(),
		.stall_s = config->session_stall_s};
	sessions_init(&server->sessions, &options);
}

static void server_init(struct server *server, const struct server_parts *parts)
{
	const struct bnn_info *model = bnn_model_info(parts->model);
	*server = (struct server){.parts = parts, .listener.fd = -1};
	server->n_infer_threads = threads_choose(parts->config, model->arena_bytes);
	server->published =
		(struct published){.now = learned_snapshot(parts->learned), .on_change = on_published, .ctx = server};
	server->health = (struct health){.published = &server->published,
		.n_reasons = parts->n_reasons,
		.reasons = parts->reasons,
		.state_obstacle = parts->state_obstacle,
		.answers = model->has_answers};
	server->ops = (struct ops){.config = parts->config,
		.model = model,
		.learned = parts->learned,
		.published = &server->published,
		.health = &server->health,
		.sessions = &server->sessions,
		.started_us = clock_us(),
		.n_infer_threads = server->n_infer_threads,
		.memory_bound_bytes = threads_memory_bound(parts->config, server->n_infer_threads, model->arena_bytes),
		.waiting = parts->waiting};
	ops_init(&server->ops);
	server->mend = (struct mend){.learned = parts->learned,
		.published = &server->published,
		.committed = &server->ops.lessons.committed,
		.owner.uid = geteuid()};
	init_sessions(server);
	lane_results_init(&server->results, wake_loop, server);
}

static void server_deinit(struct server *server)
{
	for (uint32_t i = 0; server->infer_threads && i < server->n_infer_threads; i++)
		look_thread_free(server->infer_threads[i]);
	free(server->infer_threads);
	lane_results_deinit(&server->results);
	ops_deinit(&server->ops);
	sessions_deinit(&server->sessions);
	snapshot_unref(server->published.now);
}

static int start_loop(struct server *server, struct err *err)
{
	uv_loop_t *loop = &server->loop;
	if (uv_loop_init(loop) != 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot make an event loop: %s", strerror(errno));
	/* None of these can fail on an open descriptor of a fresh loop but for want of memory. */
	REQUIRE(uv_async_init(loop, &server->results_ready, on_results) == 0);
	REQUIRE(uv_timer_init(loop, &server->accept_pause) == 0 && uv_timer_init(loop, &server->mend_timer) == 0);
	REQUIRE(uv_timer_init(loop, &server->log_timer) == 0 && uv_timer_init(loop, &server->status_timer) == 0);
	REQUIRE(uv_timer_init(loop, &server->watchdog) == 0 && uv_prepare_init(loop, &server->stopping) == 0);
	REQUIRE(uv_signal_init(loop, &server->sigterm) == 0 && uv_signal_init(loop, &server->sigint) == 0);
	REQUIRE(uv_poll_init(loop, &server->accept_poll, server->listener.fd) == 0);
	sessions_start(&server->sessions, loop);
	ops_start(&server->ops, loop);
	server->results_ready.data = server->accept_pause.data = server->mend_timer.data = server;
	server->sigterm.data = server->sigint.data = server->accept_poll.data = server->stopping.data = server;
	server->log_timer.data = server->status_timer.data = server->watchdog.data = server;
	uv_timer_start(&server->log_timer, on_log_timer, LOG_WINDOW_S * 1000, LOG_WINDOW_S * 1000);
	uv_unref((uv_handle_t *)&server->log_timer);
	uv_unref((uv_handle_t *)&server->status_timer);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	uv_signal_start(&server->sigterm, on_signal, SIGTERM);
	uv_signal_start(&server->sigint, on_signal, SIGINT);
	return 0;
}

/* It ticks to the very end and keeps nothing from ending. */
static void start_watchdog(struct server *server)
{
	uint64_t every_ms = notify_watchdog_ms();
	if (every_ms)
		uv_timer_start(&server->watchdog, on_watchdog, every_ms, every_ms);
	uv_unref((uv_handle_t *)&server->watchdog);
}

static void announce(const struct server *server)
{
	char sentence[ERR_TEXT_BYTES];
	if (threads_over_limit(server->ops.memory_bound_bytes, sentence))
		log_line(LOG_WARNING, "%s", sentence);
	health_sentence(&server->health, sentence, sizeof sentence);
	notify_send("READY=1\nSTATUS=%s", sentence);
	printf("bnnd " BNND_VERSION " ready: %s, model %s, %s\n",
		server->listener.own ? server->listener.path : "passed socket", server->ops.model->name, sentence);
	fflush(stdout);
}

static void close_rest(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	close_handle(handle);
}

/* The loop is there: until a signal ends it. */
static int run_loop(struct server *server, struct err *err)
{
	int r = start_lanes(server, err);
	if (r == 0) {
		uv_poll_start(&server->accept_poll, UV_READABLE, on_connection);
		start_watchdog(server);
		announce(server);
		watch_mending(server);
		uv_run(&server->loop, UV_RUN_DEFAULT);
	}
	/* The threads first: they wake the loop's async handle. */
	lane_stop(server->infer);
	lane_stop(server->learn);
	uv_walk(&server->loop, close_rest, NULL);
	uv_run(&server->loop, UV_RUN_DEFAULT);
	uv_loop_close(&server->loop);
	return r;
}

int server_run(const struct server_parts *parts, struct err *err)
{
	struct server server;
	server_init(&server, parts);
	int r = learned_keys(parts->learned, remember_key, &server.ops.lessons.committed, err);
	if (r == 0)
		r = listener_open(parts->config, &server.listener, err);
	if (r == 0) {
		r = start_loop(&server, err);
		if (r == 0)
			r = run_loop(&server, err);
		listener_close(&server.listener);
	}
	server_deinit(&server);
	log_flush(UINT64_MAX);
	return r;
}
