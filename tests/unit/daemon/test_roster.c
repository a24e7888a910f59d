/* SPDX-License-Identifier: MIT */
/* daemon/state/roster.c and shared.c: whatever is put and taken, every order has it; a copy stays as it was; each class ends
 * once, after the last roster that has it. Memory is checked by the sanitizers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/state/roster.h"
#include "lib/base/random.h"

enum { IDS = 200, STEPS = 4000, COPIES = 8 };

static struct class_node *node_of(uint32_t id, uint32_t version)
{
	struct class_node *node = class_node_new(id, 0);
	struct label label = {.len_bytes = 0};
	if (id != CLASS_ID_NONE)
		label.len_bytes = (uint8_t)snprintf(
			(char *)label.bytes, sizeof label.bytes, "%c%u", version % 2 ? 'a' : 'A', id / 2 * 7 % 50);
	class_node_name(node, &label);
	return node;
}

/* What should be in it: of each id the class, or NULL. */
static void check(const struct roster *roster, const struct class_entry *const *want)
{
	size_t n = 0, n_named = 0;
	for (uint32_t id = 0; id < IDS; id++) {
		const struct class_node *found = roster_find(roster, id);
		assert_ptr_equal(want[id], found ? &found->entry : NULL);
		if (!want[id])
			continue;
		assert_ptr_equal(roster->by_id[n++], want[id]);
		n_named += id != CLASS_ID_NONE;
	}
	assert_int_equal(roster->n, n);
	assert_int_equal(roster->n_named, n_named);
	for (size_t i = 0; i < n_named; i++) {
		assert_ptr_equal(want[roster->by_label[i]->id], roster->by_label[i]);
		assert_ptr_equal(want[roster->by_key[i]->id], roster->by_key[i]);
		if (i == 0)
			continue;
		const struct class_entry *a = roster->by_label[i - 1], *b = roster->by_label[i];
		int order = label_compare(&a->label, &b->label);
		assert_true(order < 0 || (order == 0 && a->id < b->id));
		a = roster->by_key[i - 1], b = roster->by_key[i];
		order = label_compare(&a->key, &b->key);
		order = order ? order : label_compare(&a->label, &b->label);
		assert_true(order < 0 || (order == 0 && a->id < b->id));
	}
}

static void change(struct roster *roster, const struct class_entry **want, uint64_t *random)
{
	uint32_t id = (uint32_t)splitmix64_below(random, IDS);
	if (splitmix64_below(random, 3) == 0) {
		struct class_node *taken = roster_take(roster, id);
		assert_ptr_equal(want[id], taken ? &taken->entry : NULL);
		class_node_unref(taken);
		want[id] = NULL;
		return;
	}
	struct class_node *node = node_of(id, (uint32_t)splitmix64_below(random, 2));
	roster_put(roster, node);
	want[id] = &node->entry;
}

static void test_any_sequence(void **state)
{
	struct roster roster = {0}, copies[COPIES] = {0};
	const struct class_entry *want[IDS] = {0}, *wanted[COPIES][IDS] = {0};
	uint64_t random = 1;
	(void)state;
	roster_begin_many(&roster);
	for (uint32_t step = 0; step < STEPS; step++) {
		change(&roster, want, &random);
		if (splitmix64_below(&random, 4) != 0)
			continue;
		size_t at = splitmix64_below(&random, COPIES);
		check(&copies[at], wanted[at]);
		roster_deinit(&copies[at]);
		roster_copy(&roster, &copies[at]);
		memcpy(wanted[at], want, sizeof want);
		check(&roster, want);
		if (splitmix64_below(&random, 20) == 0)
			roster_begin_many(&roster);
	}
	roster_deinit(&roster);
	for (size_t at = 0; at < COPIES; at++) {
		check(&copies[at], wanted[at]);
		roster_deinit(&copies[at]);
	}
}

static int ended;

static void count_end(struct shared *thing)
{
	(void)thing;
	ended++;
}

static void test_a_thing_ends_with_the_last_set(void **state)
{
	struct shared thing, other;
	struct shared_set set = {0}, copy;
	(void)state;
	shared_init(&thing, count_end);
	shared_init(&other, count_end);
	shared_set_add(&set, 7, &thing);
	shared_set_add(&set, 7 + SHARED_GROUPS, &other); /* the same group */
	shared_set_copy(&set, &copy);
	shared_set_remove(&set, 7, &thing);
	assert_int_equal(ended, 0);
	shared_set_deinit(&copy);
	assert_int_equal(ended, 1);
	shared_set_deinit(&set);
	assert_int_equal(ended, 2);
	shared_set_deinit(&set);
	shared_unref(NULL);
	assert_int_equal(ended, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_sequence),
		cmocka_unit_test(test_a_thing_ends_with_the_last_set),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
