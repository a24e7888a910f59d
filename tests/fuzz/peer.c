/* SPDX-License-Identifier: MIT */
/* tests/fuzz/peer.c: see peer.h. */
#include "tests/fuzz/peer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/decode.h"
#include "proto/frame.h"

enum {
	ANSWER_MS = 60000, /* an answer that takes longer is none */
	LOOK_MS = 1,       /* how long one looks for what may never come */
	ARENA_BYTES = 16 * FRAME_BODY_MAX_BYTES,
	CONNECT_TRIES = 60000,
	OPENED_MANY = 12, /* below what one user may have at once */
};

/* ---- what came --------------------------------------------------------------------------------------------------- */

static const void *decoded(const ProtobufCMessageDescriptor *descriptor, const uint8_t *body, size_t n)
{
	static _Alignas(16) uint8_t memory[ARENA_BYTES];
	static struct decode_arena arena;
	ProtobufCMessage *message;
	struct err err;
	decode_arena_init(&arena, memory, sizeof memory);
	int r = decode_body(&arena, descriptor, body, n, &message, &err);
	if (r != 0)
		fprintf(stderr, "%s\n", err.text);
	FUZZ_CHECK(r == 0);
	return message;
}

static uint32_t check_status(const Bnnd__Status *status)
{
	if (!status || status->code == 0)
		return 0;
	FUZZ_CHECK(status->code <= ERR_DATA_LOSS && status->code != ERR_INTERNAL);
	FUZZ_CHECK(strlen(status->message) > 10 && strchr(status->message, ' '));
	return status->code;
}

static void keep_classes(struct told *told, const Bnnd__ClassList *list)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	FUZZ_CHECK(out && list->n_classes <= PAGE_MAX + 1);
	if (told->classes)
		fwrite(told->classes, 1, told->classes_n, out);
	for (size_t i = 0; i < list->n_classes; i++) {
		const Bnnd__Class *class = list->classes[i];
		fprintf(out, "%.*s\n", (int)class->label.len, (const char *)class->label.data);
		if (class->label.len) {
			FUZZ_CHECK(class->label.len <= sizeof told->label);
			memcpy(told->label, class->label.data, class->label.len);
			told->label_bytes = class->label.len;
		}
	}
	fclose(out);
	free(told->classes);
	told->classes = text;
	told->classes_n = n;
	told->more = list->more;
}

void told_forget_classes(struct told *told)
{
	free(told->classes);
	told->classes = NULL;
	told->classes_n = told->label_bytes = 0;
}

static void take_result(struct peer *peer, const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes)
{
	struct told *told = peer->told;
	FUZZ_CHECK(payload_bytes == 0 || reply->result_case == BNND__REPLY__RESULT_LOOKED);
	switch (reply->result_case) {
	case BNND__REPLY__RESULT_LOOKED:
		FUZZ_CHECK(payload_bytes > 8 && memcmp(payload + 1, "PNG", 3) == 0);
		break;
	case BNND__REPLY__RESULT_BEGUN:
		if (!reply->begun->first) {
			peer->lesson = reply->begun->lesson;
			peer->accepted = 0;
		}
		break;
	case BNND__REPLY__RESULT_ADDED:
		peer->accepted = reply->added->accepted;
		break;
	case BNND__REPLY__RESULT_CHANGED:
		if (reply->changed->seq > told->seq)
			told->seq = reply->changed->seq;
		break;
	case BNND__REPLY__RESULT_CLASS_LIST:
		keep_classes(told, reply->class_list);
		break;
	case BNND__REPLY__RESULT_HISTORY_LIST:
		if (reply->history_list->n_entries)
			told->before_seq = reply->history_list->entries[reply->history_list->n_entries - 1]->seq;
		break;
	case BNND__REPLY__RESULT_DAEMON_STATUS:
		FUZZ_CHECK(strcmp(reply->daemon_status->state, "ready") == 0 && !reply->daemon_status->n_reasons);
		break;
	default:
		break;
	}
}

static void take_reply(struct peer *peer, const struct frame_header *h, const uint8_t *body, const uint8_t *payload)
{
	size_t i = 0;
	const Bnnd__Reply *reply = decoded(&bnnd__reply__descriptor, body, h->body_bytes);
	peer->status = check_status(reply->status);
	FUZZ_CHECK(peer->status || reply->result_case != BNND__REPLY__RESULT__NOT_SET || !h->payload_bytes);
	if (peer->status == ERR_CANCELLED || peer->status == ERR_DEADLINE_EXCEEDED)
		peer->told->open_end = true;
	while (i < peer->n_waiting && peer->waiting[i] != h->request_id)
		i++;
	FUZZ_CHECK(!peer->lawful || i < peer->n_waiting);
	if (i < peer->n_waiting)
		peer->waiting[i] = peer->waiting[--peer->n_waiting];
	if (!peer->status)
		take_result(peer, reply, payload, h->payload_bytes);
}

static void take_frame(struct peer *peer, const struct frame_header *h, const uint8_t *body, const uint8_t *payload)
{
	FUZZ_CHECK(h->flags == 0);
	if (peer->greeted) {
		FUZZ_CHECK(h->kind == FRAME_REPLY);
		take_reply(peer, h, body, payload);
		return;
	}
	FUZZ_CHECK(h->kind == FRAME_HELLO);
	const Bnnd__HelloReply *hello = decoded(&bnnd__hello_reply__descriptor, body, h->body_bytes);
	peer->greeted = true;
	if (check_status(hello->status) != 0)
		peer->lawful = false;
}

