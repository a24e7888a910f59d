/* SPDX-License-Identifier: MIT */
/* Connections: how they begin, break and end. */
#include "tests/unit/client/tests.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/lib/conn.h"

static const struct bnnd_picture picture = {.data = "\xFF\xD8picture", .len_bytes = 9};
static struct fake fake;

static void only_hello(struct fake *f)
{
	fake_hello(f);
	FAKE_CHECK(f, !fake_read(f)); /* until the client closes */
}

void test_hello(void **state)
{
	(void)state;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, only_hello, NULL, 2000);
	const struct bnnd_hello *hello = bnnd_hello(conn);
	assert_int_equal(hello->major, 1);
	assert_string_equal(hello->software, "fake 0.1");
	assert_string_equal(hello->model.name, "fake-1");
	assert_int_equal(hello->model.feature_id[31], 0xAB);
	assert_int_equal(hello->model.width, 96);
	assert_string_equal(hello->model.fit, "cover");
	assert_string_equal(hello->role, "teach");
	assert_int_equal(hello->seq, 3);
	assert_int_equal(hello->in_flight, 16);
	assert_true(bnnd_fd(conn) >= 0);
	bnnd_close(conn);
	fake_stop(&fake);
	bnnd_close(NULL);
}

/* ---- a hello that is none -------------------------------------------------------------------------------------- */

static void other_major(struct fake *f)
{
	Bnnd__HelloReply hello = BNND__HELLO_REPLY__INIT;
	FAKE_CHECK(f, fake_read(f));
	hello.major = 2;
	fake_frame(f, FRAME_HELLO, 0, &hello.base, NULL, 0);
}

static void refused(struct fake *f)
{
	Bnnd__HelloReply hello = BNND__HELLO_REPLY__INIT;
	Bnnd__Status status = BNND__STATUS__INIT;
	FAKE_CHECK(f, fake_read(f));
	status.code = BNND_RESOURCE_EXHAUSTED;
	status.message = (char *)"the daemon has 64 connections";
	status.retry_after_ms = 500;
	hello.status = &status;
	fake_frame(f, FRAME_HELLO, 0, &hello.base, NULL, 0);
}

static void http(struct fake *f)
{
	static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	fake_write(f, text, sizeof text - 1);
	(void)fake_read(f);
}

static void reply_instead(struct fake *f)
{
	FAKE_CHECK(f, fake_read(f));
	fake_error(f, 0, BNND_INTERNAL, "eh?", 0);
}

static void close_at_once(struct fake *f)
{
	(void)f;
}

static void half_a_hello(struct fake *f)
{
	static const uint8_t start[] = {0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3};
	FAKE_CHECK(f, fake_read(f));
	fake_write(f, start, sizeof start);
}

static void broken_hello(struct fake *f)
{
	static const uint8_t frame[] = {0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0x0A, 0x7F};
	FAKE_CHECK(f, fake_read(f));
	fake_write(f, frame, sizeof frame);
	FAKE_CHECK(f, !fake_read(f));
}

static void silence(struct fake *f)
{
	while (fake_read(f))
		;
}

