/* SPDX-License-Identifier: MIT */
/* daemon/host/log.h: one line an event, to stderr; only daemon/ logs, once, where it decides. No class name above debug, no
 * picture ever. Text of a stranger goes through text_escape first. Any thread. */
#pragma once

#include <stdint.h>

/* The numbers of syslog; as "<N>" in front of the line when stderr is the journal. */
enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6 };

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Kinds of lines that a client can cause as often as it likes. */
enum log_kind { LOG_REFUSED, LOG_STALLED, LOG_ACCEPT, LOG_STATE, LOG_HEALTH, LOG_KINDS };
enum { LOG_WINDOW_S = 10, LOG_BURST = 5 };

/* As log_line, but of each kind at most LOG_BURST lines in LOG_WINDOW_S; of the others the last is kept, and written with
 * their number when the window ends: "... (and 48,979 more)". Loop thread. */
void log_limited(enum log_kind kind, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Writes what windows that ended before now_us held back; to be called now and then, and with UINT64_MAX at the end. */
void log_flush(uint64_t now_us);
