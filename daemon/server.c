/* SPDX-License-Identifier: MIT */
/* daemon/server.c: see server.h: the loop, what it listens to, and how it stops.
 *
 * Invariants: the loop neither computes nor touches the disk; the published snapshot is swapped here alone, before the
 * change that made it is answered. */
#include "daemon/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "daemon/work/look.h"
#include "daemon/work/mend.h"
#include "daemon/host/log.h"
#include "daemon/host/notify.h"
#include "daemon/ops/ops.h"
#include "daemon/service.h"
#include "daemon/session/session.h"
#include "daemon/config/threads.h"
#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "proto/limits.h"

enum {
	WATCHDOG_PICTURE_S = 20, /* a picture that takes longer never ends: systemd starts the daemon again */
	TICK_MS = 100,           /* how exactly lesson.idle_s is kept */
	STATUS_MS = 1000,
	LEARN_NICE = 5,   /* where cores are short a question goes before a lesson's training */
	ACCEPT_BURST = 8, /* connections taken before the loop looks at the others again */
};

/* ---- the published state ----------------------------------------------------------------------------------------- */

size_t service_reasons(const struct service *service, void (*fn)(void *, const char *), void *ctx)
{
	const struct snapshot *snapshot = service->snapshot;
	const struct server_parts *parts = service->parts;
	size_t n = snapshot->n_reasons + parts->n_reasons;
	for (size_t i = 0; fn && i < snapshot->n_reasons; i++)
		fn(ctx, snapshot->reasons[i]);
	if (!snapshot->writable && parts->state_obstacle) {
		n++;
		if (fn)
			fn(ctx, parts->state_obstacle);
	}
	for (size_t i = 0; fn && i < parts->n_reasons; i++)
		fn(ctx, parts->reasons[i]);
	if (!service->model->has_answers) {
		n++;
		if (fn)
			fn(ctx, "the model has no constants for answers: everything is unknown");
	}
	return n;
}

static void keep_first(void *ctx, const char *sentence)
{
	const char **first = ctx;
	if (!*first)
		*first = sentence;
}

/* "12 classes, seq 40", for systemctl status and the line at start. */
static void service_sentence(const struct service *service, char *text, size_t text_bytes)
{
	const struct snapshot *snapshot = service->snapshot;
	const char *why = NULL;
	service_reasons(service, keep_first, &why);
	snprintf(text, text_bytes, "%zu class%s, seq %llu%s%s", snapshot->n_classes,
		snapshot->n_classes == 1 ? "" : "es", (unsigned long long)snapshot->seq, why ? "; degraded: " : "",
		why ? why : "");
}

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
	struct service *service = timer->data;
	char sentence[ERR_TEXT_BYTES];
	if (!service->status_due || service->stopping)
		return;
	service->status_due = false;
	service_sentence(service, sentence, sizeof sentence);
	notify_send("STATUS=%s", sentence);
	uv_timer_start(timer, on_status_timer, STATUS_MS, 0);
}

static void on_log_timer(uv_timer_t *timer)
{
	(void)timer;
	log_flush(clock_us());
}

void service_publish(struct service *service, struct snapshot *snapshot)
{
	char sentence[ERR_TEXT_BYTES];
	struct snapshot *old = service->snapshot;
	if (snapshot == old) {
		snapshot_unref(snapshot);
		return;
	}
	bool other_reasons = reasons_differ(old, snapshot), changed = old->seq != snapshot->seq || other_reasons;
	service->snapshot = snapshot;
	snapshot_unref(old);
	mend_watch(service);
	if (!changed)
		return;
	service_sentence(service, sentence, sizeof sentence);
	bool worse = other_reasons && snapshot->n_reasons;
	log_limited(other_reasons ? LOG_HEALTH : LOG_STATE, worse ? LOG_WARNING : LOG_INFO, "%s", sentence);
	service->status_due = true;
	if (other_reasons || !uv_is_active((uv_handle_t *)&service->status_timer))
		on_status_timer(&service->status_timer);
}

/* ---- events of the loop ------------------------------------------------------------------------------------------ */

static void on_tick(uv_timer_t *timer)
{
	ops_drop_idle_lessons(timer->data);
}

void service_watch_lessons(struct service *service)
{
	bool any = !list_empty(&service->lessons.open);
	if (service->stopping || any == (bool)uv_is_active((uv_handle_t *)&service->tick))
		return;
	if (any)
		uv_timer_start(&service->tick, on_tick, TICK_MS, TICK_MS);
	else
		uv_timer_stop(&service->tick);
}

static void on_results(uv_async_t *async)
{
	struct service *service = async->data;
	lane_results_collect(&service->results);
}

