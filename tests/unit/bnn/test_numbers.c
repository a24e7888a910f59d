/* SPDX-License-Identifier: MIT */
/* What the numbers are: small cases worked out by hand, for every set of kernels, the reference among them. The
 * comparison of the sets with one another is test_kernels.c; that the reference is right is said here (and by the
 * vectors that a numpy evaluator made).
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/random.h"
#include "lib/bnn/constants.h"
#include "lib/bnn/kernels/choose.h"

#define EACH_SET(k) for (const struct kernels *const *k = kernels_usable(); *k; k++)

static void assert_bits(float got, float want, const char *kernels, const char *what)
{
	if (memcmp(&got, &want, sizeof got) != 0)
		fail_msg("%s, %s: %a, not %a", kernels, what, (double)got, (double)want);
}

/* Each rule at x below, at and above t, at both zeros, at NaN: bit 1 is -1. */
static void test_sign_rules(void **state)
{
	(void)state;
	static const struct {
		float x, t;
		int less, greater, less_equal;
	} cases[] = {{-1, 0.5f, 1, 0, 1}, {0.5f, 0.5f, 0, 0, 1}, {1, 0.5f, 0, 1, 0}, {-0.0f, 0, 0, 0, 1},
		{0, -0.0f, 0, 0, 1}, {NAN, 0, 0, 0, 0}, {-NAN, 0, 0, 0, 0}, {INFINITY, FLT_MAX, 0, 1, 0},
		{-INFINITY, -FLT_MAX, 1, 0, 1}, {-FLT_TRUE_MIN, 0, 1, 0, 1}, {FLT_TRUE_MIN, 0, 0, 1, 0}};
	enum { N = sizeof cases / sizeof *cases };
	float x[N], t[KERNEL_PAD] = {0};
	uint64_t all = ((uint64_t)1 << N) - 1, none = 0, bits;
	for (int i = 0; i < N; i++) {
		x[i] = cases[i].x;
		t[i] = cases[i].t;
	}
	EACH_SET(k)
	{
		for (int rule = 0; rule < 3; rule++) {
			struct kernel_sign s = {
				N, t, rule == 0 ? &all : &none, rule == 1 ? &all : &none, rule == 2 ? &all : &none};
			(*k)->sign(&s, 1, x, &bits);
			for (int i = 0; i < N; i++) {
				int want = rule == 0   ? cases[i].less
					   : rule == 1 ? cases[i].greater
						       : cases[i].less_equal;
				if ((int)(bits >> i & 1) != want)
					fail_msg("%s, rule %d, x %g, t %g", (*k)->name, rule + 1, (double)x[i],
						(double)t[i]);
			}
			assert_true(bits >> N == 0);
		}
	}
}

/* One pixel under a 3 x 3 kernel of two channels: 16 of the 18 taps are padding. Weights: all +1, but channel 0 of all
 * taps -1. The pixel is (+1, -1): the middle tap has both channels differing. */
