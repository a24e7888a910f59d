/* SPDX-License-Identifier: MIT */
/* lib/bnn/check.c: is the graph sound? Shapes are inferred and compared, never believed.
 *
 * Invariant: a graph that passes can be planned and run without a further check: every size fits its type, every
 * constant has exactly its bytes, every operand is there before it is read, every operation has a kernel.
 * Each refusal names the operation or tensor and what is wrong with it.
 */
#include "lib/bnn/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/text.h"

/* Where the check is: filled once an operation. */
struct op_check {
	const struct graph *graph;
	struct graph_op *op;
	size_t index;
	struct err *err;
};

__attribute__((format(printf, 3, 4))) static int refuse(
	const struct op_check *c, enum err_code code, const char *format, ...)
{
	char text[ERR_TEXT_BYTES];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	return err_set(c->err, code, "operation %zu '%s': %s", c->index, op_kind_name(c->op->kind), text);
}
#define BAD(c, ...) refuse(c, ERR_INVALID_ARGUMENT, __VA_ARGS__)

static const struct tensor *input(const struct op_check *c, size_t i)
{
	return &c->graph->tensors[c->op->inputs[i]];
}

static const struct tensor *output(const struct op_check *c, size_t i)
{
	return &c->graph->tensors[c->op->outputs[i]];
}

/* ---- constants and tensors ---- */

static uint64_t element_bits(enum dtype dtype)
{
	switch (dtype) {
	case DTYPE_BITS:
		return 1;
	case DTYPE_I8:
		return 8;
	case DTYPE_I16:
	case DTYPE_F16:
		return 16;
	default:
		return 32;
	}
}

/* Each run of the last axis of BITS starts a new 32-bit word. n_elements <= 2^33. */
static uint64_t constant_bytes(const struct tensor *t)
{
	if (t->dtype != DTYPE_BITS)
		return t->n_elements * element_bits(t->dtype) / 8;
	uint64_t last = t->shape[t->rank - 1];
	return t->n_elements / last * ((last + 31) / 32) * 4;
}

static bool constant_is_finite(const struct tensor *t)
{
	if (t->dtype == DTYPE_F32)
		for (uint64_t i = 0; i < t->n_elements; i++)
			if ((load_le32(t->data + 4 * i) & 0x7F800000u) == 0x7F800000u)
				return false;
	if (t->dtype == DTYPE_F16)
		for (uint64_t i = 0; i < t->n_elements; i++)
			if ((load_le16(t->data + 2 * i) & 0x7C00u) == 0x7C00u)
				return false;
	return true;
}

static bool pad_bits_are_zero(const struct tensor *t)
{
	uint32_t last = t->shape[t->rank - 1];
	if (t->dtype != DTYPE_BITS || last % 32 == 0)
		return true;
	uint64_t words = (last + 31) / 32;
	uint32_t mask = ~((1u << last % 32) - 1);
	for (uint64_t end = words; end * 4 <= t->length; end += words)
		if (load_le32(t->data + 4 * (end - 1)) & mask)
			return false;
	return true;
}

