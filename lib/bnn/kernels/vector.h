/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/vector.h: the vectors portable.c is written in: gcc's, as wide as the instruction set has
 * them, and the four things the compiler does not find by itself: fused multiply-add, a mask of a comparison, bytes
 * of bit counts, and their sum. Nothing here rounds otherwise than the scalar operation does.
 */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64 };
#define SIMD_SUFFIX_BYTES 64
#elif defined(__AVX2__)
enum { VECTOR_BYTES = 32 };
#define SIMD_SUFFIX_BYTES 32
#else
enum { VECTOR_BYTES = 16 };
#define SIMD_SUFFIX_BYTES 16
#endif
enum { LANES = VECTOR_BYTES / 4, WORD_LANES = VECTOR_BYTES / 8 };

typedef float vfloat __attribute__((vector_size(SIMD_SUFFIX_BYTES)));
typedef int32_t vint __attribute__((vector_size(SIMD_SUFFIX_BYTES)));
typedef uint64_t vword __attribute__((vector_size(SIMD_SUFFIX_BYTES)));
typedef uint8_t vbyte __attribute__((vector_size(SIMD_SUFFIX_BYTES)));
/* The same in memory, at any element's address. */
typedef float vfloat_memory __attribute__((vector_size(SIMD_SUFFIX_BYTES), aligned(4), may_alias));
typedef int32_t vint_memory __attribute__((vector_size(SIMD_SUFFIX_BYTES), aligned(4), may_alias));
typedef uint64_t vword_memory __attribute__((vector_size(SIMD_SUFFIX_BYTES), aligned(8), may_alias));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE vfloat load_floats(const float *p)
{
	return *(const vfloat_memory *)p;
}

ALWAYS_INLINE void store_floats(float *p, vfloat v)
{
	*(vfloat_memory *)p = v;
}

/* n <= LANES of them; the other lanes are 0, and nothing behind them is touched. */
ALWAYS_INLINE vfloat load_some(const float *p, uint32_t n)
{
	if (n >= (uint32_t)LANES)
		return load_floats(p);
	vfloat v = {0};
	memcpy(&v, p, n * sizeof *p);
	return v;
}

ALWAYS_INLINE void store_some(float *p, vfloat v, uint32_t n)
{
	if (n >= (uint32_t)LANES)
		store_floats(p, v);
	else
		memcpy(p, &v, n * sizeof *p);
}

ALWAYS_INLINE vfloat splat(float v)
{
	return v - (vfloat){0}; /* gcc broadcasts the scalar; v - 0 is v, -0.0 and NaN included */
}

ALWAYS_INLINE vfloat select_floats(vint mask, vfloat yes, vfloat no)
{
	return (vfloat)((mask & (vint)yes) | (~mask & (vint)no));
}

ALWAYS_INLINE vint select_ints(vint mask, vint yes, vint no)
{
	return (mask & yes) | (~mask & no);
}

#if defined(__x86_64__) && !defined(__FMA__)
typedef double vdouble __attribute__((vector_size(16)));
typedef int64_t vlong __attribute__((vector_size(16)));

/* Without the instruction, fmaf() is a call that many such CPUs answer in software. The product of two floats is exact
 * as a double; the sum is rounded to odd (an inexact result whose last bit is 0 moves to its neighbour on the side of the
 * error, which two-sum gives exactly), so that the rounding to float that follows goes where a single one would
 * (Boldo, Melquiond 2008). Infinities and NaN have no error that compares, and stay. */
ALWAYS_INLINE __m128 fused_pair(__m128 a, __m128 b, __m128 c)
{
	vdouble product = (vdouble)_mm_cvtps_pd(a) * (vdouble)_mm_cvtps_pd(b), addend = (vdouble)_mm_cvtps_pd(c);
	vdouble sum = product + addend, from_addend = sum - product;
	vdouble error = (product - (sum - from_addend)) + (addend - from_addend), zero = {0};
	vlong up = error > zero, inexact = up | (error < zero), even = ((vlong)sum & 1) - 1;
	vlong step = (up ^ (sum > zero)) | 1; /* +1 away from zero, -1 towards it */
	sum = (vdouble)((vlong)sum + (step & inexact & even));
	return _mm_cvtpd_ps((__m128d)sum);
}
#endif

