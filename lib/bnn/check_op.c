/* SPDX-License-Identifier: MIT */
/* lib/bnn/check_op.c: is one operation sound? Its output's shape is inferred and compared, never believed.
 *
 * Invariant: an operation that passes can be planned and run without a further check. All operations of model.proto are
 * checked, also those that have no kernel here: their refusal then says just that.
 */
#include "lib/bnn/check_op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int op_refuse(const struct op_check *c, enum err_code code, const char *format, ...)
{
	char text[ERR_TEXT_BYTES];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	return err_set(c->err, code, "operation %zu '%s': %s", c->index, op_kind_name(c->op->kind), text);
}

/* ---- operands ---- */

/* Operand i: an activation (not a constant) of this dtype. */
static int need_activation(const struct op_check *c, size_t i, enum dtype dtype)
{
	const struct tensor *t = op_input(c, i);
	if (t->is_constant || t->dtype != dtype)
		return BAD(c, "input %zu is not %s activation", i, dtype == DTYPE_BITS ? "a BITS" : "an F32");
	return 0;
}

/* Operand i: a float constant of exactly this shape (rank and sides). */
static int need_constant(const struct op_check *c, size_t i, uint32_t rank, const uint64_t *shape)
{
	const struct tensor *t = op_input(c, i);
	if (!tensor_is_float_constant(t))
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
	const struct tensor *t = op_output(c, i);
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
		return op_refuse(c, ERR_RESOURCE_EXHAUSTED, "more than %d taps", GRAPH_TAPS_MAX);
	if (__builtin_mul_overflow(out->n_elements, taps, &n) || n > BNN_OPERATIONS_MAX)
		return op_refuse(
			c, ERR_RESOURCE_EXHAUSTED, "more than %llu G operations", BNN_OPERATIONS_MAX / 1000000000u);
	c->op->operations = n;
	*(binary ? &c->op->binary_multiply_adds : &c->op->multiply_adds) = n;
	return 0;
}

/* ---- one function a family of operations ---- */

