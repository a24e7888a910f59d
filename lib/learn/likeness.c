/* SPDX-License-Identifier: MIT */
/* lib/learn/likeness.c: how alike the pictures of a class are, so that the class has a threshold of its own (doc/LEARNER.md,
 * "Unknown").
 *
 * One cosine that is right for all classes does not exist: photographs of many things have class means a third of whose
 * cosine drawn or plain pictures of one kind have. But each lesson tells. A new class: its pictures' cosines with the row,
 * less what each picture owes to having made the row; for the row s = sum u_i that is exact: u_i . s / |s| with the picture
 * in, (u_i . s - u_i . u_i) / |s - u_i| without, and a trained row is close to s. A class seen again: the cosines with the
 * row as it was, which these pictures did not make.
 *
 * A picture is more like a row of many than like a row of one; what is kept is the cosine of two pictures, from which
 * known_cosine tells that with a row of r. So many lessons of one picture say the same as one lesson of them all.
 *
 * Invariant: + - x / and sqrt of doubles in index order over exact integer dots: the same bits everywhere. */
#include <math.h>
#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/learn/bounds.h"
#include "lib/learn/integer.h"
#include "lib/learn/known.h"
#include "lib/learn/likeness.h"
#include "lib/learn/near.h"
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

/* ---- cosines, counted ---- */

struct tally {
	double n, mean, squares; /* squares: of differences from the mean, summed */
};

static void tally_add(struct tally *tally, double value) /* Welford 1962 */
{
	double before = value - tally->mean;
	tally->n++;
	tally->mean += before / tally->n;
	tally->squares += before * (value - tally->mean);
}

/* Two sets as one (Chan, Golub, LeVeque 1979). */
static struct tally tally_merge(struct tally a, struct tally b)
{
	double n = a.n + b.n, apart = b.mean - a.mean;
	return (struct tally){.n = n,
		.mean = a.mean + apart * (b.n / n),
		.squares = a.squares + b.squares + apart * apart * (a.n * (b.n / n))};
}

/* ---- the groups of one class ---- */

/* u: the mean of a group's unit pictures, not of unit length: a cosine with it is the mean cosine of its pictures, so what
 * is measured is what single pictures will be asked with. */
struct group_walk {
	const struct learn_lesson *lesson;
	size_t c, at;  /* the next group */
	double *x, *u; /* d: a picture at hand, and the group */
};

static struct group_walk walk_of(const struct learn_lesson *lesson, size_t c)
{
	return (struct group_walk){.lesson = lesson,
		.c = c,
		.x = mem_zalloc(lesson->d, sizeof(double)),
		.u = mem_zalloc(lesson->d, sizeof(double))};
}

static void walk_end(struct group_walk *walk)
{
	free(walk->x);
	free(walk->u);
}

static size_t leader_of(const struct learn_lesson *lesson, size_t g)
{
	return lesson->groups ? lesson->groups->leader[g] : g;
}

/* The class's next group, in u; false: there is none, and the walk begins anew. */
static bool walk_next(struct group_walk *walk)
{
	const struct learn_lesson *lesson = walk->lesson;
	const size_t n_groups = lesson->groups ? lesson->groups->n : lesson->n, d = lesson->d;
	while (walk->at < n_groups && lesson->y[leader_of(lesson, walk->at)] != walk->c)
		walk->at++;
	if (walk->at == n_groups) {
		walk->at = 0;
		return false;
	}
	const size_t g = walk->at++, leader = leader_of(lesson, g);
	double count = 1;
	unit_of(lesson->q + leader * d, d, walk->u);
	for (size_t j = leader + 1; lesson->groups && j < lesson->n; j++) {
		if (lesson->groups->group[j] != g)
			continue;
		unit_of(lesson->q + j * d, d, walk->x);
		for (size_t i = 0; i < d; i++)
			walk->u[i] += walk->x[i];
		count++;
	}
	for (size_t i = 0; i < d; i++)
		walk->u[i] = walk->u[i] / count;
	return true;
}

/* ---- a lesson ---- */

static struct learn_likeness of_new_class(struct group_walk *walk, uint32_t cur, const struct learn_row *row)
{
	const size_t d = walk->lesson->d;
	struct learn_likeness own = {.n = cur, .r = cur};
	if (cur < 2)
		return own;
	struct direction now = direction_of(row);
	double *s = mem_zalloc(d, sizeof *s);
	while (walk_next(walk))
		for (size_t i = 0; i < d; i++)
			s[i] += walk->u[i];
	const double s2 = dot_f64(s, s, d);
	struct tally tally = {0};
	while (walk_next(walk)) {
		const double along = dot_f64(walk->u, s, d), self = dot_f64(walk->u, walk->u, d);
		const double rest2 = s2 - 2 * along + self;
		const double within = s2 > 0 ? along / sqrt(s2) : 0;
		const double alone = rest2 > 0 ? (along - self) / sqrt(rest2) : 0;
		tally_add(&tally, at_most_1(cosine(&now, walk->u) - (within - alone)));
	}
	own.mean = known_pair(tally.mean, own.r - 1);
	own.squares = tally.squares;
	free(now.w);
	free(s);
	return own;
}

/* The new row is `share` parts of the old one, which is worth r pictures, and one part of a mean of cur. */
static double pictures_worth(const struct learn_likeness *before, uint32_t cur, double n)
{
	const double share = sqrt((double)before->n / (double)cur);
	const double r = (share + 1) * (share + 1) / (share * share / before->r + 1 / (double)cur);
	return fmax(1, fmin(r, n));
}

static struct learn_likeness of_class_seen(
	struct group_walk *walk, uint32_t cur, const struct learn_row *old, bool repeats)
{
	const struct learn_likeness *before = &old->likeness;
	const double near = walk->lesson->near;
	const double repeat = repeats && near > 0 ? known_cosine(near, before->r) : 2;
	struct direction then = direction_of(old);
	struct tally fresh = {0};
	while (walk_next(walk)) {
		const double value = at_most_1(cosine(&then, walk->u));
		if (value < repeat)
			tally_add(&fresh, value);
	}
	free(then.w);
	struct learn_likeness own = *before;
	const double n = fmin(before->n + fresh.n, UINT32_MAX);
	own.r = pictures_worth(before, cur, n);
	if (fresh.n == 0)
		return own;
	if (before->n >= 2)
		fresh = tally_merge(
			(struct tally){before->n, known_cosine(before->mean, before->r), before->squares}, fresh);
	own.n = (uint32_t)n;
	own.mean = known_pair(fresh.mean, before->r);
	own.squares = fresh.squares;
	return own;
}

void likeness_measure(const struct learn_settings *settings, const struct learn_lesson *lesson, size_t c, uint32_t cur,
	struct learn_row *row)
{
	const bool is_default = settings->preset == LEARN_DEFAULT;
	struct group_walk walk = walk_of(lesson, c);
	struct learn_likeness own =
		lesson->old[c] ? of_class_seen(&walk, cur, lesson->old[c], is_default) : of_new_class(&walk, cur, row);
	const uint32_t cap = is_default && settings->past_cap ? settings->past_cap : UINT32_MAX;
	if (own.n > cap) { /* so that a class can change */
		own.squares = own.squares * (cap / (double)own.n);
		own.n = cap;
		own.r = fmin(own.r, cap);
	}
	if (own.n == 1) /* one picture, though a cap made it one, tells nothing of its like */
		own = (struct learn_likeness){.n = 1, .r = 1};
	row->likeness = own;
	walk_end(&walk);
}
