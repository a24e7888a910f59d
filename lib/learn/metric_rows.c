/* SPDX-License-Identifier: MIT */
/* lib/learn/metric_rows.c: from the state to the rows that rank.
 *
 * W is 2^8 nu S. Neither the shrinkage nor the direction of a row depends on that factor, so W itself is factored, and
 * the factor comes back into the row's length.
 *
 * Pictures of one place have much in common, and rows that lie close differ by less than a step of 8 bits. So what rows
 * have in common, V, the direction of all classes' sum, is published in double, and F holds only what a row has beside
 * its share of V. Invariant: + - x / and sqrt of doubles in the order of doc/LEARNER.md. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/learn/cholesky.h"
#include "lib/learn/integer.h"
#include "lib/learn/metric_counts.h"
#include "lib/learn/metric_state.h"
#include "lib/learn/row.h"

enum { LANES = CHOLESKY_LANES, F_MAX = 127 };

struct metric_rows {
	atomic_uint refs;
	size_t d, n;
	bool are_means;
	double *common; /* d: V */
	uint32_t *ids;  /* n, ascending */
	double *share;  /* n */
	double *factor; /* n */
	int8_t *f;      /* n x d */
};

/* ---- the metric ---- */

/* A group's shrunk matrix is keep W + shift I. */
struct shrinkage {
	double keep, shift;
};

/* Oracle approximating shrinkage, its square root; with nu degrees of freedom. */
static struct shrinkage shrink(const int64_t *w, size_t width, double nu, int64_t trace)
{
	double squares = 0;
	for (size_t i = 0; i < width; w += ++i) {
		double below = 0;
		for (size_t j = 0; j < i; j++)
			below += (double)w[j] * (double)w[j];
		squares += 2 * below + (double)w[i] * (double)w[i];
	}
	const double p = (double)width, t = (double)trace;
	const double up = (1 - 2 / p) * squares + t * t;
	const double down = (nu + 1 - 2 / p) * (squares - t * t / p);
	double rho = down > 0 ? up / down : 1; /* 0: it is a multiple of I already */
	rho = rho < 0 ? 0 : rho > 1 ? 1 : rho;
	const double share = sqrt(rho);
	return (struct shrinkage){.keep = 1 - share, .shift = share * (t / p)};
}

static int64_t trace_of(const int64_t *w, size_t width)
{
	int64_t trace = 0;
	for (size_t i = 0; i < width; w += ++i)
		trace += w[i];
	return trace;
}

/* Returns false where no metric is defined; nothing is left behind then. */
static bool factor_all(
	const struct metric *metric, struct cholesky ret[METRIC_GROUPS_MAX], double ret_keep[METRIC_GROUPS_MAX])
{
	if (metric->n_pictures <= metric->n_classes)
		return false;
	const double nu = (double)(metric->n_pictures - metric->n_classes);
	size_t g = 0;
	for (; g < metric->shape.n_groups; g++) {
		const size_t width = metric->shape.width[g];
		const int64_t trace = trace_of(metric->within[g], width);
		if (trace <= 0)
			break;
		struct shrinkage s = shrink(metric->within[g], width, nu, trace);
		if (cholesky_new(width, metric->within[g], s.keep, s.shift, &ret[g]) != 0)
			break;
		ret_keep[g] = s.keep;
	}
	if (g == metric->shape.n_groups)
		return true;
	while (g-- > 0)
		cholesky_free(&ret[g]);
	return false;
}

/* ---- directions, LANES at a time: that of all classes' sum first, then one a class ---- */

struct solver {
	const struct metric *metric;
	size_t n; /* right sides: classes + 1 */
	bool are_means;
	struct cholesky factor[METRIC_GROUPS_MAX];
	double keep[METRIC_GROUPS_MAX]; /* what shrinkage left of W */
	double *total;                  /* d: the sum of all classes, integers */
	double *scratch;                /* the widest group's right sides */
	double *x;                      /* LANES x d: directions, not of their length yet */
	double length[LANES];           /* what a direction is multiplied by */
	double *squares;                /* n: s' A^-1 s of those that were solved */
};

static struct solver solver_new(const struct metric *metric, bool means)
{
	struct solver solver = {.metric = metric, .n = metric->n_classes + 1};
	solver.x = mem_zalloc(LANES * metric->d, sizeof *solver.x);
	solver.total = mem_zalloc(metric->d, sizeof *solver.total);
	solver.squares = mem_zalloc(solver.n, sizeof *solver.squares);
	for (size_t c = 0; c < metric->n_classes; c++)
		for (size_t i = 0; i < metric->d; i++)
			solver.total[i] += metric->classes[c].sum[i];
	solver.are_means = means || !factor_all(metric, solver.factor, solver.keep);
	size_t padded = 0;
	for (size_t g = 0; g < metric->shape.n_groups; g++)
		padded = solver.factor[g].padded > padded ? solver.factor[g].padded : padded;
	solver.scratch = mem_aligned(padded * LANES * sizeof *solver.scratch);
	return solver;
}

