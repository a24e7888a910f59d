/* SPDX-License-Identifier: MIT */
/* A daemon that does exactly what a test says, in a thread of its own at the other end of a socket pair.
 *
 * The script runs in that thread: it may not use cmocka's assertions, but FAKE_CHECK, whose first failure is reported by
 * fake_stop in the test's thread. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <pthread.h>

#include "client/bnnd.h"
#include "proto/bnnd.pb-c.h"
#include "proto/decode.h"
#include "proto/frame.h"

struct fake;
typedef void fake_script(struct fake *fake);

struct fake {
	int fd;        /* the daemon's end */
	int client_fd; /* the other, until bnnd_connect_fd takes it; with fake_listen: the listening socket */
	int listens;
	pthread_t thread;
	fake_script *script;
	void *ctx;
	size_t step_bytes;  /* write so many bytes at a time, 0: all */
	uint32_t in_flight; /* told in the hello, 0: 16 */
	char failure[256];
	_Alignas(16) uint8_t arena_memory[256 << 10];
	struct decode_arena arena;
	/* The frame read last; request is NULL for other kinds. */
	struct frame_header header;
	const Bnnd__Request *request;
	uint8_t *body, *payload;
};

#define FAKE_CHECK(fake, condition)                                                                                    \
	do {                                                                                                           \
		if (!(condition) && !(fake)->failure[0])                                                               \
			(void)snprintf(                                                                                \
				(fake)->failure, sizeof(fake)->failure, "%s:%d: %s", __FILE__, __LINE__, #condition);  \
	} while (0)

/* Starts the script. */
void fake_start(struct fake *fake, fake_script *script, void *ctx);
/* Starts it and connects; the script must begin with fake_hello. */
struct bnnd_conn *fake_connect(struct fake *fake, fake_script *script, void *ctx, uint32_t timeout_ms);
/* Starts it behind a socket of its own, which the environment names (BNND_SOCKET): for programs that connect. The script
 * begins with fake_accept. */
void fake_listen(struct fake *fake, fake_script *script, void *ctx);
/* Waits for the script to end; fails the test if it found something wrong. */
void fake_stop(struct fake *fake);

/* ---- for scripts ---- */

/* Takes the next connection; the one before is closed. */
void fake_accept(struct fake *fake);
/* Reads a frame; false when the client has gone. */
int fake_read(struct fake *fake);
/* Reads a request of this operation, or notes a failure. Returns its id. */
uint32_t fake_expect(struct fake *fake, Bnnd__Request__OpCase op);
void fake_write(struct fake *fake, const void *bytes, size_t n);
void fake_frame(struct fake *fake, uint16_t kind, uint32_t id, const ProtobufCMessage *message, const void *payload,
	size_t payload_bytes);
/* Reads the client's hello and answers it. */
void fake_hello(struct fake *fake);
void fake_reply(struct fake *fake, uint32_t id, const Bnnd__Reply *reply);
void fake_error(struct fake *fake, uint32_t id, uint32_t code, const char *message, uint32_t retry_after_ms);
void fake_answer(struct fake *fake, uint32_t id, const char *label);
void fake_begun(struct fake *fake, uint32_t id, uint64_t lesson);
void fake_added(struct fake *fake, uint32_t id, int already_known);
void fake_changed(struct fake *fake, uint32_t id, uint64_t seq);
