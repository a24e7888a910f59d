/* SPDX-License-Identifier: MIT */
/* One request, one reply: what is sent, and what becomes of what comes back. */
#include <poll.h>

#include "tests/unit/client/tests.h"

static const struct bnnd_picture picture = {.data = "\xFF\xD8picture", .len_bytes = 9};
static struct fake fake;

static void checks_infer(struct fake *f)
{
	fake_hello(f);
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_INFER);
	const Bnnd__Infer *infer = f->request->infer;
	FAKE_CHECK(f, infer->picture && !infer->picture->raw && !infer->picture->roi && !infer->refuse);
	FAKE_CHECK(f, f->header.payload_bytes == 9 && memcmp(f->payload, picture.data, 9) == 0);
	fake_answer(f, id, "mug");
	id = fake_expect(f, BNND__REQUEST__OP_INFER);
	infer = f->request->infer;
	FAKE_CHECK(f, infer->top == 2 && infer->refuse && infer->refuse->share == 0.01);
	FAKE_CHECK(f, infer->picture->raw && infer->picture->raw->width == 3 && infer->picture->raw->channels == 1);
	FAKE_CHECK(f, infer->picture->rotate == 90 && infer->picture->roi && infer->picture->roi->height == 0.5);
	fake_answer(f, id, NULL);
	id = fake_expect(f, BNND__REQUEST__OP_INFER);
	FAKE_CHECK(f,
		f->request->infer->refuse && f->request->infer->refuse->never && f->request->infer->refuse->share == 0);
	fake_answer(f, id, "mug");
	(void)fake_read(f);
}

void test_infer(void **state)
{
	(void)state;
	struct bnnd_answer answer;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, checks_infer, NULL, 5000);
	assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, NULL), 0);
	assert_true(answer.known && answer.reason == BNND_KNOWN);
	assert_string_equal(answer.label, "mug");
	assert_int_equal(answer.n_top, 2);
	assert_string_equal(answer.top[0].label, "mug");
	assert_true(answer.top[0].score == 0.75 && answer.margin == 0.625 && answer.unknown_score == 0.125);
	assert_true(answer.top[1].none && answer.top[1].label[0] == '\0');
	struct bnnd_picture raw = {.data = "abcdef",
		.len_bytes = 6,
		.raw_width = 3,
		.raw_height = 2,
		.raw_channels = 1,
		.rotate = 90,
		.has_roi = true,
		.roi_width = 1,
		.roi_height = 0.5};
	struct bnnd_infer_options options = {.top = 2, .refuse = 0.01};
	assert_int_equal(bnnd_infer(conn, &raw, &options, &answer, NULL), 0);
	assert_true(!answer.known && answer.reason == BNND_UNKNOWN && answer.n_top == 0 && answer.label[0] == '\0');
	options.refuse = BNND_REFUSE_NEVER;
	assert_int_equal(bnnd_infer(conn, &picture, &options, &answer, NULL), 0);
	assert_true(answer.known);
	bnnd_close(conn);
	fake_stop(&fake);
}

static void refuses(struct fake *f)
{
	fake_hello(f);
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_INFER), BNND_INVALID_ARGUMENT, "bad\x1b[2J\xFFpicture", 0);
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_STATUS), 99, "", 0);
	/* Another result than what was asked for. */
	fake_answer(f, fake_expect(f, BNND__REQUEST__OP_STATUS), "mug");
	Bnnd__Reply nothing = BNND__REPLY__INIT;
	fake_reply(f, fake_expect(f, BNND__REQUEST__OP_STATUS), &nothing);
	(void)fake_read(f);
}

