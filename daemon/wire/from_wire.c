/* SPDX-License-Identifier: MIT */
/* daemon/wire/from_wire.c: see from_wire.h. */
#include "daemon/wire/from_wire.h"

#include <string.h>

#include "proto/limits.h"

_Static_assert((int)LESSON_KEY_BYTES == STORE_KEY_BYTES, "what the wire brings is what is stored");

int label_new_from(const ProtobufCBinaryData *data, const char *field, struct label *ret_label, struct err *err)
{
	int r = label_check(data->data, data->len, ret_label, err);
	if (r != 0)
		err_set_field(err, field);
	return r;
}

int label_from(const struct snapshot *snapshot, const ProtobufCBinaryData *data, const char *field,
	struct label *ret_label, struct err *err)
{
	struct label given = label_of_bytes(data->data, data->len);
	if (data->len > 0 && data->len <= LABEL_MAX_BYTES &&
		snapshot_find_exact(snapshot, &given)) { /* whatever the rule of its time was */
		*ret_label = given;
		return 0;
	}
	int r = label_new_from(data, field, &given, err);
	if (r != 0)
		return r;
	const struct class_entry *class = snapshot_find(snapshot, &given);
	*ret_label = class ? class->label : given;
	return 0;
}

int key_from(const ProtobufCBinaryData *data, bool may_lack, bool *ret_has, uint8_t ret_key[STORE_KEY_BYTES],
	struct err *err)
{
	if (data->len != STORE_KEY_BYTES && !(may_lack && data->len == 0))
		return err_set_about(err, ERR_INVALID_ARGUMENT,
			(struct err_about){.field = "key", .limit = STORE_KEY_BYTES},
			"the key has %zu bytes: it must have %d", data->len, STORE_KEY_BYTES);
	*ret_has = data->len > 0;
	if (*ret_has)
		memcpy(ret_key, data->data, STORE_KEY_BYTES);
	return 0;
}

struct change_guard guard_from(const Bnnd__Guard *guard)
{
	return (struct change_guard){.has_if_seq = guard != NULL, .if_seq = guard ? guard->if_seq : 0};
}

struct image_picture picture_from(const Bnnd__Picture *from, const uint8_t *payload, size_t payload_bytes)
{
	static const uint8_t nothing[1];
	struct image_picture picture = {
		.source = IMAGE_ENCODED, .bytes = payload ? payload : nothing, .len_bytes = payload_bytes};
	if (!from)
		return picture;
	picture.rotate = from->rotate;
	if (from->raw) {
		picture.source = IMAGE_RAW;
		picture.raw_width = from->raw->width;
		picture.raw_height = from->raw->height;
		picture.raw_channels = from->raw->channels;
	}
	if (from->roi) {
		picture.has_roi = true;
		picture.roi[0] = from->roi->x;
		picture.roi[1] = from->roi->y;
		picture.roi[2] = from->roi->width;
		picture.roi[3] = from->roi->height;
	}
	return picture;
}
