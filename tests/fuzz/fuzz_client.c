/* SPDX-License-Identifier: MIT */
/* tests/fuzz/fuzz_client.c: a hostile server. The library makes one call after the other; a thread at the other end of
 * its socket answers each frame with what the input says. Whatever comes: every call returns, what it gives back can be
 * walked to its end, what it says is printable.
 *
 *   CALLS(1)        which calls are made, in which order (see calls)
 *   then, for each frame that the client sends, one answer:
 *   HOW             bits 0-1: 0 a frame with the client's own id, 1 one with a given header, 2 bytes as they come,
 *                   3 the end; bit 2: another answer follows at once; bit 3: HELLO for REPLY and REPLY for HELLO; bit 4: a
 *                   given id
 *   [ID, KIND...]   as HOW says
 *   BODY_N(2) PAYLOAD_N(1) BODY PAYLOAD
 * When the client asks nothing (it waits for the rest of a frame, say), the next answer comes all the same. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/bnnd.h"
#include "lib/base/utf8.h"
#include "proto/frame.h"
#include "tests/fuzz/fuzz.h"

enum {
	TIMEOUT_MS = 40, /* what "busy, ask again" may cost */
	STALL_MS = 3,    /* what an answer that is cut may cost */
	ANSWER_OWN_ID = 0,
	ANSWER_HEADER = 1,
	ANSWER_BYTES = 2,
	ANSWER_END = 3,
	AND_MORE = 4,
	OTHER_KIND = 8,
	GIVEN_ID = 16,
};

/* ---- the server -------------------------------------------------------------------------------------------------- */

struct server {
	int fd;
	struct fuzz_input input;
};

static bool read_whole(int fd, void *bytes, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t part = recv(fd, (uint8_t *)bytes + got, n - got, 0);
		if (part == 0 || (part < 0 && errno != EINTR))
			return false;
		got += part > 0 ? (size_t)part : 0;
	}
	return true;
}

static bool skip(int fd, size_t n)
{
	uint8_t sink[4096];
	for (size_t part; n > 0; n -= part) {
		part = n < sizeof sink ? n : sizeof sink;
		if (!read_whole(fd, sink, part))
			return false;
	}
	return true;
}

static bool write_whole(int fd, const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
		if (sent < 0 && errno != EINTR)
			return false;
		bytes += sent > 0 ? sent : 0;
		n -= sent > 0 ? (size_t)sent : 0;
	}
	return true;
}

static void put_header(
	uint8_t header[FRAME_HEADER_BYTES], uint32_t body, uint32_t payload, uint32_t id, uint16_t kind, uint16_t flags)
{
	const uint32_t words[4] = {body, payload, id, (uint32_t)kind << 16 | flags};
	for (size_t i = 0; i < FRAME_HEADER_BYTES; i++)
		header[i] = (uint8_t)(words[i / 4] >> (24 - 8 * (i % 4)));
}

/* false: the connection is over. */
static bool answer(struct server *server, const struct frame_header *asked, bool *ret_more)
{
	struct fuzz_input *input = &server->input;
	uint8_t header[FRAME_HEADER_BYTES], how = fuzz_u8(input);
	uint32_t id = how & GIVEN_ID ? (uint32_t)fuzz_number(input) : asked->request_id;
	bool greets = (asked->kind == FRAME_HELLO) != !!(how & OTHER_KIND);
	uint16_t kind = greets ? FRAME_HELLO : FRAME_REPLY, flags = 0;
	uint32_t lie = 0;
	*ret_more = how & AND_MORE;
	if (how % 4 == ANSWER_END)
		return false;
	if (how % 4 == ANSWER_HEADER) {
		kind = fuzz_u8(input) % 8;
		flags = fuzz_u8(input) % 4;
		lie = fuzz_u8(input) % 8 ? 0 : fuzz_u32(input);
	}
	size_t body_n, payload_n, want_body = fuzz_u16(input), want_payload = fuzz_u8(input);
	const uint8_t *body = fuzz_bytes(input, want_body, &body_n),
		      *payload = fuzz_bytes(input, want_payload, &payload_n);
	put_header(header, (uint32_t)body_n + lie, (uint32_t)payload_n, id, kind, flags);
	return (how % 4 == ANSWER_BYTES || write_whole(server->fd, header, sizeof header)) &&
	       write_whole(server->fd, body, body_n) && write_whole(server->fd, payload, payload_n);
}