void test_errors(void **state)
{
	(void)state;
	struct bnnd_answer answer = {.seq = 77};
	struct bnnd_status *status = NULL;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, refuses, NULL, 5000);
	assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, &err), -BNND_INVALID_ARGUMENT);
	assert_int_equal(answer.seq, 77); /* untouched */
	assert_int_equal(err.origin, BNND_ORIGIN_DAEMON);
	assert_string_equal(err.message, "bad\\x1B[2J\\xFFpicture");
	assert_string_equal(err.field, "thing");
	assert_int_equal(err.limit, 7);
	assert_int_equal(bnnd_status(conn, &status, &err), -BNND_UNKNOWN_ERROR);
	assert_true(err.message[0] != '\0');
	assert_int_equal(bnnd_status(conn, &status, &err), -BNND_INTERNAL);
	assert_int_equal(bnnd_status(conn, &status, NULL), -BNND_INTERNAL);
	assert_null(status);
	bnnd_close(conn);
	fake_stop(&fake);
}

static void busy_twice(struct fake *f)
{
	fake_hello(f);
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_INFER), BNND_RESOURCE_EXHAUSTED, "busy", 5);
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_INFER), BNND_RESOURCE_EXHAUSTED, "busy", 5);
	fake_answer(f, fake_expect(f, BNND__REQUEST__OP_INFER), "mug");
	/* A limit is not busy: no advice, no second try. */
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_INFER), BNND_RESOURCE_EXHAUSTED, "too large", 0);
	/* Advice beyond the timeout. */
	fake_error(f, fake_expect(f, BNND__REQUEST__OP_INFER), BNND_RESOURCE_EXHAUSTED, "busy", 60000);
	FAKE_CHECK(f, !fake_read(f));
}

void test_busy(void **state)
{
	(void)state;
	struct bnnd_answer answer;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, busy_twice, NULL, 5000);
	assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, &err), 0);
	assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, &err), -BNND_RESOURCE_EXHAUSTED);
	assert_string_equal(err.message, "too large");
	assert_int_equal(bnnd_infer(conn, &picture, NULL, &answer, &err), -BNND_RESOURCE_EXHAUSTED);
	assert_int_equal(err.retry_after_ms, 60000);
	bnnd_close(conn);
	fake_stop(&fake);
}

static void hears_nothing(struct fake *f)
{
	fake_hello(f);
	FAKE_CHECK(f, !fake_read(f));
}

void test_refused_here(void **state)
{
	(void)state;
	struct bnnd_answer answer;
	struct bnnd_change *change;
	struct bnnd_class_info *info;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, hears_nothing, NULL, 5000);
	struct bnnd_picture large = {.data = "", .len_bytes = FRAME_PAYLOAD_MAX_BYTES + 1};
	assert_int_equal(bnnd_infer(conn, &large, NULL, &answer, &err), -BNND_INVALID_ARGUMENT);
	assert_int_equal(err.limit, FRAME_PAYLOAD_MAX_BYTES);
	struct bnnd_picture raw = {.data = "abc", .len_bytes = 3, .raw_width = 2, .raw_height = 1, .raw_channels = 3};
	assert_int_equal(bnnd_infer(conn, &raw, NULL, &answer, &err), -BNND_INVALID_ARGUMENT);
	raw.raw_width = raw.raw_height = raw.raw_channels = UINT32_MAX; /* a product that overflows */
	assert_int_equal(bnnd_infer(conn, &raw, NULL, &answer, &err), -BNND_INVALID_ARGUMENT);
	raw.raw_width = 0;
	assert_int_equal(bnnd_infer(conn, &raw, NULL, &answer, &err), -BNND_INVALID_ARGUMENT);
	assert_int_equal(bnnd_rename(conn, "mug", " cup", NULL, &change, &err), -BNND_INVALID_ARGUMENT);
	assert_string_equal(err.field, "new_label");
	assert_int_equal(bnnd_rename(conn, NULL, "cup", NULL, &change, &err), -BNND_INVALID_ARGUMENT);
	assert_int_equal(bnnd_forget(conn, "a\nb", NULL, &change, &err), -BNND_INVALID_ARGUMENT);
	assert_int_equal(bnnd_class_info(conn, "", &info, &err), -BNND_INVALID_ARGUMENT);
	assert_int_equal(err.origin, BNND_ORIGIN_CALL);
	bnnd_close(conn);
	fake_stop(&fake);
}

/* ---- pages ----------------------------------------------------------------------------------------------------- */

