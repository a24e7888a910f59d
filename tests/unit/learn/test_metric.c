/* SPDX-License-Identifier: MIT */
/* The second-order head: a state is its pictures, whatever came and went; and what has no metric is ranked by means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/random.h"
#include "lib/learn/metric.h"

enum { D = 23, N = 40, N_CLASSES = 6, D_MANY = 96, N_COUNTED = 4 };
static const struct metric_shape shape = {.n_groups = 4, .width = {9, 1, 12, 1}, .factor = {1.5, 1, 0.75, 1}};

static int8_t draw(uint64_t *seed)
{
	return (int8_t)((int)splitmix64_below(seed, 255) - 127);
}

/* N pictures of D values and their classes; ids are not in order. */
static void draw_pictures(uint64_t seed, int8_t q[N][D], uint32_t ids[N])
{
	for (int k = 0; k < N; k++) {
		ids[k] = 1000u - 7u * (uint32_t)splitmix64_below(&seed, N_CLASSES);
		for (int i = 0; i < D; i++)
			q[k][i] = draw(&seed);
	}
}

static struct metric *state_of(const int8_t q[][D], const uint32_t *ids, const int *order, int n)
{
	struct metric *metric = metric_new(&shape);
	for (int k = 0; k < n; k++)
		assert_int_equal(metric_add(metric, ids[order[k]], q[order[k]], 1, NULL), 0);
	return metric;
}

static void assert_same_rows(const struct metric *a, const struct metric *b)
{
	struct metric_rows *x = metric_rows_new(a), *y = metric_rows_new(b);
	assert_int_equal(metric_rows_classes(x), metric_rows_classes(y));
	for (size_t c = 0; c < metric_rows_classes(x); c++) {
		struct metric_row r = metric_rows_get(x, c), s = metric_rows_get(y, c);
		assert_int_equal(r.class_id, s.class_id);
		assert_memory_equal(r.f, s.f, metric_features(a));
		assert_memory_equal(&r.factor, &s.factor, sizeof r.factor);
		assert_memory_equal(&r.share, &s.share, sizeof r.share);
	}
	metric_rows_free(x);
	metric_rows_free(y);
}

static void test_order_and_past_do_not_matter(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		int8_t q[N][D];
		uint32_t ids[N];
		int order[N], reversed[N / 2];
		draw_pictures(seed, q, ids);
		for (int k = 0; k < N; k++)
			order[k] = k;
		for (int k = 0; k < N / 2; k++)
			reversed[k] = N / 2 - 1 - k;
		struct metric *half = state_of(q, ids, order, N / 2), *same = state_of(q, ids, reversed, N / 2);
		struct metric *all = state_of(q, ids, order, N);
		assert_true(metric_equal(half, same));
		assert_false(metric_equal(half, all));
		uint64_t random = seed;
		for (int k = N - 1; k > 0; k--) { /* the other half is taken away in any order */
			int j = (int)splitmix64_below(&random, (uint64_t)k + 1), swap = order[k];
			order[k] = order[j];
			order[j] = swap;
		}
		for (int k = 0; k < N; k++)
			if (order[k] >= N / 2)
				assert_int_equal(metric_take(all, ids[order[k]], q[order[k]], 1, NULL), 0);
		assert_true(metric_equal(half, all));
		assert_same_rows(half, all);
		metric_free(half);
		metric_free(same);
		metric_free(all);
	}
}

static void test_several_pictures_at_once_are_as_one_by_one(void **state)
{
	(void)state;
	int8_t q[N][D];
	uint32_t ids[N];
	int order[N];
	draw_pictures(3, q, ids);
	for (int k = 0; k < N; k++) {
		ids[k] = k < 25;
		order[k] = k;
	}
	struct metric *one = state_of(q, ids, order, N), *several = metric_new(&shape);
	assert_int_equal(metric_add(several, 0, q[25], N - 25, NULL), 0);
	assert_int_equal(metric_add(several, 1, q[0], 25, NULL), 0);
	assert_int_equal(metric_add(several, 9, q[0], 0, NULL), 0); /* none: no class */
	assert_true(metric_equal(one, several));
	assert_int_equal(metric_take(one, 1, q[3], 1, NULL), 0);
	assert_int_equal(metric_take(one, 1, q[4], 20, NULL), 0);
	assert_int_equal(metric_take(several, 1, q[3], 21, NULL), 0);
	assert_true(metric_equal(one, several));
	metric_free(one);
	metric_free(several);
}

