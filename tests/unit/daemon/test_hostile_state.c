/* SPDX-License-Identifier: MIT */
/* A state file whose every CRC is right and whose content is a stranger's: nothing in it indexes, sizes or loops unchecked,
 * nothing of it reaches a client as it is not allowed to. Flipped bits: tests/fuzz/test_state_bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/state/teach.h"
#include "lib/base/endian.h"
#include "tests/unit/daemon/folder.h"
#include "lib/base/utf8.h"
#include "proto/limits.h"

enum { D = 32, ROW_BYTES = 32 + 2 * D };

static char dir[] = "/tmp/bnnd-hostile-XXXXXX";
static struct config config;
static struct store *store;

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/bnnd-hostile-XXXXXX");
	assert_non_null(mkdtemp(dir));
	config = (struct config){
		.state_dir = dir, .keep = CONFIG_KEEP_FEATURES, .max_classes = 40, .samples_per_class = 8};
	learn_settings_preset(LEARN_DEFAULT, &config.learner);
	config.learner.method = LEARN_METRIC; /* reads all that cwr does, and more */
	char format[STORE_FORMAT_MAX_BYTES];
	learn_row_format(config.learner.width, D, LEARN_ROW_VERSION, format, sizeof format);
	struct store_options options = {.dir = dir, .model_name = "tiny", .format = format};
	memset(options.feature_id, 7, sizeof options.feature_id);
	assert_int_equal(store_open(&options, &store, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return remove_folder(dir);
}

/* A change of these items with this result, as the store takes it. */
static void commit(const struct store_put *puts, size_t n_puts, const void *result, size_t result_bytes)
{
	struct err err = {0};
	uint64_t seq = 0;
	struct store_change change = {.op = STORE_OP_LEARN,
		.time_ms = INT64_MAX,
		.result = result,
		.result_bytes = result_bytes,
		.puts = puts,
		.n_puts = n_puts};
	if (store_commit(store, &change, &seq, &err) != 0)
		fail_msg("%s", err.text);
}

/* A row that decodes: past 1, exponent 0, worth one picture, one weight. */
static void good_row(uint8_t row[ROW_BYTES])
{
	memset(row, 0, ROW_BYTES);
	store_le32(row, 1);
	memcpy(row + 8, &(double){1}, sizeof(double));
	row[32] = 9;
}

/* Everything is asked for, whatever it answers. */
static void use(size_t n_classes, const char *reason)
{
	static const struct change_guard plain;
	struct learned *learned = NULL;
	struct err err = {0};
	struct learned_options options = {.config = &config, .model_name = "tiny", .n_features = D};
	memset(options.feature_id, 7, sizeof options.feature_id);
	store_close(store);
	if (learned_open(&options, &learned, &err) < 0)
		fail_msg("%s", err.text);
	struct snapshot *s = learned_snapshot(learned);
	assert_int_equal(s->n_classes, n_classes);
	bool said = !reason;
	for (size_t i = 0; reason && i < s->n_reasons; i++)
		said = said || strstr(s->reasons[i], reason);
	if (!said)
		fail_msg("'%s' is not said, but %zu: %s", reason, s->n_reasons, s->n_reasons ? s->reasons[0] : "");
	for (size_t i = 0; i < s->n_history; i++) {
		const struct change_entry *e = s->history[i].entry;
		assert_true(e->n_classes <= LESSON_MAX_CLASSES);
		for (size_t at = 0, n = 0; e->hint && e->hint[at]; at += n) {
			uint32_t point;
			n = utf8_decode((const uint8_t *)e->hint + at, strlen(e->hint) - at, &point);
			assert_true(n > 0 && point >= 0x20);
		}
	}
	snapshot_unref(s);
	int8_t q[2 * D] = {5, 7, 1};
	uint32_t y[2] = {0};
	uint8_t digests[2][DIGEST_BYTES] = {{1}, {2}};
	struct teach_class class = {.label = {.bytes = "new", .len_bytes = 3}};
	q[D + 3] = 9;
	struct teach_work work = {.n_classes = 1,
		.classes = &class,
		.n = 2,
		.q = q,
		.y = y,
		.digests = (const uint8_t(*)[DIGEST_BYTES])digests};
	struct change_outcome outcome = {0};
	struct label none = {0};
	assert_true(learned_teach(learned, &work, &plain, NULL, NULL, &outcome, &err) == 0 || err.text[0]);
	change_outcome_deinit(&outcome);
	assert_true(learned_forget(learned, &none, &plain, &outcome, &err) == 0 || err.text[0]);
	change_outcome_deinit(&outcome);
	assert_true(learned_undo(learned, &plain, &outcome, &err) == 0 || err.text[0]);
	change_outcome_deinit(&outcome);
	assert_true(learned_rollback(learned, 1, &plain, &outcome, &err) == 0 || err.text[0]);
	change_outcome_deinit(&outcome);
	learned_close(learned);
}

static void test_rows_and_labels(void **state)
{
	(void)state;
	uint8_t row[ROW_BYTES];
	good_row(row);
	char format[STORE_FORMAT_MAX_BYTES];
	learn_row_format(config.learner.width, D, LEARN_ROW_VERSION, format, sizeof format);
	const struct store_put puts[] = {
		{STORE_ROW, 1, row, ROW_BYTES, format},
		{STORE_LABEL, 1, (const uint8_t *)"good", 4, "utf8"},
		{STORE_ROW, 2, row, ROW_BYTES - 1, format},
		{STORE_LABEL, 2, (const uint8_t *)"short row", 9, "utf8"},
		{STORE_ROW, 3, row, ROW_BYTES, format},
		{STORE_LABEL, 3, (const uint8_t *)"\xff\n", 2, "utf8"},
		{STORE_ROW, 4, row, ROW_BYTES, format},
		{STORE_LABEL, 4, (const uint8_t *)"", 0, "utf8"},
		{STORE_LABEL, 5, (const uint8_t *)"a label alone", 13, "utf8"},
		{STORE_ROW, 0, row, ROW_BYTES, format},
		{STORE_LABEL, 0, (const uint8_t *)"none has none", 13, "utf8"},
		{STORE_SAMPLE, 1, row, 3, ""},
		{STORE_NOTE, 1, row, 0, ""},
		{STORE_ROW, 5000, row, 0, format},
		{STORE_SAMPLE, 0x7ffffffe, row, 20, ""},
	};
	commit(puts, sizeof puts / sizeof *puts, "", 0);
	use(1, "class 2 (short row) has no usable row");
}

/* 5 bytes a class: as many as a result holds. */
static void test_result_of_too_many(void **state)
{
	(void)state;
	enum { CLASS_BYTES = 4, N = STORE_RESULT_MAX_BYTES / CLASS_BYTES };
	static uint8_t result[N * CLASS_BYTES];
	for (size_t i = 0; i < N; i++) {
		const uint8_t class[CLASS_BYTES] = {0x0a, 2, 0x08, 1};
		memcpy(result + i * CLASS_BYTES, class, CLASS_BYTES);
	}
	uint8_t row[ROW_BYTES];
	good_row(row);
	char format[STORE_FORMAT_MAX_BYTES];
	learn_row_format(config.learner.width, D, LEARN_ROW_VERSION, format, sizeof format);
	const struct store_put puts[] = {
		{STORE_ROW, 1, row, ROW_BYTES, format}, {STORE_LABEL, 1, (const uint8_t *)"good", 4, "utf8"}};
	commit(puts, 2, result, sizeof result);
	commit(NULL, 0, "\x22\x03\xff\x0a\x41", 5);             /* a hint that is no text */
	commit(NULL, 0, "\x0a\x05\x08\xff\xff", 5);             /* cut */
	commit(NULL, 0, "\x0a\x06\x08\xff\xff\xff\xff\x0f", 8); /* class 2^32 - 1 */
	use(1, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows_and_labels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_result_of_too_many, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