/* false: the connection has ended. */
static bool take_some(struct peer *peer)
{
	struct frame_header h;
	if (peer->in_room - peer->in_n < FRAME_BODY_MAX_BYTES) {
		peer->in_room = 2 * peer->in_room + 2 * FRAME_BODY_MAX_BYTES;
		peer->in = realloc(peer->in, peer->in_room);
		FUZZ_CHECK(peer->in);
	}
	ssize_t n = recv(peer->fd, peer->in + peer->in_n, peer->in_room - peer->in_n, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	peer->in_n += (size_t)n;
	size_t used = 0;
	while (peer->in_n - used >= FRAME_HEADER_BYTES) {
		FUZZ_CHECK(frame_header_decode(peer->in + used, &h) == 0);
		size_t total = FRAME_HEADER_BYTES + (size_t)h.body_bytes + h.payload_bytes;
		if (peer->in_n - used < total)
			break;
		const uint8_t *body = peer->in + used + FRAME_HEADER_BYTES;
		take_frame(peer, &h, body, body + h.body_bytes);
		used += total;
	}
	memmove(peer->in, peer->in + used, peer->in_n - used);
	peer->in_n -= used;
	return true;
}

static void ended(struct peer *peer)
{
	FUZZ_CHECK(!peer->lawful || (!peer->greeted && peer->told->opened > OPENED_MANY));
	peer_close(peer);
}

/* ---- what goes --------------------------------------------------------------------------------------------------- */

void peer_open(struct peer *peer, const char *path, int64_t major)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timespec moment = {.tv_nsec = 100000};
	peer_close(peer);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	FUZZ_CHECK(peer->fd >= 0);
	/* The daemon may be about to listen, or its backlog full. */
	for (int i = 0; connect(peer->fd, (struct sockaddr *)&address, sizeof address) != 0; i++) {
		FUZZ_CHECK(i < CONNECT_TRIES);
		nanosleep(&moment, NULL);
	}
	peer->told->opened++;
	peer->lawful = major == PROTOCOL_MAJOR;
	if (major < 0)
		return;
	uint8_t frame[FRAME_HEADER_BYTES + 64];
	Bnnd__Hello hello = BNND__HELLO__INIT;
	hello.major = (uint32_t)major;
	hello.software = (char *)"fuzz";
	size_t n = bnnd__hello__pack(&hello, frame + FRAME_HEADER_BYTES);
	frame_header_encode(&(struct frame_header){.body_bytes = (uint32_t)n, .kind = FRAME_HELLO}, frame);
	peer_send(peer, frame, FRAME_HEADER_BYTES + n);
}

void peer_open_patiently(struct peer *peer, const char *path)
{
	for (int i = 0; i < CONNECT_TRIES; i++) {
		peer_open(peer, path, PROTOCOL_MAJOR);
		peer_wait(peer);
		if (peer->lawful)
			return;
	}
	FUZZ_CHECK(!"let in");
}

void peer_close(struct peer *peer)
{
	if (peer->fd < 0)
		return;
	if (peer->n_waiting > 0 || !peer->lawful)
		peer->told->open_end = true;
	close(peer->fd);
	free(peer->in);
	*peer = (struct peer){.fd = -1, .told = peer->told};
}

void peer_end_writing(struct peer *peer)
{
	peer->lawful = false;
	if (peer->fd >= 0)
		shutdown(peer->fd, SHUT_WR);
}

void peer_send(struct peer *peer, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;
	while (n > 0 && peer->fd >= 0) {
		ssize_t sent = send(peer->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent > 0) {
			at += sent;
			n -= (size_t)sent;
			continue;
		}
		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			while (take_some(peer))
				;
			ended(peer);
			return;
		}
		short events;
		FUZZ_CHECK(fuzz_poll(peer->fd, POLLIN | POLLOUT, ANSWER_MS, &events) > 0);
		if (events & ~POLLOUT && !take_some(peer)) {
			ended(peer);
			return;
		}
	}
}

void peer_ask(struct peer *peer, const void *body, size_t body_bytes, const void *payload, size_t payload_bytes)
{
	uint8_t header[FRAME_HEADER_BYTES];
	if (peer->n_waiting == PEER_WAITING_MAX)
		peer_wait(peer);
	struct frame_header h = {.body_bytes = (uint32_t)body_bytes,
		.payload_bytes = (uint32_t)payload_bytes,
		.request_id = ++peer->last_id,
		.kind = FRAME_REQUEST};
	if (peer->n_waiting < PEER_WAITING_MAX)
		peer->waiting[peer->n_waiting++] = h.request_id;
	frame_header_encode(&h, header);
	peer_send(peer, header, sizeof header);
	peer_send(peer, body, body_bytes);
	peer_send(peer, payload, payload_bytes);
}

void peer_wait(struct peer *peer)
{
	while (peer->fd >= 0 && (!peer->greeted || peer->n_waiting > 0 || !peer->lawful)) {
		short events;
		int n = fuzz_poll(peer->fd, POLLIN, peer->lawful ? ANSWER_MS : LOOK_MS, &events);
		if (n == 0 && !peer->lawful)
			return;
		FUZZ_CHECK(n > 0);
		if (!take_some(peer)) {
			ended(peer);
			return;
		}
	}
}
