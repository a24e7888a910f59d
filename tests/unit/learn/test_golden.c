/* SPDX-License-Identifier: MIT */
/* lib/learn against tests/vectors/learn/: the rows of the Python specification (make_learn.py), bit for bit in every
 * width: float/float too, since its sums have an order and its exponential is our own. One test a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/learn/learn.h"
#include "lib/learn/near.h"
#include "tests/unit/learn/reader.h"

static const char *const cases[] = {"first-one", "first-several", "seen-one", "seen-and-new", "remainder", "past-cap",
	"decay", "zero-row", "no-others", "large-sequence", "reference-first-one", "reference-several",
	"reference-seen", "reference-seen-alone", "reference-zero-row", "overflow", "saturation", "d512",
	"over-a-batch", "reference-over-a-batch", "burst", "burst-alone", "bursts-of-three", "repeats", "repeats-alone",
	"one-each", "past-cap-at-once", "reference-burst"};
enum { N_CASES = sizeof cases / sizeof *cases, CLASSES_MAX = 8 };

static void compare(const struct learn_row *got, const uint8_t *expected, size_t bytes)
{
	uint8_t *form;
	size_t form_bytes;
	learn_row_encode(got, &form, &form_bytes);
	assert_int_equal(form_bytes, bytes);
	assert_memory_equal(form, expected, bytes);
	free(form);
}

/* make_learn.py has the same. */
static const struct learn_answer_constants constants = {.temperature = 20,
	.pair_cosine = 0.118,
	.pair_weight = 0.5,
	.class_share = 0.6,
	.deviations = 2.1,
	.few_pictures = 2.7,
	.deviation = 0.0808,
	.deviation_weight = 2};

/* The threshold of each row in a head of them all, the first of them none or not: each is asked for with a picture that its
 * row ranks first, which a class without a direction does not. */
static void check_thresholds(struct reader *r, const struct learn_settings *settings, const struct learn_lesson *lesson,
	struct learn_row **rows)
{
	struct learn_settings by_cosine = *settings;
	by_cosine.preset = LEARN_DEFAULT;
	for (uint32_t first = 1; first < 2; first--) {
		uint32_t ids[CLASSES_MAX];
		for (size_t c = 0; c < lesson->k; c++)
			ids[c] = first + (uint32_t)c;
		struct learn_head *head = learn_head_new(
			&by_cosine, lesson->d, (const struct learn_row *const *)rows, ids, lesson->k, NULL);
		for (size_t c = 0; c < lesson->k; c++) {
			double *w = malloc(lesson->d * sizeof *w), largest = 0;
			int8_t *q = malloc(lesson->d);
			learn_row_values(rows[c], w);
			for (size_t i = 0; i < lesson->d; i++)
				largest = fmax(largest, fabs(w[i]));
			for (size_t i = 0; i < lesson->d; i++)
				q[i] = (int8_t)(largest > 0 ? rint(w[i] / largest * 127) : 1);
			struct learn_answer answer;
			learn_head_answer(head, q, &constants, &answer);
			const double expected = take_f64(r);
			assert_int_equal(answer.top[0].id, ids[c]);
			assert_true(answer.threshold == expected);
			free(w);
			free(q);
		}
		learn_head_free(head);
	}
}

