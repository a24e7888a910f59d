/* SPDX-License-Identifier: MIT */
/* daemon/shares/quota.c: see quota.h. The list is as short as there are users connected.
 *
 * Invariant: of the common part (the total without the reserve) no more is held than there is, where root and the own
 * uid are thought to use the reserve first. */
#include "daemon/shares/quota.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"

enum { RESERVE_PARTS = 8 };

struct quota_limit quota_limit_of(uint64_t total, uint64_t most)
{
	uint64_t reserve = total / RESERVE_PARTS;
	return (struct quota_limit){.total = total, .reserve = reserve || total < 2 ? reserve : 1, .most = most};
}

void quota_init(struct quota *quota, uid_t own_uid, const struct quota_limit limits[QUOTA_KINDS])
{
	list_init(&quota->users);
	quota->own_uid = own_uid;
	memcpy(quota->limits, limits, sizeof quota->limits);
}

void quota_deinit(struct quota *quota)
{
	REQUIRE(list_empty(&quota->users));
}

static bool has_reserve(const struct quota *quota, uid_t uid)
{
	return uid == 0 || uid == quota->own_uid;
}

static struct quota_user *quota_find(const struct quota *quota, uid_t uid)
{
	LIST_EACH(node, &quota->users)
	{
		struct quota_user *user = LIST_ENTRY(node, struct quota_user, link);
		if (user->uid == uid)
			return user;
	}
	return NULL;
}

uint64_t quota_share(uint64_t left, size_t n)
{
	uint64_t share = left / (n + 1);
	return share ? share : left > 0; /* the last ones go to whoever has none */
}

uint64_t quota_may_hold(const struct quota *quota, uid_t uid, enum quota_kind kind)
{
	const struct quota_limit *limit = &quota->limits[kind];
	uint64_t reserve = limit->reserve, common = limit->total - reserve;
	size_t n = 1;
	LIST_EACH(node, &quota->users)
	{
		const struct quota_user *other = LIST_ENTRY(node, struct quota_user, link);
		uint64_t held = other->uid == uid ? 0 : other->held[kind];
		if (has_reserve(quota, other->uid)) {
			uint64_t reserved = held < reserve ? held : reserve;
			reserve -= reserved;
			held -= reserved;
		}
		REQUIRE(held <= common);
		common -= held;
		n += held > 0;
	}
	uint64_t may = quota_share(common, n) + (has_reserve(quota, uid) ? reserve : 0);
	return limit->most && limit->most < may ? limit->most : may;
}

static int over_share(const struct quota *quota, uint64_t held, uint64_t may, enum quota_kind kind, struct err *err)
{
	static const struct {
		const char *what, *field;
	} names[QUOTA_KINDS] = {
		[QUOTA_SESSIONS] = {"connections", "session.max"},
		[QUOTA_TURNED_AWAY] = {"connections that end", "session.max"},
		[QUOTA_IN_FLIGHT] = {"requests in flight", "in_flight"},
		[QUOTA_PAYLOAD] = {"bytes of pictures under way", "payload"},
		[QUOTA_LESSONS] = {"open lessons", "lesson.per_uid"},
		[QUOTA_FEATURES] = {"bytes of pictures in open lessons", "lesson.features"},
	};
	const struct quota_limit *limit = &quota->limits[kind];
	const struct err_about about = {
		.field = names[kind].field, .limit = may, .retry_after_ms = ERR_RETRY_REQUEST_MS};
	if (limit->most && may == limit->most)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED, about, "your user has %llu %s: the limit is %llu",
			(unsigned long long)held, names[kind].what, (unsigned long long)may);
	return err_set_about(err, ERR_RESOURCE_EXHAUSTED, about,
		"your user has %llu %s: its share is %llu of %llu now, ask again soon", (unsigned long long)held,
		names[kind].what, (unsigned long long)may, (unsigned long long)limit->total);
}

int quota_charge(struct quota *quota, uid_t uid, enum quota_kind kind, uint64_t amount, struct quota_charge *charge,
	struct err *err)
{
	struct quota_user *user = quota_find(quota, uid);
	uint64_t held = user ? user->held[kind] : 0, may = quota_may_hold(quota, uid, kind);
	REQUIRE(amount > 0 && (!charge->user || (charge->user == user && charge->kind == kind)));
	if (amount > may || held > may - amount)
		return over_share(quota, held, may, kind, err);
	if (!user) {
		user = mem_zalloc(1, sizeof *user);
		user->uid = uid;
		list_append(&quota->users, &user->link);
	}
	user->held[kind] += amount;
	charge->user = user;
	charge->kind = kind;
	charge->amount += amount;
	return 0;
}

void quota_shrink(struct quota_charge *charge, uint64_t amount)
{
	struct quota_user *user = charge->user;
	REQUIRE(amount <= charge->amount);
	if (amount == 0)
		return;
	user->held[charge->kind] -= amount;
	charge->amount -= amount;
	if (charge->amount == 0)
		*charge = (struct quota_charge){0};
	for (int i = 0; i < QUOTA_KINDS; i++)
		if (user->held[i])
			return;
	list_remove(&user->link);
	free(user);
}

void quota_release(struct quota_charge *charge)
{
	quota_shrink(charge, charge->amount);
}
