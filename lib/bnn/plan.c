/* SPDX-License-Identifier: MIT */
/* lib/bnn/plan.c: graph -> steps. See plan.h.
 *
 * Fusion, for sets of kernels that can: conv2d, depthwise_conv2d or dense + clamp; binary_conv2d + add of a residual
 * of the same shape + prelu + one sign. A result is fused away only if nobody else reads it; the last one of the
 * chain is stored for its other readers. An operation that is fused runs at its chain's first operation, so a
 * residual must have been there before that.
 */
#include "lib/bnn/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/bnn/plan_binary.h"

struct builder {
	const struct graph *graph;
	struct plan *plan;
	struct constants *constants; /* the plan's */
	bool *reach, *done;
	uint32_t *n_uses; /* of a tensor, by operations that are reached and by `features` */
	int *consumer;    /* the last operation that uses it */
	int *buffer_of;   /* of a tensor */
	size_t op;        /* being planned, for sentences */
	struct err *err;
};

static const struct tensor *operand(const struct builder *b, const struct graph_op *op, size_t i)
{
	return &b->graph->tensors[op->inputs[i]];
}

/* ---- buffers ---- */

static size_t activation_bytes(const struct tensor *t)
{
	if (t->dtype == DTYPE_BITS)
		return (size_t)t->shape[0] * t->shape[1] * kernel_words(t->shape[2]) * sizeof(uint64_t);
	return t->n_elements * sizeof(float);
}

static int new_buffer(struct builder *b, size_t bytes, bool scratch)
{
	struct plan *plan = b->plan;
	uint32_t step = (uint32_t)plan->n_steps;
	plan->buffers = mem_grow(plan->buffers, plan->n_buffers, sizeof *plan->buffers);
	plan->buffers[plan->n_buffers] =
		(struct plan_buffer){.bytes = bytes, .first = step, .last = step, .scratch = scratch};
	return (int)plan->n_buffers++;
}

static int write_buffer(struct builder *b, uint32_t tensor)
{
	return b->buffer_of[tensor] = new_buffer(b, activation_bytes(&b->graph->tensors[tensor]), false);
}

static int read_buffer(struct builder *b, uint32_t tensor)
{
	int buffer = b->buffer_of[tensor];
	REQUIRE(buffer >= 0);
	b->plan->buffers[buffer].last = (uint32_t)b->plan->n_steps;
	return buffer;
}

