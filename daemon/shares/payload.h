/* SPDX-License-Identifier: MIT */
/* daemon/shares/payload.h: a frame's payload and what its user is charged for it: one thing, so that neither goes without the
 * other. Whoever holds it last drops it. Loop thread (a lane reads the bytes of a job's own). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/shares/quota.h"

struct payload { /* all zero: none */
	uint8_t *bytes;
	size_t len_bytes;
	struct quota_charge charge;
};

/* Room for a payload that was announced. ERR_RESOURCE_EXHAUSTED: over the uid's share. */
int payload_new(struct quota *quota, uid_t uid, size_t len_bytes, struct payload *ret_payload, struct err *err);
/* It is the caller's now, and *from holds none. */
struct payload payload_take(struct payload *from);
/* Frees it and gives its charge back, if there is one. */
void payload_drop(struct payload *payload);
