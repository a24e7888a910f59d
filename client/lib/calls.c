/* SPDX-License-Identifier: MIT */
/* client/lib/calls.c: one request, one reply: pictures, the learned state, its changes. Arguments that can only be wrong are
 * refused here, with the same code that the daemon would give, before a picture travels. */
#include <stdlib.h>
#include <string.h>

#include "client/lib/conn.h"
#include "client/lib/result.h"
#include "proto/limits.h"

int conn_picture_fill(const struct bnnd_conn *conn, const struct bnnd_picture *picture, struct conn_picture *parts,
	struct bnnd_error *err)
{
	const struct bnnd_picture *p = picture;
	if (p->len_bytes > conn->hello.payload_max_bytes)
		return error_set_about(err, BNND_ORIGIN_CALL, BNND_INVALID_ARGUMENT,
			(struct err_about){.limit = conn->hello.payload_max_bytes},
			"the picture is %zu bytes: the limit is %u", p->len_bytes, conn->hello.payload_max_bytes);
	bool raw = p->raw_width || p->raw_height || p->raw_channels;
	uint64_t want = (uint64_t)p->raw_width * p->raw_height;
	if (raw && (want > FRAME_PAYLOAD_MAX_BYTES || want * p->raw_channels != p->len_bytes))
		return error_set(err, BNND_ORIGIN_CALL, BNND_INVALID_ARGUMENT,
			"%ux%ux%u needs %llu bytes, the picture has %zu", p->raw_width, p->raw_height, p->raw_channels,
			(unsigned long long)want * p->raw_channels, p->len_bytes);
	*parts = (struct conn_picture){BNND__PICTURE__INIT, BNND__RAW_PICTURE__INIT, BNND__ROI__INIT};
	parts->raw.width = p->raw_width;
	parts->raw.height = p->raw_height;
	parts->raw.channels = p->raw_channels;
	parts->roi.x = p->roi_x;
	parts->roi.y = p->roi_y;
	parts->roi.width = p->roi_width;
	parts->roi.height = p->roi_height;
	parts->picture.raw = raw ? &parts->raw : NULL;
	parts->picture.roi = p->has_roi ? &parts->roi : NULL;
	parts->picture.rotate = p->rotate;
	return 0;
}

int bnnd_infer(struct bnnd_conn *conn, const struct bnnd_picture *picture, const struct bnnd_infer_options *options,
	struct bnnd_answer *ret_answer, struct bnnd_error *err)
{
	struct conn_picture parts;
	int r = conn_picture_fill(conn, picture, &parts, err);
	if (r != 0)
		return r;
	Bnnd__Refuse refuse = BNND__REFUSE__INIT;
	Bnnd__Infer infer = BNND__INFER__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	infer.picture = &parts.picture;
	if (options) {
		infer.top = options->top;
		refuse.never = options->refuse == BNND_REFUSE_NEVER;
		refuse.share = refuse.never ? 0 : options->refuse;
		infer.refuse = options->refuse != 0 ? &refuse : NULL;
	}
	request.op_case = BNND__REQUEST__OP_INFER;
	request.infer = &infer;
	return conn_call(conn, &request, picture, BNND__REPLY__RESULT_ANSWER, result_answer, ret_answer, err);
}

int bnnd_embed(struct bnnd_conn *conn, const struct bnnd_picture *picture, struct bnnd_embedding **ret_embedding,
	struct bnnd_error *err)
{
	*ret_embedding = NULL;
	struct conn_picture parts;
	int r = conn_picture_fill(conn, picture, &parts, err);
	if (r != 0)
		return r;
	Bnnd__Embed embed = BNND__EMBED__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	embed.picture = &parts.picture;
	request.op_case = BNND__REQUEST__OP_EMBED;
	request.embed = &embed;
	return conn_call(conn, &request, picture, BNND__REPLY__RESULT_EMBEDDING, result_embedding, ret_embedding, err);
}

int bnnd_look(
	struct bnnd_conn *conn, const struct bnnd_picture *picture, struct bnnd_look **ret_look, struct bnnd_error *err)
{
	*ret_look = NULL;
	struct conn_picture parts;
	int r = conn_picture_fill(conn, picture, &parts, err);
	if (r != 0)
		return r;
	Bnnd__Look look = BNND__LOOK__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	look.picture = &parts.picture;
	request.op_case = BNND__REQUEST__OP_LOOK;
	request.look = &look;
	return conn_call(conn, &request, picture, BNND__REPLY__RESULT_LOOKED, result_look, ret_look, err);
}

