/* SPDX-License-Identifier: MIT */
/* lib/learn/known.c: see known.h. Invariant: + - x / and sqrt of doubles in a fixed order: the same bits everywhere. */
#include "lib/learn/known.h"

#include <math.h>

double known_cosine(double pair, double r)
{
	return pair * sqrt(r) / sqrt(1 + (r - 1) * pair);
}

double known_pair(double cosine, double r)
{
	if (cosine <= 0 || cosine >= 1)
		return cosine <= 0 ? 0 : 1;
	const double v2 = cosine * cosine, b = v2 * (r - 1);
	return fmin(1, (b + sqrt(b * b + 4 * r * v2)) / (2 * r));
}

double known_length(double pair, double r)
{
	return sqrt(pair + (1 - pair) / r);
}

double known_threshold(const struct learn_likeness *own, bool has_others, double others,
	const struct learn_answer_constants *constants)
{
	const double n = own->n, more = n - 1, a = constants->pair_weight, w = constants->deviation_weight;
	double pair = constants->pair_cosine, variance = 0;
	if (has_others && own->n == 1)
		pair = fmax(pair, fmin(1, constants->class_share * others));
	if (more + a > 0)
		pair = (more * own->mean + a * pair) / (more + a);
	if (more + w > 0)
		variance = (own->squares + w * (constants->deviation * constants->deviation)) / (more + w);
	const double deep = constants->deviations * (n / (n + constants->few_pictures));
	return known_cosine(pair, own->r) - deep * sqrt(variance * (1 + 1 / n));
}

struct learn_likeness known_upgrade(uint32_t past, uint32_t n, double mean, double squares)
{
	if (n == 0 || past < 2) /* of one picture */
		return (struct learn_likeness){.n = past < 1 ? past : 1, .r = 1};
	return (struct learn_likeness){.n = past, .r = past, .mean = known_pair(mean, past - 1.0), .squares = squares};
}
