/* SPDX-License-Identifier: MIT */
/* daemon/wire/views.c: see views.h.
 *
 * Invariant: a page fits into one body, whatever its rows hold: rows are measured as they are added. */
#include "daemon/wire/views.h"

#include <string.h>

#include "proto/limits.h"

enum { PAGE_MAX_BYTES = FRAME_BODY_MAX_BYTES - 4096 /* for the reply around it */, ROW_OVERHEAD_BYTES = 4 };

static ProtobufCBinaryData bytes_of(const struct label *label)
{
	return (ProtobufCBinaryData){.len = label->len_bytes, .data = (uint8_t *)label->bytes};
}

Bnnd__Model *views_model(const struct bnn_info *info, struct scratch *scratch)
{
	static const char *const fits[] = {
		[BNN_FIT_COVER] = "cover", [BNN_FIT_CONTAIN] = "contain", [BNN_FIT_STRETCH] = "stretch"};
	Bnnd__Model *model = scratch_alloc(scratch, 1, sizeof *model);
	Bnnd__InputFormat *input = scratch_alloc(scratch, 1, sizeof *input);
	bnnd__model__init(model);
	bnnd__input_format__init(input);
	input->width = info->width;
	input->height = info->height;
	input->fit = (char *)fits[info->fit];
	input->image_rules = info->image_rules;
	model->name = (char *)info->name;
	model->feature_id = (ProtobufCBinaryData){.len = BNN_ID_BYTES, .data = (uint8_t *)info->feature_id};
	model->features = info->n_features;
	model->input = input;
	return model;
}

void views_status(const struct health *health, struct scratch *scratch, Bnnd__DaemonStatus *s)
{
	const struct snapshot *snapshot = health->published->now;
	size_t n_reasons = 0;
	bnnd__daemon_status__init(s);
	while (health_reason(health, n_reasons))
		n_reasons++;
	s->state = (char *)health_word(health);
	s->reasons = scratch_alloc(scratch, n_reasons, sizeof *s->reasons);
	for (; s->n_reasons < n_reasons; s->n_reasons++)
		s->reasons[s->n_reasons] = scratch_text(scratch, health_reason(health, s->n_reasons));
	s->version = (char *)BNND_VERSION;
	s->classes = (uint32_t)snapshot->n_classes;
	s->seq = snapshot->seq;
	s->negatives = snapshot->none ? (uint32_t)class_samples(snapshot->none) : 0;
}

static void class_view(const struct class_entry *entry, Bnnd__Class *ret)
{
	bnnd__class__init(ret);
	ret->label = bytes_of(&entry->label);
	ret->none = entry->label.len_bytes == 0;
	ret->samples = class_samples(entry);
	ret->lessons = (uint32_t)class_lessons(entry);
	if (entry->newest) {
		ret->first_ms = entry->newest->first_ms;
		ret->last_ms = entry->newest->time_ms;
	}
}

static size_t page_rows(uint32_t limit)
{
	return limit == 0 || limit > PAGE_MAX ? PAGE_MAX : limit;
}

void views_classes(const struct snapshot *snapshot, const struct label *after, uint32_t limit, struct scratch *scratch,
	Bnnd__ClassList *list)
{
	size_t negatives = snapshot->none != NULL; /* a row in front of all labels */
	size_t first = after->len_bytes ? negatives + snapshot_first_after(snapshot, after) : 0;
	size_t left = negatives + snapshot->n_classes - first, used = 0;
	bnnd__class_list__init(list);
	list->seq = snapshot->seq;
	list->total = (uint32_t)(negatives + snapshot->n_classes);
	list->classes = scratch_alloc(scratch, page_rows(limit), sizeof *list->classes);
	for (; list->n_classes < left && list->n_classes < page_rows(limit); list->n_classes++) {
		Bnnd__Class *row = scratch_alloc(scratch, 1, sizeof *row);
		size_t at = first + list->n_classes;
		class_view(at < negatives ? snapshot->none : snapshot->classes[at - negatives], row);
		used += bnnd__class__get_packed_size(row) + ROW_OVERHEAD_BYTES;
		if (used > PAGE_MAX_BYTES)
			break;
		list->classes[list->n_classes] = row;
	}
	list->more = list->n_classes < left;
}

int views_class(const struct snapshot *snapshot, const struct label *label, struct scratch *scratch,
	Bnnd__ClassInfo *info, struct err *err)
{
	const struct class_entry *entry = snapshot_find(snapshot, label);
	if (!entry) {
		return err_set_about(err, ERR_NOT_FOUND, (struct err_about){.field = "label"}, "%s",
			label->len_bytes ? "no class has this label"
					 : "no negatives were taught: there is no class none");
	}
	bnnd__class_info__init(info);
	info->summary = scratch_alloc(scratch, 1, sizeof *info->summary);
	class_view(entry, info->summary);
	const struct class_lesson *from = entry->newest;
	info->lessons = scratch_alloc(scratch, PAGE_MAX, sizeof *info->lessons);
	for (; from && info->n_lessons < PAGE_MAX; from = from->before) {
		Bnnd__ClassLesson *row = scratch_alloc(scratch, 1, sizeof *row);
		bnnd__class_lesson__init(row);
		row->seq = from->seq;
		row->time_ms = from->time_ms;
		row->samples = from->samples;
		info->lessons[info->n_lessons++] = row;
	}
	return 0;
}

