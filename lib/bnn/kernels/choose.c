/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/choose.c: which sets of kernels this build and this CPU have, best first. */
#include "lib/bnn/kernels/sets.h"

#include <stdio.h>
#include <string.h>

enum { SETS_MAX = 8 };

/* Filled before main: read-only afterwards. */
static const struct kernels *usable[SETS_MAX];

__attribute__((constructor)) static void find_usable(void)
{
	size_t n = 0;
#if defined(__x86_64__)
	__builtin_cpu_init();
	bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt");
	if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vpopcntdq"))
		usable[n++] = &kernels_portable_avx512;
	if (avx2)
		usable[n++] = &kernels_portable_avx2;
#endif
	usable[n++] = &kernels_portable;
	usable[n++] = &kernels_ref;
}

const struct kernels *const *kernels_usable(void)
{
	return usable;
}

const struct kernels *kernels_choose(const char *forced, char *ret_names, size_t names_bytes)
{
	if (!forced || !*forced)
		return usable[0];
	size_t at = 0;
	for (size_t i = 0; usable[i]; i++) {
		if (!strcmp(forced, usable[i]->name))
			return usable[i];
		int n = snprintf(ret_names + at, names_bytes - at, "%s%s", at ? ", " : "", usable[i]->name);
		if (n > 0 && (size_t)n < names_bytes - at)
			at += (size_t)n;
	}
	return NULL;
}
