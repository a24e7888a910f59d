/* SPDX-License-Identifier: MIT */
/* lib/base/require.h: broken invariants abort; systemd restarts; the store recovers. Kept in release builds. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition)                                                                                             \
	do {                                                                                                           \
		if (__builtin_expect(!(condition), 0)) {                                                               \
			fprintf(stderr, "broken invariant at %s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                                       \
		}                                                                                                      \
	} while (0)