/* One width of a case: reads the old rows, teaches, compares. */
static void run_width(struct reader *r, const struct learn_settings *settings, struct learn_lesson lesson)
{
	char format[64];
	learn_row_format(settings->width, lesson.d, LEARN_ROW_VERSION, format, sizeof format);
	struct near_groups groups;
	assert_int_equal(
		near_find(settings, lesson.near, lesson.q, lesson.y, lesson.n, lesson.d, NULL, NULL, &groups), 0);
	lesson.groups = &groups;
	static const size_t master_bytes[] = {[LEARN_8_8] = 1, [LEARN_8_16] = 2, [LEARN_8_32] = 4, [LEARN_FLOAT] = 4};
	const size_t bytes = 32 + lesson.d * master_bytes[settings->width];
	struct learn_row *old[CLASSES_MAX] = {0}, *rows[CLASSES_MAX] = {0};
	for (size_t c = 0; c < lesson.k; c++)
		if (*take(r, 1))
			assert_int_equal(learn_row_decode(settings->width, lesson.d, format, take(r, bytes), bytes,
						 &old[c], NULL),
				0);
	lesson.old = (const struct learn_row *const *)old;
	struct learn_report report;
	assert_int_equal(learn_train(settings, &lesson, NULL, NULL, rows, &report, NULL), 0);
	for (size_t c = 0; c < lesson.k; c++) {
		compare(rows[c], take(r, bytes), bytes);
		learn_row_free(old[c]);
	}
	near_groups_deinit(&groups);
	uint64_t updates = take_u64(r), lost = take_u64(r), steps = take_u64(r);
	if (settings->width != LEARN_FLOAT) {
		assert_int_equal(report.updates, updates);
		assert_int_equal(report.lost, lost);
		assert_int_equal(report.steps, steps);
	}
	check_thresholds(r, settings, &lesson, rows);
	for (size_t c = 0; c < lesson.k; c++)
		learn_row_free(rows[c]);
}

static void test_case(void **state)
{
	struct reader r;
	open_case(*state, "BNLV", &r);
	struct learn_settings settings = {.preset = take_u32(&r), .method = LEARN_CWR};
	settings.epochs = take_u32(&r);
	settings.minibatch = take_u32(&r);
	settings.others = take_u32(&r);
	settings.past_cap = take_u32(&r);
	settings.classes_total = take_u32(&r);
	settings.eta = take_f64(&r);
	settings.momentum = take_f64(&r);
	settings.decay = take_f64(&r);
	struct learn_lesson lesson = {.near = take_f64(&r)};
	lesson.seq = take_u64(&r);
	lesson.n_known_others = take_u32(&r);
	lesson.d = take_u32(&r);
	lesson.n = take_u32(&r);
	lesson.k = take_u32(&r);
	assert_true(lesson.k <= CLASSES_MAX);
	float *h = malloc(lesson.n * lesson.d * sizeof *h);
	memcpy(h, take(&r, lesson.n * lesson.d * sizeof *h), lesson.n * lesson.d * sizeof *h);
	lesson.q = (const int8_t *)take(&r, lesson.n * lesson.d);
	int8_t *q = malloc(lesson.d);
	for (size_t i = 0; i < lesson.n; i++) {
		assert_true(learn_quantize(h + i * lesson.d, lesson.d, q));
		assert_memory_equal(q, lesson.q + i * lesson.d, lesson.d);
	}
	uint32_t *y = malloc(lesson.n * sizeof *y);
	memcpy(y, take(&r, lesson.n * sizeof *y), lesson.n * sizeof *y);
	lesson.y = y;
	for (settings.width = LEARN_8_8; settings.width <= LEARN_FLOAT; settings.width++)
		run_width(&r, &settings, lesson);
	assert_int_equal(r.at, r.len_bytes);
	free(h);
	free(q);
	free(y);
	free(r.bytes);
}

/* A row that an earlier version wrote is read, and written as today's. */
static void test_rows_of_version_1(void **state)
{
	(void)state;
	enum { D = 4, BYTES = 32 + 2 * D };
	struct reader r;
	open_case("rows-of-version-1", "BNR1", &r);
	char format[64];
	learn_row_format(LEARN_8_16, D, LEARN_ROW_VERSION_OLD, format, sizeof format);
	assert_string_equal(format, "cwr1 8/16 d=4");
	for (uint32_t n = take_u32(&r); n > 0; n--) {
		struct learn_row *row;
		assert_int_equal(learn_row_decode(LEARN_8_16, D, format, take(&r, BYTES), BYTES, &row, NULL), 0);
		compare(row, take(&r, BYTES), BYTES);
		learn_row_free(row);
	}
	assert_int_equal(r.at, r.len_bytes);
	free(r.bytes);
}

int main(void)
{
	struct CMUnitTest tests[N_CASES + 1];
	tests[N_CASES] = (struct CMUnitTest)cmocka_unit_test(test_rows_of_version_1);
	for (size_t i = 0; i < N_CASES; i++)
		tests[i] = (struct CMUnitTest){
			.name = cases[i], .test_func = test_case, .initial_state = (void *)(uintptr_t)cases[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
