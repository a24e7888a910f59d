/* SPDX-License-Identifier: MIT */
/* lib/learn/metric_rows.c: from the state to the rows that rank.
 *
 * W is 2^8 nu S. Neither the shrinkage nor the direction of a row depends on that factor, so W itself is factored, and
 * the factor comes back into the row's length. Invariant: + - x / and sqrt of doubles in the order of doc/LEARNER.md. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/learn/cholesky.h"
#include "lib/learn/integer.h"
#include "lib/learn/metric_state.h"

enum { LANES = CHOLESKY_LANES, F_MAX = 127 };

struct metric_rows {
	atomic_uint refs;
	size_t d, n;
	bool are_means;
	uint32_t *ids;  /* n, ascending */
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
static bool factor_all(const struct metric *metric, struct cholesky ret[METRIC_GROUPS_MAX])
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
	}
	if (g == metric->shape.n_groups)
		return true;
	while (g-- > 0)
		cholesky_free(&ret[g]);
	return false;
}

/* ---- rows, LANES classes at a time ---- */

struct solver {
	const struct metric *metric;
	bool are_means;
	struct cholesky factor[METRIC_GROUPS_MAX];
	double *scratch;      /* the widest group's right sides */
	double *row;          /* LANES x d: directions, not of their length yet */
	double length[LANES]; /* what a direction is multiplied by */
};

static struct solver solver_new(const struct metric *metric, bool means)
{
	struct solver solver = {.metric = metric, .row = mem_zalloc(LANES * metric->d, sizeof *solver.row)};
	solver.are_means = means || !factor_all(metric, solver.factor);
	size_t padded = 0;
	for (size_t g = 0; g < metric->shape.n_groups; g++)
		padded = solver.factor[g].padded > padded ? solver.factor[g].padded : padded;
	solver.scratch = mem_aligned(padded * LANES * sizeof *solver.scratch + 1);
	return solver;
}

static void solver_free(struct solver *solver)
{
	for (size_t g = 0; g < METRIC_GROUPS_MAX; g++)
		cholesky_free(&solver->factor[g]);
	free(solver->scratch);
	free(solver->row);
}

/* One group's part of the rows of classes first .. first + n - 1; adds s' S^-1 s of each to squares. */
static void solve_group(struct solver *solver, size_t g, size_t at, size_t first, size_t n, double squares[LANES])
{
	const struct metric *metric = solver->metric;
	const struct cholesky *factor = &solver->factor[g];
	const size_t width = metric->shape.width[g];
	double *x = solver->scratch;
	memset(x, 0, factor->padded * LANES * sizeof *x);
	for (size_t lane = 0; lane < n; lane++)
		for (size_t i = 0; i < width; i++)
			x[i * LANES + lane] = metric->classes[first + lane].sum[at + i];
	cholesky_forward(factor, x);
	for (size_t i = 0; i < width; i++)
		for (size_t lane = 0; lane < LANES; lane++)
			squares[lane] += x[i * LANES + lane] * x[i * LANES + lane];
	cholesky_backward(factor, x);
	for (size_t lane = 0; lane < n; lane++)
		for (size_t i = 0; i < width; i++)
			solver->row[lane * metric->d + at + i] = x[i * LANES + lane];
}

/* The sums themselves. */
static void copy_means(struct solver *solver, size_t first, size_t n, double squares[LANES])
{
	const size_t d = solver->metric->d;
	for (size_t lane = 0; lane < n; lane++)
		for (size_t i = 0; i < d; i++) {
			double s = solver->metric->classes[first + lane].sum[i];
			solver->row[lane * d + i] = s;
			squares[lane] += s * s;
		}
}

/* Fills row and length for classes first .. first + n - 1. */
static void solve(struct solver *solver, size_t first, size_t n)
{
	const struct metric *metric = solver->metric;
	double squares[LANES] = {0}, unit = 1;
	if (solver->are_means) {
		copy_means(solver, first, n, squares);
	} else {
		for (size_t g = 0, at = 0; g < metric->shape.n_groups; at += metric->shape.width[g++])
			solve_group(solver, g, at, first, n, squares);
		unit = (double)METRIC_SCATTER_UNIT * (double)(metric->n_pictures - metric->n_classes);
	}
	for (size_t lane = 0; lane < n; lane++)
		solver->length[lane] = squares[lane] > 0 ? sqrt(unit / squares[lane]) : 0;
}

static size_t lanes_of(const struct metric *metric, size_t first)
{
	return metric->n_classes - first < LANES ? metric->n_classes - first : LANES;
}

bool metric_exact_rows(const struct metric *metric, double *ret_rows)
{
	struct solver solver = solver_new(metric, false);
	for (size_t first = 0; first < metric->n_classes; first += LANES) {
		const size_t n = lanes_of(metric, first);
		solve(&solver, first, n);
		for (size_t i = 0; i < n * metric->d; i++)
			ret_rows[first * metric->d + i] = solver.row[i] * solver.length[i / metric->d];
	}
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

static struct metric_rows *rows_new(const struct metric *metric, bool means)
{
	const size_t n = metric->n_classes, d = metric->d;
	struct metric_rows *rows = mem_zalloc(1, sizeof *rows);
	struct solver solver = solver_new(metric, means);
	*rows = (struct metric_rows){
		.d = d,
		.n = n,
		.are_means = solver.are_means,
		.ids = mem_zalloc(n + 1, sizeof *rows->ids),
		.factor = mem_zalloc(n + 1, sizeof *rows->factor),
		.f = mem_aligned(n * d + 1),
	};
	for (size_t first = 0; first < n; first += LANES) {
		const size_t lanes = lanes_of(metric, first);
		solve(&solver, first, lanes);
		for (size_t lane = 0; lane < lanes; lane++) {
			const size_t c = first + lane;
			rows->ids[c] = metric->classes[c].id;
			rows->factor[c] = round_row(solver.row + lane * d, d, rows->f + c * d) * solver.length[lane];
		}
	}
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
	free(rows->ids);
	free(rows->factor);
	free(rows->f);
	free(rows);
}

size_t metric_rows_classes(const struct metric_rows *rows)
{
	return rows->n;
}

bool metric_rows_are_means(const struct metric_rows *rows)
{
	return rows->are_means;
}

struct metric_row metric_rows_get(const struct metric_rows *rows, size_t i)
{
	return (struct metric_row){.class_id = rows->ids[i], .f = rows->f + i * rows->d, .factor = rows->factor[i]};
}

void metric_rows_rank(const struct metric_rows *rows, const int8_t *q, double *ret_z)
{
	const double norm = sqrt((double)dot_i8(q, q, rows->d));
	for (size_t c = 0; c < rows->n; c++)
		ret_z[c] = norm > 0 ? (double)dot_i8(rows->f + c * rows->d, q, rows->d) * rows->factor[c] / norm : 0;
}
