/* SPDX-License-Identifier: MIT */
/* lib/learn/likeness.c: the cosines of a class's own pictures, at the ends of their range, and as they are stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/random.h"
#include "lib/learn/learn.h"
#include "lib/learn/near.h"
#include "tests/unit/learn/stored_row.h"

/* Pictures that are all the same (a covered camera) have cosines of 1, whose products round to above it: what a lesson
 * stores must be what the next start reads. */
static void test_equal_pictures_are_read_back(void **state)
{
	(void)state;
	enum { D_MAX = 68, N_MAX = 6, LESSONS = 4, ROUNDS = 20000 };
	uint64_t seed = 1;
	struct learn_settings s;
	learn_settings_preset(LEARN_DEFAULT, &s);
	s.epochs = 1;
	for (int round = 0; round < ROUNDS; round++) {
		int8_t q[N_MAX * D_MAX], v[D_MAX];
		uint32_t y[N_MAX] = {0};
		size_t d = 8 + splitmix64_below(&seed, 60);
		s.width = (enum learn_width)(1 + splitmix64_below(&seed, 4));
		for (size_t i = 0; i < d; i++)
			v[i] = (int8_t)((int)splitmix64_below(&seed, 255) - 127);
		size_t n = 2 + splitmix64_below(&seed, 4);
		for (size_t k = 0; k < n; k++)
			memcpy(q + k * d, v, d);
		struct learn_row *row = NULL, *next = NULL, *again = NULL;
		for (uint64_t k = 0; k < LESSONS; k++) {
			const struct learn_row *old = row;
			struct learn_lesson lesson = {
				.seq = k + 1, .d = d, .n = n, .k = 1, .q = q, .y = y, .old = &old};
			uint8_t *bytes;
			size_t len_bytes;
			if (learn_train(&s, &lesson, NULL, NULL, &next, NULL, NULL) != 0)
				break; /* there is nothing to learn */
			learn_row_encode(next, &bytes, &len_bytes);
			assert_int_equal(read_row(s.width, d, bytes, len_bytes, &again, NULL), 0);
			learn_row_free(again);
			free(bytes);
			learn_row_free(row);
			row = next;
		}
		learn_row_free(row);
	}
}

/* ---- whatever is taught ---- */

enum { ANY_D = 24, ANY_N = 12, ANY_LESSONS = 5, ANY_CLASSES = 2 };

static struct learn_settings any_settings(uint64_t *seed)
{
	const uint32_t caps[] = {0, 1, 2, 3, 200};
	struct learn_settings s;
	learn_settings_preset(splitmix64_below(seed, 4) ? LEARN_DEFAULT : LEARN_REFERENCE, &s);
	s.width = (enum learn_width)(1 + splitmix64_below(seed, 4));
	s.epochs = 1;
	s.past_cap = caps[splitmix64_below(seed, sizeof caps / sizeof *caps)];
	return s;
}

/* Of a few: some opposite to one another, some of a single value, some nearly equal. */
static void any_picture(uint64_t *seed, int8_t q[ANY_D])
{
	uint64_t which = splitmix64_below(seed, 4);
	const int sign = splitmix64_below(seed, 2) ? 1 : -1, only = splitmix64_below(seed, 3) == 0;
	for (size_t i = 0; i < ANY_D; i++) {
		const int value = (int)splitmix64_below(&which, 255) - 127;
		q[i] = (int8_t)(only && i > 0 ? 0 : sign * value);
	}
	if (splitmix64_below(seed, 2))
		q[splitmix64_below(seed, ANY_D)] = (int8_t)splitmix64_below(seed, 128);
	q[0] = q[0] ? q[0] : 1;
}

/* One lesson of ANY_CLASSES; rows are what it made of them, as they are stored and read again. */
static bool any_lesson(
	uint64_t *seed, const struct learn_settings *s, uint64_t seq, struct learn_row *rows[ANY_CLASSES])
{
	int8_t q[ANY_N * ANY_D];
	uint32_t y[ANY_N];
	struct near_groups groups;
	struct learn_row *next[ANY_CLASSES];
	const size_t n = ANY_CLASSES + splitmix64_below(seed, ANY_N - ANY_CLASSES + 1);
	const double near = splitmix64_below(seed, 3) ? 0.7 : 0;
	for (size_t j = 0; j < n; j++) {
		y[j] = (uint32_t)(j < ANY_CLASSES ? j : splitmix64_below(seed, ANY_CLASSES));
		any_picture(seed, q + j * ANY_D);
	}
	assert_int_equal(near_find(s, near, q, y, n, ANY_D, NULL, NULL, &groups), 0);
	const struct learn_lesson lesson = {.seq = seq,
		.d = ANY_D,
		.n = n,
		.k = ANY_CLASSES,
		.q = q,
		.y = y,
		.old = (const struct learn_row *const *)rows,
		.groups = &groups,
		.near = near};
	const bool taught = learn_train(s, &lesson, NULL, NULL, next, NULL, NULL) == 0;
	near_groups_deinit(&groups);
	for (size_t c = 0; taught && c < ANY_CLASSES; c++) {
		uint8_t *bytes;
		size_t len_bytes;
		struct err err = {0};
		learn_row_free(rows[c]);
		learn_row_encode(next[c], &bytes, &len_bytes);
		if (read_row(s->width, ANY_D, bytes, len_bytes, &rows[c], &err) != 0)
			fail_msg("%s (past_cap %u)", err.text, s->past_cap);
		learn_row_free(next[c]);
		free(bytes);
	}
	return taught;
}

