/* SPDX-License-Identifier: MIT */
/* daemon/host/log.c: see log.h. A line is one write, so that lines of threads never mix; a failed write is nobody's error. */
#include "daemon/host/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/text.h"

enum { LOG_LINE_BYTES = 1024 };

static bool to_journal;

/* systemd names the device and inode of the stream that it reads; a redirected stderr is another one. */
static void log_find_journal(void)
{
	const char *named = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat st;
	if (named && sscanf(named, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0)
		to_journal = st.st_dev == device && st.st_ino == inode;
}

static void log_text(enum log_level level, const char *text)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static const char *const words[] = {[LOG_ERROR] = "error: ", [LOG_WARNING] = "warning: "};
	char line[LOG_LINE_BYTES];
	pthread_once(&once, log_find_journal);
	if (to_journal)
		snprintf(line, sizeof line - 1, "<%d>%s", (int)level, text);
	else
		snprintf(line, sizeof line - 1, "bnnd: %s%s", level <= LOG_WARNING ? words[level] : "", text);
	text_make_printable(line);
	size_t len = strlen(line);
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

void log_line(enum log_level level, const char *format, ...)
{
	char text[LOG_LINE_BYTES];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	log_text(level, text);
}

/* ---- at most so many of a kind ------------------------------------------------------------------------------------ */

static struct {
	uint64_t since_us;
	uint32_t n;    /* in this window */
	uint64_t held; /* of them: not written */
	enum log_level level;
	char last[LOG_LINE_BYTES]; /* the newest of those */
} windows[LOG_KINDS];

/* 48979 -> "48,979" */
static const char *grouped(uint64_t n, char text[32])
{
	char *at = text + 31;
	*at = '\0';
	for (int digits = 1;; digits++) {
		*--at = (char)('0' + n % 10);
		n /= 10;
		if (n == 0)
			return at;
		if (digits % 3 == 0)
			*--at = ',';
	}
}

static void window_end(enum log_kind kind)
{
	char number[32];
	if (windows[kind].held == 1)
		log_text(windows[kind].level, windows[kind].last);
	else if (windows[kind].held > 1)
		log_line(windows[kind].level, "%.*s (and %s more)", LOG_LINE_BYTES - 128, windows[kind].last,
			grouped(windows[kind].held - 1, number));
	windows[kind].n = 0;
	windows[kind].held = 0;
}

void log_limited(enum log_kind kind, enum log_level level, const char *format, ...)
{
	char text[LOG_LINE_BYTES];
	uint64_t now = clock_us();
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	log_flush(now);
	if (windows[kind].n == 0)
		windows[kind].since_us = now;
	if (windows[kind].n < LOG_BURST) {
		windows[kind].n++;
		log_text(level, text);
		return;
	}
	windows[kind].held++;
	windows[kind].level = level;
	memcpy(windows[kind].last, text, sizeof text);
}

void log_flush(uint64_t now_us)
{
	for (int kind = 0; kind < LOG_KINDS; kind++)
		if (windows[kind].n > 0 && now_us >= windows[kind].since_us + LOG_WINDOW_S * 1000000)
			window_end((enum log_kind)kind);
}
