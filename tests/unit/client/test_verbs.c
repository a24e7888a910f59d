/* SPDX-License-Identifier: MIT */
/* bnnctl's verbs when the daemon is busy, dies or refuses: what a real daemon does too seldom to wait for. */
#include "tests/unit/client/tests.h"

#include <unistd.h>

#include "client/ctl/ctl.h"

static struct fake fake;
static char file_a[64], file_b[64];

static const struct verb learn = {"learn", "NAME FILE...", "Learns", "", "",
	ARG_BIT(ARG_KEY) | ARG_BIT(ARG_NONE) | ARG_BIT(ARG_DIR) | ARG_BIT(ARG_DRY_RUN) | ARG_BIT(ARG_IF_SEQ),
	ctl_learn};
static const struct verb forget = {"forget", "NAME", "Forgets", "", "", ARG_BIT(ARG_NONE), ctl_forget};

static void write_file(char path[64], char name, const char *text)
{
	(void)snprintf(path, 64, "/tmp/bnnd-ctl-%ld-%c", (long)getpid(), name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	(void)fputs(text, file);
	(void)fclose(file);
}

/* Runs one verb in this process with --json; its standard output in ret_out. Returns the exit code. */
static int run_verb(const struct verb *verb, size_t n, const char *const *operands, char *ret_out, size_t out_bytes)
{
	struct ctl ctl = {.args = {.verb = verb,
				  .given = ARG_BIT(ARG_JSON),
				  .timeout_ms = 3000,
				  .n_operands = n,
				  .operands = (const char **)operands}};
	FILE *out = tmpfile();
	assert_non_null(out);
	(void)fflush(stdout);
	int saved = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO);
	assert_int_equal(dup2(fileno(out), STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(dup2(fileno(out), STDERR_FILENO), STDERR_FILENO);
	int exit_code = verb->run(&ctl);
	(void)fflush(stdout);
	(void)dup2(saved, STDOUT_FILENO);
	(void)dup2(saved_err, STDERR_FILENO);
	(void)close(saved);
	(void)close(saved_err);
	bnnd_close(ctl.conn);
	rewind(out);
	ret_out[fread(ret_out, 1, out_bytes - 1, out)] = '\0';
	(void)fclose(out);
	return exit_code;
}

static int run_learn(const char *const *operands, size_t n, char *ret_out, size_t out_bytes)
{
	write_file(file_a, 'a', "first");
	write_file(file_b, 'b', "second");
	int exit_code = run_verb(&learn, n, operands, ret_out, out_bytes);
	(void)unlink(file_a);
	(void)unlink(file_b);
	return exit_code;
}

static const char *const mug_a_b[] = {"mug", file_a, file_b};

/* The first picture meets a full queue twice and is sent again, whole. */
static void busy(struct fake *f)
{
	fake_accept(f);
	fake_hello(f);
	fake_begun(f, fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN), 5);
	uint32_t a = fake_expect(f, BNND__REQUEST__OP_LESSON_ADD);
	fake_added(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), 0);
	fake_error(f, a, BNND_RESOURCE_EXHAUSTED, "busy", 5);
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), BNND_RESOURCE_EXHAUSTED, "busy", 5);
	a = fake_expect(f, BNND__REQUEST__OP_LESSON_ADD);
	FAKE_CHECK(f, f->header.payload_bytes == 5 && memcmp(f->payload, "first", 5) == 0);
	fake_added(f, a, 0);
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_LESSON_COMMIT);
	FAKE_CHECK(f, f->request->lesson_commit->added == 2);
	fake_changed(f, id, 9);
	FAKE_CHECK(f, !fake_read(f));
}

void test_learn_busy(void **state)
{
	(void)state;
	char out[4096];
	fake = (struct fake){0};
	fake_listen(&fake, busy, NULL);
	int exit_code = run_learn(mug_a_b, 3, out, sizeof out);
	fake_stop(&fake);
	assert_int_equal(exit_code, CTL_DONE);
	assert_non_null(strstr(out, "\"seq\": 9"));
	assert_non_null(strstr(out, "\"skipped\": 0"));
}

