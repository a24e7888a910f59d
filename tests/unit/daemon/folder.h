/* SPDX-License-Identifier: MIT */
/* tests/unit/daemon/folder.h: what a test's folder ends with. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

/* Of a folder that mkdtemp named. 0, or -1 as a teardown has it. */
static inline int remove_folder(const char *dir)
{
	char command[80];
	snprintf(command, sizeof command, "rm -r '%s'", dir);
	return system(command) == 0 ? 0 : -1;
}
