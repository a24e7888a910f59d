/* SPDX-License-Identifier: MIT */
/* tests/unit/store/test_prepared.c: prepared directories: foreign, newer, cut, mixed up, and those whose content is not what
 * bnnd writes. What cannot be served is left exactly as it is. */
#include "tests/unit/store/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>
#include "lib/base/endian.h"
#include "tests/testlib/faulty_vfs.h"

static void empty_db(const char *db, const char *wal)
{
	(void)wal;
	write_file(db, "", 0);
}
static void empty_both(const char *db, const char *wal)
{
	write_file(db, "", 0);
	write_file(wal, "", 0);
}
static void garbage_header(const char *db, const char *wal)
{
	(void)wal;
	spoil_bytes(db, 0, 100, 0x5a);
}
static void text_file(const char *db, const char *wal)
{
	(void)wal;
	write_file(db, "shopping list\n", 14);
}
static void cut_in_half(const char *db, const char *wal)
{
	write_file(wal, "", 0);
	assert_int_equal(truncate(db, 5 * 4096), 0);
}
static void cut_in_header(const char *db, const char *wal)
{
	(void)wal;
	assert_int_equal(truncate(db, 50), 0);
}
static void foreign_id(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "PRAGMA application_id = 252006673");
}
static void newer_schema(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "PRAGMA user_version = 2");
}
static void schema_zero(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "PRAGMA user_version = 0");
}
static void rollback_mode(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "PRAGMA journal_mode = DELETE");
}
static void read_only_version(const char *db, const char *wal)
{
	(void)wal;
	spoil_bytes(db, 18, 1, 6);
}
static void no_tables(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "DROP TABLE item");
}
static void a_view_named_item(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "ALTER TABLE item RENAME TO real_item; CREATE VIEW item AS WITH RECURSIVE c(x) AS"
		    " (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS id, 1 AS kind, 1 AS class_id, 1 AS born,"
		    " 9223372036854775807 AS died, x AS age, '' AS format, x'' AS data, 0 AS crc FROM c");
}
static void a_trigger(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "CREATE TRIGGER t AFTER INSERT ON change BEGIN DELETE FROM item; END");
}
static void an_index_more(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "CREATE INDEX more ON item(born)");
}
static void an_index_less(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "DROP INDEX change_restored");
}
static void a_column_more(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "ALTER TABLE item ADD COLUMN price");
}
static void statistics(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "ANALYZE");
}
static void a_change_before_the_first(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "UPDATE change SET seq = -1 WHERE seq = 1");
}
static void a_change_after_the_last(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "UPDATE change SET seq = 9223372036854775807 WHERE seq = 3");
}
/* As a flipped bit does it: the table says one thing, the index another. */
static void dead_in_the_table_alone(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "PRAGMA writable_schema = ON;"
		    "UPDATE sqlite_schema SET sql = sql || ' WHERE 0' WHERE name = 'item_died'");
	run_sql(db, "UPDATE item SET died = 3 WHERE class_id = 2");
	run_sql(db, "PRAGMA writable_schema = ON;"
		    "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE 0', '') WHERE name = 'item_died'");
}
static void born_with_another_change(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "UPDATE item SET born = 2 WHERE born = 3");
}
static void a_kind_that_is_none(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "UPDATE item SET kind = -126 WHERE kind = 2 AND class_id = 2");
}
static void a_class_that_is_none(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "UPDATE item SET class_id = -1 WHERE kind = 1 AND class_id = 2");
}
static void texts_for_numbers(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "UPDATE item SET data = 'rowBBBB1' WHERE kind = 1 AND class_id = 2;"
		    "UPDATE item SET crc = 'crc', format = zeroblob(4) WHERE kind = 2 AND class_id = 2");
}

