/* SPDX-License-Identifier: MIT */
/* daemon/work/look.c: see look.h. infer_run is on a thread of the infer lane and touches its job and its thread's
 * buffers alone; everything else is on the loop. Refuses to teach a picture without features. */
#include "daemon/work/look.h"

#include <sha2.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "proto/limits.h"

struct infer_thread *infer_thread_new(
	const struct bnn_model *model, const struct image_input *input, const struct image_limits *limits)
{
	struct infer_thread *thread = mem_zalloc(1, sizeof *thread);
	thread->model = bnn_model_info(model);
	thread->input = *input;
	thread->limits = *limits;
	thread->run = bnn_run_new(model);
	thread->pixels = mem_aligned((size_t)input->width * input->height * 3);
	thread->h = mem_aligned(thread->model->n_features * sizeof *thread->h);
	return thread;
}

void infer_thread_free(struct infer_thread *thread)
{
	if (!thread)
		return;
	bnn_run_free(thread->run);
	free(thread->pixels);
	free(thread->h);
	free(thread);
}

void picture_digest(const struct image_picture *picture, uint8_t ret_digest[DIGEST_BYTES])
{
	SHA2_CTX sha;
	uint8_t shape[4 + 1 + 4 * 8 + 3 * 4] = {0}, digest[SHA256_DIGEST_LENGTH];
	store_le32(shape, picture->rotate);
	if (picture->has_roi) {
		shape[4] = 1;
		for (size_t i = 0; i < 4; i++) {
			uint64_t bits;
			memcpy(&bits, &picture->roi[i], sizeof bits);
			store_le64(shape + 5 + 8 * i, bits);
		}
	}
	if (picture->source == IMAGE_RAW) {
		store_le32(shape + 37, picture->raw_width);
		store_le32(shape + 41, picture->raw_height);
		store_le32(shape + 45, picture->raw_channels);
	}
	SHA256Init(&sha);
	SHA256Update(&sha, picture->bytes, picture->len_bytes);
	SHA256Update(&sha, shape, sizeof shape);
	SHA256Final(digest, &sha);
	memcpy(ret_digest, digest, DIGEST_BYTES);
}

/* ---- on a thread of the infer lane ------------------------------------------------------------------------------- */

static bool infer_is_over(const struct infer_job *job, uint64_t now_us)
{
	return atomic_load_explicit(&job->job.cancelled, memory_order_relaxed) ||
	       (job->deadline_us && now_us >= job->deadline_us);
}

static enum image_stop infer_stop(void *ctx)
{
	const struct infer_job *job = ctx;
	uint64_t now_us = clock_us();
	if (infer_is_over(job, now_us))
		return IMAGE_STOP_REQUEST;
	return now_us >= job->decode_until_us ? IMAGE_STOP_SLOW : IMAGE_GO_ON;
}

/* Is it the picture that was taught already? Then there is nothing to compute. */
static bool infer_is_known(struct infer_job *job)
{
	picture_digest(&job->picture, job->digest);
	return class_has_digest(snapshot_find(job->snapshot, &job->label), job->digest);
}

static void infer_compute(struct infer_job *job, struct infer_thread *thread)
{
	struct err *err = &job->job.err;
	struct image_limits limits = thread->limits;
	size_t d = thread->model->n_features;
	uint64_t t0 = clock_us();
	limits.stop = infer_stop;
	limits.stop_ctx = job;
	job->decode_until_us = t0 + limits.decode_seconds * UINT64_C(1000000);
	if (job->what == INFER_ADD && (job->known = infer_is_known(job)))
		return;
	if (image_to_input(&job->picture, &thread->input, &limits, thread->pixels, err) != 0)
		return;
	uint64_t t1 = clock_us();
	job->us.image = t1 - t0;
	if (job->what == INFER_LOOK) {
		(void)image_png_encode(
			thread->pixels, thread->input.width, thread->input.height, &job->png, &job->png_bytes, err);
		return;
	}
	bnn_run_features(thread->run, thread->pixels, thread->h);
	job->q = mem_zalloc(d, 1);
	bool any = learn_quantize(thread->h, d, job->q);
	uint64_t t2 = clock_us();
	job->us.backbone = t2 - t1;
	if (job->what == INFER_ADD && !any) {
		err_set(err, ERR_INVALID_ARGUMENT, "the network finds nothing in this picture: it cannot be taught");
		err->field = "picture";
	}
	if (job->what != INFER_ANSWER)
		return;
	learn_head_answer(job->snapshot->head, job->q, &job->constants, &job->answer);
	if (!thread->model->has_answers) { /* nothing says where unknown begins, so everything is */
		job->answer.known = job->answer.passes = false;
		job->answer.unknown_score = 1;
	}
	job->us.head = clock_us() - t2;
}

