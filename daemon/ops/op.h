/* SPDX-License-Identifier: MIT */
/* daemon/ops/op.h: what an operation is: a row of the table, what it is given, and what all of them share. Loop thread. */
#pragma once

#include <stdbool.h>

#include "daemon/config/config.h"
#include "daemon/lesson/lesson.h"
#include "daemon/session/session.h"
#include "daemon/state/health.h"
#include "daemon/state/learned.h"
#include "daemon/state/published.h"
#include "daemon/work/lanes.h"
#include "lib/bnn/bnn.h"
#include "proto/bnnd.pb-c.h"
#include "proto/decode.h"

struct ops {
	/* Borrowed. */
	const struct config *config;
	const struct bnn_info *model;
	struct learned *learned; /* the learn lane's; only handed on */
	struct published *published;
	const struct health *health;
	struct sessions *sessions;
	struct lane *look, *learn; /* set when they run */
	/* What status tells of the start. */
	uint64_t started_us;
	uint32_t n_infer_threads;
	uint64_t memory_bound_bytes;
	const char *waiting; /* what another model was taught, a sentence; NULL: nothing */
	/* Their own. */
	struct lessons lessons;
	struct lesson_clock *lesson_clock; /* lesson.c; NULL before the loop is there */
	struct decode_arena arena;         /* one body at a time */
	void *arena_memory;
};

/* What operations keep of a connection: session->context, from its Hello on. */
struct connection {
	uint64_t lesson;      /* number of the open one, 0: none */
	uint64_t lesson_gone; /* the last that ended without a commit, and why */
	const char *lesson_gone_why;
};

enum op_lane {
	OP_LOOP,  /* answered at once, never queued, not counted as in flight */
	OP_INFER, /* the infer lane, first queue */
	OP_ADD,   /* the infer lane, second queue */
	OP_LEARN, /* the learn lane */
};

struct op_input { /* borrowed but for the payload */
	struct ops *ops;
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

/* query.c */
void op_status(struct request *request, struct op_input *input);
void op_classes(struct request *request, struct op_input *input);
void op_class_detail(struct request *request, struct op_input *input);
void op_history(struct request *request, struct op_input *input);
/* picture.c */
void op_infer(struct request *request, struct op_input *input);
void op_embed(struct request *request, struct op_input *input);
void op_look(struct request *request, struct op_input *input);
/* lesson.c */
void op_lesson_begin(struct request *request, struct op_input *input);
void op_lesson_add(struct request *request, struct op_input *input);
void op_lesson_commit(struct request *request, struct op_input *input);
void op_lesson_abort(struct request *request, struct op_input *input);
/* change.c */
void op_forget(struct request *request, struct op_input *input);
void op_rename(struct request *request, struct op_input *input);
void op_undo(struct request *request, struct op_input *input);
void op_rollback(struct request *request, struct op_input *input);
