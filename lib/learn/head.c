/* SPDX-License-Identifier: MIT */
/* lib/learn/head.c: the published rows, ready to answer.
 *
 * A class's row answers as its forward side F (8 bits), so a cosine is one exact integer dot over two square roots;
 * float/float answers with its f32 row in double, in index order. Invariant: immutable once made, so any number of
 * threads may ask. A q of zeros and an empty head are answered unknown.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/learn/integer.h"
#include "lib/learn/bounds.h"
#include "lib/learn/row.h"

enum { ROWS_AT_ONCE = 4, ID_NONE = 0 };

struct learn_head {
	enum learn_preset preset;
	size_t d, n;
	uint32_t *ids;         /* n */
	int8_t *f;             /* n x d; NULL for float/float */
	float *w;              /* n x d for float/float; NULL otherwise */
	double *norm;          /* n: |F| or |w| */
	double *unit;          /* n: what one step of F is worth in the raw logit; integer widths */
	struct learn_own *own; /* n */
};

struct learn_head *learn_head_new(const struct learn_settings *settings, size_t d, const struct learn_row *const *rows,
	const uint32_t *ids, size_t n)
{
	const bool is_float = settings->width == LEARN_FLOAT;
	REQUIRE(d >= 1 && d <= LEARN_FEATURES_MAX);
	size_t values;
	REQUIRE(size_mul(n, d, &values));
	struct learn_head *head = mem_zalloc(1, sizeof *head);
	*head = (struct learn_head){
		.preset = settings->preset,
		.d = d,
		.n = n,
		.ids = mem_zalloc(n + 1, sizeof *head->ids),
		.f = is_float ? NULL : mem_aligned(values + 1),
		.w = is_float ? mem_zalloc(values + 1, sizeof *head->w) : NULL,
		.norm = mem_zalloc(n + 1, sizeof *head->norm),
		.unit = mem_zalloc(n + 1, sizeof *head->unit),
		.own = mem_zalloc(n + 1, sizeof *head->own),
	};
	for (size_t c = 0; c < n; c++) {
		const struct learn_row *row = rows[c];
		REQUIRE(row->d == d && row->width == settings->width);
		head->ids[c] = ids[c];
		head->own[c] = row->own;
		if (is_float) {
			double sum = 0;
			for (size_t i = 0; i < d; i++)
				sum += (double)row->master.f32[i] * (double)row->master.f32[i];
			memcpy(head->w + c * d, row->master.f32, d * sizeof *head->w);
			head->norm[c] = sqrt(sum);
			continue;
		}
		int8_t *f = head->f + c * d;
		learn_row_forward(row, f);
		head->norm[c] = sqrt((double)dot_i8(f, f, d));
		head->unit[c] = row->zero ? 0 : learn_pow2(learn_width_bits(row->width) - 8 - row->e);
	}
	return head;
}

void learn_head_free(struct learn_head *head)
{
	if (!head)
		return;
	free(head->ids);
	free(head->f);
	free(head->w);
	free(head->norm);
	free(head->unit);
	free(head->own);
	free(head);
}

size_t learn_head_classes(const struct learn_head *head)
{
	return head->n;
}

/* ret_dots[n] = row . q in index order; exact for the integer widths. */
static void dots(const struct learn_head *head, const int8_t *q, double *ret_dots)
{
	const size_t d = head->d;
	size_t c = 0;
	if (head->f) {
		for (; c < head->n; c++)
			ret_dots[c] = dot_i8(head->f + c * d, q, d);
		return;
	}
	for (; c + ROWS_AT_ONCE <= head->n; c += ROWS_AT_ONCE) {
		const float *w = head->w + c * d;
		double sum[ROWS_AT_ONCE] = {0};
		for (size_t i = 0; i < d; i++)
			for (size_t j = 0; j < ROWS_AT_ONCE; j++)
				sum[j] += (double)w[j * d + i] * q[i];
		memcpy(ret_dots + c, sum, sizeof sum);
	}
	for (; c < head->n; c++) {
		double sum = 0;
		for (size_t i = 0; i < d; i++)
			sum += (double)head->w[c * d + i] * q[i];
		ret_dots[c] = sum;
	}
}

/* The best LEARN_TOP_MAX classes by key, the greatest first; of equals the smaller id first. Returns how many. */
static size_t rank(const struct learn_head *head, const double *key, size_t ret_best[LEARN_TOP_MAX])
{
	size_t n_best = 0;
	for (size_t c = 0; c < head->n; c++) {
		size_t at = n_best;
		while (at > 0 &&
			(key[c] > key[ret_best[at - 1]] ||
				(key[c] == key[ret_best[at - 1]] && head->ids[c] < head->ids[ret_best[at - 1]])))
			at--;
		if (at == LEARN_TOP_MAX)
			continue;
		n_best += n_best < LEARN_TOP_MAX;
		memmove(ret_best + at + 1, ret_best + at, (n_best - 1 - at) * sizeof *ret_best);
		ret_best[at] = c;
	}
	return n_best;
}

/* t_c, see learn_answer_constants. */
static double threshold_of(const struct learn_own *own, const struct learn_answer_constants *constants)
{
	double weight = constants->deviation_weight, n = own->n;
	if (own->n == 0 || n - 1 + weight <= 0)
		return constants->unknown_cosine;
	double variance = (own->squares + weight * (constants->deviation * constants->deviation)) / (n - 1 + weight);
	return own->mean - constants->deviations * sqrt(variance * (1 + 1 / n));
}

void learn_head_answer(const struct learn_head *head, const int8_t *q, const struct learn_answer_constants *constants,
	struct learn_answer *ret_answer)
{
	const double t = constants->temperature;
	const double q_norm = sqrt((double)dot_i8(q, q, head->d));
	double *cosine = mem_zalloc(head->n + 1, sizeof *cosine), *logit = mem_zalloc(head->n + 1, sizeof *logit);
	dots(head, q, cosine);
	for (size_t c = 0; c < head->n; c++) {
		double length = head->norm[c] * q_norm;
		logit[c] = head->f ? cosine[c] * head->unit[c] : cosine[c]; /* exact: a power of two */
		cosine[c] = length > 0 ? cosine[c] / length : 0;
	}
	struct learn_answer answer = {0};
	size_t best[LEARN_TOP_MAX];
	answer.n_top = rank(head, head->preset == LEARN_REFERENCE ? logit : cosine, best);
	answer.threshold = answer.n_top > 0 ? threshold_of(&head->own[best[0]], constants) : constants->unknown_cosine;

	double largest = answer.threshold;
	for (size_t c = 0; c < head->n; c++)
		largest = cosine[c] > largest ? cosine[c] : largest;
	double unknown = learn_exp(t * (answer.threshold - largest)), sum = unknown;
	for (size_t c = 0; c < head->n; c++)
		sum += learn_exp(t * (cosine[c] - largest));
	answer.unknown_score = q_norm > 0 ? unknown / sum : 1;
	for (size_t i = 0; i < answer.n_top; i++) {
		double s = cosine[best[i]];
		answer.top[i].id = head->ids[best[i]];
		answer.top[i].cosine = s;
		answer.top[i].score = q_norm > 0 ? learn_exp(t * (s - largest)) / sum : 0;
	}
	answer.passes = answer.n_top > 0 && q_norm > 0 && answer.top[0].cosine >= answer.threshold;
	answer.known = answer.passes && answer.top[0].id != ID_NONE;
	*ret_answer = answer;
	free(cosine);
	free(logit);
}
