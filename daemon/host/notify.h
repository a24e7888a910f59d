/* SPDX-License-Identifier: MIT */
/* daemon/host/notify.h: systemd's two small protocols: one datagram a state, two variables for a passed socket. No library. */
#pragma once

#include <stdint.h>

#include "lib/base/err.h"

/* Sends "READY=1\nSTATUS=..." and so on to NOTIFY_SOCKET (a path or @abstract); does nothing without one. Never blocks;
 * a failed send is not an error of the daemon. */
void notify_send(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How often systemd wants to hear WATCHDOG=1, twice in the time that it waits (WATCHDOG_USEC); 0: not at all. */
uint64_t notify_watchdog_ms(void);

/* The listening Unix stream socket that was passed (LISTEN_PID, LISTEN_FDS=1), made close-on-exec and non-blocking, in
 * *ret_fd; -1 when none was passed. More than one, or one of another kind: ERR_INVALID_ARGUMENT. Unsets the variables. */
int notify_listen_fd(int *ret_fd, struct err *err);
