/* SPDX-License-Identifier: MIT */
/* daemon/log.h: one line an event, to stderr; only daemon/ logs, once, where it decides. No class name above debug, no
 * picture ever. Text of a stranger goes through text_escape first. Any thread. */
#pragma once

/* The numbers of syslog; as "<N>" in front of the line when stderr is the journal. */
enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6 };

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
