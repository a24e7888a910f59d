/* SPDX-License-Identifier: MIT */
/* The fair queue: users in turn, then connections, then first come, first served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/shares/fair.h"
#include "lib/base/random.h"

struct thing {
	struct fair_item item;
	struct fair_owner owner;
	int number;
};

static void put(struct fair_queue *queue, struct thing *thing, uid_t uid, uint64_t connection, int number)
{
	*thing = (struct thing){.owner = {.uid = uid, .connection = connection}, .number = number};
	fair_put(queue, &thing->item, &thing->owner);
}

static int take(struct fair_queue *queue)
{
	struct fair_item *item = fair_take(queue);
	return item ? LIST_ENTRY(item, struct thing, item)->number : -1;
}

static void test_in_turn(void **state)
{
	(void)state;
	/* One user floods by two connections, another has two things by one, a third comes later. */
	static const struct {
		uid_t uid;
		uint64_t connection;
	} from[] = {{7, 1}, {7, 1}, {7, 1}, {7, 2}, {7, 2}, {8, 3}, {8, 3}};
	enum { N = sizeof from / sizeof *from };
	struct thing things[N + 1];
	struct fair_queue queue;
	fair_init(&queue);
	assert_int_equal(take(&queue), -1);
	for (int i = 0; i < N; i++)
		put(&queue, &things[i], from[i].uid, from[i].connection, i);
	assert_int_equal(fair_n(&queue), N);
	assert_int_equal(take(&queue), 0);
	put(&queue, &things[N], 9, 4, 99);
	static const int expected[] = {5, 99, 3, 6, 1, 4, 2, -1};
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
		assert_int_equal(take(&queue), expected[i]);
	assert_int_equal(fair_n(&queue), 0);
	assert_true(list_empty(&queue.all.fresh) && list_empty(&queue.all.served));
}

/* The turn of a user is remembered while anything waits, and forgotten with everything. */
static void test_whose_turn_it_was(void **state)
{
	(void)state;
	struct thing things[4];
	struct fair_next next;
	struct fair_queue queue;
	fair_init(&queue);
	assert_false(fair_next(&queue, &next));
	put(&queue, &things[0], 7, 1, 0);
	put(&queue, &things[1], 8, 2, 1);
	assert_true(fair_next(&queue, &next));
	assert_true(next.uid == 7 && next.turn == 0);
	assert_int_equal(take(&queue), 0);
	put(&queue, &things[2], 7, 1, 2);
	assert_int_equal(take(&queue), 1);
	assert_true(fair_next(&queue, &next));
	assert_true(next.uid == 7 && next.turn == 1 && queue.turns == 2);
	assert_int_equal(take(&queue), 2);
	put(&queue, &things[3], 7, 1, 3);
	assert_true(fair_next(&queue, &next));
	assert_int_equal(next.turn, 0);
	assert_int_equal(take(&queue), 3);
}

/* One who asks, waits and asks again beside a flood waits for what is under way, not for another of the flood; two such
 * do not shut the flood out. */
static void test_who_asks_one_at_a_time(void **state)
{
	(void)state;
	enum { N = 60 };
	struct thing flood[N], a, b = {0};
	struct fair_queue queue;
	int flooded = 0;
	fair_init(&queue);
	for (int i = 0; i < N; i++)
		put(&queue, &flood[i], 1, (uint64_t)i % 4, i);
	assert_int_equal(take(&queue), 0);
	for (int i = 0; i < 10; i++) {
		put(&queue, &a, 2, 100, 1000); /* while one of the flood is computed */
		assert_int_equal(take(&queue), 1000);
		assert_true(take(&queue) < 1000);
	}
	for (int i = 0; i < 30; i++) { /* there is always one of the two */
		if (!fair_waits(&a.item))
			put(&queue, &a, 2, 100, 1000);
		if (!fair_waits(&b.item))
			put(&queue, &b, 3, (uint64_t)i + 200, 2000);
		flooded += take(&queue) < 1000;
	}
	assert_int_equal(flooded, 10);
	while (take(&queue) >= 0)
		;
}

/* Two programs of a user that make a connection for each question do not shut out the one that he has had for long. */
static void test_connections_go_to_the_end(void **state)
{
	(void)state;
	enum { N = 30 };
	struct thing old[N], a = {0}, b = {0};
	struct fair_queue queue;
	uint64_t connection = 1;
	int taken = 0;
	fair_init(&queue);
	for (int i = 0; i < N; i++)
		put(&queue, &old[i], 1, connection, i);
	for (int i = 0; i < N; i++) { /* there is always one of the two */
		if (!fair_waits(&a.item))
			put(&queue, &a, 1, ++connection, 1000);
		if (!fair_waits(&b.item))
			put(&queue, &b, 1, ++connection, 2000);
		taken += take(&queue) < 1000;
	}
	assert_int_equal(taken, N / 3);
	while (take(&queue) >= 0)
		;
}

/* What is removed does not come, whoever had the last of a connection or a user. */
static void test_removed_at_random(void **state)
{
	(void)state;
	enum { N = 300, STEPS = 20000 };
	static struct thing things[N];
	struct fair_queue queue;
	uint64_t seed = 11;
	size_t n = 0;
	fair_init(&queue);
	memset(things, 0, sizeof things);
	for (int step = 0; step < STEPS; step++) {
		int i = (int)(splitmix64_next(&seed) % N);
		uint64_t what = splitmix64_next(&seed);
		if (what % 4 == 0) {
			int got = take(&queue);
			assert_int_equal(got >= 0, n > 0);
			assert_true(got < 0 || !fair_waits(&things[got].item));
			n -= got >= 0;
		} else if (fair_waits(&things[i].item)) {
			fair_remove(&queue, &things[i].item);
			n--;
		} else {
			put(&queue, &things[i], (uid_t)(what >> 8) % 5, (what >> 16) % 7, i);
			n++;
		}
		assert_int_equal(fair_n(&queue), n);
	}
	while (take(&queue) >= 0)
		n--;
	assert_int_equal(n, 0);
	assert_true(list_empty(&queue.all.fresh) && list_empty(&queue.all.served));
}

/* A user with one thing at a time waits for at most one of each other. */
static void test_nobody_waits_long(void **state)
{
	(void)state;
	enum { FLOOD = 400, USERS = 4 };
	static struct thing flood[USERS][FLOOD];
	struct thing mine;
	struct fair_queue queue;
	fair_init(&queue);
	for (int i = 0; i < FLOOD; i++)
		for (uid_t uid = 0; uid < USERS; uid++)
			put(&queue, &flood[uid][i], uid + 100, (uint64_t)i, i);
	for (int i = 0; i < FLOOD / 2; i++) {
		int before = 0;
		put(&queue, &mine, 7, 5000, -7);
		while (take(&queue) != -7)
			before++;
		assert_true(before <= USERS);
	}
	while (fair_take(&queue))
		;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_turn),
		cmocka_unit_test(test_whose_turn_it_was),
		cmocka_unit_test(test_who_asks_one_at_a_time),
		cmocka_unit_test(test_connections_go_to_the_end),
		cmocka_unit_test(test_removed_at_random),
		cmocka_unit_test(test_nobody_waits_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
