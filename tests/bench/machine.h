/* SPDX-License-Identifier: MIT */
/* tests/bench/machine.h: a figure says where and when it was measured. */
#pragma once

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

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
