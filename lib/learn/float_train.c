/* SPDX-License-Identifier: MIT */
/* lib/learn/float_train.c: the training loop in double, the yardstick of the integer ones (float/float).
 *
 * Invariant: every sum runs in index order and the exponential is our own, so the rows are the same bits on every CPU.
 * Several rows are summed side by side, which changes no order.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/learn/bounds.h"
#include "lib/learn/row.h"
#include "lib/learn/train.h"

enum { ROWS_AT_ONCE = 4 }; /* independent sums, so that one addition need not wait for the last */

struct float_state {
	size_t d, n_rows;  /* the row *other* is the last */
	double *w, *v, *g; /* n_rows x d */
	double *x;         /* d: a sample */
	double *z;         /* n_rows: its logits, then its probabilities */
};

static void logits(struct float_state *f)
{
	const double *x = f->x;
	size_t r = 0;
	for (; r + ROWS_AT_ONCE <= f->n_rows; r += ROWS_AT_ONCE) {
		const double *w = f->w + r * f->d;
		double sum[ROWS_AT_ONCE] = {0};
		for (size_t i = 0; i < f->d; i++)
			for (size_t j = 0; j < ROWS_AT_ONCE; j++)
				sum[j] += w[j * f->d + i] * x[i];
		memcpy(f->z + r, sum, sizeof sum);
	}
	for (; r < f->n_rows; r++) {
		double sum = 0;
		for (size_t i = 0; i < f->d; i++)
			sum += f->w[r * f->d + i] * x[i];
		f->z[r] = sum;
	}
}

static void add_gradient(struct float_state *f, const int8_t *q, uint32_t y, uint32_t others)
{
	for (size_t i = 0; i < f->d; i++)
		f->x[i] = q[i] / (double)LEARN_FEATURE_UNIT;
	logits(f);
	double largest = f->z[0], sum = 0;
	for (size_t r = 1; r < f->n_rows; r++)
		largest = f->z[r] > largest ? f->z[r] : largest;
	for (size_t r = 0; r < f->n_rows; r++) {
		f->z[r] = learn_exp(f->z[r] - largest);
		sum += r + 1 < f->n_rows ? f->z[r] : others * f->z[r];
	}
	for (size_t r = 0; r < f->n_rows; r++) {
		double g = f->z[r] / sum - (r == y ? 1.0 : 0.0);
		double *restrict gr = f->g + r * f->d;
		for (size_t i = 0; i < f->d; i++)
			gr[i] += g * f->x[i];
	}
}

static void step(struct float_state *f, const struct learn_settings *s, size_t batch, struct learn_report *report)
{
	for (size_t i = 0; i < f->n_rows * f->d; i++) {
		f->v[i] = s->momentum * f->v[i] + f->g[i] / (double)batch + s->decay * f->w[i];
		double moved = f->w[i] - s->eta * f->v[i];
		report->updates += f->v[i] != 0;
		report->lost += f->v[i] != 0 && moved == f->w[i];
		f->w[i] = moved;
	}
	memset(f->g, 0, f->n_rows * f->d * sizeof *f->g);
	report->steps++;
}

int train_float(const struct train_job *job, double *ret_tw, struct learn_report *report)
{
	const struct learn_lesson *lesson = job->lesson;
	const size_t n_batches = train_batches(job->settings, lesson->n), d = lesson->d, n_rows = lesson->k + 1;
	struct float_state f = {
		.d = d,
		.n_rows = n_rows,
		.w = mem_zalloc(n_rows * d, sizeof(double)),
		.v = mem_zalloc(n_rows * d, sizeof(double)),
		.g = mem_zalloc(n_rows * d, sizeof(double)),
		.x = mem_zalloc(d, sizeof(double)),
		.z = mem_zalloc(n_rows, sizeof(double)),
	};
	for (size_t r = 0; r < lesson->k; r++)
		if (job->start[r])
			learn_row_values(job->start[r], f.w + r * d);
	uint32_t *order = mem_zalloc(lesson->n, sizeof *order);
	bool stopped = false;
	for (uint32_t epoch = 0; epoch < job->settings->epochs && !stopped; epoch++) {
		random_shuffle(lesson->seq, epoch, lesson->n, order);
		for (size_t b = 0; b < n_batches && !stopped; b++) {
			struct train_batch batch = train_batch(job->settings, lesson->n, b);
			for (size_t i = batch.from; i < batch.to; i++)
				add_gradient(&f, lesson->q + order[i] * d, lesson->y[order[i]], job->others);
			step(&f, job->settings, batch.to - batch.from, report);
			stopped = job->stop && job->stop(job->stop_ctx);
		}
	}
	memcpy(ret_tw, f.w, lesson->k * d * sizeof *ret_tw);
	free(order);
	free(f.w);
	free(f.v);
	free(f.g);
	free(f.x);
	free(f.z);
	return stopped;
}
