/* SPDX-License-Identifier: MIT */
/* Answers of format 1.1, groups of features and the constants of *known*: what is told of them, which are refused, and that a
 * file says 1.1 just where it has some. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bnn/bnn.h"
#include "tests/unit/bnn/make_model.h"

enum { D = 20, MINOR_AT = 10 };

struct said {
	size_t n, n_factors;
	uint32_t groups[BNN_GROUPS_MAX + 1];
	double factors[BNN_GROUPS_MAX + 1];
};

static Bnnmodel__Answers *answers(struct make *m)
{
	Bnnmodel__Answers *a = make_alloc(m, 1, sizeof *a);
	bnnmodel__answers__init(a);
	a->has_temperature = a->has_deviation = a->has_deviation_weight = 1;
	a->temperature = 7;
	a->deviation = 0.1;
	a->deviation_weight = 4;
	a->n_unknown_cosine = a->n_deviations = BNN_REFUSE_SHARES;
	a->unknown_cosine = make_alloc(m, BNN_REFUSE_SHARES, sizeof(double));
	a->deviations = make_alloc(m, BNN_REFUSE_SHARES, sizeof(double));
	return a;
}

/* A network of D features whose Answers say this. */
static uint8_t *file_of(const struct said *said, size_t *ret_len)
{
	struct make m;
	make_init(&m, 5);
	struct made x = make_conv(&m, make_input(&m, 4, 4), D, (struct window){3, 3, 1, 1, 1, 1, {0}}, 1, true, false);
	make_features(&m, make_same(&m, OP_L2, make_same(&m, OP_MEAN, x)));
	Bnnmodel__Answers *a = answers(&m);
	a->n_groups = said->n;
	a->groups = make_alloc(&m, 1, sizeof said->groups);
	memcpy(a->groups, said->groups, sizeof said->groups);
	a->n_group_factors = said->n_factors;
	a->group_factors = make_alloc(&m, 1, sizeof said->factors);
	memcpy(a->group_factors, said->factors, sizeof said->factors);
	m.graph.answers = a;
	uint8_t *file = make_file(&m, ret_len);
	make_deinit(&m);
	return file;
}

static void test_what_is_said_is_told_and_enters_no_id(void **state)
{
	(void)state;
	static const struct said all[] = {
		{0},
		{.n = 3, .groups = {12, 1, 7}},
		{.n = 3, .groups = {12, 1, 7}, .n_factors = 3, .factors = {1.5, 1, BNN_GROUP_FACTOR_MAX}},
	};
	enum { N = sizeof all / sizeof *all };
	uint8_t ids[N][BNN_ID_BYTES];
	for (size_t k = 0; k < N; k++) {
		struct bnn_model *model;
		struct err err = {0};
		size_t len;
		uint8_t *file = file_of(&all[k], &len);
		assert_int_equal(file[MINOR_AT], k > 0);
		if (bnn_model_from_bytes(file, len, true, &model, &err) != 0)
			fail_msg("%s", err.text);
		const struct bnn_info *info = bnn_model_info(model);
		assert_int_equal(info->n_groups, all[k].n ? all[k].n : 1);
		for (size_t i = 0; i < info->n_groups; i++) {
			assert_int_equal(
				info->group_width[i], all[k].n ? all[k].groups[i] : D); /* an old file: one group */
			assert_true(info->group_factor[i] == (all[k].n_factors ? all[k].factors[i] : 1));
		}
		memcpy(ids[k], info->feature_id, BNN_ID_BYTES);
		bnn_model_free(model);
		file[MINOR_AT] ^= 1;
		assert_int_equal(bnn_model_from_bytes(file, len, true, &model, &err), -ERR_INVALID_ARGUMENT);
		assert_non_null(
			strstr(err.text, k ? "1.0 where what is in it is 1.1" : "1.1 where what is in it is 1.0"));
		assert_memory_equal(ids[k], ids[0], BNN_ID_BYTES);
		free(file);
	}
}

