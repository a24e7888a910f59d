/* SPDX-License-Identifier: MIT */
/* daemon/wire/frames.h: messages into frames that can be written: header, body, payload. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/list.h"
#include "proto/bnnd.pb-c.h"

struct frame {
	struct list link;
	uint8_t *payload; /* owned; NULL: none */
	size_t payload_bytes;
	size_t head_bytes; /* header and body */
	uint8_t head[];
};

/* A frame with room for head_bytes; payload (NULL: none) is taken over. */
struct frame *frame_new(size_t head_bytes, uint8_t *payload, size_t payload_bytes);
void frame_free(struct frame *frame);

/* Any message as the body of a frame of this kind (FRAME_*). The caller keeps within FRAME_BODY_MAX_BYTES. */
struct frame *frame_of(
	uint16_t kind, uint32_t id, const ProtobufCMessage *message, uint8_t *payload, size_t payload_bytes);

/* A HelloReply with protocol and software, as every one has them. */
void frame_hello_init(Bnnd__HelloReply *ret_reply);

/* Why not: as a REPLY, and before the hello as a HELLO. err->code 0 would be a bug and is told as INTERNAL. */
struct frame *frame_refusal(uint32_t id, const struct err *err);
struct frame *frame_hello_refusal(uint32_t id, const struct err *err);
