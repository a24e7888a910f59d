/* SPDX-License-Identifier: MIT */
/* What a connection is without a loop: frames out of pieces (inbox), frames into a socket (outbox). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/session/inbox.h"
#include "daemon/session/outbox.h"
#include "lib/base/random.h"
#include "proto/limits.h"
#include "tests/unit/daemon/put_header.h"

/* A frame whose bytes tell their place. */
static size_t put_frame(uint8_t *to, uint32_t body, uint32_t payload, uint32_t id)
{
	put_header(to, body, payload, id, FRAME_REQUEST, 0);
	for (uint32_t i = 0; i < body; i++)
		to[FRAME_HEADER_BYTES + i] = (uint8_t)(id + i);
	for (uint32_t i = 0; i < payload; i++)
		to[FRAME_HEADER_BYTES + body + i] = (uint8_t)(id * 7 + i);
	return FRAME_HEADER_BYTES + body + payload;
}

static void check_frame(const struct inbox *in, uint32_t body, uint32_t payload, uint32_t id, bool kept)
{
	assert_int_equal(in->header.request_id, id);
	assert_int_equal(in->header.body_bytes, body);
	assert_int_equal(in->header.payload_bytes, payload);
	for (uint32_t i = 0; i < body; i++)
		assert_int_equal(in->body[i], (uint8_t)(id + i));
	if (!kept || payload == 0) {
		assert_null(in->payload);
		return;
	}
	for (uint32_t i = 0; i < payload; i++)
		assert_int_equal(in->payload[i], (uint8_t)(id * 7 + i));
}

