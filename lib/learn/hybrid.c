/* SPDX-License-Identifier: MIT */
/* lib/learn/hybrid.c: the integer training loop for 8/8, 8/16 and 8/32 (doc/LEARNER.md, "Hybrid quantization").
 *
 * Invariant: tests/vectors/make_learn.py computes the same numbers with integers of any size; this file holds them in
 * 64 bits, and each place says why they fit. Write L = 2^(q_b - 1), |q| <= 128, d <= 8192, b <= 256, M < 2^16:
 *
 *   master      |m| < L: int32. In the update alone |m - delta| < 2^51: int64.
 *   forward     |F| <= 127, |acc| <= 127 * 128 * 8192 < 2^27: int32; acc * 23637 < 2^42.
 *   softmax     E <= 2^30; S <= 2^30 (K + M) <= 2^47 with K, M < 2^16; S >= 64, since the largest of the K rows is taken
 *               at most 24 below the largest of all, except that M = 0 leaves the row *other* out: still T >> 24 = 64.
 *               E L + S / 2 <= 2^61 + 2^46.
 *   gradient    |g| <= L, so |G| <= 256 * 2^15 * 128 = 2^30 for q_b <= 16 (int32), 256 * 2^31 * 128 = 2^46 for 32.
 *               32 G < 2^51.
 *   momentum    Without decay |V| <= 32 * 128 L / beta 2^15 <= 40960 L: 2^30.4 for q_b <= 16, 2^46.33 for 32 (beta >=
 *               3277). A decayed row that fights its gradient could go further: the decay term and V are clamped at
 *               V_MAX (2^31 - 1, and 2^63 / 104858 for 32), which keeps all products in 63 bits: V beta < 2^62,
 *               V eta_q < 2^63 since eta_q <= 104858.
 *   update      U - e >= 38 - 40 = -2 only for q_b = 8, where V eta_q < 2^48.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/base/require.h"
#include "lib/learn/exp2_table.h"
#include "lib/learn/integer.h"
#include "lib/learn/bounds.h"
#include "lib/learn/row.h"
#include "lib/learn/train.h"

enum {
	FORWARD_BITS = 8,   /* q_f */
	LOG2_E_Q14 = 23637, /* log2(e) in Q14 */
	LOG2_E_SHIFT = 14,
	FEATURE_SHIFT = 6,    /* a feature is q / 64 */
	LOGIT_SHIFT = 16,     /* logits are Q16 */
	LOGIT_CUT = 24 << 16, /* 2^-24 and less count as 2^-24 */
	GRADIENT_SHIFT = 5,   /* Ghat = 32 G / b */
	FACTOR_SHIFT = 20,    /* eta and lambda are Q20 */
	MOMENTUM_SHIFT = 15,  /* 1 - mu is Q15 */
	ETA_Q_MAX = 104858,   /* rint(0.1 * 2^20) */
};

struct hybrid {
	size_t d, n_rows; /* the row *other* is the last */
	int bits;         /* q_b */
	int update_shift; /* U */
	int64_t limit;    /* L */
	int64_t v_max;
	int64_t eta_q, beta, lambda_q, others;
	int32_t *m;   /* n_rows x d */
	int8_t *f;    /* n_rows x d: the forward side of m */
	int64_t *v;   /* n_rows x d: V, in int32 for q_b <= 16 (by v_max) */
	int32_t *g32; /* n_rows x d: G of a minibatch; q_b <= 16 */
	int64_t *g64; /* the same for 32 */
	int *e;       /* n_rows */
	bool *zero;   /* n_rows: no exponent yet */
	int32_t *u;   /* n_rows: logits of a sample */
	int32_t *p;   /* n_rows: E of a sample */
	int64_t *row; /* d: one row in the update */
};

