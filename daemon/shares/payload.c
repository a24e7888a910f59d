/* SPDX-License-Identifier: MIT */
/* daemon/shares/payload.c: see payload.h. */
#include "daemon/shares/payload.h"

#include <stdlib.h>

#include "lib/base/require.h"

int payload_new(struct quota *quota, uid_t uid, size_t len_bytes, struct payload *ret_payload, struct err *err)
{
	struct payload payload = {.len_bytes = len_bytes};
	int r = quota_charge(quota, uid, QUOTA_PAYLOAD, len_bytes, &payload.charge, err);
	if (r != 0)
		return r;
	/* Not zeroed: pages that never come are never touched. */
	payload.bytes = malloc(len_bytes);
	REQUIRE(payload.bytes || len_bytes == 0);
	*ret_payload = payload;
	return 0;
}

struct payload payload_take(struct payload *from)
{
	struct payload taken = *from;
	*from = (struct payload){0};
	return taken;
}

void payload_drop(struct payload *payload)
{
	quota_release(&payload->charge);
	free(payload->bytes);
	*payload = (struct payload){0};
}