static int check_tensor(struct tensor *t, size_t index, struct err *err)
{
	t->n_elements = 1;
	for (uint32_t i = 0; i < t->rank; i++) {
		if (!t->shape[i])
			return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: a side is 0", index);
		if (__builtin_mul_overflow(t->n_elements, t->shape[i], &t->n_elements) ||
			t->n_elements > (uint64_t)GRAPH_DATA_MAX_BYTES * 8)
			return err_set(
				err, ERR_RESOURCE_EXHAUSTED, "tensor %zu: its shape has too many elements", index);
	}
	if (t->has_quantization && (t->dtype == DTYPE_BITS || t->dtype == DTYPE_F16 || t->dtype == DTYPE_F32))
		return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: scale and zero_point belong to integers", index);
	if (t->has_quantization && !(t->scale > 0))
		return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: its scale is not above 0", index);
	if (t->name && strlen(t->name) > GRAPH_NAME_MAX_BYTES)
		return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: its name is longer than %d bytes", index,
			GRAPH_NAME_MAX_BYTES);
	if (t->is_constant) {
		if (t->length != constant_bytes(t))
			return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: %llu bytes where its shape takes %llu",
				index, (unsigned long long)t->length, (unsigned long long)constant_bytes(t));
		if (!constant_is_finite(t))
			return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: a number in it is not finite", index);
		if (!pad_bits_are_zero(t))
			return err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu: a pad bit is not zero", index);
		return 0;
	}
	if (t->rank != 3 || t->shape[0] > GRAPH_SIDE_MAX || t->shape[1] > GRAPH_SIDE_MAX ||
		t->shape[2] > GRAPH_CHANNELS_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT,
			"tensor %zu: an activation is height x width x channels, at most %d x %d x %d", index,
			GRAPH_SIDE_MAX, GRAPH_SIDE_MAX, GRAPH_CHANNELS_MAX);
	if (t->n_elements * element_bits(t->dtype) / 8 > BNN_ARENA_MAX_BYTES)
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "tensor %zu: an activation above the arena's %d MiB", index,
			BNN_ARENA_MAX_BYTES >> 20);
	return 0;
}

/* ---- operands ---- */

static bool is_float_constant(const struct tensor *t)
{
	return t->is_constant && (t->dtype == DTYPE_F32 || t->dtype == DTYPE_F16);
}

/* Operand i: an activation (not a constant) of this dtype. */
static int need_activation(const struct op_check *c, size_t i, enum dtype dtype)
{
	const struct tensor *t = input(c, i);
	if (t->is_constant || t->dtype != dtype)
		return BAD(c, "input %zu is not %s activation", i, dtype == DTYPE_BITS ? "a BITS" : "an F32");
	return 0;
}

/* Operand i: a float constant of exactly this shape (rank and sides). */
static int need_constant(const struct op_check *c, size_t i, uint32_t rank, const uint64_t *shape)
{
	const struct tensor *t = input(c, i);
	if (!is_float_constant(t))
		return BAD(c, "input %zu is not a float constant", i);
	bool same = t->rank == rank;
	for (uint32_t k = 0; k < rank && same; k++)
		same = t->shape[k] == shape[k];
	return same ? 0 : BAD(c, "input %zu has the wrong shape", i);
}

static int need_vector(const struct op_check *c, size_t i, uint32_t n)
{
	return need_constant(c, i, 1, (const uint64_t[]){n});
}

static int need_output(const struct op_check *c, size_t i, uint64_t h, uint64_t w, uint64_t channels, enum dtype dtype)
{
	const struct tensor *t = output(c, i);
	if (t->shape[0] != h || t->shape[1] != w || t->shape[2] != channels)
		return BAD(c, "output %zu should be %llu x %llu x %llu, the file says %u x %u x %u", i,
			(unsigned long long)h, (unsigned long long)w, (unsigned long long)channels, t->shape[0],
			t->shape[1], t->shape[2]);
	if (t->dtype != dtype)
		return BAD(c, "output %zu has the wrong dtype", i);
	bool integer = dtype == DTYPE_I8 || dtype == DTYPE_I16 || dtype == DTYPE_I32;
	if (integer != t->has_quantization)
		return BAD(c, "output %zu: scale and zero_point are there exactly for integers", i);
	return 0;
}

static int need_same_output(const struct op_check *c, const struct tensor *x, enum dtype dtype)
{
	return need_output(c, 0, x->shape[0], x->shape[1], x->shape[2], dtype);
}

static int need_counts(const struct op_check *c, size_t min_in, size_t max_in, size_t n_out)
{
	if (c->op->n_inputs < min_in || c->op->n_inputs > max_in)
		return BAD(c, "%zu inputs", c->op->n_inputs);
	if (n_out && c->op->n_outputs != n_out)
		return BAD(c, "%zu outputs", c->op->n_outputs);
	return 0;
}

static bool window_value_ok(uint32_t v)
{
	return v >= 1 && v <= GRAPH_KERNEL_MAX;
}