static void hybrid_init(const struct train_job *job, struct hybrid *ret)
{
	const struct learn_settings *s = job->settings;
	int bits = learn_width_bits(s->width);
	size_t d = job->lesson->d, n_rows = job->lesson->k + 1;
	*ret = (struct hybrid){
		.d = d,
		.n_rows = n_rows,
		.bits = bits,
		.update_shift = bits - 1 + FEATURE_SHIFT + GRADIENT_SHIFT + FACTOR_SHIFT,
		.limit = INT64_C(1) << (bits - 1),
		.v_max = bits <= 16 ? INT32_MAX : INT64_MAX / ETA_Q_MAX,
		.eta_q = (int64_t)rint(s->eta * (1 << FACTOR_SHIFT)),
		.beta = (int64_t)rint((1 << MOMENTUM_SHIFT) * (1 - s->momentum)),
		.lambda_q = (int64_t)rint(s->decay * (1 << FACTOR_SHIFT)),
		.others = job->others,
		.m = mem_zalloc(n_rows * d, sizeof(int32_t)),
		.f = mem_zalloc(n_rows * d, sizeof(int8_t)),
		.v = mem_zalloc(n_rows * d, sizeof(int64_t)),
		.g32 = bits <= 16 ? mem_zalloc(n_rows * d, sizeof(int32_t)) : NULL,
		.g64 = bits <= 16 ? NULL : mem_zalloc(n_rows * d, sizeof(int64_t)),
		.e = mem_zalloc(n_rows, sizeof(int)),
		.zero = mem_zalloc(n_rows, sizeof(bool)),
		.u = mem_zalloc(n_rows, sizeof(int32_t)),
		.p = mem_zalloc(n_rows, sizeof(int32_t)),
		.row = mem_zalloc(d, sizeof(int64_t)),
	};
	for (size_t r = 0; r < n_rows; r++) {
		const struct learn_row *start = r < job->lesson->k ? job->start[r] : NULL;
		ret->zero[r] = start == NULL || start->zero;
		if (ret->zero[r])
			continue;
		ret->e[r] = start->e;
		learn_row_masters(start, ret->m + r * d);
		for (size_t i = 0; i < d; i++)
			ret->f[r * d + i] = learn_forward(ret->m[r * d + i], bits);
	}
}

static void hybrid_deinit(struct hybrid *h)
{
	free(h->m);
	free(h->f);
	free(h->v);
	free(h->g32);
	free(h->g64);
	free(h->e);
	free(h->zero);
	free(h->u);
	free(h->p);
	free(h->row);
}

/* 2^-t in Q30, t in Q16 and 0 <= t <= LOGIT_CUT: linear between the entries of the table. */
static int32_t exp2_q30(int32_t t)
{
	int whole = t >> 16, index = t >> 8 & 0xFF;
	int64_t rest = t & 0xFF;
	int32_t a = exp2_table[index], b = exp2_table[index + 1];
	return (a - (int32_t)((a - b) * rest >> 8)) >> whole;
}

/* h->p = E of each row for the sample q; returns S. */
static int64_t softmax(struct hybrid *h, const int8_t *q)
{
	int32_t largest = INT32_MIN;
	for (size_t r = 0; r < h->n_rows; r++) {
		int shift = LOG2_E_SHIFT + FEATURE_SHIFT + h->e[r] - (h->bits - FORWARD_BITS) - LOGIT_SHIFT;
		int64_t acc = h->zero[r] ? 0 : dot_i8(h->f + r * h->d, q, h->d);
		int64_t u = rshift_saturate(acc * LOG2_E_Q14, shift, INT64_C(1) << 31);
		h->u[r] = (int32_t)(u > INT32_MAX ? INT32_MAX : u); /* from -2^31 to 2^31 - 1 */
		largest = h->u[r] > largest ? h->u[r] : largest;
	}
	int64_t sum = 0;
	for (size_t r = 0; r < h->n_rows; r++) {
		int64_t t = (int64_t)largest - h->u[r];
		h->p[r] = exp2_q30((int32_t)(t < LOGIT_CUT ? t : LOGIT_CUT));
		sum += r + 1 < h->n_rows ? h->p[r] : h->others * h->p[r];
	}
	return sum;
}

/* Adds the sample's gradient, g q for each row, to G. */
static void add_gradient(struct hybrid *h, const int8_t *restrict q, uint32_t y)
{
	int64_t sum = softmax(h, q);
	for (size_t r = 0; r < h->n_rows; r++) {
		int64_t p = (h->p[r] * h->limit + sum / 2) / sum;
		int64_t g = p - (r == y ? h->limit : 0);
		g = g > h->limit - 1 ? h->limit - 1 : g < -h->limit ? -h->limit : g;
		if (h->g32) {
			int32_t *restrict gr = h->g32 + r * h->d, g_small = (int32_t)g;
			for (size_t i = 0; i < h->d; i++)
				gr[i] += g_small * q[i];
		} else {
			int64_t *restrict gr = h->g64 + r * h->d;
			for (size_t i = 0; i < h->d; i++)
				gr[i] += g * q[i];
		}
	}
}

