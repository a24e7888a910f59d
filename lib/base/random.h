/* SPDX-License-Identifier: MIT */
/* lib/base/random.h: seeded random numbers, the same on every machine. Nothing here is for secrets. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* splitmix64 (Steele, Lea, Flood 2014): adds the odd constant, then mixes. */
static inline uint64_t splitmix64_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15u);
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

/* Uniform in [0, n): the high 64 bits of the 96-bit product, without a 128-bit type (32-bit boards have none). */
static inline uint32_t splitmix64_below(uint64_t *state, uint32_t n)
{
	uint64_t z = splitmix64_next(state);
	return (uint32_t)(((z >> 32) * n + ((z & 0xFFFFFFFFu) * n >> 32)) >> 32);
}

/* ret_order = a permutation of 0..n-1: Fisher-Yates from the end, seeded with (seq << 16) ^ epoch. */
void random_shuffle(uint64_t seq, uint64_t epoch, size_t n, uint32_t *ret_order);
