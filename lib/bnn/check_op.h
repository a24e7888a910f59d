/* SPDX-License-Identifier: MIT */
/* lib/bnn/check_op.h: one operation's check, for check.c. */
#pragma once

#include "lib/bnn/graph.h"

/* Where the check is: filled once an operation. */
struct op_check {
	const struct graph *graph;
	struct graph_op *op;
	size_t index;
	struct err *err;
};

/* "operation 7 'conv2d': ..." */
int op_refuse(const struct op_check *c, enum err_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
#define BAD(c, ...) op_refuse(c, ERR_INVALID_ARGUMENT, __VA_ARGS__)

#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		int try_result = (call);                                                                               \
		if (try_result)                                                                                        \
			return try_result;                                                                             \
	} while (0)

/* Operands, attributes and inferred shapes; counts the operation's work. Its tensors have passed their own checks. */
int check_operation(const struct op_check *c);

/* NULL, or what this version has no kernel for: "", or "with ... " to stand before "has no kernel". */
const char *op_without_kernel(const struct op_check *c);

static inline const struct tensor *op_input(const struct op_check *c, size_t i)
{
	return &c->graph->tensors[c->op->inputs[i]];
}

static inline const struct tensor *op_output(const struct op_check *c, size_t i)
{
	return &c->graph->tensors[c->op->outputs[i]];
}

static inline bool tensor_is_float_constant(const struct tensor *t)
{
	return t->is_constant && (t->dtype == DTYPE_F32 || t->dtype == DTYPE_F16);
}