static void class_page(struct fake *f, uint32_t id, const char *const *labels, size_t n, int more)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__ClassList list = BNND__CLASS_LIST__INIT;
	Bnnd__Class rows[4], *pointers[4];
	for (size_t i = 0; i < n; i++) {
		bnnd__class__init(&rows[i]);
		rows[i].label = (ProtobufCBinaryData){strlen(labels[i]), (uint8_t *)(uintptr_t)labels[i]};
		rows[i].none = labels[i][0] == '\0';
		rows[i].samples = 10 + i;
		pointers[i] = &rows[i];
	}
	list.n_classes = n;
	list.classes = pointers;
	list.more = more;
	list.seq = 9;
	reply.result_case = BNND__REPLY__RESULT_CLASS_LIST;
	reply.class_list = &list;
	fake_reply(f, id, &reply);
}

static void history_page(struct fake *f, uint32_t id, uint64_t first, size_t n, int more)
{
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__HistoryList list = BNND__HISTORY_LIST__INIT;
	Bnnd__HistoryEntry rows[4], *pointers[4];
	Bnnd__TaughtClass taught[2] = {BNND__TAUGHT_CLASS__INIT, BNND__TAUGHT_CLASS__INIT};
	Bnnd__TaughtClass *classes[2] = {&taught[0], &taught[1]};
	taught[0].label = (ProtobufCBinaryData){1, (uint8_t *)"a"};
	taught[1].none = 1;
	for (size_t i = 0; i < n; i++) {
		bnnd__history_entry__init(&rows[i]);
		rows[i].seq = first - i;
		rows[i].op = (char *)"learn";
		rows[i].n_classes = (first - i) % 3; /* 0, 1 or 2 */
		rows[i].classes = classes;
		pointers[i] = &rows[i];
	}
	list.n_entries = n;
	list.entries = pointers;
	list.more = more;
	reply.result_case = BNND__REPLY__RESULT_HISTORY_LIST;
	reply.history_list = &list;
	fake_reply(f, id, &reply);
}

static void pages(struct fake *f)
{
	static const char *const first[] = {"", "a", "b"}, *const second[] = {"c"};
	fake_hello(f);
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_CLASSES);
	FAKE_CHECK(f, f->request->classes->after.len == 0);
	class_page(f, id, first, 3, 1);
	id = fake_expect(f, BNND__REQUEST__OP_CLASSES);
	FAKE_CHECK(f, f->request->classes->after.len == 1 && f->request->classes->after.data[0] == 'b');
	class_page(f, id, second, 1, 0);
	class_page(f, fake_expect(f, BNND__REQUEST__OP_CLASSES), NULL, 0, 0);
	/* A daemon that never comes to an end is not followed for ever. */
	class_page(f, fake_expect(f, BNND__REQUEST__OP_CLASSES), second, 1, 1);
	class_page(f, fake_expect(f, BNND__REQUEST__OP_CLASSES), first, 3, 1);

	history_page(f, fake_expect(f, BNND__REQUEST__OP_HISTORY), 12, 4, 1);
	id = fake_expect(f, BNND__REQUEST__OP_HISTORY);
	FAKE_CHECK(f, f->request->history->before_seq == 9);
	history_page(f, id, 8, 2, 0);
	id = fake_expect(f, BNND__REQUEST__OP_HISTORY);
	FAKE_CHECK(f, f->request->history->limit == 3);
	history_page(f, id, 12, 4, 1);
	/* Nor here. */
	history_page(f, fake_expect(f, BNND__REQUEST__OP_HISTORY), 12, 1, 1);
	history_page(f, fake_expect(f, BNND__REQUEST__OP_HISTORY), 12, 1, 1);
	(void)fake_read(f);
}

