/* SPDX-License-Identifier: MIT */
/* Pages fit into a body whatever their rows hold, and walking them shows each row once; the table of operations has
 * every operation of the grammar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/ops/ops.h"
#include "daemon/state/hint.h"
#include "daemon/wire/scratch.h"
#include "daemon/wire/views.h"
#include "proto/limits.h"

enum { N_CLASSES = 1000, N_HISTORY = 120 };

static const struct class_lesson of_none = {.samples = 3, .n = 1, .samples_all = 3};
static struct class_entry entries[N_CLASSES], none = {.newest = &of_none};
static const struct class_entry *by_label[N_CLASSES];
static struct class_lesson lessons_of_one[250];
static struct taught_class taught[LESSON_MAX_CLASSES];
static struct change_entry changes[N_HISTORY];
static struct history_item items[N_HISTORY];

/* Labels as long as they may be, in order. */
static void long_label(struct label *label, int i)
{
	memset(label->bytes, 'x', LABEL_MAX_BYTES);
	char number[16];
	snprintf(number, sizeof number, "%08d", i);
	memcpy(label->bytes, number, 8);
	label->len_bytes = LABEL_MAX_BYTES;
}

static struct snapshot big_snapshot(void)
{
	for (int i = 0; i < 250; i++)
		lessons_of_one[i] = (struct class_lesson){.seq = (uint64_t)i + 1,
			.time_ms = 1000 + i,
			.samples = 2,
			.n = (uint32_t)i + 1,
			.samples_all = 2 * ((uint64_t)i + 1),
			.first_ms = 1000,
			.before = i ? &lessons_of_one[i - 1] : NULL};
	for (int i = 0; i < N_CLASSES; i++) {
		entries[i] = (struct class_entry){.id = (uint32_t)i + 1, .newest = &lessons_of_one[249]};
		long_label(&entries[i].label, i);
		entries[i].key = entries[i].label;
		by_label[i] = &entries[i];
	}
	for (int i = 0; i < LESSON_MAX_CLASSES; i++) {
		taught[i] = (struct taught_class){.id = UINT32_MAX, .samples = UINT32_MAX, .is_new = true};
		long_label(&taught[i].label, i);
	}
	for (int i = 0; i < N_HISTORY; i++) {
		bool full = i % 3 == 0;
		changes[i] = (struct change_entry){.seq = 5000 - (uint64_t)i,
			.time_ms = INT64_MAX,
			.op = full ? STORE_OP_LEARN : STORE_OP_FORGET,
			.n_classes = full ? LESSON_MAX_CLASSES : 1,
			.classes = taught};
		items[i] = (struct history_item){.entry = &changes[i], .undone = i % 2};
	}
	return (struct snapshot){.seq = 5000,
		.n_classes = N_CLASSES,
		.classes = by_label,
		.by_key = by_label,
		.n_history = N_HISTORY,
		.history = items,
		.writable = true};
}

static size_t body_of_history(Bnnd__HistoryList *list)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	reply.result_case = BNND__REPLY__RESULT_HISTORY_LIST;
	reply.history_list = list;
	return bnnd__reply__get_packed_size(&reply);
}

static void test_history_pages(void **state)
{
	(void)state;
	struct snapshot snapshot = big_snapshot();
	uint64_t before = 0;
	size_t seen = 0, pages = 0;
	for (bool more = true; more; pages++) {
		struct scratch scratch = SCRATCH_INIT;
		Bnnd__HistoryList list;
		views_history(&snapshot, before, 0, &scratch, &list);
		assert_true(list.n_entries > 0);
		assert_true(body_of_history(&list) <= FRAME_BODY_MAX_BYTES);
		for (size_t i = 0; i < list.n_entries; i++, seen++) {
			assert_int_equal(list.entries[i]->seq, 5000 - seen);
			assert_int_equal(list.entries[i]->undone, seen % 2);
			assert_int_equal(list.entries[i]->n_classes, seen % 3 ? 0 : LESSON_MAX_CLASSES);
			assert_int_equal(list.entries[i]->label.len, seen % 3 ? LABEL_MAX_BYTES : 0);
			before = list.entries[i]->seq;
		}
		more = list.more;
		scratch_free(&scratch);
	}
	assert_int_equal(seen, N_HISTORY);
	assert_true(pages > 10);
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__HistoryList list;
	views_history(&snapshot, 4990, 2, &scratch, &list);
	assert_int_equal(list.n_entries, 2);
	assert_int_equal(list.entries[0]->seq, 4989);
	assert_true(list.more);
	views_history(&snapshot, 1, 5, &scratch, &list);
	assert_int_equal(list.n_entries, 0);
	assert_false(list.more);
	scratch_free(&scratch);
}