/* The client's next frame; one that asks nothing stands for none. false: it has gone. */
static bool next_frame(int fd, struct frame_header *ret_asked)
{
	uint8_t header[FRAME_HEADER_BYTES];
	short events;
	*ret_asked = (struct frame_header){.kind = FRAME_REQUEST};
	if (fuzz_poll(fd, POLLIN, STALL_MS, &events) == 0)
		return true;
	if (!read_whole(fd, header, sizeof header))
		return false;
	FUZZ_CHECK(frame_header_decode(header, ret_asked) == 0); /* what we send is always a frame */
	return skip(fd, (size_t)ret_asked->body_bytes + ret_asked->payload_bytes);
}

static void *serve(void *ctx)
{
	struct server *server = ctx;
	struct frame_header asked;
	bool open = true, more;
	while (open && server->input.left && next_frame(server->fd, &asked)) {
		more = asked.kind != FRAME_CANCEL;
		while (open && more && server->input.left)
			open = answer(server, &asked, &more);
	}
	shutdown(server->fd, SHUT_RDWR);
	return NULL;
}

/* ---- what came of it --------------------------------------------------------------------------------------------- */

static volatile uint64_t seen; /* so that every byte is really read */

static void see(const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		seen += ((const uint8_t *)bytes)[i];
}

static void see_text(const char *text, size_t room)
{
	FUZZ_CHECK(memchr(text, '\0', room));
	see(text, strlen(text));
}

static void see_printable(const char *text, size_t room)
{
	see_text(text, room);
	for (const char *p = text; *p;) {
		uint32_t point;
		size_t n = utf8_decode((const uint8_t *)p, strlen(p), &point);
		FUZZ_CHECK(n > 0 && point >= 0x20 && !(point >= 0x7f && point < 0xa0));
		p += n;
	}
}

#define SEE_TEXT(array)      see_text(array, sizeof(array))
#define SEE_PRINTABLE(array) see_printable(array, sizeof(array))

/* true: the call gave its result. */
static bool check(int r, const struct bnnd_error *err)
{
	if (r >= 0)
		return r == 0;
	FUZZ_CHECK(err->code == -r && err->code >= BNND_CANCELLED && err->code <= BNND_DATA_LOSS);
	SEE_PRINTABLE(err->message);
	SEE_PRINTABLE(err->field);
	FUZZ_CHECK(err->message[0]);
	return false;
}

static void see_taught(const struct bnnd_taught *classes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		SEE_TEXT(classes[i].label);
	see(classes, n * sizeof *classes);
}

static void see_entry(const struct bnnd_history_entry *entry)
{
	SEE_PRINTABLE(entry->op);
	SEE_TEXT(entry->label);
	SEE_TEXT(entry->new_label);
	see_taught(entry->classes, entry->n_classes);
}

static void see_change(struct bnnd_change *change)
{
	if (!change)
		return;
	SEE_PRINTABLE(change->op);
	SEE_PRINTABLE(change->hint);
	SEE_TEXT(change->label);
	SEE_TEXT(change->new_label);
	see_taught(change->classes, change->n_classes);
	if (change->undid)
		see_entry(change->undid);
	bnnd_free(change);
}

