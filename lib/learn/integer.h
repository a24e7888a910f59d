/* SPDX-License-Identifier: MIT */
/* lib/learn/integer.h: rounding shifts and divisions of signed integers, half to even, defined for every argument.
 *
 * Right shifts of negative numbers are arithmetic with every compiler this builds with; left shifts are written as
 * products, since shifting a negative number left is undefined.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline int64_t clamp_i64(int64_t x, int64_t limit)
{
	return x > limit ? limit : x < -limit ? -limit : x;
}

/* x / 2^s rounded half to even; s >= 1. */
static inline int64_t shift_right_even(int64_t x, int s)
{
	if (s >= 64)
		return 0; /* |x| 2^-s <= 1/2, and a half goes to 0 */
	int64_t q = x >> s;
	uint64_t r = (uint64_t)x & ((UINT64_C(1) << s) - 1), half = UINT64_C(1) << (s - 1);
	return q + (r > half || (r == half && (q & 1)));
}

/* The specification's rshift, a negative count shifts left, saturated to +-limit (limit < 2^62). */
static inline int64_t rshift_saturate(int64_t x, int s, int64_t limit)
{
	if (s > 0)
		return clamp_i64(shift_right_even(x, s), limit);
	if (x == 0)
		return 0;
	if (-s >= 62 || x > limit >> -s || x < -(limit >> -s))
		return x > 0 ? limit : -limit;
	return x * (INT64_C(1) << -s);
}

/* a / b rounded half to even; b > 0, |a| < 2^62. */
static inline int64_t divide_even(int64_t a, int64_t b)
{
	int64_t q = a / b, r = a % b;
	if (r < 0) {
		r += b;
		q--;
	}
	return q + (2 * r > b || (2 * r == b && (q & 1)));
}

/* F = clamp(rshift(m, q_b - 8), +-127): what a master of `bits` bits answers with. */
static inline int8_t learn_forward(int32_t m, int bits)
{
	return (int8_t)clamp_i64(bits > 8 ? shift_right_even(m, bits - 8) : m, 127);
}

/* Exact: at most 8192 products of at most 2^14. Plain C that compilers vectorise; four sums, since each waits for the
 * addition before it. */
static inline int32_t dot_i8(const int8_t *a, const int8_t *b, size_t n)
{
	const size_t part = n / 4;
	const int8_t *a1 = a + part, *a2 = a1 + part, *a3 = a2 + part, *b1 = b + part, *b2 = b1 + part, *b3 = b2 + part;
	int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
	for (size_t i = 0; i < part; i++) {
		s0 += (int16_t)(a[i] * b[i]);
		s1 += (int16_t)(a1[i] * b1[i]);
		s2 += (int16_t)(a2[i] * b2[i]);
		s3 += (int16_t)(a3[i] * b3[i]);
	}
	for (size_t i = 4 * part; i < n; i++)
		s0 += (int16_t)(a[i] * b[i]);
	return (s0 + s1) + (s2 + s3);
}
