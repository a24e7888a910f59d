/* SPDX-License-Identifier: MIT */
/* tests/unit/store/test_samples.c: the kept samples at any change, and from each change to the next. */
#include "tests/unit/store/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/random.h"

enum { N_CLASSES = 3, BAD = 9 };

struct samples { /* how many of each class and letter */
	int n[N_CLASSES][256];
	int unreadable;
};

static int count(void *ctx, enum store_step step, const struct store_item *item)
{
	struct samples *samples = ctx;
	if (item->kind == STORE_UNREADABLE) {
		assert_int_equal(step, STORE_WENT);
		samples->unreadable++;
		return 0;
	}
	assert_int_equal(item->kind, STORE_SAMPLE);
	assert_int_equal(item->len_bytes, 1);
	int *n = &samples->n[item->class_id][item->data[0]];
	*n += step == STORE_CAME ? 1 : -1;
	assert_true(*n >= 0);
	return 0;
}

static struct samples samples_at(struct store *store, uint64_t seq)
{
	struct samples samples = {0};
	struct err err;
	if (store_samples(store, seq, count, &samples, &err) != 0)
		fail_msg("%s", err.text);
	return samples;
}

static int count_loaded(void *ctx, const struct store_item *item)
{
	return item->kind == STORE_SAMPLE ? count(ctx, STORE_CAME, item) : 0;
}

static struct samples samples_loaded(struct store *store)
{
	struct samples samples = {0};
	assert_int_equal(store_load(store, count_loaded, NULL, &samples, NULL), 0);
	return samples;
}

struct letters {
	uint32_t class_id;
	size_t n;
	char text[256];
};

static int spell(void *ctx, enum store_step step, const struct store_item *item)
{
	struct letters *letters = ctx;
	assert_int_equal(step, STORE_CAME);
	if (item->kind != STORE_SAMPLE || item->class_id != letters->class_id)
		return 0;
	letters->text[letters->n++] = (char)item->data[0];
	return 0;
}

static int spell_loaded(void *ctx, const struct store_item *item)
{
	return spell(ctx, STORE_CAME, item);
}

/* Asked for alone a class has the same samples, in the same order: by age. */
static void assert_classes_are(struct store *store, const struct samples *all)
{
	struct samples alone = {0};
	for (uint32_t c = 0; c < N_CLASSES; c++) {
		struct letters now = {.class_id = c}, loaded = {.class_id = c};
		assert_int_equal(store_class_samples(store, c, count, &alone, NULL), 0);
		assert_int_equal(store_class_samples(store, c, spell, &now, NULL), 0);
		assert_int_equal(store_load(store, spell_loaded, NULL, &loaded, NULL), 0);
		assert_int_equal(now.n, loaded.n);
		assert_memory_equal(now.text, loaded.text, now.n);
	}
	assert_memory_equal(&alone, all, sizeof alone);
}

/* A change drawn at random: more samples than a class may keep, all of a class, or another state. */
static void change_at_random(struct store *store, uint64_t *random)
{
	const uint32_t class_id = (uint32_t)splitmix64_below(random, N_CLASSES);
	char letters[9] = "";
	uint64_t target;
	switch (splitmix64_below(random, 6)) {
	case 0:
		forget(store, class_id);
		break;
	case 1:
		if (store_undo_target(store, &target, NULL) == 0)
			undo(store);
		break;
	case 2:
		rollback(store, splitmix64_below(random, store_seq(store) + 1));
		break;
	default:
		for (uint64_t i = 0, n = splitmix64_below(random, 8); i < n; i++)
			letters[i] = (char)('a' + splitmix64_below(random, 26));
		learn(store, class_id, "row", class_id ? "label" : NULL, letters);
	}
}

/* Every state, asked for in the end, is what it was when it was the newest, and leads to the next step by step. */
static void test_states_and_steps(void **state)
{
	enum { STEPS = 120 };
	struct fixture *f = *state;
	static struct samples at[STEPS + 1], walked;
	uint64_t random = 3, n = 0;
	fixture_reopen(f);
	memset(at, 0, sizeof at);
	memset(&walked, 0, sizeof walked);
	while (n < STEPS) {
		change_at_random(f->store, &random);
		if (store_seq(f->store) == n)
			continue;
		n = store_seq(f->store);
		at[n] = samples_loaded(f->store);
		assert_classes_are(f->store, &at[n]);
	}
	fixture_reopen(f);
	for (uint64_t seq = 0; seq <= STEPS; seq++) {
		struct samples now = samples_at(f->store, seq);
		assert_memory_equal(&now, &at[seq], sizeof now);
		if (seq > 0)
			assert_int_equal(store_samples_step(f->store, seq, count, &walked, NULL), 0);
		assert_memory_equal(&walked, &at[seq], sizeof walked);
	}
}

static int stop_at_second(void *ctx, enum store_step step, const struct store_item *item)
{
	int *n = ctx;
	(void)step, (void)item;
	return ++*n == 2 ? BAD : 0;
}

static void test_the_caller_may_stop(void **state)
{
	struct fixture *f = *state;
	int n = 0;
	fixture_reopen(f);
	assert_int_equal(store_samples(f->store, 0, stop_at_second, &n, NULL), 0); /* nothing there */
	learn(f->store, 1, "row", "cup", "abcd");
	assert_int_equal(store_samples(f->store, 1, stop_at_second, &n, NULL), BAD);
	assert_int_equal(n, 2);
	n = 0;
	assert_int_equal(store_samples_step(f->store, 1, stop_at_second, &n, NULL), BAD);
	assert_int_equal(n, 2);
	n = 0;
	assert_int_equal(store_class_samples(f->store, 1, stop_at_second, &n, NULL), BAD);
	assert_int_equal(n, 2);
	assert_int_equal(store_mode(f->store), STORE_READ_WRITE);
}

/* A damaged sample is in no state; where it dies, that is told. */
static void test_damage(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	learn(f->store, 1, "row", "cup", "xyz");
	fixture_close(f);
	char *db = db_path(f);
	run_sql(db, "UPDATE item SET data = x'00' WHERE kind = 3 AND data = x'79'");
	free(db);
	fixture_reopen(f);
	struct samples now = samples_at(f->store, 1);
	assert_int_equal(now.n[1]['x'] + now.n[1]['z'], 2);
	assert_int_equal(now.n[1]['y'] + now.n[1][0], 0);
	forget(f->store, 1);
	assert_int_equal(store_samples_step(f->store, 2, count, &now, NULL), 0);
	assert_int_equal(now.n[1]['x'] + now.n[1]['z'], 0);
	assert_int_equal(now.unreadable, 1);
	undo(f->store); /* its copy is as bad */
	now = samples_at(f->store, 3);
	assert_int_equal(now.n[1]['x'] + now.n[1]['z'], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_unit_test(test_states_and_steps),
		fixture_unit_test(test_the_caller_may_stop),
		fixture_unit_test(test_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
