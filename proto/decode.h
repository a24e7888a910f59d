/* SPDX-License-Identifier: MIT */
/* proto/decode.h: bodies into messages, inside a capped arena.
 *
 * A body of 64 KiB can name a hundred thousand empty sub-messages and unpack to megabytes. Every allocation that
 * protobuf-c makes for a body comes out of one bounded block: when the block is full the body is refused. The message
 * lives in the block until the next decode_body with the same arena, so nothing is ever freed piece by piece.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "lib/base/err.h"

struct decode_arena {
	ProtobufCAllocator allocator; /* points back to the arena: never copy or move one that is initialized */
	uint8_t *memory;
	size_t capacity_bytes;
	size_t used_bytes;
	int full; /* an allocation was refused since the last decode_body began */
};

/* memory is borrowed and aligned to 16 bytes; capacity_bytes is DECODE_ARENA_BYTES for what a client sends. */
void decode_arena_init(struct decode_arena *arena, void *memory, size_t capacity_bytes);

/* Unpacks one body; what the arena held before is gone. body may be NULL when body_bytes is 0.
 * Errors: ERR_INVALID_ARGUMENT (not such a message), ERR_RESOURCE_EXHAUSTED (would unpack to more than the arena; limit
 * says how much that is). One arena belongs to one thread at a time. */
int decode_body(struct decode_arena *arena, const ProtobufCMessageDescriptor *descriptor, const uint8_t *body,
	size_t body_bytes, ProtobufCMessage **ret_message, struct err *err);
