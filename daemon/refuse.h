/* SPDX-License-Identifier: MIT */
/* daemon/refuse.h: what is said to clients by a daemon that cannot start, so that systemd does not start it for ever.
 *
 * A passed socket outlives the daemon. A client that waits in it when the daemon ends is, to systemd, a reason to start
 * it again, at once and whatever Restart= says: with a wrong setting that never ends. So the daemon that would end
 * because of a wrong setting answers those who wait, with the sentence, and stays until the settings change. */
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

enum {
	REFUSE_SESSIONS_MAX = 32, /* connections at a time */
	REFUSE_HELLO_MS = 5000,   /* how long a connection may be silent */
	REFUSE_IDLE_MS = 30000, /* nobody came for so long: it ends as it would have at once without anybody waiting */
	REFUSE_FILES_MAX = 4,
};

/* The files that may be changed to mend it, as they were before they were read; starts as {0}. */
struct refuse_watch {
	size_t n;
	struct refuse_file {
		const char *path; /* borrowed */
		dev_t device;     /* all zero: it cannot be seen */
		ino_t inode;
		struct timespec changed; /* its rights as well */
	} files[REFUSE_FILES_MAX];
};

/* Before the file is read, so that no change of it is missed. */
void refuse_watch(struct refuse_watch *watch, const char *path);

/* Answers every connection of the passed socket with UNAVAILABLE and the sentence. Returns the exit code for the process:
 * 0 when one of the files changed (the next client finds a daemon that reads it anew), else `code`: at once when no socket
 * was passed or nobody waits in it, later when nobody has come for REFUSE_IDLE_MS. */
int refuse_clients(const char *sentence, const struct refuse_watch *watch, int code);