/* One rounding. */
ALWAYS_INLINE vfloat fused(vfloat a, vfloat b, vfloat c)
{
#if defined(__AVX512F__)
	return (vfloat)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__) && defined(__AVX2__)
	return (vfloat)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
	return (vfloat)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(__x86_64__)
	__m128 x = (__m128)a, y = (__m128)b, z = (__m128)c;
	__m128 high = fused_pair(_mm_movehl_ps(x, x), _mm_movehl_ps(y, y), _mm_movehl_ps(z, z));
	return (vfloat)_mm_movelh_ps(fused_pair(x, y, z), high);
#else
	for (int i = 0; i < LANES; i++)
		c[i] = fmaf(a[i], b[i], c[i]);
	return c;
#endif
}

/* Bit i of the result: lane i of a comparison's result, which is 0 or -1. */
ALWAYS_INLINE uint32_t mask_bits(vint mask)
{
#if defined(__AVX512F__)
	return _mm512_movepi32_mask((__m512i)mask);
#elif defined(__AVX2__)
	return (uint32_t)_mm256_movemask_ps((__m256)mask);
#elif defined(__x86_64__)
	return (uint32_t)_mm_movemask_ps((__m128)mask);
#elif defined(__aarch64__)
	const uint32x4_t weight = {1, 2, 4, 8};
	return vaddvq_u32(vandq_u32((uint32x4_t)mask, weight));
#else
	uint32_t bits = 0;
	for (int i = 0; i < LANES; i++)
		bits |= (uint32_t)(mask[i] & 1) << i;
	return bits;
#endif
}

/* Bit counts, to be added up at most COUNTS_MAX times before words_of_counts() makes a sum a 64-bit lane of them. */
#if defined(__AVX512VPOPCNTDQ__)
enum { COUNTS_MAX = 1 << 24 };
#else
enum { COUNTS_MAX = 31 }; /* bytes of at most 8 */
#endif

ALWAYS_INLINE vword count_bits(vword v)
{
#if defined(__AVX512VPOPCNTDQ__)
	return (vword)_mm512_popcnt_epi64((__m512i)v);
#elif defined(__AVX2__)
	const __m256i table = _mm256_setr_epi8(
		0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
	const __m256i low = _mm256_set1_epi8(15);
	__m256i a = _mm256_shuffle_epi8(table, _mm256_and_si256((__m256i)v, low));
	__m256i b = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16((__m256i)v, 4), low));
	return (vword)_mm256_add_epi8(a, b);
#elif defined(__aarch64__)
	return (vword)vcntq_u8((uint8x16_t)v);
#else
	v = v - (v >> 1 & 0x5555555555555555u);
	v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
	return (v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
#endif
}

ALWAYS_INLINE vword add_counts(vword a, vword b)
{
#if defined(__AVX512VPOPCNTDQ__)
	return a + b;
#else
	return (vword)((vbyte)a + (vbyte)b);
#endif
}

ALWAYS_INLINE vword words_of_counts(vword counts)
{
#if defined(__AVX512VPOPCNTDQ__)
	return counts;
#elif defined(__AVX2__)
	return (vword)_mm256_sad_epu8((__m256i)counts, _mm256_setzero_si256());
#elif defined(__x86_64__)
	return (vword)_mm_sad_epu8((__m128i)counts, _mm_setzero_si128());
#elif defined(__aarch64__)
	return (vword)vpaddlq_u32(vpaddlq_u16(vpaddlq_u8((uint8x16_t)counts)));
#else
	vword pairs = (counts & 0x00FF00FF00FF00FFu) + (counts >> 8 & 0x00FF00FF00FF00FFu);
	return pairs * 0x0001000100010001u >> 48;
#endif
}