/* The daemon dies while it commits. The lesson is asked again with its key, and it had been done. */
static void dies_committing(struct fake *f)
{
	uint8_t key[BNND_KEY_BYTES];
	fake_accept(f);
	fake_hello(f);
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN);
	memcpy(key, f->request->lesson_begin->key.data, sizeof key);
	fake_begun(f, id, 5);
	fake_added(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), 0);
	/* A bad picture is reported once, not at each try. */
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), BNND_INVALID_ARGUMENT, "no picture", 0);
	(void)fake_expect(f, BNND__REQUEST__OP_LESSON_COMMIT);
	fake_accept(f);
	fake_hello(f);
	id = fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN);
	FAKE_CHECK(f, memcmp(f->request->lesson_begin->key.data, key, sizeof key) == 0);
	fake_begun(f, id, 1);
	fake_added(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), 0);
	id = fake_expect(f, BNND__REQUEST__OP_LESSON_COMMIT);
	FAKE_CHECK(f, f->request->lesson_commit->added == 1);
	fake_changed(f, id, 9);
	FAKE_CHECK(f, !fake_read(f));
}

void test_learn_again(void **state)
{
	(void)state;
	char out[4096];
	fake = (struct fake){0};
	fake_listen(&fake, dies_committing, NULL);
	int exit_code = run_learn(mug_a_b, 3, out, sizeof out);
	fake_stop(&fake);
	assert_int_equal(exit_code, CTL_FAILED);
	assert_non_null(strstr(out, "\"seq\": 9"));
	assert_non_null(strstr(out, "\"skipped\": 1"));
	const char *reported = strstr(out, "no picture");
	assert_non_null(reported);
	assert_null(strstr(reported + 1, "no picture"));
}

/* A limit of the lesson is no picture's fault: said once, nothing learned. */
static void limits(struct fake *f)
{
	Bnnd__Reply empty = BNND__REPLY__INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Status status = BNND__STATUS__INIT;
	fake_accept(f);
	fake_hello(f);
	fake_begun(f, fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN), 5);
	status.code = BNND_RESOURCE_EXHAUSTED;
	status.message = (char *)"there would be 4097 classes";
	status.field = (char *)"learner.max_classes";
	reply.status = &status;
	fake_reply(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), &reply);
	fake_reply(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), &reply);
	fake_reply(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ABORT), &empty);
	FAKE_CHECK(f, !fake_read(f));
}

void test_learn_limit(void **state)
{
	(void)state;
	char out[4096];
	fake = (struct fake){0};
	fake_listen(&fake, limits, NULL);
	int exit_code = run_learn(mug_a_b, 3, out, sizeof out);
	fake_stop(&fake);
	assert_int_equal(exit_code, CTL_FAILED);
	assert_non_null(strstr(out, "4097 classes"));
	assert_null(strstr(out, "\"source\""));
	assert_null(strstr(out, "\"seq\""));
}

static void nothing_good(struct fake *f)
{
	Bnnd__Reply empty = BNND__REPLY__INIT;
	fake_accept(f);
	fake_hello(f);
	fake_begun(f, fake_expect(f, BNND__REQUEST__OP_LESSON_BEGIN), 5);
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ADD), BNND_INVALID_ARGUMENT, "no picture", 0);
	fake_reply(f, fake_expect(f, BNND__REQUEST__OP_LESSON_ABORT), &empty);
	FAKE_CHECK(f, !fake_read(f));
}

void test_learn_nothing(void **state)
{
	(void)state;
	char out[4096];
	fake = (struct fake){0};
	fake_listen(&fake, nothing_good, NULL);
	static const char *const operands[] = {"mug", file_a, "/nonexistent/x.jpg"};
	int exit_code = run_learn(operands, 3, out, sizeof out);
	fake_stop(&fake);
	assert_int_equal(exit_code, CTL_FAILED);
	assert_non_null(strstr(out, "no picture"));
	assert_non_null(strstr(out, "No such file"));
	assert_non_null(strstr(out, "none of the 2 pictures"));
}

static void dies_forgetting(struct fake *f)
{
	uint8_t key[BNND_KEY_BYTES];
	fake_accept(f);
	fake_hello(f);
	(void)fake_expect(f, BNND__REQUEST__OP_FORGET);
	memcpy(key, f->request->forget->key.data, sizeof key);
	fake_accept(f);
	fake_hello(f);
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_FORGET);
	FAKE_CHECK(f, memcmp(f->request->forget->key.data, key, sizeof key) == 0);
	fake_changed(f, id, 12);
	FAKE_CHECK(f, !fake_read(f));
}

void test_change_again(void **state)
{
	(void)state;
	char out[4096];
	fake = (struct fake){0};
	fake_listen(&fake, dies_forgetting, NULL);
	static const char *const operands[] = {"mug"};
	int exit_code = run_verb(&forget, 1, operands, out, sizeof out);
	fake_stop(&fake);
	assert_int_equal(exit_code, CTL_DONE);
	assert_non_null(strstr(out, "\"seq\": 12"));
}
