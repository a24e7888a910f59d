/* SPDX-License-Identifier: MIT */
/* The state file removed, moved, replaced or written to under a store that has it open: no change is acknowledged into
 * it, what was learned stays there for the reading, and what comes back to its place is used again. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/testlib/faulty_vfs.h"
#include "tests/unit/store/fixture.h"

static const char served[] = "1r=A 1l=cup 1s=x";

struct paths {
	char *db, *wal, *away, *db_away, *wal_away;
};

static struct paths paths_of(const struct fixture *f)
{
	struct paths p = {db_path(f), wal_path(f), path_in(f, "away"), path_in(f, "away.db"), path_in(f, "away.wal")};
	return p;
}

static void paths_free(struct paths *p)
{
	free(p->db);
	free(p->wal);
	free(p->away);
	free(p->db_away);
	free(p->wal_away);
}

static void refused(struct fixture *f, const char *why)
{
	struct err err = {0};
	assert_int_equal(try_learn(f->store, 2, "B", "mug", "y", "0123456789abcdef", &err), -ERR_UNAVAILABLE);
	if (!strstr(err.text, why) || !strstr(store_why(f->store), why))
		fail_msg("\"%s\", \"%s\": not \"%s\"", err.text, store_why(f->store), why);
	assert_int_equal(store_mode(f->store), STORE_READ_ONLY);
	assert_int_equal(store_seq(f->store), 1);
	/* A key is not answered from a file that is nobody's any more. */
	assert_int_equal(
		store_find_key(f->store, (const uint8_t *)"0123456789abcdef", NULL, NULL, &err), -ERR_UNAVAILABLE);
}

/* Back in its place: opened anew, and the next lesson is taken. */
static void goes_on(struct fixture *f)
{
	struct err err = {0};
	assert_true(store_mends(f->store));
	if (store_try_again(f->store, &err) != STORE_E_OPENED)
		fail_msg("%s", store_why(f->store));
	assert_int_equal(store_mode(f->store), STORE_READ_WRITE);
	assert_state(f->store, served);
	learn(f->store, 2, "B", "mug", "y");
	fixture_reopen(f);
	assert_state(f->store, "1r=A 1l=cup 1s=x 2r=B 2l=mug 2s=y");
}

static struct paths begin(struct fixture *f)
{
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x");
	return paths_of(f);
}

static void test_removed(void **state)
{
	struct fixture *f = *state;
	struct paths p = begin(f);
	struct err err;
	unlink(p.db);
	unlink(p.wal);
	refused(f, "removed");
	assert_int_equal(store_try_again(f->store, &err), 0);
	refused(f, "removed");
	fixture_reopen(f); /* a restart begins anew */
	assert_state(f->store, "");
	paths_free(&p);
}

static void test_moved_away_and_back(void **state)
{
	struct fixture *f = *state;
	struct paths p = begin(f);
	assert_int_equal(rename(p.db, p.db_away), 0);
	refused(f, "removed or moved");
	assert_int_equal(rename(p.db_away, p.db), 0);
	goes_on(f);
	paths_free(&p);
}

static void test_wal_removed(void **state)
{
	struct fixture *f = *state;
	struct paths p = begin(f);
	assert_int_equal(rename(p.wal, p.wal_away), 0);
	refused(f, "-wal was removed");
	assert_int_equal(rename(p.wal_away, p.wal), 0);
	goes_on(f);
	paths_free(&p);
}

static void *move_away(void *arg)
{
	const struct paths *p = arg;
	while (faulty_vfs_operations() == 0) /* the change has begun, and its sync takes long */
		usleep(1000);
	return rename(p->db, p->db_away) == 0 && rename(p->wal, p->wal_away) == 0 ? arg : NULL;
}

