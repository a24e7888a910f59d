/* SPDX-License-Identifier: MIT */
/* lib/learn/head.c: ranking, ties, none, unknown, scores, the raw logit of the reference preset, many classes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/random.h"
#include "lib/learn/learn.h"
#include "lib/learn/row.h"

enum { D = 4 };
static const struct learn_answer_constants constants = {.temperature = 20, .pair_cosine = 0.5};

static struct learn_settings settings_of(enum learn_preset preset, enum learn_width width)
{
	struct learn_settings s;
	learn_settings_preset(preset, &s);
	s.width = width;
	return s;
}

/* A head of n rows given as numbers. */
static struct learn_head *make_head(
	const struct learn_settings *s, size_t d, const double *w, const uint32_t *ids, size_t n)
{
	struct learn_row **rows = calloc(n + 1, sizeof *rows);
	for (size_t c = 0; c < n; c++)
		assert_int_equal(learn_row_from_values(s->width, d, w + c * d, 1, &rows[c], NULL), 0);
	struct learn_head *head = learn_head_new(s, d, (const struct learn_row *const *)rows, ids, n, NULL);
	for (size_t c = 0; c < n; c++)
		learn_row_free(rows[c]);
	free(rows);
	assert_int_equal(learn_head_classes(head), n);
	return head;
}

static double sum_of(const struct learn_answer *a)
{
	double sum = a->unknown_score;
	for (size_t i = 0; i < a->n_top; i++)
		sum += a->top[i].score;
	return sum;
}

static void test_ranking(void **state)
{
	(void)state;
	const double w[3 * D] = {1, 0, 0, 0, 0, 2, 0, 0, 0.7, 0.7, 0.1, 0};
	const uint32_t ids[3] = {5, 3, 9};
	const int8_t q[D] = {100, 20, 0, 0};
	for (enum learn_width width = LEARN_8_8; width <= LEARN_FLOAT; width++) {
		struct learn_settings s = settings_of(LEARN_DEFAULT, width);
		struct learn_head *head = make_head(&s, D, w, ids, 3);
		struct learn_answer a;
		learn_head_answer(head, q, &constants, &a);
		assert_int_equal(a.n_top, 3);
		assert_int_equal(a.top[0].id, 5);
		assert_int_equal(a.top[1].id, 9);
		assert_int_equal(a.top[2].id, 3);
		assert_true(a.known);
		assert_true(fabs(a.top[0].cosine - 100 / sqrt(10400)) < 1e-6);
		assert_true(fabs(sum_of(&a) - 1) < 1e-12);
		assert_true(a.top[0].score > a.top[1].score && a.top[1].score > a.top[2].score);
		/* the softmax over T s and T s_0, with libm's exponential */
		double odds = exp(20 * (a.top[0].cosine - 0.5));
		assert_true(fabs(a.top[0].score / a.unknown_score / odds - 1) < 1e-12);
		learn_head_free(head);
	}
}

static void test_unknown(void **state)
{
	(void)state;
	const double w[D] = {1, 0, 0, 0};
	struct learn_settings s = settings_of(LEARN_DEFAULT, LEARN_8_16);
	struct learn_head *head = make_head(&s, D, w, &(uint32_t){1}, 1);
	struct learn_answer a;
	const int8_t far[D] = {-10, 90, 0, 0}, near[D] = {90, 1, 0, 0}, zero[D] = {0}, edge[D] = {60, 80, 0, 0};
	learn_head_answer(head, far, &constants, &a);
	assert_false(a.known);
	assert_int_equal(a.top[0].id, 1); /* one taught class: it is named, but not everything is that class */
	assert_true(a.unknown_score > 0.99);
	assert_true(fabs(sum_of(&a) - 1) < 1e-12);
	learn_head_answer(head, near, &constants, &a);
	assert_true(a.known);
	assert_true(a.top[0].score > 0.99);
	/* s_0 itself is known: F = 64 of a unit row at e = 6 is exact, 60 / 100 = 0.6 */
	learn_head_answer(head, edge, &(struct learn_answer_constants){20, 0.6}, &a);
	assert_true(a.top[0].cosine == 0.6);
	assert_true(a.known);
	assert_true(fabs(a.top[0].score - 0.5) < 1e-12);
	learn_head_answer(head, edge, &(struct learn_answer_constants){20, 0.6000001}, &a);
	assert_false(a.known);
	learn_head_answer(head, zero, &(struct learn_answer_constants){20, -1}, &a);
	assert_false(a.known); /* even where any cosine would do */
	assert_true(a.unknown_score == 1 && a.top[0].score == 0);
	learn_head_free(head);

	head = make_head(&s, D, w, &(uint32_t){0}, 0);
	learn_head_answer(head, near, &(struct learn_answer_constants){20, -1}, &a);
	assert_false(a.known);
	assert_int_equal(a.n_top, 0);
	assert_true(a.unknown_score == 1);
	learn_head_free(head);
	learn_head_free(NULL);
}

