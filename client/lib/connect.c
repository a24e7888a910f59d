/* SPDX-License-Identifier: MIT */
/* client/lib/connect.c: a connection comes about, and ends. The path is looked up once; no descriptor is left behind when
 * it fails. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/lib/conn.h"
#include "lib/base/text.h"
#include "proto/limits.h"

enum { CONNECT_RETRY_MS = 20 /* the daemon's backlog is full: it accepts again soon */ };

static int connect_failed(int e, const char *path, struct bnnd_error *err)
{
	char shown[256];
	text_escape(shown, sizeof shown, (const uint8_t *)path, strlen(path));
	int r;
	if (e == EACCES || e == EPERM)
		r = error_set(err, BNND_ORIGIN_CONNECT, BNND_PERMISSION_DENIED, "not allowed to open %s: %s", shown,
			strerror(e));
	else if (e == ECONNREFUSED)
		r = error_set(err, BNND_ORIGIN_CONNECT, BNND_UNAVAILABLE,
			"no daemon answers at %s: the socket is there, but nobody listens", shown);
	else
		r = error_set(
			err, BNND_ORIGIN_CONNECT, BNND_UNAVAILABLE, "no daemon answers at %s: %s", shown, strerror(e));
	if (err)
		err->sys_errno = e;
	return r;
}

static int open_socket(const char *path, int64_t deadline, int *ret_fd, struct bnnd_error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	if (len == 0 || len > SOCKET_PATH_MAX_BYTES)
		return error_set_about(err, BNND_ORIGIN_CALL, BNND_INVALID_ARGUMENT,
			(struct err_about){.limit = SOCKET_PATH_MAX_BYTES},
			"the socket's path is %zu bytes long: 1 to %d are possible", len, SOCKET_PATH_MAX_BYTES);
	memcpy(address.sun_path, path, len + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return connect_failed(errno, path, err);
	while (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
		int e = errno;
		if (e == EINTR)
			continue;
		if (e == EAGAIN && conn_now_ms() + CONNECT_RETRY_MS < deadline) {
			(void)poll(NULL, 0, CONNECT_RETRY_MS);
			continue;
		}
		(void)close(fd);
		if (e == EAGAIN)
			return error_set(err, BNND_ORIGIN_CONNECT, BNND_DEADLINE_EXCEEDED,
				"the daemon did not accept the connection in time");
		return connect_failed(e, path, err);
	}
	*ret_fd = fd;
	return 0;
}

int bnnd_connect_fd(
	int fd, const struct bnnd_connect_options *options, struct bnnd_conn **ret_conn, struct bnnd_error *err)
{
	static const struct bnnd_connect_options defaults;
	*ret_conn = NULL;
	options = options ? options : &defaults;
	struct bnnd_conn *conn = calloc(1, sizeof *conn);
	uint8_t *in = malloc(CONN_BUFFER_BYTES);
	void *arena = aligned_alloc(16, CONN_ARENA_BYTES);
	if (!conn || !in || !arena) {
		free(conn);
		free(in);
		free(arena);
		(void)close(fd);
		return error_set(err, BNND_ORIGIN_CALL, BNND_RESOURCE_EXHAUSTED, "no memory for a connection");
	}
	conn->fd = fd;
	conn->timeout_ms = options->timeout_ms ? options->timeout_ms : BNND_DEFAULT_TIMEOUT_MS;
	conn->in = in;
	conn->in_capacity = CONN_BUFFER_BYTES;
	conn->arena_memory = arena;
	decode_arena_init(&conn->arena, arena, CONN_ARENA_BYTES);
	int r = conn_greet(conn, options->software ? options->software : "libbnnd " BNND_VERSION, err);
	if (r != 0) {
		if (err && err->origin == BNND_ORIGIN_LOST)
			err->origin = BNND_ORIGIN_CONNECT;
		bnnd_close(conn);
		return r;
	}
	*ret_conn = conn;
	return 0;
}

int bnnd_connect_with(const char *path, const struct bnnd_connect_options *options, struct bnnd_conn **ret_conn,
	struct bnnd_error *err)
{
	*ret_conn = NULL; /* callers close it whatever came of it */
	uint32_t timeout_ms = options && options->timeout_ms ? options->timeout_ms : BNND_DEFAULT_TIMEOUT_MS;
	int64_t deadline = timeout_ms == BNND_NO_TIMEOUT ? CONN_NEVER : conn_now_ms() + timeout_ms;
	if (!path)
		path = getenv("BNND_SOCKET");
	if (!path || !path[0])
		path = BNND_DEFAULT_SOCKET;
	struct bnnd_error own;
	err = err ? err : &own;
	for (;;) {
		int fd = -1;
		int r = open_socket(path, deadline, &fd, err);
		if (r == 0)
			r = bnnd_connect_fd(fd, options, ret_conn, err);
		/* Too many connections: the hello says when there may be room. */
		bool again = r != 0 && err->origin == BNND_ORIGIN_DAEMON && err->retry_after_ms != 0;
		if (!again || conn_now_ms() + err->retry_after_ms >= deadline)
			return r;
		(void)poll(NULL, 0, (int)(err->retry_after_ms < 1000 ? err->retry_after_ms : 1000));
	}
}

int bnnd_connect(const char *path, struct bnnd_conn **ret_conn, struct bnnd_error *err)
{
	return bnnd_connect_with(path, NULL, ret_conn, err);
}

void bnnd_close(struct bnnd_conn *conn)
{
	if (!conn)
		return;
	(void)close(conn->fd);
	free(conn->lesson);
	free(conn->in);
	free(conn->arena_memory);
	free(conn);
}

void bnnd_set_timeout(struct bnnd_conn *conn, uint32_t timeout_ms)
{
	conn->timeout_ms = timeout_ms ? timeout_ms : BNND_DEFAULT_TIMEOUT_MS;
}

const struct bnnd_hello *bnnd_hello(const struct bnnd_conn *conn)
{
	return &conn->hello;
}

int bnnd_fd(const struct bnnd_conn *conn)
{
	return conn->fd;
}

void bnnd_free(void *result)
{
	free(result);
}

void bnnd_key_random(uint8_t ret_key[BNND_KEY_BYTES])
{
	size_t got = 0;
	while (got < BNND_KEY_BYTES) {
		ssize_t n = getrandom(ret_key + got, BNND_KEY_BYTES - got, 0);
		if (n > 0)
			got += (size_t)n;
		else if (errno != EINTR)
			abort(); /* no random numbers: a key that repeats would swallow a lesson */
	}
}