static int check_sign(const struct op_check *c)
{
	TRY(need_counts(c, 2, 2, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *x = op_input(c, 0), *t = op_input(c, 1);
	if (!tensor_is_float_constant(t) || t->rank != 1 || (t->shape[0] != 1 && t->shape[0] != x->shape[2]))
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
	const struct tensor *x = op_input(c, 0), *w = op_input(c, 1), *y = op_output(c, 0);
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
		const struct tensor *t = op_input(c, 2);
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
	const struct tensor *x = op_input(c, 0), *w = op_input(c, 1);
	const struct window *win = &c->op->window;
	uint32_t groups = c->op->groups, out_c = w->shape[0], h, width;
	if (!groups || x->shape[2] % groups || out_c % groups)
		return BAD(c, "%u groups do not divide the channels", groups);
	TRY(need_constant(c, 1, 4, (const uint64_t[]){out_c, win->kernel_y, win->kernel_x, x->shape[2] / groups}));
	TRY(check_bias(c, out_c));
	TRY(window_output(c, x, &h, &width));
	TRY(need_output(c, 0, h, width, out_c, DTYPE_F32));
	return count_sums(c, op_output(c, 0), (uint64_t)win->kernel_y * win->kernel_x * (x->shape[2] / groups), false);
}

static int check_depthwise(const struct op_check *c)
{
	TRY(need_counts(c, 2, 3, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *x = op_input(c, 0);
	const struct window *win = &c->op->window;
	uint64_t out_c = (uint64_t)x->shape[2] * c->op->multiplier;
	if (!c->op->multiplier || out_c > GRAPH_CHANNELS_MAX)
		return BAD(c, "multiplier %u", c->op->multiplier);
	TRY(need_constant(c, 1, 3, (const uint64_t[]){win->kernel_y, win->kernel_x, out_c}));
	TRY(check_bias(c, (uint32_t)out_c));
	uint32_t h, width;
	TRY(window_output(c, x, &h, &width));
	TRY(need_output(c, 0, h, width, out_c, DTYPE_F32));
	return count_sums(c, op_output(c, 0), (uint64_t)win->kernel_y * win->kernel_x, false);
}

static int check_dense(const struct op_check *c)
{
	TRY(need_counts(c, 2, 3, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *x = op_input(c, 0), *w = op_input(c, 1);
	if (x->shape[0] != 1 || x->shape[1] != 1)
		return BAD(c, "input 0 is not 1 x 1 x I");
	TRY(need_constant(c, 1, 2, (const uint64_t[]){w->shape[0], x->shape[2]}));
	TRY(check_bias(c, w->shape[0]));
	TRY(need_output(c, 0, 1, 1, w->shape[0], DTYPE_F32));
	return count_sums(c, op_output(c, 0), x->shape[2], false);
}

/* add, sub, mul: equal shapes, or the second 1 x 1 x C or [C], constant or computed. */
static int check_arithmetic(const struct op_check *c)
{
	TRY(need_counts(c, 2, 2, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *x = op_input(c, 0), *v = op_input(c, 1);
	if (v->dtype != DTYPE_F32 && !tensor_is_float_constant(v))
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
		TRY(need_vector(c, i, op_input(c, 0)->shape[2]));
	return need_same_output(c, op_input(c, 0), DTYPE_F32);
}

static int check_pool(const struct op_check *c, enum dtype dtype)
{
	TRY(need_counts(c, 1, 1, 1));
	TRY(need_activation(c, 0, dtype));
	const struct tensor *x = op_input(c, 0);
	const struct window *w = &c->op->window;
	uint32_t h, width;
	TRY(window_output(c, x, &h, &width));
	if (!pool_side_ok(x->shape[0], w->pads.top, w->kernel_y, w->stride_y, w->dilation_y, h) ||
		!pool_side_ok(x->shape[1], w->pads.left, w->kernel_x, w->stride_x, w->dilation_x, width))
		return BAD(c, "a window holds no pixel of the map");
	TRY(need_output(c, 0, h, width, x->shape[2], dtype));
	TRY(count_sums(c, op_output(c, 0), (uint64_t)w->kernel_y * w->kernel_x, false));
	c->op->multiply_adds = 0; /* work, but no multiplication */
	return 0;
}

static int check_concat(const struct op_check *c)
{
	TRY(need_counts(c, 1, GRAPH_INPUTS_MAX, 1));
	const struct tensor *x = op_input(c, 0);
	if (x->dtype != DTYPE_F32 && x->dtype != DTYPE_BITS)
		return BAD(c, "input 0 is neither F32 nor BITS");
	uint64_t channels = 0;
	for (size_t i = 0; i < c->op->n_inputs; i++) {
		const struct tensor *t = op_input(c, i);
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
	const struct tensor *x = op_input(c, 0);
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
	const struct tensor *x = op_input(c, 0);
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
	return need_same_output(c, op_input(c, 0), DTYPE_F32);
}

static int check_reshape(const struct op_check *c)
{
	TRY(need_counts(c, 1, 1, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	const struct tensor *y = op_output(c, 0);
	if (c->op->n_sizes != 3 || memcmp(c->op->sizes, y->shape, sizeof(uint32_t[3])) != 0 ||
		y->n_elements != op_input(c, 0)->n_elements || y->dtype != DTYPE_F32)
		return BAD(c, "shape, output and input do not agree");
	return 0;
}

static int check_quantize(const struct op_check *c, bool quantize)
{
	TRY(need_counts(c, 1, 1, 1));
	const struct tensor *x = op_input(c, 0), *y = op_output(c, 0), *q = quantize ? y : x;
	if (x->is_constant || (quantize ? x->dtype : y->dtype) != DTYPE_F32 || !q->has_quantization)
		return BAD(c, "it lies between F32 and a quantized integer activation");
	return need_same_output(c, x, y->dtype);
}

static int check_mean(const struct op_check *c)
{
	TRY(need_counts(c, 1, 1, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	return need_output(c, 0, 1, 1, op_input(c, 0)->shape[2], DTYPE_F32);
}

static int check_deviation(const struct op_check *c)
{
	TRY(need_counts(c, 2, 2, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	TRY(need_activation(c, 1, DTYPE_F32));
	const struct tensor *x = op_input(c, 0), *m = op_input(c, 1);
	if (m->shape[0] != 1 || m->shape[1] != 1 || m->shape[2] != x->shape[2])
		return BAD(c, "input 1 is not one value a channel of input 0");
	return need_output(c, 0, 1, 1, x->shape[2], DTYPE_F32);
}

/* F32 in, the same shape out. */
static int check_elementwise(const struct op_check *c)
{
	TRY(need_counts(c, 1, 1, 1));
	TRY(need_activation(c, 0, DTYPE_F32));
	return need_same_output(c, op_input(c, 0), DTYPE_F32);
}

int check_operation(const struct op_check *c)
{
	switch (c->op->kind) {
	case OP_SIGN:
		return check_sign(c);
	case OP_UNPACK:
		TRY(need_counts(c, 1, 1, 1));
		TRY(need_activation(c, 0, DTYPE_BITS));
		return need_same_output(c, op_input(c, 0), DTYPE_F32);
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
		return check_mean(c);
	case OP_DEVIATION:
		return check_deviation(c);
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
	}
	return op_refuse(c, ERR_UNIMPLEMENTED, "not known to this version"); /* graph_unpack knows no other kind */
}

/* NULL, or what this version has no kernel for. */
const char *op_without_kernel(const struct op_check *c)
{
	switch (c->op->kind) {
	case OP_BINARY_CONV2D:
		if (op_output(c, 0)->dtype != DTYPE_F32)
			return op_output(c, 0)->dtype == DTYPE_I8 ? "with I8 output " : "with BITS output ";
		return c->op->groups != 1 ? "with groups " : NULL;
	case OP_CONCAT:
		return op_output(c, 0)->dtype != DTYPE_F32 ? "with BITS inputs " : NULL;
	case OP_SIGN:
	case OP_CONV2D:
	case OP_DEPTHWISE_CONV2D:
	case OP_DENSE:
	case OP_ADD:
	case OP_SUB:
	case OP_MUL:
	case OP_CLAMP:
	case OP_PRELU:
	case OP_MAX_POOL:
	case OP_AVG_POOL:
	case OP_MEAN:
	case OP_SQRT:
	case OP_L2:
	case OP_DEVIATION:
		return NULL;
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
	return "";
}