static void test_merged_states_are_one(void **state)
{
	(void)state;
	int8_t q[N][D];
	uint32_t ids[N];
	int order[N];
	draw_pictures(4, q, ids);
	for (int k = 0; k < N; k++)
		order[k] = k;
	ids[0] = 5;     /* a class of the first alone */
	ids[N - 1] = 6; /* and of the second */
	struct metric *all = state_of(q, ids, order, N);
	struct metric *a = state_of(q, ids, order, 15), *b = state_of(q, ids, order + 15, N - 15);
	struct metric *copy = metric_copy(a);
	assert_int_equal(metric_merge(a, b, NULL), 0);
	assert_true(metric_equal(a, all));
	assert_same_rows(a, all);
	assert_false(metric_equal(a, copy)); /* which has not changed with it */
	assert_int_equal(metric_pictures(copy), 15);
	assert_int_equal(metric_merge(b, copy, NULL), 0);
	assert_true(metric_equal(b, all));
	metric_free(all);
	metric_free(a);
	metric_free(b);
	metric_free(copy);
}

static void test_a_class_goes_wholly(void **state)
{
	(void)state;
	int8_t q[N][D];
	uint32_t ids[N];
	draw_pictures(5, q, ids);
	struct metric *metric = metric_new(&shape), *empty = metric_new(&shape);
	assert_int_equal(metric_add(metric, 7, q[0], 4, NULL), 0);
	struct metric *before = metric_copy(metric);
	assert_int_equal(metric_add(metric, 3, q[4], 5, NULL), 0);
	assert_int_equal(metric_classes(metric), 2);
	assert_int_equal(metric_take(metric, 3, q[4], 5, NULL), 0);
	assert_int_equal(metric_classes(metric), 1);
	assert_true(metric_equal(metric, before));
	assert_int_equal(metric_take(metric, 7, q[0], 4, NULL), 0);
	assert_true(metric_equal(metric, empty));
	struct metric_rows *rows = metric_rows_new(metric);
	assert_int_equal(metric_rows_classes(rows), 0);
	assert_true(metric_rows_are_means(rows));
	metric_rows_free(rows);
	metric_free(metric);
	metric_free(before);
	metric_free(empty);
}

static void test_what_is_not_there_cannot_be_taken(void **state)
{
	(void)state;
	int8_t q[N][D];
	uint32_t ids[N];
	struct err err = {0};
	draw_pictures(6, q, ids);
	struct metric *metric = metric_new(&shape);
	assert_int_equal(metric_add(metric, 7, q[0], 2, NULL), 0);
	struct metric *before = metric_copy(metric);
	assert_int_equal(metric_take(metric, 8, q[0], 1, &err), -ERR_FAILED_PRECONDITION);
	assert_int_equal(metric_take(metric, 7, q[0], 3, &err), -ERR_FAILED_PRECONDITION);
	assert_int_equal(metric_take(metric, 7, q[1], 2, &err), -ERR_FAILED_PRECONDITION); /* other two */
	assert_true(metric_equal(metric, before));
	metric_free(metric);
	metric_free(before);
}