static void test_class_pages(void **state)
{
	(void)state;
	for (int negatives = 0; negatives < 2; negatives++) {
		struct snapshot snapshot = big_snapshot();
		snapshot.none = negatives ? &none : NULL;
		struct label after = {.len_bytes = 0};
		size_t seen = 0;
		for (bool more = true; more;) {
			struct scratch scratch = SCRATCH_INIT;
			Bnnd__ClassList list;
			views_classes(&snapshot, &after, 70, &scratch, &list);
			assert_true(list.n_classes > 0 && list.n_classes <= 70);
			assert_int_equal(list.total, N_CLASSES + negatives);
			assert_true(bnnd__class_list__get_packed_size(&list) < FRAME_BODY_MAX_BYTES);
			for (size_t i = 0; i < list.n_classes; i++, seen++) {
				const Bnnd__Class *row = list.classes[i];
				bool is_none = negatives && seen == 0;
				assert_int_equal(row->none, is_none);
				assert_int_equal(row->label.len, is_none ? 0 : LABEL_MAX_BYTES);
				if (is_none)
					continue;
				assert_memory_equal(row->label.data, entries[seen - (size_t)negatives].label.bytes,
					LABEL_MAX_BYTES);
				assert_int_equal(row->first_ms, 1000);
				assert_int_equal(row->last_ms, 1249);
				after = label_of_bytes(row->label.data, row->label.len);
			}
			more = list.more;
			scratch_free(&scratch);
		}
		assert_int_equal(seen, N_CLASSES + negatives);
	}
}

static void test_one_class(void **state)
{
	(void)state;
	struct snapshot snapshot = big_snapshot();
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__ClassInfo info;
	struct err err;
	const struct label other = {.bytes = "y", .len_bytes = 1}, negatives = {.len_bytes = 0};
	assert_int_equal(views_class(&snapshot, &entries[7].label, &scratch, &info, &err), 0);
	assert_int_equal(info.n_lessons, PAGE_MAX);
	assert_int_equal(info.lessons[0]->seq, 250);
	assert_int_equal(info.lessons[PAGE_MAX - 1]->seq, 151);
	assert_int_equal(views_class(&snapshot, &other, &scratch, &info, &err), -ERR_NOT_FOUND);
	assert_int_equal(views_class(&snapshot, &negatives, &scratch, &info, &err), -ERR_NOT_FOUND);
	snapshot.none = &none;
	assert_int_equal(views_class(&snapshot, &negatives, &scratch, &info, &err), 0);
	assert_true(info.summary->none);
	assert_int_equal(info.summary->samples, 3);
	scratch_free(&scratch);
}

/* Undo of the largest lesson: the reply still fits. */
static void test_the_largest_change_fits(void **state)
{
	(void)state;
	struct snapshot snapshot = big_snapshot();
	struct change_entry entry = *snapshot.history[0].entry, undo = {.seq = 6000, .op = STORE_OP_UNDO};
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Changed changed;
	entry.already_known = 2;
	char hint[HINT_MAX_BYTES] = {0};
	memset(hint, 'h', sizeof hint - 1);
	undo.hint = hint;
	views_changed(&(struct change_outcome){.entry = &undo, .undid = &entry}, &scratch, &changed);
	assert_int_equal(changed.undid->n_classes, LESSON_MAX_CLASSES);
	reply.result_case = BNND__REPLY__RESULT_CHANGED;
	reply.changed = &changed;
	assert_true(bnnd__reply__get_packed_size(&reply) <= FRAME_BODY_MAX_BYTES);
	views_changed(&(struct change_outcome){.entry = &entry, .repeated = true}, &scratch, &changed);
	assert_int_equal(changed.already_known, 2);
	assert_true(changed.repeated);
	reply.changed = &changed;
	assert_true(bnnd__reply__get_packed_size(&reply) <= FRAME_BODY_MAX_BYTES);
	scratch_free(&scratch);
}

/* Every operation of the oneof is in the table once, and what changes something needs more than the role use. */
static void test_the_table_is_complete(void **state)
{
	(void)state;
	const ProtobufCMessageDescriptor *request = &bnnd__request__descriptor;
	size_t in_grammar = 0, in_table = 0;
	for (unsigned i = 0; i < request->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &request->fields[i];
		if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
			continue;
		in_grammar++;
		const struct op *op = op_find((Bnnd__Request__OpCase)field->id);
		assert_non_null(op);
		assert_string_equal(op->name, field->name);
	}
	for (const struct op *op; (op = op_at(in_table)); in_table++) {
		assert_true(op->role >= ROLE_USE && op->role <= ROLE_ADMIN);
		if (op->lane == OP_LEARN || op->lane == OP_ADD)
			assert_true(op->role >= ROLE_TEACH);
		assert_int_equal(op->picture, op->lane == OP_INFER || op->lane == OP_ADD);
	}
	assert_int_equal(in_grammar, in_table);
	assert_null(op_find(BNND__REQUEST__OP__NOT_SET));
	assert_null(op_find((Bnnd__Request__OpCase)999));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_history_pages),
		cmocka_unit_test(test_class_pages),
		cmocka_unit_test(test_one_class),
		cmocka_unit_test(test_the_largest_change_fits),
		cmocka_unit_test(test_the_table_is_complete),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
