/* SPDX-License-Identifier: MIT */
/* client/lib/result.c: see result.h. Nothing here trusts a count of the daemon's beyond the memory that it sent. */
#include "client/lib/result.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "proto/limits.h"

static void put_text(char *dest, size_t dest_bytes, const char *text)
{
	text_escape(dest, dest_bytes, (const uint8_t *)text, strlen(text));
}

static void put_label(char dest[BNND_LABEL_MAX_BYTES + 1], ProtobufCBinaryData label)
{
	size_t n = label.len <= BNND_LABEL_MAX_BYTES ? label.len : BNND_LABEL_MAX_BYTES;
	if (n > 0)
		memcpy(dest, label.data, n);
	dest[n] = '\0';
}

static void put_model(struct bnnd_model *dest, const Bnnd__Model *model)
{
	*dest = (struct bnnd_model){0};
	if (!model)
		return;
	put_text(dest->name, sizeof dest->name, model->name);
	if (model->feature_id.len == sizeof dest->feature_id)
		memcpy(dest->feature_id, model->feature_id.data, sizeof dest->feature_id);
	dest->features = model->features;
	if (model->input) {
		dest->width = model->input->width;
		dest->height = model->input->height;
		put_text(dest->fit, sizeof dest->fit, model->input->fit);
	}
}

struct bnnd_times result_times(const Bnnd__Times *us)
{
	return us ? (struct bnnd_times){us->queue, us->image, us->backbone, us->head, us->total}
		  : (struct bnnd_times){0};
}

void result_hello(const Bnnd__HelloReply *hello, struct bnnd_hello *ret_hello)
{
	static const Bnnd__Limits none = BNND__LIMITS__INIT;
	static const char *const roles[] = {[BNND__ROLE__ROLE_NONE] = "none",
		[BNND__ROLE__ROLE_USE] = "use",
		[BNND__ROLE__ROLE_TEACH] = "teach",
		[BNND__ROLE__ROLE_ADMIN] = "admin"};
	const Bnnd__Limits *limits = hello->limits ? hello->limits : &none;
	*ret_hello = (struct bnnd_hello){
		.major = hello->major,
		.minor = hello->minor,
		.seq = hello->seq,
		.payload_max_bytes = limits->payload_bytes ? limits->payload_bytes : FRAME_PAYLOAD_MAX_BYTES,
		.in_flight = limits->in_flight ? limits->in_flight : 1,
		.lesson_max_pictures = limits->lesson_pictures ? limits->lesson_pictures : LESSON_MAX_PICTURES,
		.lesson_max_classes = limits->lesson_classes ? limits->lesson_classes : LESSON_MAX_CLASSES,
		.lesson_idle_ms = limits->lesson_idle_ms,
		.max_classes = limits->classes ? limits->classes : CLASSES_MAX,
	};
	if (ret_hello->payload_max_bytes > FRAME_PAYLOAD_MAX_BYTES)
		ret_hello->payload_max_bytes = FRAME_PAYLOAD_MAX_BYTES;
	put_text(ret_hello->software, sizeof ret_hello->software, hello->software);
	put_model(&ret_hello->model, hello->model);
	unsigned role = (unsigned)hello->role;
	put_text(ret_hello->role, sizeof ret_hello->role,
		roles[role < sizeof roles / sizeof *roles ? role : BNND__ROLE__ROLE_NONE]);
}

int result_answer(const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes, void *ret)
{
	(void)payload;
	(void)payload_bytes;
	const Bnnd__Answer *from = reply->answer;
	struct bnnd_answer *answer = ret;
	*answer = (struct bnnd_answer){
		.known = from->known,
		.reason = from->known                                 ? BNND_KNOWN
			  : from->reason == BNND__REASON__REASON_NONE ? BNND_NONE
								      : BNND_UNKNOWN,
		.unknown_score = from->unknown_score,
		.margin = from->margin,
		.seq = from->seq,
		.us = result_times(from->us),
	};
	put_label(answer->label, from->label);
	for (size_t i = 0; i < from->n_top && i < BNND_TOP_MAX; i++) {
		struct bnnd_scored *scored = &answer->top[answer->n_top++];
		put_label(scored->label, from->top[i]->label);
		scored->none = from->top[i]->none;
		scored->score = from->top[i]->score;
		scored->cosine = from->top[i]->cosine;
	}
	return 0;
}

int result_embedding(const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes, void *ret)
{
	(void)payload;
	(void)payload_bytes;
	const Bnnd__Embedding *from = reply->embedding;
	struct bnnd_embedding *embedding = calloc(1, sizeof *embedding + from->features.len);
	if (!embedding)
		return -1;
	embedding->n = from->features.len;
	embedding->us = result_times(from->us);
	if (from->features.len > 0)
		memcpy(embedding + 1, from->features.data, from->features.len);
	embedding->features = (const int8_t *)(embedding + 1);
	*(struct bnnd_embedding **)ret = embedding;
	return 0;
}

