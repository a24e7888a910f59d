/* SPDX-License-Identifier: MIT */
/* daemon/wire/scratch.h: small memory for the pointers of a reply; everything of it is freed at once. */
#pragma once

#include <stddef.h>

struct scratch {
	struct scratch_piece *pieces;
};
#define SCRATCH_INIT                                                                                                   \
	{                                                                                                              \
		0                                                                                                      \
	}
void *scratch_alloc(struct scratch *scratch, size_t n, size_t bytes); /* zeroed */
char *scratch_text(struct scratch *scratch, const char *text);
void scratch_free(struct scratch *scratch);
