/* SPDX-License-Identifier: MIT */
/* lib/learn/metric_state.c: the state of the second-order head.
 *
 * Of each group: W = 2^8 sum q q' - sum over classes of t_c, t_c = rint(2^8 s_c s_c' / n_c), in integers. So W, 2^8 times
 * the scatter within the classes, is a sum of what each picture and each class give, and a class that changes takes its
 * old part away and adds its new one. A rounding counts 2^-9 of the scatter's unit, where a single picture counts some
 * 500; a class whose pictures are all the same gives exactly nothing.
 *
 * Bounds, |q| <= 128 and n_c <= 2^19, all pictures <= 2^24:
 *   s_c        |s| <= 2^26: int32
 *   s_i s_j    < 2^53: exact in double; times 2^8 / n_c it is at most 2^41 (1 + 2^-51), so where n_c divides it the
 *              rounded product is off by less than 1/2 and the rounding to an integer gives the quotient itself
 *   rounding   2^41 < 2^51: adding and taking away 1.5 2^52 rounds half to even, in a vector too
 *   W          |W| < 2^8 2 2^14 2^24 = 2^47: int64, and exact as a double
 *   products   summed in int32 for at most TILE pictures: 2^22 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/learn/bounds.h"
#include "lib/learn/metric_state.h"

enum { TILE = 256, STEP = 16, FEW = 32 /* pictures, for which turning them around is not worth it */ };

size_t metric_shape_features(const struct metric_shape *shape)
{
	size_t d = 0;
	for (size_t g = 0; g < shape->n_groups; g++)
		d += shape->width[g];
	return d;
}

struct metric *metric_new(const struct metric_shape *shape)
{
	struct metric *metric = mem_zalloc(1, sizeof *metric);
	REQUIRE(shape->n_groups >= 1 && shape->n_groups <= METRIC_GROUPS_MAX);
	metric->shape.n_groups = shape->n_groups;
	for (size_t g = 0; g < shape->n_groups; g++) {
		REQUIRE(shape->width[g] >= 1 && shape->width[g] <= LEARN_FEATURES_MAX);
		REQUIRE(shape->factor[g] >= 1.0 / METRIC_FACTOR_MAX && shape->factor[g] <= METRIC_FACTOR_MAX);
		metric->shape.width[g] = shape->width[g];
		metric->shape.factor[g] = shape->factor[g];
		metric->within[g] = mem_zalloc(metric_triangle(shape->width[g]), sizeof *metric->within[g]);
	}
	metric->d = metric_shape_features(shape);
	REQUIRE(metric->d <= LEARN_FEATURES_MAX);
	return metric;
}

void metric_free(struct metric *metric)
{
	if (!metric)
		return;
	for (size_t g = 0; g < metric->shape.n_groups; g++)
		free(metric->within[g]);
	for (size_t c = 0; c < metric->n_classes; c++)
		free(metric->classes[c].sum);
	free(metric->classes);
	free(metric);
}

struct metric *metric_copy(const struct metric *metric)
{
	struct metric *copy = mem_dup(metric, sizeof *metric);
	for (size_t g = 0; g < metric->shape.n_groups; g++)
		copy->within[g] =
			mem_dup(metric->within[g], metric_triangle(metric->shape.width[g]) * sizeof *metric->within[g]);
	copy->classes = NULL;
	for (size_t c = 0; c < metric->n_classes; c++) {
		copy->classes = mem_grow(copy->classes, c, sizeof *copy->classes);
		copy->classes[c] = metric->classes[c];
		copy->classes[c].sum = mem_dup(metric->classes[c].sum, metric->d * sizeof *copy->classes[c].sum);
	}
	return copy;
}

size_t metric_features(const struct metric *metric)
{
	return metric->d;
}

size_t metric_classes(const struct metric *metric)
{
	return metric->n_classes;
}

size_t metric_pictures(const struct metric *metric)
{
	return metric->n_pictures;
}