struct shape {
	uint32_t body, payload;
	bool keep;
};
static const struct shape shapes[] = {
	{0, 0, true}, {5, 0, true}, {0, 9, true}, {17, 300, true}, {17, 300, false}, {0, 4, false}, {1, 1, true}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* The same stream in pieces of many sizes gives the same frames. */
static void test_frames_in_any_pieces(void **state)
{
	(void)state;
	uint8_t stream[4096];
	size_t total = 0;
	for (uint32_t i = 0; i < N_SHAPES; i++)
		total += put_frame(stream + total, shapes[i].body, shapes[i].payload, i + 1);
	for (size_t piece = 1; piece <= total; piece = piece < 20 ? piece + 1 : piece * 2) {
		struct inbox in;
		uint8_t payload[512];
		size_t frames = 0, at = 0;
		inbox_init(&in);
		assert_false(inbox_busy(&in));
		while (at < total) {
			const uint8_t *bytes = stream + at;
			size_t n = piece < total - at ? piece : total - at, left = n;
			for (enum inbox_event event; (event = inbox_feed(&in, &bytes, &left)) != INBOX_MORE;) {
				if (event == INBOX_HEADER) {
					assert_int_equal(in.header_fault, 0);
					inbox_accept(&in, shapes[frames].keep ? payload : NULL);
					assert_true(inbox_busy(&in));
					continue;
				}
				assert_true(frames < N_SHAPES);
				check_frame(&in, shapes[frames].body, shapes[frames].payload, (uint32_t)frames + 1,
					shapes[frames].keep);
				assert_false(inbox_busy(&in));
				frames++;
			}
			assert_int_equal(left, 0);
			at += n;
		}
		assert_int_equal(frames, N_SHAPES);
		inbox_deinit(&in);
	}
}

static void test_one_byte_reads_from_a_socket(void **state)
{
	(void)state;
	int fds[2];
	uint8_t stream[512], payload[100];
	size_t total = put_frame(stream, 40, 100, 77);
	struct inbox in;
	enum inbox_event event = INBOX_MORE;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	inbox_init(&in);
	for (size_t i = 0; i < total; i++) {
		uint8_t byte;
		const uint8_t *bytes = &byte;
		size_t n = 1;
		assert_int_equal(write(fds[0], stream + i, 1), 1);
		assert_int_equal(read(fds[1], &byte, 1), 1);
		assert_int_not_equal(event, INBOX_FRAME);
		event = inbox_feed(&in, &bytes, &n);
		if (event == INBOX_HEADER) {
			assert_int_equal(i, FRAME_HEADER_BYTES - 1);
			inbox_accept(&in, payload);
		}
	}
	assert_int_equal(event, INBOX_FRAME);
	check_frame(&in, 40, 100, 77, true);
	inbox_deinit(&in);
	close(fds[0]);
	close(fds[1]);
}

static void test_faulty_headers_are_told_before_anything_is_allocated(void **state)
{
	(void)state;
	static const struct {
		uint32_t body, payload;
		uint16_t kind, flags;
		int fault;
	} cases[] = {
		{0, 0, 0, 0, FRAME_E_KIND},
		{0, 0, FRAME_CANCEL + 1, 0, FRAME_E_KIND},
		{0, 0, 0x4745, 0x5420, FRAME_E_KIND}, /* "GE", "T " */
		{0, 0, FRAME_REQUEST, 2, FRAME_E_FLAGS},
		{0, 0, FRAME_REQUEST, 0x8000, FRAME_E_FLAGS},
		{FRAME_BODY_MAX_BYTES + 1, 0, FRAME_REQUEST, 0, FRAME_E_BODY_TOO_LARGE},
		{UINT32_MAX, UINT32_MAX, FRAME_REQUEST, 0, FRAME_E_BODY_TOO_LARGE},
		{0, FRAME_PAYLOAD_MAX_BYTES + 1, FRAME_REQUEST, 0, FRAME_E_PAYLOAD_TOO_LARGE},
		{FRAME_BODY_MAX_BYTES, FRAME_PAYLOAD_MAX_BYTES, FRAME_REQUEST, FRAME_MORE, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t header[FRAME_HEADER_BYTES];
		const uint8_t *bytes = header;
		size_t n = sizeof header;
		struct inbox in;
		inbox_init(&in);
		put_header(header, cases[i].body, cases[i].payload, 9, cases[i].kind, cases[i].flags);
		assert_int_equal(inbox_feed(&in, &bytes, &n), INBOX_HEADER);
		assert_int_equal(in.header_fault, cases[i].fault);
		assert_null(in.body);
		assert_null(in.payload);
		if (cases[i].fault >= FRAME_E_BODY_TOO_LARGE)
			assert_int_equal(in.header.request_id, 9);
		inbox_deinit(&in);
	}
}

static void test_a_large_payload_is_read_in_place(void **state)
{
	(void)state;
	enum { PAYLOAD = 3 << 20 };
	uint8_t header[FRAME_HEADER_BYTES], *place, *payload = malloc(PAYLOAD);
	const uint8_t *bytes = header;
	size_t n = sizeof header;
	struct inbox in;
	inbox_init(&in);
	assert_int_equal(inbox_place(&in, &place), 0);
	put_header(header, 0, PAYLOAD, 3, FRAME_REQUEST, 0);
	assert_int_equal(inbox_feed(&in, &bytes, &n), INBOX_HEADER);
	inbox_accept(&in, payload);
	assert_int_equal(inbox_feed(&in, &bytes, &n), INBOX_MORE);
	assert_int_equal(inbox_place(&in, &place), PAYLOAD);
	memset(place, 1, 1000);
	inbox_placed(&in, 1000);
	uint8_t piece[10] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2};
	bytes = piece;
	n = sizeof piece;
	assert_int_equal(inbox_feed(&in, &bytes, &n), INBOX_MORE);
	assert_int_equal(inbox_place(&in, &place), PAYLOAD - 1010);
	memset(place, 3, PAYLOAD - 1010);
	inbox_placed(&in, PAYLOAD - 1010);
	assert_int_equal(inbox_feed(&in, &bytes, &n), INBOX_FRAME);
	assert_int_equal(in.payload[999], 1);
	assert_int_equal(in.payload[1009], 2);
	assert_int_equal(in.payload[PAYLOAD - 1], 3);
	inbox_deinit(&in);
	free(payload);
}

static struct frame *numbered(size_t head, size_t payload, uint64_t *seed)
{
	uint8_t *p = payload ? malloc(payload) : NULL;
	for (size_t i = 0; i < payload; i++)
		p[i] = (uint8_t)splitmix64_next(seed);
	struct frame *frame = frame_new(head, p, payload);
	for (size_t i = 0; i < head; i++)
		frame->head[i] = (uint8_t)splitmix64_next(seed);
	return frame;
}

/* Into a small socket buffer, drained in odd pieces: every byte arrives once and in order. */
static void test_replies_survive_a_full_socket(void **state)
{
	(void)state;
	int fds[2], small = 4096;
	size_t expected_bytes = 0, got_bytes = 0, full = 0;
	uint64_t seed = 5;
	struct outbox out;
	static uint8_t expected[1 << 20], got[1 << 20];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	outbox_init(&out);
	for (size_t i = 0; i < 60; i++) {
		struct frame *frame = numbered(16 + 13 * i, i % 3 ? 0 : 700 * i, &seed);
		memcpy(expected + expected_bytes, frame->head, frame->head_bytes);
		expected_bytes += frame->head_bytes;
		if (frame->payload)
			memcpy(expected + expected_bytes, frame->payload, frame->payload_bytes);
		expected_bytes += frame->payload_bytes;
		outbox_put(&out, frame);
	}
	assert_int_equal(out.bytes, expected_bytes);
	for (int r; (r = outbox_write(&out, fds[0])) != 0;) {
		assert_int_equal(r, OUTBOX_E_FULL);
		full++;
		ssize_t n = read(fds[1], got + got_bytes, 1 + splitmix64_below(&seed, 3000));
		assert_true(n > 0);
		got_bytes += (size_t)n;
	}
	for (ssize_t n; (n = read(fds[1], got + got_bytes, sizeof got - got_bytes)) > 0;)
		got_bytes += (size_t)n;
	assert_true(full > 0);
	assert_int_equal(out.bytes, 0);
	assert_int_equal(got_bytes, expected_bytes);
	assert_memory_equal(got, expected, expected_bytes);
	/* A peer that is gone is an error, not a signal. */
	close(fds[1]);
	outbox_put(&out, numbered(20, 10, &seed));
	assert_int_equal(outbox_write(&out, fds[0]), -EPIPE);
	outbox_deinit(&out);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_in_any_pieces),
		cmocka_unit_test(test_one_byte_reads_from_a_socket),
		cmocka_unit_test(test_faulty_headers_are_told_before_anything_is_allocated),
		cmocka_unit_test(test_a_large_payload_is_read_in_place),
		cmocka_unit_test(test_replies_survive_a_full_socket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
