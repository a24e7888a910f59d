/* SPDX-License-Identifier: MIT */
/* tests/unit/store/test_faults.c: the disk fails at each operation of a commit in turn. Whatever fails and when: the
 * change is wholly there or wholly absent, what was acknowledged is there after reopening, and what may be tried again
 * can be. */
#include "tests/unit/store/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/testlib/faulty_vfs.h"

/* Each has a state before and one after a single change. */
static void before_first(struct fixture *f)
{
	(void)f;
}
static int do_first(struct store *store, struct err *err)
{
	return try_learn(store, 1, "A", "cup", "xy", NULL, err);
}
static void before_more(struct fixture *f)
{
	learn(f->store, 1, "A", "cup", "xy");
}
static int do_more(struct store *store, struct err *err)
{
	return try_learn(store, 2, "B", "mug", "z", "0123456789abcdef", err);
}
static void before_undo(struct fixture *f)
{
	learn(f->store, 1, "A", "cup", "xy");
	learn(f->store, 1, "B", "cup", "z");
}
static int do_undo(struct store *store, struct err *err)
{
	struct store_change change = {.op = STORE_OP_UNDO};
	uint64_t seq = 0, target = 0;
	int r = store_undo_target(store, &target, err);
	return r ? r : store_restore(store, target, &change, &seq, err);
}
/* Opened and taught by another backbone in between: `current` is replaced with the change. */
static void before_switch(struct fixture *f)
{
	learn(f->store, 1, "A", "cup", "xy");
	fixture_close(f);
	memcpy(f->options.feature_id, feature_b, sizeof feature_b);
	fixture_reopen(f);
	learn(f->store, 1, "other", "cup", "");
	fixture_close(f);
	memcpy(f->options.feature_id, feature_a, sizeof feature_a);
	fixture_reopen(f);
}

/* Larger than SQLite's cache (frames go to the -wal before the commit) and than the -wal may grow (a checkpoint). */
static void before_large(struct fixture *f)
{
	learn(f->store, 1, "A", "cup", "xy");
}
static int do_large(struct store *store, struct err *err)
{
	enum { N = 10, BYTES = 500000 };
	struct store_put puts[N];
	uint8_t *data = calloc(1, BYTES);
	for (size_t i = 0; i < N; i++)
		puts[i] = (struct store_put){STORE_NOTE, 3, data, BYTES, NULL};
	puts[0] = (struct store_put){STORE_ROW, 3, (const uint8_t *)"L", 1, FORMAT};
	struct store_change change = {.op = STORE_OP_LEARN, .puts = puts, .n_puts = N};
	uint64_t seq = 0;
	int r = store_commit(store, &change, &seq, err);
	free(data);
	return r;
}

static const struct scenario {
	const char *name;
	void (*before)(struct fixture *f);
	int (*change)(struct store *store, struct err *err);
	uint64_t stride; /* how many operations from one failure to the next */
} scenarios[] = {
	{"the first lesson", before_first, do_first, 1},
	{"one more lesson", before_more, do_more, 1},
	{"undo", before_undo, do_undo, 1},
	{"lesson after another backbone's", before_switch, do_more, 1},
	{"large change", before_large, do_large, 83},
};

/* The state as rows and labels: the large change's notes would fill pages. */
static int brief_item(void *ctx, const struct store_item *item)
{
	if (item->kind != STORE_NOTE)
		fprintf(ctx, "%u:%d=%.*s ", item->class_id, item->kind, (int)item->len_bytes, (const char *)item->data);
	else
		fprintf(ctx, "%u:%zu ", item->class_id, item->len_bytes);
	return 0;
}

static char *brief_state(struct store *store)
{
	char *text = NULL;
	size_t n = 0;
	struct err err;
	FILE *out = open_memstream(&text, &n);
	if (store_load(store, brief_item, NULL, out, &err) != 0)
		fprintf(out, "error: %s", err.text);
	fclose(out);
	return text;
}

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			fail_msg("%s, failure %d at operation %llu x%llu: !(%s) r %d %s", scenario->name, plan->kind,  \
				(unsigned long long)plan->after, (unsigned long long)plan->count, #condition, r,       \
				err.text);                                                                             \
	} while (0)

