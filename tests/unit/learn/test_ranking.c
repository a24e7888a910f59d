/* SPDX-License-Identifier: MIT */
/* lib/learn/head.c where rows of the kept pictures rank: order and scores are theirs, cosine and unknown the plain row's. */
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
#include "lib/learn/row.h"

enum { D = 12, CLASSES = 5, EACH = 7, ASKED = 300 };
static const struct metric_shape shape = {.n_groups = 2, .width = {8, 4}, .factor = {1, 1}};
static const struct learn_answer_constants constants = {.temperature = 8, .pair_cosine = 0.4, .metric_temperature = 90};

struct taught {
	struct metric *metric;
	struct learn_row *rows[CLASSES];
	uint32_t ids[CLASSES]; /* ascending; the first is none */
};

static void draw(uint64_t *seed, const int8_t *around, int8_t *ret_q)
{
	for (size_t i = 0; i < D; i++)
		ret_q[i] = (int8_t)((around ? around[i] / 2 : 0) + (int)splitmix64_below(seed, 121) - 60);
}

/* Pictures around a point a class, in the metric but for the last n_without classes; rows are their sums. */
static struct taught teach(uint64_t seed, size_t n_without)
{
	struct taught t = {.metric = metric_new(&shape)};
	struct learn_settings settings;
	learn_settings_preset(LEARN_DEFAULT, &settings);
	for (uint32_t c = 0; c < CLASSES; c++) {
		int8_t point[D], q[EACH][D];
		double sum[D] = {0};
		draw(&seed, NULL, point);
		for (size_t k = 0; k < EACH; k++) {
			draw(&seed, point, q[k]);
			for (size_t i = 0; i < D; i++)
				sum[i] += q[k][i];
		}
		t.ids[c] = 3 * c;
		assert_int_equal(learn_row_from_values(settings.width, D, sum, EACH, &t.rows[c], NULL), 0);
		if (c + n_without < CLASSES)
			assert_int_equal(metric_add(t.metric, t.ids[c], q[0], EACH, NULL), 0);
	}
	return t;
}

static void taught_free(struct taught *t)
{
	metric_free(t->metric);
	for (size_t c = 0; c < CLASSES; c++)
		learn_row_free(t->rows[c]);
}

/* The head that ranks by `rows`, whose reference it takes over; NULL: by cosine. */
static struct learn_head *head_of(const struct taught *t, struct metric_rows *rows)
{
	struct learn_settings settings;
	learn_settings_preset(LEARN_DEFAULT, &settings);
	struct learn_head *head =
		learn_head_new(&settings, D, (const struct learn_row *const *)t->rows, t->ids, CLASSES, NULL);
	if (rows)
		learn_head_rank_by(head, rows);
	metric_rows_free(rows);
	return head;
}

static double z_of(const struct metric_rows *rows, const int8_t *q, uint32_t id)
{
	double z[CLASSES];
	metric_rows_rank(rows, q, z);
	for (size_t i = 0; i < metric_rows_classes(rows); i++)
		if (metric_rows_get(rows, i).class_id == id)
			return z[i];
	fail();
	return 0;
}

static double cosine_of(const struct learn_head *plain, const int8_t *q, uint32_t id)
{
	struct learn_answer a;
	learn_head_answer(plain, q, &constants, &a);
	for (size_t i = 0; i < a.n_top; i++)
		if (a.top[i].id == id)
			return a.top[i].cosine;
	fail();
	return 0;
}

static double sum_of(const struct learn_answer *a)
{
	double sum = a->unknown_score;
	for (size_t i = 0; i < a->n_top; i++)
		sum += a->top[i].score;
	return sum;
}

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-9 * fabs(b);
}

/* t: of z. */
static void check_answers(const struct taught *t, struct metric_rows *rows, double temperature)
{
	struct learn_answer_constants never = constants;
	struct metric_rows *again = metric_rows_ref(rows);
	struct learn_head *head = head_of(t, rows), *plain = head_of(t, NULL);
	uint64_t seed = 99, otherwise = 0, refused = 0, none = 0;
	never.never = true;
	for (int k = 0; k < ASKED; k++) {
		int8_t q[D];
		struct learn_answer a, closed, by_cosine;
		draw(&seed, NULL, q);
		learn_head_answer(head, q, &constants, &a);
		learn_head_answer(head, q, &never, &closed);
		learn_head_answer(plain, q, &constants, &by_cosine);
		assert_int_equal(a.n_top, CLASSES);
		assert_true(fabs(sum_of(&a) - 1) < 1e-12 && fabs(sum_of(&closed) - 1) < 1e-12);
		for (size_t i = 0; i < CLASSES; i++) {
			double z = z_of(again, q, a.top[i].id);
			assert_true(a.top[i].cosine == cosine_of(plain, q, a.top[i].id));
			if (i == 0)
				continue;
			double before = z_of(again, q, a.top[i - 1].id);
			assert_true(before > z || (before == z && a.top[i - 1].id < a.top[i].id));
			assert_true(near(a.top[i - 1].score / a.top[i].score, exp(temperature * (before - z))));
			assert_true(closed.top[i].id == a.top[i].id);
		}
		/* unknown is to the first as its cosine is to its threshold: greater just where it is refused */
		assert_true(near(a.unknown_score / a.top[0].score,
			exp(constants.temperature * (a.threshold - a.top[0].cosine))));
		assert_int_equal(a.passes, a.top[0].cosine >= a.threshold);
		assert_int_equal(a.known, a.passes && a.top[0].id != 0);
		assert_true(closed.passes && closed.unknown_score == 0);
		otherwise += a.top[0].id != by_cosine.top[0].id;
		refused += !a.passes;
		none += a.passes && !a.known;
	}
	assert_true(otherwise > 0 && refused > 0 && refused < ASKED && none > 0);
	learn_head_free(plain);
	learn_head_free(head);
	metric_rows_free(again);
}

