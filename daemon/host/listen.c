/* SPDX-License-Identifier: MIT */
/* daemon/host/listen.c: see listen.h.
 *
 * Invariant: a file that is no socket is never touched, nor a socket on which somebody answers. Nobody can connect
 * before mode and group are right, because listen() comes last. */
#include "daemon/host/listen.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/host/log.h"
#include "daemon/host/notify.h"
#include "proto/limits.h"

enum { LISTEN_BACKLOG = 128, GROUP_BITS = 0070 };

static enum err_code code_of_errno(int e)
{
	return e == ENOENT || e == ENOTDIR               ? ERR_NOT_FOUND
	       : e == EACCES || e == EPERM || e == EROFS ? ERR_PERMISSION_DENIED
							 : ERR_UNAVAILABLE;
}

static int socket_new(struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot make a socket: %s", strerror(errno));
	return fd;
}

/* A socket is there already: is anybody alive behind it? Removes it when not. */
static int stale_socket_remove(const struct sockaddr_un *address, struct err *err)
{
	struct stat st;
	if (lstat(address->sun_path, &st) != 0) {
		if (errno == ENOENT)
			return 0;
		return err_set(err, code_of_errno(errno), "%s: %s", address->sun_path, strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode))
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "socket.path"},
			"%s exists and is not a socket: it is left alone; remove it or choose another socket.path",
			address->sun_path);
	int fd = socket_new(err);
	if (fd < 0)
		return fd;
	int r = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
	close(fd);
	if (r == 0 || r == EAGAIN || r == EINPROGRESS)
		return err_set(err, ERR_ALREADY_EXISTS,
			"another daemon answers on %s: stop it, or give this one its own --socket", address->sun_path);
	if (r != ECONNREFUSED && r != ENOENT)
		return err_set(err, code_of_errno(r), "cannot tell whether a daemon lives behind %s: %s",
			address->sun_path, strerror(r));
	if (unlink(address->sun_path) != 0 && errno != ENOENT)
		return err_set(err, code_of_errno(errno), "cannot remove the dead socket %s: %s", address->sun_path,
			strerror(errno));
	return 0;
}

static int socket_bind(int fd, const struct sockaddr_un *address, struct err *err)
{
	/* Created for the owner alone; the configured mode comes after the group. */
	mode_t old_mask = umask(0177);
	int r = bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
	if (r == EADDRINUSE) {
		r = stale_socket_remove(address, err);
		if (r == 0)
			r = bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
	}
	umask(old_mask);
	if (r > 0)
		return err_set(err, code_of_errno(r), "cannot make the socket %s: %s%s", address->sun_path, strerror(r),
			r == ENOENT ? " (its folder must exist)" : "");
	return r;
}

static int socket_permit(const struct config *config, const char *path, struct err *err)
{
	mode_t mode = config->socket_mode & 0777;
	if (config->socket_group) {
		struct group *group = getgrnam(config->socket_group);
		if (!group) {
			log_line(LOG_WARNING, "there is no group %s: %s is for its owner alone", config->socket_group,
				path);
			mode &= ~(mode_t)GROUP_BITS;
		} else if (chown(path, (uid_t)-1, group->gr_gid) != 0) {
			return err_set(err, ERR_PERMISSION_DENIED, "cannot give %s to the group %s: %s", path,
				config->socket_group, strerror(errno));
		}
	}
	if (chmod(path, mode) != 0)
		return err_set(err, ERR_PERMISSION_DENIED, "cannot set the mode of %s: %s", path, strerror(errno));
	return 0;
}

static int listener_own(const struct config *config, struct listener *l, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	size_t len = strlen(config->socket_path);
	_Static_assert(sizeof address.sun_path == SOCKET_PATH_MAX_BYTES + 1, "the kernel's limit");
	if (len == 0 || len > SOCKET_PATH_MAX_BYTES)
		return err_set_about(err, ERR_INVALID_ARGUMENT,
			(struct err_about){.field = "socket.path", .limit = SOCKET_PATH_MAX_BYTES},
			"the socket's path is %zu bytes long: 1 to %d are possible (socket.path)", len,
			SOCKET_PATH_MAX_BYTES);
	memcpy(address.sun_path, config->socket_path, len + 1);
	memcpy(l->path, config->socket_path, len + 1);
	l->fd = socket_new(err);
	if (l->fd < 0)
		return l->fd;
	int r = socket_bind(l->fd, &address, err);
	if (r != 0) {
		close(l->fd);
		return r;
	}
	l->own = true;
	if (lstat(l->path, &st) == 0) {
		l->device = st.st_dev;
		l->inode = st.st_ino;
	}
	r = socket_permit(config, l->path, err);
	if (r == 0 && listen(l->fd, LISTEN_BACKLOG) != 0)
		r = err_set(err, ERR_UNAVAILABLE, "cannot listen on %s: %s", l->path, strerror(errno));
	if (r != 0)
		listener_close(l);
	return r;
}

int listener_open(const struct config *config, struct listener *ret_listener, struct err *err)
{
	struct listener l = {.fd = -1};
	int r = notify_listen_fd(&l.fd, err);
	if (r == 0 && l.fd < 0)
		r = listener_own(config, &l, err);
	if (r == 0)
		*ret_listener = l;
	return r;
}

void listener_close(struct listener *l)
{
	struct stat st;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	if (l->own && lstat(l->path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode)
		unlink(l->path);
	l->own = false;
}
