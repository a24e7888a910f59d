/* SPDX-License-Identifier: MIT */
/* daemon/wire/scratch.c: see scratch.h. */
#include "daemon/wire/scratch.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"

struct scratch_piece {
	struct scratch_piece *next;
	_Alignas(16) uint8_t bytes[];
};

void *scratch_alloc(struct scratch *scratch, size_t n, size_t bytes)
{
	size_t total = 0;
	if (!size_mul(n, bytes, &total))
		abort();
	struct scratch_piece *piece = mem_zalloc(1, sizeof *piece + total);
	piece->next = scratch->pieces;
	scratch->pieces = piece;
	return piece->bytes;
}

char *scratch_text(struct scratch *scratch, const char *text)
{
	size_t n = strlen(text) + 1;
	return memcpy(scratch_alloc(scratch, 1, n), text, n);
}

void scratch_free(struct scratch *scratch)
{
	while (scratch->pieces) {
		struct scratch_piece *piece = scratch->pieces;
		scratch->pieces = piece->next;
		free(piece);
	}
}
