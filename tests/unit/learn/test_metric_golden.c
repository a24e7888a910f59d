/* SPDX-License-Identifier: MIT */
/* The second-order head against tests/vectors/learn/metric-*.bin: what the Python specification (make_metric.py) makes of
 * pictures that come and go, bit for bit: rows in double, as they are published, and what they answer. One test a
 * file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "lib/learn/metric.h"
#include "tests/unit/learn/reader.h"

static const char *const cases[] = {"metric-several", "metric-one-class", "metric-one-class-of-one",
	"metric-one-value-a-group", "metric-one-each", "metric-many-pictures", "metric-clipped", "metric-history",
	"metric-equal-pictures", "metric-silent-group", "metric-opposite-pictures", "metric-one-scene",
	"metric-nothing", "metric-stages", "metric-factors", "metric-factors-of-means"};
enum { N_CASES = sizeof cases / sizeof *cases, N_ASKED = 3 };

static struct metric *take_state(struct reader *r)
{
	struct metric_shape shape = {.n_groups = take_u32(r)};
	assert_in_range(shape.n_groups, 1, METRIC_GROUPS_MAX);
	for (size_t g = 0; g < shape.n_groups; g++)
		shape.width[g] = take_u32(r);
	for (size_t g = 0; g < shape.n_groups; g++)
		shape.factor[g] = take_f64(r);
	const size_t d = metric_shape_features(&shape);
	struct metric *metric = metric_new(&shape);
	for (uint32_t n_events = take_u32(r); n_events > 0; n_events--) {
		uint32_t id = take_u32(r);
		int32_t sign = (int32_t)take_u32(r);
		size_t n = take_u32(r);
		const int8_t *q = (const int8_t *)take(r, n * d);
		assert_int_equal((sign > 0 ? metric_add : metric_take)(metric, id, q, n, NULL), 0);
	}
	return metric;
}

static void test_case(void **state)
{
	struct reader r;
	open_case(*state, "BNMV", &r);
	struct metric *metric = take_state(&r);
	struct metric_rows *rows = metric_rows_new(metric);
	const size_t n = metric_classes(metric), d = metric_features(metric);
	double *exact = malloc((n * d + 1) * sizeof *exact), *z = malloc((n + 1) * sizeof *z);
	uint32_t are_means = take_u32(&r);
	assert_int_equal(metric_exact_rows(metric, exact), are_means);
	assert_int_equal(metric_rows_are_means(rows), are_means);
	assert_int_equal(take_u32(&r), n);
	assert_int_equal(metric_rows_classes(rows), n);
	for (size_t i = 0; i < d; i++)
		assert_true(metric_rows_common(rows)[i] == take_f64(&r)); /* 0 is -0 */
	for (size_t c = 0; c < n; c++) {
		struct metric_row row = metric_rows_get(rows, c);
		assert_int_equal(row.class_id, take_u32(&r));
		assert_true(row.share == take_f64(&r));
		assert_true(row.factor == take_f64(&r));
		assert_memory_equal(row.f, take(&r, d), d);
		for (size_t i = 0; i < d; i++)
			assert_true(exact[c * d + i] == take_f64(&r));
	}
	for (int k = 0; k < N_ASKED; k++) {
		metric_rows_rank(rows, (const int8_t *)take(&r, d), z);
		for (size_t c = 0; c < n; c++)
			assert_true(z[c] == take_f64(&r));
	}
	assert_int_equal(r.at, r.len_bytes);
	free(exact);
	free(z);
	metric_rows_free(rows);
	metric_free(metric);
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
