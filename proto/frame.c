/* SPDX-License-Identifier: MIT */
/* proto/frame.c: see frame.h. Pure functions; the connection that feeds them is daemon/session/session.c. */
#include "proto/frame.h"

#include "lib/base/endian.h"
#include "lib/base/require.h"

int frame_header_decode(const uint8_t bytes[FRAME_HEADER_BYTES], struct frame_header *ret_header)
{
	struct frame_header h = {
		.body_bytes = load_be32(bytes),
		.payload_bytes = load_be32(bytes + 4),
		.request_id = load_be32(bytes + 8),
		.kind = load_be16(bytes + 12),
		.flags = load_be16(bytes + 14),
	};
	if (h.kind < FRAME_HELLO || h.kind > FRAME_CANCEL)
		return FRAME_E_KIND;
	if (h.flags & ~FRAME_MORE)
		return FRAME_E_FLAGS;
	*ret_header = h;
	if (h.body_bytes > FRAME_BODY_MAX_BYTES)
		return FRAME_E_BODY_TOO_LARGE;
	if (h.payload_bytes > FRAME_PAYLOAD_MAX_BYTES)
		return FRAME_E_PAYLOAD_TOO_LARGE;
	return 0;
}

void frame_header_encode(const struct frame_header *header, uint8_t ret_bytes[FRAME_HEADER_BYTES])
{
	REQUIRE(header->body_bytes <= FRAME_BODY_MAX_BYTES && header->payload_bytes <= FRAME_PAYLOAD_MAX_BYTES);
	store_be32(ret_bytes, header->body_bytes);
	store_be32(ret_bytes + 4, header->payload_bytes);
	store_be32(ret_bytes + 8, header->request_id);
	store_be16(ret_bytes + 12, header->kind);
	store_be16(ret_bytes + 14, header->flags);
}