static void test_the_metric_ranks(void **state)
{
	(void)state;
	struct taught t = teach(5, 0);
	struct metric_rows *rows = metric_rows_new(t.metric);
	assert_false(metric_rows_are_means(rows));
	check_answers(&t, rows, constants.metric_temperature);
	taught_free(&t);
}

/* Of one picture a class there is no metric: z is a cosine, so the temperature is that of cosines. */
static void test_means_rank(void **state)
{
	(void)state;
	struct taught t = teach(5, 0), other = teach(6, 0); /* rows of others, so that the order differs */
	struct metric_rows *means = metric_rows_means(other.metric);
	assert_true(metric_rows_are_means(means));
	int8_t q[D];
	uint64_t seed = 1;
	draw(&seed, NULL, q);
	for (size_t c = 0; c < CLASSES; c++)
		assert_true(fabs(z_of(means, q, other.ids[c])) <= 1);
	check_answers(&t, means, constants.temperature);
	taught_free(&t);
	taught_free(&other);
}

/* A class that the rows do not have comes before the best of the others just where its cosine is greater than that one's. */
static void test_a_class_without_a_row(void **state)
{
	(void)state;
	const uint32_t without = 3 * (CLASSES - 1);
	struct taught t = teach(8, 1);
	struct metric_rows *rows = metric_rows_new(t.metric);
	struct learn_head *head = head_of(&t, metric_rows_ref(rows));
	uint64_t seed = 4, first = 0;
	for (int k = 0; k < ASKED; k++) {
		int8_t q[D];
		struct learn_answer a;
		draw(&seed, NULL, q);
		learn_head_answer(head, q, &constants, &a);
		const size_t best = a.top[0].id == without, rival = best ? 1 : 0;
		size_t at = 0;
		while (a.top[at].id != without)
			at++;
		assert_true(fabs(sum_of(&a) - 1) < 1e-12);
		assert_int_equal(at == 0, a.top[at].cosine > a.top[rival].cosine);
		for (size_t i = 1; i < a.n_top; i++)
			assert_true(a.top[i - 1].score >= a.top[i].score);
		first += best;
	}
	assert_true(first > 0 && first < ASKED);
	learn_head_free(head);
	metric_rows_free(rows);
	taught_free(&t);
}

/* Rows of nothing that is known rank nothing. */
static void test_rows_of_others_alone(void **state)
{
	(void)state;
	struct taught t = teach(9, 0);
	struct metric *metric = metric_new(&shape);
	struct learn_head *plain = head_of(&t, NULL), *empty = head_of(&t, metric_rows_new(metric));
	int8_t q[D];
	uint64_t seed = 2;
	draw(&seed, NULL, q);
	assert_int_equal(metric_add(metric, 77, q, 1, NULL), 0);
	struct learn_head *other = head_of(&t, metric_rows_new(metric));
	for (int k = 0; k < ASKED; k++) {
		struct learn_answer a, b, c;
		learn_head_answer(plain, q, &constants, &a);
		learn_head_answer(empty, q, &constants, &b);
		learn_head_answer(other, q, &constants, &c);
		assert_memory_equal(&a, &b, sizeof a);
		assert_memory_equal(&a, &c, sizeof a);
		draw(&seed, NULL, q);
	}
	learn_head_free(plain);
	learn_head_free(empty);
	learn_head_free(other);
	metric_free(metric);
	taught_free(&t);
}

static void test_no_picture_is_unknown(void **state)
{
	(void)state;
	static const int8_t zeros[D];
	struct taught t = teach(5, 1);
	struct learn_head *head = head_of(&t, metric_rows_new(t.metric));
	struct learn_answer_constants never = constants;
	struct learn_answer a;
	never.never = true;
	for (int closed = 0; closed < 2; closed++) {
		learn_head_answer(head, zeros, closed ? &never : &constants, &a);
		assert_false(a.known || a.passes);
		assert_true(a.unknown_score == 1 && a.top[0].score == 0);
	}
	learn_head_free(head);
	taught_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_metric_ranks),
		cmocka_unit_test(test_means_rank),
		cmocka_unit_test(test_a_class_without_a_row),
		cmocka_unit_test(test_rows_of_others_alone),
		cmocka_unit_test(test_no_picture_is_unknown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