bool metric_equal(const struct metric *a, const struct metric *b)
{
	bool equal = memcmp(&a->shape, &b->shape, sizeof a->shape) == 0 && a->n_pictures == b->n_pictures &&
		     a->n_classes == b->n_classes;
	for (size_t c = 0; equal && c < a->n_classes; c++)
		equal = a->classes[c].id == b->classes[c].id && a->classes[c].n == b->classes[c].n &&
			memcmp(a->classes[c].sum, b->classes[c].sum, a->d * sizeof *a->classes[c].sum) == 0;
	for (size_t g = 0; equal && g < a->shape.n_groups; g++)
		equal = memcmp(a->within[g], b->within[g], metric_triangle(a->shape.width[g]) * sizeof *a->within[g]) ==
			0;
	return equal;
}

/* ---- classes, in the order of their ids ---- */

/* Where the class is, or would be. */
static size_t find(const struct metric *metric, uint32_t id)
{
	size_t low = 0, high = metric->n_classes;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (metric->classes[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct metric *metric, size_t at, uint32_t id)
{
	return at < metric->n_classes && metric->classes[at].id == id;
}

/* The class becomes *to, whose sum is then the metric's; to->n 0: it goes, the caller keeps the sum. */
static void put_class(struct metric *metric, size_t at, const struct metric_class *to)
{
	const bool was = is_at(metric, at, to->id);
	struct metric_class *classes = metric->classes;
	metric->n_pictures = metric->n_pictures - (was ? classes[at].n : 0) + to->n;
	if (was)
		free(classes[at].sum);
	if (was && to->n == 0) {
		memmove(classes + at, classes + at + 1, (--metric->n_classes - at) * sizeof *classes);
	} else if (!was && to->n > 0) {
		metric->classes = classes = mem_grow(classes, metric->n_classes, sizeof *classes);
		memmove(classes + at + 1, classes + at, (metric->n_classes++ - at) * sizeof *classes);
	}
	if (to->n > 0)
		classes[at] = *to;
}

/* ---- the scatter ---- */

/* s_i s_j 2^8 / n_c to an integer; see above. */
static inline double rounded_share(double product, double scale)
{
	const double rounder = 0x1.8p52;
	return (product * scale + rounder) - rounder;
}

static double class_scale(const struct metric_class *class)
{
	return class && class->n > 0 ? (double)METRIC_SCATTER_UNIT / class->n : 0;
}

/* W += t of one class - t of another; NULL or no picture: a class that gives nothing. */
static void exchange(struct metric *metric, const struct metric_class *from, const struct metric_class *to)
{
	const double from_scale = class_scale(from), to_scale = class_scale(to);
	double *a = mem_zalloc(metric->d, sizeof *a), *b = mem_zalloc(metric->d, sizeof *b);
	for (size_t i = 0; i < metric->d; i++) {
		a[i] = from_scale > 0 ? from->sum[i] : 0;
		b[i] = to_scale > 0 ? to->sum[i] : 0;
	}
	for (size_t g = 0, at = 0; g < metric->shape.n_groups; at += metric->shape.width[g++]) {
		int64_t *w = metric->within[g];
		for (size_t i = 0; i < metric->shape.width[g]; w += ++i)
			for (size_t j = 0; j <= i; j++)
				w[j] += (int64_t)(rounded_share(a[at + i] * a[at + j], from_scale) -
						  rounded_share(b[at + i] * b[at + j], to_scale));
	}
	free(a);
	free(b);
}

/* W += sign 2^8 sum q q' of one group, d values from `at` on, picture by picture. */
static void add_few(int64_t *w, size_t width, const int8_t *q, size_t d, size_t n, int64_t sign)
{
	int32_t *sum = mem_zalloc(width, sizeof *sum);
	for (size_t i = 0; i < width; w += ++i) {
		memset(sum, 0, (i + 1) * sizeof *sum);
		for (size_t k = 0; k < n; k++) {
			const int8_t *x = q + k * d;
			const int16_t xi = x[i];
			for (size_t j = 0; j <= i; j++)
				sum[j] += xi * x[j];
		}
		for (size_t j = 0; j <= i; j++)
			w[j] += sign * METRIC_SCATTER_UNIT * sum[j];
	}
	free(sum);
}

/* The same of a tile of n pictures turned around, x[width][n], n a multiple of STEP: by pairs of values, two at a time. */
static void add_tile(int64_t *w, size_t width, const int16_t *x, size_t n, int64_t sign)
{
	for (size_t i = 0; i < width; w += ++i)
		for (size_t j = 0; j <= i; j += 2) {
			const int16_t *a = x + i * n, *b = x + j * n, *c = j < i ? b + n : b;
			int32_t first = 0, second = 0;
			for (size_t k = 0; k < n; k++) {
				first += a[k] * b[k];
				second += a[k] * c[k];
			}
			w[j] += sign * METRIC_SCATTER_UNIT * first;
			if (j < i)
				w[j + 1] += sign * METRIC_SCATTER_UNIT * second;
		}
}

static void add_products(struct metric *metric, const int8_t *q, size_t n, int64_t sign)
{
	const size_t d = metric->d;
	int16_t *x = n > FEW ? mem_aligned(d * TILE * sizeof *x) : NULL;
	while (n > FEW) {
		const size_t tile = n < TILE ? n : TILE, padded = (tile + STEP - 1) / STEP * STEP; /* with zeros */
		memset(x, 0, d * padded * sizeof *x);
		for (size_t k = 0; k < tile; k++)
			for (size_t i = 0; i < d; i++)
				x[i * padded + k] = q[k * d + i];
		for (size_t g = 0, at = 0; g < metric->shape.n_groups; at += metric->shape.width[g++])
			add_tile(metric->within[g], metric->shape.width[g], x + at * padded, padded, sign);
		q += tile * d;
		n -= tile;
	}
	free(x);
	for (size_t g = 0, at = 0; n > 0 && g < metric->shape.n_groups; at += metric->shape.width[g++])
		add_few(metric->within[g], metric->shape.width[g], q + at, d, n, sign);
}

/* The class at `at` (or would-be) becomes *to; the scatter's share of classes follows. */
static void replace(struct metric *metric, size_t at, const struct metric_class *to)
{
	exchange(metric, is_at(metric, at, to->id) ? &metric->classes[at] : NULL, to);
	put_class(metric, at, to);
}

/* ---- changes ---- */

static int check_room(const struct metric *metric, size_t at, uint32_t id, size_t n, struct err *err)
{
	const size_t before = is_at(metric, at, id) ? metric->classes[at].n : 0;
	if (n > METRIC_PICTURES_MAX - metric->n_pictures)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED, (struct err_about){.limit = METRIC_PICTURES_MAX},
			"the second-order head takes at most %d pictures", METRIC_PICTURES_MAX);
	if (n > METRIC_CLASS_PICTURES_MAX - before)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.limit = METRIC_CLASS_PICTURES_MAX},
			"the second-order head takes at most %d pictures of a class", METRIC_CLASS_PICTURES_MAX);
	if (before == 0 && metric->n_classes >= LEARN_CLASSES_MAX)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED, (struct err_about){.limit = LEARN_CLASSES_MAX},
			"the second-order head takes at most %d classes", LEARN_CLASSES_MAX);
	return 0;
}

