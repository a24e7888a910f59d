/* SPDX-License-Identifier: MIT */
/* lib/learn/cholesky.h: A = L L' and the solution of A x = b, for CHOLESKY_LANES right sides at once.
 *
 * Every element has one order of + - x / and sqrt, whatever the blocks are, so the bits are the same everywhere:
 *
 *   L_ij = (A_ij - L_i0 L_j0 - L_i1 L_j1 - ... up to k = j - 1) r_j     for j < i
 *   r_i  = 1 / sqrt(A_ii - L_i0^2 - L_i1^2 - ... up to k = i - 1)
 *   y_i  = (b_i - L_i0 y_0 - L_i1 y_1 - ... up to k = i - 1) r_i
 *   x_i  = (y_i - L_ki x_k for k from the last down to i + 1) r_i
 *
 * each product and each difference rounded, from left to right. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { CHOLESKY_LANES = 8 };

struct cholesky {
	size_t padded;   /* the width rounded up to CHOLESKY_LANES: rows of the unit matrix behind the last */
	double *factor;  /* L in tiles, see cholesky.c */
	double *inverse; /* padded: r_i */
};

/* Factors A = keep W + shift I; W is width x width, its lower triangle packed by rows, |W_ij| < 2^53.
 * Returns 0 and *ret (cholesky_free), or 1: a pivot is not above 0. */
int cholesky_new(size_t width, const int64_t *w, double keep, double shift, struct cholesky *ret);
void cholesky_free(struct cholesky *factor); /* zeroed: allowed */

/* Values of right side `lane` are x[i * CHOLESKY_LANES + lane], i < padded, zeros from the width on; x is aligned to 16
 * bytes. Forward makes y of b, backward x of y, in place. */
void cholesky_forward(const struct cholesky *factor, double *x);
void cholesky_backward(const struct cholesky *factor, double *x);