void test_pages(void **state)
{
	(void)state;
	struct bnnd_class_list *list;
	struct bnnd_history *history;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, pages, NULL, 5000);
	assert_int_equal(bnnd_classes(conn, &list, NULL), 0);
	assert_int_equal(list->n, 4);
	assert_true(list->classes[0].none);
	assert_string_equal(list->classes[2].label, "b");
	assert_string_equal(list->classes[3].label, "c");
	assert_int_equal(list->classes[2].samples, 12);
	assert_int_equal(list->seq, 9);
	bnnd_free(list);
	assert_int_equal(bnnd_classes(conn, &list, NULL), 0);
	assert_int_equal(list->n, 0);
	bnnd_free(list);
	assert_int_equal(bnnd_classes(conn, &list, NULL), 0);
	assert_int_equal(list->n, 4);
	bnnd_free(list);
	assert_int_equal(bnnd_history(conn, 0, &history, NULL), 0);
	assert_int_equal(history->n, 6);
	for (size_t i = 0; i < history->n; i++) {
		const struct bnnd_history_entry *entry = &history->entries[i];
		assert_int_equal(entry->seq, 12 - i);
		assert_int_equal(entry->n_classes, (12 - i) % 3);
		if (entry->n_classes > 0)
			assert_string_equal(entry->classes[0].label, "a");
		if (entry->n_classes > 1)
			assert_true(entry->classes[1].none);
	}
	bnnd_free(history);
	assert_int_equal(bnnd_history(conn, 3, &history, NULL), 0);
	assert_int_equal(history->n, 3);
	bnnd_free(history);
	assert_int_equal(bnnd_history(conn, 0, &history, NULL), 0);
	bnnd_free(history);
	bnnd_close(conn);
	fake_stop(&fake);
}

/* Ordered pages, one after the other: slowly (ctx NULL), or with as much in each as a reply can hold. */
static void endless_pages(struct fake *f)
{
	enum { ROWS = 1000, PAGES_MAX = 20000 };
	static Bnnd__TaughtClass taught = BNND__TAUGHT_CLASS__INIT, *many_taught[ROWS];
	static Bnnd__Class class = BNND__CLASS__INIT, *many_classes[ROWS];
	const size_t n = f->ctx ? ROWS : 1;
	char label[16];
	Bnnd__Class last = BNND__CLASS__INIT;
	for (size_t i = 0; i < ROWS; i++) {
		many_taught[i] = &taught;
		many_classes[i] = &class;
	}
	fake_hello(f);
	for (int i = 0; i < PAGES_MAX && fake_read(f) && f->request; i++) {
		Bnnd__Reply reply = BNND__REPLY__INIT;
		Bnnd__HistoryList history = BNND__HISTORY_LIST__INIT;
		Bnnd__HistoryEntry entry = BNND__HISTORY_ENTRY__INIT, *entries[1] = {&entry};
		Bnnd__ClassList list = BNND__CLASS_LIST__INIT;
		if (f->request->op_case == BNND__REQUEST__OP_HISTORY) {
			entry.seq = 1000000 - (uint64_t)i;
			entry.n_classes = n;
			entry.classes = many_taught;
			history.n_entries = 1;
			history.entries = entries;
			history.more = 1;
			reply.result_case = BNND__REPLY__RESULT_HISTORY_LIST;
			reply.history_list = &history;
		} else {
			snprintf(label, sizeof label, "%08d", i);
			last.label = (ProtobufCBinaryData){strlen(label), (uint8_t *)label};
			many_classes[n - 1] = &last;
			list.n_classes = n;
			list.classes = many_classes;
			list.more = 1;
			reply.result_case = BNND__REPLY__RESULT_CLASS_LIST;
			reply.class_list = &list;
		}
		if (!f->ctx)
			(void)poll(NULL, 0, 5);
		fake_reply(f, f->header.request_id, &reply);
	}
}

