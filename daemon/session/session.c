/* SPDX-License-Identifier: MIT */
/* daemon/session/session.c: see session.h. The connection's life on the loop; what a request means is the handlers' affair.
 *
 * Refuses: frames that break the stream (kind, flags, ids), which end the connection with a sentence, and frames over a
 * limit, which are answered by their id. */
#include "daemon/session/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/host/log.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "proto/limits.h"

enum {
	LINGER_MS = 1000, /* after the last reply, for the peer to read it before the socket goes */
};

static void session_update(struct session *s);
static void session_step(struct turn *turn);
static void session_turn_changed(struct turn *turn);
static void session_on_poll(uv_poll_t *poll, int status, int events);
static void session_on_timer(uv_timer_t *timer);

/* ---- all of them ------------------------------------------------------------------------------------------------- */

void sessions_init(struct sessions *sessions, const struct sessions_options *options)
{
	*sessions = (struct sessions){.handlers = options->handlers, .stall_s = options->stall_s};
	list_init(&sessions->list);
	quota_init(&sessions->quota, options->own_uid, options->shares);
	sessions->staging = mem_aligned(SESSION_STAGING_BYTES);
}

void sessions_start(struct sessions *sessions, uv_loop_t *loop)
{
	sessions->loop = loop;
	turns_init(&sessions->turns, loop, session_step, session_turn_changed);
}

void sessions_end(struct sessions *sessions)
{
	LIST_EACH(node, &sessions->list)
	session_end(LIST_ENTRY(node, struct session, link));
}

