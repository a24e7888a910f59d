/* SPDX-License-Identifier: MIT */
/* Shares: the arithmetic of who may hold how much, the reserve, and that every charge comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/shares/payload.h"
#include "daemon/shares/quota.h"
#include "lib/base/random.h"
#include "proto/limits.h"

enum { OWN = 990, SOMEBODY = 1000 };

static void quota_of(struct quota *quota, uint64_t total, uint64_t most)
{
	struct quota_limit limits[QUOTA_KINDS];
	for (int i = 0; i < QUOTA_KINDS; i++)
		limits[i] = quota_limit_of(total, most);
	quota_init(quota, OWN, limits);
}

static void test_the_formula(void **state)
{
	(void)state;
	assert_int_equal(quota_share(56, 1), 28); /* alone: a half */
	assert_int_equal(quota_share(28, 2), 9);  /* beside one who took a half: a third of the rest */
	assert_int_equal(quota_share(19, 3), 4);
	assert_int_equal(quota_share(1, 7), 1); /* the last one goes to whoever has none */
	assert_int_equal(quota_share(0, 7), 0);
	assert_int_equal(quota_share(UINT64_MAX, 1), UINT64_MAX / 2);
}

static void test_a_reserve_is_an_eighth(void **state)
{
	(void)state;
	static const struct {
		uint64_t total, reserve;
	} cases[] = {{64, 8}, {128, 16}, {64 << 20, 8 << 20}, {9, 1}, {4, 1}, {2, 1}, {1, 0}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(quota_limit_of(cases[i].total, 0).reserve, cases[i].reserve);
}

/* As many as go; the charges are kept in ret. */
static size_t take_all(struct quota *quota, uid_t uid, enum quota_kind kind, struct quota_charge *ret)
{
	size_t n = 0;
	struct err err = {0};
	while (quota_charge(quota, uid, kind, 1, &ret[n], &err) == 0)
		n++;
	assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(err.limit, n);
	assert_true(err.retry_after_ms > 0);
	return n;
}

/* Users who each take all they may: 1/2, 1/6, 1/12 ... of what is common; then root still has the reserve. */
static void test_greedy_users_in_a_row(void **state)
{
	(void)state;
	static const size_t expected[] = {28, 9, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0};
	struct quota_charge charges[64 + 1] = {0};
	struct quota quota;
	size_t n = 0;
	quota_of(&quota, 64, 0);
	for (uid_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		size_t k = take_all(&quota, SOMEBODY + i, QUOTA_SESSIONS, charges + n);
		assert_int_equal(k, expected[i]);
		n += k;
	}
	assert_int_equal(n, 56);
	n += take_all(&quota, 0, QUOTA_SESSIONS, charges + n);
	assert_int_equal(n, 64);
	while (n > 0)
		quota_release(&charges[--n]);
	assert_true(list_empty(&quota.users));
	quota_deinit(&quota);
}

/* Who comes while another has a half gets a third of the rest, and more when that one gives back. */
static void test_a_share_grows_when_others_give_back(void **state)
{
	(void)state;
	struct quota_charge a[64] = {0}, b[64] = {0};
	struct quota quota;
	quota_of(&quota, 64, 0);
	size_t n = take_all(&quota, SOMEBODY, QUOTA_IN_FLIGHT, a);
	size_t m = take_all(&quota, SOMEBODY + 1, QUOTA_IN_FLIGHT, b);
	assert_int_equal(m, 9);
	while (n > 0)
		quota_release(&a[--n]);
	assert_int_equal(quota_may_hold(&quota, SOMEBODY + 1, QUOTA_IN_FLIGHT), 28);
	assert_int_equal(quota_charge(&quota, SOMEBODY + 1, QUOTA_IN_FLIGHT, 28 - m, &b[m], NULL), 0);
	for (m++; m > 0; m--)
		quota_release(&b[m - 1]);
	quota_deinit(&quota);
}

static void test_root_uses_the_reserve_first(void **state)
{
	(void)state;
	struct quota_charge root = {0}, own = {0}, charges[64] = {0};
	struct quota quota;
	quota_of(&quota, 64, 0);
	assert_int_equal(quota_may_hold(&quota, 0, QUOTA_SESSIONS), 28 + 8);
	assert_int_equal(quota_may_hold(&quota, OWN, QUOTA_SESSIONS), 28 + 8);
	assert_int_equal(quota_charge(&quota, 0, QUOTA_SESSIONS, 6, &root, NULL), 0);
	assert_int_equal(quota_may_hold(&quota, OWN, QUOTA_SESSIONS), 28 + 2);
	assert_int_equal(quota_charge(&quota, OWN, QUOTA_SESSIONS, 4, &own, NULL), 0);
	/* Of the ten two are common: they are missing to the others, and there is a user more. */
	assert_int_equal(quota_may_hold(&quota, SOMEBODY, QUOTA_SESSIONS), (56 - 2) / 3);
	quota_release(&root);
	assert_int_equal(quota_may_hold(&quota, SOMEBODY, QUOTA_SESSIONS), 28);
	size_t n = take_all(&quota, SOMEBODY, QUOTA_SESSIONS, charges);
	assert_int_equal(n, 28);
	while (n > 0)
		quota_release(&charges[--n]);
	quota_release(&own);
	quota_deinit(&quota);
}

static void test_kinds_are_apart_and_one_may_have_a_limit(void **state)
{
	(void)state;
	struct quota_limit limits[QUOTA_KINDS] = {
		[QUOTA_SESSIONS] = quota_limit_of(64, 0), [QUOTA_LESSONS] = quota_limit_of(64, 4)};
	struct quota_charge charges[16] = {0}, connection = {0};
	struct quota quota;
	struct err err;
	quota_init(&quota, OWN, limits);
	size_t n = take_all(&quota, SOMEBODY, QUOTA_LESSONS, charges);
	assert_int_equal(n, 4);
	assert_int_equal(take_all(&quota, 0, QUOTA_LESSONS, charges + n), 4);
	assert_int_equal(quota_charge(&quota, 0, QUOTA_LESSONS, 1, &connection, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_string_equal(err.field, "lesson.per_uid");
	assert_int_equal(quota_charge(&quota, SOMEBODY, QUOTA_SESSIONS, 28, &connection, NULL), 0);
	for (n = 0; n < 8; n++)
		quota_release(&charges[n]);
	assert_int_equal(
		connection.user->held[QUOTA_SESSIONS], 28); /* the user's entry stays while it holds anything */
	quota_release(&connection);
	quota_release(&connection); /* nothing is charged any more */
	assert_true(list_empty(&quota.users));
	quota_deinit(&quota);
}

/* A lesson grows and shrinks by its pictures. */
static void test_a_charge_grows_and_shrinks(void **state)
{
	(void)state;
	struct quota_charge lesson = {0};
	struct quota quota;
	quota_of(&quota, 1024, 0);
	for (int i = 0; i < 7; i++)
		assert_int_equal(quota_charge(&quota, SOMEBODY, QUOTA_FEATURES, 64, &lesson, NULL), 0);
	assert_int_equal(quota_charge(&quota, SOMEBODY, QUOTA_FEATURES, 64, &lesson, NULL), -ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(lesson.amount, 448);
	quota_shrink(&lesson, 64);
	assert_int_equal(lesson.user->held[QUOTA_FEATURES], 384);
	assert_int_equal(quota_charge(&quota, SOMEBODY, QUOTA_FEATURES, 64, &lesson, NULL), 0);
	quota_shrink(&lesson, 448);
	assert_null(lesson.user);
	assert_true(list_empty(&quota.users));
	quota_deinit(&quota);
}

/* Whatever is asked for and given back in whatever order: the total is kept and the reserve is root's. */
static void test_at_random(void **state)
{
	(void)state;
	enum { USERS = 6, HELD = 200, STEPS = 20000, TOTAL = 1000 };
	static const uid_t uids[USERS] = {0, OWN, SOMEBODY, SOMEBODY + 1, SOMEBODY + 2, SOMEBODY + 3};
	struct quota_charge charges[HELD] = {0};
	struct quota quota;
	uint64_t seed = 3;
	quota_of(&quota, TOTAL, 0);
	for (int step = 0; step < STEPS; step++) {
		struct quota_charge *charge = &charges[splitmix64_next(&seed) % HELD];
		uid_t uid = uids[splitmix64_next(&seed) % USERS];
		uint64_t amount = 1 + splitmix64_next(&seed) % 40, held = 0, privileged = 0;
		if (charge->user)
			quota_release(charge);
		else
			(void)quota_charge(&quota, uid, QUOTA_PAYLOAD, amount, charge, NULL);
		LIST_EACH(node, &quota.users)
		{
			const struct quota_user *user = LIST_ENTRY(node, struct quota_user, link);
			held += user->held[QUOTA_PAYLOAD];
			if (user->uid == 0 || user->uid == OWN)
				privileged += user->held[QUOTA_PAYLOAD];
		}
		assert_true(held <= TOTAL);
		assert_true(held - privileged <= TOTAL - TOTAL / 8);
		if (privileged == 0)
			assert_true(quota_may_hold(&quota, 0, QUOTA_PAYLOAD) >= TOTAL / 8);
	}
	for (size_t i = 0; i < HELD; i++)
		quota_release(&charges[i]);
	assert_true(list_empty(&quota.users));
	quota_deinit(&quota);
}

/* Pictures that one user announces leave another room for the largest there is, and root, too. */
static void test_payloads_bring_their_charge_back(void **state)
{
	(void)state;
	struct payload payloads[16] = {0}, other, root, none = {0};
	struct quota quota;
	size_t n = 0;
	quota_of(&quota, PAYLOAD_BUDGET_BYTES, 0);
	while (payload_new(&quota, SOMEBODY, FRAME_PAYLOAD_MAX_BYTES, &payloads[n], NULL) == 0)
		n++;
	assert_int_equal(n, 3);
	assert_int_equal(payload_new(&quota, SOMEBODY + 1, FRAME_PAYLOAD_MAX_BYTES, &other, NULL), 0);
	assert_int_equal(payload_new(&quota, 0, FRAME_PAYLOAD_MAX_BYTES, &root, NULL), 0);
	other.bytes[FRAME_PAYLOAD_MAX_BYTES - 1] = 1;
	struct payload taken = payload_take(&other);
	assert_null(other.bytes);
	payload_drop(&other); /* holds none: nothing happens */
	assert_int_equal(taken.charge.user->held[QUOTA_PAYLOAD], FRAME_PAYLOAD_MAX_BYTES);
	payload_drop(&taken);
	payload_drop(&root);
	payload_drop(&none);
	while (n > 0)
		payload_drop(&payloads[--n]);
	assert_true(list_empty(&quota.users));
	quota_deinit(&quota);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_formula),
		cmocka_unit_test(test_a_reserve_is_an_eighth),
		cmocka_unit_test(test_greedy_users_in_a_row),
		cmocka_unit_test(test_a_share_grows_when_others_give_back),
		cmocka_unit_test(test_root_uses_the_reserve_first),
		cmocka_unit_test(test_kinds_are_apart_and_one_may_have_a_limit),
		cmocka_unit_test(test_a_charge_grows_and_shrinks),
		cmocka_unit_test(test_at_random),
		cmocka_unit_test(test_payloads_bring_their_charge_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
