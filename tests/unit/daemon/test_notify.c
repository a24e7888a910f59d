/* SPDX-License-Identifier: MIT */
/* daemon/host/notify: what systemd would receive, and which passed descriptors are taken. Descriptor 3 is arranged in a child
 * process, as systemd does, so the test's own descriptors stay as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/host/notify.h"

static char dir[] = "/tmp/bnnd-notify-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

/* A bound socket; abstract: a name that only this process uses. Writes the name as NOTIFY_SOCKET spells it. */
static int bind_socket(int type, bool is_abstract, char *ret_name, size_t name_bytes)
{
	if (is_abstract)
		snprintf(ret_name, name_bytes, "@bnnd-notify-test-%d", (int)getpid());
	else
		snprintf(ret_name, name_bytes, "%s/socket", dir);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(ret_name);
	assert_true(len < sizeof address.sun_path);
	memcpy(address.sun_path, ret_name, len);
	if (is_abstract)
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !is_abstract);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
	return fd;
}

static void check_received(int fd, const char *expected)
{
	char text[2048];
	ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
	if (!expected) {
		assert_int_equal(n, -1);
		return;
	}
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static void test_send(void **state)
{
	(void)state;
	char name[PATH_MAX];
	for (int is_abstract = 0; is_abstract < 2; is_abstract++) {
		int fd = bind_socket(SOCK_DGRAM, is_abstract, name, sizeof name);
		setenv("NOTIFY_SOCKET", name, 1);
		notify_send("READY=1\nSTATUS=%d classes", 3);
		check_received(fd, "READY=1\nSTATUS=3 classes");
		notify_send("STOPPING=1");
		check_received(fd, "STOPPING=1");
		unsetenv("NOTIFY_SOCKET");
		notify_send("READY=1");
		check_received(fd, NULL);
		close(fd);
		unlink(name);
	}
}

/* None of these may block, crash or leak a descriptor. */
static void test_send_to_nobody(void **state)
{
	(void)state;
	char long_name[300];
	memset(long_name, 'a', sizeof long_name - 1);
	long_name[0] = '/';
	long_name[sizeof long_name - 1] = '\0';
	const char *names[] = {
		"", "/", "@", "relative", "vsock:2:1", "/nonexistent/socket", "@bnnd-nobody-listens", long_name};
	int before = dup(0);
	close(before);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		notify_send("READY=1");
	}
	/* A reader that never reads: the queue fills up and nobody waits. */
	char name[PATH_MAX];
	int fd = bind_socket(SOCK_DGRAM, false, name, sizeof name);
	setenv("NOTIFY_SOCKET", name, 1);
	for (int i = 0; i < 2000; i++)
		notify_send("STATUS=%d", i);
	check_received(fd, "STATUS=0");
	close(fd);
	unlink(name);
	unsetenv("NOTIFY_SOCKET");
	int after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

enum passed { PASSED_LISTENING, PASSED_NOT_LISTENING, PASSED_DATAGRAM, PASSED_FILE, PASSED_CLOSED };

struct outcome {
	int r, fd, code;
	int is_clean, is_nonblocking, is_cloexec;
	char text[ERR_TEXT_BYTES];
};

static int make_passed(enum passed passed)
{
	char name[PATH_MAX];
	int fd = -1;
	if (passed == PASSED_FILE)
		return open("/dev/null", O_RDONLY);
	if (passed == PASSED_CLOSED)
		return -1;
	fd = bind_socket(passed == PASSED_DATAGRAM ? SOCK_DGRAM : SOCK_STREAM, false, name, sizeof name);
	if (passed == PASSED_LISTENING)
		assert_int_equal(listen(fd, 1), 0);
	unlink(name);
	return fd;
}

static void run_child(int pipe_fd, enum passed passed, const char *pid, const char *fds)
{
	struct outcome o = {.fd = -2};
	struct err err = {0};
	int fd = make_passed(passed);
	if (fd < 0)
		close(3);
	else if (fd != 3)
		dup2(fd, 3);
	else
		fcntl(3, F_SETFD, 0);
	char own[32];
	snprintf(own, sizeof own, "%d", (int)getpid());
	if (pid)
		setenv("LISTEN_PID", strcmp(pid, "own") == 0 ? own : pid, 1);
	if (fds)
		setenv("LISTEN_FDS", fds, 1);
	setenv("LISTEN_FDNAMES", "x", 1);
	o.r = notify_listen_fd(&o.fd, &err);
	o.code = err.code;
	o.is_clean = !getenv("LISTEN_PID") && !getenv("LISTEN_FDS") && !getenv("LISTEN_FDNAMES");
	if (o.fd >= 0) {
		o.is_nonblocking = (fcntl(o.fd, F_GETFL) & O_NONBLOCK) != 0;
		o.is_cloexec = (fcntl(o.fd, F_GETFD) & FD_CLOEXEC) != 0;
	}
	memcpy(o.text, err.text, sizeof o.text);
	_exit(write(pipe_fd, &o, sizeof o) == sizeof o ? 0 : 1);
}

static struct outcome outcome_of(enum passed passed, const char *pid, const char *fds)
{
	int fd[2], status;
	struct outcome o;
	assert_int_equal(pipe(fd), 0);
	/* Out of the way of descriptor 3. */
	int in = fcntl(fd[0], F_DUPFD, 20), out = fcntl(fd[1], F_DUPFD, 20);
	close(fd[0]);
	close(fd[1]);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		run_child(out, passed, pid, fds);
	close(out);
	assert_int_equal(read(in, &o, sizeof o), sizeof o);
	close(in);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(o.is_clean);
	return o;
}

static void test_listen(void **state)
{
	(void)state;
	struct outcome o = outcome_of(PASSED_LISTENING, "own", "1");
	assert_int_equal(o.r, 0);
	assert_int_equal(o.fd, 3);
	assert_true(o.is_nonblocking && o.is_cloexec);

	static const struct {
		const char *pid, *fds;
	} none[] = {{NULL, NULL}, {"own", NULL}, {NULL, "1"}, {"1", "1"}, {"own", "0"}, {"own", "-1"}, {"own", "one"},
		{"own", "1x"}, {"own", "99999999999999999999"}, {"", ""}};
	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		o = outcome_of(PASSED_LISTENING, none[i].pid, none[i].fds);
		assert_int_equal(o.r, 0);
		assert_int_equal(o.fd, -1);
	}
}

static void test_listen_refused(void **state)
{
	(void)state;
	static const struct {
		enum passed passed;
		const char *fds, *says;
	} bad[] = {{PASSED_LISTENING, "2", "2 sockets were passed"},
		{PASSED_NOT_LISTENING, "1", "not a listening Unix stream socket"},
		{PASSED_DATAGRAM, "1", "not a listening Unix stream socket"},
		{PASSED_FILE, "1", "not a listening Unix stream socket"}, {PASSED_CLOSED, "1", "not open"}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct outcome o = outcome_of(bad[i].passed, "own", bad[i].fds);
		assert_int_equal(o.r, -ERR_INVALID_ARGUMENT);
		assert_int_equal(o.code, ERR_INVALID_ARGUMENT);
		assert_int_equal(o.fd, -2);
		assert_non_null(strstr(o.text, bad[i].says));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_send_to_nobody),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_listen_refused),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
