/* SPDX-License-Identifier: MIT */
/* Bodies from strangers: whatever they are, decoding stays inside the arena and ends. */
#include "tests/unit/proto/tests.h"

#include "lib/base/random.h"
#include "proto/bnnd.pb-c.h"
#include "proto/decode.h"
#include "proto/limits.h"

/* One byte more than the arena has, with a mark in it: nothing may write there. */
static _Alignas(16) uint8_t memory[DECODE_ARENA_BYTES + 16];
static struct decode_arena arena;
enum { MARK = 0xA5 };

static void begin(size_t capacity)
{
	memset(memory + capacity, MARK, 16);
	decode_arena_init(&arena, memory, capacity);
}

static int decode(const ProtobufCMessageDescriptor *type, const uint8_t *body, size_t n, struct err *err)
{
	ProtobufCMessage *message = NULL;
	int r = decode_body(&arena, type, body, n, &message, err);
	assert_true((r == 0) == (message != NULL));
	assert_true(arena.used_bytes <= arena.capacity_bytes);
	for (int i = 0; i < 16; i++)
		assert_int_equal(memory[arena.capacity_bytes + (size_t)i], MARK);
	return r;
}

/* A reply whose list has n empty classes: two bytes each on the wire, a struct each in memory. */
static size_t many_classes(uint8_t *body, size_t n)
{
	size_t inner = 2 * n, at = 0;
	body[at++] = (17 << 3 & 0x7F) | 0x80 | 2; /* field 17, length-delimited */
	body[at++] = 17 >> 4;
	body[at++] = (uint8_t)((inner & 0x7F) | 0x80);
	body[at++] = (uint8_t)((inner >> 7 & 0x7F) | 0x80);
	body[at++] = (uint8_t)(inner >> 14);
	for (size_t i = 0; i < n; i++) {
		body[at++] = 1 << 3 | 2;
		body[at++] = 0;
	}
	return at;
}

void test_decode_cap(void **state)
{
	(void)state;
	static uint8_t body[FRAME_BODY_MAX_BYTES];
	struct err err;
	begin(DECODE_ARENA_BYTES);
	assert_int_equal(decode(&bnnd__reply__descriptor, body, many_classes(body, 1000), &err), 0);
	assert_true(arena.used_bytes > 1000 * sizeof(Bnnd__Class));
	/* 30,000 of them are 60 KB of body and megabytes of memory. */
	assert_int_equal(
		decode(&bnnd__reply__descriptor, body, many_classes(body, 30000), &err), -ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(err.limit, DECODE_ARENA_BYTES);
	/* The arena is usable again. */
	assert_int_equal(decode(&bnnd__reply__descriptor, body, many_classes(body, 1000), &err), 0);
	assert_int_equal(decode(&bnnd__request__descriptor, NULL, 0, &err), 0);
	/* Every smaller arena: refused or decoded, never past its end. */
	size_t n = many_classes(body, 20), refused = 0;
	for (size_t capacity = 0; capacity < 8192; capacity += 16) {
		begin(capacity);
		refused += decode(&bnnd__reply__descriptor, body, n, &err) == -ERR_RESOURCE_EXHAUSTED;
	}
	assert_true(refused > 100 && refused < 512);
}

/* The same sub-message again and again is merged each time; that must be paid for, too. */
void test_decode_merge(void **state)
{
	(void)state;
	static uint8_t body[FRAME_BODY_MAX_BYTES];
	struct err err;
	size_t at = 0;
	while (at + 132 < sizeof body) {
		/* Request.infer (11) { picture (1) { raw (1) { } } }, padded by an unknown field of 120 bytes */
		const uint8_t head[] = {11 << 3 | 2, 126, 1 << 3 | 2, 2, 1 << 3 | 2, 0, 15 << 3 | 2, 120};
		memcpy(body + at, head, sizeof head);
		memset(body + at + sizeof head, 'x', 120);
		at += sizeof head + 120;
	}
	begin(DECODE_ARENA_BYTES);
	int r = decode(&bnnd__request__descriptor, body, at, &err);
	assert_true(r == 0 || r == -ERR_RESOURCE_EXHAUSTED);
}

void test_decode_hostile(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		size_t n;
		uint8_t bytes[24];
	} table[] = {
		{"a length past the end", 3, {0x5A, 0x7F, 0x00}},
		{"a length of 2^63", 11, {0x5A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}},
		{"a number without end", 12, {0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}},
		{"a cut number", 2, {0x08, 0x80}},
		{"field 0", 2, {0x00, 0x00}},
		{"a group", 2, {0x0B, 0x0C}},
		{"wire type 7", 2, {0x0F, 0x00}},
		{"text", 5, {'h', 'e', 'l', 'l', 'o'}},
		{"infer as a number", 2, {11 << 3, 1}},
		{"a cut fixed64", 4, {0x5A, 0x02, 0x09, 0x00}},
	};
	struct err err;
	begin(DECODE_ARENA_BYTES);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		int r = decode(&bnnd__request__descriptor, table[i].bytes, table[i].n, &err);
		if (r != -ERR_INVALID_ARGUMENT)
			fail_msg("%s: %d", table[i].what, r);
		assert_non_null(strstr(err.text, "Request"));
	}
	/* Unknown fields are no error: a later minor version may have them. */
	static const uint8_t unknown[] = {0xF8, 0x7F, 0x01, 0x08, 0x05};
	ProtobufCMessage *message;
	assert_int_equal(decode_body(&arena, &bnnd__request__descriptor, unknown, sizeof unknown, &message, &err), 0);
	assert_int_equal(((const Bnnd__Request *)message)->timeout_ms, 5);
}

/* Seeded random bodies and damaged good ones, under all four body types. */
void test_decode_mutations(void **state)
{
	(void)state;
	static const ProtobufCMessageDescriptor *const types[] = {&bnnd__hello__descriptor,
		&bnnd__hello_reply__descriptor, &bnnd__request__descriptor, &bnnd__reply__descriptor};
	uint8_t good[512], body[512];
	uint64_t random = 20;
	size_t good_bytes = many_classes(good, 100), accepted = 0;
	struct err err;
	begin(32 << 10);
	for (int round = 0; round < 20000; round++) {
		size_t n = good_bytes;
		memcpy(body, good, n);
		if (round % 2) {
			n = splitmix64_below(&random, 64);
			for (size_t i = 0; i < n; i++)
				body[i] = (uint8_t)splitmix64_next(&random);
		} else {
			for (uint32_t k = splitmix64_below(&random, 8) + 1; k > 0; k--)
				body[splitmix64_below(&random, (uint32_t)n)] = (uint8_t)splitmix64_next(&random);
		}
		accepted += decode(types[round / 2 % 4], body, n, &err) == 0;
	}
	assert_true(accepted > 100 && accepted < 19900);
}
