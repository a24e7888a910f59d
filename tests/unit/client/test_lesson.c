/* SPDX-License-Identifier: MIT */
/* Lessons as conversations. */
#include "tests/unit/client/tests.h"

static const struct bnnd_picture picture = {.data = "picture", .len_bytes = 7};
static struct fake fake;

static void simple(struct fake *f)
{
	fake_hello(f);
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN);
	FAKE_CHECK(f, f->request->lesson_begin->key.len == BNND_KEY_BYTES && !f->request->lesson_begin->dry_run);
	fake_begun(f, id, 11);
	id = fake_expect(f, BNND__REQUEST__OP_LESSON_ADD);
	FAKE_CHECK(f, f->request->lesson_add->lesson == 11 && f->request->lesson_add->label.len == 3);
	fake_added(f, id, 0);
	fake_added(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), 1);
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), BNND_INVALID_ARGUMENT, "broken", 0);
	id = fake_expect(f, BNND__REQUEST__OP_LESSON_ADD);
	FAKE_CHECK(f, f->request->lesson_add->what_case == BNND__LESSON_ADD__WHAT_NONE && f->request->lesson_add->none);
	fake_added(f, id, 0);
	id = fake_expect(f, BNND__REQUEST__OP_LESSON_COMMIT);
	FAKE_CHECK(f, f->request->lesson_commit->lesson == 11 && f->request->lesson_commit->added == 2);
	fake_changed(f, id, 4);
	/* Another one on the same connection. */
	fake_begun(f, fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN), 12);
	FAKE_CHECK(f, !fake_read(f));
}

void test_lesson_simple(void **state)
{
	(void)state;
	struct bnnd_lesson *lesson, *second;
	struct bnnd_change *change;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, simple, NULL, 5000);
	assert_int_equal(bnnd_lesson_begin(conn, NULL, &lesson, NULL, &err), 0);
	assert_int_equal(bnnd_lesson_begin(conn, NULL, &second, NULL, &err), -BNND_FAILED_PRECONDITION);
	assert_int_equal(bnnd_lesson_add(lesson, "mug", &picture, 0, &err), 0);
	assert_int_equal(bnnd_lesson_add(lesson, "mug", &picture, 0, &err), BNND_LESSON_KNOWN);
	assert_int_equal(bnnd_lesson_add(lesson, "mug", &picture, 0, &err), -BNND_INVALID_ARGUMENT);
	assert_string_equal(err.message, "broken");
	assert_int_equal(bnnd_lesson_add(lesson, "bad ", &picture, 0, &err), -BNND_INVALID_ARGUMENT);
	assert_int_equal(bnnd_lesson_add(lesson, NULL, &picture, 0, &err), 0);
	assert_int_equal(bnnd_lesson_commit(lesson, &change, &err), 0);
	assert_int_equal(change->seq, 4);
	assert_int_equal(change->classes[0].samples, 2);
	bnnd_free(change);
	assert_int_equal(bnnd_lesson_begin(conn, NULL, &lesson, NULL, &err), 0);
	bnnd_close(conn); /* frees the open lesson */
	fake_stop(&fake);
}

/* ---- many at once ---------------------------------------------------------------------------------------------- */

enum { N_ADDS = 100, WINDOW = 8 };

/* Takes as many as the window allows, then answers them the last first: odd tags accepted, every tenth refused. */
static void pipelined(struct fake *f)
{
	fake_hello(f);
	fake_begun(f, fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN), 5);
	for (int done = 0; done < N_ADDS;) {
		uint32_t ids[WINDOW];
		uint8_t firsts[WINDOW];
		int n = 0;
		for (; n < WINDOW && done + n < N_ADDS; n++) {
			ids[n] = fake_expect(f, BNND__REQUEST__OP_LESSON_ADD);
			firsts[n] = f->payload[0];
		}
		/* The window is full: nothing more may have been sent. */
		struct timeval wait = {.tv_usec = 2000};
		fd_set set;
		FD_ZERO(&set);
		FD_SET(f->fd, &set);
		if (n == WINDOW && done + n < N_ADDS)
			FAKE_CHECK(f, select(f->fd + 1, &set, NULL, NULL, &wait) == 0);
		done += n;
		while (n-- > 0) {
			if (firsts[n] % 10 == 0)
				fake_error(f, ids[n], BNND_INVALID_ARGUMENT, "broken", 0);
			else
				fake_added(f, ids[n], firsts[n] % 2 == 0);
		}
	}
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_LESSON_COMMIT);
	FAKE_CHECK(f, f->request->lesson_commit->added == 50);
	fake_changed(f, id, 9);
	FAKE_CHECK(f, !fake_read(f));
}

