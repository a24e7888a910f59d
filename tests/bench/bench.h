/* SPDX-License-Identifier: MIT */
/* tests/bench/bench.h: what benches share: where and when a figure was measured, the processor's time, an end. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/err.h"

/* Two lines; `how` is what else belongs to the figures: threads, what is printed of several rounds. */
static inline void print_machine(const char *how)
{
	struct utsname u;
	char line[256], cpu[128] = "unknown CPU", date[64] = "";
	time_t now = time(NULL);
	FILE *f = fopen("/proc/cpuinfo", "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "model name : %127[^\n]", cpu) == 1)
			break;
	if (f)
		fclose(f);
	uname(&u);
	strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", gmtime(&now));
	printf("machine   %s, %s, %ld processors, %s %s\n", cpu, u.machine, sysconf(_SC_NPROCESSORS_ONLN), u.sysname,
		u.release);
	printf("date      %s; %s\n", date, how);
}

/* Of all threads: a busy machine counts little. */
static inline double cpu_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* 0, or the program ends with the sentence. */
static inline void must(int r, const struct err *err)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, err->text);
	exit(EXIT_FAILURE);
}
