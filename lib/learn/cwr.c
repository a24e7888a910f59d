/* SPDX-License-Identifier: MIT */
/* lib/learn/cwr.c: one lesson of CWR* (Lomonaco, Maltoni, Pellegrini 2020): train working rows, then consolidate.
 *
 * Invariant: consolidation is double arithmetic in index order with + - x / and sqrt alone (all exact by IEEE 754), so
 * new rows are the same bits everywhere. It refuses a lesson after which a row would have no direction.
 */
#include <math.h>
#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/learn/bounds.h"
#include "lib/learn/likeness.h"
#include "lib/learn/near.h"
#include "lib/learn/row.h"
#include "lib/learn/train.h"

/* |tw - m|^2 / |tw|^2 up to which a row has no direction but the rounding of m: a step of 8/32 is above 2^-70. */
#define NOTHING_LEFT 0x1p-80

/* M. The reference code has rows for all classes there will ever be; those of no class in this lesson start equal and
 * get equal gradients, so they are one row that counts C_total - K times. */
static uint32_t others_of(const struct learn_settings *settings, const struct learn_lesson *lesson)
{
	if (settings->preset == LEARN_DEFAULT)
		return settings->others;
	size_t total = settings->classes_total;
	if (total == 0)
		total = lesson->k + (lesson->n_known_others > 0 ? lesson->n_known_others : 1);
	return total > lesson->k ? (uint32_t)(total - lesson->k) : 0;
}

/* The number of samples of each class. */
static uint32_t *count_samples(const struct learn_lesson *lesson)
{
	uint32_t *cur = mem_zalloc(lesson->k, sizeof *cur);
	for (size_t i = 0; i < lesson->n; i++) {
		REQUIRE(lesson->y[i] < lesson->k);
		cur[lesson->y[i]]++;
	}
	for (size_t c = 0; c < lesson->k; c++)
		REQUIRE(cur[c] > 0);
	return cur;
}

static double squared_norm(const double *w, size_t d)
{
	double sum = 0;
	for (size_t i = 0; i < d; i++)
		sum += w[i] * w[i];
	return sum;
}

/* w / |w|; a row of zeros stays. */
static void make_unit(double *w, size_t d)
{
	double norm = sqrt(squared_norm(w, d));
	for (size_t i = 0; i < d && norm > 0; i++)
		w[i] = w[i] / norm;
}

/* r: tw - m of a class that has the row old (NULL: none), seen in cur samples; r becomes its new row. */
static void consolidate(const struct learn_settings *settings, size_t d, const struct learn_row *old, uint32_t cur,
	double *r, double *scratch)
{
	if (settings->preset == LEARN_DEFAULT)
		make_unit(r, d);
	if (!old)
		return;
	learn_row_values(old, scratch);
	if (settings->preset == LEARN_DEFAULT)
		make_unit(scratch, d);
	double weight = sqrt((double)old->likeness.n / (double)cur);
	for (size_t i = 0; i < d; i++)
		r[i] = (weight * scratch[i] + r[i]) / (weight + 1);
}

/* Step 3: tw (k x d working rows) becomes the consolidated rows, of which it is not told yet how alike their pictures are. */
static int consolidate_all(const struct learn_settings *settings, const struct learn_lesson *lesson,
	const uint32_t *cur, double *tw, struct learn_row **ret_rows, struct err *err)
{
	const size_t d = lesson->d;
	double sum = 0, *scratch = mem_zalloc(d, sizeof *scratch);
	for (size_t i = 0; i < lesson->k * d; i++)
		sum += tw[i];
	double mean = sum / (double)(lesson->k * d);
	int r = 0;
	size_t done = 0;
	for (; done < lesson->k && r == 0; done++) {
		double *row = tw + done * d;
		double before = squared_norm(row, d);
		for (size_t i = 0; i < d; i++)
			row[i] = row[i] - mean;
		ret_rows[done] = NULL;
		if (squared_norm(row, d) <= before * NOTHING_LEFT) {
			r = err_set(err, ERR_INVALID_ARGUMENT, "there is nothing to learn from these pictures");
			continue;
		}
		const struct learn_row *old = lesson->old[done];
		consolidate(settings, d, old, cur[done], row, scratch);
		r = learn_row_from_values(settings->width, d, row, 1, &ret_rows[done], err);
	}
	for (size_t c = 0; r != 0 && c < done; c++) {
		learn_row_free(ret_rows[c]);
		ret_rows[c] = NULL;
	}
	free(scratch);
	return r;
}

/* The lesson as it is trained: near-duplicates merged, in arrays of its own (free q and y). */
static struct learn_lesson merged_lesson(const struct learn_lesson *lesson)
{
	struct learn_lesson merged = *lesson;
	if (!lesson->groups) {
		merged.q = mem_dup(lesson->q, lesson->n * lesson->d);
		merged.y = mem_dup(lesson->y, lesson->n * sizeof *lesson->y);
		return merged;
	}
	merged.n = lesson->groups->n;
	int8_t *q = mem_zalloc(merged.n, lesson->d);
	uint32_t *y = mem_zalloc(merged.n, sizeof *y);
	near_merge(lesson->groups, lesson->q, lesson->y, lesson->n, lesson->d, q, y);
	merged.q = q;
	merged.y = y;
	return merged;
}

int learn_train(const struct learn_settings *settings, const struct learn_lesson *lesson, bool (*stop)(void *ctx),
	void *stop_ctx, struct learn_row **ret_rows, struct learn_report *ret_report, struct err *err)
{
	int r = learn_settings_check(settings, err);
	if (r != 0)
		return r;
	REQUIRE(lesson->d >= 1 && lesson->d <= LEARN_FEATURES_MAX);
	REQUIRE(lesson->k >= 1 && lesson->k <= LEARN_CLASSES_MAX && lesson->n_known_others <= LEARN_CLASSES_MAX);
	REQUIRE(lesson->n <= UINT32_MAX);
	for (size_t c = 0; c < lesson->k; c++)
		REQUIRE(!lesson->old[c] ||
			(lesson->old[c]->width == settings->width && lesson->old[c]->d == lesson->d));

	const struct learn_lesson merged = merged_lesson(lesson);
	const struct learn_row **nothing = mem_zalloc(lesson->k, sizeof *nothing);
	struct train_job job = {
		.settings = settings,
		.lesson = &merged,
		.others = others_of(settings, lesson),
		.start = settings->preset == LEARN_REFERENCE ? lesson->old : nothing,
		.stop = stop,
		.stop_ctx = stop_ctx,
	};
	uint32_t *cur = count_samples(&merged);
	double *tw = mem_zalloc(lesson->k * lesson->d, sizeof *tw);
	struct learn_report report = {0};
	int stopped = settings->width == LEARN_FLOAT ? train_float(&job, tw, &report) : train_hybrid(&job, tw, &report);
	if (stopped)
		r = err_set(err, ERR_CANCELLED, "the lesson was stopped; nothing has changed");
	else
		r = consolidate_all(settings, &merged, cur, tw, ret_rows, err);
	for (size_t c = 0; r == 0 && c < lesson->k; c++)
		likeness_measure(settings, lesson, c, cur[c], ret_rows[c]);
	if (r == 0 && ret_report)
		*ret_report = report;
	free(tw);
	free(cur);
	free(nothing);
	free((void *)merged.q);
	free((void *)merged.y);
	return r;
}