static void solver_free(struct solver *solver)
{
	for (size_t g = 0; g < METRIC_GROUPS_MAX; g++)
		cholesky_free(&solver->factor[g]);
	free(solver->total);
	free(solver->squares);
	free(solver->scratch);
	free(solver->x);
}

static size_t lanes_of(const struct solver *solver, size_t first)
{
	return solver->n - first < LANES ? solver->n - first : LANES;
}

/* Value i of right side j: an integer, exact. */
static inline double right_side(const struct solver *solver, size_t j, size_t i)
{
	return j == 0 ? solver->total[i] : solver->metric->classes[j - 1].sum[i];
}

/* One group's part, d values from `at` on, of the n directions from `first` on; adds a s' A^-1 s of each to squares. */
static void solve_group(struct solver *solver, size_t g, size_t at, size_t first, size_t n, double squares[LANES])
{
	const struct cholesky *factor = &solver->factor[g];
	const size_t width = solver->metric->shape.width[g], d = solver->metric->d;
	const double a = solver->metric->shape.factor[g];
	double *x = solver->scratch;
	memset(x, 0, factor->padded * LANES * sizeof *x);
	for (size_t lane = 0; lane < n; lane++)
		for (size_t i = 0; i < width; i++)
			x[i * LANES + lane] = right_side(solver, first + lane, at + i);
	cholesky_forward(factor, x);
	for (size_t i = 0; i < width; i++)
		for (size_t lane = 0; lane < LANES; lane++)
			squares[lane] += a * (x[i * LANES + lane] * x[i * LANES + lane]);
	cholesky_backward(factor, x);
	for (size_t lane = 0; lane < n; lane++)
		for (size_t i = 0; i < width; i++)
			solver->x[lane * d + at + i] = a * x[i * LANES + lane];
}

/* Without a metric a direction is the sum itself. */
static void copy_sums(struct solver *solver, size_t first, size_t n, double squares[LANES])
{
	const size_t d = solver->metric->d;
	for (size_t lane = 0; lane < n; lane++)
		for (size_t i = 0; i < d; i++) {
			double s = right_side(solver, first + lane, i);
			solver->x[lane * d + i] = s;
			squares[lane] += s * s;
		}
}

/* Fills x and length of the directions from `first` on. */
static void solve(struct solver *solver, size_t first)
{
	const struct metric *metric = solver->metric;
	const size_t n = lanes_of(solver, first);
	double squares[LANES] = {0}, unit = 1;
	if (solver->are_means) {
		copy_sums(solver, first, n, squares);
	} else {
		for (size_t g = 0, at = 0; g < metric->shape.n_groups; at += metric->shape.width[g++])
			solve_group(solver, g, at, first, n, squares);
		unit = (double)METRIC_SCATTER_UNIT * (double)(metric->n_pictures - metric->n_classes);
	}
	for (size_t lane = 0; lane < n; lane++)
		solver->length[lane] = squares[lane] > 0 ? sqrt(unit / squares[lane]) : 0;
	memcpy(solver->squares + first, squares, n * sizeof *squares);
}

/* All are solved: what each class's row is multiplied by besides. NULL: by 1; else free it. */
static double *ratios(const struct solver *solver)
{
	const struct metric *metric = solver->metric;
	if (solver->are_means || !metric_counts_differ(metric))
		return NULL;
	double *ratio = mem_zalloc(metric->n_classes, sizeof *ratio);
	metric_ratios(metric, metric_noise(metric, solver->factor, solver->keep), solver->squares + 1, ratio);
	return ratio;
}

bool metric_exact_rows(const struct metric *metric, double *ret_rows)
{
	struct solver solver = solver_new(metric, false);
	for (size_t first = 0; first < solver.n; first += LANES) {
		solve(&solver, first);
		for (size_t lane = first == 0; lane < lanes_of(&solver, first); lane++)
			for (size_t i = 0; i < metric->d; i++)
				ret_rows[(first + lane - 1) * metric->d + i] =
					solver.x[lane * metric->d + i] * solver.length[lane];
	}
	double *ratio = ratios(&solver);
	for (size_t i = 0; ratio && i < metric->n_classes * metric->d; i++)
		ret_rows[i] = ret_rows[i] * ratio[i / metric->d];
	free(ratio);
	solver_free(&solver);
	return solver.are_means;
}