static bool window_side(uint32_t in, uint32_t before, uint32_t after, uint32_t kernel, uint32_t stride,
	uint32_t dilation, uint32_t *ret_out)
{
	uint32_t extent = window_extent(kernel, dilation);
	if (before >= extent || after >= extent || in + before + after < extent)
		return false;
	*ret_out = (in + before + after - extent) / stride + 1;
	return true;
}

static int window_output(const struct op_check *c, const struct tensor *x, uint32_t *ret_h, uint32_t *ret_w)
{
	const struct window *w = &c->op->window;
	if (!window_value_ok(w->kernel_y) || !window_value_ok(w->kernel_x) || !window_value_ok(w->stride_y) ||
		!window_value_ok(w->stride_x) || !window_value_ok(w->dilation_y) || !window_value_ok(w->dilation_x))
		return BAD(c, "kernel, stride and dilation are 1 to %d", GRAPH_KERNEL_MAX);
	if (!window_side(x->shape[0], w->pads.top, w->pads.bottom, w->kernel_y, w->stride_y, w->dilation_y, ret_h) ||
		!window_side(x->shape[1], w->pads.left, w->pads.right, w->kernel_x, w->stride_x, w->dilation_x, ret_w))
		return BAD(c, "each pad must be smaller than the dilated kernel, and the padded map at least as large");
	return 0;
}

/* A pool's window must hold at least one pixel everywhere: with dilation it can miss a small map. */
static bool pool_side_ok(
	uint32_t in, uint32_t before, uint32_t kernel, uint32_t stride, uint32_t dilation, uint32_t out)
{
	for (uint32_t o = 0; o < out; o++) {
		bool inside = false;
		for (uint32_t k = 0; k < kernel && !inside; k++) {
			int64_t at = (int64_t)o * stride + (int64_t)k * dilation - before;
			inside = at >= 0 && at < in;
		}
		if (!inside)
			return false;
	}
	return true;
}

/* Multiply-adds of `outputs` sums of `taps`; false when they do not fit the counters. */
static int count_sums(const struct op_check *c, const struct tensor *out, uint64_t taps, bool binary)
{
	uint64_t n;
	if (taps > GRAPH_TAPS_MAX && binary)
		return refuse(c, ERR_RESOURCE_EXHAUSTED, "more than %d taps", GRAPH_TAPS_MAX);
	if (__builtin_mul_overflow(out->n_elements, taps, &n) || n > BNN_OPERATIONS_MAX)
		return refuse(
			c, ERR_RESOURCE_EXHAUSTED, "more than %llu G operations", BNN_OPERATIONS_MAX / 1000000000u);
	c->op->operations = n;
	*(binary ? &c->op->binary_multiply_adds : &c->op->multiply_adds) = n;
	return 0;
}

#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		int try_result = (call);                                                                               \
		if (try_result)                                                                                        \
			return try_result;                                                                             \
	} while (0)

/* ---- one function a family of operations ---- */

