/* SPDX-License-Identifier: MIT */
/* lib/bnn/plan.h: a model ready to run: steps in order, their constants, and one arena that holds all buffers.
 *
 * Read-only once made. Buffers share memory where their lifetimes (in steps) do not meet: none may be expected to
 * hold anything before the step that writes it. What no kernel fuses stays a step of its own and gives the same bits.
 */
#pragma once

#include "lib/bnn/constants.h"
#include "lib/bnn/graph.h"
#include "lib/bnn/kernels/kernels.h"

enum {
	PLAN_NO_BUFFER = -1,
	PLAN_LABEL_BYTES = 48,
};

struct plan_buffer {
	size_t offset, bytes;
	uint32_t first, last; /* steps that write it first and read it last */
	bool scratch;
};

struct plan_step {
	bool is_input; /* the first step, bytes through the table: kind says nothing */
	enum op_kind kind;
	char *name, *bits_name;       /* of the operations whose results y and bits are; bits_name NULL: no bits */
	char label[PLAN_LABEL_BYTES]; /* "binary_conv2d+add+prelu+sign" */
	uint32_t height, width, channels;
	int x, v, y, bits, scratch;     /* buffers, or PLAN_NO_BUFFER; v: a second activation (residual, mean) */
	uint32_t y_tensor, bits_tensor; /* of the graph, where y and bits are there */
	const float *v_constant;        /* second operand of add, sub, mul where it is a constant */
	bool vector;                    /* that operand has one value a channel */
	struct kernel_conv conv;        /* what the kind needs */
	struct kernel_binary_conv binary;
	struct kernel_sign sign;
	struct kernel_pool pool;
	struct kernel_concat concat;
	int *parts; /* of concat: as many buffers; x is the first */
	float lo, hi;
	const float *slope, *before, *after;
	size_t n_pixels_in;
	uint64_t operations;
};

struct plan {
	const struct kernels *kernels;
	struct plan_step *steps;
	size_t n_steps;
	struct plan_buffer *buffers;
	size_t n_buffers;
	size_t arena_bytes;
	struct constants constants;
	float *table;
	int features; /* buffer */
	uint64_t multiply_adds, binary_multiply_adds;
};

/* The graph has passed graph_check. ERR_RESOURCE_EXHAUSTED: arena or constants; plan_deinit also after an error. */
int plan_init(struct plan *plan, const struct graph *graph, const struct kernels *kernels, struct err *err);
void plan_deinit(struct plan *plan);

/* Gives each buffer its offset; false: more than BNN_ARENA_MAX_BYTES. */
bool plan_place_buffers(struct plan_buffer *buffers, size_t n, size_t *ret_arena_bytes);
