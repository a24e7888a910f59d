/* SPDX-License-Identifier: MIT */
/* tests/unit/store/test_changes.c: a healthy disk: changes, history, keys, caps, `current`, and that
 * idle writes nothing. */
#include "tests/unit/store/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/testlib/faulty_vfs.h"

static void test_idle_creates_nothing(void **state)
{
	struct fixture *f = *state;
	char *sub = path_in(f, "var");
	f->options.dir = sub;
	fixture_reopen(f);
	assert_int_equal(store_seq(f->store), 0);
	assert_int_equal(store_class_id_next(f->store), 1);
	assert_state(f->store, "");
	assert_history(f->store, "");
	uint64_t target = 0;
	struct err err;
	assert_int_equal(store_undo_target(f->store, &target, &err), -ERR_FAILED_PRECONDITION);
	assert_int_equal(rmdir(sub), 0); /* an empty directory, to be locked; gone again with the store */
	fixture_reopen(f);
	assert_int_equal(access(sub, F_OK), 0);
	fixture_close(f);
	assert_int_equal(access(sub, F_OK), -1);

	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x"); /* creates directory and file */
	struct stat st;
	assert_int_equal(stat(sub, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	fixture_close(f);
	f->options.dir = f->dir;
	char *db = db_path(f), in_sub[256];
	snprintf(in_sub, sizeof in_sub, "%s%s", sub, strrchr(db, '/'));
	assert_int_equal(stat(in_sub, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	const char *names[] = {"", "-wal", "/current"};
	for (size_t i = 0; i < 3; i++) {
		char path[300];
		snprintf(path, sizeof path, "%s%s", i < 2 ? in_sub : sub, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		unlink(path);
	}
	free(db);
	free(sub);
}

static void test_parent_is_missing(void **state)
{
	struct fixture *f = *state;
	char *sub = path_in(f, "no/where");
	f->options.dir = sub;
	struct err err;
	assert_int_equal(fixture_open(f, &err), -ERR_NOT_FOUND);
	assert_null(f->store);
	free(sub);
}

static void test_changes_survive(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	assert_int_equal(learn(f->store, 1, "A", "cup", "xy"), 1);
	assert_int_equal(learn(f->store, 2, "B", "mug", "z"), 2);
	assert_int_equal(learn(f->store, 1, "C", NULL, "w"), 3); /* seen again: the row is replaced, samples stay */
	const char *expected = "1r=C 1l=cup 1s=x 1s=y 1s=w 2r=B 2l=mug 2s=z";
	assert_state(f->store, expected);
	fixture_reopen(f);
	assert_state(f->store, expected);
	assert_history(f->store, "3 2 1");
	assert_int_equal(store_class_id_next(f->store), 3);
	assert_int_equal(forget(f->store, 2), 4);
	assert_state(f->store, "1r=C 1l=cup 1s=x 1s=y 1s=w");
	fixture_reopen(f);
	assert_int_equal(store_seq(f->store), 4);
	assert_int_equal(store_class_id_next(f->store), 3); /* never again 2 */
}

static void test_rename_touches_no_row(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "");
	struct store_put put = {STORE_LABEL, 1, (const uint8_t *)"mug", 3, NULL};
	struct store_change change = {.op = STORE_OP_RENAME, .puts = &put, .n_puts = 1};
	uint64_t seq = 0;
	assert_int_equal(store_commit(f->store, &change, &seq, NULL), 0);
	assert_state(f->store, "1r=A 1l=mug");
	undo(f->store);
	assert_state(f->store, "1r=A 1l=cup");
	fixture_reopen(f);
	assert_state(f->store, "1r=A 1l=cup");
}

static void test_samples_are_capped(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "abc"); /* the fixture's limit is 5 a class */
	learn(f->store, 2, "B", "mug", "z");
	learn(f->store, 1, "C", NULL, "def");
	assert_state(f->store, "1r=C 1l=cup 1s=b 1s=c 1s=d 1s=e 1s=f 2r=B 2l=mug 2s=z");
	undo(f->store); /* a comes back at its old place */
	assert_state(f->store, "1r=A 1l=cup 1s=a 1s=b 1s=c 2r=B 2l=mug 2s=z");
	learn(f->store, 1, "D", NULL, "ghi");
	assert_state(f->store, "1r=D 1l=cup 1s=b 1s=c 1s=g 1s=h 1s=i 2r=B 2l=mug 2s=z");
	learn(f->store, 2, "E", NULL, "12345678"); /* more than the limit in one change */
	assert_state(f->store, "1r=D 1l=cup 1s=b 1s=c 1s=g 1s=h 1s=i 2r=E 2l=mug 2s=4 2s=5 2s=6 2s=7 2s=8");
	fixture_reopen(f);
	undo(f->store);
	assert_state(f->store, "1r=D 1l=cup 1s=b 1s=c 1s=g 1s=h 1s=i 2r=B 2l=mug 2s=z");
}

static int take_entry(void *ctx, const struct store_entry *entry)
{
	char *text = ctx;
	snprintf(text, 64, "%llu %s %.*s%s", (unsigned long long)entry->seq, store_op_name(entry->op),
		(int)entry->result_bytes, (const char *)entry->result, entry->undone ? " undone" : "");
	return 0;
}

static void count_key(void *ctx, const uint8_t key[STORE_KEY_BYTES], uint64_t seq)
{
	char *text = ctx;
	size_t n = strlen(text);
	snprintf(text + n, 64 - n, "%c@%llu ", key[0], (unsigned long long)seq);
}

/* The work of one change is bounded by what there is and by what it brings: the largest comes first, into nothing. */
static void test_largest_change_first(void **state)
{
	enum { N = 20000, CAP = 200 };
	struct fixture *f = *state;
	static struct store_put puts[N];
	struct store_change change = {
		.op = STORE_OP_LEARN, .puts = puts, .n_puts = N, .samples_per_class = CAP, .time_ms = 1};
	struct err err = {0};
	uint64_t seq = 0;
	for (size_t i = 0; i < N; i++)
		puts[i] = (struct store_put){STORE_SAMPLE, 1, (const uint8_t *)"x", 1, "q1"};
	fixture_reopen(f);
	if (store_commit(f->store, &change, &seq, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(forget(f->store, 1), 2);
	assert_int_equal(undo(f->store), 3);
	fixture_reopen(f);
	char *text = state_text(f->store);
	assert_int_equal(strlen(text), CAP * strlen("1s=x ") - 1);
	free(text);
}

static void test_keys(void **state)
{
	struct fixture *f = *state;
	static const char k1[] = "1234567890abcdef", k2[] = "2234567890abcdef";
	char text[64] = "";
	struct err err;
	fixture_reopen(f);
	assert_int_equal(store_find_key(f->store, (const uint8_t *)k1, take_entry, text, &err), 1);
	assert_int_equal(try_learn(f->store, 1, "A", "cup", "x", k1, &err), 0);
	assert_int_equal(try_learn(f->store, 1, "B", "cup", "y", k1, &err), STORE_E_KEY_KNOWN);
	assert_state(f->store, "1r=A 1l=cup 1s=x");
	assert_int_equal(try_learn(f->store, 1, "C", "cup", "y", k2, &err), 0);
	undo(f->store);
	fixture_reopen(f);
	assert_int_equal(store_find_key(f->store, (const uint8_t *)k1, take_entry, text, &err), 0);
	assert_string_equal(text, "1 learn A");
	assert_int_equal(store_find_key(f->store, (const uint8_t *)k2, take_entry, text, &err), 0);
	assert_string_equal(text, "2 learn C undone");
	assert_int_equal(try_learn(f->store, 1, "D", "cup", "y", k2, &err), STORE_E_KEY_KNOWN);
	struct store_change change = {.op = STORE_OP_UNDO, .key = (const uint8_t *)k1};
	uint64_t seq = 0;
	assert_int_equal(store_restore(f->store, 0, &change, &seq, &err), STORE_E_KEY_KNOWN);
	text[0] = '\0';
	assert_int_equal(store_keys(f->store, count_key, text, &err), 0);
	assert_string_equal(text, "1@1 2@2 ");
}

static void test_old_keys_are_let_go(void **state)
{
	struct fixture *f = *state;
	static const char k1[] = "1234567890abcdef", k2[] = "2234567890abcdef", k3[] = "3234567890abcdef";
	struct err err;
	fixture_reopen(f);
	assert_int_equal(try_learn(f->store, 1, "A", "cup", "", k1, &err), 0);
	assert_int_equal(try_learn(f->store, 1, "B", "cup", "", k2, &err), 0);
	fixture_close(f);
	char *db = db_path(f);
	run_sql(db, "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
		    " INSERT INTO change SELECT i, 0, 1, NULL, i - 1, NULL, 2, 9, file_id, x'', 0 FROM n, meta");
	free(db);
	fixture_reopen(f);
	assert_int_equal(try_learn(f->store, 1, "C", "cup", "", k3, &err), 0); /* change 100,001: the first key goes */
	char text[64] = "";
	assert_int_equal(store_keys(f->store, count_key, text, &err), 0);
	assert_string_equal(text, "2@2 3@100001 ");
	assert_int_equal(try_learn(f->store, 1, "D", "cup", "", k2, &err), STORE_E_KEY_KNOWN);
	assert_int_equal(try_learn(f->store, 1, "E", "cup", "", k1, &err), 0);
}

static int collect(void *ctx, const struct store_entry *entry)
{
	uint64_t **next = ctx;
	*(*next)++ = entry->seq;
	return entry->seq == 2 ? 42 : 0;
}

static void test_history_pages(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	for (int i = 0; i < 7; i++)
		learn(f->store, 1, "A", "cup", "");
	uint64_t seqs[16] = {0}, *next = seqs;
	assert_int_equal(store_history(f->store, 0, 3, collect, &next, NULL), 0);
	assert_int_equal(store_history(f->store, 5, 2, collect, &next, NULL), 0);
	assert_int_equal(store_history(f->store, 3, 100, collect, &next, NULL), 42); /* the callback stopped it */
	const uint64_t expected[] = {7, 6, 5, 4, 3, 2};
	assert_int_equal(next - seqs, 6);
	assert_memory_equal(seqs, expected, sizeof expected);
}

static int stop_at_label(void *ctx, const struct store_item *item)
{
	(*(int *)ctx)++;
	return item->kind == STORE_LABEL ? 7 : 0;
}

static void test_load_can_be_stopped(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x");
	int n = 0;
	assert_int_equal(store_load(f->store, stop_at_label, NULL, &n, NULL), 7);
	assert_int_equal(n, 2);
}

static int add_label(void *ctx, const struct store_item *item)
{
	char *text = ctx;
	size_t n = strlen(text);
	snprintf(text + n, 64 - n, "%u=%.*s@%llu ", item->class_id, (int)item->len_bytes, (const char *)item->data,
		(unsigned long long)item->born);
	return 0;
}

static void test_labels_living_and_dead(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x");
	learn(f->store, 2, "B", "mug", "x");
	forget(f->store, 1);
	learn(f->store, 2, "C", "jug", "x");
	char text[64] = "";
	assert_int_equal(store_labels(f->store, add_label, text, NULL), 0);
	assert_string_equal(text, "2=jug@4 2=mug@2 1=cup@1 ");
	text[0] = '\0';
	for (uint32_t class_id = 1; class_id <= 3; class_id++) /* forgotten, renamed, never there */
		assert_int_equal(store_label(f->store, class_id, add_label, text, NULL), 0);
	assert_string_equal(text, "2=jug@4 ");
}

static void test_current(void **state)
{
	struct fixture *f = *state;
	struct store_current current;
	assert_int_equal(store_current_read(f->dir, &current), 1);
	fixture_reopen(f);
	assert_int_equal(store_current_read(f->dir, &current), 1); /* opening is no change */
	learn(f->store, 1, "A", "cup", "");
	assert_int_equal(store_current_read(f->dir, &current), 0);
	assert_string_equal(current.model_name, "photo");
	assert_memory_equal(current.feature_id, feature_a, sizeof feature_a);

	struct fixture other = *f;
	other.store = NULL;
	memcpy(other.options.feature_id, feature_b, sizeof feature_b);
	other.options.model_name = "other";
	fixture_reopen(&other);
	assert_int_equal(store_current_read(f->dir, &current), 0);
	assert_string_equal(current.model_name, "photo");
	learn(other.store, 1, "A", "cup", "");
	learn(other.store, 2, "B", "mug", "");
	assert_int_equal(store_current_read(f->dir, &current), 0);
	assert_string_equal(current.model_name, "other");
	assert_memory_equal(current.feature_id, feature_b, sizeof feature_b);
	fixture_close(&other);
	assert_int_equal(store_peek_classes(f->dir, feature_b), 2);

	fixture_reopen(f); /* back: nothing is moved, everything is there */
	assert_state(f->store, "1r=A 1l=cup");
	learn(f->store, 1, "B", NULL, "");
	assert_int_equal(store_current_read(f->dir, &current), 0);
	assert_string_equal(current.model_name, "photo");
}

static void test_leftovers_are_swept(void **state)
{
	struct fixture *f = *state;
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, NULL, 0), child); /* a process id that nobody has now */
	char name[4][80];
	snprintf(name[0], sizeof name[0], "state-aa01020304050607.db.%d.new", (int)child);
	snprintf(name[1], sizeof name[1], "current.%d.new", (int)child);
	snprintf(name[2], sizeof name[2], "current.%d.new", (int)getppid()); /* somebody lives */
	snprintf(name[3], sizeof name[3], "photos.%d.new", (int)child);      /* not ours */
	for (int i = 0; i < 4; i++) {
		char *path = path_in(f, name[i]);
		write_file(path, "half", 4);
		free(path);
	}
	fixture_reopen(f);
	for (int taught = 0; taught < 2; taught++) {
		for (int i = 0; i < 4; i++) {
			char *path = path_in(f, name[i]);
			assert_int_equal(access(path, F_OK), taught && i < 2 ? -1 : 0);
			free(path);
		}
		learn(f->store, 1, "A", "cup", "");
	}
}

static void test_current_damaged(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {"", "x", "bnnd-current 1\n", "bnnd-current 2\nfeature_id ",
		"bnnd-current 1\nfeature_id "
		"zz00000000000000000000000000000000000000000000000000000000000000\nmodel a\n",
		"bnnd-current 1\nfeature_id "
		"0000000000000000000000000000000000000000000000000000000000000000\nmodel \n",
		"bnnd-current 1\nfeature_id "
		"0000000000000000000000000000000000000000000000000000000000000000\nmodel a",
		"bnnd-current 1\nfeature_id "
		"0000000000000000000000000000000000000000000000000000000000000000\nmodel a\nmore\n"};
	char *path = path_in(f, "current");
	struct store_current current;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		write_file(path, bad[i], strlen(bad[i]));
		assert_int_equal(store_current_read(f->dir, &current), STORE_E_BAD_CURRENT);
	}
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", ""); /* replaces it */
	assert_int_equal(store_current_read(f->dir, &current), 0);
	assert_string_equal(current.model_name, "photo");
	free(path);
}

static void test_idle_writes_nothing(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "xyz");
	learn(f->store, 2, "B", "mug", "xyz");
	undo(f->store);
	fixture_close(f);
	char *before = dir_fingerprint(f->dir);
	faulty_vfs_set(&(struct faulty_plan){0});
	for (int i = 0; i < 3; i++) {
		fixture_reopen(f);
		assert_state(f->store, "1r=A 1l=cup 1s=x 1s=y 1s=z");
		assert_history(f->store, "3u>1 2* 1");
		struct store_io io;
		store_io(f->store, &io);
		assert_int_equal(io.bytes_written, 0);
		assert_int_equal(io.syncs, 0);
		fixture_close(f);
	}
	assert_int_equal(faulty_vfs_operations(), 0);
	char *after = dir_fingerprint(f->dir);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void test_io_is_counted(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x");
	struct store_io before, after;
	for (int i = 0; i < 5; i++) {
		store_io(f->store, &before);
		learn(f->store, 1, "B", NULL, "x");
		store_io(f->store, &after);
		assert_int_equal(after.syncs - before.syncs, 1); /* a lesson in the -wal is one sync */
		assert_in_range(after.bytes_written - before.bytes_written, 4096, 16 * 4096);
	}
}

static void test_wal_stays_small(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	char *wal = wal_path(f), row[30000];
	memset(row, 'r', sizeof row - 1);
	row[sizeof row - 1] = '\0';
	struct stat st;
	off_t largest = 0;
	for (int i = 0; i < 400; i++) { /* 12 MB of rows */
		learn(f->store, 1, row, NULL, "x");
		assert_int_equal(stat(wal, &st), 0);
		largest = st.st_size > largest ? st.st_size : largest;
	}
	assert_true(largest > 3 << 20 && largest < 5 << 20);
	fixture_close(f);
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(st.st_size, 0); /* carried into the db */
	unlink(wal);
	fixture_reopen(f);
	assert_int_equal(store_seq(f->store), 400);
	free(wal);
}

static void test_too_large(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	uint8_t *data = calloc(1, STORE_ITEM_MAX_BYTES + 1);
	struct store_put put = {STORE_NOTE, 1, data, STORE_ITEM_MAX_BYTES + 1, NULL};
	struct store_change change = {.op = STORE_OP_LEARN, .puts = &put, .n_puts = 1};
	uint64_t seq = 0;
	struct err err;
	assert_int_equal(store_commit(f->store, &change, &seq, &err), -ERR_RESOURCE_EXHAUSTED);
	put.len_bytes--;
	assert_int_equal(store_commit(f->store, &change, &seq, &err), 0);
	change =
		(struct store_change){.op = STORE_OP_LEARN, .result = data, .result_bytes = STORE_RESULT_MAX_BYTES + 1};
	assert_int_equal(store_commit(f->store, &change, &seq, &err), -ERR_RESOURCE_EXHAUSTED);
	free(data);
	char name[65];
	memset(name, 'm', 64);
	name[64] = '\0';
	f->options.model_name = name;
	assert_int_equal(fixture_open(f, &err), -ERR_INVALID_ARGUMENT);
}

static void test_empty_things(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	struct store_put put = {STORE_NOTE, 0, NULL, 0, NULL};
	struct store_change change = {.op = STORE_OP_LEARN, .time_ms = -1, .puts = &put, .n_puts = 1};
	uint64_t seq = 0;
	assert_int_equal(store_commit(f->store, &change, &seq, NULL), 0);
	fixture_reopen(f);
	assert_state(f->store, "0n=");
	assert_int_equal(store_class_id_next(f->store), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_unit_test(test_idle_creates_nothing),
		fixture_unit_test(test_parent_is_missing),
		fixture_unit_test(test_changes_survive),
		fixture_unit_test(test_rename_touches_no_row),
		fixture_unit_test(test_samples_are_capped),
		fixture_unit_test(test_largest_change_first),
		fixture_unit_test(test_keys),
		fixture_unit_test(test_old_keys_are_let_go),
		fixture_unit_test(test_history_pages),
		fixture_unit_test(test_load_can_be_stopped),
		fixture_unit_test(test_labels_living_and_dead),
		fixture_unit_test(test_current),
		fixture_unit_test(test_leftovers_are_swept),
		fixture_unit_test(test_current_damaged),
		fixture_unit_test(test_idle_writes_nothing),
		fixture_unit_test(test_io_is_counted),
		fixture_unit_test(test_wal_stays_small),
		fixture_unit_test(test_too_large),
		fixture_unit_test(test_empty_things),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