void test_hello_refusals(void **state)
{
	(void)state;
	static const struct {
		fake_script *script;
		int code;
		enum bnnd_origin origin;
		const char *says;
	} table[] = {
		{other_major, BNND_FAILED_PRECONDITION, BNND_ORIGIN_CONNECT, "protocol 2.0"},
		{refused, BNND_RESOURCE_EXHAUSTED, BNND_ORIGIN_DAEMON, "64 connections"},
		{http, BNND_FAILED_PRECONDITION, BNND_ORIGIN_CONNECT, "no bnnd"},
		{reply_instead, BNND_FAILED_PRECONDITION, BNND_ORIGIN_CONNECT, "no hello"},
		{close_at_once, BNND_UNAVAILABLE, BNND_ORIGIN_CONNECT, "closed the connection"},
		{half_a_hello, BNND_UNAVAILABLE, BNND_ORIGIN_CONNECT, "in the middle"},
		{broken_hello, BNND_FAILED_PRECONDITION, BNND_ORIGIN_CONNECT, "no bnnd"},
		{silence, BNND_DEADLINE_EXCEEDED, BNND_ORIGIN_CALL, "did not answer within 0.2 s"},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct bnnd_conn *conn = NULL;
		struct bnnd_error err;
		fake = (struct fake){0};
		fake_start(&fake, table[i].script, NULL);
		struct bnnd_connect_options options = {.timeout_ms = table[i].script == silence ? 200 : 10000};
		int r = bnnd_connect_fd(fake.client_fd, &options, &conn, &err);
		fake_stop(&fake);
		assert_null(conn);
		if (r != -table[i].code || err.code != table[i].code || err.origin != table[i].origin ||
			!strstr(err.message, table[i].says))
			fail_msg("%zu: code %d, origin %d, \"%s\"", i, r, (int)err.origin, err.message);
		if (table[i].origin == BNND_ORIGIN_DAEMON)
			assert_int_equal(err.retry_after_ms, 500);
	}
}

void test_no_daemon(void **state)
{
	(void)state;
	struct bnnd_conn *conn = NULL;
	struct bnnd_error err;
	char path[200], dir[] = "/tmp/bnnd-client-XXXXXX";
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/\x01socket", dir);
	assert_int_equal(bnnd_connect(path, &conn, &err), -BNND_UNAVAILABLE);
	assert_int_equal(err.origin, BNND_ORIGIN_CONNECT);
	assert_int_equal(err.sys_errno, ENOENT);
	assert_non_null(strstr(err.message, "\\x01socket"));
	/* A socket that nobody listens at any more. */
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
	(void)close(fd);
	assert_int_equal(setenv("BNND_SOCKET", path, 1), 0);
	assert_int_equal(bnnd_connect(NULL, &conn, &err), -BNND_UNAVAILABLE);
	assert_int_equal(err.sys_errno, ECONNREFUSED);
	assert_int_equal(unsetenv("BNND_SOCKET"), 0);
	(void)unlink(path);
	(void)rmdir(dir);
	memset(path, 'x', 108);
	path[108] = '\0';
	assert_int_equal(bnnd_connect(path, &conn, &err), -BNND_INVALID_ARGUMENT);
	assert_int_equal(err.limit, 107);
	assert_int_equal(bnnd_connect(path, &conn, NULL), -BNND_INVALID_ARGUMENT);
	assert_null(conn);
}

/* ---- in the middle --------------------------------------------------------------------------------------------- */

static void answers_three(struct fake *f)
{
	fake_hello(f);
	for (int i = 0; i < 3; i++)
		fake_answer(f, fake_expect(f, BNND__REQUEST__OP_INFER), "mug");
	FAKE_CHECK(f, !fake_read(f));
}

void test_short_reads(void **state)
{
	(void)state;
	for (size_t step = 1; step < 40; step += 6) {
		fake = (struct fake){.step_bytes = step};
		struct bnnd_conn *conn = fake_connect(&fake, answers_three, NULL, 5000);
		for (int i = 0; i < 3; i++) {
			struct bnnd_answer answer;
			assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, NULL), 0);
			assert_string_equal(answer.label, "mug");
		}
		bnnd_close(conn);
		fake_stop(&fake);
	}
}

static void half_a_reply(struct fake *f)
{
	static const uint8_t start[] = {0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 1};
	fake_hello(f);
	(void)fake_expect(f, BNND__REQUEST__OP_INFER);
	fake_write(f, start, sizeof start);
}

