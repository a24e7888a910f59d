/* SPDX-License-Identifier: MIT */
/* daemon/state/ranking over a real store: whatever the changes were, the metric is that of the kept pictures, and a state
 * that is opened anew ranks with the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/daemon/kept.h"

static int add_sample(void *ctx, const struct store_item *item)
{
	if (item->kind != STORE_SAMPLE || item->len_bytes != DIGEST_BYTES + D)
		return 0;
	assert_int_equal(metric_add(ctx, item->class_id, (const int8_t *)item->data + DIGEST_BYTES, 1, NULL), 0);
	return 0;
}

/* The metric in memory is that of the items that live, one by one, near-duplicates too. */
static void assert_metric_is_of_the_items(void)
{
	struct metric *metric = metric_new(&learned->ranking.shape);
	assert_int_equal(store_load(learned->store, add_sample, NULL, metric, NULL), 0);
	assert_non_null(learned->ranking.metric);
	assert_true(metric_equal(learned->ranking.metric, metric));
	metric_free(metric);
}

static void assert_same_after_reopening(void)
{
	struct learn_answer before[ASKED];
	ask(before);
	reopen();
	assert_metric_is_of_the_items();
	assert_same_answers(before);
}

/* ---- tests ---- */

static void any_sequence(enum learn_method method)
{
	enum { CHANGES = 300, REOPENED_ONE_IN = 12 };
	uint64_t random = 17 + method;
	config.learner.method = method;
	reopen();
	for (int i = 0; i < CHANGES; i++) {
		change_at_random(&random);
		assert_metric_is_of_the_items();
		if (splitmix64_below(&random, REOPENED_ONE_IN) == 0)
			assert_same_after_reopening();
	}
	assert_same_after_reopening();
}

static void test_any_sequence_of_changes(void **state)
{
	(void)state;
	any_sequence(LEARN_METRIC);
}

static void test_any_sequence_of_bursts(void **state)
{
	(void)state;
	bursts = true;
	any_sequence(LEARN_METRIC);
	bursts = false;
}

static void test_near_duplicates_are_pictures_like_others(void **state)
{
	(void)state;
	bursts = true;
	taught(1, 1, 0, 6);
	assert_metric_is_of_the_items();
	assert_int_equal(metric_pictures(learned->ranking.metric), 6);
	taught(1, 1, 30, 6);
	assert_metric_is_of_the_items();
	assert_int_equal(metric_pictures(learned->ranking.metric), KEPT);
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_int_equal(metric_pictures(learned->ranking.metric), 6);
	bursts = false;
	assert_same_after_reopening();
}

static void test_any_sequence_by_means(void **state)
{
	(void)state;
	any_sequence(LEARN_MEANS);
}

static void test_undo_gives_the_very_scores_back(void **state)
{
	(void)state;
	struct learn_answer before[ASKED], after[ASKED];
	taught(0, 6, 0, KEPT);
	ask(before);
	taught(2, 1, 100, 5); /* its pictures age out, and others are ranked otherwise, too */
	ask(after);
	assert_true(after[1].top[0].score != before[1].top[0].score);
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_same_answers(before);
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_int_equal(metric_pictures(learned->ranking.metric), 0);
	assert_int_equal(changed(ROLLBACK, 1, 0), 0);
	assert_same_answers(before);
	assert_int_equal(changed(FORGET, 3, 0), 0);
	assert_int_equal(changed(RENAME, 4, 3), 0);
	assert_same_after_reopening();
}

/* Of many classes a refresh is due at some changes alone, and a start finds the rows of the last of them again. */
static void test_many_classes(void **state)
{
	(void)state;
	unsigned next = 1;
	uint64_t random = 5;
	size_t refreshed = 0;
	while (next <= RANKING_ALWAYS_CLASSES + 400) {
		taught(next, LESSON_MAX / 2, 0, 2);
		next += LESSON_MAX / 2;
	}
	assert_true(metric_classes(learned->ranking.metric) > RANKING_ALWAYS_CLASSES);
	const uint64_t until = seq_now() + 3 * RANKING_EVERY;
	while (seq_now() < until) {
		const struct metric_rows *rows = learned->ranking.rows;
		struct learn_answer before[ASKED];
		switch (splitmix64_below(&random, 4)) {
		case 0:
			(void)changed(FORGET, next - 1, 0); /* it may be gone already */
			break;
		case 1:
			assert_int_equal(changed(UNDO, 0, 0), 0);
			break;
		default:
			taught(next++, 1, 0, 3);
		}
		const bool due = seq_now() % RANKING_EVERY == 0;
		assert_true(due || learned->ranking.rows == rows);
		assert_int_equal(
			metric_rows_classes(learned->ranking.rows) == metric_classes(learned->ranking.metric) || !due,
			true);
		refreshed += learned->ranking.rows != rows;
		if (seq_now() % 5 != 0)
			continue;
		assert_metric_is_of_the_items();
		ask(before);
		reopen();
		assert_same_answers(before);
	}
	assert_int_equal(refreshed, 3);
	/* Few again: at every change, and the last one at which that was so is found. */
	assert_int_equal(changed(ROLLBACK, 2, 0), 0);
	assert_int_equal(metric_rows_classes(learned->ranking.rows), LESSON_MAX);
	assert_same_after_reopening();
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_same_after_reopening();
}

