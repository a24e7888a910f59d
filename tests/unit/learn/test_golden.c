/* SPDX-License-Identifier: MIT */
/* lib/learn against tests/vectors/learn/: the rows of the Python specification (make_learn.py), bit for bit in every
 * width: float/float too, since its sums have an order and its exponential is our own. One test a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/learn/learn.h"
#include "tests/unit/learn/reader.h"

static const char *const cases[] = {"first-one", "first-several", "seen-one", "seen-and-new", "remainder", "past-cap",
	"decay", "zero-row", "no-others", "large-sequence", "reference-first-one", "reference-several",
	"reference-seen", "reference-seen-alone", "reference-zero-row", "overflow", "saturation", "d512",
	"over-a-batch", "reference-over-a-batch"};
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

/* One width of a case: reads the old rows, teaches, compares. */
static void run_width(struct reader *r, const struct learn_settings *settings, struct learn_lesson lesson)
{
	static const size_t master_bytes[] = {[LEARN_8_8] = 1, [LEARN_8_16] = 2, [LEARN_8_32] = 4, [LEARN_FLOAT] = 4};
	const size_t bytes = 32 + lesson.d * master_bytes[settings->width];
	struct learn_row *old[CLASSES_MAX] = {0}, *rows[CLASSES_MAX] = {0};
	for (size_t c = 0; c < lesson.k; c++)
		if (*take(r, 1))
			assert_int_equal(
				learn_row_decode(settings->width, lesson.d, take(r, bytes), bytes, &old[c], NULL), 0);
	lesson.old = (const struct learn_row *const *)old;
	struct learn_report report;
	assert_int_equal(learn_train(settings, &lesson, NULL, NULL, rows, &report, NULL), 0);
	for (size_t c = 0; c < lesson.k; c++) {
		compare(rows[c], take(r, bytes), bytes);
		learn_row_free(old[c]);
		learn_row_free(rows[c]);
	}
	uint64_t updates = take_u64(r), lost = take_u64(r), steps = take_u64(r);
	if (settings->width != LEARN_FLOAT) {
		assert_int_equal(report.updates, updates);
		assert_int_equal(report.lost, lost);
		assert_int_equal(report.steps, steps);
	}
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
	struct learn_lesson lesson = {.seq = take_u64(&r)};
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

int main(void)
{
	struct CMUnitTest tests[N_CASES];
	for (size_t i = 0; i < N_CASES; i++)
		tests[i] = (struct CMUnitTest){
			.name = cases[i], .test_func = test_case, .initial_state = (void *)(uintptr_t)cases[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
