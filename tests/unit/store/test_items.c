/* SPDX-License-Identifier: MIT */
/* tests/unit/store/test_items.c: flipped bits: bad items and changes, any bit of a file, the image in RAM against SQLite's
 * own recovery, and what the offline check finds. */
#include "tests/unit/store/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/random.h"
#include "lib/store/store_inside.h"

static const struct flip {
	const char *name, *sql, *state;
} flips[] = {
	{"row", "UPDATE item SET data = x'00' WHERE kind = 1 AND born = 4",
		"!1r@4>1 1r=A 1l=jug 1s=x 1s=y 2r=B 2l=mug 2s=z"},
	{"row and the one before", "UPDATE item SET data = x'00' WHERE kind = 1 AND class_id = 1",
		"!1r@4>0 2r=B 2l=mug 2s=z"},
	{"only row", "UPDATE item SET data = x'00' WHERE kind = 1 AND class_id = 2", "!2r@2>0 1r=C 1l=jug 1s=x 1s=y"},
	{"renamed label", "UPDATE item SET data = x'00' WHERE kind = 2 AND born = 3",
		"!1l@3>1 1r=C 1l=cup 1s=x 1s=y 2r=B 2l=mug 2s=z"},
	{"only label", "UPDATE item SET data = x'00' WHERE kind = 2 AND class_id = 2", "!2l@2>0 1r=C 1l=jug 1s=x 1s=y"},
	{"sample", "UPDATE item SET data = x'00' WHERE kind = 3 AND born = 1",
		"1r=C 1l=jug !1s@1>0 1s=y 2r=B 2l=mug 2s=z"},
	{"crc", "UPDATE item SET crc = crc + 1 WHERE kind = 1 AND born = 4",
		"!1r@4>1 1r=A 1l=jug 1s=x 1s=y 2r=B 2l=mug 2s=z"},
	{"format", "UPDATE item SET format = 'other' WHERE kind = 1 AND born = 4",
		"!1r@4>1 1r=A 1l=jug 1s=x 1s=y 2r=B 2l=mug 2s=z"},
	{"class of a sample", "UPDATE item SET class_id = 1 WHERE kind = 3 AND class_id = 2",
		"1r=C 1l=jug 1s=x !1s@2>0 1s=y 2r=B 2l=mug"},
};

static void test_damaged_items(void **state)
{
	struct fixture *f = *state;
	char *db = db_path(f), *copy = path_in(f, "copy");
	struct store_put put = {STORE_LABEL, 1, (const uint8_t *)"jug", 3, NULL};
	struct store_change rename_it = {.op = STORE_OP_RENAME, .puts = &put, .n_puts = 1};
	uint64_t seq = 0;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x");
	learn(f->store, 2, "B", "mug", "z");
	assert_int_equal(store_commit(f->store, &rename_it, &seq, NULL), 0);
	learn(f->store, 1, "C", NULL, "y");
	fixture_close(f);
	copy_file(db, copy);
	for (size_t i = 0; i < sizeof flips / sizeof *flips; i++) {
		copy_file(copy, db);
		run_sql(db, flips[i].sql);
		fixture_reopen(f);
		char *text = state_text(f->store);
		if (strcmp(text, flips[i].state) != 0)
			fail_msg("%s: \"%s\", expected \"%s\"", flips[i].name, text, flips[i].state);
		free(text);
		size_t n = 0;
		char *findings = NULL;
		fixture_close(f);
		FILE *out = open_memstream(&findings, &n);
		assert_int_equal(store_check(f->dir, print_finding, out, NULL), 1);
		fclose(out);
		assert_non_null(strstr(findings, "is damaged"));
		free(findings);
	}
	free(db);
	free(copy);
}

/* Behind an undo the state that it made again is asked, not the lesson that was undone. */
static void test_damage_behind_undo(void **state)
{
	struct fixture *f = *state;
	char *db = db_path(f);
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "");
	learn(f->store, 1, "B", NULL, "");
	undo(f->store);
	fixture_close(f);
	run_sql(db, "UPDATE item SET data = x'00' WHERE kind = 1 AND born = 3");
	fixture_reopen(f);
	assert_state(f->store, "!1r@3>1 1r=A 1l=cup");
	learn(f->store, 1, "D", NULL, ""); /* heals */
	assert_state(f->store, "1r=D 1l=cup");
	undo(f->store); /* brings the damaged copy back, which is found again */
	assert_state(f->store, "!1r@5>1 1r=A 1l=cup");
	free(db);
}

static int has_result(void *ctx, const struct store_entry *entry)
{
	*(bool *)ctx = entry->result_bytes > 0;
	return 0;
}

