/* SPDX-License-Identifier: MIT */
/* lib/bnn/graph.h: the graph of a model file while it is loaded: plain structs, checked, free of protobuf.
 *
 * graph_unpack.c fills it from the message, check.c proves it sound, feature_id.c names it, plan.c turns it into steps.
 * It points into the file's bytes and is gone when loading is over: a plan keeps copies of what it needs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/bnn/bnn.h"

enum {
	GRAPH_TENSORS_MAX = 16384,
	GRAPH_OPS_MAX = 4096,
	GRAPH_INPUTS_MAX = 64,  /* of one operation: concat has the most */
	GRAPH_SIDE_MAX = 65535, /* height or width of an activation */
	GRAPH_CHANNELS_MAX = 1 << 20,
	GRAPH_KERNEL_MAX = 256,   /* also stride and dilation */
	GRAPH_TAPS_MAX = 1 << 24, /* of one binary output: counts stay exact as floats */
	GRAPH_MESSAGE_MAX_BYTES = 4 << 20,
	GRAPH_UNPACKED_MAX_BYTES = 64 << 20,
	GRAPH_DATA_MAX_BYTES = 256 << 20,
	GRAPH_NAME_MAX_BYTES = 128,
	ANSWERS_DEVIATIONS_MAX = 10,
	ANSWERS_WEIGHT_MAX = 1000, /* pictures */
	ANSWERS_TEMPERATURE_MAX = 1 << 20,
	GRAPH_CARD_TEXT_MAX_BYTES = 1 << 16,
};

enum dtype { DTYPE_BITS = 1, DTYPE_I8, DTYPE_I16, DTYPE_I32, DTYPE_F16, DTYPE_F32 };
enum sign_rule { SIGN_LESS = 1, SIGN_GREATER, SIGN_LESS_EQUAL };

/* The numbers of message Op's fields. A switch over kinds has no default: -Wswitch, an error in this folder, then lists
 * every place that a new one needs. In this order, an operation is added to
 *
 *   model.proto         its message with all attributes and what they mean, its field in Op; doc/NUMBERS.md: the
 *                       arithmetic, with the order of every sum. Old readers refuse it by its number.
 *   graph.h             its kind, at the end (OP_END follows); attributes that struct graph_op lacks
 *   graph_unpack.c      its name; its attributes out of the message
 *   check_op.c          check_operation: operands, shape, work. op_without_kernel: it has none, until the rest is there
 *   feature_id.c        its attributes, in the order of their field numbers (test_feature_id.c changes each and looks)
 *   kernels/kernels.h   its function; kernels/ref.c, plainly; then kernels/portable.c
 *   plan.c, run.c       its operands as a step; the call
 *   tools/bnnfile       shapes.py, evaluate.py: written from the definition, not from ref.c; build.py if it is used often
 *   tests/unit/bnn      make_model.c; by hand in test_numbers.c, the sets against each other in test_kernels.c, within
 *                       networks in test_run.c, a row for each refusal in test_model.c
 */
enum op_kind {
	OP_SIGN = 10,
	OP_UNPACK,
	OP_BINARY_CONV2D,
	OP_BINARY_MAX_POOL,
	OP_CONV2D,
	OP_DEPTHWISE_CONV2D,
	OP_DENSE,
	OP_ADD,
	OP_SUB,
	OP_MUL,
	OP_CONCAT,
	OP_SPLIT,
	OP_PAD,
	OP_CLAMP,
	OP_PRELU,
	OP_SIGMOID,
	OP_MAX_POOL,
	OP_AVG_POOL,
	OP_MEAN,
	OP_RESHAPE,
	OP_QUANTIZE,
	OP_DEQUANTIZE,
	OP_SOFTMAX,
	OP_SQRT,
	OP_L2,
	OP_DEVIATION,
};
#define OP_END (OP_DEVIATION + 1) /* no kind of its own, so that no switch must name it */

/* "binary_conv2d": the name in model.proto. */
const char *op_kind_name(enum op_kind kind);

struct pads {
	uint32_t top, left, bottom, right;
};
struct window {
	uint32_t kernel_y, kernel_x, stride_y, stride_x, dilation_y, dilation_x;
	struct pads pads;
};

struct tensor {
	uint32_t id;
	uint32_t rank, shape[4];
	enum dtype dtype;
	bool has_quantization;
	float scale;
	int32_t zero_point;
	bool is_constant;
	uint64_t offset, length;
	const uint8_t *data; /* of a constant: `length` bytes, of no particular alignment */
	const char *name;    /* NULL: none */
	int producer;        /* index of the operation, -1: a constant or the input */
	uint64_t n_elements;
};

struct graph_op {
	enum op_kind kind;
	const char *name; /* NULL: none */
	size_t n_inputs, n_outputs;
	uint32_t *inputs, *outputs; /* ids in the message; indices into tensors once graph_unpack.c is done */
	struct window window;       /* each attribute: only where the kind has it */
	struct pads pads;
	uint32_t groups, multiplier;
	int32_t pad_value, clamp_lo, clamp_hi;
	float lo, hi, value;
	bool count_padding;
	size_t n_rules;
	const int *rules; /* enum sign_rule */
	size_t n_sizes;
	const uint32_t *sizes; /* of split, or the shape of reshape */
	uint64_t multiply_adds, binary_multiply_adds, operations;
};

struct graph {
	struct tensor *tensors;
	size_t n_tensors;
	struct graph_op *ops;
	size_t n_ops;
	uint32_t input, table; /* tensor indices, as all below */
	enum bnn_fit fit;
	uint32_t image_rules;
	uint8_t background[3];
	bool has_features, has_logits;
	uint32_t features, logits;
	size_t n_feature_classes, n_logit_classes;
	const char *card_name, *card_text;
	bool has_answers;
	double temperature, deviation, deviation_weight;
	size_t n_unknown_cosine, n_deviations;
	const double *unknown_cosine, *deviations;
	bool has_known;
	struct bnn_known known;
	const int8_t *blank; /* NULL: the file has none */
	size_t n_blank;
	double blank_cosine;
	size_t n_groups; /* 0: the features are one */
	const uint32_t *groups;
	size_t n_group_factors; /* 0: each is 1 */
	const double *group_factors;
	bool has_covariance, has_between;
	uint32_t covariance, between;
	void *message; /* owns the strings and arrays above */
	void *budget;  /* its allocator */
};

/* Unpacks the message and turns ids into indices. Refuses what is not a complete message of this version: unknown
 * fields at any depth, missing attributes, enum values without a name, numbers that are not finite, ids that do not
 * exist or exist twice, constants outside `data`. graph_deinit also after an error. */
int graph_unpack(const uint8_t *message, size_t message_bytes, const uint8_t *data, uint64_t data_bytes,
	struct graph *ret_graph, struct err *err);
void graph_deinit(struct graph *graph);

/* Proves the graph sound (shapes, order, constants, limits, features) and that each operation has a kernel here. */
int graph_check(struct graph *graph, struct err *err);

/* ret_reach[i]: operation i is needed for `features`. n_ops bools. */
void graph_reach(const struct graph *graph, bool *ret_reach);

/* SHA-256 over the canonical encoding described in feature_id.c. The graph has passed graph_check. */
void graph_feature_id(const struct graph *graph, uint8_t ret_id[BNN_ID_BYTES]);

/* First input position that a kernel with `window` reads for output position `out`; the number of outputs. */
static inline uint32_t window_extent(uint32_t kernel, uint32_t dilation)
{
	return (kernel - 1) * dilation + 1;
}
