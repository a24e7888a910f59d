/* SPDX-License-Identifier: MIT */
/* daemon/host/listen.h: the socket that clients reach: passed by systemd, or our own. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/config/config.h"
#include "lib/base/err.h"

struct listener {
	int fd;         /* non-blocking, close-on-exec, listening */
	bool own;       /* false: it was passed, and stays when we leave */
	char path[108]; /* of our own socket */
	dev_t device;   /* and which file it is, so that nobody else's is removed */
	ino_t inode;
};

/* The passed socket, else config->socket_path: a socket nobody answers on is replaced, anything else is not.
 * Errors: ERR_INVALID_ARGUMENT (path over SOCKET_PATH_MAX_BYTES; not a socket), ERR_ALREADY_EXISTS (another daemon
 * answers there), ERR_NOT_FOUND (no such folder), ERR_PERMISSION_DENIED, ERR_UNAVAILABLE. */
int listener_open(const struct config *config, struct listener *ret_listener, struct err *err);

/* Stops listening; removes our own socket's file while it is still ours. */
void listener_close(struct listener *listener);
