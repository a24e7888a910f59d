/* SPDX-License-Identifier: MIT */
/* daemon/session/inbox.h: frames out of a stream of bytes, in whatever pieces they come. No socket, no loop, no clock.
 *
 *   feed -> HEADER -> (the owner decides: inbox_accept) -> feed -> FRAME -> feed ...
 *
 * Nothing is allocated for a frame before its header was accepted, and a payload goes where the owner said, or is
 * counted and thrown away. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"

enum inbox_event {
	INBOX_MORE,   /* all bytes are taken, the frame goes on */
	INBOX_HEADER, /* header and header_fault are there: call inbox_accept, or feed no more */
	INBOX_FRAME,  /* header, body and (when it was kept) payload are complete; they are known until the next feed */
};

struct inbox {
	enum { INBOX_IN_HEADER, INBOX_AT_HEADER, INBOX_IN_BODY, INBOX_IN_PAYLOAD, INBOX_AT_FRAME } state;
	size_t have; /* bytes of the present part */
	uint8_t header_bytes[FRAME_HEADER_BYTES];
	struct frame_header header;
	int header_fault; /* 0 or FRAME_E_*: then the frame cannot be accepted */
	uint8_t *body;
	uint8_t *payload; /* the owner's; NULL: none, or thrown away */
};

void inbox_init(struct inbox *inbox);
void inbox_deinit(struct inbox *inbox);

/* Takes bytes from *bytes, *n (both move) up to the next event. After an event, call again even with no byte left. */
enum inbox_event inbox_feed(struct inbox *inbox, const uint8_t **bytes, size_t *n);

/* After INBOX_HEADER: read on. The payload is put at `payload`, which has room for header.payload_bytes and stays until
 * INBOX_FRAME; NULL: it is thrown away as it comes. */
void inbox_accept(struct inbox *inbox, uint8_t *payload);

/* Has a frame begun and is not complete? */
bool inbox_busy(const struct inbox *inbox);

/* Where the next bytes of a kept payload belong, so that a large one is read in place; 0: nowhere.
 * inbox_placed tells how many were put there. */
size_t inbox_place(struct inbox *inbox, uint8_t **ret_place);
void inbox_placed(struct inbox *inbox, size_t n);
