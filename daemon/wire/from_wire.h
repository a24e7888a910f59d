/* SPDX-License-Identifier: MIT */
/* daemon/wire/from_wire.h: what a message names, as the daemon's own types, checked. `field` is a static string: the
 * message's field, for the error. */
#pragma once

#include "daemon/state/learned.h"
#include "lib/image/image.h"
#include "proto/bnnd.pb-c.h"

/* A new name, by the rule (lib/base/label.h), in NFC. */
int label_new_from(const ProtobufCBinaryData *data, const char *field, struct label *ret_label, struct err *err);
/* The name of a class that may be known: the label of the one it names in this snapshot, else like label_new_from. */
int label_from(const struct snapshot *snapshot, const ProtobufCBinaryData *data, const char *field,
	struct label *ret_label, struct err *err);

/* STORE_KEY_BYTES, or none when that is allowed: *ret_has tells. */
int key_from(const ProtobufCBinaryData *data, bool may_lack, bool *ret_has, uint8_t ret_key[STORE_KEY_BYTES],
	struct err *err);

/* NULL: everything is allowed. Without a key. */
struct change_guard guard_from(const Bnnd__Guard *guard);

/* NULL: the payload is a whole file. The bytes are borrowed. */
struct image_picture picture_from(const Bnnd__Picture *picture, const uint8_t *payload, size_t payload_bytes);
