/* SPDX-License-Identifier: MIT */
/* lib/learn/metric.h: the second-order head: a metric that the kept pictures define, and the rows that rank by it.
 *
 * A picture is a feature q (int8, d values) of a class id. The d values fall into groups, each with a covariance of its
 * own. The state is a sum over pictures and classes in integers: it depends on which pictures are in it alone, never on
 * the order in which they came or on what was taken away again; so undo, forget and merging are exact. From the state
 * follow one row a class, by + - x / and sqrt of doubles in a fixed order: the same bits on every CPU. Nothing here
 * blocks, logs, keeps a static or knows where pictures come from. The definition to the bit is in doc/LEARNER.md, "The
 * second-order head"; it is linear discriminant analysis a group, the covariance shrunk by the square root of the oracle
 * approximating estimate (Chen, Wiesel, Eldar, Hero, "Shrinkage Algorithms for MMSE Covariance Estimation", IEEE
 * Transactions on Signal Processing 58, 2010).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

/* metric_state.c says what these bounds prove. */
enum {
	METRIC_GROUPS_MAX = 16,
	METRIC_CLASS_PICTURES_MAX = 1 << 19,
	METRIC_PICTURES_MAX = 1 << 24,
	METRIC_FACTOR_MAX = 1 << 10,
};

/* How the d values of a feature fall into groups, one behind the other. A factor says what its group counts in the sum of
 * the groups: groups may tell the same thing several times. Rows depend on it, the state does not; nor do class means. */
struct metric_shape {
	size_t n_groups;                  /* 1..METRIC_GROUPS_MAX */
	size_t width[METRIC_GROUPS_MAX];  /* each >= 1; their sum is d <= LEARN_FEATURES_MAX */
	double factor[METRIC_GROUPS_MAX]; /* each 1 / METRIC_FACTOR_MAX..METRIC_FACTOR_MAX */
};
size_t metric_shape_features(const struct metric_shape *shape); /* d */

/* The state: for each group the scatter within classes, for each class its pictures' number and sum. One owner at a
 * time. It holds 4 p (p + 1) bytes for a group of width p and 4 d + 16 for a class: 2.4 MB and 5.6 KB with groups of 512,
 * 512, 256 and 128. */
struct metric;
struct metric *metric_new(const struct metric_shape *shape);
/* A copy that shares nothing: for who reads it while the other is changed, or goes back to it. */
struct metric *metric_copy(const struct metric *metric);
void metric_free(struct metric *metric); /* NULL allowed */

/* Adds n pictures to a class, q[n * d]; a class that is not there begins with them. Or takes them away again, all bits
 * as if they had never been there; a class whose last picture goes is gone. n may be 0.
 * Errors, after which nothing has changed: ERR_RESOURCE_EXHAUSTED (more than METRIC_..._MAX pictures, or
 * LEARN_CLASSES_MAX classes), ERR_FAILED_PRECONDITION (what is taken away was seen not to be in it; not every such
 * picture can be told). */
int metric_add(struct metric *metric, uint32_t class_id, const int8_t *q, size_t n, struct err *err);
int metric_take(struct metric *metric, uint32_t class_id, const int8_t *q, size_t n, struct err *err);
/* Adds all of another state of the same shape, class by class. ERR_RESOURCE_EXHAUSTED as above. */
int metric_merge(struct metric *metric, const struct metric *other, struct err *err);

size_t metric_features(const struct metric *metric); /* d */
size_t metric_classes(const struct metric *metric);
size_t metric_pictures(const struct metric *metric);
/* Whether both say the same, bit for bit: the same pictures a class, whatever their order and their past. */
bool metric_equal(const struct metric *a, const struct metric *b);

/* What ranks: a row for each class, in the order of the ids. Immutable once made; n (d + 24) + 8 d bytes. */
struct metric_rows;
/* Solves for all rows: p^3 / 6 multiply-subtracts a group of width p, and p^2 a class. Where no metric is defined (no
 * class has two different pictures; or a group's scatter is zero or cannot be factored) the rows are the class means. Rows of
 * few pictures and of many rank alike (metric_counts.h). */
struct metric_rows *metric_rows_new(const struct metric *metric);
/* The class means, whether a metric is defined or not: nothing is solved. */
struct metric_rows *metric_rows_means(const struct metric *metric);
/* Counted: one reference when made, dropped by metric_rows_free on any thread. */
struct metric_rows *metric_rows_ref(const struct metric_rows *rows); /* NULL allowed */
void metric_rows_free(struct metric_rows *rows);                     /* NULL allowed */
size_t metric_rows_classes(const struct metric_rows *rows);
const uint32_t *metric_rows_ids(const struct metric_rows *rows); /* ascending; they live as long as the rows */
bool metric_rows_are_means(const struct metric_rows *rows);
/* The row of a class is share V + factor F: V is what all rows have in common, F the rest in 8 bits. */
const double *metric_rows_common(const struct metric_rows *rows); /* V: d values, of no particular length */
struct metric_row {
	uint32_t class_id;
	double share;
	const int8_t *f; /* d values; lives as long as the rows */
	double factor;   /* of a class whose pictures' sum is zero: 0, and share too */
};
struct metric_row metric_rows_get(const struct metric_rows *rows, size_t i);
/* ret_z[classes] = row . q / |q|, F . q being an exact integer; zeros for a q of zeros. z only ranks: of class means it
 * is a cosine, of a metric it is not. Thread-safe. */
void metric_rows_rank(const struct metric_rows *rows, const int8_t *q, double *ret_z);
/* The rows before they are rounded, ret_rows[classes * d], for tests and tools. True: they are class means. */
bool metric_exact_rows(const struct metric *metric, double *ret_rows);
