/* SPDX-License-Identifier: MIT */
/* daemon/host/access.h: who is at the other end of a socket, and what that allows. Asked once, at accept. */
#pragma once

#include <sys/types.h>

#include "lib/base/err.h"

enum role { ROLE_NONE, ROLE_USE, ROLE_TEACH, ROLE_ADMIN }; /* the numbers of the wire's Role */

struct peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

/* Reads the credentials that the kernel noted when the peer connected (SO_PEERCRED). */
int access_peer(int fd, struct peer *ret_peer, struct err *err);

/* The socket's mode decides who reaches it, and who reaches it may do everything: roles by uid and group are not
 * distinguished yet. Every operation is checked against what this returns all the same. */
enum role access_role(const struct peer *peer);

const char *access_role_name(enum role role);
