/* SPDX-License-Identifier: MIT */
/* daemon/state/record.c: see record.h. A stored result is the daemon's own writing, but is read as if it were a stranger's. */
#include "daemon/state/record.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/state/change_entry.h"
#include "daemon/state/hint.h"
#include "daemon/state/record.pb-c.h"
#include "lib/base/memory.h"
#include "lib/base/text.h"
#include "proto/limits.h"

void record_encode(const struct change_entry *entry, uint8_t **ret_bytes, size_t *ret_len_bytes)
{
	Bnndrecord__Record record = BNNDRECORD__RECORD__INIT;
	Bnndrecord__Taught *taught = mem_zalloc(entry->n_classes, sizeof *taught);
	Bnndrecord__Taught **pointers = mem_zalloc(entry->n_classes, sizeof *pointers);
	for (size_t i = 0; i < entry->n_classes; i++) {
		bnndrecord__taught__init(&taught[i]);
		taught[i].class_id = entry->classes[i].id;
		taught[i].samples = entry->classes[i].samples;
		taught[i].is_new = entry->classes[i].is_new;
		pointers[i] = &taught[i];
	}
	record.n_classes = entry->n_classes;
	record.classes = pointers;
	record.already_known = entry->already_known;
	record.us = entry->us;
	record.hint = entry->hint ? entry->hint : (char *)"";
	*ret_bytes = mem_zalloc(1, bnndrecord__record__get_packed_size(&record));
	*ret_len_bytes = bnndrecord__record__pack(&record, *ret_bytes);
	free(pointers);
	free(taught);
}

/* NULL: it cannot be read, or names more classes than any lesson could. */
static Bnndrecord__Record *record_unpack(const struct store_entry *stored)
{
	Bnndrecord__Record *record = bnndrecord__record__unpack(NULL, stored->result_bytes, stored->result);
	if (record && record->n_classes > LESSON_MAX_CLASSES) {
		bnndrecord__record__free_unpacked(record, NULL);
		return NULL;
	}
	return record;
}

struct change_entry *record_decode(const struct store_entry *stored, struct label_wants *wants)
{
	Bnndrecord__Record *record = record_unpack(stored);
	struct change_entry *entry = change_entry_new(record ? record->n_classes : 0);
	entry->seq = stored->seq;
	entry->time_ms = stored->time_ms;
	entry->op = stored->op;
	entry->restored_seq = stored->restored;
	for (size_t i = 0; i < entry->n_classes; i++) {
		struct taught_class *class = &entry->classes[i];
		class->id = record->classes[i]->class_id;
		class->samples = record->classes[i]->samples;
		class->is_new = record->classes[i]->is_new;
		/* A rename names the class as it was before, a lesson as it was with it. */
		uint64_t at = stored->op == STORE_OP_RENAME ? stored->seq - 1 : stored->seq;
		if (wants)
			label_want(wants, class->id, at, &class->label);
	}
	if (wants && stored->op == STORE_OP_RENAME && entry->n_classes == 1)
		label_want(wants, entry->classes[0].id, stored->seq, &entry->new_label);
	if (record) {
		entry->already_known = record->already_known;
		entry->us = record->us;
		if (record->hint[0]) {
			entry->hint = mem_zalloc(HINT_MAX_BYTES, 1);
			strncpy(entry->hint, record->hint, HINT_MAX_BYTES - 1);
			text_make_printable(entry->hint);
		}
		bnndrecord__record__free_unpacked(record, NULL);
	}
	return entry;
}
