/* SPDX-License-Identifier: MIT */
/* daemon/host/notify.c: see notify.h. Both protocols are written down in sd_notify(3) and sd_listen_fds(3). Nothing here
 * blocks or fails the daemon: systemd that does not listen is systemd's matter. Refuses a passed descriptor that is not
 * a listening Unix stream socket, and more than one. */
#include "daemon/host/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	NOTIFY_MAX_BYTES = 1024,
	LISTEN_FD_FIRST = 3, /* the descriptors are passed from here on */
};

/* The address of NOTIFY_SOCKET: a path, or a name in the abstract namespace, which is written with a leading @.
 * 0 when there is none or it is no such address. */
static socklen_t notify_address(struct sockaddr_un *ret_address)
{
	const char *name = getenv("NOTIFY_SOCKET");
	if (!name || (name[0] != '/' && name[0] != '@'))
		return 0;
	size_t len = strlen(name);
	if (len < 2 || len >= sizeof ret_address->sun_path)
		return 0;
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret_address->sun_path, name, len);
	if (name[0] == '@')
		ret_address->sun_path[0] = '\0';
	/* An abstract name is as long as the address says, a path ends with its NUL. */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/'));
}

void notify_send(const char *format, ...)
{
	struct sockaddr_un address;
	socklen_t address_bytes = notify_address(&address);
	if (address_bytes == 0)
		return;
	char text[NOTIFY_MAX_BYTES];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	/* Nothing to do about a failure: see notify.h. */
	(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, address_bytes);
	close(fd);
}

/* A whole decimal number from 0 to INT_MAX, or -1. */
static int env_number(const char *name)
{
	const char *text = getenv(name);
	if (!text || text[0] < '0' || text[0] > '9')
		return -1;
	char *end;
	errno = 0;
	long v = strtol(text, &end, 10);
	return errno != 0 || *end != '\0' || v > INT_MAX ? -1 : (int)v;
}

uint64_t notify_watchdog_ms(void)
{
	const char *text = getenv("WATCHDOG_USEC");
	int pid = env_number("WATCHDOG_PID");
	if (!text || text[0] < '0' || text[0] > '9' || (pid != getpid() && getenv("WATCHDOG_PID")))
		return 0;
	char *end;
	errno = 0;
	unsigned long long us = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || us == 0)
		return 0;
	return us < 2000 ? 1 : us / 2000;
}

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t bytes = sizeof value;
	return getsockopt(fd, SOL_SOCKET, option, &value, &bytes) == 0 ? value : -1;
}

static int check_listening(int fd, struct err *err)
{
	if (fcntl(fd, F_GETFD) < 0)
		return err_set(err, ERR_INVALID_ARGUMENT,
			"LISTEN_FDS says that a socket was passed as descriptor %d, but it is not open", fd);
	if (socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_STREAM ||
		socket_option(fd, SO_ACCEPTCONN) != 1)
		return err_set(err, ERR_INVALID_ARGUMENT,
			"the passed descriptor %d is not a listening Unix stream socket (ListenStream= with a path)",
			fd);
	return 0;
}

int notify_listen_fd(int *ret_fd, struct err *err)
{
	int pid = env_number("LISTEN_PID"), n_fds = env_number("LISTEN_FDS");
	/* A program that we start must not take them for its own. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (pid != getpid() || n_fds <= 0) {
		*ret_fd = -1;
		return 0;
	}
	if (n_fds > 1)
		return err_set(err, ERR_INVALID_ARGUMENT, "%d sockets were passed: one ListenStream= is served", n_fds);
	int r = check_listening(LISTEN_FD_FIRST, err);
	if (r < 0)
		return r;
	int flags = fcntl(LISTEN_FD_FIRST, F_GETFL);
	if (flags < 0 || fcntl(LISTEN_FD_FIRST, F_SETFL, flags | O_NONBLOCK) < 0 ||
		fcntl(LISTEN_FD_FIRST, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(err, ERR_INTERNAL, "the passed socket cannot be set up: %s", strerror(errno));
	*ret_fd = LISTEN_FD_FIRST;
	return 0;
}
