/* SPDX-License-Identifier: MIT */
/* lib/learn/near.c: which pictures of a lesson count as one, and what they are taught as. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/random.h"
#include "lib/learn/integer.h"
#include "lib/learn/near.h"

enum { D = 2 };
static struct learn_settings settings;

static int setup(void **state)
{
	(void)state;
	learn_settings_preset(LEARN_DEFAULT, &settings);
	return 0;
}

/* A picture at this angle, in degrees. */
#define AT(degrees)                                                                                                    \
	(int8_t) lrint(127 * cos((degrees)*3.14159265 / 180)), (int8_t)lrint(127 * sin((degrees)*3.14159265 / 180))

static void expect(double theta, const int8_t *q, const uint32_t *y, size_t n, const uint32_t *group)
{
	struct near_groups groups;
	assert_int_equal(near_find(&settings, theta, q, y, n, D, NULL, NULL, &groups), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(groups.group[i], group[i]);
		assert_true(groups.leader[groups.group[i]] <= i && groups.group[i] < groups.n);
	}
	near_groups_deinit(&groups);
}

static void test_leaders(void **state)
{
	(void)state;
	const uint32_t one_class[5] = {0};
	const double theta = cos(30.5 * 3.14159265 / 180);
	/* a walk: each step is near the one before, but what joins is near the leader */
	const int8_t walk[] = {AT(0), AT(20), AT(40), AT(60), AT(80)};
	expect(theta, walk, one_class, 5, (const uint32_t[]){0, 0, 1, 1, 2});
	/* the nearest leader, and not the first that is near enough */
	const int8_t between[] = {AT(0), AT(50), AT(28), AT(22)};
	expect(theta, between, one_class, 4, (const uint32_t[]){0, 1, 1, 0});
	/* of equals the first */
	const int8_t equal[] = {100, 40, 100, -40, 100, 0};
	expect(cos(25 * 3.14159265 / 180), equal, one_class, 3, (const uint32_t[]){0, 1, 0});
	/* two classes: never together */
	expect(theta, walk, (const uint32_t[]){0, 1, 0, 1, 1}, 5, (const uint32_t[]){0, 1, 2, 3, 3});
	/* exactly theta is near; 60 / 100 */
	const int8_t edge[] = {100, 0, 60, 80};
	expect(0.6, edge, one_class, 2, (const uint32_t[]){0, 0});
	expect(0.6000001, edge, one_class, 2, (const uint32_t[]){0, 1});
	expect(0, walk, one_class, 5, (const uint32_t[]){0, 1, 2, 3, 4});
	settings.preset = LEARN_REFERENCE; /* the paper's method knows none */
	expect(theta, walk, one_class, 5, (const uint32_t[]){0, 1, 2, 3, 4});
	settings.preset = LEARN_DEFAULT;
}

static void test_what_is_taught(void **state)
{
	(void)state;
	const int8_t q[] = {10, 0, /**/ 0, 50, /**/ 13, 1, /**/ 10, 0, /**/ 1, 50};
	const uint32_t y[] = {3, 1, 3, 3, 1};
	struct near_groups groups;
	int8_t merged[2 * D];
	uint32_t merged_y[2];
	assert_int_equal(near_find(&settings, 0.9, q, y, 5, D, NULL, NULL, &groups), 0);
	assert_int_equal(groups.n, 2);
	near_merge(&groups, q, y, 5, D, merged, merged_y);
	assert_memory_equal(merged, ((const int8_t[]){11, 0, 0, 50}), sizeof merged); /* 1/2 to even */
	assert_true(merged_y[0] == 3 && merged_y[1] == 1);
	near_groups_deinit(&groups);
}

/* A group whose mean rounds to nothing is its leader: no picture of zeros is ever taught. */
static void test_mean_of_nothing(void **state)
{
	(void)state;
	enum { WIDE = 8 };
	int8_t q[9][WIDE] = {{1, 1, 1, 1, 1, 1, 1, 1}}, merged[WIDE];
	uint32_t y[9] = {0}, merged_y;
	for (size_t i = 0; i < 8; i++)
		for (size_t j = 0; j < 3; j++)
			q[i + 1][(i + j) % WIDE] = 1;
	struct near_groups groups;
	assert_int_equal(near_find(&settings, 0.5, q[0], y, 9, WIDE, NULL, NULL, &groups), 0);
	assert_int_equal(groups.n, 1);
	near_merge(&groups, q[0], y, 9, WIDE, merged, &merged_y);
	assert_memory_equal(merged, q[0], sizeof merged);
	near_groups_deinit(&groups);
}

static bool at_once(void *ctx)
{
	++*(size_t *)ctx;
	return true;
}

static void test_it_can_be_stopped(void **state)
{
	(void)state;
	enum { N = 200 };
	static int8_t q[N * D];
	static uint32_t y[N];
	size_t asked = 0;
	memset(q, 5, sizeof q);
	struct near_groups groups;
	assert_int_equal(near_find(&settings, 0.5, q, y, N, D, at_once, &asked, &groups), 1);
	assert_int_equal(asked, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_leaders, setup),
		cmocka_unit_test_setup(test_what_is_taught, setup),
		cmocka_unit_test_setup(test_mean_of_nothing, setup),
		cmocka_unit_test_setup(test_it_can_be_stopped, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