int bnnd_status(struct bnnd_conn *conn, struct bnnd_status **ret_status, struct bnnd_error *err)
{
	*ret_status = NULL;
	Bnnd__GetStatus get = BNND__GET_STATUS__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	request.op_case = BNND__REQUEST__OP_STATUS;
	request.status = &get;
	return conn_call(conn, &request, NULL, BNND__REPLY__RESULT_DAEMON_STATUS, result_status, ret_status, err);
}

/* ---- the learned state ----------------------------------------------------------------------------------------- */

/* Pages may go on and on; r: of the page that came. */
static int check_list(int r, size_t list_bytes, struct bnnd_error *err)
{
	if (r != 0 || list_bytes <= CONN_LIST_MAX_BYTES)
		return r;
	return error_set_about(err, BNND_ORIGIN_CALL, BNND_RESOURCE_EXHAUSTED,
		(struct err_about){.limit = CONN_LIST_MAX_BYTES},
		"the daemon's list has no end: it is larger than %d MiB", CONN_LIST_MAX_BYTES >> 20);
}

int bnnd_classes(struct bnnd_conn *conn, struct bnnd_class_list **ret_list, struct bnnd_error *err)
{
	*ret_list = NULL;
	struct result_classes pages = {0};
	char after[BNND_LABEL_MAX_BYTES + 1] = "";
	int64_t deadline = conn_deadline(conn);
	do {
		Bnnd__Classes classes = BNND__CLASSES__INIT;
		Bnnd__Request request = BNND__REQUEST__INIT;
		classes.after = conn_label(after);
		request.op_case = BNND__REQUEST__OP_CLASSES;
		request.classes = &classes;
		int r = conn_call_until(
			conn, &request, NULL, BNND__REPLY__RESULT_CLASS_LIST, result_class_page, &pages, deadline, err);
		r = check_list(r, pages.list ? pages.list->n * sizeof *pages.list->classes : 0, err);
		if (r != 0) {
			free(pages.list);
			return r;
		}
		const char *last = pages.n_page > 0 ? pages.list->classes[pages.list->n - 1].label : "";
		if (strcmp(last, after) <= 0)
			break; /* not in order: asking on would never end */
		memcpy(after, last, sizeof after);
	} while (pages.more);
	*ret_list = pages.list;
	return 0;
}

int bnnd_class_info(
	struct bnnd_conn *conn, const char *label, struct bnnd_class_info **ret_info, struct bnnd_error *err)
{
	*ret_info = NULL;
	int r = label ? conn_label_check(label, "label", err) : 0;
	if (r != 0)
		return r;
	Bnnd__ClassDetail detail = BNND__CLASS_DETAIL__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	detail.none = !label;
	detail.label = conn_label(label ? label : "");
	request.op_case = BNND__REQUEST__OP_CLASS_DETAIL;
	request.class_detail = &detail;
	return conn_call(conn, &request, NULL, BNND__REPLY__RESULT_CLASS_INFO, result_class_info, ret_info, err);
}

int bnnd_history(struct bnnd_conn *conn, uint32_t max, struct bnnd_history **ret_history, struct bnnd_error *err)
{
	*ret_history = NULL;
	struct result_history pages = {0};
	uint64_t before = 0;
	int64_t deadline = conn_deadline(conn);
	do {
		Bnnd__History history = BNND__HISTORY__INIT;
		Bnnd__Request request = BNND__REQUEST__INIT;
		size_t left = max ? max - pages.n : 0;
		history.before_seq = before;
		history.limit = left < PAGE_MAX ? (uint32_t)left : 0;
		request.op_case = BNND__REQUEST__OP_HISTORY;
		request.history = &history;
		int r = conn_call_until(conn, &request, NULL, BNND__REPLY__RESULT_HISTORY_LIST, result_history_page,
			&pages, deadline, err);
		r = check_list(r, pages.n * sizeof *pages.entries + pages.n_taught * sizeof *pages.taught, err);
		if (r != 0) {
			free(pages.entries);
			free(pages.taught);
			return r;
		}
		if (max && pages.n > max)
			pages.n = max;
		uint64_t last = pages.n > 0 ? pages.entries[pages.n - 1].seq : 0;
		if (before != 0 && last >= before)
			break; /* not in order: asking on would never end */
		before = last;
	} while (pages.more && pages.n_page > 0 && before > 0 && (max == 0 || pages.n < max));
	struct bnnd_history *joined = result_history_join(&pages);
	if (!joined)
		return error_set(err, BNND_ORIGIN_CALL, BNND_RESOURCE_EXHAUSTED, "no memory for the history");
	*ret_history = joined;
	return 0;
}

