/* SPDX-License-Identifier: MIT */
/* Lines that clients can cause at will: so many of a kind, then their number. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/host/log.h"

static char logged[16384];

/* Runs fn with stderr in a file; what it wrote is in logged. */
static void capture(void (*fn)(void))
{
	char path[] = "/tmp/bnnd-test-log-XXXXXX";
	int fd = mkstemp(path), saved = dup(STDERR_FILENO);
	assert_true(fd >= 0 && saved >= 0);
	unlink(path);
	dup2(fd, STDERR_FILENO);
	fn();
	dup2(saved, STDERR_FILENO);
	close(saved);
	ssize_t n = pread(fd, logged, sizeof logged - 1, 0);
	assert_true(n >= 0);
	logged[n] = '\0';
	close(fd);
}

static void flood(void)
{
	for (int i = 1; i <= 48985; i++)
		log_limited(LOG_REFUSED, LOG_WARNING, "refused %d", i);
	log_limited(LOG_STATE, LOG_INFO, "another kind");
	log_flush(0); /* no window has ended */
	log_line(LOG_INFO, "then");
	log_flush(UINT64_MAX);
	log_flush(UINT64_MAX); /* told once */
	log_limited(LOG_REFUSED, LOG_WARNING, "again");
	log_flush(UINT64_MAX);
}

static void test_a_flood_is_told_by_its_number(void **state)
{
	(void)state;
	capture(flood);
	assert_string_equal(logged, "bnnd: warning: refused 1\n"
				    "bnnd: warning: refused 2\n"
				    "bnnd: warning: refused 3\n"
				    "bnnd: warning: refused 4\n"
				    "bnnd: warning: refused 5\n"
				    "bnnd: another kind\n"
				    "bnnd: then\n"
				    "bnnd: warning: refused 48985 (and 48,979 more)\n"
				    "bnnd: warning: again\n");
}

static void one_more(void)
{
	for (int i = 0; i < LOG_BURST + 1; i++)
		log_limited(LOG_ACCEPT, LOG_INFO, "line %d", i);
	log_flush(UINT64_MAX);
}

static void test_one_more_is_just_late(void **state)
{
	(void)state;
	capture(one_more);
	assert_string_equal(
		logged, "bnnd: line 0\nbnnd: line 1\nbnnd: line 2\nbnnd: line 3\nbnnd: line 4\nbnnd: line 5\n");
}

static void long_lines(void)
{
	char text[2000];
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	for (int i = 0; i < LOG_BURST + 2; i++)
		log_limited(LOG_STALLED, LOG_INFO, "%s", text);
	log_flush(UINT64_MAX);
}

static void test_a_long_line_still_has_its_number(void **state)
{
	(void)state;
	capture(long_lines);
	assert_non_null(strstr(logged, "x (and 1 more)\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_flood_is_told_by_its_number),
		cmocka_unit_test(test_one_more_is_just_late),
		cmocka_unit_test(test_a_long_line_still_has_its_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
