/* SPDX-License-Identifier: MIT */
/* lib/learn/cholesky.c: see cholesky.h.
 *
 * Lanes are right sides, so no lane ever adds to another and vectors change no order. A row of L solves the same
 * equations as y does: L_i of A_i. So the factor is made LANES rows at a time by the code that solves forward, and only
 * the triangle among the LANES rows is its own.
 *
 * L is stored in tiles of 4 rows: block b holds rows 4 b .. 4 b + 3, their values of one column beside one another,
 * columns 0 .. 4 b + 3 one behind the other (what lies above the diagonal is not read). Forward runs along a block with
 * its 4 rows in registers; backward runs along the same block with 4 solved values in registers and takes them off the
 * values of all earlier columns. Both read the factor once, from one end to the other. */
#include <math.h>
#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/learn/cholesky.h"

enum { TILE = 4, LANES = CHOLESKY_LANES, PAIRS = LANES / 2 };

typedef double pair __attribute__((vector_size(16))); /* what NEON and SSE2 have */

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define UNROLL        _Pragma("GCC unroll 8")

/* Where block b of 4 rows begins: before it there are 4 x 4 tiles 1 + 2 + ... + b. */
static size_t block_at(size_t b)
{
	return TILE * TILE * (b * (b + 1) / 2);
}

ALWAYS_INLINE void load(const double *x, pair ret[PAIRS])
{
	UNROLL for (int v = 0; v < PAIRS; v++) ret[v] = ((const pair *)x)[v];
}

ALWAYS_INLINE void store(double *x, const pair values[PAIRS])
{
	UNROLL for (int v = 0; v < PAIRS; v++)((pair *)x)[v] = values[v];
}

/* a = a - l x, lane by lane. */
ALWAYS_INLINE void subtract(pair a[PAIRS], double l, const pair x[PAIRS])
{
	const pair both = {l, l};
	UNROLL for (int v = 0; v < PAIRS; v++) a[v] = a[v] - both * x[v];
}

ALWAYS_INLINE void scale(pair a[PAIRS], double by)
{
	const pair both = {by, by};
	UNROLL for (int v = 0; v < PAIRS; v++) a[v] = a[v] * both;
}

/* acc, the values of 4 rows, less what the columns 0 .. n - 1 take off them. l: the rows' block; y: solved values. */
ALWAYS_INLINE void subtract_columns(pair acc[TILE][PAIRS], const double *l, const double *y, size_t n)
{
	for (size_t k = 0; k < n; k++, l += TILE, y += LANES) {
		pair x[PAIRS];
		load(y, x);
		UNROLL for (int r = 0; r < TILE; r++) subtract(acc[r], l[r], x);
	}
}

ALWAYS_INLINE void load_rows(const double *x, pair ret[TILE][PAIRS])
{
	UNROLL for (int r = 0; r < TILE; r++) load(x + r * LANES, ret[r]);
}

/* Solves the first n_blocks blocks of rows. */
static void forward(const struct cholesky *factor, size_t n_blocks, double *x)
{
	for (size_t b = 0; b < n_blocks; b++) {
		const double *l = factor->factor + block_at(b), *diagonal = l + b * TILE * TILE;
		const double *inverse = factor->inverse + b * TILE;
		double *rows = x + b * TILE * LANES;
		pair acc[TILE][PAIRS];
		load_rows(rows, acc);
		subtract_columns(acc, l, x, b * TILE);
		UNROLL for (int r = 0; r < TILE; r++)
		{
			UNROLL for (int k = 0; k < r; k++) subtract(acc[r], diagonal[k * TILE + r], acc[k]);
			scale(acc[r], inverse[r]);
			store(rows + r * LANES, acc[r]);
		}
	}
}

void cholesky_forward(const struct cholesky *factor, double *x)
{
	forward(factor, factor->padded / TILE, x);
}