int result_look(const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes, void *ret)
{
	struct bnnd_look *look = calloc(1, sizeof *look + payload_bytes);
	if (!look)
		return -1;
	look->width = reply->looked->width;
	look->height = reply->looked->height;
	look->png_bytes = payload_bytes;
	if (payload_bytes > 0)
		memcpy(look + 1, payload, payload_bytes);
	look->png = (const uint8_t *)(look + 1);
	*(struct bnnd_look **)ret = look;
	return 0;
}

/* ---- changes --------------------------------------------------------------------------------------------------- */

static void put_taught(struct bnnd_taught *dest, Bnnd__TaughtClass *const *classes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		put_label(dest[i].label, classes[i]->label);
		dest[i].none = classes[i]->none;
		dest[i].samples = classes[i]->samples;
		dest[i].is_new = classes[i]->is_new;
	}
}

static struct bnnd_history_entry entry_of(const Bnnd__HistoryEntry *from, const struct bnnd_taught *classes)
{
	struct bnnd_history_entry entry = {
		.seq = from->seq,
		.time_ms = from->time_ms,
		.undone = from->undone,
		.n_classes = from->n_classes,
		.classes = classes,
		.none = from->none,
		.restored_seq = from->restored_seq,
	};
	put_text(entry.op, sizeof entry.op, from->op);
	put_label(entry.label, from->label);
	put_label(entry.new_label, from->new_label);
	return entry;
}

static int change_of(const Bnnd__Changed *from, struct bnnd_change **ret_change)
{
	struct block {
		struct bnnd_change change;
		struct bnnd_history_entry undid;
		struct bnnd_taught taught[];
	};
	size_t n_undid = from->undid ? from->undid->n_classes : 0;
	struct block *block = calloc(1, sizeof *block + (from->n_classes + n_undid) * sizeof block->taught[0]);
	if (!block)
		return -1;
	put_taught(block->taught, from->classes, from->n_classes);
	struct bnnd_change *change = &block->change;
	*change = (struct bnnd_change){
		.seq = from->seq,
		.n_classes = from->n_classes,
		.classes = block->taught,
		.already_known = from->already_known,
		.us = from->us,
		.repeated = from->repeated,
		.undone = from->undone,
		.none = from->none,
		.restored_seq = from->restored_seq,
	};
	put_text(change->op, sizeof change->op, from->op);
	put_text(change->hint, sizeof change->hint, from->hint);
	put_label(change->label, from->label);
	put_label(change->new_label, from->new_label);
	if (from->undid) {
		put_taught(block->taught + from->n_classes, from->undid->classes, n_undid);
		block->undid = entry_of(from->undid, block->taught + from->n_classes);
		change->undid = &block->undid;
	}
	*ret_change = change;
	return 0;
}

int result_change(const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes, void *ret)
{
	(void)payload;
	(void)payload_bytes;
	return change_of(reply->changed, ret);
}

int result_begun(const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes, void *ret)
{
	(void)payload;
	(void)payload_bytes;
	struct result_begun *begun = ret;
	*begun = (struct result_begun){.lesson = reply->begun->lesson};
	return reply->begun->first ? change_of(reply->begun->first, &begun->first) : 0;
}

/* ---- lists ----------------------------------------------------------------------------------------------------- */

static struct bnnd_class class_of(const Bnnd__Class *from)
{
	struct bnnd_class class = {
		.none = from->none,
		.samples = from->samples,
		.lessons = from->lessons,
		.first_ms = from->first_ms,
		.last_ms = from->last_ms,
	};
	put_label(class.label, from->label);
	return class;
}

int result_class_page(const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes, void *ret)
{
	(void)payload;
	(void)payload_bytes;
	const Bnnd__ClassList *from = reply->class_list;
	struct result_classes *pages = ret;
	size_t had = pages->list ? pages->list->n : 0;
	struct bnnd_class_list *list =
		realloc(pages->list, sizeof *list + (had + from->n_classes) * sizeof(struct bnnd_class));
	if (!list)
		return -1;
	struct bnnd_class *rows = (struct bnnd_class *)(list + 1);
	for (size_t i = 0; i < from->n_classes; i++)
		rows[had + i] = class_of(from->classes[i]);
	*list = (struct bnnd_class_list){.n = had + from->n_classes, .classes = rows, .seq = from->seq};
	pages->list = list;
	pages->n_page = from->n_classes;
	pages->more = from->more;
	return 0;
}