/* On a thread of a lane. */
static void wake_loop(void *ctx)
{
	struct service *service = ctx;
	uv_async_send(&service->results_ready);
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void on_accept_pause_over(uv_timer_t *timer)
{
	struct service *service = timer->data;
	uv_poll_start(&service->accept_poll, UV_READABLE, on_connection);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct service *service = poll->data;
	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		int fd = accept4(service->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			session_open(service, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			/* EMFILE and its like stay until somebody closes something: do not spin. */
			log_limited(LOG_ACCEPT, LOG_WARNING, "cannot accept a connection: %s; trying again in %d ms",
				strerror(errno), ACCEPT_PAUSE_MS);
			uv_poll_stop(&service->accept_poll);
			uv_timer_start(&service->accept_pause, on_accept_pause_over, ACCEPT_PAUSE_MS, 0);
		}
		return;
	}
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

void service_stop_further(struct service *service)
{
	if (!service->stopping || service->n_requests > 0 || service->mending)
		return;
	/* No request is left: the connections end when their last replies are read, or after a second. */
	LIST_EACH(node, &service->sessions)
	session_end(LIST_ENTRY(node, struct session, link));
	if (service->n_sessions > 0)
		return;
	close_handle((uv_handle_t *)&service->results_ready);
	close_handle((uv_handle_t *)&service->sigterm);
	close_handle((uv_handle_t *)&service->sigint);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct service *service = handle->data;
	if (service->stopping)
		return;
	log_line(LOG_NOTICE, "stopping (%s)", number == SIGTERM ? "SIGTERM" : "SIGINT");
	service->stopping = true;
	notify_send("STOPPING=1\nSTATUS=stopping");
	close_handle((uv_handle_t *)&service->accept_poll);
	close_handle((uv_handle_t *)&service->accept_pause);
	close_handle((uv_handle_t *)&service->tick);
	close_handle((uv_handle_t *)&service->mend);
	listener_close(&service->listener);
	LIST_EACH(node, &service->sessions)
	ops_drop_lesson(LIST_ENTRY(node, struct session, link), "the daemon is stopping");
	clear_lane(service->infer, "the daemon is stopping");
	clear_lane(service->learn, "the daemon is stopping: nothing was changed, ask again with the same key");
	service_stop_further(service);
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

static void remember_key(void *ctx, const uint8_t key[STORE_KEY_BYTES])
{
	keyset_add(ctx, key);
}

static int start_lanes(struct service *service, struct err *err)
{
	const struct config *config = service->config;
	uint32_t n = service->n_infer_threads;
	service->infer_threads = mem_zalloc(n, sizeof *service->infer_threads);
	const struct image_limits limits = {.decode_memory_bytes = (size_t)config->decode_memory_mib << 20,
		.decode_megapixels = config->decode_megapixels,
		.decode_seconds = config->decode_seconds};
	for (uint32_t i = 0; i < n; i++)
		service->infer_threads[i] = infer_thread_new(service->parts->model, &service->input, &limits);
	struct lane_options infer = {.name = "infer",
		.n_threads = n,
		.contexts = service->infer_threads,
		.starve_us = (uint64_t)config->lesson_starve_ms * 1000,
		.results = &service->results};
	struct lane_options learn = {.name = "learn", .n_threads = 1, .results = &service->results, .nice = LEARN_NICE};
	int r = lane_start(&infer, &service->infer, err);
	return r == 0 ? lane_start(&learn, &service->learn, err) : r;
}

static void service_init(struct service *service, const struct server_parts *parts)
{
	const struct config *config = parts->config;
	memset(service, 0, sizeof *service);
	service->parts = parts;
	service->config = config;
	service->model = bnn_model_info(parts->model);
	service->listener.fd = -1;
	service->started_us = clock_us();
	service->n_infer_threads = threads_choose(config, service->model->arena_bytes);
	service->memory_bound_bytes =
		threads_memory_bound(config, service->n_infer_threads, service->model->arena_bytes);
	service->input = (struct image_input){.width = service->model->width,
		.height = service->model->height,
		.fit = (enum image_fit)service->model->fit};
	memcpy(service->input.background, service->model->background, sizeof service->input.background);
	list_init(&service->sessions);
	const struct quota_limit shares[QUOTA_KINDS] = {
		[QUOTA_SESSIONS] = quota_limit_of(config->sessions_max, 0),
		[QUOTA_TURNED_AWAY] = quota_limit_of(TURNED_AWAY_MAX, 0),
		[QUOTA_IN_FLIGHT] = quota_limit_of(IN_FLIGHT_MAX, 0),
		[QUOTA_PAYLOAD] = quota_limit_of(PAYLOAD_BUDGET_BYTES, 0),
		[QUOTA_LESSONS] = quota_limit_of(config->sessions_max, config->lesson_per_uid),
		[QUOTA_FEATURES] = quota_limit_of(LESSON_FEATURES_MAX_BYTES, 0),
	};
	quota_init(&service->quota, geteuid(), shares);
	struct lesson_limits limits = {.n_features = service->model->n_features,
		.features_bytes = LESSON_FEATURES_MAX_BYTES,
		.pictures = config->lesson_max_pictures,
		.classes = config->lesson_max_classes,
		.known_classes = config->max_classes,
		.idle_us = (uint64_t)config->lesson_idle_s * 1000000};
	lessons_init(&service->lessons, &limits);
	service->snapshot = learned_snapshot(parts->learned);
	service->arena_memory = mem_aligned(DECODE_ARENA_BYTES);
	decode_arena_init(&service->arena, service->arena_memory, DECODE_ARENA_BYTES);
	service->staging = mem_aligned(SERVICE_STAGING_BYTES);
	lane_results_init(&service->results, wake_loop, service);
}

static void service_deinit(struct service *service)
{
	for (uint32_t i = 0; service->infer_threads && i < service->n_infer_threads; i++)
		infer_thread_free(service->infer_threads[i]);
	free(service->infer_threads);
	lane_results_deinit(&service->results);
	if (service->turns.step)
		turns_deinit(&service->turns);
	lessons_deinit(&service->lessons);
	quota_deinit(&service->quota);
	snapshot_unref(service->snapshot);
	free(service->arena_memory);
	free(service->staging);
}

static int start_loop(struct service *service, struct err *err)
{
	uv_loop_t *loop = &service->loop;
	if (uv_loop_init(loop) != 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot make an event loop: %s", strerror(errno));
	/* None of these can fail on an open descriptor of a fresh loop but for want of memory. */
	REQUIRE(uv_async_init(loop, &service->results_ready, on_results) == 0);
	REQUIRE(uv_timer_init(loop, &service->accept_pause) == 0 && uv_timer_init(loop, &service->tick) == 0);
	REQUIRE(uv_timer_init(loop, &service->mend) == 0);
	REQUIRE(uv_timer_init(loop, &service->log_timer) == 0 && uv_timer_init(loop, &service->status_timer) == 0);
	REQUIRE(uv_timer_init(loop, &service->watchdog) == 0);
	REQUIRE(uv_signal_init(loop, &service->sigterm) == 0 && uv_signal_init(loop, &service->sigint) == 0);
	REQUIRE(uv_poll_init(loop, &service->accept_poll, service->listener.fd) == 0);
	turns_init(&service->turns, loop, session_step, session_turn_changed);
	service->results_ready.data = service->accept_pause.data = service->tick.data = service->mend.data = service;
	service->sigterm.data = service->sigint.data = service->accept_poll.data = service;
	service->log_timer.data = service->status_timer.data = service->watchdog.data = service;
	uv_timer_start(&service->log_timer, on_log_timer, LOG_WINDOW_S * 1000, LOG_WINDOW_S * 1000);
	uv_unref((uv_handle_t *)&service->log_timer);
	uv_unref((uv_handle_t *)&service->status_timer);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	uv_signal_start(&service->sigterm, on_signal, SIGTERM);
	uv_signal_start(&service->sigint, on_signal, SIGINT);
	return 0;
}

/* The loop turns; so must those who compute pictures. A lesson that is written may take as long as the disk does. */
static void on_watchdog(uv_timer_t *timer)
{
	struct service *service = timer->data;
	uint64_t since_us = lane_busy_since_us(service->infer);
	if (!since_us || clock_us() - since_us < WATCHDOG_PICTURE_S * UINT64_C(1000000))
		notify_send("WATCHDOG=1");
}

/* It ticks to the very end and keeps nothing from ending. */
static void start_watchdog(struct service *service)
{
	uint64_t every_ms = notify_watchdog_ms();
	if (every_ms)
		uv_timer_start(&service->watchdog, on_watchdog, every_ms, every_ms);
	uv_unref((uv_handle_t *)&service->watchdog);
}

static void announce(const struct service *service)
{
	char sentence[ERR_TEXT_BYTES];
	if (threads_over_limit(service->memory_bound_bytes, sentence))
		log_line(LOG_WARNING, "%s", sentence);
	service_sentence(service, sentence, sizeof sentence);
	notify_send("READY=1\nSTATUS=%s", sentence);
	printf("bnnd " BNND_VERSION " ready: %s, model %s, %s\n",
		service->listener.own ? service->listener.path : "passed socket", service->model->name, sentence);
	fflush(stdout);
}

static void close_rest(uv_handle_t *handle, void *ctx)
{
	(void)ctx;
	close_handle(handle);
}

int server_run(const struct server_parts *parts, struct err *err)
{
	struct service service;
	service_init(&service, parts);
	int r = learned_keys(parts->learned, remember_key, &service.lessons.committed, err);
	if (r == 0)
		r = listener_open(service.config, &service.listener, err);
	if (r == 0) {
		r = start_loop(&service, err);
		if (r == 0) {
			r = start_lanes(&service, err);
			if (r == 0) {
				uv_poll_start(&service.accept_poll, UV_READABLE, on_connection);
				start_watchdog(&service);
				announce(&service);
				mend_watch(&service);
				uv_run(&service.loop, UV_RUN_DEFAULT);
			}
			/* The threads first: they wake the loop's async handle. */
			lane_stop(service.infer);
			lane_stop(service.learn);
			uv_walk(&service.loop, close_rest, NULL);
			uv_run(&service.loop, UV_RUN_DEFAULT);
			uv_loop_close(&service.loop);
		}
		listener_close(&service.listener);
	}
	service_deinit(&service);
	log_flush(UINT64_MAX);
	return r;
}