static int buffer_compare(const void *pa, const void *pb)
{
	const struct plan_buffer *a = *(struct plan_buffer *const *)pa, *b = *(struct plan_buffer *const *)pb;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* Largest first, each at the lowest offset where no placed buffer that lives at the same time is. */
bool plan_place_buffers(struct plan_buffer *buffers, size_t n, size_t *ret_arena_bytes)
{
	struct plan_buffer **by_size = mem_zalloc(n, sizeof *by_size), **placed = mem_zalloc(n, sizeof *placed);
	size_t total = 0;
	for (size_t i = 0; i < n; i++)
		by_size[i] = &buffers[i];
	qsort(by_size, n, sizeof *by_size, buffer_compare);
	for (size_t i = 0; i < n && total <= BNN_ARENA_MAX_BYTES; i++) {
		struct plan_buffer *b = by_size[i];
		size_t bytes = (b->bytes + MEM_ALIGN_BYTES - 1) / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES, at = 0;
		for (size_t k = 0; k < i; k++) { /* placed is sorted by offset */
			const struct plan_buffer *p = placed[k];
			if (p->last < b->first || p->first > b->last)
				continue;
			if (at + bytes <= p->offset)
				break;
			size_t end = p->offset + (p->bytes + MEM_ALIGN_BYTES - 1) / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES;
			at = end > at ? end : at;
		}
		b->offset = at;
		total = at + bytes > total ? at + bytes : total;
		size_t k = i;
		for (; k > 0 && placed[k - 1]->offset > at; k--)
			placed[k] = placed[k - 1];
		placed[k] = b;
	}
	free(by_size);
	free(placed);
	*ret_arena_bytes = total;
	return total <= BNN_ARENA_MAX_BYTES;
}

/* ---- steps ---- */

static char *op_name(const struct graph *g, size_t index)
{
	char text[GRAPH_NAME_MAX_BYTES + 32];
	if (g->ops[index].name && *g->ops[index].name)
		snprintf(text, sizeof text, "%s", g->ops[index].name);
	else
		snprintf(text, sizeof text, "%zu.%s", index, op_kind_name(g->ops[index].kind));
	return mem_strdup(text);
}

static struct kernel_window window_of(const struct graph_op *op, const struct tensor *x, const struct tensor *y)
{
	const struct window *w = &op->window;
	return (struct kernel_window){x->shape[0], x->shape[1], x->shape[2], y->shape[0], y->shape[1], y->shape[2],
		w->kernel_y, w->kernel_x, w->stride_y, w->stride_x, w->dilation_y, w->dilation_x, w->pads.top,
		w->pads.left, w->pads.bottom, w->pads.right};
}

static int failed(const struct builder *b)
{
	return b->err && b->err->code ? -b->err->code : -ERR_RESOURCE_EXHAUSTED;
}

static int plan_conv(struct builder *b, const struct graph_op *op, struct plan_step *s)
{
	const struct tensor *x = operand(b, op, 0), *w = operand(b, op, 1), *y = &b->graph->tensors[op->outputs[0]];
	struct kernel_conv *k = &s->conv;
	k->win = window_of(op, x, y);
	k->groups = op->kind == OP_CONV2D ? op->groups : 1;
	k->multiplier = op->multiplier;
	if (op->kind == OP_DENSE)
		k->win.kernel_y = k->win.kernel_x = k->win.stride_y = k->win.stride_x = k->win.dilation_y =
			k->win.dilation_x = 1;
	uint32_t out_c = y->shape[2];
	float *bias = op->n_inputs == 3 ? constants_floats(b->constants, operand(b, op, 2), out_c, b->err)
					: constants_alloc(b->constants, kernel_padded(out_c), sizeof *bias, b->err);
	k->bias = bias;
	if (!bias)
		return failed(b);
	if (op->kind == OP_DEPTHWISE_CONV2D) {
		k->w = constants_floats(b->constants, w, w->n_elements, b->err);
		return k->w ? 0 : failed(b);
	}
	size_t n;
	if (!b->plan->kernels->conv_weights_size(k, &n))
		return err_set(b->err, ERR_RESOURCE_EXHAUSTED, "operation %zu: its weights are too large", b->op);
	float *packed = constants_alloc(b->constants, n, sizeof *packed, b->err);
	k->w = packed;
	if (!packed)
		return failed(b);
	float *plain = mem_try_aligned(w->n_elements * sizeof *plain);
	if (!plain)
		return err_set(b->err, ERR_RESOURCE_EXHAUSTED, "operation %zu: its weights are too large", b->op);
	tensor_floats(w, plain);
	b->plan->kernels->pack_conv_weights(k, plain, packed);
	free(plain);
	return 0;
}

static int plan_sign(struct builder *b, const struct graph_op *op, struct kernel_sign *k)
{
	uint32_t channels = operand(b, op, 0)->shape[2], words = kernel_words(channels);
	uint64_t *masks = constants_alloc(b->constants, (size_t)words * 3, sizeof *masks, b->err);
	k->channels = channels;
	k->t = masks ? constants_floats(b->constants, operand(b, op, 1), channels, b->err) : NULL;
	if (!k->t)
		return failed(b);
	for (uint32_t c = 0; c < channels; c++) {
		int rule = op->rules[op->n_rules == 1 ? 0 : c];
		masks[(size_t)(rule - SIGN_LESS) * words + c / 64] |= (uint64_t)1 << c % 64;
	}
	k->less = masks;
	k->greater = masks + words;
	k->less_equal = masks + 2 * words;
	return 0;
}

static int plan_arithmetic(struct builder *b, const struct graph_op *op, struct plan_step *s)
{
	const struct tensor *x = operand(b, op, 0), *v = operand(b, op, 1);
	s->vector = v->rank == 1 || memcmp(v->shape, x->shape, sizeof(uint32_t[3])) != 0;
	if (!v->is_constant) {
		s->v = read_buffer(b, op->inputs[1]);
		return 0;
	}
	s->v_constant = constants_floats(b->constants, v, v->n_elements, b->err);
	return s->v_constant ? 0 : failed(b);
}

static int plan_concat(struct builder *b, const struct graph_op *op, struct plan_step *s)
{
	uint32_t *channels = constants_alloc(b->constants, op->n_inputs, sizeof *channels, b->err);
	if (!channels)
		return failed(b);
	s->parts = mem_zalloc(op->n_inputs, sizeof *s->parts);
	for (size_t i = 0; i < op->n_inputs; i++) {
		s->parts[i] = read_buffer(b, op->inputs[i]);
		channels[i] = operand(b, op, i)->shape[2];
	}
	s->concat = (struct kernel_concat){op->n_inputs, channels};
	return 0;
}

static int plan_prelu(struct builder *b, const struct graph_op *op, struct plan_step *s)
{
	const float **to[] = {&s->slope, &s->before, &s->after};
	for (size_t i = 1; i < op->n_inputs; i++) {
		*to[i - 1] = constants_floats(b->constants, operand(b, op, i), operand(b, op, 0)->shape[2], b->err);
		if (!*to[i - 1])
			return failed(b);
	}
	return 0;
}

/* ---- fusion ---- */

/* The only operation that reads a tensor, or -1. */
static int only_consumer(const struct builder *b, uint32_t tensor)
{
	return b->n_uses[tensor] == 1 ? b->consumer[tensor] : -1;
}

static void label_add(struct plan_step *s, enum op_kind kind)
{
	size_t n = strlen(s->label);
	snprintf(s->label + n, sizeof s->label - n, "%s%s", n ? "+" : "", op_kind_name(kind));
}

static void fuse_one(struct builder *b, int op, struct plan_step *s, size_t *last)
{
	b->done[op] = true;
	*last = (size_t)op;
	label_add(s, b->graph->ops[op].kind);
	s->operations += b->graph->ops[op].operations;
}

static void fuse_clamp(struct builder *b, struct plan_step *s, size_t *last)
{
	int next = only_consumer(b, b->graph->ops[*last].outputs[0]);
	if (next < 0 || b->graph->ops[next].kind != OP_CLAMP)
		return;
	s->conv.has_clamp = true;
	s->conv.lo = b->graph->ops[next].lo;
	s->conv.hi = b->graph->ops[next].hi;
	fuse_one(b, next, s, last);
}

static void fuse_residual(struct builder *b, struct plan_step *s, size_t *last)
{
	const struct graph *g = b->graph;
	uint32_t result = g->ops[*last].outputs[0];
	int next = only_consumer(b, result);
	if (next < 0 || g->ops[next].kind != OP_ADD)
		return;
	uint32_t other = g->ops[next].inputs[g->ops[next].inputs[0] == result];
	const struct tensor *r = &g->tensors[other];
	if (r->is_constant || memcmp(r->shape, g->tensors[result].shape, sizeof(uint32_t[3])) != 0 ||
		b->buffer_of[other] < 0)
		return;
	s->v = read_buffer(b, other);
	fuse_one(b, next, s, last);
}

static int fuse_prelu(struct builder *b, struct plan_step *s, size_t *last)
{
	int next = only_consumer(b, b->graph->ops[*last].outputs[0]);
	if (next < 0 || b->graph->ops[next].kind != OP_PRELU || b->graph->ops[next].n_inputs != 2)
		return 0;
	int r = plan_prelu(b, &b->graph->ops[next], s);
	s->binary.slope = s->slope;
	fuse_one(b, next, s, last);
	return r;
}

/* The first sign of the chain's result. Returns whether that was its only reader: it need not be stored then. */
static int fuse_sign(struct builder *b, struct plan_step *s, size_t last, bool *ret_only_reader)
{
	const struct graph *g = b->graph;
	uint32_t result = g->ops[last].outputs[0];
	*ret_only_reader = false;
	for (size_t i = last + 1; i < g->n_ops; i++) {
		if (!b->reach[i] || b->done[i] || g->ops[i].kind != OP_SIGN || g->ops[i].inputs[0] != result)
			continue;
		int r = plan_sign(b, &g->ops[i], &s->sign);
		s->binary.sign = &s->sign;
		size_t ignored;
		fuse_one(b, (int)i, s, &ignored);
		s->bits_name = op_name(g, i);
		s->bits_tensor = g->ops[i].outputs[0];
		s->bits = write_buffer(b, s->bits_tensor);
		*ret_only_reader = b->n_uses[result] == 1;
		return r;
	}
	return 0;
}

static int plan_binary_conv(
	struct builder *b, const struct graph_op *op, struct plan_step *s, size_t *last, bool *store)
{
	const struct graph *g = b->graph;
	s->binary.win = window_of(op, operand(b, op, 0), &g->tensors[op->outputs[0]]);
	int r = plan_binary_constants(b->constants, b->plan->kernels, g, op, &s->binary, b->err);
	if (r)
		return r;
	if (b->plan->kernels->fuses) {
		fuse_residual(b, s, last);
		r = fuse_prelu(b, s, last);
		bool only_reader = false;
		if (!r)
			r = fuse_sign(b, s, *last, &only_reader);
		*store = !only_reader;
	}
	size_t scratch = b->plan->kernels->binary_scratch(&s->binary);
	if (scratch)
		s->scratch = new_buffer(b, scratch, true);
	return r;
}

/* ---- the whole ---- */

static int plan_op_operands(
	struct builder *b, const struct graph_op *op, struct plan_step *s, size_t *last, bool *store)
{
	int r;
	switch (op->kind) {
	case OP_CONV2D:
	case OP_DEPTHWISE_CONV2D:
	case OP_DENSE:
		r = plan_conv(b, op, s);
		if (!r && b->plan->kernels->fuses)
			fuse_clamp(b, s, last);
		return r;
	case OP_BINARY_CONV2D:
		return plan_binary_conv(b, op, s, last, store);
	case OP_SIGN:
		return plan_sign(b, op, &s->sign);
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
		return plan_arithmetic(b, op, s);
	case OP_PRELU:
		return plan_prelu(b, op, s);
	case OP_CLAMP:
		s->lo = op->lo;
		s->hi = op->hi;
		return 0;
	case OP_CONCAT:
		return plan_concat(b, op, s);
	case OP_MAX_POOL:
	case OP_AVG_POOL:
		s->pool.win = window_of(op, operand(b, op, 0), &b->graph->tensors[op->outputs[0]]);
		s->pool.count_padding = op->count_padding;
		return 0;
	case OP_MEAN:
	case OP_SQRT:
	case OP_L2:
		return 0; /* nothing more */
	case OP_DEVIATION:
		s->v = read_buffer(b, op->inputs[1]);
		return 0;
	case OP_UNPACK:
	case OP_BINARY_MAX_POOL:
	case OP_SPLIT:
	case OP_PAD:
	case OP_SIGMOID:
	case OP_RESHAPE:
	case OP_QUANTIZE:
	case OP_DEQUANTIZE:
	case OP_SOFTMAX:
		break;
	}
	return err_set(b->err, ERR_UNIMPLEMENTED, "operation %zu '%s' has no step", b->op, op_kind_name(op->kind));
}

static int plan_op(struct builder *b, size_t index)
{
	const struct graph *g = b->graph;
	const struct graph_op *op = &g->ops[index];
	struct plan *plan = b->plan;
	struct plan_step *s = &plan->steps[plan->n_steps];
	const struct tensor *x = operand(b, op, 0), *y = &g->tensors[op->outputs[0]];
	*s = (struct plan_step){.kind = op->kind,
		.height = y->shape[0],
		.width = y->shape[1],
		.channels = y->shape[2],
		.v = PLAN_NO_BUFFER,
		.y = PLAN_NO_BUFFER,
		.bits = PLAN_NO_BUFFER,
		.scratch = PLAN_NO_BUFFER,
		.n_pixels_in = (size_t)x->shape[0] * x->shape[1],
		.operations = op->operations};
	label_add(s, op->kind);
	s->x = read_buffer(b, op->inputs[0]);
	size_t last = index;
	bool store = true;
	b->op = index;
	int r = plan_op_operands(b, op, s, &last, &store);
	s->name = op_name(g, last);
	uint32_t result = g->ops[last].outputs[0];
	if (op->kind == OP_SIGN) {
		s->bits_tensor = result;
		s->bits = write_buffer(b, result);
		s->bits_name = mem_strdup(s->name);
	} else if (store) {
		s->y_tensor = result;
		s->y = write_buffer(b, result);
	}
	b->done[index] = true;
	plan->n_steps++;
	return r;
}

static void count_uses(struct builder *b)
{
	const struct graph *g = b->graph;
	for (size_t i = 0; i < g->n_ops; i++)
		for (size_t k = 0; b->reach[i] && k < g->ops[i].n_inputs; k++) {
			b->n_uses[g->ops[i].inputs[k]]++;
			b->consumer[g->ops[i].inputs[k]] = (int)i;
		}
	b->n_uses[g->features] += 2; /* never anybody's only operand */
}

static int plan_input(struct builder *b)
{
	const struct graph *g = b->graph;
	struct plan *plan = b->plan;
	const struct tensor *x = &g->tensors[g->input];
	plan->table = constants_floats(b->constants, &g->tensors[g->table], g->tensors[g->table].n_elements, b->err);
	if (!plan->table)
		return failed(b);
	plan->steps[0] = (struct plan_step){.is_input = true,
		.name = mem_strdup("input"),
		.label = "input",
		.height = x->shape[0],
		.width = x->shape[1],
		.channels = x->shape[2],
		.x = PLAN_NO_BUFFER,
		.v = PLAN_NO_BUFFER,
		.bits = PLAN_NO_BUFFER,
		.scratch = PLAN_NO_BUFFER,
		.y_tensor = g->input,
		.y = write_buffer(b, g->input),
		.n_pixels_in = (size_t)x->shape[0] * x->shape[1]};
	plan->n_steps = 1;
	return 0;
}

static int build(struct builder *b)
{
	const struct graph *g = b->graph;
	struct plan *plan = b->plan;
	int r = plan_input(b);
	for (size_t i = 0; i < g->n_ops && !r; i++) {
		if (!b->reach[i] || b->done[i])
			continue;
		plan->multiply_adds += g->ops[i].multiply_adds;
		plan->binary_multiply_adds += g->ops[i].binary_multiply_adds;
		r = plan_op(b, i);
	}
	if (r)
		return r;
	plan->features = read_buffer(b, g->features); /* after the last step */
	if (!plan_place_buffers(plan->buffers, plan->n_buffers, &plan->arena_bytes))
		return err_set(b->err, ERR_RESOURCE_EXHAUSTED, "a forward pass takes an arena above %d MiB",
			BNN_ARENA_MAX_BYTES >> 20);
	return 0;
}

int plan_init(struct plan *plan, const struct graph *graph, const struct kernels *kernels, struct err *err)
{
	*plan = (struct plan){.kernels = kernels};
	plan->steps = mem_zalloc(graph->n_ops + 1, sizeof *plan->steps);
	struct builder b = {.graph = graph,
		.plan = plan,
		.constants = &plan->constants,
		.reach = mem_zalloc(graph->n_ops, sizeof(bool)),
		.done = mem_zalloc(graph->n_ops, sizeof(bool)),
		.n_uses = mem_zalloc(graph->n_tensors, sizeof(uint32_t)),
		.consumer = mem_zalloc(graph->n_tensors, sizeof(int)),
		.buffer_of = mem_zalloc(graph->n_tensors, sizeof(int)),
		.err = err};
	for (size_t i = 0; i < graph->n_tensors; i++)
		b.buffer_of[i] = PLAN_NO_BUFFER;
	graph_reach(graph, b.reach);
	count_uses(&b);
	int r = build(&b);
	free(b.reach);
	free(b.done);
	free(b.n_uses);
	free(b.consumer);
	free(b.buffer_of);
	return r;
}

void plan_deinit(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_steps; i++) {
		free(plan->steps[i].name);
		free(plan->steps[i].bits_name);
		free(plan->steps[i].parts);
	}
	free(plan->steps);
	free(plan->buffers);
	constants_deinit(&plan->constants);
	*plan = (struct plan){0};
}
