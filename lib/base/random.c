/* SPDX-License-Identifier: MIT */
/* lib/base/random.c: see random.h. */
#include "lib/base/random.h"

void random_shuffle(uint64_t seq, uint64_t epoch, size_t n, uint32_t *ret_order)
{
	uint64_t state = seq << 16 ^ epoch;
	for (size_t i = 0; i < n; i++)
		ret_order[i] = (uint32_t)i;
	for (size_t i = n; i-- > 1;) {
		size_t j = splitmix64_below(&state, (uint32_t)(i + 1));
		uint32_t t = ret_order[i];
		ret_order[i] = ret_order[j];
		ret_order[j] = t;
	}
}