/* false: the change has fewer operations than that. */
static bool one_failure(const struct scenario *scenario, const struct faulty_plan *plan)
{
	void *state = NULL;
	struct err err = {0};
	bool is_full = plan->kind == FAULTY_ENOSPC || plan->kind == FAULTY_EDQUOT;
	fixture_set_up(&state);
	struct fixture *f = state;
	fixture_reopen(f);
	scenario->before(f);
	char *before = brief_state(f->store);
	uint64_t seq = store_seq(f->store);

	faulty_vfs_set(plan);
	int r = scenario->change(f->store, &err);
	bool failed = faulty_vfs_failures() > 0;
	faulty_vfs_set(&(struct faulty_plan){0});
	char *served = brief_state(f->store);
	CHECK(failed || r == 0);
	CHECK((strcmp(before, served) != 0) == (r == 0));
	CHECK(store_seq(f->store) == seq + (r == 0));
	if (r != 0 && is_full) {
		CHECK(r == -ERR_RESOURCE_EXHAUSTED);
		CHECK(store_mode(f->store) == STORE_READ_WRITE);
		r = scenario->change(f->store, &err); /* there is space again */
		CHECK(r == 0);
	} else if (r != 0) {
		CHECK(r == -ERR_UNAVAILABLE);
		CHECK(store_mode(f->store) == STORE_READ_ONLY);
		CHECK(strstr(store_why(f->store), "until restart"));
		r = scenario->change(f->store, &err); /* the disk works again, but what it holds is not known */
		CHECK(r == -ERR_UNAVAILABLE);
	}
	bool acknowledged = r == 0;

	fixture_reopen(f);
	char *after = brief_state(f->store);
	bool there = strcmp(after, before) != 0;
	CHECK(!acknowledged || there);
	CHECK(store_seq(f->store) == seq + there);
	if (!there) {
		r = scenario->change(f->store, &err);
		CHECK(r == 0);
		free(after);
		after = brief_state(f->store);
	}
	if (acknowledged && strcmp(served, before) != 0)
		CHECK(strcmp(after, served) == 0);
	struct store_current current;
	CHECK(store_current_read(f->dir, &current) == 0 || !acknowledged);
	fixture_close(f);
	r = store_check(f->dir, print_finding, stderr, &err);
	CHECK(r == 0);
	free(before);
	free(served);
	free(after);
	fixture_tear_down(&state);
	return failed;
}

static void sweep(enum faulty_kind kind)
{
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
		unsigned n = 0;
		for (uint64_t count = 0; count < 2; count++) {
			struct faulty_plan plan = {.kind = kind, .count = count};
			for (; one_failure(&scenarios[i], &plan); n++)
				plan.after += scenarios[i].stride;
		}
		assert_true(n > 0);
		print_message("    %s: %u failures\n", scenarios[i].name, n);
	}
}

static void test_no_space(void **state)
{
	(void)state;
	sweep(FAULTY_ENOSPC);
}
static void test_quota(void **state)
{
	(void)state;
	sweep(FAULTY_EDQUOT);
}
static void test_failed_write(void **state)
{
	(void)state;
	sweep(FAULTY_EIO_WRITE);
}
static void test_failed_sync(void **state)
{
	(void)state;
	sweep(FAULTY_EIO_SYNC);
}

