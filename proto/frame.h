/* SPDX-License-Identifier: MIT */
/* proto/frame.h: one frame on the wire: 16-byte header, body, payload.
 *
 *   0        4           8            12      14      16
 *   body_len payload_len request_id   kind    flags   body... payload...     all big-endian
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/limits.h" /* FRAME_HEADER_BYTES, FRAME_BODY_MAX_BYTES, FRAME_PAYLOAD_MAX_BYTES */

enum frame_kind { FRAME_HELLO = 1, FRAME_REQUEST, FRAME_REPLY, FRAME_EVENT, FRAME_CANCEL };
enum frame_flag { FRAME_MORE = 1 << 0 };

struct frame_header {
	uint32_t body_bytes;
	uint32_t payload_bytes;
	uint32_t request_id; /* 0: belongs to no request */
	uint16_t kind;       /* enum frame_kind */
	uint16_t flags;      /* enum frame_flag */
};

/* Positive outcomes of frame_header_decode. */
enum {
	FRAME_E_KIND = 1,       /* not one of enum frame_kind: the stream is not ours, close it */
	FRAME_E_FLAGS,          /* a bit that this version does not know: close it */
	FRAME_E_BODY_TOO_LARGE, /* header is filled in: the request can still be answered by its id */
	FRAME_E_PAYLOAD_TOO_LARGE,
};

/* Reads a header from exactly FRAME_HEADER_BYTES bytes. Checks every field against limits.h, allocates nothing.
 * Returns 0 or FRAME_E_*; *ret_header is written for 0 and the two TOO_LARGE. */
int frame_header_decode(const uint8_t bytes[FRAME_HEADER_BYTES], struct frame_header *ret_header);

/* Writes a header. The caller guarantees the limits: a header that frame_header_decode refuses is a bug here. */
void frame_header_encode(const struct frame_header *header, uint8_t ret_bytes[FRAME_HEADER_BYTES]);
