/* SPDX-License-Identifier: MIT */
/* lib/base/memory.h: checked sizes and memory that is either there or aborts.
 *
 * mem_* abort when the machine has no memory: sizes are bounded by named limits before they come here, and a daemon
 * that cannot get a few KiB is better restarted. mem_try_* return NULL: for sizes that a file or a peer decides. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { MEM_ALIGN_BYTES = 64 };

/* *ret = a * b (a + b); false when it does not fit, *ret is then untouched. */
static inline bool size_mul(size_t a, size_t b, size_t *ret)
{
	size_t v;
	if (__builtin_mul_overflow(a, b, &v))
		return false;
	*ret = v;
	return true;
}
static inline bool size_add(size_t a, size_t b, size_t *ret)
{
	size_t v;
	if (__builtin_add_overflow(a, b, &v))
		return false;
	*ret = v;
	return true;
}

/* Zeroed; free with free(). n * bytes is checked. */
void *mem_zalloc(size_t n, size_t bytes);
void *mem_realloc(void *p, size_t n, size_t bytes);
/* A list of n elements that grows one by one, with room for another: it doubles whenever n is a power of two. */
void *mem_grow(void *list, size_t n, size_t bytes);
void *mem_dup(const void *p, size_t bytes);
char *mem_strdup(const char *s);

/* Aligned to MEM_ALIGN_BYTES, zeroed, size rounded up; free with free(). */
void *mem_aligned(size_t bytes);
void *mem_try_aligned(size_t bytes);