static void see_model(const struct bnnd_model *model)
{
	SEE_PRINTABLE(model->name);
	SEE_PRINTABLE(model->fit);
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */

static const uint8_t pixels[12];
static const struct bnnd_picture picture = {
	.data = pixels, .len_bytes = sizeof pixels, .raw_width = 2, .raw_height = 2, .raw_channels = 3};

static void call_infer(struct bnnd_conn *conn, struct bnnd_error *err)
{
	struct bnnd_answer answer;
	if (!check(bnnd_infer(conn, &picture, &(struct bnnd_infer_options){.top = 10, .refuse = 0.05}, &answer, err),
		    err))
		return;
	SEE_TEXT(answer.label);
	FUZZ_CHECK(answer.n_top <= BNND_TOP_MAX && answer.reason <= BNND_NONE);
	for (size_t i = 0; i < answer.n_top; i++)
		SEE_TEXT(answer.top[i].label);
}

static void call_embed(struct bnnd_conn *conn, struct bnnd_error *err)
{
	struct bnnd_embedding *embedding;
	if (!check(bnnd_embed(conn, &picture, &embedding, err), err))
		return;
	see(embedding->features, embedding->n);
	bnnd_free(embedding);
}

static void call_look(struct bnnd_conn *conn, struct bnnd_error *err)
{
	struct bnnd_look *look;
	if (!check(bnnd_look(conn, &picture, &look, err), err))
		return;
	see(look->png, look->png_bytes);
	bnnd_free(look);
}

static void call_status(struct bnnd_conn *conn, struct bnnd_error *err)
{
	struct bnnd_status *status;
	if (!check(bnnd_status(conn, &status, err), err))
		return;
	SEE_PRINTABLE(status->state);
	SEE_PRINTABLE(status->version);
	SEE_PRINTABLE(status->kernels);
	SEE_PRINTABLE(status->widths);
	SEE_PRINTABLE(status->preset);
	SEE_PRINTABLE(status->waiting);
	see_model(&status->model);
	for (size_t i = 0; i < status->n_reasons; i++)
		see_printable(status->reasons[i], strlen(status->reasons[i]) + 1);
	bnnd_free(status);
}

static void call_classes(struct bnnd_conn *conn, struct bnnd_error *err)
{
	struct bnnd_class_list *list;
	if (!check(bnnd_classes(conn, &list, err), err))
		return;
	for (size_t i = 0; i < list->n; i++)
		SEE_TEXT(list->classes[i].label);
	bnnd_free(list);
}

static void call_class_info(struct bnnd_conn *conn, struct bnnd_error *err)
{
	struct bnnd_class_info *info;
	if (!check(bnnd_class_info(conn, "mug", &info, err), err))
		return;
	SEE_TEXT(info->summary.label);
	see(info->lessons, info->n_lessons * sizeof *info->lessons);
	bnnd_free(info);
}

static void call_history(struct bnnd_conn *conn, struct bnnd_error *err)
{
	struct bnnd_history *history;
	if (!check(bnnd_history(conn, 0, &history, err), err))
		return;
	for (size_t i = 0; i < history->n; i++)
		see_entry(&history->entries[i]);
	bnnd_free(history);
}

static void call_change(struct bnnd_conn *conn, struct bnnd_error *err, int which)
{
	struct bnnd_change *change = NULL;
	int r = which == 0   ? bnnd_undo(conn, NULL, &change, err)
		: which == 1 ? bnnd_rename(conn, "mug", "cup", NULL, &change, err)
		: which == 2 ? bnnd_forget(conn, NULL, NULL, &change, err)
			     : bnnd_rollback(conn, 1, NULL, &change, err);
	if (check(r, err))
		see_change(change);
}

static void on_added(void *ctx, const struct bnnd_added *added)
{
	(void)ctx;
	if (added->error)
		check(-added->code, added->error);
}

static void call_lesson(struct bnnd_conn *conn, struct bnnd_error *err, bool fast, bool commit)
{
	struct bnnd_lesson *lesson = NULL;
	struct bnnd_change *change = NULL;
	struct bnnd_lesson_options options = {.on_added = fast ? on_added : NULL};
	int r = bnnd_lesson_begin(conn, &options, &lesson, &change, err);
	if (r == BNND_LESSON_DONE_BEFORE) {
		FUZZ_CHECK(change && !lesson);
		see_change(change);
	}
	if (!check(r, err))
		return;
	for (uint64_t i = 0; i < 3; i++)
		check(bnnd_lesson_add(lesson, i ? "mug" : NULL, &picture, i, err), err);
	if (!commit)
		bnnd_lesson_abort(lesson);
	else if (check(bnnd_lesson_commit(lesson, &change, err), err))
		see_change(change);
}

static void call(struct bnnd_conn *conn, unsigned which)
{
	struct bnnd_error err;
	switch (which) {
	case 0:
		call_infer(conn, &err);
		break;
	case 1:
		call_embed(conn, &err);
		break;
	case 2:
		call_look(conn, &err);
		break;
	case 3:
		call_status(conn, &err);
		break;
	case 4:
		call_classes(conn, &err);
		break;
	case 5:
		call_class_info(conn, &err);
		break;
	case 6:
		call_history(conn, &err);
		break;
	case 7:
	case 8:
	case 9:
		call_lesson(conn, &err, which > 7, which < 9);
		break;
	default:
		call_change(conn, &err, (int)which % 4);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	enum { N_CALLS = 14, CALLS_MAX = 8 };
	int fds[2];
	pthread_t thread;
	struct bnnd_conn *conn = NULL;
	struct bnnd_error err;
	struct server server = {.input = {bytes, n}};
	unsigned first = fuzz_u8(&server.input);
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	server.fd = fds[1];
	FUZZ_CHECK(pthread_create(&thread, NULL, serve, &server) == 0);
	struct bnnd_connect_options options = {.timeout_ms = TIMEOUT_MS};
	if (check(bnnd_connect_fd(fds[0], &options, &conn, &err), &err)) {
		const struct bnnd_hello *hello = bnnd_hello(conn);
		SEE_PRINTABLE(hello->software);
		SEE_PRINTABLE(hello->role);
		see_model(&hello->model);
		for (unsigned i = 0; i < CALLS_MAX; i++)
			call(conn, (first + i) % N_CALLS);
		bnnd_close(conn);
	}
	FUZZ_CHECK(pthread_join(thread, NULL) == 0);
	close(fds[1]);
	return 0;
}
