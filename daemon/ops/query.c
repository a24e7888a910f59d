/* SPDX-License-Identifier: MIT */
/* daemon/ops/query.c: status, classes, class_detail, history: what the loop answers at once, from what is published. */
#include "daemon/ops/answer.h"
#include "daemon/ops/op.h"
#include "daemon/wire/from_wire.h"
#include "daemon/wire/scratch.h"
#include "daemon/wire/views.h"
#include "lib/base/clock.h"

void op_status(struct request *request, struct op_input *input)
{
	const struct ops *ops = input->ops;
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__DaemonStatus status;
	views_status(ops->health, &scratch, &status);
	status.model = views_model(ops->model, &scratch);
	status.kernels = (char *)ops->model->kernels;
	status.uptime_ms = (clock_us() - ops->started_us) / 1000;
	status.infer_threads = ops->n_infer_threads;
	status.widths = (char *)learn_width_name(ops->config->learner.width);
	status.preset = (char *)learn_preset_names[ops->config->learner.preset - 1];
	status.method = (char *)learn_method_names[ops->published->now->method - 1];
	if (config_no_metric(ops->config))
		status.no_metric = (char *)config_no_metric(ops->config);
	status.scene = ops->published->now->scene;
	status.no_scene = scratch_text(&scratch, ops->published->now->no_scene);
	status.memory_bound_bytes = ops->memory_bound_bytes;
	status.refuse = ops->config->refuse;
	if (ops->waiting)
		status.waiting = scratch_text(&scratch, ops->waiting);
	reply.result_case = BNND__REPLY__RESULT_DAEMON_STATUS;
	reply.daemon_status = &status;
	answer_send(request, &reply, NULL, 0);
	scratch_free(&scratch);
}

void op_classes(struct request *request, struct op_input *input)
{
	const Bnnd__Classes *ask = input->message->classes;
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__ClassList list;
	/* Any bytes: no label is longer, so what is cut off decides nothing. */
	struct label after = label_of_bytes(ask->after.data, ask->after.len);
	views_classes(input->ops->published->now, &after, ask->limit, &scratch, &list);
	reply.result_case = BNND__REPLY__RESULT_CLASS_LIST;
	reply.class_list = &list;
	answer_send(request, &reply, NULL, 0);
	scratch_free(&scratch);
}

void op_class_detail(struct request *request, struct op_input *input)
{
	const Bnnd__ClassDetail *ask = input->message->class_detail;
	const struct snapshot *snapshot = input->ops->published->now;
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__ClassInfo info;
	struct err err;
	struct label label = {.len_bytes = 0};
	int r = ask->none && ask->label.len == 0 ? 0 : label_from(snapshot, &ask->label, "label", &label, &err);
	if (r == 0)
		r = views_class(snapshot, &label, &scratch, &info, &err);
	if (r != 0) {
		answer_error(request, &err);
	} else {
		reply.result_case = BNND__REPLY__RESULT_CLASS_INFO;
		reply.class_info = &info;
		answer_send(request, &reply, NULL, 0);
	}
	scratch_free(&scratch);
}

void op_history(struct request *request, struct op_input *input)
{
	const Bnnd__History *ask = input->message->history;
	struct scratch scratch = SCRATCH_INIT;
	Bnnd__Reply reply = BNND__REPLY__INIT;
	Bnnd__HistoryList list;
	views_history(input->ops->published->now, ask->before_seq, ask->limit, &scratch, &list);
	reply.result_case = BNND__REPLY__RESULT_HISTORY_LIST;
	reply.history_list = &list;
	answer_send(request, &reply, NULL, 0);
	scratch_free(&scratch);
}
