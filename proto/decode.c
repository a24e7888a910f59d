/* SPDX-License-Identifier: MIT */
/* proto/decode.c: see decode.h. A bump allocator: the free of protobuf-c does nothing, so a body that merges the same
 * field again and again uses up the arena, too, and is refused. */
#include "proto/decode.h"

#include <stdbool.h>

#include "lib/base/require.h"

enum { ARENA_ALIGN_BYTES = 16 };

static void *arena_alloc(void *ctx, size_t size)
{
	struct decode_arena *arena = ctx;
	size_t left = arena->capacity_bytes - arena->used_bytes;
	if (size > left || (size + ARENA_ALIGN_BYTES - 1) / ARENA_ALIGN_BYTES * ARENA_ALIGN_BYTES > left) {
		arena->full = true;
		return NULL;
	}
	void *p = arena->memory + arena->used_bytes;
	arena->used_bytes += (size + ARENA_ALIGN_BYTES - 1) / ARENA_ALIGN_BYTES * ARENA_ALIGN_BYTES;
	return p;
}

static void arena_free(void *ctx, void *p)
{
	(void)ctx;
	(void)p;
}

void decode_arena_init(struct decode_arena *arena, void *memory, size_t capacity_bytes)
{
	REQUIRE((uintptr_t)memory % ARENA_ALIGN_BYTES == 0);
	*arena = (struct decode_arena){
		.allocator = {.alloc = arena_alloc, .free = arena_free, .allocator_data = arena},
		.memory = memory,
		.capacity_bytes = capacity_bytes,
	};
}

int decode_body(struct decode_arena *arena, const ProtobufCMessageDescriptor *descriptor, const uint8_t *body,
	size_t body_bytes, ProtobufCMessage **ret_message, struct err *err)
{
	REQUIRE(arena->allocator.allocator_data == arena);
	static const uint8_t nothing[1];
	arena->used_bytes = 0;
	arena->full = false;
	ProtobufCMessage *message =
		protobuf_c_message_unpack(descriptor, &arena->allocator, body_bytes, body ? body : nothing);
	if (message) {
		*ret_message = message;
		return 0;
	}
	if (arena->full)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED, (struct err_about){.limit = arena->capacity_bytes},
			"the body unpacks to more than %zu bytes", arena->capacity_bytes);
	return err_set(err, ERR_INVALID_ARGUMENT, "the body is no bnnd.%s message", descriptor->short_name);
}
