/* SPDX-License-Identifier: MIT */
/* lib/learn/likeness.c: the cosines that a class's own pictures have with its row, so that the class has a threshold of its
 * own (doc/LEARNER.md, "Unknown").
 *
 * One cosine that is right for all classes does not exist: photographs of many things have class means a third of whose
 * cosine drawn or plain pictures of one kind have. But each lesson tells: its pictures' cosines with the row, less what
 * each picture owes to having made the row. For the row s = sum x_i of unit pictures that is exact: x_i . s / |s| with
 * the picture in, (x_i . s - 1) / |s - x_i| without. A trained row is close to s; a row that an older one is merged into
 * has the lesson in it with the share 1 / (w + 1), and so much of the difference is taken off.
 *
 * Invariant: + - x / and sqrt of doubles in index order over exact integer dots: the same bits everywhere. */
#include <math.h>
#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/learn/bounds.h"
#include "lib/learn/integer.h"
#include "lib/learn/likeness.h"
#include "lib/learn/row.h"

/* A row as it answers: the forward side of integer widths, the row itself for float/float. */
struct direction {
	size_t d;
	double *w, norm;
};

static struct direction direction_of(const struct learn_row *row)
{
	struct direction dir = {.d = row->d, .w = mem_zalloc(row->d, sizeof *dir.w)};
	if (row->width == LEARN_FLOAT) {
		learn_row_values(row, dir.w);
	} else {
		int8_t *f = mem_zalloc(row->d, sizeof *f);
		learn_row_forward(row, f);
		for (size_t i = 0; i < row->d; i++)
			dir.w[i] = f[i];
		free(f);
	}
	double sum = 0;
	for (size_t i = 0; i < row->d; i++)
		sum += dir.w[i] * dir.w[i];
	dir.norm = sqrt(sum);
	return dir;
}

static double at_most_1(double cosine)
{
	return fmax(-1, fmin(1, cosine));
}

static double cosine(const struct direction *dir, const double *x)
{
	return dir->norm > 0 ? dot_f64(dir->w, x, dir->d) / dir->norm : 0;
}

/* x = q / |q|; a q of zeros stays. */
static void unit_of(const int8_t *q, size_t d, double *ret_x)
{
	double norm = sqrt((double)dot_i8(q, q, d));
	for (size_t i = 0; i < d; i++)
		ret_x[i] = norm > 0 ? q[i] / norm : 0;
}

static void likeness_add(struct learn_likeness *likeness, double value) /* Welford 1962 */
{
	double before = value - likeness->mean;
	likeness->n++;
	likeness->mean += before / likeness->n;
	likeness->squares += before * (value - likeness->mean);
}

/* Two sets as one (Chan, Golub, LeVeque 1979); at most cap pictures, if it is not 0, so that a class can change. */
static struct learn_likeness likeness_merge(struct learn_likeness a, struct learn_likeness b, uint32_t cap)
{
	if (a.n == 0 || b.n == 0)
		return a.n ? a : b;
	double n = (double)a.n + b.n, apart = b.mean - a.mean;
	struct learn_likeness both = {.n = a.n + b.n,
		.mean = a.mean + apart * (b.n / n),
		.squares = a.squares + b.squares + apart * apart * (a.n * (b.n / n))};
	if (cap && both.n > cap) {
		both.squares = both.squares * (cap / n);
		both.n = cap;
	}
	return both;
}

/* The sum of the class's unit pictures and its squared length. */
static double *sum_of_class(const struct learn_lesson *lesson, size_t c, double *x)
{
	double *s = mem_zalloc(lesson->d, sizeof *s);
	for (size_t j = 0; j < lesson->n; j++) {
		if (lesson->y[j] != c)
			continue;
		unit_of(lesson->q + j * lesson->d, lesson->d, x);
		for (size_t i = 0; i < lesson->d; i++)
			s[i] += x[i];
	}
	return s;
}

void likeness_measure(const struct learn_settings *settings, const struct learn_lesson *lesson, size_t c, uint32_t cur,
	struct learn_row *row)
{
	const struct learn_row *old = lesson->old[c];
	struct learn_likeness fresh = {0}, before = old ? old->likeness : (struct learn_likeness){0};
	if (!old && cur < 2)
		return; /* one picture tells nothing of its like */
	double *x = mem_zalloc(lesson->d, sizeof *x), *s = sum_of_class(lesson, c, x);
	struct direction now = direction_of(row), then = {0};
	double s2 = dot_f64(s, s, lesson->d), share = 1;
	if (old) {
		then = direction_of(old);
		share = 1 / (sqrt((double)old->past / (double)cur) + 1);
		/* The old pictures as the new row sees them: what lies off the old row is as good as at right angles. */
		double turned = then.norm > 0 ? cosine(&now, then.w) / then.norm : 0;
		before.mean = at_most_1(before.mean * turned); /* of equal pictures `turned` may round to above 1 */
	}
	for (size_t j = 0; j < lesson->n; j++) {
		if (lesson->y[j] != c)
			continue;
		unit_of(lesson->q + j * lesson->d, lesson->d, x);
		double along = dot_f64(x, s, lesson->d), rest2 = s2 - 2 * along + 1, value = cosine(&now, x);
		if (cur < 2)
			value = cosine(&then, x);
		else if (s2 > 0 && rest2 > 0)
			value -= share * (along / sqrt(s2) - (along - 1) / sqrt(rest2));
		likeness_add(&fresh, at_most_1(value));
	}
	row->likeness = likeness_merge(before, fresh, settings->past_cap);
	row->likeness.mean = at_most_1(row->likeness.mean);
	free(now.w);
	free(then.w);
	free(s);
	free(x);
}
