/* SPDX-License-Identifier: MIT */
#include "tests/unit/client/fake.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/memory.h"

static void *run(void *ctx)
{
	struct fake *fake = ctx;
	fake->script(fake);
	(void)close(fake->fd);
	return NULL;
}

static void start(struct fake *fake, fake_script *script, void *ctx)
{
	fake->script = script;
	fake->ctx = ctx;
	fake->failure[0] = '\0';
	decode_arena_init(&fake->arena, fake->arena_memory, sizeof fake->arena_memory);
	assert_int_equal(pthread_create(&fake->thread, NULL, run, fake), 0);
}

void fake_start(struct fake *fake, fake_script *script, void *ctx)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	fake->fd = fds[0];
	fake->client_fd = fds[1];
	start(fake, script, ctx);
}

struct bnnd_conn *fake_connect(struct fake *fake, fake_script *script, void *ctx, uint32_t timeout_ms)
{
	struct bnnd_conn *conn = NULL;
	struct bnnd_error err;
	struct bnnd_connect_options options = {.timeout_ms = timeout_ms, .software = "test 1"};
	fake_start(fake, script, ctx);
	if (bnnd_connect_fd(fake->client_fd, &options, &conn, &err) != 0)
		fail_msg("no connection: %s", err.message);
	return conn;
}

void fake_listen(struct fake *fake, fake_script *script, void *ctx)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	(void)snprintf(address.sun_path, sizeof address.sun_path, "/tmp/bnnd-fake-%ld.sock", (long)getpid());
	(void)unlink(address.sun_path);
	fake->fd = -1;
	fake->client_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fake->client_fd, (const struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fake->client_fd, 4), 0);
	assert_int_equal(setenv("BNND_SOCKET", address.sun_path, 1), 0);
	fake->listens = 1;
	start(fake, script, ctx);
}

void fake_accept(struct fake *fake)
{
	if (fake->fd >= 0)
		(void)close(fake->fd);
	fake->fd = accept(fake->client_fd, NULL, NULL);
	FAKE_CHECK(fake, fake->fd >= 0);
}

void fake_stop(struct fake *fake)
{
	assert_int_equal(pthread_join(fake->thread, NULL), 0);
	if (fake->listens) {
		(void)close(fake->client_fd);
		(void)unlink(getenv("BNND_SOCKET"));
		(void)unsetenv("BNND_SOCKET");
	}
	free(fake->body);
	free(fake->payload);
	fake->body = fake->payload = NULL;
	if (fake->failure[0])
		fail_msg("the fake daemon: %s", fake->failure);
}

static int read_exactly(struct fake *fake, uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fake->fd, bytes, n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return 0;
		bytes += got;
		n -= (size_t)got;
	}
	return 1;
}

int fake_read(struct fake *fake)
{
	uint8_t header[FRAME_HEADER_BYTES];
	ProtobufCMessage *message;
	fake->request = NULL;
	if (!read_exactly(fake, header, sizeof header))
		return 0;
	FAKE_CHECK(fake, frame_header_decode(header, &fake->header) == 0);
	fake->body = mem_realloc(fake->body, fake->header.body_bytes + 1, 1);
	fake->payload = mem_realloc(fake->payload, fake->header.payload_bytes + 1, 1);
	if (!read_exactly(fake, fake->body, fake->header.body_bytes) ||
		!read_exactly(fake, fake->payload, fake->header.payload_bytes))
		return 0;
	if (fake->header.kind != FRAME_REQUEST)
		return 1;
	int r = decode_body(
		&fake->arena, &bnnd__request__descriptor, fake->body, fake->header.body_bytes, &message, NULL);
	FAKE_CHECK(fake, r == 0 && fake->header.request_id != 0);
	fake->request = r == 0 ? (const Bnnd__Request *)message : NULL;
	return 1;
}

uint32_t fake_expect(struct fake *fake, Bnnd__Request__OpCase op)
{
	FAKE_CHECK(fake, fake_read(fake));
	FAKE_CHECK(fake, fake->request && fake->request->op_case == op);
	return fake->header.request_id;
}

void fake_write(struct fake *fake, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	while (n > 0) {
		size_t step = fake->step_bytes && fake->step_bytes < n ? fake->step_bytes : n;
		ssize_t put = send(fake->fd, p, step, MSG_NOSIGNAL);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return; /* the client has gone: some tests want that */
		p += put;
		n -= (size_t)put;
	}
}

