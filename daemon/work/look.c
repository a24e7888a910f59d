/* SPDX-License-Identifier: MIT */
/* daemon/work/look.c: see look.h. look_run is on a thread of the infer lane and touches its job and its thread's
 * buffers alone; everything else is on the loop. Refuses to teach a picture without features. */
#include "daemon/work/look.h"

#include <sha2.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/endian.h"
#include "lib/base/memory.h"

struct look_thread *look_thread_new(
	const struct bnn_model *model, const struct image_input *input, const struct image_limits *limits)
{
	struct look_thread *thread = mem_zalloc(1, sizeof *thread);
	thread->model = bnn_model_info(model);
	thread->input = *input;
	thread->limits = *limits;
	thread->run = bnn_run_new(model);
	thread->pixels = mem_aligned((size_t)input->width * input->height * 3);
	thread->h = mem_aligned(thread->model->n_features * sizeof *thread->h);
	return thread;
}

void look_thread_free(struct look_thread *thread)
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

static bool look_is_over(const struct look_job *job, uint64_t now_us)
{
	return atomic_load_explicit(&job->job.cancelled, memory_order_relaxed) ||
	       (job->deadline_us && now_us >= job->deadline_us);
}

static enum image_stop look_stop(void *ctx)
{
	const struct look_job *job = ctx;
	uint64_t now_us = clock_us();
	if (look_is_over(job, now_us))
		return IMAGE_STOP_REQUEST;
	return now_us >= job->decode_until_us ? IMAGE_STOP_SLOW : IMAGE_GO_ON;
}

/* Is it the picture that was taught already? Then there is nothing to compute. */
static bool look_is_known(struct look_job *job)
{
	picture_digest(&job->picture, job->digest);
	return class_has_digest(snapshot_find(job->snapshot, &job->label), job->digest);
}

static void look_compute(struct look_job *job, struct look_thread *thread)
{
	struct err *err = &job->job.err;
	struct image_limits limits = thread->limits;
	size_t d = thread->model->n_features;
	uint64_t t0 = clock_us();
	limits.stop = look_stop;
	limits.stop_ctx = job;
	job->decode_until_us = t0 + limits.decode_seconds * UINT64_C(1000000);
	if (job->what == LOOK_ADD && (job->known = look_is_known(job)))
		return;
	if (image_to_input(&job->picture, &thread->input, &limits, thread->pixels, err) != 0)
		return;
	uint64_t t1 = clock_us();
	job->us.image = t1 - t0;
	if (job->what == LOOK_PNG) {
		(void)image_png_encode(
			thread->pixels, thread->input.width, thread->input.height, &job->png, &job->png_bytes, err);
		return;
	}
	bnn_run_features(thread->run, thread->pixels, thread->h);
	job->q = mem_zalloc(d, 1);
	bool any = learn_quantize(thread->h, d, job->q);
	uint64_t t2 = clock_us();
	job->us.backbone = t2 - t1;
	if (job->what == LOOK_ADD && !any)
		err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "picture"},
			"the network finds nothing in this picture: it cannot be taught");
	if (job->what != LOOK_ANSWER)
		return;
	learn_head_answer(job->snapshot->head, job->q, &job->constants, &job->answer);
	if (!thread->model->has_answers &&
		!job->constants.never) { /* nothing says where unknown begins, so everything is */
		job->answer.known = job->answer.passes = false;
		job->answer.unknown_score = 1;
	}
	job->us.head = clock_us() - t2;
}

static void look_run(struct job *base, void *thread)
{
	struct look_job *job = (struct look_job *)base;
	job->us.queue = clock_us() - job->received_us;
	if (look_is_over(job, clock_us()))
		err_set(&base->err, ERR_DEADLINE_EXCEEDED, "the request's timeout_ms was over before its turn came");
	else
		look_compute(job, thread);
}

/* ---- on the loop ------------------------------------------------------------------------------------------------- */

void look_job_init(struct look_job *job, enum look_what what, const struct fair_owner *owner, struct snapshot *snapshot)
{
	*job = (struct look_job){.what = what, .snapshot = snapshot_ref(snapshot)};
	list_init(&job->job.link);
	job->job.run = look_run;
	job->job.owner = *owner;
}

void look_job_deinit(struct look_job *job)
{
	payload_drop(&job->payload);
	snapshot_unref(job->snapshot);
	free(job->q);
	free(job->png);
}

void look_push(struct lane *lane, struct look_job *job)
{
	lane_push(lane, job->what == LOOK_ADD ? LANE_SECOND : LANE_FIRST, &job->job);
}

void look_cancel(struct lane *lane, struct look_job *job, const struct err *why)
{
	job->why = *why;
	atomic_store_explicit(&job->job.cancelled, true, memory_order_relaxed);
	if (lane_take_back(lane, &job->job))
		job->job.done(&job->job);
}

const struct err *look_failure(const struct look_job *job)
{
	if (atomic_load_explicit(&job->job.cancelled, memory_order_relaxed))
		return &job->why;
	return job->job.err.code ? &job->job.err : NULL;
}
