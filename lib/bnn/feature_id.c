/* SPDX-License-Identifier: MIT */
/* lib/bnn/feature_id.c: the name of what a model computes: equal ids, equal features, whatever the file around it.
 *
 * SHA-256 over this encoding, all numbers little-endian, u32 unless another type is given, floats as their IEEE bits:
 *
 *   16 bytes  "bnnd-features-1\0"
 *   input     width, height, fit, image_rules, 3 bytes background, 3 * 256 floats of the table
 *   then each operation that `features` depends on, in the order of the file:
 *     kind            its field number in message Op
 *     n inputs        and for each a tensor reference
 *     n outputs       and for each a tensor reference
 *     attributes      in the order of their field numbers, messages flattened in place: uint32, sint32, enum and bool
 *                     as 4 bytes, float as 4 bytes, a repeated field as its count, then its elements
 *   end       0, then the number of the features tensor
 *
 * A tensor reference is the tensor's number: tensors are numbered from 0 by first use in this encoding (the input by
 * its first use, too). Where a number is used for the first time it is followed by the tensor itself:
 *     class           0 the input, 1 a constant, 2 a result
 *     dtype, rank, and `rank` sides
 *     has_quantization (0 or 1), and if 1: float scale, sint32 zero_point
 *     of a constant   u64 length, then its bytes as they are in the file
 *
 * Not in it: names, ids and the order of tensors in the file, the card, answers, prior, logits and what only they
 * need. The table enters by value, not as a tensor. A change of this encoding would orphan every learned state: the
 * tests hold golden ids.
 */
#include "lib/bnn/graph.h"

#include <sha2.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"

struct encoder {
	SHA2_CTX sha;
	const struct graph *graph;
	uint32_t *numbers; /* of each tensor, plus one; 0: not used yet */
	uint32_t next;
};

static void put_bytes(struct encoder *e, const void *bytes, size_t n)
{
	SHA256Update(&e->sha, bytes, n);
}

static void put_u32(struct encoder *e, uint32_t v)
{
	uint8_t bytes[4];
	store_le32(bytes, v);
	put_bytes(e, bytes, sizeof bytes);
}

static void put_float(struct encoder *e, float v)
{
	uint32_t bits;
	memcpy(&bits, &v, sizeof bits);
	put_u32(e, bits);
}

static void put_tensor(struct encoder *e, uint32_t index)
{
	const struct tensor *t = &e->graph->tensors[index];
	if (e->numbers[index]) {
		put_u32(e, e->numbers[index] - 1);
		return;
	}
	put_u32(e, e->next);
	e->numbers[index] = ++e->next;
	put_u32(e, index == e->graph->input ? 0 : t->is_constant ? 1 : 2);
	put_u32(e, t->dtype);
	put_u32(e, t->rank);
	for (uint32_t i = 0; i < t->rank; i++)
		put_u32(e, t->shape[i]);
	put_u32(e, t->has_quantization);
	if (t->has_quantization) {
		put_float(e, t->scale);
		put_u32(e, (uint32_t)t->zero_point);
	}
	if (t->is_constant) {
		uint8_t length[8];
		store_le64(length, t->length);
		put_bytes(e, length, sizeof length);
		put_bytes(e, t->data, t->length);
	}
}

static void put_pads(struct encoder *e, const struct pads *p)
{
	put_u32(e, p->top);
	put_u32(e, p->left);
	put_u32(e, p->bottom);
	put_u32(e, p->right);
}

static void put_window(struct encoder *e, const struct window *w)
{
	put_u32(e, w->kernel_y);
	put_u32(e, w->kernel_x);
	put_u32(e, w->stride_y);
	put_u32(e, w->stride_x);
	put_u32(e, w->dilation_y);
	put_u32(e, w->dilation_x);
	put_pads(e, &w->pads);
}

static void put_attributes(struct encoder *e, const struct graph_op *op)
{
	switch (op->kind) {
	case OP_SIGN:
		put_u32(e, (uint32_t)op->n_rules);
		for (size_t i = 0; i < op->n_rules; i++)
			put_u32(e, (uint32_t)op->rules[i]);
		break;
	case OP_BINARY_CONV2D:
		put_window(e, &op->window);
		put_u32(e, op->groups);
		put_u32(e, (uint32_t)op->pad_value);
		put_u32(e, (uint32_t)op->clamp_lo);
		put_u32(e, (uint32_t)op->clamp_hi);
		break;
	case OP_BINARY_MAX_POOL:
	case OP_MAX_POOL:
		put_window(e, &op->window);
		break;
	case OP_CONV2D:
		put_window(e, &op->window);
		put_u32(e, op->groups);
		break;
	case OP_DEPTHWISE_CONV2D:
		put_window(e, &op->window);
		put_u32(e, op->multiplier);
		break;
	case OP_SPLIT:
	case OP_RESHAPE:
		put_u32(e, (uint32_t)op->n_sizes);
		for (size_t i = 0; i < op->n_sizes; i++)
			put_u32(e, op->sizes[i]);
		break;
	case OP_PAD:
		put_pads(e, &op->pads);
		put_float(e, op->value);
		break;
	case OP_CLAMP:
		put_float(e, op->lo);
		put_float(e, op->hi);
		break;
	case OP_AVG_POOL:
		put_window(e, &op->window);
		put_u32(e, op->count_padding);
		break;
	case OP_UNPACK:
	case OP_DENSE:
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
	case OP_CONCAT:
	case OP_PRELU:
	case OP_SIGMOID:
	case OP_MEAN:
	case OP_QUANTIZE:
	case OP_DEQUANTIZE:
	case OP_SOFTMAX:
	case OP_SQRT:
	case OP_L2:
	case OP_DEVIATION:
		break; /* no attributes */
	}
}

static void put_op(struct encoder *e, const struct graph_op *op)
{
	put_u32(e, op->kind);
	put_u32(e, (uint32_t)op->n_inputs);
	for (size_t i = 0; i < op->n_inputs; i++)
		put_tensor(e, op->inputs[i]);
	put_u32(e, (uint32_t)op->n_outputs);
	for (size_t i = 0; i < op->n_outputs; i++)
		put_tensor(e, op->outputs[i]);
	put_attributes(e, op);
}

void graph_feature_id(const struct graph *graph, uint8_t ret_id[BNN_ID_BYTES])
{
	static const char tag[16] = "bnnd-features-1";
	struct encoder e = {.graph = graph, .numbers = mem_zalloc(graph->n_tensors, sizeof(uint32_t))};
	bool *reach = mem_zalloc(graph->n_ops, sizeof *reach);
	const struct tensor *in = &graph->tensors[graph->input];
	SHA256Init(&e.sha);
	put_bytes(&e, tag, sizeof tag);
	put_u32(&e, in->shape[1]);
	put_u32(&e, in->shape[0]);
	put_u32(&e, graph->fit);
	put_u32(&e, graph->image_rules);
	put_bytes(&e, graph->background, sizeof graph->background);
	put_bytes(&e, graph->tensors[graph->table].data, graph->tensors[graph->table].length);
	graph_reach(graph, reach);
	for (size_t i = 0; i < graph->n_ops; i++)
		if (reach[i])
			put_op(&e, &graph->ops[i]);
	put_u32(&e, 0);
	put_u32(&e, e.numbers[graph->features] - 1);
	SHA256Final(ret_id, &e.sha);
	free(reach);
	free(e.numbers);
}
