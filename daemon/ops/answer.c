/* SPDX-License-Identifier: MIT */
/* daemon/ops/answer.c: see answer.h.
 *
 * Invariant: no body over FRAME_BODY_MAX_BYTES leaves; whoever builds a page keeps within it, and what does not is told
 * as INTERNAL instead of breaking the client's stream. */
#include "daemon/ops/answer.h"

#include <stdlib.h>

#include "daemon/wire/frames.h"
#include "lib/base/clock.h"
#include "proto/limits.h"

void answer_error(struct request *request, const struct err *err)
{
	request->stop = NULL;
	if (request->session)
		session_refuse(request->session, request->id, err);
	request_free(request);
}

void answer_send(struct request *request, const Bnnd__Reply *reply, uint8_t *payload, size_t payload_bytes)
{
	struct err err;
	request->stop = NULL;
	if (!request->session) {
		free(payload);
		request_free(request);
		return;
	}
	if (protobuf_c_message_get_packed_size(&reply->base) > FRAME_BODY_MAX_BYTES) {
		free(payload);
		err_set(&err, ERR_INTERNAL, "the answer does not fit into a frame");
		answer_error(request, &err);
		return;
	}
	if (payload && payload_bytes > FRAME_PAYLOAD_MAX_BYTES) {
		free(payload);
		err_set_about(&err, ERR_RESOURCE_EXHAUSTED, (struct err_about){.limit = FRAME_PAYLOAD_MAX_BYTES},
			"the answer's payload of %zu bytes is over the limit", payload_bytes);
		answer_error(request, &err);
		return;
	}
	session_put(request->session, frame_of(FRAME_REPLY, request->id, &reply->base, payload, payload_bytes));
	request_free(request);
}

static uint32_t us32(uint64_t us)
{
	return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void answer_times(const struct look_job *job, Bnnd__Times *times)
{
	bnnd__times__init(times);
	times->queue = us32(job->us.queue);
	times->image = us32(job->us.image);
	times->backbone = us32(job->us.backbone);
	times->head = us32(job->us.head);
	times->total = us32(clock_us() - job->received_us);
}
