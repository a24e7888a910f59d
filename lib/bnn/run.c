/* SPDX-License-Identifier: MIT */
/* lib/bnn/run.c: the forward pass: the plan's steps over one arena. Allocates nothing, cannot fail, logs nothing;
 * the model is read-only, so any number of runs may go at once. Only the trace, for tests and bench, allocates.
 */
#include "lib/bnn/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"

struct bnn_run *bnn_run_new(const struct bnn_model *model)
{
	struct bnn_run *run = mem_zalloc(1, sizeof *run);
	run->model = model;
	run->arena = mem_aligned(model->plan.arena_bytes);
	return run;
}

void bnn_run_free(struct bnn_run *run)
{
	if (!run)
		return;
	free(run->arena);
	free(run);
}

void *run_buffer(const struct bnn_run *run, int buffer)
{
	return buffer == PLAN_NO_BUFFER ? NULL : run->arena + run->model->plan.buffers[buffer].offset;
}

/* The table is [3, 256]: byte -> number, a channel. */
static void run_input(const struct plan *plan, size_t n_pixels, const uint8_t *pixels, float *y)
{
	for (size_t i = 0; i < n_pixels; i++, pixels += 3, y += 3) {
		y[0] = plan->table[pixels[0]];
		y[1] = plan->table[256 + pixels[1]];
		y[2] = plan->table[512 + pixels[2]];
	}
}

_Static_assert(OP_SUB - OP_ADD == KERNEL_SUB && OP_MUL - OP_ADD == KERNEL_MUL, "add, sub, mul in the same order");

void step_execute(const struct plan *plan, const struct plan_step *s, const struct step_operands *o)
{
	const struct kernels *k = plan->kernels;
	const float *v = s->v_constant ? s->v_constant : o->v;
	size_t n_out = (size_t)s->height * s->width * s->channels;
	if (s->is_input) {
		run_input(plan, s->n_pixels_in, o->x, o->y);
		return;
	}
	switch (s->kind) {
	case OP_CONV2D:
	case OP_DENSE:
		k->conv2d(&s->conv, o->x, o->y);
		break;
	case OP_DEPTHWISE_CONV2D:
		k->depthwise(&s->conv, o->x, o->y);
		break;
	case OP_SIGN:
		k->sign(&s->sign, s->n_pixels_in, o->x, o->bits);
		break;
	case OP_BINARY_CONV2D:
		k->binary_conv2d(&s->binary, o->x, v, o->y, o->bits, o->scratch);
		break;
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
		k->arithmetic((enum kernel_arithmetic)(s->kind - OP_ADD), s->n_pixels_in, s->channels, s->vector, o->x,
			v, o->y);
		break;
	case OP_CLAMP:
		k->clamp(n_out, s->lo, s->hi, o->x, o->y);
		break;
	case OP_PRELU:
		k->prelu(s->n_pixels_in, s->channels, s->slope, s->before, s->after, o->x, o->y);
		break;
	case OP_CONCAT:
		k->concat(&s->concat, s->n_pixels_in, o->parts, o->y);
		break;
	case OP_MAX_POOL:
		k->max_pool(&s->pool, o->x, o->y);
		break;
	case OP_AVG_POOL:
		k->avg_pool(&s->pool, o->x, o->y);
		break;
	case OP_MEAN:
		k->mean(s->n_pixels_in, s->channels, o->x, o->y);
		break;
	case OP_SQRT:
		k->sqrt(n_out, o->x, o->y);
		break;
	case OP_L2:
		k->l2(s->n_pixels_in, s->channels, o->x, o->y);
		break;
	case OP_DEVIATION:
		k->deviation(s->n_pixels_in, s->channels, o->x, v, o->y);
		break;
	case OP_UNPACK:
	case OP_BINARY_MAX_POOL:
	case OP_SPLIT:
	case OP_PAD:
	case OP_SIGMOID:
	case OP_RESHAPE:
	case OP_QUANTIZE:
	case OP_DEQUANTIZE:
	case OP_SOFTMAX:
		break; /* check_op.c lets none of them through */
	}
}

static void run_step(struct bnn_run *run, const struct plan_step *s, const uint8_t *pixels)
{
	const float *parts[GRAPH_INPUTS_MAX];
	for (size_t i = 0; i < s->concat.n; i++)
		parts[i] = run_buffer(run, s->parts[i]);
	struct step_operands o = {s->is_input ? pixels : run_buffer(run, s->x), run_buffer(run, s->v),
		run_buffer(run, s->y), run_buffer(run, s->bits), run_buffer(run, s->scratch), parts};
	step_execute(&run->model->plan, s, &o);
}

/* A model whose numbers overflow must not hand NaN to who learns: such features are all zero. */
static void copy_features(const struct bnn_run *run, float *ret_features)
{
	uint32_t n = run->model->info.n_features;
	memcpy(ret_features, run_buffer(run, run->model->plan.features), n * sizeof *ret_features);
	for (uint32_t i = 0; i < n; i++)
		if (!isfinite(ret_features[i])) {
			memset(ret_features, 0, n * sizeof *ret_features);
			return;
		}
}

void bnn_run_features(struct bnn_run *run, const uint8_t *pixels, float *ret_features)
{
	const struct plan *plan = &run->model->plan;
	for (size_t i = 0; i < plan->n_steps; i++)
		run_step(run, &plan->steps[i], pixels);
	copy_features(run, ret_features);
}

static void trace_bits(const struct bnn_run *run, const struct plan_step *s, uint64_t ns, bnn_trace_fn *fn, void *ctx)
{
	size_t n_pixels = (size_t)s->height * s->width;
	const uint64_t *bits = run_buffer(run, s->bits);
	uint8_t *bytes = mem_zalloc(n_pixels, s->channels);
	for (size_t p = 0; p < n_pixels; p++)
		for (uint32_t c = 0; c < s->channels; c++)
			bytes[p * s->channels + c] = bits[p * kernel_words(s->channels) + c / 64] >> c % 64 & 1;
	struct bnn_trace_step step = {s->bits_name, s->label, s->height, s->width, s->channels, 'b', bytes, ns};
	fn(ctx, &step);
	free(bytes);
}

void bnn_run_traced(struct bnn_run *run, const uint8_t *pixels, float *ret_features, bnn_trace_fn *fn, void *ctx)
{
	const struct plan *plan = &run->model->plan;
	for (size_t i = 0; i < plan->n_steps; i++) {
		const struct plan_step *s = &plan->steps[i];
		uint64_t start = clock_ns();
		run_step(run, s, pixels);
		uint64_t ns = clock_ns() - start;
		if (s->y != PLAN_NO_BUFFER) {
			struct bnn_trace_step step = {
				s->name, s->label, s->height, s->width, s->channels, 'f', run_buffer(run, s->y), ns};
			fn(ctx, &step);
			ns = 0; /* counted once */
		}
		if (s->bits != PLAN_NO_BUFFER)
			trace_bits(run, s, ns, fn, ctx);
	}
	copy_features(run, ret_features);
}