void test_lost(void **state)
{
	(void)state;
	struct bnnd_answer answer;
	struct bnnd_status *status;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, half_a_reply, NULL, 2000);
	assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, &err), -BNND_UNAVAILABLE);
	assert_int_equal(err.origin, BNND_ORIGIN_LOST);
	assert_non_null(strstr(err.message, "in the middle of a reply"));
	/* And so it stays, at once. */
	assert_int_equal(bnnd_status(conn, &status, &err), -BNND_UNAVAILABLE);
	assert_int_equal(err.origin, BNND_ORIGIN_LOST);
	bnnd_close(conn);
	fake_stop(&fake);
}

static void farewell(struct fake *f)
{
	fake_hello(f);
	(void)fake_expect(f, BNND__REQUEST__OP_INFER);
	fake_error(f, 0, BNND_DEADLINE_EXCEEDED, "a frame was not complete within 5000 ms", 0);
	(void)fake_read(f);
}

/* What the daemon says of the connection itself reaches the caller, and the connection is lost. */
void test_farewell(void **state)
{
	(void)state;
	struct bnnd_answer answer;
	struct bnnd_status *status;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, farewell, NULL, 2000);
	assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, &err), -BNND_DEADLINE_EXCEEDED);
	assert_int_equal(err.origin, BNND_ORIGIN_LOST);
	assert_string_equal(err.message, "a frame was not complete within 5000 ms");
	assert_int_equal(bnnd_status(conn, &status, &err), -BNND_DEADLINE_EXCEEDED);
	bnnd_close(conn);
	fake_stop(&fake);
}

static void unknown_id(struct fake *f)
{
	fake_hello(f);
	fake_answer(f, fake_expect(f, BNND__REQUEST__OP_INFER) + 1, "mug");
	(void)fake_read(f);
}

static void second_hello(struct fake *f)
{
	Bnnd__HelloReply hello = BNND__HELLO_REPLY__INIT;
	fake_hello(f);
	(void)fake_expect(f, BNND__REQUEST__OP_INFER);
	fake_frame(f, FRAME_HELLO, 0, &hello.base, NULL, 0);
	(void)fake_read(f);
}

static void bad_body(struct fake *f)
{
	uint8_t frame[] = {0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0x0A, 0x7F};
	fake_hello(f);
	frame[11] = (uint8_t)fake_expect(f, BNND__REQUEST__OP_INFER);
	fake_write(f, frame, sizeof frame);
	(void)fake_read(f);
}

static void huge_frame(struct fake *f)
{
	static const uint8_t frame[] = {255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 0, 0};
	fake_hello(f);
	(void)fake_expect(f, BNND__REQUEST__OP_INFER);
	fake_write(f, frame, sizeof frame);
	(void)fake_read(f);
}

void test_not_our_frames(void **state)
{
	(void)state;
	fake_script *const scripts[] = {unknown_id, second_hello, bad_body, huge_frame};
	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
		struct bnnd_answer answer;
		struct bnnd_error err;
		fake = (struct fake){0};
		struct bnnd_conn *conn = fake_connect(&fake, scripts[i], NULL, 2000);
		assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, &err), -BNND_INTERNAL);
		assert_int_equal(err.origin, BNND_ORIGIN_LOST);
		bnnd_close(conn);
		fake_stop(&fake);
	}
}

/* ---- time ------------------------------------------------------------------------------------------------------ */

/* The first is not answered in time but cancelled; its late answer does not reach the second. */
static void late(struct fake *f)
{
	fake_hello(f);
	uint32_t first = fake_expect(f, BNND__REQUEST__OP_INFER);
	FAKE_CHECK(f, f->request->timeout_ms > 0 && f->request->timeout_ms <= 400);
	FAKE_CHECK(f, fake_read(f) && f->header.kind == FRAME_CANCEL && f->header.request_id == first);
	FAKE_CHECK(f, f->header.body_bytes == 0 && f->header.payload_bytes == 0);
	uint32_t second = fake_expect(f, BNND__REQUEST__OP_INFER);
	FAKE_CHECK(f, second != first);
	fake_answer(f, first, "late");
	fake_answer(f, second, "mug");
	(void)fake_read(f);
}

