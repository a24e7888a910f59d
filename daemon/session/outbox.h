/* SPDX-License-Identifier: MIT */
/* daemon/session/outbox.h: frames that wait to be written to one socket, the oldest first. No loop, no clock. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/list.h"

struct outbox_frame {
	struct list link;
	uint8_t *payload; /* NULL: none */
	size_t payload_bytes;
	size_t head_bytes; /* header and body */
	uint8_t head[];
};

struct outbox {
	struct list frames;
	size_t sent;  /* of the first frame */
	size_t bytes; /* not yet written, in all */
};

void outbox_init(struct outbox *outbox);
void outbox_deinit(struct outbox *outbox);

/* A frame with room for head_bytes; payload (NULL: none) is taken over. outbox_put takes the frame over. */
struct outbox_frame *outbox_frame_new(size_t head_bytes, uint8_t *payload, size_t payload_bytes);
void outbox_put(struct outbox *outbox, struct outbox_frame *frame);

/* Writes what the socket takes now. 0: all is written; OUTBOX_E_FULL: the rest waits; negative errno: the peer is gone. */
enum { OUTBOX_E_FULL = 1 };
int outbox_write(struct outbox *outbox, int fd);