static int check_sign(const struct op_check *c)
{
	TRY(need_counts(c, 2, 2, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *x = input(c, 0), *t = input(c, 1);
	if (!is_float_constant(t) || t->rank != 1 || (t->shape[0] != 1 && t->shape[0] != x->shape[2]))
		return BAD(c, "the thresholds are not a float constant [C] or [1]");
	if (c->op->n_rules != 1 && c->op->n_rules != x->shape[2])
		return BAD(c, "%zu rules: neither one nor one a channel", c->op->n_rules);
	return need_same_output(c, x, DTYPE_BITS);
}

static int check_binary_conv2d(const struct op_check *c)
{
	struct graph_op *op = c->op;
	TRY(need_counts(c, 3, 4, 1));
	TRY(need_activation(c, 0, DTYPE_BITS));
	const struct tensor *x = input(c, 0), *w = input(c, 1), *y = output(c, 0);
	if (!w->is_constant || w->dtype != DTYPE_BITS || w->rank != 4)
		return BAD(c, "the weights are not a BITS constant of rank 4");
	if (!op->groups || x->shape[2] % op->groups || w->shape[0] % op->groups)
		return BAD(c, "%u groups do not divide the channels", op->groups);
	if (w->shape[1] != op->window.kernel_y || w->shape[2] != op->window.kernel_x ||
		w->shape[3] != x->shape[2] / op->groups)
		return BAD(c, "input 1 has the wrong shape");
	if (op->pad_value < -1 || op->pad_value > 1)
		return BAD(c, "pad_value %d is not -1, 0 or +1", op->pad_value);
	if (op->clamp_lo > op->clamp_hi)
		return BAD(c, "clamp_lo is above clamp_hi");
	if (y->dtype == DTYPE_BITS) {
		const struct tensor *t = input(c, 2);
		if (op->n_inputs != 3 || !t->is_constant || t->dtype != DTYPE_I32 || t->rank != 1 ||
			t->shape[0] != w->shape[0])
			return BAD(c, "the thresholds of a BITS output are not an I32 constant [O]");
	} else {
		if (op->n_inputs != 4)
			return BAD(c, "scale and shift are not there");
		TRY(need_vector(c, 2, w->shape[0]));
		TRY(need_vector(c, 3, w->shape[0]));
	}
	uint32_t h, width;
	TRY(window_output(c, x, &h, &width));
	if (y->dtype != DTYPE_BITS && y->dtype != DTYPE_F32 && y->dtype != DTYPE_I8)
		return BAD(c, "output 0 has the wrong dtype");
	TRY(need_output(c, 0, h, width, w->shape[0], y->dtype));
	return count_sums(c, y, (uint64_t)w->shape[1] * w->shape[2] * w->shape[3], true);
}

static int check_bias(const struct op_check *c, uint32_t n)
{
	return c->op->n_inputs == 3 ? need_vector(c, 2, n) : 0;
}

static int check_conv2d(const struct op_check *c)
{
	TRY(need_counts(c, 2, 3, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *x = input(c, 0), *w = input(c, 1);
	const struct window *win = &c->op->window;
	uint32_t groups = c->op->groups, out_c = w->shape[0], h, width;
	if (!groups || x->shape[2] % groups || out_c % groups)
		return BAD(c, "%u groups do not divide the channels", groups);
	TRY(need_constant(c, 1, 4, (const uint64_t[]){out_c, win->kernel_y, win->kernel_x, x->shape[2] / groups}));
	TRY(check_bias(c, out_c));
	TRY(window_output(c, x, &h, &width));
	TRY(need_output(c, 0, h, width, out_c, DTYPE_F32));
	return count_sums(c, output(c, 0), (uint64_t)win->kernel_y * win->kernel_x * (x->shape[2] / groups), false);
}

static int check_depthwise(const struct op_check *c)
{
	TRY(need_counts(c, 2, 3, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *x = input(c, 0);
	const struct window *win = &c->op->window;
	uint64_t out_c = (uint64_t)x->shape[2] * c->op->multiplier;
	if (!c->op->multiplier || out_c > GRAPH_CHANNELS_MAX)
		return BAD(c, "multiplier %u", c->op->multiplier);
	TRY(need_constant(c, 1, 3, (const uint64_t[]){win->kernel_y, win->kernel_x, out_c}));
	TRY(check_bias(c, (uint32_t)out_c));
	uint32_t h, width;
	TRY(window_output(c, x, &h, &width));
	TRY(need_output(c, 0, h, width, out_c, DTYPE_F32));
	return count_sums(c, output(c, 0), (uint64_t)win->kernel_y * win->kernel_x, false);
}

static int check_dense(const struct op_check *c)
{
	TRY(need_counts(c, 2, 3, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *x = input(c, 0), *w = input(c, 1);
	if (x->shape[0] != 1 || x->shape[1] != 1)
		return BAD(c, "input 0 is not 1 x 1 x I");
	TRY(need_constant(c, 1, 2, (const uint64_t[]){w->shape[0], x->shape[2]}));
	TRY(check_bias(c, w->shape[0]));
	TRY(need_output(c, 0, 1, 1, w->shape[0], DTYPE_F32));
	return count_sums(c, output(c, 0), x->shape[2], false);
}

/* add, sub, mul: equal shapes, or the second 1 x 1 x C or [C], constant or computed. */
static int check_arithmetic(const struct op_check *c)
{
	TRY(need_counts(c, 2, 2, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *x = input(c, 0), *v = input(c, 1);
	if (v->dtype != DTYPE_F32 && !is_float_constant(v))
		return BAD(c, "input 1 is not of floats");
	bool equal = v->rank == 3 && !memcmp(v->shape, x->shape, sizeof(uint32_t[3]));
	bool vector =
		v->n_elements == x->shape[2] && v->shape[v->rank - 1] == x->shape[2] && (v->rank == 1 || v->rank == 3);
	if (!equal && !vector)
		return BAD(c, "input 1 has neither the shape of input 0 nor one value a channel");
	return need_same_output(c, x, DTYPE_F32);
}

static int check_prelu(const struct op_check *c)
{
	if (c->op->n_inputs != 2 && c->op->n_inputs != 4)
		return BAD(c, "%zu inputs", c->op->n_inputs);
	TRY(need_counts(c, 2, 4, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	for (size_t i = 1; i < c->op->n_inputs; i++)
		TRY(need_vector(c, i, input(c, 0)->shape[2]));
	return need_same_output(c, input(c, 0), DTYPE_F32);
}

static int check_pool(const struct op_check *c, enum dtype dtype)
{
	TRY(need_counts(c, 1, 1, 1));
	TRY(need_activation(c, 0, dtype));
	const struct tensor *x = input(c, 0);
	const struct window *w = &c->op->window;
	uint32_t h, width;
	TRY(window_output(c, x, &h, &width));
	if (!pool_side_ok(x->shape[0], w->pads.top, w->kernel_y, w->stride_y, w->dilation_y, h) ||
		!pool_side_ok(x->shape[1], w->pads.left, w->kernel_x, w->stride_x, w->dilation_x, width))
		return BAD(c, "a window holds no pixel of the map");
	TRY(need_output(c, 0, h, width, x->shape[2], dtype));
	TRY(count_sums(c, output(c, 0), (uint64_t)w->kernel_y * w->kernel_x, false));
	c->op->multiply_adds = 0; /* work, but no multiplication */
	return 0;
}

static int check_concat(const struct op_check *c)
{
	TRY(need_counts(c, 1, GRAPH_INPUTS_MAX, 1));
	const struct tensor *x = input(c, 0);
	if (x->dtype != DTYPE_F32 && x->dtype != DTYPE_BITS)
		return BAD(c, "input 0 is neither F32 nor BITS");
	uint64_t channels = 0;
	for (size_t i = 0; i < c->op->n_inputs; i++) {
		const struct tensor *t = input(c, i);
		TRY(need_activation(c, i, x->dtype));
		if (t->shape[0] != x->shape[0] || t->shape[1] != x->shape[1])
			return BAD(c, "input %zu has another height or width", i);
		if (t->dtype == DTYPE_BITS && t->shape[2] % 32)
			return BAD(c, "input %zu: bits are joined in whole words of 32", i);
		channels += t->shape[2];
	}
	return need_output(c, 0, x->shape[0], x->shape[1], channels, x->dtype);
}

static int check_split(const struct op_check *c)
{
	TRY(need_counts(c, 1, 1, 0));
	TRY(need_activation(c, 0, DTYPE_F32));
	if (!c->op->n_outputs || c->op->n_sizes != c->op->n_outputs)
		return BAD(c, "%zu sizes for %zu outputs", c->op->n_sizes, c->op->n_outputs);
	const struct tensor *x = input(c, 0);
	uint64_t sum = 0;
	for (size_t i = 0; i < c->op->n_sizes; i++) {
		sum += c->op->sizes[i];
		TRY(need_output(c, i, x->shape[0], x->shape[1], c->op->sizes[i], DTYPE_F32));
	}
	return sum == x->shape[2] ? 0 : BAD(c, "the sizes do not add up to the channels");
}

static int check_pad(const struct op_check *c)
{
	TRY(need_counts(c, 1, 1, 1));
	const struct tensor *x = input(c, 0);
	enum dtype dtype = x->dtype == DTYPE_BITS ? DTYPE_BITS : DTYPE_F32;
	TRY(need_activation(c, 0, dtype));
	if (dtype == DTYPE_BITS && c->op->value != 1 && c->op->value != -1)
		return BAD(c, "bits are padded with +1 or -1");
	const struct pads *p = &c->op->pads;
	return need_output(c, 0, (uint64_t)x->shape[0] + p->top + p->bottom, (uint64_t)x->shape[1] + p->left + p->right,
		x->shape[2], dtype);
}

static int check_clamp(const struct op_check *c)
{
	TRY(need_counts(c, 1, 1, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	if (c->op->lo > c->op->hi)
		return BAD(c, "lo is above hi");
	return need_same_output(c, input(c, 0), DTYPE_F32);
}

static int check_reshape(const struct op_check *c)
{
	TRY(need_counts(c, 1, 1, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *y = output(c, 0);
	if (c->op->n_sizes != 3 || memcmp(c->op->sizes, y->shape, sizeof(uint32_t[3])) != 0 ||
		y->n_elements != input(c, 0)->n_elements || y->dtype != DTYPE_F32)
		return BAD(c, "shape, output and input do not agree");
	return 0;
}

static int check_quantize(const struct op_check *c, bool quantize)
{
	TRY(need_counts(c, 1, 1, 1));
	const struct tensor *x = input(c, 0), *y = output(c, 0), *q = quantize ? y : x;
	if (x->is_constant || (quantize ? x->dtype : y->dtype) != DTYPE_F32 || !q->has_quantization)
		return BAD(c, "it lies between F32 and a quantized integer activation");
	return need_same_output(c, x, y->dtype);
}

/* F32 in, the same shape out. */
static int check_elementwise(const struct op_check *c)
{
	TRY(need_counts(c, 1, 1, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	return need_same_output(c, input(c, 0), DTYPE_F32);
}

static int check_operation(const struct op_check *c)
{
	switch (c->op->kind) {
	case OP_SIGN:
		return check_sign(c);
	case OP_UNPACK:
		TRY(need_counts(c, 1, 1, 1));
		TRY(need_activation(c, 0, DTYPE_BITS));
		return need_same_output(c, input(c, 0), DTYPE_F32);
	case OP_BINARY_CONV2D:
		return check_binary_conv2d(c);
	case OP_BINARY_MAX_POOL:
		return check_pool(c, DTYPE_BITS);
	case OP_CONV2D:
		return check_conv2d(c);
	case OP_DEPTHWISE_CONV2D:
		return check_depthwise(c);
	case OP_DENSE:
		return check_dense(c);
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
		return check_arithmetic(c);
	case OP_CONCAT:
		return check_concat(c);
	case OP_SPLIT:
		return check_split(c);
	case OP_PAD:
		return check_pad(c);
	case OP_CLAMP:
		return check_clamp(c);
	case OP_PRELU:
		return check_prelu(c);
	case OP_MAX_POOL:
	case OP_AVG_POOL:
		return check_pool(c, DTYPE_F32);
	case OP_MEAN:
		TRY(need_counts(c, 1, 1, 1));
		TRY(need_activation(c, 0, DTYPE_F32));
		return need_output(c, 0, 1, 1, input(c, 0)->shape[2], DTYPE_F32);
	case OP_RESHAPE:
		return check_reshape(c);
	case OP_QUANTIZE:
	case OP_DEQUANTIZE:
		return check_quantize(c, c->op->kind == OP_QUANTIZE);
	case OP_SIGMOID:
	case OP_SOFTMAX:
	case OP_SQRT:
	case OP_L2:
		return check_elementwise(c);
	case OP_END:
		break;
	}
	return refuse(c, ERR_UNIMPLEMENTED, "not known to this version");
}

/* NULL, or what this version has no kernel for. */
static const char *without_kernel(const struct op_check *c)
{
	switch (c->op->kind) {
	case OP_BINARY_CONV2D:
		if (output(c, 0)->dtype != DTYPE_F32)
			return output(c, 0)->dtype == DTYPE_I8 ? "with I8 output " : "with BITS output ";
		return c->op->groups != 1 ? "with groups " : NULL;
	case OP_SIGN:
	case OP_CONV2D:
	case OP_DEPTHWISE_CONV2D:
	case OP_DENSE:
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
	case OP_CLAMP:
	case OP_PRELU:
	case OP_AVG_POOL:
	case OP_MEAN:
	case OP_SQRT:
	case OP_L2:
		return NULL;
	default:
		return "";
	}
}

/* ---- the graph ---- */

static int check_op(const struct op_check *c, bool *io_written)
{
	struct graph *g = (struct graph *)c->graph;
	struct graph_op *op = c->op;
	if (op->name && strlen(op->name) > GRAPH_NAME_MAX_BYTES)
		return BAD(c, "its name is longer than %d bytes", GRAPH_NAME_MAX_BYTES);
	for (size_t i = 0; i < op->n_inputs; i++)
		if (!io_written[op->inputs[i]])
			return BAD(c, "input %zu is not computed by an operation before it", i);
	for (size_t i = 0; i < op->n_outputs; i++) {
		struct tensor *t = &g->tensors[op->outputs[i]];
		if (io_written[op->outputs[i]])
			return BAD(c, "output %zu is the input, a constant or another operation's result", i);
		io_written[op->outputs[i]] = true;
		t->producer = (int)c->index;
	}
	TRY(check_operation(c));
	uint64_t elements = 0;
	for (size_t i = 0; i < op->n_inputs; i++)
		elements += input(c, i)->is_constant ? 0 : input(c, i)->n_elements;
	if (op->operations < elements)
		op->operations = elements;
	const char *what = without_kernel(c);
	if (what)
		return err_set(c->err, ERR_UNIMPLEMENTED, "operation %zu '%s' %shas no kernel in this version",
			c->index, op_kind_name(op->kind), what);
	return 0;
}

static int check_ops(struct graph *g, struct err *err)
{
	bool *written = mem_zalloc(g->n_tensors, sizeof *written);
	for (size_t i = 0; i < g->n_tensors; i++)
		written[i] = g->tensors[i].is_constant;
	written[g->input] = true;
	uint64_t total = 0;
	int r = 0;
	for (size_t i = 0; i < g->n_ops && !r; i++) {
		r = check_op(&(struct op_check){g, &g->ops[i], i, err}, written);
		total += g->ops[i].operations;
		if (!r && total > BNN_OPERATIONS_MAX)
			r = err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %llu G operations a forward pass",
				BNN_OPERATIONS_MAX / 1000000000u);
	}
	for (size_t i = 0; i < g->n_tensors && !r; i++)
		if (!written[i])
			r = err_set(err, ERR_INVALID_ARGUMENT, "tensor %zu is neither a constant nor computed", i);
	free(written);
	return r;
}

static int check_input(const struct graph *g, struct err *err)
{
	const struct tensor *x = &g->tensors[g->input], *table = &g->tensors[g->table];
	if (x->is_constant || x->dtype != DTYPE_F32 || x->shape[2] != 3)
		return err_set(err, ERR_INVALID_ARGUMENT, "the input is not an F32 activation of height x width x 3");
	if (!table->is_constant || table->dtype != DTYPE_F32 || table->rank != 2 || table->shape[0] != 3 ||
		table->shape[1] != 256)
		return err_set(err, ERR_INVALID_ARGUMENT, "the input's table is not an F32 constant [3, 256]");
	if (!g->image_rules)
		return err_set(err, ERR_INVALID_ARGUMENT, "the input's image_rules are 0");
	return 0;
}

static int check_outputs(const struct graph *g, struct err *err)
{
	if (!g->has_features)
		return err_set(err, ERR_INVALID_ARGUMENT, "there is no output 'features'");
	const struct tensor *f = &g->tensors[g->features], *l = &g->tensors[g->logits];
	if (f->producer < 0 || f->dtype != DTYPE_F32 || f->shape[0] != 1 || f->shape[1] != 1 ||
		f->shape[2] > BNN_FEATURES_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT,
			"the features are not computed 1 x 1 x C floats with C at most %d", BNN_FEATURES_MAX);
	if (g->n_feature_classes)
		return err_set(err, ERR_INVALID_ARGUMENT, "the features have class names");
	if (!g->has_logits)
		return 0;
	if (l->producer < 0 || l->dtype != DTYPE_F32 || l->shape[0] != 1 || l->shape[1] != 1)
		return err_set(err, ERR_INVALID_ARGUMENT, "the logits are not computed 1 x 1 x C floats");
	if (g->n_logit_classes && g->n_logit_classes != l->shape[2])
		return err_set(
			err, ERR_INVALID_ARGUMENT, "%zu class names for %u logits", g->n_logit_classes, l->shape[2]);
	return 0;
}

static int check_card(const struct graph *g, struct err *err)
{
	size_t n = strlen(g->card_name);
	if (!n || n > GRAPH_NAME_MAX_BYTES ||
		n != strspn(g->card_name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."))
		return err_set(err, ERR_INVALID_ARGUMENT,
			"the card's name is not 1 to %d letters, digits, '-', '_', '.'", GRAPH_NAME_MAX_BYTES);
	const uint8_t *text = (const uint8_t *)g->card_text;
	size_t left = strlen(g->card_text), step;
	if (left > GRAPH_CARD_TEXT_MAX_BYTES)
		return err_set(err, ERR_INVALID_ARGUMENT, "the card's text is longer than %d KiB",
			GRAPH_CARD_TEXT_MAX_BYTES >> 10);
	for (; left; text += step, left -= step) {
		uint32_t point = 0;
		step = utf8_decode(text, left, &point);
		if (!step || (point < 32 && point != '\n' && point != '\t') || (point >= 127 && point < 160))
			return err_set(err, ERR_INVALID_ARGUMENT, "the card's text is not printable UTF-8");
	}
	return 0;
}

static bool covariance_ok(const struct graph *g, uint32_t index)
{
	const struct tensor *t = &g->tensors[index];
	uint32_t d = g->tensors[g->features].shape[2];
	return is_float_constant(t) && t->rank == 2 && t->shape[0] == d && t->shape[1] == d;
}

static int check_rest(const struct graph *g, struct err *err)
{
	if (g->has_answers) {
		bool ok = g->temperature > 0 && g->n_unknown_cosine == BNN_REFUSE_SHARES;
		for (size_t i = 0; i < BNN_REFUSE_SHARES && ok; i++)
			ok = g->unknown_cosine[i] >= -1 && g->unknown_cosine[i] <= 1;
		if (!ok)
			return err_set(err, ERR_INVALID_ARGUMENT,
				"answers: a temperature above 0 and %d cosines are needed", BNN_REFUSE_SHARES);
	}
	if ((g->has_covariance && !covariance_ok(g, g->covariance)) ||
		(g->has_between && !covariance_ok(g, g->between)))
		return err_set(err, ERR_INVALID_ARGUMENT, "prior: not a float constant of features x features");
	return check_card(g, err);
}

int graph_check(struct graph *graph, struct err *err)
{
	for (size_t i = 0; i < graph->n_tensors; i++)
		TRY(check_tensor(&graph->tensors[i], i, err));
	TRY(check_input(graph, err));
	TRY(check_ops(graph, err));
	TRY(check_outputs(graph, err));
	return check_rest(graph, err);
}

void graph_reach(const struct graph *graph, bool *ret_reach)
{
	memset(ret_reach, 0, graph->n_ops * sizeof *ret_reach);
	ret_reach[graph->tensors[graph->features].producer] = true;
	for (size_t i = graph->n_ops; i-- > 0;)
		for (size_t k = 0; ret_reach[i] && k < graph->ops[i].n_inputs; k++) {
			int producer = graph->tensors[graph->ops[i].inputs[k]].producer;
			if (producer >= 0)
				ret_reach[producer] = true;
		}
}