void test_timeout(void **state)
{
	(void)state;
	struct bnnd_answer answer;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, late, NULL, 2000);
	bnnd_set_timeout(conn, 400);
	assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, &err), -BNND_DEADLINE_EXCEEDED);
	assert_int_equal(err.origin, BNND_ORIGIN_CALL);
	bnnd_set_timeout(conn, BNND_NO_TIMEOUT);
	assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, &err), 0);
	assert_string_equal(answer.label, "mug");
	bnnd_close(conn);
	fake_stop(&fake);
}

static void listens(struct fake *f)
{
	fake_hello(f);
	(void)fake_read(f);
}

/* A deadline is over when it is over: a daemon that always has something to say cannot keep a call waiting. */
void test_timeout_while_told(void **state)
{
	(void)state;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, listens, NULL, 5000);
	fake_frame(&fake, FRAME_EVENT, 0, NULL, NULL, 0);
	assert_int_equal(conn_pump(conn, conn_now_ms() - 1, &err), CONN_E_DEADLINE);
	assert_int_equal(conn_pump(conn, conn_now_ms() + 5000, &err), 0);
	bnnd_close(conn);
	fake_stop(&fake);
}

/* ---- full sockets ---------------------------------------------------------------------------------------------- */

enum { LARGE_BYTES = 6 << 20 };

/* Answers from the header alone, and closes while the client is still sending. */
static void refuses_early(struct fake *f)
{
	uint8_t header[FRAME_HEADER_BYTES];
	struct frame_header h;
	fake_hello(f);
	FAKE_CHECK(f, recv(f->fd, header, sizeof header, MSG_WAITALL) == sizeof header);
	FAKE_CHECK(f, frame_header_decode(header, &h) == 0);
	fake_error(f, h.request_id, BNND_INVALID_ARGUMENT, "not today", 0);
	(void)shutdown(f->fd, SHUT_RDWR);
}

void test_told_while_sending(void **state)
{
	(void)state;
	struct bnnd_answer answer;
	struct bnnd_error err;
	uint8_t *large = calloc(1, LARGE_BYTES);
	assert_non_null(large);
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, refuses_early, NULL, 5000);
	struct bnnd_picture big = {.data = large, .len_bytes = LARGE_BYTES};
	assert_int_equal(bnnd_infer(conn, &big, NULL, &answer, &err), -BNND_INVALID_ARGUMENT);
	assert_int_equal(err.origin, BNND_ORIGIN_DAEMON);
	assert_string_equal(err.message, "not today");
	assert_int_equal(bnnd_infer(conn, &big, NULL, &answer, &err), -BNND_UNAVAILABLE);
	assert_int_equal(err.origin, BNND_ORIGIN_LOST);
	bnnd_close(conn);
	fake_stop(&fake);
	free(large);
}

/* Writes more than the socket holds before it reads: the client must read while it writes. */
static void talks_first(struct fake *f)
{
	static uint8_t noise[60000];
	fake_hello(f);
	for (int i = 0; i < 100; i++)
		fake_frame(f, FRAME_EVENT, 0, NULL, noise, sizeof noise);
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_INFER);
	FAKE_CHECK(f, f->header.payload_bytes == LARGE_BYTES && f->payload[LARGE_BYTES - 1] == 9);
	fake_answer(f, id, "mug");
	(void)fake_read(f);
}

void test_both_full(void **state)
{
	(void)state;
	struct bnnd_answer answer;
	struct bnnd_error err;
	uint8_t *large = calloc(1, LARGE_BYTES);
	assert_non_null(large);
	large[LARGE_BYTES - 1] = 9;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, talks_first, NULL, 10000);
	struct bnnd_picture big = {.data = large, .len_bytes = LARGE_BYTES};
	assert_int_equal(bnnd_infer(conn, &big, NULL, &answer, &err), 0);
	bnnd_close(conn);
	fake_stop(&fake);
	free(large);
}
