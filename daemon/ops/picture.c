/* SPDX-License-Identifier: MIT */
/* daemon/ops/picture.c: infer, embed, look: one picture in, one reply out; nothing is kept. Loop thread. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/work/look.h"
#include "daemon/ops/ops.h"
#include "daemon/ops/reply.h"
#include "proto/limits.h"

enum { TOP_DEFAULT = 3 };
static const double SHARE_TOLERANCE = 1e-6; /* a share written as text comes back as nearly the same double */

/* The constants of one of the five shares. */
static int constants_from(
	const struct service *service, const Bnnd__Refuse *refuse, struct learn_answer_constants *ret, struct err *err)
{
	const struct bnn_info *model = service->model;
	double share = refuse ? refuse->share : service->config->refuse;
	for (size_t i = 0; i < BNN_REFUSE_SHARES; i++) {
		if (!(fabs(share - bnn_refuse_share[i]) < SHARE_TOLERANCE))
			continue;
		*ret = (struct learn_answer_constants){.temperature = model->has_answers ? model->temperature : 1,
			.unknown_cosine = model->unknown_cosine[i],
			.deviations = model->deviations[i],
			.deviation = model->deviation,
			.deviation_weight = model->deviation_weight};
		return 0;
	}
	int r = err_set(err, ERR_INVALID_ARGUMENT, "the share to refuse must be 0.01, 0.02, 0.05, 0.1 or 0.2");
	err->field = "refuse.share";
	return r;
}

static void answer_view(const struct infer_job *job, struct scratch *scratch, Bnnd__Answer *answer)
{
	const struct learn_answer *a = &job->answer;
	bnnd__answer__init(answer);
	answer->known = a->known;
	answer->unknown_score = a->unknown_score;
	answer->seq = job->snapshot->seq;
	answer->n_top = a->n_top < job->n_top ? a->n_top : job->n_top;
	answer->top = scratch_alloc(scratch, answer->n_top, sizeof *answer->top);
	Bnnd__Scored *rows = scratch_alloc(scratch, answer->n_top, sizeof *rows);
	for (size_t i = 0; i < answer->n_top; i++) {
		const struct class_entry *class = snapshot_by_id(job->snapshot, a->top[i].id);
		bnnd__scored__init(&rows[i]);
		rows[i].none = a->top[i].id == CLASS_ID_NONE;
		if (class && !rows[i].none)
			rows[i].label = (ProtobufCBinaryData){
				.len = class->label.len_bytes, .data = (uint8_t *)class->label.bytes};
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

static void picture_reply(struct infer_job *job)
{
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Answer answer;
	Bnnd__Embedding embedding;
	Bnnd__Looked looked = BNND__LOOKED__INIT;
	Bnnd__Times us;
	const struct bnn_info *model = job->service->model;
	uint8_t *payload = NULL;
	infer_job_times(job, &us);
	switch (job->what) {
	case INFER_ANSWER:
		answer_view(job, &scratch, &answer);
		answer.us = &us;
		reply.result_case = BNND__REPLY__RESULT_ANSWER;
		reply.answer = &answer;
		break;
	case INFER_EMBED:
		bnnd__embedding__init(&embedding);
		embedding.features = (ProtobufCBinaryData){.len = model->n_features, .data = (uint8_t *)job->q};
		embedding.us = &us;
		reply.result_case = BNND__REPLY__RESULT_EMBEDDING;
		reply.embedding = &embedding;
		break;
	case INFER_LOOK:
		looked.width = model->width;
		looked.height = model->height;
		reply.result_case = BNND__REPLY__RESULT_LOOKED;
		reply.looked = &looked;
		payload = job->png;
		job->png = NULL;
		break;
	case INFER_ADD:
		abort(); /* lessons have their own */
	}
	reply_send(job->request, &reply, payload, job->png_bytes);
	scratch_free(&scratch);
}

static void picture_done(struct job *base)
{
	struct infer_job *job = (struct infer_job *)base;
	struct service *service = job->service;
	struct err err;
	if (infer_job_result(job, &err) != 0)
		reply_error(job->request, &err);
	else
		picture_reply(job);
	infer_job_free(job);
	service_stop_further(service);
}

static void picture_ask(struct request *request, enum infer_what what, const Bnnd__Picture *picture,
	struct op_input *input, uint32_t n_top, const struct learn_answer_constants *constants)
{
	struct infer_job *job = infer_job_new(request, what, picture, input);
	job->job.done = picture_done;
	job->n_top = n_top;
	if (constants)
		job->constants = *constants;
	infer_job_push(job);
}

void op_infer(struct request *request, struct op_input *input)
{
	const Bnnd__Infer *ask = input->message->infer;
	struct learn_answer_constants constants;
	struct err err;
	int r = constants_from(request->service, ask->refuse, &constants, &err);
	if (r == 0 && ask->top > TOP_MAX) {
		r = err_set(&err, ERR_INVALID_ARGUMENT, "top is %u: at most %d labels are told", ask->top, TOP_MAX);
		err.field = "top";
		err.limit = TOP_MAX;
	}
	if (r != 0) {
		reply_error(request, &err);
		return;
	}
	picture_ask(request, INFER_ANSWER, ask->picture, input, ask->top ? ask->top : TOP_DEFAULT, &constants);
}

void op_embed(struct request *request, struct op_input *input)
{
	picture_ask(request, INFER_EMBED, input->message->embed->picture, input, 0, NULL);
}

void op_look(struct request *request, struct op_input *input)
{
	picture_ask(request, INFER_LOOK, input->message->look->picture, input, 0, NULL);
}
