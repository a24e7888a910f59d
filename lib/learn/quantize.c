/* SPDX-License-Identifier: MIT */
/* lib/learn/quantize.c: the backbone's h (floats of unit length) -> q, the int8 that the learner sees.
 *
 * The last float on the way in: one product and one rounding, both exact by IEEE 754, so q is the same everywhere.
 * A NaN gives 0, an infinity the bound.
 */
#include <math.h>

#include "lib/learn/learn.h"

enum { Q_MAX = 127, Q_RMS = 23 };

bool learn_quantize(const float *h, size_t d, int8_t *ret_q)
{
	const float scale = (float)(Q_RMS * sqrt((double)d));
	int any = 0;
	for (size_t i = 0; i < d; i++) {
		float x = h[i] * scale;
		x = isnan(x) ? 0.0f : x < -(float)Q_MAX ? -(float)Q_MAX : x > (float)Q_MAX ? (float)Q_MAX : x;
		ret_q[i] = (int8_t)rintf(x); /* half to even; the clamp's bounds are whole, so it may come first */
		any |= ret_q[i];
	}
	return any != 0;
}