/* A closed world: the best class is the answer, however far it is, and unknown has no share. */
static void test_never_unknown(void **state)
{
	(void)state;
	const double w[2 * D] = {1, 0, 0, 0, 0, 1, 0, 0};
	const uint32_t ids[2] = {4, 0};
	const int8_t far[D] = {-90, -91, 10, 0}, none[D] = {0, 80, 0, 0}, zero[D] = {0};
	for (enum learn_width width = LEARN_8_8; width <= LEARN_FLOAT; width++) {
		struct learn_settings s = settings_of(LEARN_DEFAULT, width);
		struct learn_head *head = make_head(&s, D, w, ids, 2);
		struct learn_answer_constants never = constants;
		struct learn_answer a;
		never.never = true;
		learn_head_answer(head, far, &constants, &a);
		assert_false(a.passes);
		double ratio = a.top[0].score / a.top[1].score;
		learn_head_answer(head, far, &never, &a);
		assert_true(a.known && a.passes && a.top[0].id == 4 && a.top[0].cosine < 0);
		assert_true(a.unknown_score == 0);
		assert_true(fabs(sum_of(&a) - 1) < 1e-12);
		assert_true(fabs(a.top[0].score / a.top[1].score / ratio - 1) < 1e-9);
		learn_head_answer(head, none, &never, &a);
		assert_true(a.passes && !a.known && a.top[0].id == 0);
		learn_head_answer(head, zero, &never, &a);
		assert_true(!a.passes && a.unknown_score == 1 && a.top[0].score == 0);
		learn_head_free(head);
		head = make_head(&s, D, w, ids, 0);
		learn_head_answer(head, far, &never, &a);
		assert_true(!a.passes && a.n_top == 0 && a.unknown_score == 1);
		learn_head_free(head);
	}
}

static const struct learn_answer_constants rule = {.temperature = 20,
	.pair_cosine = 0.1,
	.pair_weight = 0.5,
	.class_share = 0.7,
	.deviations = 2,
	.few_pictures = 3,
	.deviation = 0.1,
	.deviation_weight = 4};

/* t_c by the words of doc/LEARNER.md, pair being what is expected of a class before its own pictures tell. */
static double threshold_by_hand(const struct learn_likeness *own, double pair, const struct learn_answer_constants *c)
{
	const double n = own->n, rho = ((n - 1) * own->mean + c->pair_weight * pair) / (n - 1 + c->pair_weight);
	const double sd = sqrt((own->squares + c->deviation_weight * c->deviation * c->deviation) /
			       (n - 1 + c->deviation_weight) * (1 + 1 / n));
	return rho * sqrt(own->r / (1 + (own->r - 1) * rho)) - c->deviations * n / (n + c->few_pictures) * sd;
}

/* A class that has pictures has a threshold of its own, one of a single picture that of any; in a head of similar classes
 * that one is expected to be more alike. None has part in neither. */