/* What the class at `at` has, and sign times these pictures. */
static struct metric_class sum_with(
	const struct metric *metric, size_t at, uint32_t id, const int8_t *q, size_t n, int32_t sign)
{
	const size_t d = metric->d;
	struct metric_class class = {.id = id, .n = (uint32_t)n, .sum = mem_zalloc(d, sizeof *class.sum)};
	if (is_at(metric, at, id)) {
		memcpy(class.sum, metric->classes[at].sum, d * sizeof *class.sum);
		class.n = sign > 0 ? metric->classes[at].n + (uint32_t)n : metric->classes[at].n - (uint32_t)n;
	}
	for (size_t k = 0; k < n; k++)
		for (size_t i = 0; i < d; i++)
			class.sum[i] += sign * q[k * d + i];
	return class;
}

static void change(
	struct metric *metric, size_t at, const struct metric_class *to, const int8_t *q, size_t n, int64_t sign)
{
	add_products(metric, q, n, sign);
	replace(metric, at, to);
}

int metric_add(struct metric *metric, uint32_t class_id, const int8_t *q, size_t n, struct err *err)
{
	if (n == 0)
		return 0;
	const size_t at = find(metric, class_id);
	int r = check_room(metric, at, class_id, n, err);
	if (r != 0)
		return r;
	struct metric_class to = sum_with(metric, at, class_id, q, n, 1);
	change(metric, at, &to, q, n, 1);
	return 0;
}

