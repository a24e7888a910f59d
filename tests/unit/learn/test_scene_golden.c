/* SPDX-License-Identifier: MIT */
/* *Known* with the scene taken away against tests/vectors/learn/scene-*.bin: what the Python specification (make_scene.py)
 * makes of pictures of none, of classes and of others, bit for bit: the scene, rows, and answers. One test a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "lib/learn/scene.h"
#include "tests/unit/learn/reader.h"

static const char *const cases[] = {"scene", "scene-bursts", "scene-one-picture", "scene-mixed", "scene-zeros",
	"scene-whole", "scene-many", "scene-one-class"};
enum { N_CASES = sizeof cases / sizeof *cases, CLASSES_MAX = 8, ROW_HEADER_BYTES = 32 };

struct scene_case {
	size_t d, n; /* classes, none among them */
	struct learn_settings settings;
	struct learn_answer_constants constants;
	struct scene_constants scene_constants;
	double near;
	struct scene *scene;
	struct learn_row *rows[CLASSES_MAX], *before_scene[CLASSES_MAX]; /* of the latter one less: without none */
	uint32_t ids[CLASSES_MAX];
};

static struct learn_row *take_row(struct reader *r, size_t d)
{
	char format[64];
	struct learn_row *row;
	const size_t bytes = ROW_HEADER_BYTES + d;
	learn_row_format(LEARN_8_8, d, LEARN_ROW_VERSION, format, sizeof format);
	assert_int_equal(learn_row_decode(LEARN_8_8, d, format, take(r, bytes), bytes, &row, NULL), 0);
	return row;
}

static void take_settings(struct reader *r, struct scene_case *c)
{
	learn_settings_preset(LEARN_DEFAULT, &c->settings);
	c->settings.width = LEARN_8_8;
	c->d = take_u32(r);
	c->settings.past_cap = take_u32(r);
	c->scene_constants.share = take_f64(r);
	c->scene_constants.cosine = take_f64(r);
	c->near = take_f64(r);
	c->constants.temperature = take_f64(r);
	c->constants.pair_cosine = take_f64(r);
	c->constants.pair_weight = take_f64(r);
	c->constants.class_share = take_f64(r);
	c->constants.deviations = take_f64(r);
	c->constants.few_pictures = take_f64(r);
	c->constants.deviation = take_f64(r);
	c->constants.deviation_weight = take_f64(r);
	c->constants.blank_cosine = take_f64(r);
	c->constants.blank = (const int8_t *)take(r, c->d);
}

static void check_scene(struct reader *r, struct scene_case *c)
{
	double alike;
	const size_t n = take_u32(r);
	const int8_t *q = (const int8_t *)take(r, n * c->d);
	c->scene = scene_new(&c->scene_constants, q, n, c->d, &alike);
	assert_true(alike == take_f64(r));
	assert_int_equal(c->scene != NULL, take_u32(r));
	c->rows[c->n++] = take_row(r, c->d);
}

static void check_rows(struct reader *r, struct scene_case *c)
{
	for (uint32_t n_classes = take_u32(r); n_classes > 0; n_classes--) {
		assert_true(c->n < CLASSES_MAX);
		c->ids[c->n] = take_u32(r);
		const size_t n = take_u32(r);
		const int8_t *q = (const int8_t *)take(r, n * c->d);
		c->rows[c->n++] = take_row(r, c->d);
		if (!c->scene)
			continue;
		uint8_t *bytes;
		size_t len_bytes;
		struct learn_row *row = scene_row_new(c->scene, &c->settings, c->near, q, n);
		learn_row_encode(row, &bytes, &len_bytes);
		assert_int_equal(len_bytes, ROW_HEADER_BYTES + c->d);
		assert_memory_equal(bytes, take(r, len_bytes), len_bytes);
		c->before_scene[c->n - 2] = row;
		free(bytes);
	}
}

static void check_answers(struct reader *r, const struct scene_case *c)
{
	struct learn_head *head =
		learn_head_new(&c->settings, c->d, (const struct learn_row *const *)c->rows, c->ids, c->n, NULL);
	int8_t *left = malloc(c->d);
	if (c->scene)
		learn_head_take_away(head, c->scene, &c->settings, (const struct learn_row *const *)c->before_scene,
			c->ids + 1, c->n - 1, NULL);
	for (uint32_t n = take_u32(r); n > 0; n--) {
		const int8_t *q = (const int8_t *)take(r, c->d);
		if (c->scene) {
			scene_take_away(c->scene, q, left);
			assert_memory_equal(left, take(r, c->d), c->d);
		}
		struct learn_answer answer;
		learn_head_answer(head, q, &c->constants, &answer);
		assert_int_equal(answer.passes, take_u32(r));
		assert_int_equal(answer.n_top, take_u32(r));
		assert_true(answer.threshold == take_f64(r));
		assert_true(answer.unknown_score == take_f64(r));
		for (size_t i = 0; i < answer.n_top; i++) {
			assert_int_equal(answer.top[i].id, take_u32(r));
			assert_true(answer.top[i].cosine == take_f64(r));
			assert_true(answer.top[i].score == take_f64(r));
		}
	}
	free(left);
	learn_head_free(head);
}

static void test_case(void **state)
{
	struct reader r;
	struct scene_case c = {.n = 0};
	open_case(*state, "BNSC", &r);
	take_settings(&r, &c);
	check_scene(&r, &c);
	check_rows(&r, &c);
	check_answers(&r, &c);
	assert_int_equal(r.at, r.len_bytes);
	for (size_t i = 0; i < c.n; i++) {
		learn_row_free(c.rows[i]);
		learn_row_free(c.before_scene[i]);
	}
	scene_free(c.scene);
	free(r.bytes);
}

int main(void)
{
	struct CMUnitTest tests[N_CASES];
	for (size_t i = 0; i < N_CASES; i++)
		tests[i] = (struct CMUnitTest){
			.name = cases[i], .test_func = test_case, .initial_state = (void *)cases[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
