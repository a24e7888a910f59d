/* SPDX-License-Identifier: MIT */
/* tests/fuzz/peer.h: one client of the daemon under test, which keeps count: as long as it was lawful, each of its
 * requests has exactly one answer, and the connection stays. What comes back is always frames and messages. */
#pragma once

#include "proto/bnnd.pb-c.h"
#include "tests/fuzz/fuzz.h"

enum { PEER_WAITING_MAX = 256 };

/* What the answers told, of all peers together. */
struct told {
	uint64_t seq; /* the newest change that was acknowledged */
	bool open_end; /* a change may still be made behind our back: cancelled, too late, or a peer that was not lawful */
	uint8_t label[128]; /* the last of the last page of classes */
	size_t label_bytes;
	char *classes; /* every row of the pages since peer_forget_classes, a line each */
	size_t classes_n;
	bool more;           /* the last page was not the last one */
	size_t opened;       /* connections, in all */
	uint64_t before_seq; /* the last entry of the last page of the history */
};

struct peer {
	int fd; /* -1: not connected */
	bool lawful, greeted;
	uint32_t last_id;
	size_t n_waiting;
	uint32_t waiting[PEER_WAITING_MAX];
	uint64_t lesson; /* the last that was begun */
	uint32_t accepted;
	uint32_t status; /* code of the last answer */
	uint8_t *in;
	size_t in_n, in_room;
	struct told *told;
};

/* Connects and sends a hello of this major version; -1: none. Who opens many in a row may be turned away: the daemon may
 * not have seen yet that the ones before were closed. */
void peer_open(struct peer *peer, const char *path, int64_t major);
/* Until it is let in. */
void peer_open_patiently(struct peer *peer, const char *path);
void peer_close(struct peer *peer);
void peer_end_writing(struct peer *peer);

/* Any bytes; whoever sends them that are not a whole lawful frame sets lawful to false. Reads while the socket is full. */
void peer_send(struct peer *peer, const void *bytes, size_t n);
/* A request with the next id. */
void peer_ask(struct peer *peer, const void *body, size_t body_bytes, const void *payload, size_t payload_bytes);
/* Until everything is answered, or the end; a peer that was not lawful takes what is there. */
void peer_wait(struct peer *peer);

void told_forget_classes(struct told *told);