/* What was written into them meanwhile was not acknowledged, and is no foreign writing when they are back. */
static void test_moved_away_during_a_change(void **state)
{
	struct fixture *f = *state;
	struct paths p = begin(f);
	const struct faulty_plan slow = {.kind = FAULTY_SLOW_SYNC, .slow_ms = 300}, none = {.kind = FAULTY_NONE};
	struct err err = {0};
	pthread_t mover;
	void *moved;
	faulty_vfs_set(&slow);
	assert_int_equal(pthread_create(&mover, NULL, move_away, &p), 0);
	assert_int_equal(try_learn(f->store, 2, "B", "mug", "y", "0123456789abcdef", &err), -ERR_UNAVAILABLE);
	assert_int_equal(pthread_join(mover, &moved), 0);
	assert_non_null(moved);
	faulty_vfs_set(&none);
	assert_non_null(strstr(err.text, "removed or moved"));
	assert_int_equal(store_seq(f->store), 1);
	assert_int_equal(store_try_again(f->store, &err), 0);
	assert_int_equal(rename(p.db_away, p.db), 0);
	assert_int_equal(store_try_again(f->store, &err), 0);
	assert_int_equal(rename(p.wal_away, p.wal), 0);
	assert_true(store_mends(f->store));
	if (store_try_again(f->store, &err) != STORE_E_OPENED)
		fail_msg("%s", store_why(f->store));
	assert_int_equal(store_mode(f->store), STORE_READ_WRITE);
	assert_state(f->store, "1r=A 1l=cup 1s=x 2r=B 2l=mug 2s=y");
	assert_int_equal(try_learn(f->store, 2, "B", NULL, "y", "0123456789abcdef", &err), STORE_E_KEY_KNOWN);
	learn(f->store, 2, "C", NULL, "z");
	paths_free(&p);
}

static void test_another_file(void **state)
{
	struct fixture *f = *state;
	struct paths p = begin(f);
	copy_file(p.db, p.away); /* the same bytes are not the same file */
	assert_int_equal(rename(p.away, p.db), 0);
	refused(f, "another file");
	paths_free(&p);
}

/* Moved to another disk, a link in its place: the same inode, but the next start would look for a -wal beside what the link
 * leads to, and not see what is acknowledged into this one. */
static void link_in_its_place(struct fixture *f, const char *path, const char *away)
{
	assert_int_equal(rename(path, away), 0);
	assert_int_equal(symlink(away, path), 0);
	refused(f, "another file");
	assert_int_equal(rename(away, path), 0);
	goes_on(f);
}

static void test_link_to_the_db(void **state)
{
	struct paths p = begin(*state);
	link_in_its_place(*state, p.db, p.db_away);
	paths_free(&p);
}

static void test_link_to_the_wal(void **state)
{
	struct paths p = begin(*state);
	link_in_its_place(*state, p.wal, p.wal_away);
	paths_free(&p);
}

/* cp of an older copy: the same inode. The store of a process is never asked: a copy made by another process. */
static void copy_over(const char *from, const char *to)
{
	char command[512];
	snprintf(command, sizeof command, "cat '%s' > '%s'", from, to);
	assert_int_equal(system(command), 0);
}

static void test_an_older_copy_over_it(void **state)
{
	struct fixture *f = *state;
	for (int wal = 0; wal < 2; wal++) {
		struct paths p = begin(f);
		struct err err;
		copy_over(p.db, p.db_away);
		copy_over(p.wal, p.wal_away);
		copy_over(wal ? p.wal_away : p.db_away, wal ? p.wal : p.db);
		refused(f, "written to by something else");
		assert_false(store_mends(f->store));
		assert_int_equal(store_try_again(f->store, &err), 0);
		refused(f, "until restart");
		fixture_close(f);
		unlink(p.db);
		unlink(p.wal);
		paths_free(&p);
	}
}

/* Nobody asked anything between the copy and the end: nothing is carried into it. */
static void test_closing_leaves_a_copy_alone(void **state)
{
	struct fixture *f = *state;
	struct paths p = begin(f);
	copy_over(p.db, p.db_away);
	learn(f->store, 2, "B", "mug", "y");
	copy_over(p.db_away, p.db);
	fixture_close(f);
	size_t n_copy, n_now;
	uint8_t *copy = read_file(p.db_away, &n_copy), *now = read_file(p.db, &n_now);
	assert_int_equal(n_copy, n_now);
	assert_memory_equal(copy, now, n_copy);
	struct stat st;
	assert_int_equal(stat(p.wal, &st), 0);
	assert_true(st.st_size > 0);
	free(copy);
	free(now);
	paths_free(&p);
}

static void test_cut(void **state)
{
	struct fixture *f = *state;
	struct paths p = begin(f);
	assert_int_equal(truncate(p.db, 4096), 0);
	refused(f, "written to");
	paths_free(&p);
}