/* Neither time nor memory: the timeout is for the whole call, and what is kept has a limit. */
void test_lists_without_end(void **state)
{
	(void)state;
	struct bnnd_class_list *list;
	struct bnnd_history *history;
	struct bnnd_error err;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, endless_pages, NULL, 5000);
	bnnd_set_timeout(conn, 200);
	assert_int_equal(bnnd_classes(conn, &list, &err), -BNND_DEADLINE_EXCEEDED);
	assert_int_equal(bnnd_history(conn, 0, &history, &err), -BNND_DEADLINE_EXCEEDED);
	bnnd_close(conn);
	fake_stop(&fake);
	fake = (struct fake){0};
	conn = fake_connect(&fake, endless_pages, &fake, 60000);
	assert_int_equal(bnnd_classes(conn, &list, &err), -BNND_RESOURCE_EXHAUSTED);
	assert_true(err.limit > 0);
	assert_null(list);
	assert_int_equal(bnnd_history(conn, 0, &history, &err), -BNND_RESOURCE_EXHAUSTED);
	assert_string_equal(err.message, "the daemon's list has no end: it is larger than 64 MiB");
	assert_null(history);
	bnnd_close(conn);
	fake_stop(&fake);
}

/* ---- other results --------------------------------------------------------------------------------------------- */

static void results(struct fake *f)
{
	static uint8_t features[] = {1, 0xFF, 0x81};
	static const char png[] = "\x89PNG...";
	fake_hello(f);
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Embedding embedding = BNND__EMBEDDING__INIT;
	embedding.features = (ProtobufCBinaryData){sizeof features, features};
	reply.result_case = BNND__REPLY__RESULT_EMBEDDING;
	reply.embedding = &embedding;
	fake_reply(f, fake_expect(f, BNND__REQUEST__OP_EMBED), &reply);

	Bnnd__Looked looked = BNND__LOOKED__INIT;
	looked.width = 96;
	looked.height = 64;
	reply.result_case = BNND__REPLY__RESULT_LOOKED;
	reply.looked = &looked;
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_LOOK);
	fake_frame(f, FRAME_REPLY, id, &reply.base, png, sizeof png - 1);

	Bnnd__DaemonStatus status = BNND__DAEMON_STATUS__INIT;
	char *reasons[] = {(char *)"the disk is full", (char *)"x\ny"};
	status.state = (char *)"degraded";
	status.n_reasons = 2;
	status.reasons = reasons;
	status.classes = 4;
	status.waiting = (char *)"2 classes wait";
	reply.result_case = BNND__REPLY__RESULT_DAEMON_STATUS;
	reply.daemon_status = &status;
	fake_reply(f, fake_expect(f, BNND__REQUEST__OP_STATUS), &reply);

	Bnnd__ClassInfo info = BNND__CLASS_INFO__INIT;
	Bnnd__ClassLesson lesson = BNND__CLASS_LESSON__INIT, *lessons[] = {&lesson};
	lesson.seq = 5;
	lesson.samples = 20;
	info.n_lessons = 1;
	info.lessons = lessons;
	reply.result_case = BNND__REPLY__RESULT_CLASS_INFO;
	reply.class_info = &info; /* without a summary */
	id = fake_expect(f, BNND__REQUEST__OP_CLASS_DETAIL);
	FAKE_CHECK(f, f->request->class_detail->none && f->request->class_detail->label.len == 0);
	fake_reply(f, id, &reply);
	(void)fake_read(f);
}

void test_results(void **state)
{
	(void)state;
	struct bnnd_embedding *embedding;
	struct bnnd_look *look;
	struct bnnd_status *status;
	struct bnnd_class_info *info;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, results, NULL, 5000);
	assert_int_equal(bnnd_embed(conn, &picture, &embedding, NULL), 0);
	assert_int_equal(embedding->n, 3);
	assert_int_equal(embedding->features[1], -1);
	assert_int_equal(embedding->features[2], -127);
	bnnd_free(embedding);
	assert_int_equal(bnnd_look(conn, &picture, &look, NULL), 0);
	assert_int_equal(look->height, 64);
	assert_int_equal(look->png_bytes, 7);
	assert_memory_equal(look->png, "\x89PNG...", 7);
	bnnd_free(look);
	assert_int_equal(bnnd_status(conn, &status, NULL), 0);
	assert_string_equal(status->state, "degraded");
	assert_int_equal(status->n_reasons, 2);
	assert_string_equal(status->reasons[0], "the disk is full");
	assert_string_equal(status->reasons[1], "x\\x0Ay");
	assert_int_equal(status->classes, 4);
	assert_string_equal(status->waiting, "2 classes wait");
	bnnd_free(status);
	assert_int_equal(bnnd_class_info(conn, NULL, &info, NULL), 0);
	assert_int_equal(info->n_lessons, 1);
	assert_int_equal(info->lessons[0].samples, 20);
	bnnd_free(info);
	bnnd_close(conn);
	fake_stop(&fake);
}

