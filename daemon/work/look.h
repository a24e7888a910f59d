/* SPDX-License-Identifier: MIT */
/* daemon/work/look.h: one picture through the infer lane: digest, decoding, backbone, quantization, answer.
 *
 * A job owns its payload and a reference to the state that was published when it was handed over: the answer speaks of
 * that state alone, whatever is learned meanwhile. */
#pragma once

#include "daemon/ops/ops.h"

struct infer_thread { /* the context of one thread of the infer lane */
	const struct bnn_info *model;
	struct image_input input;
	struct image_limits limits; /* without a stop: each job has its own */
	struct bnn_run *run;
	uint8_t *pixels; /* input.height x input.width x 3 */
	float *h;        /* n_features */
};
struct infer_thread *infer_thread_new(
	const struct bnn_model *model, const struct image_input *input, const struct image_limits *limits);
void infer_thread_free(struct infer_thread *thread);

enum infer_what { INFER_ANSWER, INFER_EMBED, INFER_LOOK, INFER_ADD };

struct infer_times { /* microseconds */
	uint64_t queue, image, backbone, head;
};

struct infer_job {
	struct job job;
	struct service *service; /* the loop's, like the next two */
	struct request *request;
	struct err why; /* why it was cancelled */
	enum infer_what what;
	struct image_picture picture;
	struct payload payload;
	struct snapshot *snapshot;
	uint64_t received_us, deadline_us;
	uint64_t decode_until_us; /* image.decode_seconds after its decoding began */
	uint32_t n_top;
	struct learn_answer_constants constants;
	uint64_t lesson, order; /* ADD */
	struct label label;
	/* what came of it */
	struct infer_times us;
	uint8_t digest[DIGEST_BYTES]; /* ADD */
	bool known;                   /* ADD: this very picture lives under this class */
	int8_t *q;                    /* n_features */
	struct learn_answer answer;
	uint8_t *png;
	size_t png_bytes;
};

/* Takes the payload of the input over. picture NULL: the payload is a whole file. */
struct infer_job *infer_job_new(
	struct request *request, enum infer_what what, const Bnnd__Picture *picture, struct op_input *input);
/* Into the infer lane. */
void infer_job_push(struct infer_job *job);
/* 0, or why its result cannot be told. */
int infer_job_result(const struct infer_job *job, struct err *err);
void infer_job_free(struct infer_job *job);
/* Fills the times of a reply that is about to be sent. */
void infer_job_times(const struct infer_job *job, Bnnd__Times *ret_times);

/* First DIGEST_BYTES of SHA-256 over the payload, then rotation, region and raw shape (all little-endian, 0 when
 * absent): what makes two pictures the same picture. */
void picture_digest(const struct image_picture *picture, uint8_t ret_digest[DIGEST_BYTES]);
