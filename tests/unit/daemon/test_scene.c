/* SPDX-License-Identifier: MIT */
/* daemon/state/scene_rows over a real store: whatever the changes were, the scene and its rows are those of the kept pictures,
 * and a state that is opened anew decides with the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/daemon/kept.h"

/* The scene and its rows in memory are what is made of the items, all of them anew. */
static void assert_scene_is_of_the_items(void)
{
	struct scene_rows rows, *now = &learned->scene;
	scene_rows_init(&rows, now->off, &now->settings, &now->constants, now->near, now->d);
	assert_int_equal(scene_rows_load(&rows, learned->store, NULL), 0);
	assert_int_equal(rows.scene != NULL, now->scene != NULL);
	assert_true(rows.alike == now->alike);
	assert_int_equal(rows.n_pictures, now->n_pictures);
	assert_int_equal(rows.n, now->n);
	for (size_t i = 0; i < rows.n; i++) {
		uint8_t *bytes, *bytes_now;
		size_t len_bytes, len_bytes_now;
		assert_int_equal(rows.classes[i]->id, now->classes[i]->id);
		learn_row_encode(rows.classes[i]->row, &bytes, &len_bytes);
		learn_row_encode(now->classes[i]->row, &bytes_now, &len_bytes_now);
		assert_int_equal(len_bytes, len_bytes_now);
		assert_memory_equal(bytes, bytes_now, len_bytes);
		free(bytes);
		free(bytes_now);
	}
	assert_int_equal(learned->snapshot->scene, now->scene != NULL);
	scene_rows_drop(&rows);
}

static void assert_same_after_reopening(void)
{
	struct learn_answer before[ASKED];
	ask(before);
	reopen();
	assert_scene_is_of_the_items();
	assert_same_answers(before);
}

/* ---- tests ---- */

static void any_sequence(bool of_bursts)
{
	enum { CHANGES = 200, REOPENED_ONE_IN = 12 };
	uint64_t random = 23 + of_bursts;
	int with_scene = 0;
	bursts = of_bursts;
	for (int i = 0; i < CHANGES; i++) {
		change_at_random(&random);
		assert_scene_is_of_the_items();
		with_scene += learned->snapshot->scene;
		if (splitmix64_below(&random, REOPENED_ONE_IN) == 0)
			assert_same_after_reopening();
	}
	assert_same_after_reopening();
	assert_in_range(with_scene, CHANGES / 10, CHANGES - CHANGES / 10);
}

static void test_any_sequence_of_changes(void **state)
{
	(void)state;
	any_sequence(false);
}

static void test_any_sequence_of_bursts(void **state)
{
	(void)state;
	any_sequence(true);
}

/* What is known is decided with the scene of none taken away, from the change that shows it to that which takes it back. */
static void test_a_scene_comes_and_goes(void **state)
{
	(void)state;
	struct learn_answer with_it[ASKED], scene[ASKED];
	taught(1, 5, 0, KEPT);
	ask(with_it);
	assert_false(learned->snapshot->scene);
	assert_string_equal(learned->snapshot->no_scene, "");
	taught(0, 1, 0, KEPT);
	ask(scene);
	assert_true(learned->snapshot->scene);
	assert_string_equal(learned->snapshot->no_scene, "");
	assert_int_equal(learned->scene.n, 5);
	assert_true(scene[2].top[0].cosine != with_it[2].top[0].cosine);
	assert_scene_is_of_the_items();

	const struct scene *same = learned->scene.scene;
	const struct scene_class *other = learned->scene.classes[1];
	taught(3, 4, 100, 2); /* classes more, and some that are known better */
	assert_ptr_equal(learned->scene.scene, same);
	assert_ptr_equal(learned->scene.classes[1], other);
	assert_scene_is_of_the_items();
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_same_answers(scene);
	assert_int_equal(changed(FORGET, 0, 0), 0);
	assert_false(learned->snapshot->scene);
	assert_int_equal(learned->scene.n, 0);
	assert_same_answers(with_it);
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_same_answers(scene);
	assert_same_after_reopening();
	assert_int_equal(changed(ROLLBACK, 1, 0), 0);
	assert_same_answers(with_it);
}

