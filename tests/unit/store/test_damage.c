/* SPDX-License-Identifier: MIT */
/* tests/unit/store/test_damage.c: prepared directories: foreign, newer, cut, mixed up, locked, read-only, with flipped
 * bits. What cannot be served is left exactly as it is. */
#include "tests/unit/store/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/random.h"
#include "lib/store/internal.h"
#include "tests/testlib/faulty_vfs.h"

static const char whole[] = "1r=rowAAAA2 1l=cup 1s=x 1s=y 2r=rowBBBB1 2l=mug 2s=z";

/* Three lessons; the third is in the -wal alone when unclean. */
static void teach(struct fixture *f, bool unclean)
{
	char *db = db_path(f), *wal = wal_path(f), *db_copy = path_in(f, "db.copy"), *wal_copy = path_in(f, "wal.copy");
	fixture_reopen(f);
	learn(f->store, 1, "rowAAAA1", "cup", "x");
	learn(f->store, 2, "rowBBBB1", "mug", "z");
	if (unclean)
		fixture_reopen(f);
	learn(f->store, 1, "rowAAAA2", NULL, "y");
	if (unclean) { /* as after kill -9 */
		copy_file(db, db_copy);
		copy_file(wal, wal_copy);
	}
	fixture_close(f);
	if (unclean) {
		assert_int_equal(rename(db_copy, db), 0);
		assert_int_equal(rename(wal_copy, wal), 0);
	}
	free(db);
	free(wal);
	free(db_copy);
	free(wal_copy);
}

static void spoil_bytes(const char *path, size_t at, size_t n, uint8_t value)
{
	size_t size;
	uint8_t *data = read_file(path, &size);
	assert_true(at + n <= size);
	memset(data + at, value, n);
	write_file(path, data, size);
	free(data);
}

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
	{"as it was", false, nothing, STORE_READ_WRITE, "", whole, true},
	{"after a kill", true, nothing, STORE_READ_WRITE, "", whole, true},
	{"without -wal", false, no_wal, STORE_READ_WRITE, "", whole, true},
	{"killed, -wal lost", true, no_wal, STORE_READ_WRITE, "", "1r=rowAAAA1 1l=cup 1s=x 2r=rowBBBB1 2l=mug 2s=z",
		true},
	{"killed, -wal torn", true, torn_wal, STORE_READ_WRITE, "", "1r=rowAAAA1 1l=cup 1s=x 2r=rowBBBB1 2l=mug 2s=z",
		true},
	{"-wal is noise", false, garbage_wal, STORE_READ_WRITE, "", whole, true},
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

static void print_finding(void *ctx, const char *sentence)
{
	fprintf(ctx, "%s\n", sentence);
}

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
	assert_state(f->store, whole);
}

/* Two daemons that both found an empty directory: the second to teach is refused and replaces nothing. */
static void test_created_meanwhile(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct store *store = NULL;
		_exit(store_open(&f->options, &store, NULL) != 0 || learn(store, 1, "theirs", "cup", "") != 1);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	struct err err;
	assert_int_equal(try_learn(f->store, 1, "ours", "cup", "", NULL, &err), -ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "created by another process"));
	fixture_reopen(f);
	assert_state(f->store, "1r=theirs 1l=cup");
}

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
	assert_state(f->store, whole);
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

static void no_finding(void *ctx, const char *sentence)
{
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
	assert_state(f->store, whole);
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
	assert_int_equal(store_check(f->dir, print_finding, stdout, &err), 0); /* an empty directory is well */
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
		"state-aa01020304050607.db: item 2 (class 1) belongs to no change or died before it was born",
		"state-aa01020304050607.db: 1 items have class ids that were never given",
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prepared_directories),
		TEST(test_read_only_and_empty),
		TEST(test_read_only_serves_history),
		TEST(test_other_format),
		TEST(test_locked),
		TEST(test_created_meanwhile),
		TEST(test_damaged_items),
		TEST(test_damage_behind_undo),
		TEST(test_damaged_change),
		TEST(test_any_flipped_bit),
		TEST(test_image_is_what_sqlite_recovers),
		TEST(test_check),
	};
	return cmocka_run_group_tests_name("store_damage", tests, NULL, NULL);
}
