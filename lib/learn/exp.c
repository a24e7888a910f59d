/* SPDX-License-Identifier: MIT */
/* lib/learn/exp.c: e^x without libm, whose last bit differs between C libraries.
 *
 * x = k ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series up to r^13 / 13! (the rest is below 2^-57), Horner,
 * then an exact product with 2^k. Only + - x in a fixed order (and rint, which is exact): the same bits on every CPU.
 */
#include <math.h>

#include "lib/learn/row.h"

#define LOG2_E  0x1.71547652b82fep+0
#define LN2_HI  0x1.62e42fee00000p-1 /* 33 bits: k * LN2_HI is exact for |k| < 2^20 */
#define LN2_LO  0x1.a39ef35793c76p-33
#define EXP_MIN (-708.0) /* below it 2^k is no normal number */

double learn_exp(double x)
{
	static const double inverse_factorial[] = {1, 1, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040,
		1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
	enum { DEGREE = sizeof inverse_factorial / sizeof *inverse_factorial - 1 };
	if (!(x >= EXP_MIN))
		return 0;
	double k = rint(x * LOG2_E);
	double r = (x - k * LN2_HI) - k * LN2_LO;
	double sum = inverse_factorial[DEGREE];
	for (int i = DEGREE - 1; i >= 0; i--)
		sum = sum * r + inverse_factorial[i];
	return sum * learn_pow2((int)k);
}