/* A change of the method is exact and needs no lesson; without kept features there is no metric. */
static void test_methods(void **state)
{
	(void)state;
	struct learn_answer metric[ASKED], means[ASKED], cwr[ASKED];
	taught(1, 5, 0, KEPT); /* no scene: that is of kept features, too */
	taught(4, 2, 50, 3);
	ask(metric);
	config.learner.method = LEARN_MEANS;
	reopen();
	ask(means);
	assert_true(learned->ranking.rows && metric_rows_are_means(learned->ranking.rows));
	config.learner.method = LEARN_CWR;
	reopen();
	assert_null(learned->ranking.metric);
	assert_int_equal(learned->snapshot->method, LEARN_CWR);
	ask(cwr);
	assert_true(memcmp(metric, means, sizeof metric) != 0 && memcmp(means, cwr, sizeof means) != 0);
	config.learner.method = LEARN_METRIC;
	reopen();
	assert_int_equal(learned->snapshot->method, LEARN_METRIC);
	assert_same_answers(metric);
	config.keep = CONFIG_KEEP_NONE;
	reopen();
	assert_null(learned->ranking.metric);
	assert_int_equal(learned->snapshot->method, LEARN_CWR);
	assert_same_answers(cwr);
	taught(9, 1, 0, 4); /* kept without features */
	config.keep = CONFIG_KEEP_FEATURES;
	reopen();
	assert_int_equal(metric_classes(learned->ranking.metric), 5);
	assert_same_after_reopening();
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_same_answers(metric);
}

/* A damaged picture is in no sum, whatever becomes of it: forgotten, aged out, back again. */
static void test_damage(void **state)
{
	(void)state;
	taught(1, 3, 0, KEPT);
	spoil("UPDATE item SET data = zeroblob(length(data)) WHERE id IN"
	      " (SELECT id FROM item WHERE kind = 3 AND class_id = 2 LIMIT 2)");
	assert_int_equal(metric_pictures(learned->ranking.metric), 3 * KEPT - 2);
	assert_metric_is_of_the_items();
	taught(2, 1, 100, 1); /* one of them ages out */
	assert_metric_is_of_the_items();
	assert_int_equal(changed(FORGET, 2, 0), 0);
	assert_metric_is_of_the_items();
	assert_int_equal(metric_pictures(learned->ranking.metric), 2 * KEPT);
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_metric_is_of_the_items();
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_int_equal(metric_pictures(learned->ranking.metric), 3 * KEPT - 2);
	assert_same_after_reopening();
}

/* A network whose features are one wide group: no lesson takes minutes, and status says why cwr ranks. */
static void test_wide_groups(void **state)
{
	(void)state;
	const struct metric_shape good = {.n_groups = 2, .width = {RANKING_GROUP_MAX, 8}, .factor = {1, 1}},
				  wide = {.n_groups = 2, .width = {8, RANKING_GROUP_MAX + 1}, .factor = {1, 1}};
	struct ranking ranking;
	struct err why, err;
	ranking_init(&ranking, LEARN_METRIC, &good);
	assert_int_equal(ranking_load(&ranking, learned->store, &why, &err), 0);
	assert_non_null(ranking.metric);
	ranking_drop(&ranking);
	ranking_init(&ranking, LEARN_METRIC, &wide);
	assert_int_equal(ranking_load(&ranking, learned->store, &why, &err), RANKING_NO_METRIC);
	assert_null(ranking.metric);
	assert_non_null(strstr(why.text, "2049 of the network's features are one group"));
	assert_int_equal(ranking_follow(&ranking, learned->store, 1, &err), 0);
	assert_null(ranking.rows);
	ranking_init(&ranking, LEARN_CWR, &wide);
	assert_int_equal(ranking_load(&ranking, learned->store, &why, &err), 0);
}

#define test_of(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_of(test_any_sequence_of_changes),
		test_of(test_any_sequence_by_means),
		test_of(test_any_sequence_of_bursts),
		test_of(test_near_duplicates_are_pictures_like_others),
		test_of(test_undo_gives_the_very_scores_back),
		test_of(test_many_classes),
		test_of(test_methods),
		test_of(test_damage),
		test_of(test_wide_groups),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