void cholesky_backward(const struct cholesky *factor, double *x)
{
	for (size_t b = factor->padded / TILE; b-- > 0;) {
		const double *l = factor->factor + block_at(b), *diagonal = l + b * TILE * TILE;
		const double *inverse = factor->inverse + b * TILE;
		pair solved[TILE][PAIRS];
		load_rows(x + b * TILE * LANES, solved);
		UNROLL for (int r = TILE - 1; r >= 0; r--)
		{
			UNROLL for (int k = TILE - 1; k > r; k--)
				subtract(solved[r], diagonal[r * TILE + k], solved[k]);
			scale(solved[r], inverse[r]);
			store(x + (b * TILE + (size_t)r) * LANES, solved[r]);
		}
		double *column = x;
		for (size_t i = 0; i < b * TILE; i++, l += TILE, column += LANES) {
			pair value[PAIRS];
			load(column, value);
			UNROLL for (int k = TILE - 1; k >= 0; k--) subtract(value, l[k], solved[k]);
			store(column, value);
		}
	}
}

/* Rows first .. first + LANES - 1 of A, one a lane, up to the diagonal. */
static void load_matrix(size_t width, const int64_t *w, double keep, double shift, size_t first, double *ret_x)
{
	for (size_t lane = 0; lane < LANES; lane++) {
		const size_t i = first + lane;
		const int64_t *row = w + i * (i + 1) / 2;
		for (size_t j = 0; j < first + LANES; j++)
			ret_x[j * LANES + lane] = i < width && j <= i ? keep * (double)row[j] : 0;
		ret_x[i * LANES + lane] = i < width ? ret_x[i * LANES + lane] + shift : 1;
	}
}

/* x[column], a column of rows first .. first + LANES - 1, to their two blocks. */
static void store_column(const struct cholesky *factor, size_t first, size_t column, const double *x)
{
	for (size_t b = first / TILE; b < (first + LANES) / TILE; b++)
		for (size_t r = 0; r < TILE && column < (b + 1) * TILE; r++)
			factor->factor[block_at(b) + column * TILE + r] = x[column * LANES + b * TILE - first + r];
}

/* The triangle among rows first .. first + LANES - 1. Lanes before the row's own are not read again. */
static int factor_triangle(const struct cholesky *factor, size_t first, double *x)
{
	for (size_t b = first / TILE; b < (first + LANES) / TILE; b++) {
		const double *l = factor->factor + block_at(b);
		double *rows = x + b * TILE * LANES;
		pair acc[TILE][PAIRS];
		load_rows(rows, acc);
		subtract_columns(acc, l, x, b * TILE);
		for (size_t r = 0; r < TILE; r++) {
			const size_t i = b * TILE + r;
			for (size_t k = 0; k < r; k++)
				subtract(acc[r], l[(b * TILE + k) * TILE + r], acc[k]);
			store(rows + r * LANES, acc[r]);
			double pivot = rows[r * LANES + i - first];
			if (!(pivot > 0) || isinf(pivot))
				return 1;
			factor->inverse[i] = 1 / sqrt(pivot);
			scale(acc[r], factor->inverse[i]);
			store(rows + r * LANES, acc[r]);
			store_column(factor, first, i, x);
		}
	}
	return 0;
}

int cholesky_new(size_t width, const int64_t *w, double keep, double shift, struct cholesky *ret)
{
	const size_t padded = (width + LANES - 1) / LANES * LANES;
	struct cholesky factor = {.padded = padded,
		.factor = mem_aligned(block_at(padded / TILE) * sizeof *factor.factor),
		.inverse = mem_aligned(padded * sizeof *factor.inverse)};
	double *x = mem_aligned(padded * LANES * sizeof *x);
	int r = 0;
	for (size_t first = 0; first < padded && r == 0; first += LANES) {
		load_matrix(width, w, keep, shift, first, x);
		forward(&factor, first / TILE, x);
		for (size_t column = 0; column < first; column++)
			store_column(&factor, first, column, x);
		r = factor_triangle(&factor, first, x);
	}
	free(x);
	if (r != 0)
		cholesky_free(&factor);
	else
		*ret = factor;
	return r;
}

void cholesky_free(struct cholesky *factor)
{
	free(factor->factor);
	free(factor->inverse);
	*factor = (struct cholesky){0};
}
