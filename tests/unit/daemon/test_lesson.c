/* SPDX-License-Identifier: MIT */
/* The rules of lessons and keys, without a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/lesson/keyset.h"
#include "daemon/lesson/lesson.h"
#include "lib/base/random.h"
#include "tests/testlib/labels.h"

enum { D = 8 };

static const struct lesson_limits roomy = {.n_features = D,
	.features_bytes = 1000 * D,
	.pictures = 100,
	.classes = 10,
	.known_classes = 100,
	.idle_us = 1000};
static const struct snapshot nothing = {.writable = true};

static const uint8_t key_a[STORE_KEY_BYTES] = {1}, key_b[STORE_KEY_BYTES] = {2};

static struct lesson *begin(struct lessons *lessons, const uint8_t *key)
{
	struct lesson *lesson = NULL;
	struct err err;
	assert_int_equal(lesson_begin(lessons, &(struct lesson_options){.key = key}, 0, &lesson, &err), 0);
	return lesson;
}

static uint64_t add(struct lessons *lessons, struct lesson *lesson, const char *text)
{
	uint64_t order = UINT64_MAX;
	struct err err;
	struct label label = label_of(text);
	assert_int_equal(lesson_add(lessons, lesson, &label, &nothing, 0, &order, &err), 0);
	return order;
}

/* The picture number i is done: its features and digest tell it apart. */
static enum lesson_added done(struct lessons *lessons, struct lesson *lesson, uint64_t order, int i)
{
	int8_t q[D];
	uint8_t digest[DIGEST_BYTES] = {(uint8_t)i, 7};
	memset(q, i, sizeof q);
	return lesson_add_done(lessons, lesson, order, LESSON_ACCEPTED, q, digest, 0);
}

/* Whatever the order of completion, the order of arrival is taught. */
static void test_arrival_is_the_order(void **state)
{
	(void)state;
	enum { N = 30, ROUNDS = 50 };
	static const char *const names[] = {"", "b", "a"};
	for (uint64_t round = 0; round < ROUNDS; round++) {
		struct lessons lessons;
		uint64_t orders[N];
		uint32_t shuffled[N];
		struct err err;
		lessons_init(&lessons, &roomy);
		struct lesson *lesson = begin(&lessons, key_a);
		for (size_t i = 0; i < N; i++)
			orders[i] = add(&lessons, lesson, names[i % 3]);
		random_shuffle(round, 1, N, shuffled);
		for (size_t k = 0; k < N; k++) {
			size_t i = shuffled[k];
			if (i % 7 == 0) { /* a broken picture leaves no trace */
				assert_int_equal(
					lesson_add_done(&lessons, lesson, orders[i], LESSON_REFUSED, NULL, NULL, 0),
					LESSON_REFUSED);
				continue;
			}
			assert_int_equal(done(&lessons, lesson, orders[i], (int)i), LESSON_ACCEPTED);
		}
		assert_int_equal(lesson->n_pending, 0);
		assert_int_equal(lesson_seal(lesson, N - 5, 0, &err), 0);
		assert_int_equal(lesson->state, LESSON_LEARNS);
		struct lesson_material m;
		lesson_take(lesson, D, &m);
		assert_int_equal(m.work.n, N - 5);
		assert_int_equal(m.work.n_classes, 3);
		/* picture 0 (none) was refused: the first class is picture 1's */
		assert_memory_equal(m.work.classes[0].label.bytes, "b", 1);
		assert_memory_equal(m.work.classes[1].label.bytes, "a", 1);
		assert_int_equal(m.work.classes[2].label.len_bytes, 0);
		size_t at = 0;
		for (size_t i = 0; i < N; i++) {
			if (i % 7 == 0)
				continue;
			assert_int_equal(m.work.q[at * D + D - 1], i);
			assert_int_equal(m.work.digests[at][0], i);
			assert_int_equal(m.work.y[at], (i % 3 + 2) % 3);
			at++;
		}
		lesson_material_deinit(&m);
		assert_int_equal(lessons.features_bytes, (N - 5) * D);
		lesson_end(&lessons, lesson);
		assert_int_equal(lessons.features_bytes, 0);
		lessons_deinit(&lessons);
	}
}

