/* SPDX-License-Identifier: MIT */
/* daemon/ops/asked.c: see asked.h. */
#include "daemon/ops/asked.h"

#include <stdlib.h>

#include "daemon/ops/answer.h"
#include "daemon/wire/from_wire.h"
#include "daemon/wire/scratch.h"
#include "daemon/wire/views.h"
#include "lib/base/memory.h"

/* ---- a picture ---------------------------------------------------------------------------------------------------- */

struct asked_look *asked_look_new(struct request *request, enum look_what what, const Bnnd__Picture *picture,
	struct op_input *input, void (*done)(struct job *job))
{
	struct asked_look *asked = mem_zalloc(1, sizeof *asked);
	struct look_job *look = &asked->look;
	look_job_init(look, what, &request->owner, input->ops->published->now);
	look->job.done = done;
	look->payload = payload_take(&input->payload);
	look->picture = picture_from(picture, look->payload.bytes, look->payload.len_bytes);
	look->received_us = request->received_us;
	look->deadline_us = request->deadline_us;
	asked->ops = input->ops;
	asked->request = request;
	return asked;
}

static void look_stop(struct request *request, const struct err *why)
{
	struct asked_look *asked = request->work;
	look_cancel(asked->ops->look, &asked->look, why);
}

void asked_look_push(struct asked_look *asked)
{
	asked->request->stop = look_stop;
	asked->request->work = asked;
	look_push(asked->ops->look, &asked->look);
}

int asked_look_result(const struct asked_look *asked, struct err *err)
{
	const struct err *why = look_failure(&asked->look);
	if (!why)
		return request_expired(asked->request, err);
	*err = *why;
	return -err->code;
}

void asked_look_free(struct asked_look *asked)
{
	look_job_deinit(&asked->look);
	free(asked);
}

/* ---- a change ----------------------------------------------------------------------------------------------------- */

struct asked_learn *asked_learn_new(
	struct ops *ops, struct request *request, enum learn_what what, void (*done)(struct job *job))
{
	struct asked_learn *asked = mem_zalloc(1, sizeof *asked);
	learn_job_init(&asked->learn, what, &request->owner, ops->learned);
	asked->learn.job.done = done;
	asked->learn.deadline_us = request->deadline_us;
	asked->ops = ops;
	asked->request = request;
	return asked;
}

static void learn_stop(struct request *request, const struct err *why)
{
	struct asked_learn *asked = request->work;
	learn_cancel(asked->ops->learn, &asked->learn, why);
}

void asked_learn_push(struct asked_learn *asked)
{
	asked->request->stop = learn_stop;
	asked->request->work = asked;
	learn_push(asked->ops->learn, &asked->learn);
}

void asked_learn_publish(struct asked_learn *asked)
{
	learn_publish(&asked->learn, asked->ops->published, &asked->ops->lessons.committed);
}

void asked_learn_answer(struct asked_learn *asked)
{
	const struct err *why = learn_failure(&asked->learn);
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Changed changed;
	if (why) {
		answer_error(asked->request, why);
		return;
	}
	views_changed(&asked->learn.outcome, &scratch, &changed);
	reply.result_case = BNND__REPLY__RESULT_CHANGED;
	reply.changed = &changed;
	answer_send(asked->request, &reply, NULL, 0);
	scratch_free(&scratch);
}

void asked_learn_free(struct asked_learn *asked)
{
	learn_job_deinit(&asked->learn);
	free(asked);
}
