/* SPDX-License-Identifier: MIT */
/* daemon/quota.c: see quota.h. The list is as short as there are users connected. */
#include "daemon/quota.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"

enum { QUOTA_RETRY_MS = 100 };

void quota_init(struct quota *quota, uint32_t max_sessions, uint32_t max_in_flight, uint32_t max_lessons)
{
	list_init(&quota->users);
	quota->max[QUOTA_SESSIONS] = max_sessions;
	quota->max[QUOTA_IN_FLIGHT] = max_in_flight;
	quota->max[QUOTA_LESSONS] = max_lessons;
}

void quota_deinit(struct quota *quota)
{
	LIST_EACH(node, &quota->users)
	free(LIST_ENTRY(node, struct quota_user, link));
	list_init(&quota->users);
}

static struct quota_user *quota_find(struct quota *quota, uid_t uid)
{
	LIST_EACH(node, &quota->users)
	{
		struct quota_user *user = LIST_ENTRY(node, struct quota_user, link);
		if (user->uid == uid)
			return user;
	}
	return NULL;
}

int quota_charge(struct quota *quota, uid_t uid, enum quota_kind kind, struct quota_user **ret_user, struct err *err)
{
	static const struct {
		const char *what, *field;
	} names[QUOTA_KINDS] = {
		[QUOTA_SESSIONS] = {"connections", "session"},
		[QUOTA_IN_FLIGHT] = {"requests in flight", "in_flight"},
		[QUOTA_LESSONS] = {"open lessons", "lesson.per_uid"},
	};
	struct quota_user *user = quota_find(quota, uid);
	if (user && user->held[kind] >= quota->max[kind]) {
		int r = err_set(err, ERR_RESOURCE_EXHAUSTED, "your user has %u %s: the limit is %u", user->held[kind],
			names[kind].what, quota->max[kind]);
		if (err) {
			err->field = names[kind].field;
			err->limit = quota->max[kind];
			err->retry_after_ms = QUOTA_RETRY_MS;
		}
		return r;
	}
	if (!user) {
		user = mem_zalloc(1, sizeof *user);
		user->uid = uid;
		list_append(&quota->users, &user->link);
	}
	user->held[kind]++;
	*ret_user = user;
	return 0;
}

void quota_release(struct quota *quota, struct quota_user *user, enum quota_kind kind)
{
	(void)quota;
	REQUIRE(user->held[kind] > 0);
	user->held[kind]--;
	for (int i = 0; i < QUOTA_KINDS; i++)
		if (user->held[i])
			return;
	list_remove(&user->link);
	free(user);
}
