/* SPDX-License-Identifier: MIT */
/* daemon/quota.h: what each uid holds: connections, requests in flight, open lessons.
 *
 * Everything a peer makes the daemon hold is charged to its uid; an entry lives while it holds anything. Loop thread. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "daemon/list.h"
#include "lib/base/err.h"

enum quota_kind { QUOTA_SESSIONS, QUOTA_IN_FLIGHT, QUOTA_LESSONS, QUOTA_KINDS };

struct quota_user {
	struct list link;
	uid_t uid;
	uint32_t held[QUOTA_KINDS];
};

struct quota {
	struct list users;
	uint32_t max[QUOTA_KINDS];
};

void quota_init(struct quota *quota, uint32_t max_sessions, uint32_t max_in_flight, uint32_t max_lessons);
void quota_deinit(struct quota *quota);

/* Charges one; *ret_user is the uid's entry, to be given back to quota_release. ERR_RESOURCE_EXHAUSTED: the uid has its
 * share already, nothing is charged. */
int quota_charge(struct quota *quota, uid_t uid, enum quota_kind kind, struct quota_user **ret_user, struct err *err);
void quota_release(struct quota *quota, struct quota_user *user, enum quota_kind kind);