/* Twice the same picture under one class counts once, at its first place, whichever is done first. */
static void test_twins_count_once(void **state)
{
	(void)state;
	for (int second_first = 0; second_first < 2; second_first++) {
		struct lessons lessons;
		struct err err;
		lessons_init(&lessons, &roomy);
		struct lesson *lesson = begin(&lessons, key_a);
		uint64_t a = add(&lessons, lesson, "mug"), b = add(&lessons, lesson, "mug"),
			 c = add(&lessons, lesson, "mug"), d = add(&lessons, lesson, "cup");
		assert_int_equal(done(&lessons, lesson, b, 50), LESSON_ACCEPTED);
		assert_int_equal(done(&lessons, lesson, second_first ? c : a, 60), LESSON_ACCEPTED);
		assert_int_equal(done(&lessons, lesson, second_first ? a : c, 60), LESSON_KNOWN);
		assert_int_equal(done(&lessons, lesson, d, 60), LESSON_ACCEPTED); /* another class: another thing */
		assert_int_equal(lesson->n_accepted, 3);
		assert_int_equal(lesson->n_known, 1);
		assert_int_equal(lessons.features_bytes, 3 * D);
		struct lesson_material m;
		assert_int_equal(lesson_seal(lesson, 3, 0, &err), 0);
		lesson_take(lesson, D, &m);
		assert_int_equal(m.work.already_known, 1);
		assert_int_equal(m.work.q[0], 60);
		assert_int_equal(m.work.q[D], 50);
		assert_int_equal(m.work.q[2 * D], 60);
		lesson_material_deinit(&m);
		lessons_deinit(&lessons);
	}
}

static void test_a_wrong_count_leaves_it_open(void **state)
{
	(void)state;
	struct lessons lessons;
	struct err err;
	lessons_init(&lessons, &roomy);
	struct lesson *lesson = begin(&lessons, key_a);
	done(&lessons, lesson, add(&lessons, lesson, "a"), 1);
	lesson->state = LESSON_WAITS;
	assert_int_equal(lesson_seal(lesson, 2, 0, &err), -ERR_FAILED_PRECONDITION);
	assert_string_equal(err.field, "added");
	assert_int_equal(lesson->state, LESSON_OPEN);
	add(&lessons, lesson, "a");
	lessons_deinit(&lessons); /* with one pending */
}

static void test_one_key_one_lesson(void **state)
{
	(void)state;
	struct lessons lessons;
	struct lesson *other;
	struct err err;
	lessons_init(&lessons, &roomy);
	struct lesson *lesson = begin(&lessons, key_a);
	uint64_t first = lesson->number;
	assert_int_equal(lesson_begin(&lessons, &(struct lesson_options){.key = key_a}, 0, &other, &err), -ERR_ABORTED);
	assert_true(err.retry_after_ms > 0);
	struct lesson *b = begin(&lessons, key_b);
	assert_int_not_equal(b->number, first);
	assert_ptr_equal(lesson_find(&lessons, b->number), b);
	assert_null(lesson_find(&lessons, 99));
	assert_null(lesson_find(&lessons, 0));
	lesson_end(&lessons, lesson);
	keyset_add(&lessons.committed, key_a);
	lesson = begin(&lessons, key_a); /* the store has the last word */
	assert_int_equal(lesson->state, LESSON_LOOKUP);
	assert_int_not_equal(lesson->number, first);
	uint64_t order;
	struct label label = label_of("a");
	assert_int_equal(lesson_add(&lessons, lesson, &label, &nothing, 0, &order, &err), -ERR_FAILED_PRECONDITION);
	lesson_opened(lesson, 5);
	assert_int_equal(lesson_add(&lessons, lesson, &label, &nothing, 0, &order, &err), 0);
	lessons_deinit(&lessons);
}

