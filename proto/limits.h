/* SPDX-License-Identifier: MIT */
/* proto/limits.h: every limit of the wire, in one place. Those that a client can meet are told in HelloReply. */
#pragma once

enum {
	PROTOCOL_MAJOR = 1,
	PROTOCOL_MINOR = 0,

	FRAME_HEADER_BYTES = 16,
	FRAME_BODY_MAX_BYTES = 64 << 10,
	FRAME_PAYLOAD_MAX_BYTES = 8 << 20,
	FRAME_COMPLETE_MS = 5000, /* from a frame's first byte to its last; the clock stops while the daemon pauses */

	DECODE_ARENA_BYTES = 256 << 10, /* what one body may unpack to */

	HELLO_MS = 5000, /* from the connection to its complete Hello */

	/* Of all users together; what one may have of it, its share, is daemon/shares/quota.h's. */
	SESSIONS_MAX = 64,               /* connections */
	TURNED_AWAY_MAX = 16,            /* connections beyond that which are told why; more are just closed */
	IN_FLIGHT_MAX = 128,             /* requests */
	PAYLOAD_BUDGET_BYTES = 64 << 20, /* payloads held; charged from the header */

	IN_FLIGHT_PER_SESSION = 16,
	OUTPUT_MARK_BYTES = 1 << 20, /* unread replies above which reading from a connection pauses */
	ACCEPT_PAUSE_MS = 100,       /* after EMFILE */

	LESSON_KEY_BYTES = 16,
	LESSONS_PER_UID = 4,
	LESSON_MAX_PICTURES = 10000,
	LESSON_MAX_CLASSES = 256,
	LESSON_FEATURES_MAX_BYTES = 24 << 20, /* in all open lessons together */
	CLASSES_MAX = 4096,
	SAMPLES_PER_CLASS = 200,

	PAGE_MAX = 100, /* rows of one classes or history reply */
	/* Lessons of a class in memory: a page, if it had as many, and some more so that not every undo reads one. */
	CLASS_LESSONS_KEPT = PAGE_MAX,
	CLASS_LESSONS_MAX = PAGE_MAX + 32,
	TOP_MAX = 10, /* labels of one answer */
	TIMEOUT_MAX_MS = 600000,

	SOCKET_PATH_MAX_BYTES = 107,
};