static void infer_run(struct job *base, void *thread)
{
	struct infer_job *job = (struct infer_job *)base;
	job->us.queue = clock_us() - job->received_us;
	if (infer_is_over(job, clock_us()))
		err_set(&base->err, ERR_DEADLINE_EXCEEDED, "the request's timeout_ms was over before its turn came");
	else
		infer_compute(job, thread);
}

/* ---- on the loop ------------------------------------------------------------------------------------------------- */

static void picture_from(const Bnnd__Picture *from, const struct payload *payload, struct image_picture *ret)
{
	static const uint8_t nothing[1];
	*ret = (struct image_picture){.source = IMAGE_ENCODED,
		.bytes = payload->bytes ? payload->bytes : nothing,
		.len_bytes = payload->len_bytes};
	if (!from)
		return;
	ret->rotate = from->rotate;
	if (from->raw) {
		ret->source = IMAGE_RAW;
		ret->raw_width = from->raw->width;
		ret->raw_height = from->raw->height;
		ret->raw_channels = from->raw->channels;
	}
	if (from->roi) {
		ret->has_roi = true;
		ret->roi[0] = from->roi->x;
		ret->roi[1] = from->roi->y;
		ret->roi[2] = from->roi->width;
		ret->roi[3] = from->roi->height;
	}
}

struct infer_job *infer_job_new(
	struct request *request, enum infer_what what, const Bnnd__Picture *picture, struct op_input *input)
{
	struct infer_job *job = mem_zalloc(1, sizeof *job);
	list_init(&job->job.link);
	job->job.run = infer_run;
	job->service = request->service;
	job->job.owner = request->owner;
	job->request = request;
	job->what = what;
	job->payload = payload_take(&input->payload);
	picture_from(picture, &job->payload, &job->picture);
	job->snapshot = snapshot_ref(request->service->snapshot);
	job->received_us = request->received_us;
	job->deadline_us = request->deadline_us;
	return job;
}

void infer_job_free(struct infer_job *job)
{
	payload_drop(&job->payload);
	snapshot_unref(job->snapshot);
	free(job->q);
	free(job->png);
	free(job);
}

/* A waiting job is answered now; one that runs is told, and answered when it has noticed. */
static void infer_request_stop(struct request *request, const struct err *why)
{
	struct infer_job *job = request->work;
	job->why = *why;
	atomic_store_explicit(&job->job.cancelled, true, memory_order_relaxed);
	if (lane_take_back(request->service->infer, &job->job))
		job->job.done(&job->job);
}

void infer_job_push(struct infer_job *job)
{
	struct request *request = job->request;
	request->stop = infer_request_stop;
	request->work = job;
	lane_push(request->service->infer, job->what == INFER_ADD ? LANE_SECOND : LANE_FIRST, &job->job);
}

int infer_job_result(const struct infer_job *job, struct err *err)
{
	if (atomic_load_explicit(&job->job.cancelled, memory_order_relaxed))
		*err = job->why;
	else if (job->job.err.code)
		*err = job->job.err;
	else
		return request_expired(job->request, err);
	return -err->code;
}

static uint32_t us32(uint64_t us)
{
	return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void infer_job_times(const struct infer_job *job, Bnnd__Times *times)
{
	bnnd__times__init(times);
	times->queue = us32(job->us.queue);
	times->image = us32(job->us.image);
	times->backbone = us32(job->us.backbone);
	times->head = us32(job->us.head);
	times->total = us32(clock_us() - job->received_us);
}
