/* SPDX-License-Identifier: MIT */
/* The golden frames of tests/vectors/wire, made by another protobuf: they are read, mean what they should, and are
 * written again to the byte. */
#include "tests/unit/proto/tests.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>

#include "proto/bnnd.pb-c.h"
#include "proto/decode.h"
#include "proto/frame.h"
#include "proto/limits.h"

enum { VECTOR_MAX_BYTES = 4096, PATH_BYTES = 4096 };

struct vector {
	size_t n;
	uint8_t bytes[VECTOR_MAX_BYTES];
	struct frame_header header;
	const uint8_t *body, *payload;
};

static _Alignas(16) uint8_t arena_memory[DECODE_ARENA_BYTES];
static struct decode_arena arena;

static void vectors_path(char *ret_path, const char *name)
{
	const char *source = getenv("BNND_SOURCE_DIR");
	assert_non_null(source);
	(void)snprintf(ret_path, PATH_BYTES, "%s/tests/vectors/wire/%s", source, name);
}

static void vector_read(const char *name, struct vector *ret_vector)
{
	char path[PATH_BYTES], line[1024];
	vectors_path(path, name);
	FILE *file = fopen(path, "r");
	if (!file)
		fail_msg("%s is missing", path);
	struct vector *v = ret_vector;
	v->n = 0;
	while (fgets(line, sizeof line, file)) {
		bool comment = line[0] == '#';
		/* A comment may be longer than the buffer: its rest is skipped. */
		while (comment && !strchr(line, '\n') && fgets(line, sizeof line, file))
			;
		for (const char *p = line; !comment && *p; p++) {
			unsigned byte;
			if (isspace((unsigned char)*p))
				continue;
			assert_int_equal(sscanf(p++, "%2x", &byte), 1);
			assert_true(v->n < VECTOR_MAX_BYTES);
			v->bytes[v->n++] = (uint8_t)byte;
		}
	}
	(void)fclose(file);
	assert_true(v->n >= FRAME_HEADER_BYTES);
	assert_int_equal(frame_header_decode(v->bytes, &v->header), 0);
	assert_int_equal(v->n, FRAME_HEADER_BYTES + v->header.body_bytes + v->header.payload_bytes);
	v->body = v->bytes + FRAME_HEADER_BYTES;
	v->payload = v->body + v->header.body_bytes;
}

static const ProtobufCMessageDescriptor *body_type(const char *name, const struct frame_header *h)
{
	switch (h->kind) {
	case FRAME_HELLO:
		return strncmp(name, "hello-reply", 11) == 0 ? &bnnd__hello_reply__descriptor
							     : &bnnd__hello__descriptor;
	case FRAME_REQUEST:
		return &bnnd__request__descriptor;
	case FRAME_REPLY:
		return &bnnd__reply__descriptor;
	default:
		return NULL;
	}
}

static const ProtobufCMessage *vector_decode(const char *name, const struct vector *v)
{
	const ProtobufCMessageDescriptor *type = body_type(name, &v->header);
	ProtobufCMessage *message;
	struct err err;
	if (!type)
		return NULL;
	decode_arena_init(&arena, arena_memory, sizeof arena_memory);
	if (decode_body(&arena, type, v->body, v->header.body_bytes, &message, &err) != 0)
		fail_msg("%s: %s", name, err.text);
	return message;
}

/* Calls fn for every vector; returns how many there are. */
static size_t each_vector(void (*fn)(const char *name, const struct vector *v))
{
	static struct vector v;
	char path[PATH_BYTES];
	vectors_path(path, "");
	DIR *dir = opendir(path);
	assert_non_null(dir);
	size_t n = 0;
	const struct dirent *entry;
	while ((entry = readdir(dir))) {
		const char *dot = strrchr(entry->d_name, '.');
		if (!dot || strcmp(dot, ".hex") != 0)
			continue;
		vector_read(entry->d_name, &v);
		fn(entry->d_name, &v);
		n++;
	}
	(void)closedir(dir);
	return n;
}

static void check_golden(const char *name, const struct vector *v)
{
	uint8_t again[VECTOR_MAX_BYTES];
	const ProtobufCMessage *message = vector_decode(name, v);
	size_t body_bytes = 0;
	if (message) {
		assert_true(protobuf_c_message_get_packed_size(message) <= sizeof again - FRAME_HEADER_BYTES);
		body_bytes = protobuf_c_message_pack(message, again + FRAME_HEADER_BYTES);
		assert_int_equal(message->n_unknown_fields, 0);
	}
	if (body_bytes != v->header.body_bytes)
		fail_msg("%s: the body is %zu bytes again, not %u", name, body_bytes, v->header.body_bytes);
	frame_header_encode(&v->header, again);
	assert_memory_equal(again, v->bytes, FRAME_HEADER_BYTES + body_bytes);
}

void test_wire_golden(void **state)
{
	(void)state;
	assert_true(each_vector(check_golden) >= 41);
}

/* ---- nothing is left out --------------------------------------------------------------------------------------- */

enum { SEEN_MAX = 256 };
static const ProtobufCFieldDescriptor *seen[SEEN_MAX];
static size_t n_seen;

