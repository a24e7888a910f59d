/* SPDX-License-Identifier: MIT */
/* daemon/refuse.c: see refuse.h. A loop of its own, since there are no settings, lanes or sessions yet.
 *
 * Invariant: whatever clients do, it costs one accept and one small reply each; nothing that they send is looked at. */
#include "daemon/refuse.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "daemon/host/log.h"
#include "daemon/host/notify.h"
#include "lib/base/err.h"
#include "lib/base/require.h"
#include "proto/bnnd.pb-c.h"
#include "proto/frame.h"

enum { WATCH_MS = 500, REPLY_MAX_BYTES = 1024, DRAIN_BYTES = 4096 };

struct waiting {
	int fd;
	uint64_t until_us;
};

struct refusal {
	int listen_fd;
	size_t n_waiting;
	struct waiting waiting[REFUSE_SESSIONS_MAX];
	uint8_t reply[REPLY_MAX_BYTES];
	size_t reply_bytes;
	uint64_t last_us; /* when somebody came */
};

/* ---- what is watched --------------------------------------------------------------------------------------------- */

static struct refuse_file file_now(const char *path)
{
	struct refuse_file file = {.path = path};
	struct stat st;
	if (stat(path, &st) == 0) {
		file.device = st.st_dev;
		file.inode = st.st_ino;
		file.changed = st.st_ctim;
	}
	return file;
}

void refuse_watch(struct refuse_watch *watch, const char *path)
{
	REQUIRE(watch->n < REFUSE_FILES_MAX);
	watch->files[watch->n++] = file_now(path);
}

static bool any_changed(const struct refuse_watch *watch)
{
	for (size_t i = 0; i < watch->n; i++) {
		const struct refuse_file *was = &watch->files[i];
		struct refuse_file is = file_now(was->path);
		if (is.device != was->device || is.inode != was->inode || is.changed.tv_sec != was->changed.tv_sec ||
			is.changed.tv_nsec != was->changed.tv_nsec)
			return true;
	}
	return false;
}

/* ---- clients ----------------------------------------------------------------------------------------------------- */

/* The HELLO frame that every client gets. */
static void make_reply(struct refusal *r, const char *sentence)
{
	char text[ERR_TEXT_BYTES + 64];
	Bnnd__HelloReply hello = BNND__HELLO_REPLY__INIT;
	Bnnd__Status status = BNND__STATUS__INIT;
	snprintf(text, sizeof text, "the daemon cannot start: %s", sentence);
	status.code = ERR_UNAVAILABLE;
	status.message = text;
	hello.status = &status;
	hello.major = PROTOCOL_MAJOR;
	hello.minor = PROTOCOL_MINOR;
	hello.software = (char *)"bnnd " BNND_VERSION;
	struct frame_header header = {
		.kind = FRAME_HELLO, .body_bytes = (uint32_t)bnnd__hello_reply__get_packed_size(&hello)};
	REQUIRE(FRAME_HEADER_BYTES + header.body_bytes <= sizeof r->reply);
	frame_header_encode(&header, r->reply);
	bnnd__hello_reply__pack(&hello, r->reply + FRAME_HEADER_BYTES);
	r->reply_bytes = FRAME_HEADER_BYTES + header.body_bytes;
}

/* Once a client has said something it reads: the reply fits its empty buffer. false: it is still silent. */
static bool answer(const struct refusal *r, const struct waiting *w, bool said)
{
	uint8_t ignored[DRAIN_BYTES]; /* room for any Hello; one who sends more is not read to the end */
	if (!said && clock_us() < w->until_us)
		return false;
	(void)!recv(w->fd, ignored, sizeof ignored, MSG_DONTWAIT);
	(void)!send(w->fd, r->reply, r->reply_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(w->fd);
	return true;
}

/* Takes those who wait in the socket. Where there is no room, the one that has been silent for longest is answered. */
static void take_waiting(struct refusal *r)
{
	for (int i = 0; i < REFUSE_SESSIONS_MAX; i++) {
		int fd = accept4(r->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		if (r->n_waiting == REFUSE_SESSIONS_MAX) {
			answer(r, &r->waiting[0], true);
			memmove(r->waiting, r->waiting + 1, --r->n_waiting * sizeof *r->waiting);
		}
		r->last_us = clock_us();
		r->waiting[r->n_waiting++] =
			(struct waiting){.fd = fd, .until_us = r->last_us + REFUSE_HELLO_MS * UINT64_C(1000)};
	}
}

/* One turn: those who came are taken, those who said something are answered. */
static void turn(struct refusal *r)
{
	struct pollfd fds[REFUSE_SESSIONS_MAX + 1];
	size_t n = r->n_waiting, kept = 0;
	for (size_t i = 0; i < n; i++)
		fds[i] = (struct pollfd){.fd = r->waiting[i].fd, .events = POLLIN};
	fds[n] = (struct pollfd){.fd = r->listen_fd, .events = POLLIN};
	if (poll(fds, (nfds_t)n + 1, WATCH_MS) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (!answer(r, &r->waiting[i], fds[i].revents != 0))
			r->waiting[kept++] = r->waiting[i];
	r->n_waiting = kept;
	if (fds[n].revents)
		take_waiting(r);
}

/* Until a file changes (0) or nobody has come for long (code). */
static int stay(struct refusal *r, const struct refuse_watch *watch, int code)
{
	uint64_t next_us = 0;
	for (;;) {
		turn(r);
		if (clock_us() < next_us)
			continue;
		next_us = clock_us() + WATCH_MS * UINT64_C(1000);
		notify_send("WATCHDOG=1");
		if (any_changed(watch))
			return 0;
		if (clock_us() - r->last_us > REFUSE_IDLE_MS * UINT64_C(1000))
			return code;
	}
}

int refuse_clients(const char *sentence, const struct refuse_watch *watch, int code)
{
	struct refusal r = {.listen_fd = -1};
	struct err err;
	if (notify_listen_fd(&r.listen_fd, &err) != 0 || r.listen_fd < 0)
		return code;
	make_reply(&r, sentence);
	take_waiting(&r);
	if (r.n_waiting > 0) {
		log_line(LOG_NOTICE, "clients are told so until the settings change");
		notify_send("READY=1\nSTATUS=cannot start: %s", sentence);
		code = stay(&r, watch, code);
		log_line(LOG_NOTICE, "%s",
			code == 0 ? "the settings changed: the next client starts the daemon again"
				  : "nobody has asked for a while: ending");
	}
	/* Who came meanwhile must not take the end for a crash; who waits in the socket is the next daemon's. */
	for (size_t i = 0; i < r.n_waiting; i++)
		answer(&r, &r.waiting[i], true);
	close(r.listen_fd);
	return code;
}
