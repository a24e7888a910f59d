/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/choose.c: which sets of kernels this build and this CPU have, best first. */
#include "lib/bnn/kernels/choose.h"

#include <stdio.h>
#include <string.h>

#include "lib/bnn/kernels/sets.h"

enum { PARTS_MAX = 4 };

static bool always(void)
{
	return true;
}

#if defined(__x86_64__)
static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt");
}

static bool has_avx512(void)
{
	return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512vpopcntdq");
}
#endif

/* Best first. */
static const struct recipe {
	const char *name;
	bool (*runs_here)(void);
	kernels_part *parts[PARTS_MAX]; /* in this order, NULL ends them */
} recipes[] = {
#if defined(__x86_64__)
	{"portable-avx512", has_avx512, {kernels_portable_avx512_floats, kernels_portable_avx512_binary}},
	{"portable-avx2", has_avx2, {kernels_portable_avx2_floats, kernels_portable_avx2_binary}},
#endif
	{"portable", always, {kernels_portable_floats, kernels_portable_binary}},
	{"ref", always, {kernels_ref}},
};
enum { N_RECIPES = sizeof recipes / sizeof *recipes };

/* Filled before main: read-only afterwards. */
static struct kernels sets[N_RECIPES];
static const struct kernels *usable[N_RECIPES + 1];

__attribute__((constructor)) static void put_together(void)
{
	size_t n = 0;
#if defined(__x86_64__)
	__builtin_cpu_init();
#endif
	for (size_t i = 0; i < N_RECIPES; i++) {
		if (!recipes[i].runs_here())
			continue;
		sets[n].name = recipes[i].name;
		for (size_t k = 0; k < PARTS_MAX && recipes[i].parts[k]; k++)
			recipes[i].parts[k](&sets[n]);
		usable[n] = &sets[n];
		n++;
	}
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