struct seen {
	int n, per_tag[N_ADDS], accepted, known, refused;
};

static void on_added(void *ctx, const struct bnnd_added *added)
{
	struct seen *seen = ctx;
	seen->n++;
	seen->per_tag[added->tag]++;
	seen->accepted += added->code == 0 && !added->already_known;
	seen->known += added->already_known;
	seen->refused += added->code == BNND_INVALID_ARGUMENT && strcmp(added->error->message, "broken") == 0 &&
			 added->tag % 10 == 0;
}

void test_lesson_pipelined(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct bnnd_lesson *lesson;
	struct bnnd_change *change;
	struct bnnd_error err;
	fake = (struct fake){.in_flight = WINDOW};
	struct bnnd_conn *conn = fake_connect(&fake, pipelined, NULL, 10000);
	struct bnnd_lesson_options options = {.on_added = on_added, .ctx = &seen};
	assert_int_equal(bnnd_lesson_begin(conn, &options, &lesson, NULL, &err), 0);
	for (uint64_t i = 0; i < N_ADDS; i++) {
		uint8_t byte = (uint8_t)i;
		struct bnnd_picture one = {.data = &byte, .len_bytes = 1};
		assert_int_equal(bnnd_lesson_add(lesson, "mug", &one, i, &err), 0);
		byte = 0xEE; /* ours again when the call returns */
	}
	assert_int_equal(bnnd_lesson_wait(lesson, &err), 0);
	assert_int_equal(seen.n, N_ADDS);
	for (int i = 0; i < N_ADDS; i++)
		assert_int_equal(seen.per_tag[i], 1);
	assert_int_equal(seen.accepted, 50);
	assert_int_equal(seen.known, 40);
	assert_int_equal(seen.refused, 10);
	assert_int_equal(bnnd_lesson_commit(lesson, &change, &err), 0);
	bnnd_free(change);
	bnnd_close(conn);
	fake_stop(&fake);
}

/* ---- other ends ------------------------------------------------------------------------------------------------ */

static void knows_key(struct fake *f)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Begun begun = BNND__BEGUN__INIT;
	Bnnd__Changed first = BNND__CHANGED__INIT;
	fake_hello(f);
	first.seq = 2;
	first.op = (char *)"learn";
	first.repeated = 1;
	begun.first = &first;
	reply.result_case = BNND__REPLY__RESULT_BEGUN;
	reply.begun = &begun;
	for (int i = 0; i < 2; i++) {
		uint32_t id = fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN);
		FAKE_CHECK(f, memcmp(f->request->lesson_begin->key.data, "0123456789abcdef", BNND_KEY_BYTES) == 0);
		fake_reply(f, id, &reply);
	}
	FAKE_CHECK(f, !fake_read(f));
}

void test_lesson_key_known(void **state)
{
	(void)state;
	struct bnnd_lesson *lesson;
	struct bnnd_change *first = NULL;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, knows_key, NULL, 5000);
	struct bnnd_lesson_options options = {.change.key = (const uint8_t *)"0123456789abcdef"};
	assert_int_equal(bnnd_lesson_begin(conn, &options, &lesson, &first, NULL), BNND_LESSON_DONE_BEFORE);
	assert_null(lesson);
	assert_int_equal(first->seq, 2);
	assert_true(first->repeated);
	bnnd_free(first);
	assert_int_equal(bnnd_lesson_begin(conn, &options, &lesson, NULL, NULL), BNND_LESSON_DONE_BEFORE);
	bnnd_close(conn);
	fake_stop(&fake);
}