/* Each constant of *known* by name: present, its value, and one that is out of range. */
#define KNOWN(X)                                                                                                       \
	X(near_duplicate, 0.75, 0)                                                                                     \
	X(pair_cosine, 0.125, 1.5)                                                                                     \
	X(pair_weight, 0.5, -1)                                                                                        \
	X(class_share, 0.0625, -0.5)                                                                                   \
	X(few_pictures, 2.5, 1001)                                                                                     \
	X(metric_temperature, 500, 1e-300)                                                                             \
	X(scene_share, 0.625, 2)                                                                                       \
	X(scene_cosine, 0.5, -1)

enum { BLANK_MAX = D + 1 };
struct blank {
	size_t n; /* bytes; 0: it is not there */
	int8_t row[BLANK_MAX];
	bool has_cosine;
	double cosine;
};

/* A network with them, the one called `left_out` missing or the one called `bad` out of range (NULL: none is). */
static uint8_t *known_file(
	const char *left_out, const char *bad, size_t n_cosines, const struct blank *blank, size_t *ret_len)
{
	struct make m;
	make_init(&m, 5);
	struct made x = make_conv(&m, make_input(&m, 4, 4), D, (struct window){3, 3, 1, 1, 1, 1, {0}}, 1, true, false);
	make_features(&m, make_same(&m, OP_L2, make_same(&m, OP_MEAN, x)));
	Bnnmodel__Answers *a = answers(&m);
	a->n_unknown_cosine = n_cosines;
#define SET(name, good, wrong)                                                                                         \
	a->has_##name = !left_out || strcmp(left_out, #name) != 0;                                                     \
	a->name = bad && strcmp(bad, #name) == 0 ? (wrong) : (good);
	KNOWN(SET)
#undef SET
	if (blank) {
		a->has_blank = blank->n > 0;
		a->has_blank_cosine = blank->has_cosine;
		a->blank.data = make_alloc(&m, BLANK_MAX, 1);
		a->blank.len = blank->n;
		memcpy(a->blank.data, blank->row, blank->n);
		a->blank_cosine = blank->cosine;
	}
	m.graph.answers = a;
	uint8_t *file = make_file(&m, ret_len);
	make_deinit(&m);
	return file;
}

static void assert_refused(uint8_t *file, size_t len, const char *word)
{
	struct bnn_model *model;
	struct err err = {0};
	assert_int_equal(bnn_model_from_bytes(file, len, true, &model, &err), -ERR_INVALID_ARGUMENT);
	if (!strstr(err.text, word))
		fail_msg("%s", err.text);
	free(file);
}

static void test_blank(void **state)
{
	(void)state;
	struct bnn_model *model;
	struct err err = {0};
	size_t len;
	const struct blank good = {D, {-127, 0, 3}, true, 0.45};
	uint8_t *file = known_file(NULL, NULL, 0, &good, &len);
	if (bnn_model_from_bytes(file, len, true, &model, &err) != 0)
		fail_msg("%s", err.text);
	assert_memory_equal(bnn_model_info(model)->blank, good.row, D);
	assert_true(bnn_model_info(model)->blank_cosine == 0.45);
	bnn_model_free(model);
	free(file);
	const struct {
		struct blank blank;
		const char *word;
	} bad[] = {
		{{D, {1}, false, 0}, "both be there"},
		{{0, {0}, true, 0.5}, "both be there"},
		{{D - 1, {1}, true, 0.5}, "out of range"},
		{{D + 1, {1}, true, 0.5}, "out of range"},
		{{D, {0}, true, 0.5}, "out of range"},
		{{D, {1, INT8_MIN}, true, 0.5}, "out of range"},
		{{D, {1}, true, 1.5}, "out of range"},
		{{D, {1}, true, (double)NAN}, "not a finite number"},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		file = known_file(NULL, NULL, 0, &bad[i].blank, &len);
		assert_refused(file, len, bad[i].word);
	}
	file = known_file(NULL, NULL, 0, NULL, &len); /* most files have none */
	assert_int_equal(bnn_model_from_bytes(file, len, true, &model, &err), 0);
	assert_null(bnn_model_info(model)->blank);
	bnn_model_free(model);
	free(file);
}

static void test_constants_of_known(void **state)
{
	(void)state;
	struct bnn_model *model;
	struct err err = {0};
	size_t len;
	uint8_t *file = known_file(NULL, NULL, 0, NULL, &len);
	if (bnn_model_from_bytes(file, len, true, &model, &err) != 0)
		fail_msg("%s", err.text);
	const struct bnn_known *known = &bnn_model_info(model)->known;
#define SAME(name, good, wrong) assert_true(known->name == (good));
	KNOWN(SAME)
#undef SAME
	bnn_model_free(model);
	file[MINOR_AT] = 0;
	assert_refused(file, len, "1.0 where what is in it is 1.1");
	file = known_file(NULL, NULL, BNN_REFUSE_SHARES, NULL, &len);
	assert_refused(file, len, "0 cosines");
#define REFUSED(name, good, wrong)                                                                                     \
	file = known_file(#name, NULL, 0, NULL, &len);                                                                 \
	assert_refused(file, len, "all must be there, or none");                                                       \
	file = known_file(NULL, #name, 0, NULL, &len);                                                                 \
	assert_refused(file, len, "out of range");
	KNOWN(REFUSED)
#undef REFUSED
}

/* Of a file that does not say them they are stated ones. */
static void test_constants_of_older_files(void **state)
{
	(void)state;
	struct bnn_model *model;
	size_t len;
	uint8_t *file = file_of(&(struct said){0}, &len);
	assert_int_equal(bnn_model_from_bytes(file, len, true, &model, NULL), 0);
	assert_true(bnn_model_info(model)->known.near_duplicate == 0.7);
	assert_true(bnn_model_info(model)->known.metric_temperature == 600);
	bnn_model_free(model);
	free(file);
}

static void test_what_is_refused(void **state)
{
	(void)state;
	static const struct {
		struct said said;
		const char *why;
	} bad[] = {
		{{.n = 1, .groups = {D - 1}}, "at most 16 groups"},
		{{.n = 1, .groups = {D + 1}}, "at most 16 groups"},
		{{.n = 2, .groups = {D, 0}}, "at most 16 groups"},
		{{.n = 3, .groups = {D, UINT32_MAX, 1}}, "at most 16 groups"},
		{{.n = BNN_GROUPS_MAX + 1, .groups = {4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
			"at most 16 groups"},
		{{.n_factors = 1, .factors = {1}}, "as many factors as groups"},
		{{.n = 2, .groups = {8, 12}, .n_factors = 1, .factors = {1}}, "as many factors as groups"},
		{{.n = 1, .groups = {D}, .n_factors = 2, .factors = {1, 1}}, "as many factors as groups"},
		{{.n = 2, .groups = {8, 12}, .n_factors = 2, .factors = {1, 0}}, "each 1/1024 to 1024"},
		{{.n = 2, .groups = {8, 12}, .n_factors = 2, .factors = {-1, 1}}, "each 1/1024 to 1024"},
		{{.n = 2, .groups = {8, 12}, .n_factors = 2, .factors = {1, 1025}}, "each 1/1024 to 1024"},
		{{.n = 2, .groups = {8, 12}, .n_factors = 2, .factors = {1, INFINITY}}, "not a finite number"},
		{{.n = 2, .groups = {8, 12}, .n_factors = 2, .factors = {NAN, 1}}, "not a finite number"},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct bnn_model *model;
		struct err err = {0};
		size_t len;
		uint8_t *file = file_of(&bad[i].said, &len);
		assert_int_equal(bnn_model_from_bytes(file, len, true, &model, &err), -ERR_INVALID_ARGUMENT);
		if (!strstr(err.text, bad[i].why))
			fail_msg("%zu: %s", i, err.text);
		free(file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_said_is_told_and_enters_no_id),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_constants_of_known),
		cmocka_unit_test(test_blank),
		cmocka_unit_test(test_constants_of_older_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
