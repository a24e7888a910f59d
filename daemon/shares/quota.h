/* SPDX-License-Identifier: MIT */
/* daemon/shares/quota.h: shares: how much of each thing one user may hold, and what each holds now.
 *
 * Everything that a peer makes the daemon hold is charged to its uid, as dbus-broker does (src/util/user.c): of what the
 * others left, a user may hold at most
 *
 *     1 / (n + 1)      n: the users that hold some of it, the asker counted in
 *
 * So one user alone gets half, and whoever comes next still finds something. Of all there is, the n-th may have between
 * 1 / (n + 1), when the others hold next to nothing, and 1 / n(n + 1), when each took all it might (they left him 1 / n):
 * roughly between 1/n and 1/n^2. Nobody is ever made to give back: a share is looked at when somebody wants more.
 *
 * Root and the uid of the daemon itself are users like the others, and have a reserve besides: whatever the others do,
 * who looks after the machine can connect and ask.
 *
 * A charge gives itself back; an entry of a user lives while it holds anything. Loop thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/list.h"
#include "lib/base/err.h"

enum quota_kind {
	QUOTA_SESSIONS,    /* connections */
	QUOTA_TURNED_AWAY, /* connections too many that are being told so */
	QUOTA_IN_FLIGHT,   /* requests that are not answered yet, those of lost connections too */
	QUOTA_PAYLOAD,     /* bytes of pictures, from the header that announces them until they are computed */
	QUOTA_LESSONS,     /* open lessons */
	QUOTA_FEATURES,    /* bytes that those hold */
	QUOTA_KINDS
};

struct quota_limit {
	uint64_t total;   /* all users together */
	uint64_t reserve; /* of it: for root and the daemon's own uid alone */
	uint64_t most;    /* one user, whatever is left; 0: its share alone decides */
};

struct quota_user {
	struct list link;
	uid_t uid;
	uint64_t held[QUOTA_KINDS];
};

struct quota {
	struct list users; /* those that hold something: as many as are connected at most */
	uid_t own_uid;
	struct quota_limit limits[QUOTA_KINDS];
};

/* What a user holds of one kind; all zero: nothing. */
struct quota_charge {
	struct quota_user *user;
	enum quota_kind kind;
	uint64_t amount;
};

/* The usual limit: an eighth of the total is the reserve. */
struct quota_limit quota_limit_of(uint64_t total, uint64_t most);

void quota_init(struct quota *quota, uid_t own_uid, const struct quota_limit limits[QUOTA_KINDS]);
/* Everything was given back. */
void quota_deinit(struct quota *quota);

/* The formula: how much one of n users may hold in all, `left` being what the others did not take. */
uint64_t quota_share(uint64_t left, size_t n);
/* How much of this kind the uid may hold in all, as things are now. */
uint64_t quota_may_hold(const struct quota *quota, uid_t uid, enum quota_kind kind);

/* Adds to a charge that is nothing yet, or of the same uid and kind. ERR_RESOURCE_EXHAUSTED with retry_after_ms: that
 * would be over the uid's share, nothing is added. */
int quota_charge(struct quota *quota, uid_t uid, enum quota_kind kind, uint64_t amount, struct quota_charge *charge,
	struct err *err);
/* Gives some of it back. */
void quota_shrink(struct quota_charge *charge, uint64_t amount);
/* Gives back what is charged, if anything is. */
void quota_release(struct quota_charge *charge);
