/* SPDX-License-Identifier: MIT */
/* daemon/work/look.h: one picture through the infer lane: digest, decoding, backbone, quantization, answer.
 *
 * A job owns its payload and a reference to the state that was published when it was handed over: the answer speaks of
 * that state alone, whatever is learned meanwhile. */
#pragma once

#include "daemon/shares/payload.h"
#include "daemon/state/snapshot.h"
#include "daemon/work/lanes.h"
#include "lib/bnn/bnn.h"
#include "lib/image/image.h"

struct look_thread { /* the context of one thread of the infer lane */
	const struct bnn_info *model;
	struct image_input input;
	struct image_limits limits; /* without a stop: each job has its own */
	struct bnn_run *run;
	uint8_t *pixels; /* input.height x input.width x 3 */
	float *h;        /* n_features */
};
struct look_thread *look_thread_new(
	const struct bnn_model *model, const struct image_input *input, const struct image_limits *limits);
void look_thread_free(struct look_thread *thread);

enum look_what { LOOK_ANSWER, LOOK_EMBED, LOOK_PNG, LOOK_ADD };

struct look_times { /* microseconds */
	uint64_t queue, image, backbone, head;
};

struct look_job {
	struct job job;
	/* The caller's, set before look_push. */
	enum look_what what;
	struct image_picture picture; /* of the payload's bytes */
	struct payload payload;
	struct snapshot *snapshot;
	uint64_t received_us, deadline_us;       /* deadline 0: none */
	struct learn_answer_constants constants; /* ANSWER */
	struct label label;                      /* ADD */
	/* what came of it */
	struct err why;           /* why it was cancelled */
	uint64_t decode_until_us; /* image.decode_seconds after its decoding began */
	struct look_times us;
	uint8_t digest[DIGEST_BYTES]; /* ADD */
	bool known;                   /* ADD: this very picture lives under this class */
	int8_t *q;                    /* n_features */
	struct learn_answer answer;
	uint8_t *png; /* PNG: owned, until somebody takes it */
	size_t png_bytes;
};

/* Takes its own reference. job->done is the caller's to set, and frees what the job is part of. Loop thread, like all
 * of these. */
void look_job_init(
	struct look_job *job, enum look_what what, const struct fair_owner *owner, struct snapshot *snapshot);
void look_job_deinit(struct look_job *job);
/* Into the lane. */
void look_push(struct lane *lane, struct look_job *job);
/* A waiting job is done now; one that runs is told, and done when it has noticed. */
void look_cancel(struct lane *lane, struct look_job *job, const struct err *why);
/* NULL: it worked. */
const struct err *look_failure(const struct look_job *job);

/* First DIGEST_BYTES of SHA-256 over the payload, then rotation, region and raw shape (all little-endian, 0 when
 * absent): what makes two pictures the same picture. */
void picture_digest(const struct image_picture *picture, uint8_t ret_digest[DIGEST_BYTES]);