static void test_damaged_change(void **state)
{
	struct fixture *f = *state;
	teach(f, false);
	char *db = db_path(f);
	run_sql(db, "UPDATE change SET result = x'414243' WHERE seq = 2");
	fixture_reopen(f);
	assert_state(f->store, taught_state);
	bool result = true;
	assert_int_equal(store_history(f->store, 3, 1, has_result, &result, NULL), 0);
	assert_false(result);
	assert_int_equal(store_history(f->store, 2, 1, has_result, &result, NULL), 0);
	assert_true(result);
	free(db);
}

static int legal_item(void *ctx, const struct store_item *item)
{
	(void)ctx;
	static const char *const legal[] = {"rowAAAA1", "rowAAAA2", "rowBBBB1", "cup", "mug", "x", "y", "z"};
	for (size_t i = 0; i < sizeof legal / sizeof *legal; i++)
		if (strlen(legal[i]) == item->len_bytes && memcmp(legal[i], item->data, item->len_bytes) == 0)
			return 0;
	return 99;
}

static int any_entry(void *ctx, const struct store_entry *entry)
{
	for (size_t i = 0; i < entry->result_bytes; i++)
		*(unsigned *)ctx += entry->result[i];
	return 0;
}

static void no_damage(void *ctx, const struct store_damage *damage)
{
	(void)ctx, (void)damage;
}

static void no_finding(void *ctx, enum store_line line, const char *sentence)
{
	(void)line;
	*(unsigned *)ctx += sentence[0];
}

/* Any bit of the db or the -wal may flip: nothing crashes, and no item is given that was never taught. */
static void flip_bits(struct fixture *f, const char *path, unsigned rounds, uint64_t seed)
{
	size_t n;
	uint8_t *data = read_file(path, &n);
	for (unsigned i = 0; i < rounds; i++) {
		size_t at = splitmix64_below(&seed, (uint32_t)n);
		uint8_t bit = (uint8_t)(1u << splitmix64_below(&seed, 8)), was = data[at];
		unsigned sum = 0;
		struct err err = {0};
		data[at] ^= bit;
		write_file(path, data, n);
		data[at] = was;
		store_check(f->dir, no_finding, &sum, &err);
		store_peek_classes(f->dir, feature_a);
		if (fixture_open(f, &err) != 0)
			continue;
		int r = store_load(f->store, legal_item, no_damage, &sum, &err);
		if (r == 99)
			fail_msg("bit %02x of byte %zu: an item that nobody taught", bit, at);
		if (r < 0)
			assert_int_equal(store_mode(f->store), STORE_CLOSED);
		store_history(f->store, 0, 100, any_entry, &sum, &err);
		store_labels(f->store, legal_item, NULL, &err);
		fixture_close(f);
	}
	write_file(path, data, n);
	free(data);
}

static void test_any_flipped_bit(void **state)
{
	struct fixture *f = *state;
	char *db = db_path(f), *wal = wal_path(f);
	teach(f, true);
	flip_bits(f, wal, 500, 1);
	flip_bits(f, db, 500, 2);
	fixture_reopen(f);
	assert_state(f->store, taught_state);
	fixture_close(f);
	teach(f, false);
	flip_bits(f, db, 1500, 3);
	free(db);
	free(wal);
}