static void test_limits_are_named(void **state)
{
	(void)state;
	struct lesson_limits tight = {.n_features = D,
		.features_bytes = 5 * D,
		.pictures = 3,
		.classes = 2,
		.known_classes = 3,
		.idle_us = 1};
	struct lessons lessons;
	struct err err;
	uint64_t order;
	struct label labels[4] = {label_of("a"), label_of("b"), label_of("c"), label_of("")};
	struct class_entry known[3] = {{.label = label_of("a"), .key = label_of("a")},
		{.label = label_of("x"), .key = label_of("x")}, {.label = label_of("y"), .key = label_of("y")}};
	const struct class_entry *list[3] = {&known[0], &known[1], &known[2]};
	struct snapshot snapshot = {.n_classes = 3, .classes = list, .by_key = list};
	lessons_init(&lessons, &tight);
	struct lesson *a = begin(&lessons, key_a), *b = begin(&lessons, key_b);
	/* classes of a lesson */
	assert_int_equal(lesson_add(&lessons, a, &labels[0], &nothing, 0, &order, &err), 0);
	assert_int_equal(lesson_add(&lessons, a, &labels[3], &nothing, 0, &order, &err), 0);
	assert_int_equal(lesson_add(&lessons, a, &labels[1], &nothing, 0, &order, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_string_equal(err.field, "lesson.max_classes");
	assert_int_equal(err.limit, 2);
	/* a refused picture gives its class back */
	lesson_add_done(&lessons, a, order, LESSON_REFUSED, NULL, NULL, 0);
	assert_int_equal(lesson_add(&lessons, a, &labels[1], &nothing, 0, &order, &err), 0);
	/* pictures of a lesson */
	assert_int_equal(lesson_add(&lessons, a, &labels[1], &nothing, 0, &order, &err), 0);
	assert_int_equal(lesson_add(&lessons, a, &labels[1], &nothing, 0, &order, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_string_equal(err.field, "lesson.max_pictures");
	/* classes in all: known ones and none are always welcome */
	assert_int_equal(lesson_add(&lessons, b, &labels[1], &snapshot, 0, &order, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_string_equal(err.field, "learner.max_classes");
	assert_int_equal(lesson_add(&lessons, b, &labels[0], &snapshot, 0, &order, &err), 0);
	assert_int_equal(lesson_add(&lessons, b, &labels[3], &snapshot, 0, &order, &err), 0);
	/* memory of all lessons together */
	assert_int_equal(lesson_add(&lessons, b, &labels[0], &snapshot, 0, &order, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_string_equal(err.field, "lesson.features");
	assert_true(err.retry_after_ms > 0);
	lesson_end(&lessons, a);
	assert_int_equal(lesson_add(&lessons, b, &labels[0], &snapshot, 0, &order, &err), 0);
	lessons_deinit(&lessons);
}

static void test_only_open_and_quiet_lessons_are_idle(void **state)
{
	(void)state;
	struct lessons lessons;
	lessons_init(&lessons, &roomy);
	struct lesson *lesson = begin(&lessons, key_a);
	assert_false(lesson_idle(&lessons, lesson, 1000));
	assert_true(lesson_idle(&lessons, lesson, 1001));
	uint64_t order = add(&lessons, lesson, "a");
	assert_false(lesson_idle(&lessons, lesson, 99999));
	lesson_add_done(&lessons, lesson, order, LESSON_KNOWN, NULL, NULL, 5000);
	assert_false(lesson_idle(&lessons, lesson, 6000));
	assert_true(lesson_idle(&lessons, lesson, 6001));
	lesson->state = LESSON_LEARNS;
	assert_false(lesson_idle(&lessons, lesson, 99999));
	lessons_deinit(&lessons);
}

static void test_keys_are_remembered(void **state)
{
	(void)state;
	enum { N = 5000 };
	struct keyset set;
	uint64_t seed = 3;
	uint8_t keys[2 * N][STORE_KEY_BYTES];
	keyset_init(&set);
	for (size_t i = 0; i < 2 * N; i++)
		for (size_t k = 0; k < STORE_KEY_BYTES; k++)
			keys[i][k] = (uint8_t)splitmix64_next(&seed);
	assert_false(keyset_has(&set, keys[0]));
	for (size_t i = 0; i < N; i++)
		keyset_add(&set, keys[i]);
	keyset_add(&set, keys[0]);
	assert_int_equal(set.n, N);
	for (size_t i = 0; i < 2 * N; i++)
		assert_int_equal(keyset_has(&set, keys[i]), i < N);
	keyset_deinit(&set);
}

static void key_of(uint64_t i, uint8_t ret_key[STORE_KEY_BYTES])
{
	uint64_t words[2] = {splitmix64_next(&i), i};
	memcpy(ret_key, words, sizeof words);
}

/* As many as the store remembers and no more: the oldest goes, the others are found, also with the table shaken. */
static void test_keys_are_bounded(void **state)
{
	(void)state;
	enum { ALL = KEYSET_MAX + KEYSET_MAX / 2 + 7 };
	struct keyset set;
	uint8_t key[STORE_KEY_BYTES];
	keyset_init(&set);
	for (uint64_t i = 0; i < ALL; i++) {
		key_of(i, key);
		keyset_add(&set, key);
		if (i % 1000 == 0)
			keyset_add(&set, key); /* known: nothing goes for it */
	}
	assert_int_equal(set.n, KEYSET_MAX);
	assert_int_equal(set.n_keys, KEYSET_MAX);
	for (uint64_t i = 0; i < ALL; i++) {
		key_of(i, key);
		assert_int_equal(keyset_has(&set, key), i >= ALL - KEYSET_MAX);
	}
	size_t taken = 0;
	for (size_t i = 0; i < set.n_places; i++)
		taken += set.places[i] != 0;
	assert_int_equal(taken, KEYSET_MAX);
	keyset_deinit(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arrival_is_the_order),
		cmocka_unit_test(test_twins_count_once),
		cmocka_unit_test(test_a_wrong_count_leaves_it_open),
		cmocka_unit_test(test_one_key_one_lesson),
		cmocka_unit_test(test_limits_are_named),
		cmocka_unit_test(test_only_open_and_quiet_lessons_are_idle),
		cmocka_unit_test(test_keys_are_remembered),
		cmocka_unit_test(test_keys_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
