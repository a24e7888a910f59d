/* SPDX-License-Identifier: MIT */
/* daemon/state/record.h: a change's stored result <-> struct change_entry. Labels are looked up, never stored. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/state/labels.h"
#include "daemon/state/snapshot.h"
#include "lib/store/store.h"

/* *ret_bytes belongs to the caller (free). */
void record_encode(const struct change_entry *entry, uint8_t **ret_bytes, size_t *ret_len_bytes);
/* A new entry (change_entry_unref). A result that cannot be read gives an entry without classes: history never fails. Its
 * labels are wanted and not there before labels_find; wants NULL: they stay away. */
struct change_entry *record_decode(const struct store_entry *stored, struct label_wants *wants);