static bool field_is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const uint8_t *at = (const uint8_t *)message;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)(at + field->quantifier_offset) > 0;
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)(at + field->quantifier_offset) == field->id;
	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
	case PROTOBUF_C_TYPE_STRING: {
		const char *p = *(char *const *)(at + field->offset);
		return p && (field->type == PROTOBUF_C_TYPE_MESSAGE || p[0]);
	}
	case PROTOBUF_C_TYPE_BYTES:
		return ((const ProtobufCBinaryData *)(at + field->offset))->len > 0;
	case PROTOBUF_C_TYPE_DOUBLE:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_INT64:
		return *(const uint64_t *)(at + field->offset) != 0;
	default:
		return *(const uint32_t *)(at + field->offset) != 0;
	}
}

static void see(const ProtobufCMessage *message)
{
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		const uint8_t *at = (const uint8_t *)message + field->offset;
		if (!field_is_set(message, field))
			continue;
		size_t k = 0;
		while (k < n_seen && seen[k] != field)
			k++;
		if (k == n_seen) {
			assert_true(n_seen < SEEN_MAX);
			seen[n_seen++] = field;
		}
		if (field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			for (size_t m = 0; m < *(const size_t *)((const uint8_t *)message + field->quantifier_offset);
				m++)
				see((*(ProtobufCMessage * *const *)at)[m]);
		else
			see(*(ProtobufCMessage *const *)at);
	}
}

static void see_vector(const char *name, const struct vector *v)
{
	const ProtobufCMessage *message = vector_decode(name, v);
	if (message)
		see(message);
}

static void assert_seen(const ProtobufCMessageDescriptor *type, int depth)
{
	assert_true(depth < 8); /* no recursion in the grammar */
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		size_t k = 0;
		while (k < n_seen && seen[k] != field)
			k++;
		/* Protocol 1.0 is said as minor 0: that field cannot be seen set yet. */
		if (k == n_seen && strcmp(field->name, "minor") != 0)
			fail_msg("no golden frame sets %s.%s", type->short_name, field->name);
		if (field->type == PROTOBUF_C_TYPE_MESSAGE)
			assert_seen(field->descriptor, depth + 1);
	}
}

void test_wire_covers_everything(void **state)
{
	(void)state;
	each_vector(see_vector);
	assert_seen(&bnnd__hello__descriptor, 0);
	assert_seen(&bnnd__hello_reply__descriptor, 0);
	assert_seen(&bnnd__request__descriptor, 0);
	assert_seen(&bnnd__reply__descriptor, 0);
}

/* ---- what they mean -------------------------------------------------------------------------------------------- */

void test_wire_values(void **state)
{
	(void)state;
	static struct vector v;
	static const uint8_t key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

	vector_read("request-infer-raw.hex", &v);
	assert_int_equal(v.header.request_id, 2);
	assert_int_equal(v.header.payload_bytes, 12);
	assert_int_equal(v.payload[0], 0x10);
	assert_int_equal(v.payload[11], 0x1B);
	const Bnnd__Request *request = (const Bnnd__Request *)vector_decode("request-infer-raw.hex", &v);
	assert_int_equal(request->timeout_ms, 2000);
	assert_int_equal(request->op_case, BNND__REQUEST__OP_INFER);
	assert_int_equal(request->infer->picture->raw->channels, 3);
	assert_null(request->infer->picture->roi);
	assert_null(request->infer->refuse);

	vector_read("request-infer-roi.hex", &v);
	request = (const Bnnd__Request *)vector_decode("request-infer-roi.hex", &v);
	assert_null(request->infer->picture->raw);
	assert_int_equal(request->infer->picture->rotate, 90);
	assert_true(request->infer->picture->roi->x == 0.25 && request->infer->picture->roi->height == 0.875);
	assert_true(request->infer->refuse->share == 0.01);

	vector_read("request-infer-never.hex", &v);
	request = (const Bnnd__Request *)vector_decode("request-infer-never.hex", &v);
	assert_true(request->infer->refuse->never && request->infer->refuse->share == 0);

	/* A guard on change 0 is a guard: presence is by the sub-message. */
	vector_read("request-forget.hex", &v);
	request = (const Bnnd__Request *)vector_decode("request-forget.hex", &v);
	assert_non_null(request->forget->guard);
	assert_int_equal(request->forget->guard->if_seq, 0);
	assert_int_equal(request->forget->what_case, BNND__FORGET__WHAT_LABEL);
	assert_int_equal(request->forget->key.len, sizeof key);
	assert_memory_equal(request->forget->key.data, key, sizeof key);

	vector_read("reply-embedding.hex", &v);
	const Bnnd__Reply *reply = (const Bnnd__Reply *)vector_decode("reply-embedding.hex", &v);
	static const int8_t q[] = {1, -1, 127, -127, 0};
	assert_int_equal(reply->embedding->features.len, sizeof q);
	assert_memory_equal(reply->embedding->features.data, q, sizeof q);

	vector_read("reply-error.hex", &v);
	reply = (const Bnnd__Reply *)vector_decode("reply-error.hex", &v);
	assert_int_equal(reply->status->code, 8);
	assert_int_equal(reply->status->retry_after_ms, 50);
	assert_string_equal(reply->status->field, "queue");
	assert_int_equal(reply->result_case, BNND__REPLY__RESULT__NOT_SET);
}
