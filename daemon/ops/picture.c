/* SPDX-License-Identifier: MIT */
/* daemon/ops/picture.c: infer, embed, look: one picture in, one reply out; nothing is kept. Loop thread. */
#include <math.h>
#include <stdlib.h>

#include "daemon/ops/answer.h"
#include "daemon/ops/asked.h"
#include "daemon/ops/op.h"
#include "daemon/wire/scratch.h"
#include "daemon/wire/views.h"
#include "proto/limits.h"

enum { TOP_DEFAULT = 3 };
static const double SHARE_TOLERANCE = 1e-6; /* a share written as text comes back as nearly the same double */

/* The constants of one of the five shares, or of "never", where they decide nothing. */
static int constants_from(
	const struct ops *ops, const Bnnd__Refuse *refuse, struct learn_answer_constants *ret, struct err *err)
{
	const struct bnn_info *model = ops->model;
	double share = refuse ? refuse->share : ops->config->refuse;
	bool never = refuse ? refuse->never : share == 0;
	if (never && share != 0)
		return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "refuse.never"},
			"refuse has a share and never: one of them is possible");
	if (never)
		share = bnn_refuse_share[0];
	for (size_t i = 0; i < BNN_REFUSE_SHARES; i++) {
		if (!(fabs(share - bnn_refuse_share[i]) < SHARE_TOLERANCE))
			continue;
		*ret = (struct learn_answer_constants){.temperature = model->has_answers ? model->temperature : 1,
			.pair_cosine = model->known.pair_cosine,
			.pair_weight = model->known.pair_weight,
			.class_share = model->known.class_share,
			.deviations = model->deviations[i],
			.few_pictures = model->known.few_pictures,
			.deviation = model->deviation,
			.deviation_weight = model->deviation_weight,
			.blank = model->blank,
			.blank_cosine = model->blank_cosine,
			.never = never,
			.metric_temperature = model->known.metric_temperature};
		return 0;
	}
	return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "refuse.share"},
		"the share to refuse must be 0.01, 0.02, 0.05, 0.1 or 0.2, or never");
}

static void picture_answer(struct asked_look *asked)
{
	struct look_job *job = &asked->look;
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__Answer answer;
	Bnnd__Embedding embedding;
	Bnnd__Looked looked = BNND__LOOKED__INIT;
	Bnnd__Times us;
	const struct bnn_info *model = asked->ops->model;
	uint8_t *payload = NULL;
	answer_times(job, &us);
	switch (job->what) {
	case LOOK_ANSWER:
		views_answer(&job->answer, asked->n_top, job->snapshot, &scratch, &answer);
		answer.us = &us;
		reply.result_case = BNND__REPLY__RESULT_ANSWER;
		reply.answer = &answer;
		break;
	case LOOK_EMBED:
		bnnd__embedding__init(&embedding);
		embedding.features = (ProtobufCBinaryData){.len = model->n_features, .data = (uint8_t *)job->q};
		embedding.us = &us;
		reply.result_case = BNND__REPLY__RESULT_EMBEDDING;
		reply.embedding = &embedding;
		break;
	case LOOK_PNG:
		looked.width = model->width;
		looked.height = model->height;
		reply.result_case = BNND__REPLY__RESULT_LOOKED;
		reply.looked = &looked;
		payload = job->png;
		job->png = NULL;
		break;
	case LOOK_ADD:
		abort(); /* lessons have their own */
	}
	answer_send(asked->request, &reply, payload, job->png_bytes);
	scratch_free(&scratch);
}

static void picture_done(struct job *job)
{
	struct asked_look *asked = asked_look_of(job);
	struct err err;
	if (asked_look_result(asked, &err) != 0)
		answer_error(asked->request, &err);
	else
		picture_answer(asked);
	asked_look_free(asked);
}

void op_infer(struct request *request, struct op_input *input)
{
	const Bnnd__Infer *ask = input->message->infer;
	struct learn_answer_constants constants;
	struct err err;
	int r = constants_from(input->ops, ask->refuse, &constants, &err);
	if (r == 0 && ask->top > TOP_MAX)
		r = err_set_about(&err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "top", .limit = TOP_MAX},
			"top is %u: at most %d labels are told", ask->top, TOP_MAX);
	if (r != 0) {
		answer_error(request, &err);
		return;
	}
	struct asked_look *asked = asked_look_new(request, LOOK_ANSWER, ask->picture, input, picture_done);
	asked->n_top = ask->top ? ask->top : TOP_DEFAULT;
	asked->look.constants = constants;
	asked_look_push(asked);
}

void op_embed(struct request *request, struct op_input *input)
{
	asked_look_push(asked_look_new(request, LOOK_EMBED, input->message->embed->picture, input, picture_done));
}

void op_look(struct request *request, struct op_input *input)
{
	asked_look_push(asked_look_new(request, LOOK_PNG, input->message->look->picture, input, picture_done));
}
