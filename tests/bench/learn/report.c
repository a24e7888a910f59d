/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/report.c: see report.h. */
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "learn_bench.h"
#include "lib/base/memory.h"

/* A sum over what is not NAN. */
struct sum {
	double n, sum, squares;
};

static void sum_add(struct sum *s, double value)
{
	if (isnan(value))
		return;
	s->n++;
	s->sum += value;
	s->squares += value * value;
}

static double sum_mean(const struct sum *s)
{
	return s->n > 0 ? s->sum / s->n : (double)NAN;
}

static double sum_error(const struct sum *s)
{
	if (s->n < 2)
		return NAN;
	const double mean = s->sum / s->n, left = s->squares - s->n * mean * mean;
	return sqrt((left > 0 ? left : 0) / (s->n - 1) / s->n);
}

enum { COUNT_KNOWN, COUNT_TAUGHT, COUNT_OWN, COUNT_FOREIGN, COUNTS, COLUMNS = COUNTS + MEASURES };
static const char *const count_name[COUNTS] = {"known", "taught", "own", "foreign"};

struct cell { /* of one case, method and part */
	struct sum plans[COLUMNS], draws[COLUMNS], sets[COLUMNS];
	struct sum variances[COLUMNS]; /* squares of the sets' standard errors */
};

struct report {
	const char *model;
	char set[SET_NAME_BYTES + 1];
	FILE *csv;
	struct cell *cells; /* cases x answerers x parts */
};

static struct cell *cell_of(struct report *r, size_t i, int by, int part)
{
	return &r->cells[(i * ANSWERERS + (size_t)by) * PARTS + (size_t)part];
}

struct report *report_new(const char *model, const char *csv_path)
{
	struct report *r = mem_zalloc(1, sizeof *r);
	*r = (struct report){.model = model,
		.csv = bench_open(csv_path, "w"),
		.cells = mem_zalloc(bench_cases_count * ANSWERERS * PARTS, sizeof(struct cell))};
	fprintf(r->csv, "model,set,case,by,draws");
	for (int c = 0; c < COUNTS; c++)
		fprintf(r->csv, ",%s", count_name[c]);
	for (int m = 0; m < MEASURES; m++)
		fprintf(r->csv, ",%s,%s_error", measure_name[m], measure_name[m]);
	fprintf(r->csv, "\n");
	printf("%-18s %-12s %4s  %s\n", "case", "by", "sets",
		"right          refused        claimed        generic        blur. black white empty  AUROC generic");
	return r;
}

void report_begin_set(struct report *r, const char *set)
{
	snprintf(r->set, sizeof r->set, "%s", set);
	for (size_t i = 0; i < bench_cases_count * ANSWERERS * PARTS; i++)
		memset(r->cells[i].draws, 0, sizeof r->cells[i].draws);
}

void report_add(struct report *r, size_t case_index, enum answerer by, int part, const struct plan *plan,
	const struct outcome *outcome)
{
	struct sum *plans = cell_of(r, case_index, by, part)->plans;
	if (plan) {
		sum_add(&plans[COUNT_KNOWN], (double)plan->known.n);
		sum_add(&plans[COUNT_TAUGHT], (double)plan->n_taught / (double)plan->known.n);
		sum_add(&plans[COUNT_OWN], (double)outcome->own.n);
		sum_add(&plans[COUNT_FOREIGN], (double)outcome->foreign.n);
	}
	for (int m = 0; m < MEASURES; m++)
		sum_add(&plans[COUNTS + m], outcome->value[m]);
}

void report_end_draw(struct report *r)
{
	for (size_t i = 0; i < bench_cases_count * ANSWERERS * PARTS; i++) {
		struct cell *cell = &r->cells[i];
		for (int c = 0; c < COLUMNS; c++)
			sum_add(&cell->draws[c], sum_mean(&cell->plans[c]));
		memset(cell->plans, 0, sizeof cell->plans);
	}
}

/* ---- rows ---- */

static void case_label(size_t i, int part, char ret_label[32])
{
	snprintf(ret_label, 32, "%s", bench_cases_table[i].name);
	if (part >= PART_UNEQUAL)
		snprintf(ret_label, 32, "%s/%zu", bench_cases_table[i].name, case_unequal_count[part - PART_UNEQUAL]);
}

