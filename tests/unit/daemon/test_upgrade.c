/* SPDX-License-Identifier: MIT */
/* A state that an earlier version wrote, with rows "cwr1": it is served, taught and taken back, and read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/state/learned_inside.h"
#include "daemon/state/teach.h"
#include "tests/unit/daemon/folder.h"
#include "tests/testlib/labels.h"
#include "tests/unit/learn/reader.h"

enum { D = 4, ROW_BYTES = 32 + 2 * D, CLASSES_MAX = 8, CHANGED = 3 };

static char dir[64];
static struct config config;
static struct learned *learned;
static uint32_t n_classes;
static uint8_t now_bytes[CLASSES_MAX][ROW_BYTES]; /* of class i + 1, as today's version writes its row */

static void open_state(void)
{
	struct learned_options options = {.config = &config, .model_name = "tiny", .n_features = D, .near = 0.7};
	struct err err;
	memset(options.feature_id, 7, sizeof options.feature_id);
	if (learned_open(&options, &learned, &err) < 0)
		fail_msg("%s", err.text);
}

/* One lesson of all classes, a picture each, as the earlier version committed it. */
static void write_old_state(void)
{
	struct store_options options = {.dir = dir, .model_name = "tiny", .format = "cwr1 8/16 d=4"};
	struct store_put puts[3 * CLASSES_MAX];
	uint8_t samples[CLASSES_MAX][DIGEST_BYTES + D] = {{0}};
	struct store *store;
	struct reader r;
	size_t n = 0;
	open_case("rows-of-version-1", "BNR1", &r);
	n_classes = take_u32(&r);
	assert_true(n_classes >= CHANGED && n_classes <= CLASSES_MAX);
	for (uint32_t i = 0; i < n_classes; i++) {
		static const char *const labels[CLASSES_MAX] = {"a", "b", "c", "d", "e", "f", "g", "h"};
		samples[i][0] = (uint8_t)i;
		samples[i][DIGEST_BYTES] = (uint8_t)(20 + i);
		puts[n++] = (struct store_put){STORE_ROW, i + 1, take(&r, ROW_BYTES), ROW_BYTES, options.format};
		puts[n++] = (struct store_put){STORE_LABEL, i + 1, (const uint8_t *)labels[i], 1, "utf8"};
		puts[n++] = (struct store_put){STORE_SAMPLE, i + 1, samples[i], sizeof samples[i], "digest16 q8 d=4"};
		memcpy(now_bytes[i], take(&r, ROW_BYTES), ROW_BYTES);
	}
	memset(options.feature_id, 7, sizeof options.feature_id);
	assert_int_equal(store_open(&options, &store, NULL), 0);
	const struct store_change change = {.op = STORE_OP_LEARN,
		.time_ms = 1,
		.result = (const uint8_t *)"",
		.puts = puts,
		.n_puts = n,
		.samples_per_class = 200};
	uint64_t seq;
	assert_int_equal(store_commit(store, &change, &seq, NULL), 0);
	store_close(store);
	free(r.bytes);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/bnnd-upgrade-XXXXXX");
	assert_non_null(mkdtemp(dir));
	config = (struct config){
		.state_dir = dir, .keep = CONFIG_KEEP_FEATURES, .max_classes = 40, .samples_per_class = 200};
	learn_settings_preset(LEARN_DEFAULT, &config.learner);
	config.learner.method = LEARN_METRIC;
	write_old_state();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return remove_folder(dir);
}

/* Each class's row is what the old one is read as; but for one that was taught since. */
static void assert_rows(uint32_t but)
{
	assert_int_equal(learned->snapshot->n_classes, n_classes);
	assert_int_equal(learned->snapshot->n_reasons, 0);
	assert_true(learned->snapshot->writable);
	for (uint32_t i = 0; i < n_classes; i++) {
		uint8_t *bytes;
		size_t len_bytes;
		learn_row_encode(roster_find(&learned->classes, i + 1)->row, &bytes, &len_bytes);
		assert_int_equal(len_bytes, ROW_BYTES);
		assert_int_equal(memcmp(bytes, now_bytes[i], ROW_BYTES) == 0, i + 1 != but);
		free(bytes);
	}
}

static void reopen(void)
{
	learned_close(learned);
	open_state();
}

static void test_upgrade(void **state)
{
	(void)state;
	static const struct change_guard plain;
	const int8_t q[2 * D] = {9, 90, 3, 1, 1, -90, 3, 60};
	const uint32_t y[2] = {0};
	const uint8_t digests[2][DIGEST_BYTES] = {{100}, {101}};
	const struct teach_class class = {.label = label_of("c")};
	const struct teach_work work = {.n_classes = 1, .classes = &class, .n = 2, .q = q, .y = y, .digests = digests};
	struct change_outcome outcome;
	open_state();
	assert_rows(0);
	assert_int_equal(metric_pictures(learned->ranking.metric), n_classes); /* all count: none was called near */
	assert_int_equal(learned_teach(learned, &work, &plain, NULL, NULL, &outcome, NULL), 0);
	change_outcome_deinit(&outcome);
	assert_rows(CHANGED);
	reopen(); /* rows of both versions live */
	assert_rows(CHANGED);
	assert_int_equal(learned_undo(learned, &plain, &outcome, NULL), 0);
	change_outcome_deinit(&outcome);
	assert_rows(0);
	assert_int_equal(learned_rollback(learned, 2, &plain, &outcome, NULL), 0);
	change_outcome_deinit(&outcome);
	assert_rows(CHANGED);
	const struct label old_label = label_of("b"), new_label = label_of("bee");
	assert_int_equal(learned_rename(learned, &old_label, &new_label, &plain, &outcome, NULL), 0);
	change_outcome_deinit(&outcome);
	reopen();
	assert_rows(CHANGED);
	learned_close(learned);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_upgrade, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