/* As negatives pictures of many classes are no one scene. */
static void mixed_negative(unsigned number)
{
	int8_t q[D];
	uint8_t digest[DIGEST_BYTES];
	const struct teach_class none = {.label = label_of(0)};
	const uint32_t y = 0;
	const struct teach_work work = {.n_classes = 1,
		.classes = &none,
		.n = 1,
		.q = q,
		.y = &y,
		.digests = (const uint8_t(*)[DIGEST_BYTES]) & digest};
	struct change_outcome outcome;
	picture(50 + number, 0, q, digest);
	assert_int_equal(learned_teach(learned, &work, &plain, NULL, NULL, &outcome, NULL), 0);
	change_outcome_deinit(&outcome);
}

/* Without a scene, or without kept features, all is decided as the picture is; and status says why. */
static void test_no_scene(void **state)
{
	(void)state;
	taught(1, 2, 0, KEPT);
	for (unsigned i = 0; i < KEPT; i++)
		mixed_negative(i);
	assert_false(learned->snapshot->scene);
	assert_non_null(strstr(learned->snapshot->no_scene, "too unlike to be one scene"));
	assert_int_equal(changed(FORGET, 0, 0), 0);
	taught(0, 1, 0, KEPT);
	assert_true(learned->snapshot->scene);
	config.keep = CONFIG_KEEP_NONE;
	reopen();
	assert_false(learned->snapshot->scene);
	assert_non_null(strstr(learned->snapshot->no_scene, "learner.keep is none"));
	taught(7, 1, 0, KEPT); /* kept without features */
	config.keep = CONFIG_KEEP_FEATURES;
	reopen();
	assert_true(learned->snapshot->scene);
	assert_int_equal(learned->scene.n, 2);
	assert_non_null(strstr(learned->snapshot->no_scene, "1 of 3 classes"));
	assert_same_after_reopening();
	assert_int_equal(changed(FORGET, 0, 0), 0);
	config.keep = CONFIG_KEEP_NONE;
	reopen();
	taught(0, 1, 0, KEPT);
	config.keep = CONFIG_KEEP_FEATURES;
	reopen();
	assert_false(learned->snapshot->scene);
	assert_non_null(strstr(learned->snapshot->no_scene, "no picture of none is kept"));
	config.learner.method = LEARN_CWR;
	config.learner.preset = LEARN_REFERENCE;
	reopen();
	taught(0, 1, 100, KEPT);
	assert_false(learned->snapshot->scene);
	assert_non_null(strstr(learned->snapshot->no_scene, "reference"));
}

/* Of a damaged picture nothing is in the scene or in its class's row; a class that has no other is judged with the scene. */
static void test_damage_before_a_scene(void **state)
{
	(void)state;
	taught(0, 4, 0, KEPT);
	spoil("UPDATE item SET data = zeroblob(length(data)) WHERE kind = 3 AND (class_id = 2 OR id IN"
	      " (SELECT min(id) FROM item WHERE kind = 3 AND class_id < 2 GROUP BY class_id))");
	assert_true(learned->snapshot->scene);
	assert_int_equal(learned->scene.n_pictures, KEPT - 1);
	assert_int_equal(learned->scene.n, 2);
	assert_non_null(strstr(learned->snapshot->no_scene, "1 of 3 classes"));
	taught(2, 1, 100, 1);
	assert_int_equal(learned->scene.n, 3);
	assert_scene_is_of_the_items();
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_int_equal(learned->scene.n, 2);
	assert_same_after_reopening();
}

#define test_of(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_of(test_any_sequence_of_changes),
		test_of(test_any_sequence_of_bursts),
		test_of(test_a_scene_comes_and_goes),
		test_of(test_no_scene),
		test_of(test_damage_before_a_scene),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