int result_class_info(const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes, void *ret)
{
	(void)payload;
	(void)payload_bytes;
	const Bnnd__ClassInfo *from = reply->class_info;
	static const Bnnd__Class nothing = BNND__CLASS__INIT;
	struct bnnd_class_info *info = calloc(1, sizeof *info + from->n_lessons * sizeof(struct bnnd_class_lesson));
	if (!info)
		return -1;
	struct bnnd_class_lesson *lessons = (struct bnnd_class_lesson *)(info + 1);
	for (size_t i = 0; i < from->n_lessons; i++)
		lessons[i] = (struct bnnd_class_lesson){
			from->lessons[i]->seq, from->lessons[i]->time_ms, from->lessons[i]->samples};
	info->summary = class_of(from->summary ? from->summary : &nothing);
	info->n_lessons = from->n_lessons;
	info->lessons = lessons;
	*(struct bnnd_class_info **)ret = info;
	return 0;
}

int result_history_page(const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes, void *ret)
{
	(void)payload;
	(void)payload_bytes;
	const Bnnd__HistoryList *from = reply->history_list;
	struct result_history *pages = ret;
	size_t n_taught = 0;
	for (size_t i = 0; i < from->n_entries; i++)
		n_taught += from->entries[i]->n_classes;
	struct bnnd_history_entry *entries =
		realloc(pages->entries, (pages->n + from->n_entries + 1) * sizeof *entries);
	if (!entries)
		return -1;
	pages->entries = entries;
	struct bnnd_taught *taught = realloc(pages->taught, (pages->n_taught + n_taught + 1) * sizeof *taught);
	if (!taught)
		return -1;
	pages->taught = taught;
	for (size_t i = 0; i < from->n_entries; i++) {
		const Bnnd__HistoryEntry *entry = from->entries[i];
		put_taught(taught + pages->n_taught, entry->classes, entry->n_classes);
		pages->n_taught += entry->n_classes;
		entries[pages->n++] = entry_of(entry, NULL);
	}
	pages->n_page = from->n_entries;
	pages->more = from->more;
	return 0;
}

struct bnnd_history *result_history_join(struct result_history *pages)
{
	size_t entries_bytes = pages->n * sizeof *pages->entries;
	size_t taught_bytes = pages->n_taught * sizeof *pages->taught;
	struct bnnd_history *history = malloc(sizeof *history + entries_bytes + taught_bytes);
	if (history) {
		struct bnnd_history_entry *entries = (struct bnnd_history_entry *)(history + 1);
		struct bnnd_taught *taught = (struct bnnd_taught *)(entries + pages->n);
		if (entries_bytes > 0)
			memcpy(entries, pages->entries, entries_bytes);
		if (taught_bytes > 0)
			memcpy(taught, pages->taught, taught_bytes);
		for (size_t i = 0; i < pages->n; i++) {
			entries[i].classes = taught;
			taught += entries[i].n_classes;
		}
		*history = (struct bnnd_history){.n = pages->n, .entries = entries};
	}
	free(pages->entries);
	free(pages->taught);
	*pages = (struct result_history){0};
	return history;
}

int result_status(const Bnnd__Reply *reply, const uint8_t *payload, size_t payload_bytes, void *ret)
{
	(void)payload;
	(void)payload_bytes;
	const Bnnd__DaemonStatus *from = reply->daemon_status;
	enum { REASON_BYTES = 512 };
	struct bnnd_status *status =
		calloc(1, sizeof *status + from->n_reasons * (sizeof(const char *) + REASON_BYTES));
	if (!status)
		return -1;
	const char **reasons = (const char **)(status + 1);
	char *texts = (char *)(reasons + from->n_reasons);
	for (size_t i = 0; i < from->n_reasons; i++) {
		put_text(texts + i * REASON_BYTES, REASON_BYTES, from->reasons[i]);
		reasons[i] = texts + i * REASON_BYTES;
	}
	status->n_reasons = from->n_reasons;
	status->reasons = reasons;
	status->classes = from->classes;
	status->negatives = from->negatives;
	status->seq = from->seq;
	status->uptime_ms = from->uptime_ms;
	status->infer_threads = from->infer_threads;
	status->memory_bound_bytes = from->memory_bound_bytes;
	status->refuse = from->refuse;
	put_text(status->state, sizeof status->state, from->state);
	put_text(status->version, sizeof status->version, from->version);
	put_text(status->kernels, sizeof status->kernels, from->kernels);
	put_text(status->widths, sizeof status->widths, from->widths);
	put_text(status->preset, sizeof status->preset, from->preset);
	put_text(status->method, sizeof status->method, from->method);
	put_text(status->no_metric, sizeof status->no_metric, from->no_metric);
	status->scene = from->scene;
	put_text(status->no_scene, sizeof status->no_scene, from->no_scene);
	put_text(status->waiting, sizeof status->waiting, from->waiting);
	put_model(&status->model, from->model);
	*(struct bnnd_status **)ret = status;
	return 0;
}