/* ---- what is published ---- */

/* F = rint(127 x / max |x|). Returns what one step of F is worth in x. */
static double round_row(const double *x, size_t d, int8_t *ret_f)
{
	const double rounder = 0x1.8p52;
	double largest = 0;
	for (size_t i = 0; i < d; i++)
		largest = fabs(x[i]) > largest ? fabs(x[i]) : largest;
	const double scale = largest > 0 ? F_MAX / largest : 0;
	for (size_t i = 0; i < d; i++)
		ret_f[i] = (int8_t)((x[i] * scale + rounder) - rounder);
	return largest / F_MAX;
}

/* Class c's row from its direction x, which becomes what it has beside V; squares: |V|^2. */
static void publish(struct metric_rows *rows, size_t c, double *x, double length, double squares)
{
	const size_t d = rows->d;
	const double share = squares > 0 ? dot_f64(x, rows->common, d) / squares : 0;
	for (size_t i = 0; i < d; i++)
		x[i] = x[i] - share * rows->common[i];
	rows->share[c] = share * length;
	rows->factor[c] = round_row(x, d, rows->f + c * d) * length;
}

static struct metric_rows *rows_new(const struct metric *metric, bool means)
{
	const size_t n = metric->n_classes, d = metric->d;
	struct metric_rows *rows = mem_zalloc(1, sizeof *rows);
	struct solver solver = solver_new(metric, means);
	*rows = (struct metric_rows){
		.d = d,
		.n = n,
		.are_means = solver.are_means,
		.common = mem_zalloc(d, sizeof *rows->common),
		.ids = mem_zalloc(n + 1, sizeof *rows->ids),
		.share = mem_zalloc(n + 1, sizeof *rows->share),
		.factor = mem_zalloc(n + 1, sizeof *rows->factor),
		.f = mem_aligned(n * d + 1),
	};
	double squares = 0;
	for (size_t first = 0; first < solver.n; first += LANES) {
		solve(&solver, first);
		if (first == 0) {
			memcpy(rows->common, solver.x, d * sizeof *rows->common);
			squares = dot_f64(rows->common, rows->common, d);
		}
		for (size_t lane = first == 0; lane < lanes_of(&solver, first); lane++)
			publish(rows, first + lane - 1, solver.x + lane * d, solver.length[lane], squares);
	}
	double *ratio = ratios(&solver);
	for (size_t c = 0; c < n; c++) {
		rows->ids[c] = metric->classes[c].id;
		rows->share[c] = ratio ? rows->share[c] * ratio[c] : rows->share[c];
		rows->factor[c] = ratio ? rows->factor[c] * ratio[c] : rows->factor[c];
	}
	free(ratio);
	solver_free(&solver);
	atomic_init(&rows->refs, 1);
	return rows;
}

struct metric_rows *metric_rows_new(const struct metric *metric)
{
	return rows_new(metric, false);
}

struct metric_rows *metric_rows_means(const struct metric *metric)
{
	return rows_new(metric, true);
}

struct metric_rows *metric_rows_ref(const struct metric_rows *rows)
{
	struct metric_rows *counted = (struct metric_rows *)rows;
	if (counted)
		atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
	return counted;
}

void metric_rows_free(struct metric_rows *rows)
{
	if (!rows || atomic_fetch_sub_explicit(&rows->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(rows->common);
	free(rows->ids);
	free(rows->share);
	free(rows->factor);
	free(rows->f);
	free(rows);
}

size_t metric_rows_classes(const struct metric_rows *rows)
{
	return rows->n;
}

const uint32_t *metric_rows_ids(const struct metric_rows *rows)
{
	return rows->ids;
}

bool metric_rows_are_means(const struct metric_rows *rows)
{
	return rows->are_means;
}

const double *metric_rows_common(const struct metric_rows *rows)
{
	return rows->common;
}

struct metric_row metric_rows_get(const struct metric_rows *rows, size_t i)
{
	return (struct metric_row){.class_id = rows->ids[i],
		.share = rows->share[i],
		.f = rows->f + i * rows->d,
		.factor = rows->factor[i]};
}

void metric_rows_rank(const struct metric_rows *rows, const int8_t *q, double *ret_z)
{
	const double norm = sqrt((double)dot_i8(q, q, rows->d));
	double common = 0;
	for (size_t i = 0; i < rows->d; i++)
		common += rows->common[i] * q[i];
	for (size_t c = 0; c < rows->n; c++) {
		double own = (double)dot_i8(rows->f + c * rows->d, q, rows->d) * rows->factor[c];
		ret_z[c] = norm > 0 ? (own + rows->share[c] * common) / norm : 0;
	}
}
