/* SPDX-License-Identifier: MIT */
/* Groups of features, format 1.1: what is told of them, which are refused, and that a file says 1.1 just where it has some. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/bnn/bnn.h"
#include "tests/unit/bnn/make_model.h"

enum { D = 20, MINOR_AT = 10 };

/* A network of D features whose Answers have these groups. */
static uint8_t *file_of(size_t n, const uint32_t *groups, size_t *ret_len)
{
	struct make m;
	make_init(&m, 5);
	struct made x = make_conv(&m, make_input(&m, 4, 4), D, (struct window){3, 3, 1, 1, 1, 1, {0}}, 1, true, false);
	make_features(&m, make_same(&m, OP_L2, make_same(&m, OP_MEAN, x)));
	Bnnmodel__Answers *a = make_alloc(&m, 1, sizeof *a);
	bnnmodel__answers__init(a);
	a->has_temperature = a->has_deviation = a->has_deviation_weight = 1;
	a->temperature = 7;
	a->deviation = 0.1;
	a->deviation_weight = 4;
	a->n_unknown_cosine = a->n_deviations = BNN_REFUSE_SHARES;
	a->unknown_cosine = make_alloc(&m, BNN_REFUSE_SHARES, sizeof(double));
	a->deviations = make_alloc(&m, BNN_REFUSE_SHARES, sizeof(double));
	a->n_groups = n;
	a->groups = make_alloc(&m, n + 1, sizeof *groups);
	for (size_t i = 0; i < n; i++)
		a->groups[i] = groups[i];
	m.graph.answers = a;
	uint8_t *file = make_file(&m, ret_len);
	make_deinit(&m);
	return file;
}

static void test_groups_are_told_and_enter_no_id(void **state)
{
	(void)state;
	static const uint32_t groups[] = {12, 1, 7};
	uint8_t ids[2][BNN_ID_BYTES];
	for (size_t n = 0; n <= 3; n += 3) {
		struct bnn_model *model;
		struct err err = {0};
		size_t len;
		uint8_t *file = file_of(n, groups, &len);
		assert_int_equal(file[MINOR_AT], n > 0);
		if (bnn_model_from_bytes(file, len, true, &model, &err) != 0)
			fail_msg("%s", err.text);
		const struct bnn_info *info = bnn_model_info(model);
		assert_int_equal(info->n_groups, n ? n : 1);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(info->group_width[i], groups[i]);
		if (n == 0)
			assert_int_equal(info->group_width[0], D); /* an old file: one group */
		memcpy(ids[n > 0], info->feature_id, BNN_ID_BYTES);
		bnn_model_free(model);
		file[MINOR_AT] ^= 1;
		assert_int_equal(bnn_model_from_bytes(file, len, true, &model, &err), -ERR_INVALID_ARGUMENT);
		assert_non_null(
			strstr(err.text, n ? "1.0 where what is in it is 1.1" : "1.1 where what is in it is 1.0"));
		free(file);
	}
	assert_memory_equal(ids[0], ids[1], BNN_ID_BYTES);
}

static void test_what_is_refused(void **state)
{
	(void)state;
	static const struct {
		size_t n;
		uint32_t groups[BNN_GROUPS_MAX + 1];
	} bad[] = {
		{1, {D - 1}},
		{1, {D + 1}},
		{2, {D, 0}},
		{3, {D, UINT32_MAX, 1}},
		{BNN_GROUPS_MAX + 1, {4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct bnn_model *model;
		struct err err = {0};
		size_t len;
		uint8_t *file = file_of(bad[i].n, bad[i].groups, &len);
		assert_int_equal(bnn_model_from_bytes(file, len, true, &model, &err), -ERR_INVALID_ARGUMENT);
		assert_non_null(strstr(err.text, "at most 16 groups"));
		free(file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups_are_told_and_enter_no_id),
		cmocka_unit_test(test_what_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
