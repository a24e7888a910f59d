/* SPDX-License-Identifier: MIT */
/* daemon/state/ranking over a real store: whatever the changes were, the metric is that of the kept pictures, and a state
 * that is opened anew ranks with the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <sqlite3.h>

#include "daemon/state/learned_inside.h"
#include "daemon/state/teach.h"
#include "lib/base/random.h"

enum { D = 24, KEPT = 8, LESSON_MAX = 250, ASKED = 12 };

static char dir[64];
static struct config config;
static struct learned *learned;
static const struct change_guard plain;
static bool bursts; /* every three pictures one after the other are near-duplicates */

static void open_state(void)
{
	struct learned_options options = {.config = &config,
		.model_name = "tiny",
		.n_features = D,
		.shape = {.n_groups = 2, .width = {16, 8}, .factor = {1.5, 1}},
		.near = 0.97};
	struct err err;
	memset(options.feature_id, 7, sizeof options.feature_id);
	if (learned_open(&options, &learned, &err) < 0)
		fail_msg("%s", err.text);
}

static void reopen(void)
{
	learned_close(learned);
	open_state();
}

static int setup(void **state)
{
	(void)state;
	/* Memory: what is tested is not the speed of the disk under /tmp. */
	strcpy(dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/bnnd-ranking-XXXXXX" : "/tmp/bnnd-ranking-XXXXXX");
	assert_non_null(mkdtemp(dir));
	config = (struct config){
		.state_dir = dir, .keep = CONFIG_KEEP_FEATURES, .max_classes = 4000, .samples_per_class = KEPT};
	learn_settings_preset(LEARN_DEFAULT, &config.learner);
	config.learner.epochs = 1;
	config.learner.method = LEARN_METRIC;
	open_state();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[80];
	learned_close(learned);
	snprintf(command, sizeof command, "rm -r '%s'", dir);
	return system(command) == 0 ? 0 : -1;
}

/* ---- changes ---- */

static struct label label_of(unsigned class)
{
	struct label label = {.len_bytes = 0}; /* class 0: none */
	char text[16];
	if (class > 0)
		label.len_bytes = (uint8_t)snprintf(text, sizeof text, "class %u", class);
	memcpy(label.bytes, text, label.len_bytes);
	return label;
}

/* Equal numbers are equal pictures; those of a class lie around a point. */
static void picture(unsigned class, uint32_t number, int8_t *ret_q, uint8_t *ret_digest)
{
	const uint32_t view = bursts ? number / 3 : number;
	uint64_t point = class * UINT64_C(7919) + 1, noise = view * UINT64_C(104729) + class;
	memset(ret_digest, 0, DIGEST_BYTES);
	memcpy(ret_digest, &class, sizeof class);
	memcpy(ret_digest + 8, &number, sizeof number);
	for (size_t i = 0; i < D; i++)
		ret_q[i] = (int8_t)((int)splitmix64_below(&point, 101) - 50 + (int)splitmix64_below(&noise, 61) - 30);
}

/* One lesson of n_classes classes from `first` on, `each` pictures a class. */
static int teach(unsigned first, unsigned n_classes, uint32_t from, uint32_t each)
{
	static struct teach_class classes[LESSON_MAX];
	static int8_t q[LESSON_MAX][D];
	static uint32_t y[LESSON_MAX];
	static uint8_t digests[LESSON_MAX][DIGEST_BYTES];
	struct change_outcome outcome;
	size_t n = 0;
	for (unsigned c = 0; c < n_classes; c++) {
		classes[c].label = label_of(first + c);
		for (uint32_t i = 0; i < each; i++, n++) {
			assert_true(n < LESSON_MAX);
			picture(first + c, from + i, q[n], digests[n]);
			y[n] = c;
		}
	}
	struct teach_work work = {.n_classes = n_classes,
		.classes = classes,
		.n = n,
		.q = q[0],
		.y = y,
		.digests = (const uint8_t(*)[DIGEST_BYTES])digests};
	struct err err;
	int r = learned_teach(learned, &work, &plain, NULL, NULL, &outcome, &err);
	if (r == 0)
		change_outcome_deinit(&outcome);
	return r;
}

static void taught(unsigned first, unsigned n_classes, uint32_t from, uint32_t each)
{
	assert_int_equal(teach(first, n_classes, from, each), 0);
}

enum change { FORGET, RENAME, UNDO, ROLLBACK };

/* 0, or why it was not possible. a, b: classes, or in a the seq. */
static int changed(enum change what, unsigned a, unsigned b)
{
	struct label old = label_of(a), new = label_of(b);
	struct change_outcome outcome;
	struct err err;
	int r = what == FORGET   ? learned_forget(learned, &old, &plain, &outcome, &err)
		: what == RENAME ? learned_rename(learned, &old, &new, &plain, &outcome, &err)
		: what == UNDO   ? learned_undo(learned, &plain, &outcome, &err)
				 : learned_rollback(learned, a, &plain, &outcome, &err);
	if (r == 0)
		change_outcome_deinit(&outcome);
	return r;
}

/* ---- what is checked ---- */

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

/* Answers to pictures of known and other classes, all their bits. */
static void ask(struct learn_answer ret[ASKED])
{
	const struct learn_answer_constants constants = {.temperature = 10,
		.pair_cosine = 0.3,
		.deviations = 2,
		.deviation = 0.1,
		.deviation_weight = 4,
		.metric_temperature = 100};
	struct snapshot *s = learned_snapshot(learned);
	for (unsigned i = 0; i < ASKED; i++) {
		int8_t q[D];
		uint8_t digest[DIGEST_BYTES];
		picture(i, 1000000, q, digest);
		memset(&ret[i], 0, sizeof ret[i]);
		learn_head_answer(s->head, q, &constants, &ret[i]);
	}
	snapshot_unref(s);
}

static void assert_same_answers(const struct learn_answer before[ASKED])
{
	struct learn_answer now[ASKED];
	ask(now);
	for (size_t i = 0; i < ASKED; i++) {
		assert_int_equal(now[i].n_top, before[i].n_top);
		assert_true(now[i].known == before[i].known && now[i].passes == before[i].passes);
		assert_true(now[i].unknown_score == before[i].unknown_score && now[i].threshold == before[i].threshold);
		for (size_t k = 0; k < now[i].n_top; k++)
			assert_true(now[i].top[k].id == before[i].top[k].id &&
				    now[i].top[k].score == before[i].top[k].score &&
				    now[i].top[k].cosine == before[i].top[k].cosine);
	}
}

static void assert_same_after_reopening(void)
{
	struct learn_answer before[ASKED];
	ask(before);
	reopen();
	assert_metric_is_of_the_items();
	assert_same_answers(before);
}

static uint64_t seq_now(void)
{
	return store_seq(learned->store);
}

/* ---- tests ---- */

static void change_at_random(uint64_t *random)
{
	static uint32_t number;
	const unsigned a = (unsigned)splitmix64_below(random, 5), b = 1 + (unsigned)splitmix64_below(random, 5);
	switch (splitmix64_below(random, 8)) {
	case 0:
	case 1:
	case 2: /* more than are kept, at times */
		taught(a, 1 + (unsigned)splitmix64_below(random, 3), number += 20,
			1 + (uint32_t)splitmix64_below(random, KEPT + 4));
		break;
	case 3:
		(void)(a && changed(RENAME, a, b));
		break;
	case 4:
		(void)changed(FORGET, a, 0);
		break;
	case 5:
	case 6:
		(void)changed(UNDO, 0, 0);
		break;
	case 7:
		assert_int_equal(changed(ROLLBACK, (unsigned)splitmix64_below(random, seq_now() + 1), 0), 0);
		break;
	}
}

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
	taught(0, 6, 0, KEPT);
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
	assert_int_equal(metric_classes(learned->ranking.metric), 6);
	assert_same_after_reopening();
	assert_int_equal(changed(UNDO, 0, 0), 0);
	assert_same_answers(metric);
}

static void spoil(const char *sql)
{
	char path[96];
	sqlite3 *db;
	learned_close(learned);
	snprintf(path, sizeof path, "%s/state-0707070707070707.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	open_state();
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
