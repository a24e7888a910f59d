/* SPDX-License-Identifier: MIT */
/* client/ctl/term.c: see term.h. No locale: labels and file names are UTF-8 or escaped, numbers are in the C locale. */
#include "client/ctl/term.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/text.h"

enum { PROGRESS_FIRST_MS = 1000, PROGRESS_EVERY_MS = 100, PROGRESS_COLUMNS = 30 };

const char *term_shown(char buffer[TERM_SHOWN_BYTES], const char *text)
{
	text_escape(buffer, TERM_SHOWN_BYTES, (const uint8_t *)text, strlen(text));
	return buffer;
}

static void spaces(FILE *out, size_t used, size_t columns)
{
	for (; used < columns; used++)
		fputc(' ', out);
}

void term_left(FILE *out, const char *text, size_t columns)
{
	fputs(text, out);
	spaces(out, text_columns(text), columns);
}

void term_right(FILE *out, const char *text, size_t columns)
{
	spaces(out, text_columns(text), columns);
	fputs(text, out);
}

/* ---- times ----------------------------------------------------------------------------------------------------- */

int64_t term_now_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void split(int64_t time_ms, time_t *ret_s, int *ret_ms)
{
	int64_t s = time_ms / 1000, ms = time_ms % 1000;
	if (ms < 0) {
		ms += 1000;
		s--;
	}
	*ret_s = (time_t)s;
	*ret_ms = (int)ms;
}

const char *term_time_utc(char buffer[TERM_TIME_BYTES], int64_t time_ms)
{
	time_t s;
	int ms;
	struct tm tm;
	char day[TERM_TIME_BYTES - 6] = "";
	split(time_ms, &s, &ms);
	if (!gmtime_r(&s, &tm) || strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		(void)snprintf(day, sizeof day, "1970-01-01T00:00:00");
	(void)snprintf(buffer, TERM_TIME_BYTES, "%s.%03dZ", day, ms);
	return buffer;
}

const char *term_time_local(char buffer[TERM_TIME_BYTES], int64_t time_ms)
{
	time_t s;
	int ms;
	struct tm tm;
	split(time_ms, &s, &ms);
	if (!localtime_r(&s, &tm) || strftime(buffer, TERM_TIME_BYTES, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		(void)snprintf(buffer, TERM_TIME_BYTES, "?");
	return buffer;
}

const char *term_duration(char buffer[TERM_TIME_BYTES], uint64_t ms)
{
	unsigned long long s = ms / 1000;
	if (s < 60)
		(void)snprintf(buffer, TERM_TIME_BYTES, "%llu s", s);
	else if (s < 3600)
		(void)snprintf(buffer, TERM_TIME_BYTES, "%llu min %llu s", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(buffer, TERM_TIME_BYTES, "%llu h %llu min", s / 3600, s % 3600 / 60);
	else
		(void)snprintf(buffer, TERM_TIME_BYTES, "%llu d %llu h", s / 86400, s % 86400 / 3600);
	return buffer;
}

/* ---- progress -------------------------------------------------------------------------------------------------- */

static int64_t monotonic_ms(void)
{
	return (int64_t)(clock_us() / 1000);
}

void progress_begin(struct progress *progress, size_t total, bool allowed)
{
	*progress = (struct progress){
		.on = allowed && total > 1 && isatty(STDERR_FILENO), .total = total, .start_ms = monotonic_ms()};
}

void progress_at(struct progress *progress, size_t done)
{
	if (!progress->on)
		return;
	int64_t now = monotonic_ms(), gone = now - progress->start_ms;
	if (gone < PROGRESS_FIRST_MS || now - progress->drawn_ms < PROGRESS_EVERY_MS)
		return;
	size_t filled = done * PROGRESS_COLUMNS / progress->total;
	fputs("\r[", stderr);
	for (size_t i = 0; i < PROGRESS_COLUMNS; i++)
		fputc(i < filled ? '=' : ' ', stderr);
	fprintf(stderr, "] %zu/%zu", done, progress->total);
	if (done > 0)
		fprintf(stderr, "  %lld s left\033[K",
			(long long)(gone * (int64_t)(progress->total - done) / (int64_t)done / 1000));
	(void)fflush(stderr);
	progress->drawn = true;
	progress->drawn_ms = now;
}

void progress_clear(struct progress *progress)
{
	if (!progress->drawn)
		return;
	fputs("\r\033[K", stderr);
	(void)fflush(stderr);
	progress->drawn = false;
}
