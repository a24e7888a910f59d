/* SPDX-License-Identifier: MIT */
/* daemon/session/outbox.h: frames that wait to be written to one socket, the oldest first. No loop, no clock. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/wire/frames.h"

struct outbox {
	struct list frames;
	size_t sent;  /* of the first frame */
	size_t bytes; /* not yet written, in all */
};

void outbox_init(struct outbox *outbox);
void outbox_deinit(struct outbox *outbox);

/* Takes the frame over. */
void outbox_put(struct outbox *outbox, struct frame *frame);

/* Writes what the socket takes now. 0: all is written; OUTBOX_E_FULL: the rest waits; negative errno: the peer is gone. */
enum { OUTBOX_E_FULL = 1 };
int outbox_write(struct outbox *outbox, int fd);