/* What answers follow from is a number, however strict the model is. */
static void check_answers(uint64_t *seed, const struct learn_settings *s, struct learn_row *const rows[ANY_CLASSES])
{
	const struct learn_answer_constants constants = {.temperature = 40,
		.pair_cosine = (double)splitmix64_below(seed, 2),
		.pair_weight = (double)splitmix64_below(seed, 2),
		.class_share = 1,
		.deviations = (double)splitmix64_below(seed, 21) - 10,
		.few_pictures = (double)splitmix64_below(seed, 2),
		.deviation = 1,
		.deviation_weight = (double)splitmix64_below(seed, 2)};
	struct learn_head *head = learn_head_new(s, ANY_D, (const struct learn_row *const *)rows,
		(const uint32_t[ANY_CLASSES]){1, 2}, ANY_CLASSES, NULL);
	struct learn_answer answer;
	int8_t q[ANY_D];
	any_picture(seed, q);
	learn_head_answer(head, q, &constants, &answer);
	double sum = answer.unknown_score;
	for (size_t i = 0; i < answer.n_top; i++)
		sum += answer.top[i].score;
	assert_true(isfinite(answer.threshold) && fabs(sum - 1) < 1e-9);
	learn_head_free(head);
}

/* Each setting that is allowed and pictures of any kind: what a lesson stores is what the next start reads. */
static void test_whatever_is_taught_is_read_back(void **state)
{
	enum { ROUNDS = 3000 };
	uint64_t seed = 5;
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct learn_row *rows[ANY_CLASSES] = {NULL};
		const struct learn_settings s = any_settings(&seed);
		for (uint64_t seq = 1; seq <= ANY_LESSONS; seq++)
			if (any_lesson(&seed, &s, seq, rows))
				check_answers(&seed, &s, rows);
		for (size_t c = 0; c < ANY_CLASSES; c++)
			learn_row_free(rows[c]);
	}
}

/* A class's own cosines are kept with its row, and numbers that are none are refused. */
static void test_likeness_refusals(void **state)
{
	(void)state;
	const double good[] = {6.5, 0.5, 0.25};
	const double bad[][3] = {{6.5, 1.5, 0}, {6.5, -0.5, 0}, {6.5, NAN, 0}, {6.5, 0, -1}, {6.5, 0, NAN},
		{6.5, 0, INFINITY}, {6.5, 0, 1e308}, {0.5, 0, 0}, {7.5, 0, 0}, {NAN, 0, 0}, {-1, 0, 0}};
	uint8_t form[FORM_HEADER + 2] = {7, 0, 0, 0, 3};
	struct learn_row *row;
	form[FORM_HEADER] = 64;
	memcpy(form + 8, good, sizeof good);
	assert_int_equal(read_row(LEARN_8_8, 2, form, sizeof form, &row, NULL), 0);
	assert_true(learn_row_likeness(row)->n == 7 && learn_row_likeness(row)->r == 6.5 &&
		    learn_row_likeness(row)->mean == 0.5 && learn_row_likeness(row)->squares == 0.25);
	learn_row_free(row);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		memcpy(form + 8, bad[i], sizeof bad[i]);
		assert_int_equal(read_row(LEARN_8_8, 2, form, sizeof form, &row, NULL), -ERR_DATA_LOSS);
	}
	form[0] = 1; /* of one picture nothing is known but the picture */
	memcpy(form + 8, (const double[3]){1, 0, 0}, 3 * sizeof(double));
	assert_int_equal(read_row(LEARN_8_8, 2, form, sizeof form, &row, NULL), 0);
	learn_row_free(row);
	memcpy(form + 8, (const double[3]){1, 0.5, 0}, 3 * sizeof(double));
	assert_int_equal(read_row(LEARN_8_8, 2, form, sizeof form, &row, NULL), -ERR_DATA_LOSS);
	/* and what version 1 said: past, n, mean, squares */
	const double bad_old[][2] = {{1.5, 0}, {-1.5, 0}, {NAN, 0}, {0, -1}, {0, NAN}, {0, INFINITY}, {0, 1e308}};
	form[0] = 9;
	for (size_t i = 0; i < sizeof bad_old / sizeof *bad_old; i++)
		for (uint32_t n = 0; n < 12; n += 4) {
			store_le32(form + 8, n);
			memcpy(form + 16, bad_old[i], sizeof bad_old[i]);
			assert_int_equal(learn_row_decode(LEARN_8_8, 2, "cwr1 8/8 d=2", form, sizeof form, &row, NULL),
				-ERR_DATA_LOSS);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_pictures_are_read_back),
		cmocka_unit_test(test_whatever_is_taught_is_read_back),
		cmocka_unit_test(test_likeness_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
