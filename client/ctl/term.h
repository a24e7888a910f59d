/* SPDX-License-Identifier: MIT */
/* client/ctl/term.h: text for people: columns, times, a progress bar. Whatever came from a file name or a daemon goes
 * through term_shown before it reaches a terminal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TERM_SHOWN_BYTES = 4 * 256 + 1, TERM_TIME_BYTES = 32 };

/* text with everything unprintable escaped, cut to what fits; returns buffer. */
const char *term_shown(char buffer[TERM_SHOWN_BYTES], const char *text);

/* text and the spaces that fill `columns`; too long a text is printed whole. */
void term_left(FILE *out, const char *text, size_t columns);
void term_right(FILE *out, const char *text, size_t columns);

/* UTC, RFC 3339 with milliseconds: for machines. */
const char *term_time_utc(char buffer[TERM_TIME_BYTES], int64_t time_ms);
/* Local, to the second: for people. */
const char *term_time_local(char buffer[TERM_TIME_BYTES], int64_t time_ms);
/* "3 h 12 min", for people. */
const char *term_duration(char buffer[TERM_TIME_BYTES], uint64_t ms);
int64_t term_now_ms(void); /* UTC since 1970 */

/* A bar on stderr, for what takes over a second, on a terminal only. */
struct progress {
	bool on;
	bool drawn;
	size_t total;
	int64_t start_ms, drawn_ms; /* monotonic */
};
void progress_begin(struct progress *progress, size_t total, bool allowed);
void progress_at(struct progress *progress, size_t done);
/* Takes the bar away: before anything else is printed, and at the end. */
void progress_clear(struct progress *progress);