/* ---- changes --------------------------------------------------------------------------------------------------- */

struct change_parts {
	Bnnd__Guard guard;
	Bnnd__Guard *guard_or_null;
	uint8_t random[BNND_KEY_BYTES];
	ProtobufCBinaryData key;
};

static void change_fill(const struct bnnd_change_options *options, struct change_parts *parts)
{
	*parts = (struct change_parts){.guard = BNND__GUARD__INIT};
	const uint8_t *key = options ? options->key : NULL;
	if (!key) {
		bnnd_key_random(parts->random);
		key = parts->random;
	}
	parts->key = (ProtobufCBinaryData){.len = BNND_KEY_BYTES, .data = (uint8_t *)key};
	if (options && options->has_if_seq) {
		parts->guard.if_seq = options->if_seq;
		parts->guard_or_null = &parts->guard;
	}
}

static int change_call(
	struct bnnd_conn *conn, Bnnd__Request *request, struct bnnd_change **ret_change, struct bnnd_error *err)
{
	return conn_call(conn, request, NULL, BNND__REPLY__RESULT_CHANGED, result_change, ret_change, err);
}

int bnnd_forget(struct bnnd_conn *conn, const char *label, const struct bnnd_change_options *options,
	struct bnnd_change **ret_change, struct bnnd_error *err)
{
	*ret_change = NULL;
	int r = label ? conn_label_check(label, "label", err) : 0;
	if (r != 0)
		return r;
	struct change_parts parts;
	change_fill(options, &parts);
	Bnnd__Forget forget = BNND__FORGET__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	if (label) {
		forget.what_case = BNND__FORGET__WHAT_LABEL;
		forget.label = conn_label(label);
	} else {
		forget.what_case = BNND__FORGET__WHAT_NONE;
		forget.none = true;
	}
	forget.guard = parts.guard_or_null;
	forget.key = parts.key;
	request.op_case = BNND__REQUEST__OP_FORGET;
	request.forget = &forget;
	return change_call(conn, &request, ret_change, err);
}

int bnnd_rename(struct bnnd_conn *conn, const char *old_label, const char *new_label,
	const struct bnnd_change_options *options, struct bnnd_change **ret_change, struct bnnd_error *err)
{
	*ret_change = NULL;
	int r = conn_label_check(old_label, "old_label", err);
	if (r == 0)
		r = conn_label_check(new_label, "new_label", err);
	if (r != 0)
		return r;
	struct change_parts parts;
	change_fill(options, &parts);
	Bnnd__Rename rename = BNND__RENAME__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	rename.old_label = conn_label(old_label);
	rename.new_label = conn_label(new_label);
	rename.guard = parts.guard_or_null;
	rename.key = parts.key;
	request.op_case = BNND__REQUEST__OP_RENAME;
	request.rename = &rename;
	return change_call(conn, &request, ret_change, err);
}

int bnnd_undo(struct bnnd_conn *conn, const struct bnnd_change_options *options, struct bnnd_change **ret_change,
	struct bnnd_error *err)
{
	*ret_change = NULL;
	struct change_parts parts;
	change_fill(options, &parts);
	Bnnd__Undo undo = BNND__UNDO__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	undo.guard = parts.guard_or_null;
	undo.key = parts.key;
	request.op_case = BNND__REQUEST__OP_UNDO;
	request.undo = &undo;
	return change_call(conn, &request, ret_change, err);
}

int bnnd_rollback(struct bnnd_conn *conn, uint64_t seq, const struct bnnd_change_options *options,
	struct bnnd_change **ret_change, struct bnnd_error *err)
{
	*ret_change = NULL;
	struct change_parts parts;
	change_fill(options, &parts);
	Bnnd__Rollback rollback = BNND__ROLLBACK__INIT;
	Bnnd__Request request = BNND__REQUEST__INIT;
	rollback.seq = seq;
	rollback.guard = parts.guard_or_null;
	rollback.key = parts.key;
	request.op_case = BNND__REQUEST__OP_ROLLBACK;
	request.rollback = &rollback;
	return change_call(conn, &request, ret_change, err);
}