static void test_threshold_of_likeness(void **state)
{
	(void)state;
	const double w[3 * D] = {1, 0, 0, 0, 0, 1, 0, 0, 0.8, 0.6, 0, 0};
	struct learn_settings s = settings_of(LEARN_DEFAULT, LEARN_8_16);
	struct learn_row *rows[3];
	for (size_t c = 0; c < 3; c++)
		assert_int_equal(learn_row_from_values(s.width, D, w + c * D, 1, &rows[c], NULL), 0);
	rows[0]->likeness = (struct learn_likeness){.n = 5, .r = 4.5, .mean = 0.6, .squares = 0.04};
	const struct learn_row *const *given = (const struct learn_row *const *)rows;
	const struct learn_likeness *several = &rows[0]->likeness, *single = &rows[1]->likeness;
	struct learn_answer a;
	/* 60 / 100 with either: above the first class's threshold */
	struct learn_head *head = learn_head_new(&s, D, given, (uint32_t[]){1, 2}, 2, NULL);
	learn_head_answer(head, (const int8_t[D]){60, 0, 80, 0}, &rule, &a);
	assert_true(fabs(a.threshold - threshold_by_hand(several, 0.1, &rule)) < 1e-12);
	assert_true(a.threshold < 0.6 && a.passes && a.known && a.top[0].id == 1);
	assert_true(fabs(a.top[0].score / a.unknown_score / exp(20 * (0.6 - a.threshold)) - 1) < 1e-12);
	learn_head_answer(head, (const int8_t[D]){0, 5, 80, 0}, &rule, &a);
	assert_true(fabs(a.threshold - threshold_by_hand(single, 0.1, &rule)) < 1e-12);
	/* stricter: fewer deviations */
	struct learn_answer_constants strict = rule;
	strict.deviations = -1;
	learn_head_answer(head, (const int8_t[D]){60, 0, 80, 0}, &strict, &a);
	assert_false(a.known);
	learn_head_free(head);
	/* the same beside a class that lies between the two; rows have 8 bits, so not to the last digit */
	const double with_second = (0.6 + 0) / 2;
	head = learn_head_new(&s, D, given, (uint32_t[]){1, 2, 3}, 3, NULL);
	learn_head_answer(head, (const int8_t[D]){60, -40, 80, 0}, &rule, &a);
	assert_true(a.top[0].id == 1);
	assert_true(fabs(a.threshold - threshold_by_hand(several, 0.1, &rule)) < 1e-12);
	learn_head_answer(head, (const int8_t[D]){-40, 60, 80, 0}, &rule, &a);
	assert_true(a.top[0].id == 2);
	assert_true(fabs(a.threshold - threshold_by_hand(single, 0.7 * with_second, &rule)) < 1e-2);
	learn_head_free(head);
	/* as none the first is alone, and the others see each other alone */
	head = learn_head_new(&s, D, given, (uint32_t[]){0, 2, 3}, 3, NULL);
	learn_head_answer(head, (const int8_t[D]){60, -40, 80, 0}, &rule, &a);
	assert_true(a.top[0].id == 0);
	assert_true(fabs(a.threshold - threshold_by_hand(several, 0.1, &rule)) < 1e-12);
	learn_head_answer(head, (const int8_t[D]){-40, 60, 80, 0}, &rule, &a);
	assert_true(a.top[0].id == 2);
	assert_true(fabs(a.threshold - threshold_by_hand(single, 0.7 * 0.6, &rule)) < 1e-2);
	learn_head_free(head);
	for (size_t c = 0; c < 3; c++)
		learn_row_free(rows[c]);
}

/* What a covered camera shows is not known, but of a class that was taught it. */
static void test_blank_pictures(void **state)
{
	(void)state;
	const double w[2 * D] = {1, 0, 0, 0, 0.6, 0.8, 0, 0};
	const int8_t blank[D] = {60, 80, 0, 0}, black[D] = {60, 70, 10, 0}, mug[D] = {90, 20, 0, 0};
	for (enum learn_width width = LEARN_8_8; width <= LEARN_FLOAT; width++) {
		struct learn_settings s = settings_of(LEARN_DEFAULT, width);
		struct learn_head *head = make_head(&s, D, w, (uint32_t[]){1, 2}, 1);
		struct learn_answer_constants c = constants;
		struct learn_answer a;
		learn_head_answer(head, black, &c, &a);
		assert_true(a.known && a.threshold == 0.5); /* 0.65 of the class is enough */
		c.blank = blank;
		c.blank_cosine = 0.9;
		learn_head_answer(head, black, &c, &a);
		assert_true(!a.known && !a.passes && a.top[0].id == 1);
		assert_true(a.threshold > 0.98 && a.unknown_score > a.top[0].score);
		assert_true(fabs(sum_of(&a) - 1) < 1e-12);
		learn_head_answer(head, mug, &c, &a);
		assert_true(a.known && a.threshold == 0.5);
		c.blank_cosine = 0.995; /* not so like it */
		learn_head_answer(head, black, &c, &a);
		assert_true(a.known);
		c.blank_cosine = 0.9;
		c.never = true;
		learn_head_answer(head, black, &c, &a);
		assert_true(a.known && a.unknown_score == 0);
		learn_head_free(head);
		/* taught: nearer to its class than to what is blank */
		head = make_head(&s, D, (const double[2 * D]){1, 0, 0, 0, 0.6, 0.7, 0.1, 0}, (uint32_t[]){1, 2}, 2);
		c.never = false;
		learn_head_answer(head, black, &c, &a);
		assert_true(a.known && a.top[0].id == 2);
		learn_head_free(head);
		head = make_head(&s, D, w, (uint32_t[]){1, 2}, 0);
		learn_head_answer(head, black, &c, &a);
		assert_true(!a.passes && a.unknown_score == 1);
		learn_head_free(head);
	}
}