/* A disk that stays full for a while: every lesson is refused, what was learned is answered, then it goes on. */
static void test_full_for_a_while(void **state)
{
	struct fixture *f = *state;
	struct err err;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x");
	faulty_vfs_set(&(struct faulty_plan){.kind = FAULTY_ENOSPC});
	for (int i = 0; i < 20; i++) {
		assert_int_equal(try_learn(f->store, 2, "B", "mug", "y", NULL, &err), -ERR_RESOURCE_EXHAUSTED);
		assert_state(f->store, "1r=A 1l=cup 1s=x");
		assert_non_null(strstr(store_why(f->store), "full")); /* said, and tried again with the next */
		assert_int_equal(store_mode(f->store), STORE_READ_WRITE);
		assert_true(store_mends(f->store));
		assert_int_equal(store_try_again(f->store, &err), 0);
		assert_true(store_mends(f->store));
	}
	assert_non_null(strstr(store_why(f->store), "full"));
	faulty_vfs_set(&(struct faulty_plan){0});
	assert_int_equal(store_try_again(f->store, &err), 0);
	assert_false(store_mends(f->store));
	assert_string_equal(store_why(f->store), "");
	faulty_vfs_set(&(struct faulty_plan){.kind = FAULTY_ENOSPC});
	assert_int_equal(try_learn(f->store, 2, "B", "mug", "y", NULL, &err), -ERR_RESOURCE_EXHAUSTED);
	faulty_vfs_set(&(struct faulty_plan){0});
	assert_int_equal(learn(f->store, 2, "B", "mug", "y"), 2);
	assert_string_equal(store_why(f->store), "");
	fixture_reopen(f);
	assert_state(f->store, "1r=A 1l=cup 1s=x 2r=B 2l=mug 2s=y");
}

/* A full disk at start: what is there is opened and answered all the same. */
static void test_opened_on_a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct err err;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x");
	faulty_vfs_set(&(struct faulty_plan){.kind = FAULTY_ENOSPC});
	fixture_reopen(f); /* closing met the full disk, too */
	assert_state(f->store, "1r=A 1l=cup 1s=x");
	assert_int_equal(try_learn(f->store, 2, "B", "mug", "y", NULL, &err), -ERR_RESOURCE_EXHAUSTED);
	faulty_vfs_set(&(struct faulty_plan){0});
	assert_int_equal(learn(f->store, 2, "B", "mug", "y"), 2);
}

/* The file system turned read-only under a running daemon. */
static void test_remounted_read_only(void **state)
{
	struct fixture *f = *state;
	struct err err;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "x");
	faulty_vfs_set(&(struct faulty_plan){.kind = FAULTY_READONLY});
	assert_int_equal(try_learn(f->store, 2, "B", "mug", "y", NULL, &err), -ERR_UNAVAILABLE);
	assert_state(f->store, "1r=A 1l=cup 1s=x");
	assert_int_equal(store_mode(f->store), STORE_READ_ONLY);
	assert_int_equal(fixture_open(f, &err), 0);
	assert_int_equal(store_mode(f->store), STORE_READ_ONLY);
	assert_state(f->store, "1r=A 1l=cup 1s=x");
}

static void test_plans(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
		struct faulty_plan plan;
	} cases[] = {
		{"", true, {FAULTY_NONE, 0, 0, 0}},
		{"none", true, {FAULTY_NONE, 0, 0, 0}},
		{"enospc\n", true, {FAULTY_ENOSPC, 0, 0, 0}},
		{"enospc@12", true, {FAULTY_ENOSPC, 12, 0, 0}},
		{"eio-sync@3x1", true, {FAULTY_EIO_SYNC, 3, 1, 0}},
		{"eio-writex2", true, {FAULTY_EIO_WRITE, 0, 2, 0}},
		{"slow-sync=250@1", true, {FAULTY_SLOW_SYNC, 1, 0, 250}},
		{"readonly", true, {FAULTY_READONLY, 0, 0, 0}},
		{"enospace", false, {0}},
		{"enospc@x", true, {FAULTY_ENOSPC, 0, 0, 0}},
		{"enospc?", false, {0}},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct faulty_plan plan = {0};
		if (faulty_vfs_parse(cases[i].text, &plan) != cases[i].good)
			fail_msg("\"%s\"", cases[i].text);
		assert_memory_equal(&plan, &cases[i].plan, sizeof plan);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_failed_write),
		cmocka_unit_test(test_failed_sync),
		fixture_unit_test(test_full_for_a_while),
		fixture_unit_test(test_opened_on_a_full_disk),
		fixture_unit_test(test_remounted_read_only),
		cmocka_unit_test(test_plans),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