static void print_share(double mean, double error)
{
	if (isnan(mean))
		printf("%-15s", "-");
	else if (isnan(error))
		printf("%5.1f          ", 100 * mean);
	else
		printf("%5.1f +- %-4.1f  ", 100 * mean, 100 * error);
}

static void print_short(double mean, int digits)
{
	if (isnan(mean))
		printf("%5s ", "-");
	else
		printf("%5.*f ", digits, mean);
}

static void write_row(
	const struct report *r, const char *label, int by, double n, const double *mean, const double *error)
{
	fprintf(r->csv, "%s,%s,%s,%s,%g", r->model, r->set, label, answerer_name[by], n);
	for (int c = 0; c < COLUMNS; c++) {
		fprintf(r->csv, isnan(mean[c]) ? "," : ",%.6g", mean[c]);
		if (c >= COUNTS)
			fprintf(r->csv, isnan(error[c]) ? "," : ",%.3g", error[c]);
	}
	fprintf(r->csv, "\n");
}

static void print_row(const char *label, int by, double n, const double *mean, const double *error)
{
	static const enum measure with_error[] = {OWN_RIGHT, OWN_REFUSED, CLAIMED, CLAIMED_GENERIC},
				  without[] = {CLAIMED_BLURRED, CLAIMED_BLACK, CLAIMED_WHITE, CLAIMED_EMPTY};
	printf("%-18s %-12s %4.0f  ", label, answerer_name[by], n);
	for (size_t m = 0; m < sizeof with_error / sizeof *with_error; m++)
		print_share(mean[COUNTS + with_error[m]], error[COUNTS + with_error[m]]);
	for (size_t m = 0; m < sizeof without / sizeof *without; m++)
		print_short(100 * mean[COUNTS + without[m]], 1);
	print_short(mean[COUNTS + AREA], 3);
	print_short(mean[COUNTS + AREA_GENERIC], 3);
	printf("\n");
}

/* What the set's draws say goes into what the sets say. */
static void of_draws(struct cell *cell, double ret_mean[COLUMNS], double ret_error[COLUMNS])
{
	for (int c = 0; c < COLUMNS; c++) {
		ret_mean[c] = sum_mean(&cell->draws[c]);
		ret_error[c] = sum_error(&cell->draws[c]);
		sum_add(&cell->sets[c], ret_mean[c]);
		sum_add(&cell->variances[c], ret_error[c] * ret_error[c]);
	}
}

/* Each set has its own error; of one draw there is none. */
static void of_sets(const struct cell *cell, double ret_mean[COLUMNS], double ret_error[COLUMNS])
{
	for (int c = 0; c < COLUMNS; c++) {
		const bool all = cell->variances[c].n == cell->sets[c].n;
		ret_mean[c] = sum_mean(&cell->sets[c]);
		ret_error[c] = all ? sqrt(cell->variances[c].sum) / cell->sets[c].n : (double)NAN;
	}
}

static void rows(struct report *r, bool over_sets)
{
	const size_t per_case = (size_t)PARTS * ANSWERERS;
	for (size_t i = 0; i < bench_cases_count * per_case; i++) {
		const int part = (int)(i % per_case / ANSWERERS), by = (int)(i % ANSWERERS);
		struct cell *cell = cell_of(r, i / per_case, by, part);
		const double n = (over_sets ? cell->sets : cell->draws)[COUNT_KNOWN].n;
		double mean[COLUMNS], error[COLUMNS];
		char label[32];
		if (n == 0)
			continue;
		case_label(i / per_case, part, label);
		if (over_sets) {
			of_sets(cell, mean, error);
			print_row(label, by, n, mean, error);
		} else {
			of_draws(cell, mean, error);
		}
		write_row(r, label, by, n, mean, error);
	}
	fflush(r->csv);
}

void report_end_set(struct report *r)
{
	rows(r, false);
}

void report_free(struct report *r)
{
	snprintf(r->set, sizeof r->set, "mean");
	rows(r, true);
	if (fclose(r->csv) != 0)
		bench_die("cannot write the CSV");
	free(r->cells);
	free(r);
}