static void test_none(void **state)
{
	(void)state;
	const double w[2 * D] = {1, 0, 0, 0, 0, 1, 0, 0};
	const uint32_t ids[2] = {0, 4};
	struct learn_settings s = settings_of(LEARN_DEFAULT, LEARN_8_16);
	struct learn_head *head = make_head(&s, D, w, ids, 2);
	struct learn_answer a;
	learn_head_answer(head, (const int8_t[D]){90, 5, 0, 0}, &constants, &a);
	assert_false(a.known);
	assert_int_equal(a.top[0].id, 0);
	assert_true(a.top[0].cosine >= constants.pair_cosine);
	learn_head_answer(head, (const int8_t[D]){5, 90, 0, 0}, &constants, &a);
	assert_true(a.known);
	assert_int_equal(a.top[0].id, 4);
	learn_head_free(head);
}

static void test_ties(void **state)
{
	(void)state;
	enum { N = 14 };
	double w[N * D];
	uint32_t ids[N];
	for (size_t c = 0; c < N; c++) {
		memcpy(w + c * D, (const double[D]){0.3, c % 2 ? 0.5 : 0.4, 0, 0}, D * sizeof *w);
		ids[c] = (uint32_t)(100 - c);
	}
	struct learn_settings s = settings_of(LEARN_DEFAULT, LEARN_8_16);
	struct learn_head *head = make_head(&s, D, w, ids, N);
	struct learn_answer a;
	learn_head_answer(head, (const int8_t[D]){30, 50, 0, 0}, &constants, &a);
	static const uint32_t want[LEARN_TOP_MAX] = {87, 89, 91, 93, 95, 97, 99, 88, 90, 92};
	assert_int_equal(a.n_top, LEARN_TOP_MAX);
	for (size_t i = 0; i < LEARN_TOP_MAX; i++)
		assert_int_equal(a.top[i].id, want[i]);
	assert_true(sum_of(&a) < 1); /* the four that are not shown have their shares, too */
	learn_head_free(head);
}

/* The reference preset ranks by raw logit, where a long row wins over a near one; known asks that row's cosine. */
static void test_reference(void **state)
{
	(void)state;
	const double w[2 * D] = {0.1, 0, 0, 0, 3, 9, 0, 0};
	const uint32_t ids[2] = {1, 2};
	const int8_t q[D] = {100, 10, 0, 0};
	for (enum learn_width width = LEARN_8_8; width <= LEARN_FLOAT; width++) {
		struct learn_settings s = settings_of(LEARN_REFERENCE, width);
		struct learn_head *head = make_head(&s, D, w, ids, 2);
		struct learn_answer a;
		learn_head_answer(head, q, &constants, &a);
		assert_int_equal(a.top[0].id, 2);
		assert_true(a.top[0].cosine < 0.5 && a.top[1].cosine > 0.9);
		assert_false(a.known);
		assert_true(a.top[0].score < a.top[1].score);
		learn_head_answer(head, q, &(struct learn_answer_constants){20, 0.3}, &a);
		assert_true(a.known);
		learn_head_free(head);
	}
	/* rows of zeros answer with cosine 0 */
	struct learn_settings s = settings_of(LEARN_REFERENCE, LEARN_8_32);
	struct learn_head *head = make_head(&s, D, (const double[2 * D]){0}, ids, 2);
	struct learn_answer a;
	learn_head_answer(head, q, &constants, &a);
	assert_true(a.top[0].id == 1 && a.top[0].cosine == 0 && !a.known);
	learn_head_free(head);
}

