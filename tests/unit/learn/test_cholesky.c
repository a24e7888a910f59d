/* SPDX-License-Identifier: MIT */
/* lib/learn/cholesky.c against its definition, written out one element at a time, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/learn/cholesky.h"

enum { WIDTH_MAX = 45, LANES = CHOLESKY_LANES };

struct plain {
	double l[WIDTH_MAX][WIDTH_MAX], inverse[WIDTH_MAX];
};

static void plain_factor(size_t width, const int64_t *w, double keep, double shift, struct plain *ret)
{
	for (size_t i = 0; i < width; w += ++i)
		for (size_t j = 0; j <= i; j++) {
			double x = keep * (double)w[j];
			if (j == i)
				x = x + shift;
			for (size_t k = 0; k < j; k++)
				x = x - ret->l[i][k] * ret->l[j][k];
			if (j < i)
				ret->l[i][j] = x * ret->inverse[j];
			else
				ret->inverse[i] = 1 / sqrt(x);
		}
}

static void plain_forward(size_t width, const struct plain *f, double *x)
{
	for (size_t i = 0; i < width; i++) {
		for (size_t k = 0; k < i; k++)
			x[i] = x[i] - f->l[i][k] * x[k];
		x[i] = x[i] * f->inverse[i];
	}
}

static void plain_backward(size_t width, const struct plain *f, double *x)
{
	for (size_t i = width; i-- > 0;) {
		for (size_t k = width - 1; k > i; k--)
			x[i] = x[i] - f->l[k][i] * x[k];
		x[i] = x[i] * f->inverse[i];
	}
}

/* W = sum q q' of random q: positive with a shift. */
static void draw_matrix(uint64_t *seed, size_t width, int64_t *ret_w)
{
	int64_t q[WIDTH_MAX];
	memset(ret_w, 0, width * (width + 1) / 2 * sizeof *ret_w);
	for (size_t n = 0; n < width; n++) {
		for (size_t i = 0; i < width; i++)
			q[i] = (int64_t)splitmix64_below(seed, 255) - 127;
		for (size_t i = 0, at = 0; i < width; at += ++i)
			for (size_t j = 0; j <= i; j++)
				ret_w[at + j] += q[i] * q[j];
	}
}

static void compare(size_t width, const double *x, double plain[LANES][WIDTH_MAX])
{
	for (size_t lane = 0; lane < LANES; lane++)
		for (size_t i = 0; i < width; i++)
			assert_memory_equal(&x[i * LANES + lane], &plain[lane][i], sizeof *x);
}

static void test_blocks_give_the_bits_of_the_definition(void **state)
{
	(void)state;
	static struct plain f;
	int64_t w[WIDTH_MAX * (WIDTH_MAX + 1) / 2];
	double plain[LANES][WIDTH_MAX];
	uint64_t seed = 1;
	for (size_t width = 1; width <= WIDTH_MAX; width++) {
		struct cholesky factor;
		draw_matrix(&seed, width, w);
		plain_factor(width, w, 0.7, 1000.3, &f);
		assert_int_equal(cholesky_new(width, w, 0.7, 1000.3, &factor), 0);
		assert_true(factor.padded >= width && factor.padded < width + LANES);
		double *x = mem_aligned(factor.padded * LANES * sizeof *x);
		for (size_t lane = 0; lane < LANES; lane++)
			for (size_t i = 0; i < width; i++)
				x[i * LANES + lane] = plain[lane][i] = (double)splitmix64_below(&seed, 20001) - 10000;
		cholesky_forward(&factor, x);
		for (size_t lane = 0; lane < LANES; lane++)
			plain_forward(width, &f, plain[lane]);
		compare(width, x, plain);
		cholesky_backward(&factor, x);
		for (size_t lane = 0; lane < LANES; lane++)
			plain_backward(width, &f, plain[lane]);
		compare(width, x, plain);
		free(x);
		cholesky_free(&factor);
	}
}

static void test_it_solves(void **state)
{
	(void)state;
	const int64_t w[] = {4, 2, 5};
	struct cholesky factor;
	assert_int_equal(cholesky_new(2, w, 1, 0, &factor), 0);
	double *x = mem_aligned(factor.padded * LANES * sizeof *x);
	x[0] = x[LANES] = 8; /* 4 1.5 + 2 1 = 2 1.5 + 5 1 */
	cholesky_forward(&factor, x);
	cholesky_backward(&factor, x);
	assert_true(x[0] == 1.5 && x[LANES] == 1 && x[1] == 0);
	free(x);
	cholesky_free(&factor);
}

static void test_a_matrix_that_is_not_positive_is_refused(void **state)
{
	(void)state;
	const int64_t singular[] = {4, 2, 1}, indefinite[] = {1, 2, 1}, good[] = {4, 2, 5};
	struct cholesky factor = {0};
	assert_int_equal(cholesky_new(2, singular, 1, 0, &factor), 1);
	assert_int_equal(cholesky_new(2, indefinite, 1, 0, &factor), 1);
	assert_int_equal(cholesky_new(2, good, 1, (double)NAN, &factor), 1);
	assert_int_equal(cholesky_new(2, good, 1, (double)INFINITY, &factor), 1);
	assert_int_equal(cholesky_new(2, good, -1, 0, &factor), 1);
	assert_null(factor.factor);
	cholesky_free(&factor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_give_the_bits_of_the_definition),
		cmocka_unit_test(test_it_solves),
		cmocka_unit_test(test_a_matrix_that_is_not_positive_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
