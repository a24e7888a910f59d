/* SPDX-License-Identifier: MIT */
/* lib/bnn/bnn.h: the engine: a binary network from a .bnn file, and its forward pass.
 *
 * The model is read-only after loading and may be shared by any number of threads; each thread has its own run.
 * Every kernel on every CPU gives the same bits, floats included, so features are equal on a Pi and on a server.
 * This library does not know what a picture file is (it takes bytes in the model's input format), nor that anybody
 * learns from the features.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"

enum {
	BNN_ID_BYTES = 32,
	BNN_REFUSE_SHARES = 5,
	BNN_ARENA_MAX_BYTES = 256 << 20,
	BNN_FEATURES_MAX = 8192,
	BNN_GROUPS_MAX = 16,
	BNN_GROUP_FACTOR_MAX = 1 << 10,
};
#define BNN_OPERATIONS_MAX 20000000000ull /* multiply-adds, binary ones included, of one forward pass */

/* Constants of Answers that tell known from unknown, see model.proto. */
struct bnn_known {
	double near_duplicate, pair_cosine, pair_weight, class_share, few_pictures, metric_temperature, scene_share,
		scene_cosine;
};

enum bnn_fit { BNN_FIT_COVER = 1, BNN_FIT_CONTAIN, BNN_FIT_STRETCH }; /* the numbers of enum image_fit */

struct bnn_info {
	const char *name;       /* from the card, "photo96-1"; strings live as long as the model */
	const char *card;       /* the model card: text for people */
	const char *kernels;    /* "ref", "portable", "portable-avx2", ... */
	uint32_t width, height; /* input, pixels */
	enum bnn_fit fit;
	uint8_t background[3];
	uint32_t image_rules; /* number of the picture rules the model was made with */
	uint32_t n_features;
	uint32_t n_groups; /* of features, one behind the other, for who learns their covariance: at least 1 */
	uint32_t group_width[BNN_GROUPS_MAX]; /* their sum is n_features */
	double group_factor[BNN_GROUPS_MAX];  /* each in the sum of the groups: 1 where the file does not say it */
	uint8_t feature_id[BNN_ID_BYTES];     /* binds learned state: equal ids, equal features */
	bool has_answers;                     /* the constants of Answers: */
	double temperature;                   /* T */
	double deviations[BNN_REFUSE_SHARES]; /* k for each of bnn_refuse_share: below a class's mean cosine */
	double deviation, deviation_weight;   /* sd_0 and what it is worth in pictures */
	struct bnn_known known;               /* of a file that does not say them those of photo96-4 */
	const int8_t *blank; /* n_features: what a covered or blinded camera shows; NULL: the file does not say */
	double blank_cosine; /* with it from which on a picture is blank */
	size_t arena_bytes;  /* one run's memory */
	uint64_t multiply_adds, binary_multiply_adds;
};

/* The shares of known pictures that k was fitted to refuse: 1, 2, 5, 10, 20 %. */
extern const double bnn_refuse_share[BNN_REFUSE_SHARES];

struct bnn_model;
struct bnn_run;

/* Maps and checks the file, chooses kernels (BNND_KERNELS=ref|portable... forces), plans. A file that is not sound is
 * refused with one sentence: ERR_NOT_FOUND, ERR_INVALID_ARGUMENT, ERR_UNIMPLEMENTED (an operation, dtype or field of
 * a newer version, by name), ERR_RESOURCE_EXHAUSTED (arena, operations). What loads cannot fail later. */
int bnn_model_open(const char *path, struct bnn_model **ret_model, struct err *err);

/* The same from memory (copied). verify_digest false skips the SHA-256: for fuzzing alone. */
int bnn_model_from_bytes(
	const uint8_t *bytes, size_t len_bytes, bool verify_digest, struct bnn_model **ret_model, struct err *err);
void bnn_model_free(struct bnn_model *model); /* NULL allowed; no run may be left */
const struct bnn_info *bnn_model_info(const struct bnn_model *model);

/* Prints operations, shapes, kernels and the memory plan: for bnnd --explain-model. */
void bnn_model_explain(const struct bnn_model *model, FILE *out);

/* One thread's arena. Allocates all that a forward pass needs; the pass itself allocates nothing. */
struct bnn_run *bnn_run_new(const struct bnn_model *model);
void bnn_run_free(struct bnn_run *run); /* NULL allowed */

/* pixels: height x width x 3 bytes (R, G, B) -> ret_features: n_features floats (unit length, or all zero). */
void bnn_run_features(struct bnn_run *run, const uint8_t *pixels, float *ret_features);

/* For tests, bench and --explain: called after each step of the plan with the step's name, the tensor it wrote
 * (height x width x channels; dtype 'f' float, 'b' one byte a bit, 'i' int32) and the time it took.
 * The values live until the callback returns. */
struct bnn_trace_step {
	const char *name, *kernel;
	uint32_t height, width, channels;
	char dtype;
	const void *values;
	uint64_t ns;
};
typedef void bnn_trace_fn(void *ctx, const struct bnn_trace_step *step);
void bnn_run_traced(struct bnn_run *run, const uint8_t *pixels, float *ret_features, bnn_trace_fn *fn, void *ctx);