/* 2^31 / 127^2: int32 would hold the products of 133,144 such pictures. */
static void test_many_pictures_at_the_ends_do_not_overflow(void **state)
{
	(void)state;
	enum { WIDTH = 3, ONCE = 1 << 17, N_ENDS = 200 };
	const struct metric_shape narrow = {.n_groups = 1, .width = {WIDTH}, .factor = {1}};
	int8_t *q = malloc(ONCE * WIDTH);
	for (size_t k = 0; k < ONCE; k++) {
		q[k * WIDTH] = 127;
		q[k * WIDTH + 1] = -127;
		q[k * WIDTH + 2] = k % 2 ? 127 : -127;
	}
	struct metric *metric = metric_new(&narrow), *more = metric_new(&narrow);
	struct err err = {0};
	assert_int_equal(metric_add(metric, 1, q, N_ENDS, NULL), 0);
	double few[WIDTH], many[WIDTH];
	assert_false(metric_exact_rows(metric, few));
	assert_int_equal(metric_take(metric, 1, q, N_ENDS, NULL), 0);
	for (uint32_t id = 0; id < METRIC_PICTURES_MAX / METRIC_CLASS_PICTURES_MAX; id++) {
		for (int k = 0; k < METRIC_CLASS_PICTURES_MAX / ONCE; k++)
			assert_int_equal(metric_add(metric, id, q, ONCE, NULL), 0);
		assert_int_equal(metric_add(metric, id, q, 1, &err), -ERR_RESOURCE_EXHAUSTED);
	}
	assert_int_equal(metric_pictures(metric), METRIC_PICTURES_MAX);
	assert_int_equal(metric_add(metric, 1000, q, 1, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(metric_add(more, 1000, q, 1, NULL), 0);
	assert_int_equal(metric_merge(metric, more, &err), -ERR_RESOURCE_EXHAUSTED);
	double *rows = malloc(metric_classes(metric) * WIDTH * sizeof *rows);
	assert_false(metric_exact_rows(metric, rows));
	/* Every class has the same pictures: S is known. 0 0 0 but for the third value's 127^2 (nearly: nu < n). */
	memcpy(many, rows, sizeof many);
	for (size_t i = 0; i < metric_classes(metric) * WIDTH; i++)
		assert_true(rows[i] == many[i % WIDTH]);
	assert_true(many[0] > 0 && many[0] == -many[1] && many[2] == 0);
	assert_true(few[0] > 0 && few[0] == -few[1] && few[2] == 0);
	/* row = S^-1 s / sqrt(s' S^-1 s): with the shrunk S = diag(a, a, b), 127 (1, -1, 0) / sqrt(2 a) / 127. */
	double t = 127.0 * 127 * (METRIC_PICTURES_MAX / (double)(METRIC_PICTURES_MAX - metric_classes(metric)));
	double nu = (double)(METRIC_PICTURES_MAX - metric_classes(metric));
	double rho = ((1 - 2.0 / 3) + 1) / ((nu + 1 - 2.0 / 3) * (1 - 1.0 / 3));
	double expected = 1 / sqrt(2 * sqrt(rho) * t / 3);
	assert_true(fabs(many[0] / expected - 1) < 1e-9);
	free(rows);
	free(q);
	metric_free(metric);
	metric_free(more);
}

/* Whether the rows are the class means, and point as they do. */
static void assert_means(const struct metric *metric, const int8_t *q, size_t n_each)
{
	const size_t n = metric_classes(metric), d = metric_features(metric);
	double *rows = malloc(n * d * sizeof *rows);
	assert_true(metric_exact_rows(metric, rows));
	for (size_t c = 0; c < n; c++) {
		double sum[D] = {0}, squares = 0;
		for (size_t i = 0; i < n_each * d; i++)
			sum[i % d] += q[c * n_each * d + i];
		for (size_t i = 0; i < d; i++)
			squares += sum[i] * sum[i];
		for (size_t i = 0; i < d; i++)
			assert_true(fabs(rows[c * d + i] - sum[i] / sqrt(squares)) < 1e-12);
	}
	free(rows);
}

static void test_without_a_metric_means_rank(void **state)
{
	(void)state;
	int8_t q[N][D], z_is[D];
	uint32_t ids[N];
	draw_pictures(7, q, ids);
	struct metric *one_each = metric_new(&shape), *equal = metric_new(&shape), *half = metric_new(&shape);
	for (uint32_t c = 0; c < 5; c++) /* nu = 0 */
		assert_int_equal(metric_add(one_each, c, q[c], 1, NULL), 0);
	assert_means(one_each, q[0], 1);
	for (int k = 1; k < 7; k++) /* a class that is all one picture: its scatter is zero, sevenths and all */
		memcpy(q[k], q[0], D);
	assert_int_equal(metric_add(equal, 4, q[0], 7, NULL), 0);
	assert_means(equal, q[0], 7);
	for (int k = 8; k < 14; k++) /* one group of width 1 that never differs */
		q[k][9] = q[7][9];
	assert_int_equal(metric_add(half, 4, q[7], 7, NULL), 0);
	assert_means(half, q[7], 7);
	struct metric_rows *rows = metric_rows_new(half);
	double z;
	memset(z_is, 0, sizeof z_is);
	metric_rows_rank(rows, z_is, &z);
	assert_true(z == 0);
	metric_rows_free(rows);
	/* One picture that differs there, and there is a metric. */
	assert_int_equal(metric_add(half, 4, q[20], 1, NULL), 0);
	rows = metric_rows_new(half);
	assert_false(metric_rows_are_means(rows));
	metric_rows_free(rows);
	metric_free(one_each);
	metric_free(equal);
	metric_free(half);
}

/* Two classes far apart where each is spread widely, and a little where it is not: the little tells more. */
static void test_the_metric_ranks_where_means_fail(void **state)
{
	(void)state;
	enum { EACH = 10 };
	const struct metric_shape flat = {.n_groups = 1, .width = {2}, .factor = {1}};
	struct metric *metric = metric_new(&flat), *means = metric_new(&flat);
	for (uint32_t c = 0; c < 2; c++) {
		const int8_t side = c ? -1 : 1, middle[2] = {(int8_t)(side * 30), (int8_t)(side * 10)};
		assert_int_equal(metric_add(means, c, middle, 1, NULL), 0);
		for (int k = 0; k < EACH; k++) {
			const int8_t away = k % 2 ? -1 : 1;
			const int8_t q[2] = {(int8_t)(middle[0] + away * 60), (int8_t)(middle[1] + away)};
			assert_int_equal(metric_add(metric, c, q, 1, NULL), 0);
		}
	}
	struct metric_rows *by_metric = metric_rows_new(metric), *by_means = metric_rows_new(means);
	const int8_t asked[2] = {10, -10};
	double z[2], cosine[2];
	metric_rows_rank(by_metric, asked, z);
	metric_rows_rank(by_means, asked, cosine);
	assert_true(z[1] > z[0]);
	assert_true(cosine[1] < cosine[0]);
	metric_rows_free(by_metric);
	metric_rows_free(by_means);
	metric_free(metric);
	metric_free(means);
}

/* F has 8 bits: each value of a row is within half a step of what it stands for; and z is what the row says. */
static void assert_rounded(const struct metric *metric, const int8_t *q)
{
	const size_t n = metric_classes(metric), d = metric_features(metric);
	struct metric_rows *rows = metric_rows_new(metric);
	const double *common = metric_rows_common(rows);
	double *exact = malloc(n * d * sizeof *exact), *z = malloc(n * sizeof *z), norm = 0;
	assert_int_equal(metric_exact_rows(metric, exact), metric_rows_are_means(rows));
	metric_rows_rank(rows, q, z);
	for (size_t i = 0; i < d; i++)
		norm += (double)q[i] * q[i];
	for (size_t c = 0; c < n; c++) {
		struct metric_row row = metric_rows_get(rows, c);
		double dot = 0;
		for (size_t i = 0; i < d; i++) {
			double value = row.share * common[i] + row.factor * row.f[i];
			assert_true(fabs(exact[c * d + i] - value) <= row.factor * 0.5000001 + 1e-15);
			dot += value * q[i];
		}
		assert_true(fabs(z[c] - dot / sqrt(norm)) < 1e-12);
	}
	free(exact);
	free(z);
	metric_rows_free(rows);
}

static void test_published_rows_are_within_half_a_step(void **state)
{
	(void)state;
	int8_t q[N][D];
	uint32_t ids[N];
	int order[N];
	draw_pictures(8, q, ids);
	for (int k = 0; k < N; k++)
		order[k] = k;
	struct metric *metric = state_of(q, ids, order, N), *one = metric_new(&shape), *means = metric_new(&shape);
	assert_rounded(metric, q[0]);
	assert_int_equal(metric_add(one, 3, q[0], 9, NULL), 0); /* of one class V is all there is */
	assert_rounded(one, q[1]);
	for (uint32_t c = 0; c < 9; c++)
		assert_int_equal(metric_add(means, c, q[c], 1, NULL), 0);
	assert_rounded(means, q[3]);
	metric_free(metric);
	metric_free(one);
	metric_free(means);
}

/* Pictures of one scene, whose classes differ by a little: rows are close, and the 8 bits are kept for what differs. */
static void test_a_common_scene_costs_no_bits(void **state)
{
	(void)state;
	enum { EACH = 12, STATES = 3 };
	uint64_t seed = 9;
	int8_t scene[D], own[STATES][D], q[STATES][EACH][D];
	struct metric *metric = metric_new(&shape);
	for (int i = 0; i < D; i++)
		scene[i] = (int8_t)(draw(&seed) * 3 / 4);
	for (uint32_t c = 0; c < STATES; c++) {
		for (int i = 0; i < D; i++)
			own[c][i] = (int8_t)((int)splitmix64_below(&seed, 7) - 3);
		for (int k = 0; k < EACH; k++)
			for (int i = 0; i < D; i++)
				q[c][k][i] = (int8_t)(scene[i] + own[c][i] + (int)splitmix64_below(&seed, 5) - 2);
		assert_int_equal(metric_add(metric, c, q[c][0], EACH, NULL), 0);
	}
	double exact[STATES * D], z[STATES];
	struct metric_rows *rows = metric_rows_new(metric);
	assert_false(metric_exact_rows(metric, exact));
	for (size_t c = 0; c < STATES; c++) {
		double largest = 0;
		for (size_t i = 0; i < D; i++)
			largest = fmax(largest, fabs(exact[c * D + i]));
		assert_true(metric_rows_get(rows, c).factor < 0.1 * largest / 127);
		for (size_t k = 0; k < EACH; k++) {
			metric_rows_rank(rows, q[c][k], z);
			assert_true(z[c] >= z[0] && z[c] >= z[1] && z[c] >= z[2]);
		}
	}
	metric_rows_free(rows);
	metric_free(metric);
}

/* The first group is as class 0's, the second as class 1's: what counts more decides. */
static void test_a_factor_says_what_a_group_counts(void **state)
{
	(void)state;
	enum { EACH = 10 };
	static const double factors[][2] = {{4, 1}, {1, 4}};
	for (size_t first = 0; first < 2; first++) {
		const struct metric_shape pair = {
			.n_groups = 2, .width = {2, 2}, .factor = {factors[first][0], factors[first][1]}};
		struct metric *metric = metric_new(&pair);
		for (uint32_t c = 0; c < 2; c++)
			for (int k = 0; k < EACH; k++) {
				const int8_t side = c ? -1 : 1, away = k % 2 ? -9 : 9, other = k % 3 ? -9 : 9;
				const int8_t q[4] = {(int8_t)(side * 30 + away), (int8_t)(20 + other),
					(int8_t)(side * 30 + other), (int8_t)(20 + away)};
				assert_int_equal(metric_add(metric, c, q, 1, NULL), 0);
			}
		struct metric_rows *rows = metric_rows_new(metric);
		const int8_t asked[4] = {30, 20, -30, 20};
		double z[2];
		metric_rows_rank(rows, asked, z);
		assert_true(first == 0 ? z[0] > z[1] : z[1] > z[0]);
		metric_rows_free(rows);
		metric_free(metric);
	}
}

/* Classes that differ by their centres' signs, in noise that is wider; q of picture k of class c. */
static void draw_noisy(uint64_t seed, int c, int8_t q[D_MANY])
{
	uint64_t centre = 1000u + (uint64_t)c;
	for (int i = 0; i < D_MANY; i++) {
		const int middle = splitmix64_next(&centre) >> 63 ? 12 : -12;
		q[i] = (int8_t)(middle + (int)splitmix64_below(&seed, 161) - 80);
	}
}

/* How many of n pictures of class c that nobody taught rank first with it. */
static int asked_right(const struct metric_rows *rows, int c, int n)
{
	int right = 0;
	for (int k = 0; k < n; k++) {
		int8_t q[D_MANY];
		double z[N_COUNTED];
		int best = 0;
		draw_noisy((uint64_t)(900 + k) << 8 | (uint64_t)c, c, q);
		metric_rows_rank(rows, q, z);
		for (int other = 1; other < N_COUNTED; other++)
			best = z[other] > z[best] ? other : best;
		right += best == c;
	}
	return right;
}

static void test_a_class_of_one_picture_is_not_behind_all(void **state)
{
	(void)state;
	static const int counts[N_COUNTED] = {1, 60, 60, 60};
	const struct metric_shape one = {.n_groups = 1, .width = {D_MANY}, .factor = {1}};
	struct metric *metric = metric_new(&one);
	for (int c = 0; c < N_COUNTED; c++)
		for (int k = 0; k < counts[c]; k++) {
			int8_t q[D_MANY];
			draw_noisy((uint64_t)k << 8 | (uint64_t)c, c, q);
			assert_int_equal(metric_add(metric, (uint32_t)c, q, 1, NULL), 0);
		}
	struct metric_rows *rows = metric_rows_new(metric);
	assert_false(metric_rows_are_means(rows));
	/* Over its own length the row of one picture is right 90 times, the others 174 on the mean. */
	assert_in_range(asked_right(rows, 0, 200), 115, 155);
	for (int c = 1; c < N_COUNTED; c++)
		assert_in_range(asked_right(rows, c, 200), 115, 155);
	metric_rows_free(rows);
	metric_free(metric);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_past_do_not_matter),
		cmocka_unit_test(test_several_pictures_at_once_are_as_one_by_one),
		cmocka_unit_test(test_merged_states_are_one),
		cmocka_unit_test(test_a_class_goes_wholly),
		cmocka_unit_test(test_what_is_not_there_cannot_be_taken),
		cmocka_unit_test(test_many_pictures_at_the_ends_do_not_overflow),
		cmocka_unit_test(test_without_a_metric_means_rank),
		cmocka_unit_test(test_the_metric_ranks_where_means_fail),
		cmocka_unit_test(test_a_factor_says_what_a_group_counts),
		cmocka_unit_test(test_a_class_of_one_picture_is_not_behind_all),
		cmocka_unit_test(test_published_rows_are_within_half_a_step),
		cmocka_unit_test(test_a_common_scene_costs_no_bits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