/* V <- V - rshift(V beta, 15) + Ghat + decay, G <- 0. Returns max |V|. */
static int64_t update_momentum(struct hybrid *h, size_t r, size_t batch)
{
	int64_t largest = 0;
	int decay_shift = h->e[r] + 10 - h->bits; /* lambda_q is Q20 and V has q_b - 1 + 11 bits below the point */
	bool decays = h->lambda_q != 0 && !h->zero[r];
	for (size_t i = r * h->d; i < (r + 1) * h->d; i++) {
		int64_t g = h->g32 ? h->g32[i] : h->g64[i];
		int64_t v = h->v[i] - shift_right_even(h->v[i] * h->beta, MOMENTUM_SHIFT);
		v += divide_even(g * (1 << GRADIENT_SHIFT), (int64_t)batch);
		if (decays)
			v += rshift_saturate(h->m[i] * h->lambda_q, decay_shift, h->v_max);
		h->v[i] = v = clamp_i64(v, h->v_max);
		largest = llabs(v) > largest ? llabs(v) : largest;
	}
	if (h->g32)
		memset(h->g32 + r * h->d, 0, h->d * sizeof *h->g32);
	else
		memset(h->g64 + r * h->d, 0, h->d * sizeof *h->g64);
	return largest;
}

/* m <- m - rshift(V eta_q, U - e), then halved until it fits. */
static void update_master(struct hybrid *h, size_t r, struct learn_report *report)
{
	int shift = h->update_shift - h->e[r];
	int64_t largest = 0;
	for (size_t i = 0; i < h->d; i++) {
		int64_t v = h->v[r * h->d + i];
		int64_t delta = rshift_saturate(v * h->eta_q, shift, INT64_C(1) << 50);
		report->updates += v != 0;
		report->lost += v != 0 && delta == 0;
		h->row[i] = h->m[r * h->d + i] - delta;
		largest = llabs(h->row[i]) > largest ? llabs(h->row[i]) : largest;
	}
	while (largest >= h->limit) {
		largest = 0;
		for (size_t i = 0; i < h->d; i++) {
			h->row[i] = shift_right_even(h->row[i], 1);
			largest = llabs(h->row[i]) > largest ? llabs(h->row[i]) : largest;
		}
		h->e[r]--;
	}
	for (size_t i = 0; i < h->d; i++) {
		h->m[r * h->d + i] = (int32_t)h->row[i];
		h->f[r * h->d + i] = learn_forward(h->m[r * h->d + i], h->bits);
	}
}

/* ceil(log2 n) of n >= 1: the bit length of n - 1. */
static int ceil_log2(int64_t n)
{
	return n == 1 ? 0 : 64 - __builtin_clzll((unsigned long long)n - 1);
}

static void step(struct hybrid *h, size_t batch, struct learn_report *report)
{
	for (size_t r = 0; r < h->n_rows; r++) {
		int64_t largest = update_momentum(h, r, batch) * h->eta_q;
		if (h->zero[r]) {
			if (largest == 0)
				continue;
			int e = h->bits - 2 - (ceil_log2(largest) - h->update_shift);
			h->e[r] = e < LEARN_E_MAX ? e : LEARN_E_MAX;
			h->zero[r] = false;
		}
		update_master(h, r, report);
	}
	report->steps++;
}

int train_hybrid(const struct train_job *job, double *ret_tw, struct learn_report *report)
{
	const struct learn_lesson *lesson = job->lesson;
	const size_t n_batches = train_batches(job->settings, lesson->n);
	struct hybrid h;
	hybrid_init(job, &h);
	uint32_t *order = mem_zalloc(lesson->n, sizeof *order);
	bool stopped = false;
	for (uint32_t epoch = 0; epoch < job->settings->epochs && !stopped; epoch++) {
		random_shuffle(lesson->seq, epoch, lesson->n, order);
		for (size_t b = 0; b < n_batches && !stopped; b++) {
			struct train_batch batch = train_batch(job->settings, lesson->n, b);
			for (size_t i = batch.from; i < batch.to; i++)
				add_gradient(&h, lesson->q + order[i] * h.d, lesson->y[order[i]]);
			step(&h, batch.to - batch.from, report);
			stopped = job->stop && job->stop(job->stop_ctx);
		}
	}
	for (size_t r = 0; r < lesson->k; r++) {
		double scale = h.zero[r] ? 0 : learn_pow2(-h.e[r]);
		for (size_t i = 0; i < h.d; i++)
			ret_tw[r * h.d + i] = h.m[r * h.d + i] * scale;
	}
	free(order);
	hybrid_deinit(&h);
	return stopped;
}
