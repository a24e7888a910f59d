/* SPDX-License-Identifier: MIT */
/* lib/learn/metric_counts.h: what rows of few pictures and rows of many are multiplied by, so that they rank alike.
 *
 * A row is the mean of n pictures over its own length, and that length has two parts: what the class is, and what is left
 * of its pictures' differences, which falls with 1 / n. Divided by it, a class of one picture ranks behind every class of
 * many, also for its own pictures. So the second part is taken out again, as far as all classes together tell it. */
#pragma once

#include "lib/learn/cholesky.h"
#include "lib/learn/metric_state.h"

/* K = sum over groups of a k / (1 - keep k / nu), k = tr(S^-1 W'), W' the scatter within classes over nu and S = keep W' + ... that,
 * shrunk: the squared length that one picture's difference from its class has for a metric which it is left out of (Sherman
 * and Morrison 1950; pictures of W lie nearer than others do). The trace by METRIC_PROBES vectors of signs (Hutchinson, "A
 * stochastic estimator of the trace of the influence matrix", Communications in Statistics 19, 1990), always the same. */
enum { METRIC_PROBES = CHOLESKY_LANES };
double metric_noise(const struct metric *metric, const struct cholesky factor[METRIC_GROUPS_MAX],
	const double keep[METRIC_GROUPS_MAX]);

bool metric_counts_differ(const struct metric *metric); /* no: all ratios are 1, and K is not needed */
/* squares[classes]: s' A^-1 s of each class, a weighed in. ret_ratio[classes]: sqrt((1 + k / n) / (1 + k h)), k = 0.75 K / T, h the
 * mean of 1 / n, T the mean over the classes of what they are: the squared length of the mean less K / n. */
void metric_ratios(const struct metric *metric, double noise, const double *squares, double *ret_ratio);