void fake_frame(struct fake *fake, uint16_t kind, uint32_t id, const ProtobufCMessage *message, const void *payload,
	size_t payload_bytes)
{
	size_t body_bytes = message ? protobuf_c_message_get_packed_size(message) : 0;
	uint8_t *bytes = mem_zalloc(FRAME_HEADER_BYTES + body_bytes + payload_bytes, 1);
	struct frame_header h = {.body_bytes = (uint32_t)body_bytes,
		.payload_bytes = (uint32_t)payload_bytes,
		.request_id = id,
		.kind = kind};
	frame_header_encode(&h, bytes);
	if (message)
		(void)protobuf_c_message_pack(message, bytes + FRAME_HEADER_BYTES);
	if (payload_bytes > 0)
		memcpy(bytes + FRAME_HEADER_BYTES + body_bytes, payload, payload_bytes);
	fake_write(fake, bytes, FRAME_HEADER_BYTES + body_bytes + payload_bytes);
	free(bytes);
}

void fake_hello(struct fake *fake)
{
	Bnnd__HelloReply hello = BNND__HELLO_REPLY__INIT;
	Bnnd__Model model = BNND__MODEL__INIT;
	Bnnd__InputFormat input = BNND__INPUT_FORMAT__INIT;
	Bnnd__Limits limits = BNND__LIMITS__INIT;
	uint8_t id[32];
	FAKE_CHECK(fake, fake_read(fake) && fake->header.kind == FRAME_HELLO);
	memset(id, 0xAB, sizeof id);
	input.width = input.height = 96;
	input.fit = (char *)"cover";
	model.name = (char *)"fake-1";
	model.feature_id = (ProtobufCBinaryData){sizeof id, id};
	model.features = 4;
	model.input = &input;
	limits.in_flight = fake->in_flight ? fake->in_flight : 16;
	limits.payload_bytes = FRAME_PAYLOAD_MAX_BYTES;
	limits.lesson_pictures = 1000;
	hello.major = PROTOCOL_MAJOR;
	hello.software = (char *)"fake 0.1";
	hello.model = &model;
	hello.limits = &limits;
	hello.role = BNND__ROLE__ROLE_TEACH;
	hello.seq = 3;
	fake_frame(fake, FRAME_HELLO, 0, &hello.base, NULL, 0);
}

void fake_reply(struct fake *fake, uint32_t id, const Bnnd__Reply *reply)
{
	fake_frame(fake, FRAME_REPLY, id, &reply->base, NULL, 0);
}

void fake_error(struct fake *fake, uint32_t id, uint32_t code, const char *message, uint32_t retry_after_ms)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Status status = BNND__STATUS__INIT;
	status.code = code;
	status.message = (char *)(uintptr_t)message;
	status.field = (char *)"thing";
	status.limit = 7;
	status.retry_after_ms = retry_after_ms;
	reply.status = &status;
	fake_reply(fake, id, &reply);
}

void fake_answer(struct fake *fake, uint32_t id, const char *label)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Answer answer = BNND__ANSWER__INIT;
	Bnnd__Scored scored[2] = {BNND__SCORED__INIT, BNND__SCORED__INIT};
	Bnnd__Scored *top[2] = {&scored[0], &scored[1]};
	answer.known = label != NULL;
	answer.reason = label ? BNND__REASON__REASON_KNOWN : BNND__REASON__REASON_UNKNOWN;
	if (label) {
		answer.label = (ProtobufCBinaryData){strlen(label), (uint8_t *)(uintptr_t)label};
		scored[0].label = answer.label;
		scored[0].score = 0.75;
		scored[1].none = 1;
		scored[1].score = 0.125;
		answer.n_top = 2;
		answer.top = top;
		answer.margin = 0.625;
	}
	answer.unknown_score = label ? 0.125 : 1.0;
	answer.seq = 3;
	reply.result_case = BNND__REPLY__RESULT_ANSWER;
	reply.answer = &answer;
	fake_reply(fake, id, &reply);
}

void fake_begun(struct fake *fake, uint32_t id, uint64_t lesson)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Begun begun = BNND__BEGUN__INIT;
	begun.lesson = lesson;
	reply.result_case = BNND__REPLY__RESULT_BEGUN;
	reply.begun = &begun;
	fake_reply(fake, id, &reply);
}

void fake_added(struct fake *fake, uint32_t id, int already_known)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Added added = BNND__ADDED__INIT;
	added.already_known = already_known;
	reply.result_case = BNND__REPLY__RESULT_ADDED;
	reply.added = &added;
	fake_reply(fake, id, &reply);
}

void fake_changed(struct fake *fake, uint32_t id, uint64_t seq)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Changed changed = BNND__CHANGED__INIT;
	Bnnd__TaughtClass taught = BNND__TAUGHT_CLASS__INIT;
	Bnnd__TaughtClass *classes[1] = {&taught};
	taught.label = (ProtobufCBinaryData){3, (uint8_t *)"mug"};
	taught.samples = 2;
	taught.is_new = 1;
	changed.seq = seq;
	changed.op = (char *)"learn";
	changed.n_classes = 1;
	changed.classes = classes;
	reply.result_case = BNND__REPLY__RESULT_CHANGED;
	reply.changed = &changed;
	fake_reply(fake, id, &reply);
}