/* No n pictures have a sum beyond this; none have none. */
static bool can_be_sum(const struct metric_class *class, size_t d)
{
	bool can = true;
	for (size_t i = 0; i < d; i++)
		can = can && llabs((long long)class->sum[i]) <= 128LL * class->n;
	return can;
}

int metric_take(struct metric *metric, uint32_t class_id, const int8_t *q, size_t n, struct err *err)
{
	if (n == 0)
		return 0;
	const size_t at = find(metric, class_id);
	if (!is_at(metric, at, class_id) || n > metric->classes[at].n)
		return err_set(err, ERR_FAILED_PRECONDITION,
			"pictures to be taken away are not in the second-order head: class %u has fewer", class_id);
	struct metric_class to = sum_with(metric, at, class_id, q, n, -1);
	if (!can_be_sum(&to, metric->d)) {
		free(to.sum);
		return err_set(err, ERR_FAILED_PRECONDITION,
			"pictures to be taken away are not in the second-order head: class %u has others", class_id);
	}
	change(metric, at, &to, q, n, -1);
	if (to.n == 0)
		free(to.sum);
	return 0;
}

static int check_merge(const struct metric *metric, const struct metric *other, struct err *err)
{
	size_t n_new = 0;
	for (size_t c = 0; c < other->n_classes; c++) {
		const struct metric_class *class = &other->classes[c];
		const size_t at = find(metric, class->id);
		int r = check_room(metric, at, class->id, class->n, err);
		if (r != 0)
			return r;
		n_new += !is_at(metric, at, class->id);
	}
	if (other->n_pictures > METRIC_PICTURES_MAX - metric->n_pictures ||
		metric->n_classes + n_new > LEARN_CLASSES_MAX)
		return err_set(err, ERR_RESOURCE_EXHAUSTED,
			"the second-order head takes at most %d pictures and %d classes", METRIC_PICTURES_MAX,
			LEARN_CLASSES_MAX);
	return 0;
}

int metric_merge(struct metric *metric, const struct metric *other, struct err *err)
{
	REQUIRE(memcmp(&metric->shape, &other->shape, sizeof metric->shape) == 0);
	int r = check_merge(metric, other, err);
	if (r != 0)
		return r;
	for (size_t g = 0; g < metric->shape.n_groups; g++)
		for (size_t i = 0; i < metric_triangle(metric->shape.width[g]); i++)
			metric->within[g][i] += other->within[g][i];
	for (size_t c = 0; c < other->n_classes; c++) {
		const struct metric_class *class = &other->classes[c];
		const size_t at = find(metric, class->id);
		struct metric_class to = {
			.id = class->id, .n = class->n, .sum = mem_dup(class->sum, metric->d * sizeof *to.sum)};
		if (!is_at(metric, at, class->id)) {
			put_class(metric, at, &to); /* its share came with the other's scatter */
			continue;
		}
		to.n += metric->classes[at].n;
		for (size_t i = 0; i < metric->d; i++)
			to.sum[i] += metric->classes[at].sum[i];
		exchange(metric, class, NULL);
		replace(metric, at, &to);
	}
	return 0;
}
