/* SPDX-License-Identifier: MIT */
/* lib/learn/metric_counts.c: see metric_counts.h. + - x / and sqrt of doubles in the order of doc/LEARNER.md. */
#include "lib/learn/metric_counts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"

/* 0.5 to 1 do nearly as well on the choice sets. */
#define NOISE_SHARE 0.75
/* Where hardly anything but noise is seen: T is taken for no less than this share of it; and what a picture adds when it is
 * left out for no more than its inverse of what it adds when it is not. */
#define FLOOR (1.0 / 16)

/* ret_v[width][METRIC_PROBES]: the signs of a group's probes, -1 or 1. One probe after the other: beside one another, a
 * compiler makes vectors of the generators, and GCC 12 multiplies wrong in those of AVX2. */
static void fill_signs(size_t g, size_t width, int8_t *ret_v)
{
	for (size_t k = 0; k < METRIC_PROBES; k++) {
		uint64_t seed = g * METRIC_PROBES + k;
		for (size_t i = 0; i < width; i++)
			ret_v[i * METRIC_PROBES + k] = splitmix64_next(&seed) >> 63 ? 1 : -1;
	}
}

/* ret_y += W v, exact: |W| < 2^47 and 2^13 values (metric_state.c). */
static void multiply(const int64_t *w, size_t width, const int8_t *v, int64_t *ret_y)
{
	for (size_t i = 0; i < width; w += ++i) {
		for (size_t j = 0; j < i; j++)
			for (size_t k = 0; k < METRIC_PROBES; k++) {
				ret_y[i * METRIC_PROBES + k] += w[j] * v[j * METRIC_PROBES + k];
				ret_y[j * METRIC_PROBES + k] += w[j] * v[i * METRIC_PROBES + k];
			}
		for (size_t k = 0; k < METRIC_PROBES; k++)
			ret_y[i * METRIC_PROBES + k] += w[i] * v[i * METRIC_PROBES + k];
	}
}

/* tr(A^-1 W) of one group. */
static double trace_of_group(const struct metric *metric, size_t g, const struct cholesky *factor)
{
	const size_t width = metric->shape.width[g];
	int8_t *v = mem_zalloc(width * METRIC_PROBES, 1);
	int64_t *y = mem_zalloc(width * METRIC_PROBES, sizeof *y);
	double *x = mem_aligned(factor->padded * METRIC_PROBES * sizeof *x), trace = 0;
	fill_signs(g, width, v);
	multiply(metric->within[g], width, v, y);
	memset(x, 0, factor->padded * METRIC_PROBES * sizeof *x);
	for (size_t i = 0; i < width * METRIC_PROBES; i++)
		x[i] = (double)y[i];
	cholesky_forward(factor, x);
	cholesky_backward(factor, x);
	for (size_t k = 0; k < METRIC_PROBES; k++) {
		double sum = 0;
		for (size_t i = 0; i < width; i++)
			sum += v[i * METRIC_PROBES + k] * x[i * METRIC_PROBES + k];
		trace += sum;
	}
	free(v);
	free(y);
	free(x);
	return trace / METRIC_PROBES;
}

double metric_noise(const struct metric *metric, const struct cholesky factor[METRIC_GROUPS_MAX],
	const double keep[METRIC_GROUPS_MAX])
{
	const double nu = (double)(metric->n_pictures - metric->n_classes);
	double noise = 0;
	for (size_t g = 0; g < metric->shape.n_groups; g++) {
		const double trace = trace_of_group(metric, g, &factor[g]), left = 1 - keep[g] * trace / nu;
		noise += metric->shape.factor[g] * (trace / (left > FLOOR ? left : FLOOR));
	}
	return noise;
}

bool metric_counts_differ(const struct metric *metric)
{
	for (size_t c = 1; c < metric->n_classes; c++)
		if (metric->classes[c].n != metric->classes[0].n)
			return true;
	return false;
}

void metric_ratios(const struct metric *metric, double noise, const double *squares, double *ret_ratio)
{
	const double unit = (double)METRIC_SCATTER_UNIT * (double)(metric->n_pictures - metric->n_classes);
	double signal = 0, inverse = 0;
	for (size_t c = 0; c < metric->n_classes; c++) {
		const double n = metric->classes[c].n;
		signal += squares[c] * (unit / (n * n)) - noise / n;
		inverse += 1 / n;
	}
	signal = signal / (double)metric->n_classes;
	inverse = inverse / (double)metric->n_classes;
	signal = signal > noise * FLOOR ? signal : noise * FLOOR;
	const double k = noise > 0 ? NOISE_SHARE * noise / signal : 0;
	for (size_t c = 0; c < metric->n_classes; c++)
		ret_ratio[c] = sqrt((1 + k / metric->classes[c].n) / (1 + k * inverse));
}
