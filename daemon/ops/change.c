/* SPDX-License-Identifier: MIT */
/* daemon/ops/change.c: forget, rename, undo, rollback: checked here, done in the learn lane. Loop thread. */
#include "daemon/ops/answer.h"
#include "daemon/ops/asked.h"
#include "daemon/ops/op.h"
#include "daemon/wire/from_wire.h"

static void change_done(struct job *job)
{
	struct asked_learn *asked = asked_learn_of(job);
	asked_learn_publish(asked);
	asked_learn_answer(asked);
	asked_learn_free(asked);
}

static struct asked_learn *change_new(struct request *request, struct op_input *input, enum learn_what what)
{
	return asked_learn_new(input->ops, request, what, change_done);
}

/* Takes over what is asked; r, err: what was found wrong with it so far. */
static void change_ask(
	struct asked_learn *asked, const ProtobufCBinaryData *key, const Bnnd__Guard *guard, int r, struct err *err)
{
	struct request *request = asked->request;
	struct learn_job *learn = &asked->learn;
	learn->guard = guard_from(guard);
	if (r == 0)
		r = key_from(key, true, &learn->has_key, learn->key, err);
	/* A key that was seen before is answered even while nothing can be changed. */
	if (r == 0 && !(learn->has_key && keyset_has(&asked->ops->lessons.committed, learn->key)))
		r = health_may_change(asked->ops->health, err);
	if (r != 0) {
		asked_learn_free(asked);
		answer_error(request, err);
	} else {
		asked_learn_push(asked);
	}
}

void op_forget(struct request *request, struct op_input *input)
{
	const Bnnd__Forget *ask = input->message->forget;
	struct asked_learn *asked = change_new(request, input, LEARN_FORGET);
	struct err err;
	int r = 0;
	if (ask->what_case == BNND__FORGET__WHAT_LABEL) {
		r = label_from(input->ops->published->now, &ask->label, "label", &asked->learn.label, &err);
	} else if (ask->what_case != BNND__FORGET__WHAT_NONE || !ask->none) {
		r = err_set_about(&err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "label"},
			"what to forget is missing: a label, or none");
	}
	change_ask(asked, &ask->key, ask->guard, r, &err);
}

void op_rename(struct request *request, struct op_input *input)
{
	const Bnnd__Rename *ask = input->message->rename;
	struct asked_learn *asked = change_new(request, input, LEARN_RENAME);
	struct err err;
	int r = label_from(input->ops->published->now, &ask->old_label, "old_label", &asked->learn.label, &err);
	if (r == 0)
		r = label_new_from(&ask->new_label, "new_label", &asked->learn.new_label, &err);
	change_ask(asked, &ask->key, ask->guard, r, &err);
}

void op_undo(struct request *request, struct op_input *input)
{
	const Bnnd__Undo *ask = input->message->undo;
	struct err err;
	change_ask(change_new(request, input, LEARN_UNDO), &ask->key, ask->guard, 0, &err);
}

void op_rollback(struct request *request, struct op_input *input)
{
	const Bnnd__Rollback *ask = input->message->rollback;
	struct asked_learn *asked = change_new(request, input, LEARN_ROLLBACK);
	struct err err;
	asked->learn.seq = ask->seq;
	change_ask(asked, &ask->key, ask->guard, 0, &err);
}
