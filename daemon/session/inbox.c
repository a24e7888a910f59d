/* SPDX-License-Identifier: MIT */
/* daemon/session/inbox.c: see inbox.h. Sizes are within limits.h before anything is allocated. */
#include "daemon/session/inbox.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"

void inbox_init(struct inbox *in)
{
	memset(in, 0, sizeof *in);
}

void inbox_deinit(struct inbox *in)
{
	free(in->body);
	inbox_init(in);
}

/* Copies what is missing of the present part, or counts it when dest is NULL; true: the part is complete. */
static bool take(struct inbox *in, uint8_t *dest, size_t part_bytes, const uint8_t **bytes, size_t *n)
{
	size_t k = part_bytes - in->have < *n ? part_bytes - in->have : *n;
	if (dest && k)
		memcpy(dest + in->have, *bytes, k);
	in->have += k;
	*bytes += k;
	*n -= k;
	return in->have == part_bytes;
}

static void enter(struct inbox *in, int state)
{
	in->state = state;
	in->have = 0;
}

enum inbox_event inbox_feed(struct inbox *in, const uint8_t **bytes, size_t *n)
{
	REQUIRE(in->state != INBOX_AT_HEADER);
	if (in->state == INBOX_AT_FRAME)
		inbox_deinit(in);
	if (in->state == INBOX_IN_HEADER) {
		if (!take(in, in->header_bytes, FRAME_HEADER_BYTES, bytes, n))
			return INBOX_MORE;
		in->header_fault = frame_header_decode(in->header_bytes, &in->header);
		enter(in, INBOX_AT_HEADER);
		return INBOX_HEADER;
	}
	if (in->state == INBOX_IN_BODY) {
		if (!take(in, in->body, in->header.body_bytes, bytes, n))
			return INBOX_MORE;
		enter(in, INBOX_IN_PAYLOAD);
	}
	if (!take(in, in->payload, in->header.payload_bytes, bytes, n))
		return INBOX_MORE;
	enter(in, INBOX_AT_FRAME);
	return INBOX_FRAME;
}

void inbox_accept(struct inbox *in, uint8_t *payload)
{
	REQUIRE(in->state == INBOX_AT_HEADER && in->header_fault == 0);
	in->body = mem_zalloc(1, in->header.body_bytes);
	in->payload = in->header.payload_bytes ? payload : NULL;
	enter(in, INBOX_IN_BODY);
}

bool inbox_busy(const struct inbox *in)
{
	return in->state == INBOX_IN_HEADER ? in->have > 0 : in->state != INBOX_AT_FRAME;
}

size_t inbox_place(struct inbox *in, uint8_t **ret_place)
{
	if (in->state != INBOX_IN_PAYLOAD || !in->payload)
		return 0;
	*ret_place = in->payload + in->have;
	return in->header.payload_bytes - in->have;
}

void inbox_placed(struct inbox *in, size_t n)
{
	REQUIRE(in->state == INBOX_IN_PAYLOAD && n <= in->header.payload_bytes - in->have);
	in->have += n;
}
