/* SPDX-License-Identifier: MIT */
/* lib/base/memory.c: see memory.h. */
#include "lib/base/memory.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/require.h"

void *mem_zalloc(size_t n, size_t bytes)
{
	void *p = calloc(n ? n : 1, bytes ? bytes : 1);
	REQUIRE(p);
	return p;
}

void *mem_realloc(void *p, size_t n, size_t bytes)
{
	size_t total;
	REQUIRE(size_mul(n, bytes, &total));
	void *q = realloc(p, total ? total : 1);
	REQUIRE(q);
	return q;
}

void *mem_grow(void *list, size_t n, size_t bytes)
{
	size_t room;
	if ((n & (n - 1)) != 0)
		return list;
	REQUIRE(size_mul(n, 2, &room));
	return mem_realloc(list, n ? room : 1, bytes);
}

void *mem_dup(const void *p, size_t bytes)
{
	void *q = malloc(bytes ? bytes : 1);
	REQUIRE(q);
	if (bytes)
		memcpy(q, p, bytes);
	return q;
}

char *mem_strdup(const char *s)
{
	return mem_dup(s, strlen(s) + 1);
}

void *mem_try_aligned(size_t bytes)
{
	size_t total;
	if (!size_add(bytes ? bytes : 1, MEM_ALIGN_BYTES - 1, &total))
		return NULL;
	total &= ~(size_t)(MEM_ALIGN_BYTES - 1);
	void *p = aligned_alloc(MEM_ALIGN_BYTES, total);
	if (p)
		memset(p, 0, total);
	return p;
}

void *mem_aligned(size_t bytes)
{
	void *p = mem_try_aligned(bytes);
	REQUIRE(p);
	return p;
}
