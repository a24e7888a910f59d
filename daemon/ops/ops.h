/* SPDX-License-Identifier: MIT */
/* daemon/ops/ops.h: one table of operations: name, who may, where it runs, what handles it. */
#pragma once

#include <stdbool.h>

#include "daemon/session/session.h"
#include "proto/bnnd.pb-c.h"

enum op_lane {
	OP_LOOP,  /* answered at once, never queued, not counted as in flight */
	OP_INFER, /* the infer lane, first queue */
	OP_ADD,   /* the infer lane, second queue */
	OP_LEARN, /* the learn lane */
};

struct op_input { /* borrowed but for the payload */
	const Bnnd__Request *message;
	struct payload payload; /* the handler's, if it takes it; what is left is dropped behind it */
};

struct op {
	Bnnd__Request__OpCase code;
	const char *name;
	enum role role; /* the least that may */
	enum op_lane lane;
	bool picture; /* its payload is a picture; others have none */
	/* Answers the request, or hands it on and answers later. The message is gone when it returns. */
	void (*handle)(struct request *request, struct op_input *input);
};

/* NULL: this version knows no such operation. */
const struct op *op_find(Bnnd__Request__OpCase code);
const struct op *op_at(size_t i); /* NULL: i is behind the last; for tests that walk the table */

/* One complete request frame. Takes the payload over. */
void ops_dispatch(
	struct session *session, const struct frame_header *header, const uint8_t *body, struct payload payload);

/* picture.c */
void op_infer(struct request *request, struct op_input *input);
void op_embed(struct request *request, struct op_input *input);
void op_look(struct request *request, struct op_input *input);
/* lesson.c */
void op_lesson_begin(struct request *request, struct op_input *input);
void op_lesson_add(struct request *request, struct op_input *input);
void op_lesson_commit(struct request *request, struct op_input *input);
void op_lesson_abort(struct request *request, struct op_input *input);
/* The connection's lesson, if one is open, ends without a commit. `why` is a static part of a sentence. */
void ops_drop_lesson(struct session *session, const char *why);
void ops_drop_idle_lessons(struct service *service);
/* change.c */
void op_forget(struct request *request, struct op_input *input);
void op_rename(struct request *request, struct op_input *input);
void op_undo(struct request *request, struct op_input *input);
void op_rollback(struct request *request, struct op_input *input);

/* What several handlers need. */
/* A new name, by the rule (lib/base/label.h), in NFC. */
int label_new_from(const ProtobufCBinaryData *data, const char *field, struct label *ret_label, struct err *err);
/* The name of a class that may be known: the label of the one it names in this snapshot, else like label_new_from. */
int label_from(const struct snapshot *snapshot, const ProtobufCBinaryData *data, const char *field,
	struct label *ret_label, struct err *err);
/* STORE_KEY_BYTES, or none when that is allowed: *ret_has tells. */
int key_from(const ProtobufCBinaryData *data, bool may_lack, bool *ret_has, uint8_t ret_key[STORE_KEY_BYTES],
	struct err *err);
/* ERR_UNAVAILABLE with the reason when nothing can be changed. */
int changes_allowed(const struct service *service, struct err *err);