void views_answer(const struct learn_answer *a, size_t n_top, const struct snapshot *snapshot, struct scratch *scratch,
	Bnnd__Answer *answer)
{
	bnnd__answer__init(answer);
	answer->known = a->known;
	answer->unknown_score = a->unknown_score;
	answer->seq = snapshot->seq;
	answer->n_top = a->n_top < n_top ? a->n_top : n_top;
	answer->top = scratch_alloc(scratch, answer->n_top, sizeof *answer->top);
	Bnnd__Scored *rows = scratch_alloc(scratch, answer->n_top, sizeof *rows);
	for (size_t i = 0; i < answer->n_top; i++) {
		const struct class_entry *class = snapshot_by_id(snapshot, a->top[i].id);
		bnnd__scored__init(&rows[i]);
		rows[i].none = a->top[i].id == CLASS_ID_NONE;
		if (class && !rows[i].none)
			rows[i].label = bytes_of(&class->label);
		rows[i].score = a->top[i].score;
		rows[i].cosine = a->top[i].cosine;
		answer->top[i] = &rows[i];
	}
	if (a->n_top > 0)
		answer->margin = a->top[0].score - (a->n_top > 1 ? a->top[1].score : 0);
	if (a->known) {
		answer->reason = BNND__REASON__REASON_KNOWN;
		answer->label = rows[0].label;
	} else if (a->passes) {
		answer->reason = BNND__REASON__REASON_NONE;
	} else {
		answer->reason = BNND__REASON__REASON_UNKNOWN;
	}
}

static Bnnd__TaughtClass **taught_view(const struct change_entry *entry, struct scratch *scratch)
{
	Bnnd__TaughtClass **list = scratch_alloc(scratch, entry->n_classes, sizeof *list);
	Bnnd__TaughtClass *rows = scratch_alloc(scratch, entry->n_classes, sizeof *rows);
	for (size_t i = 0; i < entry->n_classes; i++) {
		bnnd__taught_class__init(&rows[i]);
		rows[i].label = bytes_of(&entry->classes[i].label);
		rows[i].none = entry->classes[i].label.len_bytes == 0;
		rows[i].samples = entry->classes[i].samples;
		rows[i].is_new = entry->classes[i].is_new;
		list[i] = &rows[i];
	}
	return list;
}

/* forget and rename speak of one class, learn of those it taught. */
static bool names_one_class(const struct change_entry *entry)
{
	return (entry->op == STORE_OP_FORGET || entry->op == STORE_OP_RENAME) && entry->n_classes == 1;
}

static Bnnd__HistoryEntry *entry_view(const struct change_entry *entry, bool undone, struct scratch *scratch)
{
	Bnnd__HistoryEntry *view = scratch_alloc(scratch, 1, sizeof *view);
	bnnd__history_entry__init(view);
	view->seq = entry->seq;
	view->time_ms = entry->time_ms;
	view->op = (char *)store_op_name(entry->op);
	view->undone = undone;
	view->restored_seq = entry->restored_seq;
	view->new_label = bytes_of(&entry->new_label);
	if (names_one_class(entry)) {
		view->label = bytes_of(&entry->classes[0].label);
		view->none = entry->classes[0].label.len_bytes == 0;
	} else {
		view->classes = taught_view(entry, scratch);
		view->n_classes = entry->n_classes;
	}
	return view;
}

void views_history(const struct snapshot *snapshot, uint64_t before_seq, uint32_t limit, struct scratch *scratch,
	Bnnd__HistoryList *list)
{
	size_t first = 0, used = 0;
	bnnd__history_list__init(list);
	list->seq = snapshot->seq;
	while (before_seq && first < snapshot->n_history && snapshot->history[first].entry->seq >= before_seq)
		first++;
	size_t left = snapshot->n_history - first;
	list->entries = scratch_alloc(scratch, page_rows(limit), sizeof *list->entries);
	for (; list->n_entries < left && list->n_entries < page_rows(limit); list->n_entries++) {
		const struct history_item *item = &snapshot->history[first + list->n_entries];
		Bnnd__HistoryEntry *row = entry_view(item->entry, item->undone, scratch);
		used += bnnd__history_entry__get_packed_size(row) + ROW_OVERHEAD_BYTES;
		if (used > PAGE_MAX_BYTES && list->n_entries > 0)
			break;
		list->entries[list->n_entries] = row;
	}
	list->more = list->n_entries < left;
}

void views_changed(const struct change_outcome *outcome, struct scratch *scratch, Bnnd__Changed *changed)
{
	const struct change_entry *entry = outcome->entry;
	bnnd__changed__init(changed);
	changed->seq = entry->seq;
	changed->already_known = entry->already_known;
	changed->hint = scratch_text(scratch, entry->hint ? entry->hint : "");
	changed->us = entry->us;
	changed->op = (char *)store_op_name(entry->op);
	changed->repeated = outcome->repeated;
	changed->undone = outcome->undone;
	changed->restored_seq = entry->restored_seq;
	if (outcome->undid)
		changed->undid = entry_view(outcome->undid, false, scratch);
	if (names_one_class(entry)) {
		changed->label = bytes_of(&entry->classes[0].label);
		changed->none = entry->classes[0].label.len_bytes == 0;
		changed->new_label = bytes_of(&entry->new_label);
	} else {
		changed->classes = taught_view(entry, scratch);
		changed->n_classes = entry->n_classes;
	}
}
