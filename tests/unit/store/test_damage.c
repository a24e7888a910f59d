/* SPDX-License-Identifier: MIT */
/* tests/unit/store/test_damage.c: a state that is locked, read-only, of other rows, appears meanwhile, or has a damaged -wal.
 * What cannot be served is left exactly as it is. Prepared directories: test_prepared.c. */
#include "tests/unit/store/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/endian.h"
#include "tests/testlib/faulty_vfs.h"

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

/* Rows of an older format are taken, beside those of today and brought back; no others are. */
static void test_older_format(void **state)
{
	struct fixture *f = *state;
	struct err err;
	teach(f, true);
	f->options.format = "cwr2 8/16 d=4";
	f->options.old_format = FORMAT;
	fixture_reopen(f);
	assert_state(f->store, taught_state);
	const struct store_put row = {STORE_ROW, 1, (const uint8_t *)"N", 1, f->options.format};
	const struct store_change change = {.op = STORE_OP_LEARN, .puts = &row, .n_puts = 1};
	uint64_t seq = 0;
	assert_int_equal(store_commit(f->store, &change, &seq, NULL), 0);
	fixture_reopen(f);
	undo(f->store);
	assert_state(f->store, taught_state);
	fixture_reopen(f);
	assert_state(f->store, taught_state);
	f->options.old_format = "cwr1 8/8 d=4";
	assert_int_equal(fixture_open(f, &err), -ERR_FAILED_PRECONDITION);
	assert_non_null(strstr(err.text, "\"" FORMAT "\""));
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

enum { WAL_HEADER = 32, WAL_FRAME_HEADER = 24, WAL_FRAME = WAL_FRAME_HEADER + 4096 };

/* Opens and checks these two files. Is it said that changes are lost? Both must agree. */
static bool wal_is_said_lost(
	struct fixture *f, const uint8_t *db_bytes, size_t n_db, const uint8_t *wal_bytes, size_t n_wal)
{
	char *db = db_path(f), *wal = wal_path(f), *findings = NULL;
	size_t n_text = 0;
	write_file(db, db_bytes, n_db);
	write_file(wal, wal_bytes, n_wal);
	FILE *out = open_memstream(&findings, &n_text);
	int found = store_check(f->dir, print_finding, out, NULL);
	fclose(out);
	assert_int_equal(fixture_open(f, NULL), 0);
	bool said = strstr(store_flaw(f->store), "are lost") != NULL;
	assert_int_equal(found, said);
	assert_int_equal(strstr(findings, "-wal is damaged") != NULL, said);
	free(findings);
	free(db);
	free(wal);
	return said;
}

static bool is_commit_frame(const uint8_t *wal, size_t frame)
{
	return load_be32(wal + WAL_HEADER + frame * WAL_FRAME + 4) != 0;
}

/* A -wal of three changes, one bit of which flips. What SQLite recovers ends before it; that a whole change came behind it
 * is said. Of the last change nobody can tell whether it was torn or damaged, nor of a commit that has lost its salts
 * whether it is an old one. */
static void test_damaged_wal(void **state)
{
	struct fixture *f = *state;
	char *db = db_path(f), *wal = wal_path(f);
	size_t n_db, n;
	fixture_reopen(f);
	learn(f->store, 1, "rowAAAA1", "cup", "x");
	learn(f->store, 2, "rowBBBB1", "mug", "z");
	learn(f->store, 1, "rowAAAA2", NULL, "y");
	uint8_t *whole = read_file(db, &n_db), *bytes = read_file(wal, &n);
	fixture_close(f);
	size_t n_frames = (n - WAL_HEADER) / WAL_FRAME, last = n_frames - 1;
	assert_int_equal(n, WAL_HEADER + n_frames * WAL_FRAME);
	while (last > 0 && !is_commit_frame(bytes, last - 1))
		last--; /* the first frame of the last change */
	assert_in_range(last, 2, n_frames - 2);
	for (size_t at = 0; at < n;) {
		size_t frame = at < WAL_HEADER ? 0 : (at - WAL_HEADER) / WAL_FRAME;
		size_t in_frame = at < WAL_HEADER ? WAL_FRAME : (at - WAL_HEADER) % WAL_FRAME;
		bool salts_of_commit = in_frame >= 8 && in_frame < 16 && is_commit_frame(bytes, frame);
		bytes[at] ^= 0x10;
		bool said = wal_is_said_lost(f, whole, n_db, bytes, n);
		bytes[at] ^= 0x10;
		char *text = state_text(f->store);
		if (said != (frame < last && !salts_of_commit) || (frame < last && strcmp(text, taught_state) == 0))
			fail_msg("byte %zu, frame %zu of %zu (the last change begins with %zu): %d, \"%s\"", at, frame,
				n_frames, last, said, text);
		free(text);
		at += at < WAL_HEADER ? 5 : in_frame < WAL_FRAME_HEADER ? 3 : 1021;
	}
	/* A power cut: of the last change a frame never came, and an older commit of the file's past lies in its place. */
	memcpy(bytes + WAL_HEADER + last * WAL_FRAME, bytes + WAL_HEADER + (last - 1) * WAL_FRAME, WAL_FRAME);
	bytes[WAL_HEADER + last * WAL_FRAME + 8] ^= 0xff;
	assert_false(wal_is_said_lost(f, whole, n_db, bytes, n));
	free(whole);
	free(bytes);
	free(db);
	free(wal);
}

/* One bit of an index entry makes the largest integer no number: equal to everything for SQLite's check, NULL when read. */
static void test_no_number_in_an_index(void **state)
{
	static const uint8_t alive[8] = {0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
	struct fixture *f = *state;
	size_t n, found = 0;
	struct err err;
	teach(f, false);
	char *path = db_path(f);
	uint8_t *file = read_file(path, &n);
	for (size_t at = 8; at + sizeof alive <= n; at++) {
		/* header of 6 bytes: its length, then the types of died (6: eight bytes), class_id, kind, age, id */
		uint8_t *header = file + at - 6;
		if (memcmp(file + at, alive, sizeof alive) != 0 || header[0] != 6 || header[1] != 6)
			continue;
		found++;
		header[1] = 7;
		write_file(path, file, n);
		header[1] = 6;
		assert_int_equal(fixture_open(f, &err), 0);
		assert_int_equal(store_mode(f->store), STORE_READ_ONLY);
		assert_non_null(strstr(store_why(f->store), "no integers"));
		fixture_close(f);
	}
	assert_true(found >= 6); /* an entry for each living item */
	write_file(path, file, n);
	fixture_reopen(f);
	assert_state(f->store, taught_state);
	free(file);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_unit_test(test_read_only_and_empty),
		fixture_unit_test(test_read_only_serves_history),
		fixture_unit_test(test_other_format),
		fixture_unit_test(test_older_format),
		fixture_unit_test(test_damaged_wal),
		fixture_unit_test(test_no_number_in_an_index),
		fixture_unit_test(test_locked),
		fixture_unit_test(test_two_on_a_fresh_directory),
		fixture_unit_test(test_created_meanwhile),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
