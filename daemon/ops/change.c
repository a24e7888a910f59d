/* SPDX-License-Identifier: MIT */
/* daemon/ops/change.c: forget, rename, undo, rollback: checked here, done in the learn lane. Loop thread. */
#include <stdlib.h>
#include <string.h>

#include "daemon/work/learn.h"
#include "daemon/ops/ops.h"
#include "daemon/ops/reply.h"

static void change_done(struct job *base)
{
	struct learn_job *job = (struct learn_job *)base;
	struct service *service = job->service;
	learn_job_publish(job);
	learn_job_reply(job);
	learn_job_free(job);
	service_stop_further(service);
}

/* Takes over the job; r, err: what was found wrong with it so far. */
static void change_ask(
	struct learn_job *job, const ProtobufCBinaryData *key, const Bnnd__Guard *guard, int r, struct err *err)
{
	struct request *request = job->request;
	job->job.done = change_done;
	learn_job_guard(job, guard);
	if (r == 0)
		r = key_from(key, true, &job->has_key, job->key, err);
	/* A key that was seen before is answered even while nothing can be changed. */
	if (r == 0 && !(job->has_key && keyset_has(&job->service->lessons.committed, job->key)))
		r = changes_allowed(job->service, err);
	if (r != 0) {
		learn_job_free(job);
		reply_error(request, err);
	} else {
		learn_job_push(job);
	}
}

void op_forget(struct request *request, struct op_input *input)
{
	const Bnnd__Forget *ask = input->message->forget;
	struct learn_job *job = learn_job_new(request, LEARN_FORGET);
	struct err err;
	int r = 0;
	if (ask->what_case == BNND__FORGET__WHAT_LABEL) {
		r = label_from(request->service->snapshot, &ask->label, "label", &job->label, &err);
	} else if (ask->what_case != BNND__FORGET__WHAT_NONE || !ask->none) {
		r = err_set(&err, ERR_INVALID_ARGUMENT, "what to forget is missing: a label, or none");
		err.field = "label";
	}
	change_ask(job, &ask->key, ask->guard, r, &err);
}

void op_rename(struct request *request, struct op_input *input)
{
	const Bnnd__Rename *ask = input->message->rename;
	struct learn_job *job = learn_job_new(request, LEARN_RENAME);
	struct err err;
	int r = label_from(request->service->snapshot, &ask->old_label, "old_label", &job->label, &err);
	if (r == 0)
		r = label_new_from(&ask->new_label, "new_label", &job->new_label, &err);
	change_ask(job, &ask->key, ask->guard, r, &err);
}

void op_undo(struct request *request, struct op_input *input)
{
	const Bnnd__Undo *ask = input->message->undo;
	struct err err;
	change_ask(learn_job_new(request, LEARN_UNDO), &ask->key, ask->guard, 0, &err);
}

void op_rollback(struct request *request, struct op_input *input)
{
	const Bnnd__Rollback *ask = input->message->rollback;
	struct learn_job *job = learn_job_new(request, LEARN_ROLLBACK);
	struct err err;
	job->seq = ask->seq;
	change_ask(job, &ask->key, ask->guard, 0, &err);
}