/* A refused commit leaves the lesson open over there: it is aborted, and the connection can begin another. */
static void refuses_commit(struct fake *f)
{
	Bnnd__Reply empty = BNND__REPLY__INIT;
	fake_hello(f);
	fake_begun(f, fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN), 5);
	fake_added(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), 0);
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_LESSON_COMMIT), BNND_FAILED_PRECONDITION, "counts differ", 0);
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_LESSON_ABORT);
	FAKE_CHECK(f, f->request->lesson_abort->lesson == 5);
	fake_reply(f, id, &empty);
	fake_begun(f, fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN), 6);
	FAKE_CHECK(f, !fake_read(f));
}

void test_lesson_commit_refused(void **state)
{
	(void)state;
	struct bnnd_lesson *lesson;
	struct bnnd_change *change = NULL;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, refuses_commit, NULL, 5000);
	assert_int_equal(bnnd_lesson_begin(conn, NULL, &lesson, NULL, &err), 0);
	assert_int_equal(bnnd_lesson_add(lesson, "mug", &picture, 0, &err), 0);
	assert_int_equal(bnnd_lesson_commit(lesson, &change, &err), -BNND_FAILED_PRECONDITION);
	assert_string_equal(err.message, "counts differ");
	assert_null(change);
	assert_int_equal(bnnd_lesson_begin(conn, NULL, &lesson, NULL, &err), 0);
	bnnd_close(conn);
	fake_stop(&fake);
}

static void dies(struct fake *f)
{
	fake_hello(f);
	fake_begun(f, fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN), 5);
	(void)fake_expect(f, BNND__REQUEST__OP_LESSON_ADD);
	(void)fake_expect(f, BNND__REQUEST__OP_LESSON_ADD);
}

void test_lesson_lost(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct bnnd_lesson *lesson;
	struct bnnd_change *change;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, dies, NULL, 5000);
	struct bnnd_lesson_options options = {.on_added = on_added, .ctx = &seen};
	assert_int_equal(bnnd_lesson_begin(conn, &options, &lesson, NULL, &err), 0);
	assert_int_equal(bnnd_lesson_add(lesson, "mug", &picture, 0, &err), 0);
	assert_int_equal(bnnd_lesson_add(lesson, "mug", &picture, 1, &err), 0);
	assert_int_equal(bnnd_lesson_commit(lesson, &change, &err), -BNND_UNAVAILABLE);
	assert_int_equal(err.origin, BNND_ORIGIN_LOST);
	assert_int_equal(seen.n, 0);
	bnnd_close(conn);
	fake_stop(&fake);
}

static void hears_abort(struct fake *f)
{
	Bnnd__Reply empty = BNND__REPLY__INIT;
	fake_hello(f);
	fake_begun(f, fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN), 5);
	uint32_t add = fake_expect(f, BNND__REQUEST__OP_LESSON_ADD);
	FAKE_CHECK(f, fake_read(f) && f->header.kind == FRAME_CANCEL && f->header.request_id == add);
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_LESSON_ABORT);
	fake_error(f, add, BNND_CANCELLED, "the client cancelled the request", 0);
	fake_reply(f, id, &empty);
	fake_answer(f, fake_expect(f, BNND__REQUEST__OP_INFER), "mug");
	FAKE_CHECK(f, !fake_read(f));
}

void test_lesson_abort(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct bnnd_lesson *lesson;
	struct bnnd_answer answer;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, hears_abort, NULL, 5000);
	struct bnnd_lesson_options options = {.on_added = on_added, .ctx = &seen};
	bnnd_lesson_abort(NULL);
	assert_int_equal(bnnd_lesson_begin(conn, &options, &lesson, NULL, &err), 0);
	assert_int_equal(bnnd_lesson_add(lesson, "mug", &picture, 0, &err), 0);
	bnnd_lesson_abort(lesson);
	assert_int_equal(seen.n, 0);
	assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, &err), 0);
	bnnd_close(conn);
	fake_stop(&fake);
}
