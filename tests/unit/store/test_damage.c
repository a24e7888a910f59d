/* SPDX-License-Identifier: MIT */
/* tests/unit/store/test_damage.c: prepared directories: foreign, newer, cut, mixed up, locked, read-only.
 * What cannot be served is left exactly as it is. */
#include "tests/unit/store/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>
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
static void no_tables(const char *db, const char *wal)
{
	(void)wal;
	run_sql(db, "DROP TABLE item");
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
static void foreign_with_journal(const char *db, const char *wal)
{
	(void)wal;
	char journal[256];
	foreign_id(db, wal);
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
	{"without -wal", false, no_wal, STORE_READ_WRITE, "", taught_state, true},
	{"killed, -wal lost", true, no_wal, STORE_READ_WRITE, "", "1r=rowAAAA1 1l=cup 1s=x 2r=rowBBBB1 2l=mug 2s=z",
		true},
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
	{"newer", false, newer_schema, STORE_CLOSED, "newer bnnd (schema 2, this one knows 1)", "", false},
	{"schema 0", false, schema_zero, STORE_CLOSED, "schema 0", "", false},
	{"no item table", false, no_tables, STORE_CLOSED, "no such table", "", false},
	{"no identity", false, no_meta, STORE_CLOSED, "which backbone", "", false},
	{"another backbone's", false, other_backbone, STORE_CLOSED, "another backbone", "", false},
	{"a directory", false, a_directory, STORE_CLOSED, "not a regular file", "", false},
	{"a fifo", false, a_fifo, STORE_CLOSED, "not a regular file", "", false},
	{"tree is noise", false, broken_tree, STORE_CLOSED, "damaged", "", false},
	{"-wal of another state", true, wal_of_another_state, STORE_CLOSED, "belongs to another state file", "", false},
	{"-wal of another backbone", true, wal_of_another_backbone, STORE_CLOSED, "belongs to another state file", "",
		false},
	{"-wal of another program", true, wal_of_another_program, STORE_CLOSED, "another program", "", false},
};

static void check_prepared(const struct prepared *p, struct fixture *f, bool read_only)
{
	char *db = db_path(f), *wal = wal_path(f), *findings = NULL;
	size_t n = 0;
	teach(f, p->unclean);
	p->spoil(db, wal);
	if (p->mode == STORE_CLOSED && access(wal, F_OK) != 0)
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
	assert_int_equal(fixture_open(f, &err), 0);
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

static void test_read_only_and_empty(void **state)
{
	struct fixture *f = *state;
	char *sub = path_in(f, "var");
	faulty_vfs_set(&(struct faulty_plan){.kind = FAULTY_READONLY});
	for (int i = 0; i < 2; i++) {
		struct err err;
		f->options.dir = i ? sub : f->dir; /* there, and not there */
		assert_int_equal(fixture_open(f, &err), 0);
		assert_int_equal(store_mode(f->store), STORE_READ_ONLY);
		assert_non_null(strstr(store_why(f->store), i ? "cannot be created" : "cannot be written"));
		assert_state(f->store, "");
		assert_int_equal(try_learn(f->store, 1, "A", "cup", "x", NULL, &err), -ERR_UNAVAILABLE);
		assert_int_equal(faulty_vfs_operations(), 0);
	}
	free(sub);
}

static void test_read_only_serves_history(void **state)
{
	struct fixture *f = *state;
	teach(f, true);
	faulty_vfs_set(&(struct faulty_plan){.kind = FAULTY_READONLY});
	assert_int_equal(fixture_open(f, NULL), 0);
	assert_history(f->store, "3 2 1");
	assert_int_equal(store_seq(f->store), 3);
	assert_int_equal(store_class_id_next(f->store), 3);
	uint64_t target = 0;
	assert_int_equal(store_undo_target(f->store, &target, NULL), 0);
	struct store_change change = {.op = STORE_OP_UNDO};
	uint64_t seq = 0;
	assert_int_equal(store_restore(f->store, target, &change, &seq, NULL), -ERR_UNAVAILABLE);
}

static void test_other_format(void **state)
{
	struct fixture *f = *state;
	struct err err;
	teach(f, true);
	char *before = dir_fingerprint(f->dir);
	f->options.format = "cwr1 8/8 d=4";
	assert_int_equal(fixture_open(f, &err), -ERR_FAILED_PRECONDITION);
	assert_non_null(strstr(err.text, "\"" FORMAT "\""));
	assert_non_null(strstr(err.text, "\"cwr1 8/8 d=4\""));
	assert_null(f->store);
	char *after = dir_fingerprint(f->dir);
	assert_string_equal(before, after);
	free(before);
	free(after);
	f->options.format = FORMAT;
	fixture_reopen(f);
	forget(f->store, 1);
	forget(f->store, 2);
	f->options.format = "cwr1 8/8 d=4"; /* no row lives: another width may begin */
	fixture_reopen(f);
	struct store_change change = {.op = STORE_OP_UNDO};
	uint64_t seq = 0; /* but what was is not brought back among others */
	assert_int_equal(store_restore(f->store, 3, &change, &seq, &err), -ERR_FAILED_PRECONDITION);
	assert_int_equal(store_seq(f->store), 5);
	assert_state(f->store, "");
	assert_int_equal(store_mode(f->store), STORE_READ_WRITE);
}

static void test_locked(void **state)
{
	struct fixture *f = *state;
	teach(f, true);
	int to_parent[2], to_child[2];
	char byte = 0;
	assert_int_equal(pipe(to_parent) | pipe(to_child), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) { /* an idle daemon: it has only opened */
		close(to_child[1]);
		if (fixture_open(f, NULL) != 0 || store_mode(f->store) != STORE_READ_WRITE)
			_exit(1);
		if (write(to_parent[1], "r", 1) != 1 || read(to_child[0], &byte, 1) < 0)
			_exit(2);
		_exit(0);
	}
	close(to_child[0]);
	close(to_parent[1]);
	assert_int_equal(read(to_parent[0], &byte, 1), 1);
	char *before = dir_fingerprint(f->dir), owner[64], *findings = NULL;
	snprintf(owner, sizeof owner, "in use by process %d", (int)child);
	size_t n = 0;
	struct err err;
	assert_int_equal(fixture_open(f, &err), 0);
	assert_int_equal(store_mode(f->store), STORE_CLOSED);
	if (!strstr(store_why(f->store), owner))
		fail_msg("%s", store_why(f->store));
	assert_state(f->store, "");
	assert_int_equal(try_learn(f->store, 1, "A", "cup", "x", NULL, &err), -ERR_UNAVAILABLE);
	FILE *out = open_memstream(&findings, &n);
	assert_int_equal(store_check(f->dir, print_finding, out, &err), 1);
	fclose(out);
	assert_non_null(strstr(findings, owner));
	free(findings);
	assert_int_equal(store_peek_classes(f->dir, feature_a), 0);
	faulty_vfs_set(
		&(struct faulty_plan){.kind = FAULTY_READONLY}); /* locked comes before read-only: it may change */
	assert_int_equal(fixture_open(f, &err), 0);
	assert_int_equal(store_mode(f->store), STORE_CLOSED);
	faulty_vfs_set(&(struct faulty_plan){0});
	fixture_close(f);
	char *after = dir_fingerprint(f->dir);
	assert_string_equal(before, after);
	free(before);
	free(after);
	close(to_child[1]);
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(to_parent[0]);
	fixture_reopen(f);
	assert_state(f->store, taught_state);
}

/* Two daemons on an empty directory: the second knows at once, and gets on when the first has gone. */
static void test_two_on_a_fresh_directory(void **state)
{
	struct fixture *f = *state;
	int to_child[2], to_parent[2];
	assert_int_equal(pipe(to_child), 0);
	assert_int_equal(pipe(to_parent), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct store *store = NULL;
		char byte = store_open(&f->options, &store, NULL) == 0 && store_mode(store) == STORE_READ_WRITE;
		bool ok = byte && write(to_parent[1], &byte, 1) == 1 && read(to_child[0], &byte, 1) == 1;
		_exit(!ok || learn(store, 1, "theirs", "cup", "") != 1 || write(to_parent[1], &byte, 1) != 1 ||
			read(to_child[0], &byte, 1) != 1);
	}
	char byte, owner[64];
	struct err err;
	snprintf(owner, sizeof owner, "in use by process %d", (int)child);
	assert_int_equal(read(to_parent[0], &byte, 1), 1);
	for (int taught = 0; taught < 2; taught++) { /* the directory is locked, then the file */
		if (taught == 0)
			assert_int_equal(fixture_open(f, &err), 0);
		else
			assert_int_equal(store_try_again(f->store, &err), 0);
		assert_int_equal(store_mode(f->store), STORE_CLOSED);
		assert_true(store_mends(f->store));
		if (!strstr(store_why(f->store), owner))
			fail_msg("%s", store_why(f->store));
		assert_int_equal(try_learn(f->store, 1, "ours", "cup", "", NULL, &err), -ERR_UNAVAILABLE);
		assert_int_equal(write(to_child[1], &byte, 1), 1);
		if (taught == 0)
			assert_int_equal(read(to_parent[0], &byte, 1), 1);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	for (int i = 0; i < 2; i++) {
		close(to_child[i]);
		close(to_parent[i]);
	}
	assert_int_equal(store_try_again(f->store, &err), STORE_E_OPENED);
	assert_int_equal(store_mode(f->store), STORE_READ_WRITE);
	assert_string_equal(store_why(f->store), "");
	assert_state(f->store, "1r=theirs 1l=cup");
	assert_int_equal(learn(f->store, 2, "ours", "mug", ""), 2);
}

/* A state file that appears in a directory that we hold: it is not replaced, and taken as it is. */
static void test_created_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct err err;
	char *db = db_path(f), *kept = path_in(f, "kept");
	fixture_reopen(f);
	learn(f->store, 1, "theirs", "cup", "");
	fixture_close(f);
	assert_int_equal(rename(db, kept), 0);
	char *wal = wal_path(f);
	unlink(wal);
	fixture_reopen(f);
	assert_int_equal(rename(kept, db), 0);
	assert_int_equal(try_learn(f->store, 1, "ours", "cup", "", NULL, &err), -ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "created by another process"));
	assert_int_equal(store_try_again(f->store, &err), STORE_E_OPENED);
	assert_state(f->store, "1r=theirs 1l=cup");
	free(db);
	free(kept);
	free(wal);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prepared_directories),
		TEST(test_read_only_and_empty),
		TEST(test_read_only_serves_history),
		TEST(test_other_format),
		TEST(test_locked),
		TEST(test_two_on_a_fresh_directory),
		TEST(test_created_meanwhile),
	};
	return cmocka_run_group_tests_name("store_damage", tests, NULL, NULL);
}