/* The header is read through the store's own handle: also when size and time are as they were. */
static void test_header(void **state)
{
	struct fixture *f = *state;
	struct paths p = begin(f);
	struct stat st;
	char command[300];
	assert_int_equal(stat(p.db, &st), 0);
	snprintf(command, sizeof command, "printf 'X' | dd of='%s' bs=1 seek=27 conv=notrunc 2>/dev/null", p.db);
	assert_int_equal(system(command), 0);
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(AT_FDCWD, p.db, times, 0), 0);
	refused(f, "written to");
	paths_free(&p);
}

/* A directory replaced as a whole, directly and behind a symbolic link, and put back. */
static void directory_replaced(struct fixture *f, bool link)
{
	char *real = path_in(f, "real"), *other = path_in(f, "other"), *at = path_in(f, "at");
	assert_int_equal(mkdir(real, 0700), 0);
	if (link)
		assert_int_equal(symlink("real", at), 0);
	f->options.dir = link ? at : real;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x");
	assert_int_equal(rename(real, other), 0);
	refused(f, "removed or moved");
	assert_int_equal(mkdir(real, 0700), 0);
	refused(f, "removed or moved");
	assert_int_equal(rmdir(real), 0);
	assert_int_equal(rename(other, real), 0);
	goes_on(f);
	fixture_close(f);
	char command[300];
	snprintf(command, sizeof command, "rm -r '%s'", real);
	assert_int_equal(system(command), 0);
	free(real);
	free(other);
	free(at);
	f->options.dir = f->dir;
}

static void test_directory_replaced(void **state)
{
	directory_replaced(*state, false);
}

static void test_symbolic_link(void **state)
{
	directory_replaced(*state, true);
}

/* Lessons, undos and what is carried into the db are our own writing. */
static void test_own_writing_is_known(void **state)
{
	struct fixture *f = *state;
	struct paths p = begin(f);
	static char large[60000];
	struct err err;
	memset(large, 'r', sizeof large - 1);
	for (int i = 0; i < 120; i++) { /* some checkpoints */
		learn(f->store, 2, large, i ? NULL : "mug", "y");
		assert_false(store_look(f->store));
	}
	undo(f->store);
	assert_false(store_look(f->store));
	assert_int_equal(try_learn(f->store, 1, "A", NULL, "x", "0123456789abcdef", &err), 0);
	assert_int_equal(try_learn(f->store, 1, "A", NULL, "x", "0123456789abcdef", &err), STORE_E_KEY_KNOWN);
	assert_false(store_look(f->store));
	paths_free(&p);
}

/* No descriptor is left during the first lesson: it fails, wherever that is met, and the next one works. */
static void test_no_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, few;
	struct err err;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	unsigned failures = 0;
	for (int spare = 0; spare < 12; spare++) {
		struct paths p = paths_of(f);
		fixture_reopen(f);
		int next = dup(0);
		assert_true(next >= 0);
		close(next);
		few = (struct rlimit){(rlim_t)(next + spare), old.rlim_max};
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		int r = try_learn(f->store, 1, "A", "cup", "x", NULL, &err);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (r != 0) {
			failures++;
			assert_int_equal(store_mode(f->store), STORE_READ_WRITE);
			assert_true(store_mends(f->store));
			assert_int_equal(store_try_again(f->store, &err), 0);
			assert_string_equal(store_why(f->store), "");
			learn(f->store, 1, "A", "cup", "x");
		}
		assert_string_equal(store_why(f->store), "");
		fixture_reopen(f);
		assert_state(f->store, served);
		fixture_close(f);
		unlink(p.db);
		unlink(p.wal);
		char *current = path_in(f, "current");
		unlink(current);
		free(current);
		paths_free(&p);
	}
	assert_true(failures > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_unit_test(test_removed),
		fixture_unit_test(test_moved_away_and_back),
		fixture_unit_test(test_moved_away_during_a_change),
		fixture_unit_test(test_wal_removed),
		fixture_unit_test(test_another_file),
		fixture_unit_test(test_link_to_the_db),
		fixture_unit_test(test_link_to_the_wal),
		fixture_unit_test(test_an_older_copy_over_it),
		fixture_unit_test(test_closing_leaves_a_copy_alone),
		fixture_unit_test(test_cut),
		fixture_unit_test(test_header),
		fixture_unit_test(test_directory_replaced),
		fixture_unit_test(test_symbolic_link),
		fixture_unit_test(test_own_writing_is_known),
		fixture_unit_test(test_no_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