static void test_padding(void **state)
{
	(void)state;
	uint8_t file[9 * 4]; /* the weights */
	for (int tap = 0; tap < 9; tap++)
		memcpy(file + 4 * tap, &(uint32_t){1}, 4);
	/* padding +1: 8 taps differ in channel 0; -1: 8 in channel 1; 0: half of 16 bits. Always 2 in the middle. */
	static const float want_twice[] = {20, 20, 20};
	uint64_t x = 2, packed[9 * 64] = {0};
	float m[KERNEL_PAD] = {-0.5f}, b[KERNEL_PAD] = {100}, y, values[] = {-1, 0, 1};
	uint32_t pixel = 0;
	uint16_t class = 0;
	int32_t border[KERNEL_PAD] = {8 * (2 - 2 * 1)}; /* 8 taps outside, one weight of -1 in each */
	EACH_SET(k)
	{
		for (int i = 0; i < 3; i++) {
			struct kernel_binary_conv c = {.win = {1, 1, 2, 1, 1, 1, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
				.pad_value = (int)values[i],
				.lo = 0,
				.hi = 36,
				.w = packed,
				.m = m,
				.b = b,
				.row_class = &class,
				.column_class = &class,
				.n_column_classes = 1,
				.border = values[i] == 0 ? border : NULL,
				.pixel = &pixel};
			size_t n_words;
			memset(packed, 0, sizeof packed);
			assert_true(
				(*k)->binary_weights_size(&c, &n_words) && n_words <= sizeof packed / sizeof *packed);
			(*k)->pack_binary_weights(&c, file, packed);
			void *scratch = calloc(1, (*k)->binary_scratch(&c) + 1);
			(*k)->binary_conv2d(&c, &x, NULL, &y, NULL, scratch);
			assert_bits(y, 100 - 0.5f * want_twice[i], (*k)->name, "padding");
			c.hi = 7; /* the clamp is of 2a */
			(*k)->binary_conv2d(&c, &x, NULL, &y, NULL, scratch);
			assert_bits(y, 96.5f, (*k)->name, "clamp");
			free(scratch);
		}
	}
}

/* The product is not rounded before it is added: (1 + e)^2 - (1 + 2e) = e^2. */
static void test_fused(void **state)
{
	(void)state;
	float e = 0x1p-12f, x[1] = {1 + e}, y, bias[KERNEL_PAD] = {-(1 + 2 * e)}, w[64] = {1 + e};
	EACH_SET(k)
	{
		struct kernel_conv c = {.win = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
			.groups = 1,
			.multiplier = 1,
			.w = w,
			.bias = bias};
		(*k)->conv2d(&c, x, &y);
		assert_bits(y, e * e, (*k)->name, "conv2d");
		(*k)->depthwise(&c, x, &y);
		assert_bits(y, e * e, (*k)->name, "depthwise");
		c.has_clamp = true;
		c.hi = FLT_MAX;
		c.lo = 0.25f;
		(*k)->conv2d(&c, x, &y);
		assert_bits(y, 0.25f, (*k)->name, "conv2d and clamp");
	}
}

/* Any bits at all; and in every other round sums that lie beside a tie of floats by less than a double can show, where
 * rounding twice goes wrong: (1 + a)(1 - a) half a last place, to an odd number. Against the C library's fmaf, which is
 * exact by definition. */
static void test_fused_any_floats(void **state)
{
	(void)state;
	enum { N = 64, ROUNDS = 4000 };
	uint64_t seed = 3;
	size_t twice_is_wrong = 0;
	float w[N], bias[N], x, y[N];
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t bits = (uint32_t)splitmix64_next(&seed);
		float a = (float)(bits % 200 + 1) * 0x1p-23f;
		bool tie = round % 2;
		memcpy(&x, &bits, sizeof x);
		if (tie)
			x = 1 + a;
		for (int i = 0; i < N; i++) {
			uint64_t r = splitmix64_next(&seed);
			memcpy(&w[i], &r, sizeof w[i]);
			memcpy(&bias[i], (uint8_t *)&r + 4, sizeof bias[i]);
			if (tie) {
				int exponent = (int)(r & 63) - 32;
				w[i] = ldexpf(r & 64 ? 1 - a : a - 1, exponent - 24);
				bias[i] = ldexpf((float)(0x800000 | (r >> 40 & 0x7FFFFF) | 1), exponent - 23);
				bias[i] = r & 128 ? bias[i] : -bias[i];
				twice_is_wrong +=
					(float)((double)x * (double)w[i] + (double)bias[i]) != fmaf(x, w[i], bias[i]);
			}
		}
		EACH_SET(k)
		{
			struct kernel_conv c = {.win = {1, 1, N, 1, 1, N, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
				.groups = 1,
				.multiplier = 1,
				.w = w,
				.bias = bias};
			float inputs[N];
			for (int i = 0; i < N; i++)
				inputs[i] = x;
			(*k)->depthwise(&c, inputs, y);
			for (int i = 0; i < N; i++) {
				float want = fmaf(x, w[i], bias[i]);
				if (isnan(want) ? !isnan(y[i]) : memcmp(&want, &y[i], sizeof want) != 0)
					fail_msg("%s: %a * %a + %a is %a, not %a", (*k)->name, (double)x, (double)w[i],
						(double)bias[i], (double)want, (double)y[i]);
			}
		}
	}
	assert_true(twice_is_wrong > (size_t)ROUNDS * N / 4);
}

/* Eight partial sums and their tree: with these values every other order gives another number. */
static const float terms[11] = {0x1p24f, 1, 0x1.8p-3f, -0x1p24f, 3, 0x1p-20f, 1, 0x1.000002p3f, 1, 0x1p23f, -0x1.8p23f};

/* Of the terms, or of the squares of what they differ from `from`. */
static float terms_total(bool squares, float from)
{
	float s[8] = {0};
	for (int i = 0; i < 11; i++) {
		float v = terms[i] - from;
		s[i % 8] += squares ? v * v : v;
	}
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static void test_sums(void **state)
{
	(void)state;
	float y, total = terms_total(false, 0), in_order = 0;
	for (int i = 0; i < 11; i++)
		in_order += terms[i];
	assert_true(total != in_order);
	EACH_SET(k)
	{
		(*k)->mean(11, 1, terms, &y);
		assert_bits(y, total / 11.0f, (*k)->name, "mean");
		struct kernel_pool p = {.win = {1, 11, 1, 1, 1, 1, 1, 13, 1, 1, 1, 1, 0, 1, 0, 1}};
		(*k)->avg_pool(&p, terms, &y);
		assert_bits(y, total / 11.0f, (*k)->name, "avg_pool");
		p.count_padding = true;
		(*k)->avg_pool(&p, terms, &y);
		assert_bits(y, total / 13.0f, (*k)->name, "avg_pool with padding counted");
		float unit[11], length = sqrtf(terms_total(true, 0));
		(*k)->l2(1, 11, terms, unit);
		for (int i = 0; i < 11; i++)
			assert_bits(unit[i], terms[i] / length, (*k)->name, "l2");
		float from = 0x1.8p-20f;
		(*k)->deviation(11, 1, terms, &from, &y);
		assert_bits(y, sqrtf(terms_total(true, from) / 11.0f), (*k)->name, "deviation");
	}
}

/* A channel a column. 4097 and 4095 lie 1 from their mean; the mean of their squares less the square of their mean is 0
 * in floats. */
static void test_deviation(void **state)
{
	(void)state;
	enum { N = 7, NOT_A_NUMBER = 5 };
	const float far = 0x1p100f, zero[N] = {0};
	const float x[2 * N] = {4097, 5, -0.0f, 0.1f, FLT_TRUE_MIN, INFINITY, far, /* the first pixel */
		4095, 5, -0.0f, 0.1f, -FLT_TRUE_MIN, 1, -far};
	const float want[N] = {1, 0, 0, 0, 0, 0, INFINITY};
	EACH_SET(k)
	{
		float m[N], y[N];
		(*k)->mean(2, N, x, m);
		(*k)->deviation(2, N, x, m, y);
		for (int c = 0; c < N; c++)
			if (c != NOT_A_NUMBER)
				assert_bits(y[c], want[c], (*k)->name, "deviation");
		assert_true(isnan(y[NOT_A_NUMBER])); /* infinity from itself */
		(*k)->mean(2, 1, (const float[]){x[0] * x[0], x[N] * x[N]}, y);
		assert_bits(y[0] - m[0] * m[0], 0, (*k)->name, "mean square less squared mean");
		(*k)->deviation(1, N, x, zero, y);
		assert_bits(y[0], 4097, (*k)->name, "deviation of one pixel from 0");
	}
}

/* What doc/NUMBERS.md says: operations that were there before give the same bits. */
static void test_deviation_of_other_operations(void **state)
{
	(void)state;
	enum { PIXELS = 19, CHANNELS = 67, N = PIXELS * CHANNELS };
	uint64_t seed = 5;
	static float x[N], d[N], square[N], m[CHANNELS], y[CHANNELS], v[CHANNELS], root[CHANNELS];
	for (int i = 0; i < N; i++)
		x[i] = (float)(int32_t)(uint32_t)splitmix64_next(&seed) * 0x1p-28f + (float)(i % CHANNELS - 30);
	EACH_SET(k)
	{
		(*k)->mean(PIXELS, CHANNELS, x, m);
		(*k)->deviation(PIXELS, CHANNELS, x, m, y);
		(*k)->arithmetic(KERNEL_SUB, PIXELS, CHANNELS, true, x, m, d);
		(*k)->arithmetic(KERNEL_MUL, PIXELS, CHANNELS, false, d, d, square);
		(*k)->mean(PIXELS, CHANNELS, square, v);
		(*k)->sqrt(CHANNELS, v, root);
		assert_memory_equal(y, root, sizeof y);
		assert_true(y[0] > 4 && m[0] < -4 && m[CHANNELS - 1] > 4);
	}
}

/* The square is rounded before it is added: of (1 + e)^2 = 1 + 2e + e^2 the last is lost, and so is the e^2 that its sum
 * holds; fused, they would be 2^-23 together. */
static void test_deviation_is_not_fused(void **state)
{
	(void)state;
	const float e = 0x1p-12f, fused = 0.5f + e + 0x1p-24f;
	float x[16], y, zero = 0;
	for (int i = 0; i < 16; i++)
		x[i] = i < 8 ? e : 1 + e;
	assert_true(sqrtf(fused) != sqrtf(0.5f + e));
	EACH_SET(k)
	{
		(*k)->deviation(16, 1, x, &zero, &y);
		assert_bits(y, sqrtf(0.5f + e), (*k)->name, "deviation");
	}
}

static void test_edges(void **state)
{
	(void)state;
	static const float x[] = {-0.0f, 0, -4, 4, -FLT_TRUE_MIN, 2};
	enum { N = sizeof x / sizeof *x };
	static const float root[N] = {0, 0, 0, 2, 0, 0x1.6a09e6p0f},
			   clamped[N] = {-0.0f, 0, -1, 1.5f, -FLT_TRUE_MIN, 1.5f}, prelu[N] = {-0.0f, 0, 2, 4, 0, 2},
			   shifted[N] = {11, 11, 11.5f, 15, 11, 13}, zeros[N] = {0};
	float slope[KERNEL_PAD], before[KERNEL_PAD], after[KERNEL_PAD], y[N];
	for (int i = 0; i < KERNEL_PAD; i++) {
		slope[i] = -0.5f;
		before[i] = 1;
		after[i] = 10;
	}
	EACH_SET(k)
	{
		(*k)->sqrt(N, x, y);
		for (int i = 0; i < N; i++)
			assert_bits(y[i], root[i], (*k)->name, "sqrt");
		(*k)->clamp(N, -1, 1.5f, x, y);
		for (int i = 0; i < N; i++)
			assert_bits(y[i], clamped[i], (*k)->name, "clamp");
		(*k)->prelu(1, N, slope, NULL, NULL, x, y);
		for (int i = 0; i < N; i++) /* half of the least subnormal is a tie: to even, which is 0 */
			assert_bits(y[i], prelu[i], (*k)->name, "prelu");
		(*k)->prelu(1, N, slope, before, after, x, y);
		for (int i = 0; i < N; i++)
			assert_bits(y[i], shifted[i], (*k)->name, "prelu with shifts");
		(*k)->l2(1, N, zeros, y);
		for (int i = 0; i < N; i++)
			assert_bits(y[i], 0, (*k)->name, "l2 of zeros");
		(*k)->arithmetic(KERNEL_SUB, 2, 3, true, x, (const float[]){1, 2, 3}, y);
		assert_bits(y[2], -7, (*k)->name, "sub");
		assert_bits(y[5], -1, (*k)->name, "sub");
	}
}

/* Every half there is, against the definition by powers of two. */
static void test_halves(void **state)
{
	(void)state;
	for (uint32_t h = 0; h < 65536; h++) {
		uint32_t exponent = h >> 10 & 31;
		uint8_t bytes[2] = {(uint8_t)h, (uint8_t)(h >> 8)};
		struct tensor t = {.dtype = DTYPE_F16, .n_elements = 1, .data = bytes, .length = 2};
		if (exponent == 31)
			continue;
		double want = exponent ? ldexp(1024 + (h & 1023), (int)exponent - 25) : ldexp(h & 1023, -24);
		float got;
		tensor_floats(&t, &got);
		assert_bits(got, (float)(h >> 15 ? -want : want), "pack", "half");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sign_rules),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_fused),
		cmocka_unit_test(test_fused_any_floats),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_deviation),
		cmocka_unit_test(test_deviation_is_not_fused),
		cmocka_unit_test(test_deviation_of_other_operations),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_halves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
