/* SPDX-License-Identifier: MIT */
/* lib/learn/row.h: what the rooms of lib/learn see of a row. */
#pragma once

#include "lib/learn/learn.h"

struct learn_row {
	enum learn_width width;
	size_t d;
	bool zero;                      /* an integer row of zeros: it has no exponent */
	int32_t e;                      /* integer widths: w = m 2^-e */
	struct learn_likeness likeness; /* its n: learn_row_past */
	union {
		int8_t *m8;
		int16_t *m16;
		int32_t *m32;
		float *f32;
		void *any;
	} master; /* d values, in the same allocation */
};

/* q_b: bits of the master; 8/16 has 16. Not for LEARN_FLOAT. */
int learn_width_bits(enum learn_width width);
size_t learn_width_bytes(enum learn_width width);

/* Makes the stored form of w[d]: integers with the largest e <= 40 that keeps |m| < 2^(q_b - 1), half to even; f32 for
 * LEARN_FLOAT. ERR_INVALID_ARGUMENT: too large to be stored. */
int learn_row_from_values(
	enum learn_width width, size_t d, const double *w, uint32_t past, struct learn_row **ret_row, struct err *err);
/* Integer widths: the masters. */
void learn_row_masters(const struct learn_row *row, int32_t *ret_m);
/* Integer widths: the forward side F, 8 bits, which answers. */
void learn_row_forward(const struct learn_row *row, int8_t *ret_f);
/* 2^k, exact; k in -1022..1023. */
double learn_pow2(int k);
/* e^x for x <= 0: plain + - x in a fixed order, so the same bits everywhere; 0 below -708. Error under 2 ulp. */
double learn_exp(double x);
/* The sum of a_i b_i in index order: the bits of rows and likenesses depend on the order, so it stands once. */
double dot_f64(const double *a, const double *b, size_t d);