/* As many classes as a daemon takes, and far more: the answer agrees with plain arithmetic on the rows. */
static void test_many(void **state)
{
	(void)state;
	enum { N = 4096, WIDE = 65 };
	uint64_t seed = 1;
	double *w = malloc(N * WIDE * sizeof *w);
	uint32_t *ids = malloc(N * sizeof *ids);
	for (size_t i = 0; i < N * WIDE; i++)
		w[i] = (int)splitmix64_below(&seed, 255) - 127; /* 8/8 holds them exactly once 127 is there */
	for (size_t c = 0; c < N; c++) {
		w[c * WIDE] = 127;
		ids[c] = (uint32_t)(c + 1);
	}
	struct learn_settings s = settings_of(LEARN_DEFAULT, LEARN_8_8);
	struct learn_head *head = make_head(&s, WIDE, w, ids, N);
	int8_t q[WIDE];
	for (size_t i = 0; i < WIDE; i++)
		q[i] = (int8_t)((int)splitmix64_below(&seed, 255) - 127);
	double best = -2;
	uint32_t best_id = 0;
	for (size_t c = 0; c < N; c++) {
		double dot = 0, ww = 0;
		for (size_t i = 0; i < WIDE; i++) {
			dot += w[c * WIDE + i] * q[i];
			ww += w[c * WIDE + i] * w[c * WIDE + i];
		}
		if (dot / sqrt(ww) > best) {
			best = dot / sqrt(ww);
			best_id = ids[c];
		}
	}
	struct learn_answer a;
	learn_head_answer(head, q, &constants, &a);
	assert_int_equal(a.top[0].id, best_id);
	for (size_t i = 1; i < a.n_top; i++)
		assert_true(a.top[i].cosine <= a.top[i - 1].cosine);
	learn_head_free(head);
	free(w);
	free(ids);
}

/* A head that shares with the one before answers as one made anew, bit by bit; heads end in any order. */
static void test_shared(void **state)
{
	enum { IDS = 40, WIDE = 24, STEPS = 300, HEADS = 4 };
	(void)state;
	for (enum learn_width width = LEARN_8_16; width <= LEARN_FLOAT; width += LEARN_FLOAT - LEARN_8_16) {
		struct learn_settings s = settings_of(LEARN_DEFAULT, width);
		struct learn_row *living[IDS] = {0}, *gone[STEPS] = {0};
		struct learn_head *heads[HEADS] = {0}, *newest = NULL;
		uint64_t seed = width;
		for (size_t step = 0; step < STEPS; step++) {
			uint32_t id = (uint32_t)splitmix64_below(&seed, IDS), ids[IDS];
			double w[WIDE];
			for (size_t i = 0; i < WIDE; i++)
				w[i] = (double)splitmix64_below(&seed, 2001) / 1000 - 1;
			gone[step] = living[id];
			living[id] = NULL;
			if (splitmix64_below(&seed, 4) != 0)
				assert_int_equal(learn_row_from_values(width, WIDE, w, 1, &living[id], NULL), 0);
			if (living[id] && splitmix64_below(&seed, 2) != 0)
				living[id]->likeness =
					(struct learn_likeness){.n = 9, .r = 7.25, .mean = w[0] * w[0], .squares = 0.1};
			const struct learn_row *rows[IDS];
			size_t n = 0;
			for (uint32_t i = 0; i < IDS; i++) {
				rows[n] = living[i];
				ids[n] = i;
				n += living[i] != NULL;
			}
			struct learn_head *fresh = learn_head_new(&s, WIDE, rows, ids, n, NULL);
			struct learn_head *head = learn_head_new(&s, WIDE, rows, ids, n, newest);
			int8_t q[WIDE];
			for (size_t i = 0; i < WIDE; i++)
				q[i] = (int8_t)((int)splitmix64_below(&seed, 255) - 127);
			struct learn_answer a, b;
			memset(&a, 0, sizeof a);
			memset(&b, 0, sizeof b);
			learn_head_answer(fresh, q, &rule, &a);
			learn_head_answer(head, q, &rule, &b);
			assert_memory_equal(&a, &b, sizeof a);
			learn_head_free(fresh);
			size_t at = splitmix64_below(&seed, HEADS); /* one of the last ones ends, perhaps the newest */
			learn_head_free(heads[at]);
			newest = heads[at] = head;
		}
		for (size_t i = 0; i < HEADS; i++)
			learn_head_free(heads[i]);
		for (size_t i = 0; i < IDS; i++)
			learn_row_free(living[i]);
		for (size_t i = 0; i < STEPS; i++)
			learn_row_free(gone[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranking),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_never_unknown),
		cmocka_unit_test(test_threshold_of_likeness),
		cmocka_unit_test(test_blank_pictures),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_ties),
		cmocka_unit_test(test_reference),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_shared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