static uint8_t keys[4][BNND_KEY_BYTES];

static void take_key(struct fake *f, int i, const ProtobufCBinaryData *key)
{
	FAKE_CHECK(f, key->len == BNND_KEY_BYTES);
	if (key->len == BNND_KEY_BYTES)
		memcpy(keys[i], key->data, key->len);
}

static void changes(struct fake *f)
{
	fake_hello(f);
	uint32_t id = fake_expect(f, BNND__REQUEST__OP_FORGET);
	FAKE_CHECK(f, f->request->forget->what_case == BNND__FORGET__WHAT_NONE && f->request->forget->none);
	FAKE_CHECK(f, !f->request->forget->guard);
	take_key(f, 0, &f->request->forget->key);
	fake_changed(f, id, 4);
	id = fake_expect(f, BNND__REQUEST__OP_RENAME);
	FAKE_CHECK(f, f->request->rename->new_label.len == 3 && f->request->rename->guard);
	FAKE_CHECK(f, f->request->rename->guard && f->request->rename->guard->if_seq == 0);
	take_key(f, 1, &f->request->rename->key);
	fake_changed(f, id, 5);
	id = fake_expect(f, BNND__REQUEST__OP_UNDO);
	take_key(f, 2, &f->request->undo->key);
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Changed changed = BNND__CHANGED__INIT;
	Bnnd__HistoryEntry undid = BNND__HISTORY_ENTRY__INIT;
	Bnnd__TaughtClass taught = BNND__TAUGHT_CLASS__INIT, *classes[] = {&taught};
	taught.samples = 8;
	undid.seq = 5;
	undid.op = (char *)"learn";
	undid.n_classes = 1;
	undid.classes = classes;
	changed.seq = 6;
	changed.op = (char *)"undo";
	changed.undid = &undid;
	changed.restored_seq = 4;
	reply.result_case = BNND__REPLY__RESULT_CHANGED;
	reply.changed = &changed;
	fake_reply(f, id, &reply);
	id = fake_expect(f, BNND__REQUEST__OP_ROLLBACK);
	FAKE_CHECK(f, f->request->rollback->seq == 2);
	take_key(f, 3, &f->request->rollback->key);
	fake_changed(f, id, 7);
	(void)fake_read(f);
}

void test_changes(void **state)
{
	(void)state;
	struct bnnd_change *change;
	fake = (struct fake){0};
	struct bnnd_conn *conn = fake_connect(&fake, changes, NULL, 5000);
	assert_int_equal(bnnd_forget(conn, NULL, NULL, &change, NULL), 0);
	assert_int_equal(change->seq, 4);
	assert_string_equal(change->classes[0].label, "mug");
	bnnd_free(change);
	struct bnnd_change_options options = {.key = (const uint8_t *)"0123456789abcdef", .has_if_seq = true};
	assert_int_equal(bnnd_rename(conn, "mug", "cup", &options, &change, NULL), 0);
	bnnd_free(change);
	assert_int_equal(bnnd_undo(conn, NULL, &change, NULL), 0);
	assert_int_equal(change->restored_seq, 4);
	assert_non_null(change->undid);
	assert_int_equal(change->undid->classes[0].samples, 8);
	bnnd_free(change);
	assert_int_equal(bnnd_rollback(conn, 2, NULL, &change, NULL), 0);
	bnnd_free(change);
	bnnd_close(conn);
	fake_stop(&fake);
	assert_memory_equal(keys[1], "0123456789abcdef", BNND_KEY_BYTES);
	assert_memory_not_equal(keys[0], keys[2], BNND_KEY_BYTES);
	assert_memory_not_equal(keys[2], keys[3], BNND_KEY_BYTES);
}