/* No page is its own parent, but six levels of pages whose every child is the next level's one page are 400^6 leaves. */
static void endless_tree(const char *db, const char *wal)
{
	(void)wal;
	enum { PAGE = 4096, LEVELS = 6, CELLS = 400, CELL_BYTES = 5, HEADER_BYTES = 12 };
	size_t n;
	uint8_t *was = read_file(db, &n), *now = calloc(1, n + LEVELS * PAGE);
	uint32_t n_pages = (uint32_t)(n / PAGE), root = 6; /* of item, checked below */
	memcpy(now, was, n);
	memcpy(now + n + (LEVELS - 1) * PAGE, was + (root - 1) * PAGE, PAGE);
	assert_int_equal(now[n + (LEVELS - 1) * PAGE], 0x0d); /* a leaf of a table */
	for (uint32_t level = 0; level < LEVELS; level++) {
		uint8_t *page = level == 0 ? now + (root - 1) * PAGE : now + (n_pages + level - 1) * PAGE;
		uint32_t child = n_pages + level + 1;
		memset(page, 0, PAGE);
		page[0] = 0x05;
		store_be16(page + 3, CELLS);
		store_be16(page + 5, PAGE - CELLS * CELL_BYTES);
		store_be32(page + 8, child);
		for (uint32_t i = 0; i < CELLS; i++) {
			uint16_t at = (uint16_t)(PAGE - (i + 1) * CELL_BYTES);
			store_be16(page + HEADER_BYTES + 2 * i, at);
			store_be32(page + at, child);
			page[at + 4] = 1;
		}
	}
	store_be32(now + 28, n_pages + LEVELS);
	write_file(db, now, n + LEVELS * PAGE);
	free(was);
	free(now);
}
static void no_meta(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "DELETE FROM meta");
}
static void other_backbone(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "UPDATE meta SET feature_id = zeroblob(32)");
}
static void a_directory(const char *db, const char *wal)
{
	(void)wal;
	assert_int_equal(unlink(db), 0);
	assert_int_equal(mkdir(db, 0700), 0);
}
static void a_fifo(const char *db, const char *wal)
{
	(void)wal;
	assert_int_equal(unlink(db), 0);
	assert_int_equal(mkfifo(db, 0600), 0);
}
static void a_link_to_nothing(const char *db, const char *wal)
{
	(void)wal;
	assert_int_equal(unlink(db), 0);
	assert_int_equal(symlink("nowhere/to-be-found", db), 0);
}
static void a_link_to_itself_moved(const char *db, const char *wal)
{
	(void)wal;
	char *moved = NULL;
	assert_true(asprintf(&moved, "%s.moved", db) > 0);
	assert_int_equal(rename(db, moved), 0);
	assert_int_equal(symlink(moved, db), 0);
	free(moved);
}
static void wal_is_a_fifo(const char *db, const char *wal)
{
	(void)db;
	assert_int_equal(unlink(wal), 0);
	assert_int_equal(mkfifo(wal, 0600), 0);
}
static void foreign_with_journal(const char *db, const char *wal)
{
	(void)wal;
	char journal[256];
	foreign_id(db, wal);
	snprintf(journal, sizeof journal, "%s-journal", db);
	write_file(journal, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7 and more", 17);
}
static void ours_with_journal(const char *db, const char *wal)
{
	(void)wal;
	char journal[256];
	snprintf(journal, sizeof journal, "%s-journal", db);
	write_file(journal, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7 and more", 17);
}
static void broken_tree(const char *db, const char *wal)
{
	(void)wal;
	size_t n;
	free(read_file(db, &n));
	spoil_bytes(db, 4096, n - 4096, 0xa5);
}
/* A -wal as it lies beside db after a kill, moved to path. */
static void steal_wal(struct fixture *other, const char *path)
{
	char *wal = wal_path(other);
	teach(other, true);
	copy_file(wal, path);
	free(wal);
}
static void wal_of_another_state(const char *db, const char *wal)
{
	(void)db;
	void *other = NULL;
	fixture_set_up(&other);
	steal_wal(other, wal);
	fixture_tear_down(&other);
}
static void wal_of_another_backbone(const char *db, const char *wal)
{
	(void)db;
	void *other = NULL;
	fixture_set_up(&other);
	memcpy(((struct fixture *)other)->options.feature_id, feature_b, sizeof feature_b);
	steal_wal(other, wal);
	fixture_tear_down(&other);
}
static void wal_of_another_program(const char *db, const char *wal)
{
	(void)db;
	void *other = NULL;
	fixture_set_up(&other);
	char *path = path_in(other, "music.db"), *its_wal = path_in(other, "music.db-wal");
	sqlite3 *music = NULL;
	assert_int_equal(sqlite3_open_v2(path, &music, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "unix"), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(music, "PRAGMA journal_mode=WAL; CREATE TABLE song(a); INSERT INTO song VALUES(1)", NULL,
			NULL, NULL),
		SQLITE_OK);
	copy_file(its_wal, wal);
	sqlite3_close(music);
	free(path);
	free(its_wal);
	fixture_tear_down(&other);
}
static void no_wal(const char *db, const char *wal)
{
	(void)db;
	unlink(wal);
}
static void garbage_wal(const char *db, const char *wal)
{
	(void)db;
	char noise[5000];
	memset(noise, 0x77, sizeof noise);
	write_file(wal, noise, sizeof noise);
}
static void torn_wal(const char *db, const char *wal)
{
	(void)db;
	struct stat st;
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(truncate(wal, st.st_size - 100), 0);
}
static void nothing(const char *db, const char *wal)
{
	(void)db, (void)wal;
}

static const struct prepared {
	const char *name;
	bool unclean;
	void (*spoil)(const char *db, const char *wal);
	enum store_mode mode;
	const char *why;   /* a part of the sentence */
	const char *state; /* what is served */
	bool check_silent; /* the offline check finds nothing */
} prepared[] = {
	{"as it was", false, nothing, STORE_READ_WRITE, "", taught_state, true},
	{"after a kill", true, nothing, STORE_READ_WRITE, "", taught_state, true},
	{"without -wal", false, no_wal, STORE_READ_WRITE, "", taught_state, false},
	{"killed, -wal lost", true, no_wal, STORE_READ_WRITE, "", "1r=rowAAAA1 1l=cup 1s=x 2r=rowBBBB1 2l=mug 2s=z",
		false},
	{"killed, -wal torn", true, torn_wal, STORE_READ_WRITE, "", "1r=rowAAAA1 1l=cup 1s=x 2r=rowBBBB1 2l=mug 2s=z",
		true},
	{"-wal is noise", false, garbage_wal, STORE_READ_WRITE, "", taught_state, true},
	{"empty", false, empty_both, STORE_CLOSED, "not a database", "", false},
	{"empty beside a -wal", true, empty_db, STORE_CLOSED, "not a database", "", false},
	{"garbage header", true, garbage_header, STORE_CLOSED, "not a database", "", false},
	{"text", false, text_file, STORE_CLOSED, "not a database", "", false},
	{"cut in half", false, cut_in_half, STORE_CLOSED, "damaged", "", false},
	{"cut in header", false, cut_in_header, STORE_CLOSED, "another program", "", false},
	{"foreign", false, foreign_id, STORE_CLOSED, "another program (application id 0x0f055111)", "", false},
	{"foreign with a journal", false, foreign_with_journal, STORE_CLOSED, "another program", "", false},
	{"with a journal", false, ours_with_journal, STORE_CLOSED, "-journal, which bnnd never writes", "", false},
	{"newer", false, newer_schema, STORE_CLOSED, "newer bnnd (schema 2, this one knows 1)", "", false},
	{"schema 0", false, schema_zero, STORE_CLOSED, "schema 0", "", false},
	{"in rollback mode", false, rollback_mode, STORE_CLOSED, "not in WAL mode", "", false},
	{"of a version that SQLite only reads", false, read_only_version, STORE_CLOSED, "not in WAL mode", "", false},
	{"no item table", false, no_tables, STORE_CLOSED, "its schema differs", "", false},
	{"a view in a table's place", false, a_view_named_item, STORE_CLOSED, "its schema differs", "", false},
	{"a trigger", false, a_trigger, STORE_CLOSED, "at 't'", "", false},
	{"an index more", false, an_index_more, STORE_CLOSED, "at 'more'", "", false},
	{"an index less", false, an_index_less, STORE_CLOSED, "its schema differs", "", false},
	{"a column more", false, a_column_more, STORE_CLOSED, "at 'item'", "", false},
	{"statistics", false, statistics, STORE_CLOSED, "at 'sqlite_stat", "", false},
	{"a change before the first", false, a_change_before_the_first, STORE_READ_ONLY, "a number that is none",
		taught_state, false},
	{"a change after the last", false, a_change_after_the_last, STORE_CLOSED, "has no number", "", false},
	{"dead in the table alone", false, dead_in_the_table_alone, STORE_READ_ONLY, "SQLite finds", taught_state,
		false},
	{"an item of another change", false, born_with_another_change, STORE_READ_ONLY, "does not belong to the change",
		taught_state, false},
	{"a kind that is none", false, a_kind_that_is_none, STORE_READ_ONLY, "kind or class that is none",
		"1r=rowAAAA2 1l=cup 1s=x 1s=y !0?@2>0 2r=rowBBBB1 2s=z", false},
	{"a class that is none", false, a_class_that_is_none, STORE_READ_ONLY, "kind or class that is none",
		"!0?@2>0 1r=rowAAAA2 1l=cup 1s=x 1s=y 2l=mug 2s=z", false},
	{"texts for numbers", false, texts_for_numbers, STORE_READ_WRITE, "",
		"!2r@2>0 !2l@2>0 1r=rowAAAA2 1l=cup 1s=x 1s=y", false},
	{"a tree without an end", false, endless_tree, STORE_CLOSED, "comes to no end", "", false},
	{"no identity", false, no_meta, STORE_CLOSED, "which backbone", "", false},
	{"another backbone's", false, other_backbone, STORE_CLOSED, "another backbone", "", false},
	{"a directory", false, a_directory, STORE_CLOSED, "not a regular file", "", false},
	{"a fifo", false, a_fifo, STORE_CLOSED, "not a regular file", "", false},
	{"a link to nothing", false, a_link_to_nothing, STORE_CLOSED, "is a symbolic link", "", false},
	{"a link to itself, moved", false, a_link_to_itself_moved, STORE_CLOSED, "is a symbolic link", "", false},
	{"-wal is a fifo", false, wal_is_a_fifo, STORE_CLOSED, "-wal is not a regular file", "", false},
	{"tree is noise", false, broken_tree, STORE_CLOSED, "damaged", "", false},
	{"-wal of another state", true, wal_of_another_state, STORE_CLOSED, "belongs to another state file", "", false},
	{"-wal of another backbone", true, wal_of_another_backbone, STORE_CLOSED, "belongs to another state file", "",
		false},
	{"-wal of another program", true, wal_of_another_program, STORE_CLOSED, "another program", "", false},
};

#ifndef OPEN_MAX_S
#define OPEN_MAX_S 5 /* of CPU time, also under sanitizers; below 1 in a release build */
#endif

static void check_prepared(const struct prepared *p, struct fixture *f, bool read_only)
{
	char *db = db_path(f), *wal = wal_path(f), *findings = NULL;
	size_t n = 0;
	teach(f, p->unclean);
	p->spoil(db, wal);
	if (p->mode != STORE_READ_WRITE && access(wal, F_OK) != 0)
		write_file(wal, "", 0); /* SQLite creates an empty one with the first look; run_sql has removed ours */
	char *before = dir_fingerprint(f->dir);
	bool makes_wal = p->mode == STORE_READ_WRITE && access(wal, F_OK) != 0 && !read_only;

	struct err err;
	FILE *out = open_memstream(&findings, &n);
	int r = store_check(f->dir, print_finding, out, &err);
	fclose(out);
	if (r != (p->check_silent ? 0 : 1))
		fail_msg("%s: check %d: %s", p->name, r, findings);
	free(findings);

	if (read_only)
		faulty_vfs_set(&(struct faulty_plan){.kind = FAULTY_READONLY});
	clock_t began = clock();
	assert_int_equal(fixture_open(f, &err), 0);
	double took_s = (double)(clock() - began) / CLOCKS_PER_SEC;
	if (took_s > OPEN_MAX_S)
		fail_msg("%s: %.1f s to open", p->name, took_s);
	char *text = state_text(f->store);
	enum store_mode mode = read_only && p->mode == STORE_READ_WRITE ? STORE_READ_ONLY : p->mode;
	if (store_mode(f->store) != mode || (!read_only && !strstr(store_why(f->store), p->why)) ||
		(mode != STORE_READ_WRITE && store_why(f->store)[0] == '\0'))
		fail_msg("%s: mode %d: \"%s\"", p->name, store_mode(f->store), store_why(f->store));
	if (strcmp(text, p->state) != 0)
		fail_msg("%s: \"%s\"", p->name, text);
	if (mode != STORE_READ_WRITE)
		assert_int_equal(try_learn(f->store, 9, "new", "new", "n", NULL, &err), -ERR_UNAVAILABLE);
	if (mode == STORE_CLOSED) {
		assert_int_equal(store_seq(f->store), 0);
		assert_history(f->store, "");
	}
	free(text);
	fixture_close(f);
	char *after = dir_fingerprint(f->dir);
	if (!makes_wal && strcmp(before, after) != 0)
		fail_msg("%s was touched:\n%s%s", p->name, before, after);
	if (p->mode == STORE_READ_WRITE && !read_only) { /* and it goes on */
		fixture_reopen(f);
		uint64_t seq = store_seq(f->store);
		assert_int_equal(learn(f->store, 9, "new", "new", "n"), seq + 1);
	}
	free(before);
	free(after);
	free(db);
	free(wal);
}

static void test_prepared_directories(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * (sizeof prepared / sizeof *prepared); i++) {
		void *f = NULL;
		fixture_set_up(&f);
		check_prepared(&prepared[i / 2], f, i % 2);
		fixture_tear_down(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prepared_directories),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