/* The image in RAM is what SQLite's own recovery makes of the same two files, wherever the -wal is cut or spoilt. */
static void compare_image(const char *db, const char *wal, const char *what)
{
	uint8_t *image = NULL;
	size_t n_image = 0, n_file = 0;
	struct err err;
	if (image_read(db, &image, &n_image, &err) != 0)
		fail_msg("%s: %s", what, err.text);
	run_sql(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	uint8_t *file = read_file(db, &n_file);
	if (n_file != n_image || memcmp(file, image, n_file) != 0)
		fail_msg("%s: image of %zu bytes, SQLite's has %zu", what, n_image, n_file);
	free(file);
	sqlite3_free(image);
	(void)wal;
}

static void test_image_is_what_sqlite_recovers(void **state)
{
	struct fixture *f = *state;
	char *db = db_path(f), *wal = wal_path(f), *db_copy = path_in(f, "copy.db"),
	     *wal_copy = path_in(f, "copy.db-wal");
	char row[20001];
	uint64_t seed = 4;
	memset(row, 'r', sizeof row - 1);
	row[sizeof row - 1] = '\0';
	fixture_reopen(f);
	for (int i = 0; i < 230; i++) /* past one checkpoint: old frames lie behind the new ones */
		learn(f->store, 1 + i % 3, row, NULL, "xyz");
	for (unsigned i = 0; i < 120; i++) {
		char what[64];
		size_t n;
		learn(f->store, 2, i % 2 ? "short" : row, NULL, "x");
		copy_file(db, db_copy);
		copy_file(wal, wal_copy);
		free(read_file(wal_copy, &n));
		size_t at = splitmix64_below(&seed, (uint32_t)n);
		if (i % 3 == 1)
			assert_int_equal(truncate(wal_copy, (off_t)at), 0);
		else if (i % 3 == 2)
			spoil_bytes(wal_copy, at, 1, (uint8_t)i);
		snprintf(what, sizeof what, "round %u at %zu of %zu", i, at, n);
		compare_image(db_copy, wal_copy, what);
	}
	free(db);
	free(wal);
	free(db_copy);
	free(wal_copy);
}

static void test_check(void **state)
{
	struct fixture *f = *state;
	char *db = db_path(f), *other = path_in(f, "state-0000000000000000.db"), *current = path_in(f, "current");
	char *nowhere = path_in(f, "nowhere"), *findings = NULL;
	size_t n = 0;
	struct err err;
	assert_int_equal(store_check(f->dir, print_finding, stdout, &err), -ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "there is no state in"));
	assert_int_equal(store_check(nowhere, print_finding, stdout, &err), -ERR_NOT_FOUND);
	teach(f, true);
	assert_int_equal(store_check(f->dir, print_finding, stdout, &err), 0);
	teach(f, false);
	copy_file(db, other);
	write_file(current, "?", 1);
	run_sql(db, "UPDATE item SET data = x'00' WHERE id = 1; DELETE FROM change WHERE seq = 2;"
		    "UPDATE change SET result = x'00' WHERE seq = 3; UPDATE item SET died = 1 WHERE id = 2;"
		    "UPDATE item SET class_id = 77 WHERE id = 3");
	FILE *out = open_memstream(&findings, &n);
	assert_int_equal(store_check(f->dir, print_finding, out, &err), 1);
	fclose(out);
	static const char *const expected[] = {
		"state-0000000000000000.db: it belongs to another backbone than its name says "
		"(state-aa01020304050607.db)",
		"state-aa01020304050607.db: changes 2 to 2 are missing",
		"state-aa01020304050607.db: change 3 is damaged",
		"state-aa01020304050607.db: the row of class 1 from change 1 is damaged (an old version)",
		"state-aa01020304050607.db: item 2 died before it was born or after the newest change",
		"current: it cannot be read: the default model will be used",
	};
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
		if (!strstr(findings, expected[i]))
			fail_msg("\"%s\" is not among\n%s", expected[i], findings);
	free(findings);
	free(db);
	free(other);
	free(current);
	free(nowhere);
}

/* As many bad items as there are pages of noise: each looks for what its class had before, and none of them among all that
 * lives. Steps are counted: a walk over everything for each of them comes to no end. */
static void test_many_bad_items(void **state)
{
	struct fixture *f = *state;
	char *db = db_path(f);
	teach(f, false);
	run_sql(db, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000)"
		    " INSERT INTO item SELECT NULL, kind, 1000 + x, 3, died, x, format, data, crc FROM c, item"
		    " WHERE kind <= 2 AND died = 9223372036854775807");
	assert_int_equal(fixture_open(f, NULL), 0);
	assert_int_equal(store_mode(f->store), STORE_READ_ONLY);
	char *text = state_text(f->store);
	if (!strstr(text, taught_state))
		fail_msg("%s: %.300s", store_why(f->store), text);
	free(text);
	free(db);
}

/* A read that fails closes the store and says why, also to a caller that does not ask. */
static void test_a_failed_read(void **state)
{
	struct fixture *f = *state;
	struct reading reading;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x");
	assert_true(read_begin(&reading, f->store, NULL));
	read_select(&reading, "SELECT 7, ?1", SQL_ARGS(5));
	assert_true(read_next(&reading));
	assert_int_equal(sqlite3_column_int64(reading.stmt, 1), 5);
	assert_false(read_next(&reading));
	assert_int_equal(read_finish(&reading), 0);
	assert_true(read_begin(&reading, f->store, NULL));
	read_select(&reading, "SELECT 7", 0, NULL);
	assert_true(read_next(&reading));
	reading.answer = 3;
	assert_false(read_next(&reading));
	assert_int_equal(read_finish(&reading), 3);
	assert_int_equal(store_mode(f->store), STORE_READ_WRITE);
	assert_true(read_begin(&reading, f->store, NULL));
	read_select(&reading, "SELECT it FROM nowhere", 0, NULL);
	assert_false(read_next(&reading));
	assert_true(read_finish(&reading) < 0);
	assert_int_equal(store_mode(f->store), STORE_CLOSED);
	assert_string_not_equal(store_why(f->store), "");
	assert_false(read_begin(&reading, f->store, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_unit_test(test_damaged_items),
		fixture_unit_test(test_damage_behind_undo),
		fixture_unit_test(test_damaged_change),
		fixture_unit_test(test_any_flipped_bit),
		fixture_unit_test(test_image_is_what_sqlite_recovers),
		fixture_unit_test(test_check),
		fixture_unit_test(test_many_bad_items),
		fixture_unit_test(test_a_failed_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