void sessions_deinit(struct sessions *sessions)
{
	if (sessions->loop)
		turns_deinit(&sessions->turns);
	quota_deinit(&sessions->quota);
	free(sessions->staging);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static void session_on_closed(uv_handle_t *handle)
{
	struct session *s = handle->data;
	if (--s->n_handles > 0)
		return;
	free(s);
}

/* Its end begins: nobody waits for its requests, nothing is kept for what it would ask. */
static void session_leave(struct session *s)
{
	const struct session_handlers *handlers = &s->sessions->handlers;
	requests_stop(&s->requests);
	if (!s->gone)
		handlers->gone(handlers->ctx, s);
	s->gone = true;
	inbox_deinit(&s->inbox);
	payload_drop(&s->payload);
	free(s->stash);
	s->stash = NULL;
	s->stash_bytes = 0;
}

void session_close(struct session *s)
{
	if (s->state == SESSION_CLOSED)
		return;
	s->state = SESSION_CLOSED;
	session_leave(s);
	outbox_deinit(&s->outbox);
	quota_release(&s->charge);
	turns_forget(&s->sessions->turns, &s->turn);
	list_remove(&s->link);
	s->sessions->n--;
	uv_poll_stop(&s->poll);
	uv_close((uv_handle_t *)&s->poll, session_on_closed);
	uv_close((uv_handle_t *)&s->timer, session_on_closed);
	close(s->fd);
	s->fd = -1;
}

void session_end(struct session *s)
{
	if (s->state >= SESSION_ENDING)
		return;
	s->state = SESSION_ENDING;
	s->end_us = clock_us() + LINGER_MS * 1000;
	session_leave(s);
	session_update(s);
}

/* May there be one more? Else it is told why, or, when too many are being told already, not even charged. */
static int session_admit(struct session *s, struct err *err)
{
	struct quota *quota = &s->sessions->quota;
	int r = access_peer(s->fd, &s->peer, err);
	if (r != 0)
		return r;
	r = quota_charge(quota, s->peer.uid, QUOTA_SESSIONS, 1, &s->charge, err);
	if (r != 0)
		(void)quota_charge(quota, s->peer.uid, QUOTA_TURNED_AWAY, 1, &s->charge, NULL);
	return r;
}

void session_open(struct sessions *sessions, int fd)
{
	struct session *s = mem_zalloc(1, sizeof *s);
	struct err err;
	s->sessions = sessions;
	s->fd = fd;
	int r = session_admit(s, &err);
	if (r != 0)
		log_limited(
			LOG_REFUSED, LOG_WARNING, "connection of uid %u refused: %s", (unsigned)s->peer.uid, err.text);
	if (!s->charge.user) {
		close(fd);
		free(s);
		return;
	}
	s->role = access_role(&s->peer);
	s->turn.owner = (struct fair_owner){.uid = s->peer.uid, .connection = ++sessions->next};
	inbox_init(&s->inbox);
	outbox_init(&s->outbox);
	requests_init(&s->requests, sessions, s, &s->turn.owner);
	list_append(&sessions->list, &s->link);
	sessions->n++;
	REQUIRE(uv_poll_init(sessions->loop, &s->poll, fd) == 0);
	REQUIRE(uv_timer_init(sessions->loop, &s->timer) == 0);
	s->poll.data = s->timer.data = s;
	s->n_handles = 2;
	s->hello_us = clock_us() + HELLO_MS * 1000;
	if (r != 0)
		session_fault(s, 0, &err);
	else
		session_update(s);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void session_write(struct session *s)
{
	if (s->state == SESSION_CLOSED)
		return;
	int r = outbox_write(&s->outbox, s->fd);
	if (r < 0) {
		s->lost = true;
		outbox_deinit(&s->outbox);
		return;
	}
	if (r == 0 && s->state == SESSION_ENDING && !s->shut) {
		s->shut = true;
		shutdown(s->fd, SHUT_WR);
	}
}

void session_put(struct session *s, struct frame *frame)
{
	outbox_put(&s->outbox, frame);
	if (s->state == SESSION_CLOSED || s->lost) {
		outbox_deinit(&s->outbox);
		return;
	}
	session_write(s);
	if (!s->in_feed)
		session_update(s);
}

void session_greet(struct session *s, struct frame *frame)
{
	s->state = SESSION_GREETED;
	session_put(s, frame);
}

void session_refuse(struct session *s, uint32_t id, const struct err *err)
{
	session_put(s, frame_refusal(id, err));
}

void session_fault(struct session *s, uint32_t id, const struct err *err)
{
	session_put(s, s->state == SESSION_NEW ? frame_hello_refusal(id, err) : frame_refusal(id, err));
	session_end(s);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool session_full(const struct session *s)
{
	return s->outbox.bytes > OUTPUT_MARK_BYTES;
}

static bool session_reads(const struct session *s)
{
	return s->state <= SESSION_GREETED && !s->lost && !session_full(s);
}

static void fault(struct session *s, enum err_code code, uint32_t id, const char *sentence)
{
	struct err err;
	err_set(&err, code, "%s", sentence);
	session_fault(s, id, &err);
}

/* Before the hello nothing but a hello; after it requests and cancels. false: the session ends. */
static bool header_fits(struct session *s)
{
	const struct frame_header *h = &s->inbox.header;
	int f = s->inbox.header_fault;
	if (s->state == SESSION_NEW && (f == FRAME_E_KIND || f == FRAME_E_FLAGS || h->kind != FRAME_HELLO))
		fault(s, ERR_FAILED_PRECONDITION, f == FRAME_E_KIND || f == FRAME_E_FLAGS ? 0 : h->request_id,
			"the first frame must be a Hello: this is bnnd, see PROTOCOL.md");
	else if (f == FRAME_E_KIND)
		fault(s, ERR_INVALID_ARGUMENT, 0, "a frame of no known kind came: the stream is not understood");
	else if (f == FRAME_E_FLAGS)
		fault(s, ERR_INVALID_ARGUMENT, 0, "a frame with unknown flags came: the stream is not understood");
	else if (s->state == SESSION_GREETED && h->kind == FRAME_HELLO)
		fault(s, ERR_INVALID_ARGUMENT, 0, "a second Hello came: a connection has one");
	else if (h->kind != FRAME_HELLO && h->kind != FRAME_REQUEST && h->kind != FRAME_CANCEL)
		fault(s, ERR_INVALID_ARGUMENT, 0, "a client sends Hello, Request and Cancel frames, no other kind");
	else if (h->kind == FRAME_REQUEST && h->request_id == 0)
		fault(s, ERR_INVALID_ARGUMENT, 0, "a request has the id 0: ids are 1 or more");
	else if (h->kind == FRAME_REQUEST && requests_find(&s->requests, h->request_id))
		fault(s, ERR_INVALID_ARGUMENT, 0, "a request has the id of another that is still in flight");
	else if (h->kind == FRAME_CANCEL && (h->body_bytes || h->payload_bytes))
		fault(s, ERR_INVALID_ARGUMENT, 0, "a Cancel frame is its header alone");
	else if (h->kind == FRAME_HELLO && h->payload_bytes)
		fault(s, ERR_INVALID_ARGUMENT, 0, "a Hello frame has no payload");
	else
		return true;
	return false;
}

/* Body or payload over their limits: answered by id, then closed. */
static void header_over_limit(struct session *s)
{
	const struct frame_header *h = &s->inbox.header;
	bool body = s->inbox.header_fault == FRAME_E_BODY_TOO_LARGE;
	struct err err;
	const struct err_about about = {
		.field = body ? "body" : "payload", .limit = body ? FRAME_BODY_MAX_BYTES : FRAME_PAYLOAD_MAX_BYTES};
	err_set_about(&err, ERR_RESOURCE_EXHAUSTED, about, "the frame's %s has %u bytes: the limit is %llu",
		about.field, body ? h->body_bytes : h->payload_bytes, (unsigned long long)about.limit);
	session_fault(s, h->request_id, &err);
}

/* May this payload be read? Else the request is answered now and the payload thrown away. */
static int header_charge(struct session *s, struct err *err)
{
	int r = requests_room(&s->requests, err);
	if (r != 0)
		return r;
	return payload_new(&s->sessions->quota, s->peer.uid, s->inbox.header.payload_bytes, &s->payload, err);
}

static void session_on_header(struct session *s)
{
	struct err err;
	if (!header_fits(s))
		return;
	if (s->inbox.header_fault) {
		header_over_limit(s);
		return;
	}
	s->refused = s->inbox.header.payload_bytes > 0 && header_charge(s, &err) != 0;
	inbox_accept(&s->inbox, s->payload.bytes);
	if (s->refused)
		session_refuse(s, s->inbox.header.request_id, &err);
}

static void session_on_frame(struct session *s)
{
	const struct frame_header *h = &s->inbox.header;
	const struct session_handlers *handlers = &s->sessions->handlers;
	struct err cancelled;
	s->frame_us = 0;
	if (s->refused)
		return;
	switch (h->kind) {
	case FRAME_HELLO:
		handlers->hello(handlers->ctx, s, h->request_id, s->inbox.body, h->body_bytes);
		break;
	case FRAME_CANCEL: {
		struct request *request = requests_find(&s->requests, h->request_id);
		err_set(&cancelled, ERR_CANCELLED, "the client cancelled the request");
		if (request && request->stop)
			request->stop(request, &cancelled);
		break;
	}
	default:
		handlers->request(handlers->ctx, s, h, s->inbox.body, payload_take(&s->payload));
	}
}

/* Feeds until a frame is done, the bytes are used up or the session ends; returns how many were used. */
static size_t session_feed(struct session *s, const uint8_t *bytes, size_t n)
{
	size_t left = n;
	bool done = false;
	s->in_feed = true;
	while (!done && session_reads(s)) {
		bool began = !inbox_busy(&s->inbox) && left > 0;
		enum inbox_event event = inbox_feed(&s->inbox, &bytes, &left);
		if (began)
			s->frame_us = clock_us() + FRAME_COMPLETE_MS * 1000;
		if (event == INBOX_MORE)
			break;
		done = event == INBOX_FRAME;
		if (done)
			session_on_frame(s);
		else
			session_on_header(s);
	}
	s->in_feed = false;
	return n - left;
}

/* What was read and waits for its turn, or for reading to go on; at most one staging buffer. */
static void stash_keep(struct session *s, const uint8_t *bytes, size_t n)
{
	if (s->state > SESSION_GREETED || n == 0)
		return;
	s->stash = mem_dup(bytes, n);
	s->stash_at = 0;
	s->stash_bytes = n;
}

static void stash_feed(struct session *s)
{
	s->stash_at += session_feed(s, s->stash + s->stash_at, s->stash_bytes - s->stash_at);
	if (s->stash && s->stash_at == s->stash_bytes) {
		free(s->stash);
		s->stash = NULL;
	}
}

/* ENDING: what still comes is thrown away, so that a peer in the middle of writing can come to reading our answer. */
static void session_drain(struct session *s)
{
	ssize_t n = recv(s->fd, s->sessions->staging, SESSION_STAGING_BYTES, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		session_close(s);
}

static void session_read(struct session *s)
{
	uint8_t *staging = s->sessions->staging;
	uint8_t *place = NULL;
	size_t in_place = inbox_place(&s->inbox, &place);
	if (in_place < SESSION_STAGING_BYTES)
		in_place = 0;
	struct iovec vectors[2] = {{place, in_place}, {staging, SESSION_STAGING_BYTES}};
	struct msghdr message = {.msg_iov = in_place ? vectors : vectors + 1, .msg_iovlen = in_place ? 2 : 1};
	ssize_t n = recvmsg(s->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		session_close(s);
		return;
	}
	size_t got = (size_t)n, placed = got < in_place ? got : in_place;
	if (placed)
		inbox_placed(&s->inbox, placed);
	got -= placed;
	size_t used = session_feed(s, staging, got);
	stash_keep(s, staging + used, got - used);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

/* A pause of reading begins or ends: the frame's clock stands still meanwhile. */
static void session_note_pause(struct session *s, uint64_t now)
{
	bool paused = s->state <= SESSION_GREETED && session_full(s);
	if (paused && !s->paused_us) {
		s->paused_us = now;
	} else if (!paused && s->paused_us) {
		if (s->frame_us)
			s->frame_us += now - s->paused_us;
		s->paused_us = 0;
	}
}

static uint64_t session_next_us(const struct session *s)
{
	if (s->state == SESSION_ENDING)
		return s->end_us;
	if (s->paused_us)
		return s->paused_us + (uint64_t)s->sessions->stall_s * 1000000;
	return s->state == SESSION_NEW ? s->hello_us : s->frame_us;
}

/* Brings the loop's handles in line with the session's state. */
static void session_update(struct session *s)
{
	if (s->state == SESSION_CLOSED)
		return;
	if (s->state == SESSION_ENDING && !s->shut && !s->lost)
		session_write(s);
	uint64_t now = clock_us();
	session_note_pause(s, now);
	int events = (session_reads(s) || s->shut ? UV_READABLE : 0) | (s->outbox.bytes ? UV_WRITABLE : 0);
	if (s->turn.held)
		events = 0;
	if (events != s->poll_events) {
		s->poll_events = events;
		if (events)
			uv_poll_start(&s->poll, events, session_on_poll);
		else
			uv_poll_stop(&s->poll);
	}
	if (s->stash && session_reads(s))
		turns_ready(&s->sessions->turns, &s->turn);
	uint64_t next = s->lost ? now : session_next_us(s);
	if (next)
		uv_timer_start(&s->timer, session_on_timer, next > now ? (next - now) / 1000 + 1 : 0, 0);
	else if (uv_is_active((uv_handle_t *)&s->timer))
		uv_timer_stop(&s->timer);
}

static void session_on_poll(uv_poll_t *poll, int status, int events)
{
	struct session *s = poll->data;
	if (status < 0) {
		session_close(s);
		return;
	}
	s->ready_events |= events;
	turns_ready(&s->sessions->turns, &s->turn);
}

/* Whether it is held changed. */
static void session_turn_changed(struct turn *turn)
{
	session_update(LIST_ENTRY(turn, struct session, turn));
}

/* The loop's turn for it (turns.h): writes what can be written, reads once, does one frame. */
static void session_step(struct turn *turn)
{
	struct session *s = LIST_ENTRY(turn, struct session, turn);
	int events = s->ready_events;
	s->ready_events = 0;
	if (events & UV_WRITABLE)
		session_write(s);
	if (s->stash && session_reads(s))
		stash_feed(s);
	else if (events & UV_READABLE && s->state == SESSION_ENDING)
		session_drain(s);
	else if (events & UV_READABLE && session_reads(s))
		session_read(s);
	session_update(s);
}

static void session_on_timer(uv_timer_t *timer)
{
	struct session *s = timer->data;
	struct err err;
	uint64_t now = clock_us();
	if (s->state == SESSION_CLOSED)
		return;
	if (s->lost) {
		session_close(s);
	} else if (session_next_us(s) > now) {
		session_update(s);
	} else if (s->state == SESSION_ENDING) {
		session_close(s);
	} else if (s->paused_us) {
		log_limited(LOG_STALLED, LOG_INFO,
			"connection of uid %u closed: it did not read %zu bytes of replies for %u s",
			(unsigned)s->peer.uid, s->outbox.bytes, s->sessions->stall_s);
		session_close(s);
	} else if (s->state == SESSION_NEW) {
		err_set_about(&err, ERR_DEADLINE_EXCEEDED, (struct err_about){.limit = HELLO_MS},
			"no Hello came within %d ms: it is a client's first frame", HELLO_MS);
		session_fault(s, 0, &err);
	} else if (s->frame_us) {
		bool known = s->inbox.state > INBOX_AT_HEADER && s->inbox.header.kind == FRAME_REQUEST && !s->refused;
		err_set_about(&err, ERR_DEADLINE_EXCEEDED, (struct err_about){.limit = FRAME_COMPLETE_MS},
			"a frame must be complete %d ms after its first byte", FRAME_COMPLETE_MS);
		session_fault(s, known ? s->inbox.header.request_id : 0, &err);
	}
}
