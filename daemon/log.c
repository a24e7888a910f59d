/* SPDX-License-Identifier: MIT */
/* daemon/log.c: see log.h. A line is one write, so that lines of threads never mix; a failed write is nobody's error. */
#include "daemon/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

void log_line(enum log_level level, const char *format, ...)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static const char *const words[] = {[LOG_ERROR] = "error: ", [LOG_WARNING] = "warning: "};
	char line[LOG_LINE_BYTES];
	size_t n = 0;
	va_list ap;
	pthread_once(&once, log_find_journal);
	if (to_journal)
		n = (size_t)snprintf(line, sizeof line, "<%d>", (int)level);
	else
		n = (size_t)snprintf(line, sizeof line, "bnnd: %s", level <= LOG_WARNING ? words[level] : "");
	va_start(ap, format);
	vsnprintf(line + n, sizeof line - n - 1, format, ap);
	va_end(ap);
	text_make_printable(line + n);
	size_t len = strlen(line);
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
