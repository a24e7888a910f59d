/* SPDX-License-Identifier: MIT */
/* The frame header: bytes and outcomes. */
#include "tests/unit/proto/tests.h"

#include "proto/frame.h"

static const struct {
	const char *what;
	uint8_t bytes[FRAME_HEADER_BYTES];
	int outcome;
	struct frame_header header; /* outcome 0 and the two TOO_LARGE */
} table[] = {
	{"a hello", {0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}, 0, {16, 0, 0, FRAME_HELLO, 0}},
	{"each byte in its place", {0, 0, 2, 3, 0, 5, 6, 7, 8, 9, 10, 11, 0, 2, 0, 0}, 0,
		{0x0203, 0x050607, 0x08090A0B, FRAME_REQUEST, 0}},
	{"more follows", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 0, 1}, 0, {0, 0, 1, FRAME_REPLY, FRAME_MORE}},
	{"an event", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0}, 0, {0, 0, 0, FRAME_EVENT, 0}},
	{"a cancel, the last id", {0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 5, 0, 0}, 0,
		{0, 0, 0xFFFFFFFF, FRAME_CANCEL, 0}},
	{"kind 0", {0}, FRAME_E_KIND, {0}},
	{"kind 6", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0}, FRAME_E_KIND, {0}},
	{"kind 256", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, FRAME_E_KIND, {0}},
	{"HTTP", {'G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T', 'P', '/', '1', '.', '1', '\r', '\n'}, FRAME_E_KIND, {0}},
	{"unknown flag 2", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2}, FRAME_E_FLAGS, {0}},
	{"unknown flag 0x8000", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 128, 0}, FRAME_E_FLAGS, {0}},
	{"the largest", {0, 1, 0, 0, 0, 128, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0}, 0,
		{FRAME_BODY_MAX_BYTES, FRAME_PAYLOAD_MAX_BYTES, 1, FRAME_REQUEST, 0}},
	{"a body one byte too large", {0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 0, 0}, FRAME_E_BODY_TOO_LARGE,
		{FRAME_BODY_MAX_BYTES + 1, 0, 9, FRAME_REQUEST, 0}},
	{"a payload one byte too large", {0, 0, 0, 0, 0, 128, 0, 1, 0, 0, 0, 9, 0, 2, 0, 0}, FRAME_E_PAYLOAD_TOO_LARGE,
		{0, FRAME_PAYLOAD_MAX_BYTES + 1, 9, FRAME_REQUEST, 0}},
	{"everything too large", {255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 9, 0, 2, 0, 0},
		FRAME_E_BODY_TOO_LARGE, {0xFFFFFFFF, 0xFFFFFFFF, 9, FRAME_REQUEST, 0}},
};

static void assert_same(const struct frame_header *a, const struct frame_header *b)
{
	assert_int_equal(a->body_bytes, b->body_bytes);
	assert_int_equal(a->payload_bytes, b->payload_bytes);
	assert_int_equal(a->request_id, b->request_id);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->flags, b->flags);
}

void test_frame_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		const struct frame_header before = {1, 2, 3, 4, 5};
		struct frame_header h = before;
		int outcome = frame_header_decode(table[i].bytes, &h);
		if (outcome != table[i].outcome)
			fail_msg("%s: outcome %d, not %d", table[i].what, outcome, table[i].outcome);
		assert_same(&h, outcome == FRAME_E_KIND || outcome == FRAME_E_FLAGS ? &before : &table[i].header);
	}
}

void test_frame_round_trip(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		uint8_t bytes[FRAME_HEADER_BYTES];
		if (table[i].outcome != 0)
			continue;
		frame_header_encode(&table[i].header, bytes);
		assert_memory_equal(bytes, table[i].bytes, sizeof bytes);
	}
}

/* Each of the 128 bits of a header is read: none can be flipped unnoticed. */
void test_frame_every_bit(void **state)
{
	(void)state;
	const uint8_t good[FRAME_HEADER_BYTES] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 7, 0, 2, 0, 0};
	struct frame_header reference;
	assert_int_equal(frame_header_decode(good, &reference), 0);
	for (int bit = 0; bit < 8 * FRAME_HEADER_BYTES; bit++) {
		uint8_t bytes[FRAME_HEADER_BYTES];
		struct frame_header h = reference;
		memcpy(bytes, good, sizeof bytes);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (frame_header_decode(bytes, &h) == 0)
			assert_memory_not_equal(&h, &reference, sizeof h);
	}
}
