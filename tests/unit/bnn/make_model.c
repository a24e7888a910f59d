/* SPDX-License-Identifier: MIT */
/* tests/unit/bnn/make_model.c: see make_model.h. */
#include "tests/unit/bnn/make_model.h"

#include <sha2.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/base/require.h"

void make_init(struct make *m, uint64_t seed)
{
	*m = (struct make){.seed = seed};
	bnnmodel__graph__init(&m->graph);
	m->graph.tensors = make_alloc(m, MAKE_TENSORS_MAX, sizeof *m->graph.tensors);
	m->graph.ops = make_alloc(m, MAKE_OPS_MAX, sizeof *m->graph.ops);
	m->graph.outputs = make_alloc(m, 4, sizeof *m->graph.outputs);
	m->graph.card = make_alloc(m, 1, sizeof *m->graph.card);
	bnnmodel__card__init(m->graph.card);
	m->graph.card->name = (char *)"made-1";
	m->graph.card->text = (char *)"made by a test";
}

void make_deinit(struct make *m)
{
	for (size_t i = 0; i < m->n_memory; i++)
		free(m->memory[i]);
	free(m->memory);
	free(m->data);
}

void *make_alloc(struct make *m, size_t n, size_t bytes)
{
	m->memory = mem_realloc(m->memory, m->n_memory + 1, sizeof *m->memory);
	return m->memory[m->n_memory++] = mem_zalloc(n, bytes);
}

uint32_t make_below(struct make *m, uint32_t n)
{
	return splitmix64_below(&m->seed, n);
}

float make_float(struct make *m)
{
	uint32_t r = make_below(m, 64);
	if (r < 2)
		return r ? 0.0f : -0.0f;
	int sum = 0;
	for (int i = 0; i < 4; i++)
		sum += (int)make_below(m, 65536) - 32768;
	return (float)sum / 37000.0f;
}

static Bnnmodel__Tensor *new_tensor(struct make *m, enum dtype dtype, uint32_t rank, const uint32_t *shape)
{
	REQUIRE(m->graph.n_tensors < MAKE_TENSORS_MAX);
	Bnnmodel__Tensor *t = make_alloc(m, 1, sizeof *t);
	bnnmodel__tensor__init(t);
	t->has_id = t->has_dtype = 1;
	t->id = 1000 + 7 * (uint32_t)m->graph.n_tensors;
	t->dtype = (Bnnmodel__DType)dtype;
	t->n_shape = rank;
	t->shape = make_alloc(m, 4, sizeof *t->shape);
	memcpy(t->shape, shape, rank * sizeof *shape);
	m->graph.tensors[m->graph.n_tensors++] = t;
	return t;
}

uint32_t make_constant(
	struct make *m, enum dtype dtype, uint32_t rank, const uint32_t *shape, const void *bytes, size_t len)
{
	Bnnmodel__Tensor *t = new_tensor(m, dtype, rank, shape);
	size_t at = (m->data_bytes + 63) / 64 * 64;
	m->data = mem_realloc(m->data, 1, at + len);
	memset(m->data + m->data_bytes, 0, at - m->data_bytes);
	if (len)
		memcpy(m->data + at, bytes, len);
	m->data_bytes = at + len;
	t->has_offset = t->has_length = 1;
	t->offset = at;
	t->length = len;
	return t->id;
}

static size_t elements(uint32_t rank, const uint32_t *shape)
{
	size_t n = 1;
	for (uint32_t i = 0; i < rank; i++)
		n *= shape[i];
	return n;
}

uint32_t make_floats(struct make *m, uint32_t rank, const uint32_t *shape, float scale)
{
	size_t n = elements(rank, shape);
	float *v = mem_zalloc(n, sizeof *v);
	for (size_t i = 0; i < n; i++)
		v[i] = scale * make_float(m);
	uint32_t id = make_constant(m, DTYPE_F32, rank, shape, v, n * sizeof *v);
	free(v);
	return id;
}

/* Any finite half: subnormals and both zeros among them, none large. */
static uint32_t make_halves(struct make *m, uint32_t rank, const uint32_t *shape)
{
	size_t n = elements(rank, shape);
	uint16_t *v = mem_zalloc(n, sizeof *v);
	for (size_t i = 0; i < n; i++)
		v[i] = (uint16_t)(make_below(m, 2) << 15 | make_below(m, 15 << 10));
	uint32_t id = make_constant(m, DTYPE_F16, rank, shape, v, n * sizeof *v);
	free(v);
	return id;
}

uint32_t make_bits(struct make *m, uint32_t o, uint32_t ky, uint32_t kx, uint32_t i)
{
	uint32_t words = (i + 31) / 32, shape[] = {o, ky, kx, i};
	size_t n = (size_t)o * ky * kx * words;
	uint32_t *v = mem_zalloc(n, sizeof *v);
	for (size_t k = 0; k < n; k++) {
		v[k] = (uint32_t)splitmix64_next(&m->seed);
		if (i % 32 && k % words == words - 1)
			v[k] &= (1u << i % 32) - 1;
	}
	uint32_t id = make_constant(m, DTYPE_BITS, 4, shape, v, n * sizeof *v);
	free(v);
	return id;
}

struct made make_activation(struct make *m, enum dtype dtype, uint32_t h, uint32_t w, uint32_t c)
{
	return (struct made){new_tensor(m, dtype, 3, (uint32_t[]){h, w, c})->id, h, w, c};
}

/* The attribute messages, by kind; all sizes are small enough for one allocation. */
static void init_attributes(struct make *m, Bnnmodel__Op *op, enum op_kind kind)
{
	static const ProtobufCMessageDescriptor *const descriptors[] = {&bnnmodel__sign__descriptor,
		&bnnmodel__unpack__descriptor, &bnnmodel__binary_conv2_d__descriptor,
		&bnnmodel__binary_max_pool__descriptor, &bnnmodel__conv2_d__descriptor,
		&bnnmodel__depthwise_conv2_d__descriptor, &bnnmodel__dense__descriptor, &bnnmodel__add__descriptor,
		&bnnmodel__sub__descriptor, &bnnmodel__mul__descriptor, &bnnmodel__concat__descriptor,
		&bnnmodel__split__descriptor, &bnnmodel__pad__descriptor, &bnnmodel__clamp__descriptor,
		&bnnmodel__prelu__descriptor, &bnnmodel__sigmoid__descriptor, &bnnmodel__max_pool__descriptor,
		&bnnmodel__avg_pool__descriptor, &bnnmodel__mean__descriptor, &bnnmodel__reshape__descriptor,
		&bnnmodel__quantize__descriptor, &bnnmodel__dequantize__descriptor, &bnnmodel__softmax__descriptor,
		&bnnmodel__sqrt__descriptor, &bnnmodel__l2__descriptor, &bnnmodel__deviation__descriptor};
	const ProtobufCMessageDescriptor *d = descriptors[kind - OP_SIGN];
	ProtobufCMessage *a = make_alloc(m, 1, d->sizeof_message);
	protobuf_c_message_init(d, a);
	op->attributes_case = (Bnnmodel__Op__AttributesCase)kind;
	op->sign = (void *)a; /* a union of pointers */
}

Bnnmodel__Op *make_op(struct make *m, enum op_kind kind, size_t n_inputs, const uint32_t *inputs, uint32_t output)
{
	REQUIRE(m->graph.n_ops < MAKE_OPS_MAX);
	Bnnmodel__Op *op = make_alloc(m, 1, sizeof *op);
	bnnmodel__op__init(op);
	op->n_inputs = n_inputs;
	op->inputs = make_alloc(m, n_inputs + 1, sizeof *op->inputs);
	if (n_inputs)
		memcpy(op->inputs, inputs, n_inputs * sizeof *inputs);
	op->n_outputs = 1;
	op->outputs = make_alloc(m, 4, sizeof *op->outputs);
	op->outputs[0] = output;
	op->name = make_alloc(m, 1, 32);
	snprintf(op->name, 32, "%s%zu", op_kind_name(kind), m->graph.n_ops);
	init_attributes(m, op, kind);
	m->graph.ops[m->graph.n_ops++] = op;
	return op;
}

Bnnmodel__Window *make_window(struct make *m, struct window w)
{
	Bnnmodel__Window *to = make_alloc(m, 1, sizeof *to);
	Bnnmodel__Pads *pads = make_alloc(m, 1, sizeof *pads);
	bnnmodel__window__init(to);
	bnnmodel__pads__init(pads);
	to->has_kernel_y = to->has_kernel_x = to->has_stride_y = to->has_stride_x = to->has_dilation_y =
		to->has_dilation_x = 1;
	to->kernel_y = w.kernel_y;
	to->kernel_x = w.kernel_x;
	to->stride_y = w.stride_y;
	to->stride_x = w.stride_x;
	to->dilation_y = w.dilation_y;
	to->dilation_x = w.dilation_x;
	to->pads = pads;
	pads->has_top = pads->has_left = pads->has_bottom = pads->has_right = 1;
	pads->top = w.pads.top;
	pads->left = w.pads.left;
	pads->bottom = w.pads.bottom;
	pads->right = w.pads.right;
	return to;
}

struct made make_input(struct make *m, uint32_t h, uint32_t w)
{
	struct made x = make_activation(m, DTYPE_F32, h, w, 3);
	Bnnmodel__Input *in = make_alloc(m, 1, sizeof *in);
	bnnmodel__input__init(in);
	in->has_tensor = in->has_fit = in->has_image_rules = in->has_background = in->has_table = 1;
	in->tensor = x.id;
	in->fit = BNNMODEL__FIT__CONTAIN;
	in->image_rules = 1;
	in->background = (ProtobufCBinaryData){3, make_alloc(m, 1, 3)};
	in->table = make_floats(m, 2, (uint32_t[]){3, 256}, 1);
	m->graph.input = in;
	return x;
}

struct made make_sign(struct make *m, struct made x, int rule, bool one_threshold)
{
	uint32_t t = make_floats(m, 1, (uint32_t[]){one_threshold ? 1 : x.c}, 0.5f);
	struct made y = make_activation(m, DTYPE_BITS, x.h, x.w, x.c);
	Bnnmodel__Op *op = make_op(m, OP_SIGN, 2, (uint32_t[]){x.id, t}, y.id);
	op->sign->n_rules = rule ? 1 : x.c;
	op->sign->rules = make_alloc(m, x.c, sizeof *op->sign->rules);
	for (uint32_t c = 0; c < op->sign->n_rules; c++)
		op->sign->rules[c] = (Bnnmodel__SignRule)(rule ? rule : 1 + (int)make_below(m, 3));
	return y;
}

uint32_t make_side(uint32_t in, uint32_t before, uint32_t after, uint32_t kernel, uint32_t stride, uint32_t dilation)
{
	uint32_t extent = window_extent(kernel, dilation);
	return in + before + after < extent ? 0 : (in + before + after - extent) / stride + 1;
}

static struct made window_result(struct make *m, struct made x, struct window w, uint32_t out_c)
{
	return make_activation(m, DTYPE_F32,
		make_side(x.h, w.pads.top, w.pads.bottom, w.kernel_y, w.stride_y, w.dilation_y),
		make_side(x.w, w.pads.left, w.pads.right, w.kernel_x, w.stride_x, w.dilation_x), out_c);
}

struct made make_binary(struct make *m, struct made bits, uint32_t out_c, struct window w, int pad_value, bool clamp)
{
	uint32_t weights = make_bits(m, out_c, w.kernel_y, w.kernel_x, bits.c);
	uint32_t scale = make_floats(m, 1, &out_c, 0.1f), shift = make_floats(m, 1, &out_c, 1);
	struct made y = window_result(m, bits, w, out_c);
	Bnnmodel__Op *op = make_op(m, OP_BINARY_CONV2D, 4, (uint32_t[]){bits.id, weights, scale, shift}, y.id);
	Bnnmodel__BinaryConv2D *a = op->binary_conv2d;
	int32_t taps = (int32_t)(w.kernel_y * w.kernel_x * bits.c);
	a->window = make_window(m, w);
	a->has_groups = a->has_pad_value = a->has_clamp_lo = a->has_clamp_hi = 1;
	a->groups = 1;
	a->pad_value = pad_value;
	a->clamp_lo = clamp ? taps * 3 / 4 : 0;
	a->clamp_hi = clamp ? taps * 5 / 4 : 2 * taps;
	return y;
}

struct made make_conv(
	struct make *m, struct made x, uint32_t out_c, struct window w, uint32_t groups, bool bias, bool half)
{
	uint32_t shape[] = {out_c, w.kernel_y, w.kernel_x, x.c / groups};
	uint32_t weights = half ? make_halves(m, 4, shape) : make_floats(m, 4, shape, 0.3f);
	uint32_t b = bias ? make_floats(m, 1, &out_c, 1) : 0;
	struct made y = window_result(m, x, w, out_c);
	Bnnmodel__Op *op = make_op(m, OP_CONV2D, bias ? 3 : 2, (uint32_t[]){x.id, weights, b}, y.id);
	op->conv2d->window = make_window(m, w);
	op->conv2d->has_groups = 1;
	op->conv2d->groups = groups;
	return y;
}

struct made make_depthwise(struct make *m, struct made x, struct window w, uint32_t multiplier, bool bias)
{
	uint32_t out_c = x.c * multiplier;
	uint32_t weights = make_floats(m, 3, (uint32_t[]){w.kernel_y, w.kernel_x, out_c}, 0.5f);
	uint32_t b = bias ? make_floats(m, 1, &out_c, 1) : 0;
	struct made y = window_result(m, x, w, out_c);
	Bnnmodel__Op *op = make_op(m, OP_DEPTHWISE_CONV2D, bias ? 3 : 2, (uint32_t[]){x.id, weights, b}, y.id);
	op->depthwise_conv2d->window = make_window(m, w);
	op->depthwise_conv2d->has_multiplier = 1;
	op->depthwise_conv2d->multiplier = multiplier;
	return y;
}

struct made make_dense(struct make *m, struct made x, uint32_t out_c, bool bias)
{
	uint32_t weights = make_floats(m, 2, (uint32_t[]){out_c, x.c}, 0.3f);
	uint32_t b = bias ? make_floats(m, 1, &out_c, 1) : 0;
	struct made y = make_activation(m, DTYPE_F32, 1, 1, out_c);
	make_op(m, OP_DENSE, bias ? 3 : 2, (uint32_t[]){x.id, weights, b}, y.id);
	return y;
}

struct made make_arithmetic(struct make *m, enum op_kind kind, struct made x, uint32_t v)
{
	struct made y = make_activation(m, DTYPE_F32, x.h, x.w, x.c);
	make_op(m, kind, 2, (uint32_t[]){x.id, v}, y.id);
	return y;
}

struct made make_prelu(struct make *m, struct made x, bool shifts)
{
	uint32_t ids[4] = {x.id, make_floats(m, 1, &x.c, 0.5f)};
	for (int i = 2; i < 4 && shifts; i++)
		ids[i] = make_floats(m, 1, &x.c, 0.5f);
	struct made y = make_activation(m, DTYPE_F32, x.h, x.w, x.c);
	make_op(m, OP_PRELU, shifts ? 4 : 2, ids, y.id);
	return y;
}

struct made make_clamp(struct make *m, struct made x, float lo, float hi)
{
	struct made y = make_activation(m, DTYPE_F32, x.h, x.w, x.c);
	Bnnmodel__Clamp *a = make_op(m, OP_CLAMP, 1, &x.id, y.id)->clamp;
	a->has_lo = a->has_hi = 1;
	a->lo = lo;
	a->hi = hi;
	return y;
}

struct made make_pool(struct make *m, struct made x, struct window w, bool count_padding)
{
	struct made y = window_result(m, x, w, x.c);
	Bnnmodel__AvgPool *a = make_op(m, OP_AVG_POOL, 1, &x.id, y.id)->avg_pool;
	a->window = make_window(m, w);
	a->has_count_padding = 1;
	a->count_padding = count_padding;
	return y;
}

struct made make_max_pool(struct make *m, struct made x, struct window w)
{
	struct made y = window_result(m, x, w, x.c);
	make_op(m, OP_MAX_POOL, 1, &x.id, y.id)->max_pool->window = make_window(m, w);
	return y;
}

struct made make_concat(struct make *m, size_t n, const struct made *parts)
{
	uint32_t ids[GRAPH_INPUTS_MAX], c = 0;
	REQUIRE(n <= GRAPH_INPUTS_MAX);
	for (size_t i = 0; i < n; i++) {
		ids[i] = parts[i].id;
		c += parts[i].c;
	}
	struct made y = make_activation(m, DTYPE_F32, parts[0].h, parts[0].w, c);
	make_op(m, OP_CONCAT, n, ids, y.id);
	return y;
}

struct made make_same(struct make *m, enum op_kind kind, struct made x)
{
	bool mean = kind == OP_MEAN;
	struct made y = make_activation(m, DTYPE_F32, mean ? 1 : x.h, mean ? 1 : x.w, x.c);
	make_op(m, kind, 1, &x.id, y.id);
	return y;
}

struct made make_deviation(struct make *m, struct made x, struct made from)
{
	struct made y = make_activation(m, DTYPE_F32, 1, 1, x.c);
	make_op(m, OP_DEVIATION, 2, (uint32_t[]){x.id, from.id}, y.id);
	return y;
}

void make_features(struct make *m, struct made x)
{
	Bnnmodel__Output *o = make_alloc(m, 1, sizeof *o);
	bnnmodel__output__init(o);
	o->name = (char *)"features";
	o->has_tensor = 1;
	o->tensor = x.id;
	m->graph.outputs[m->graph.n_outputs++] = o;
}

void make_digest(uint8_t *file, size_t len_bytes)
{
	SHA2_CTX sha;
	SHA256Init(&sha);
	SHA256Update(&sha, file + 64, len_bytes - 64);
	SHA256Final(file + 32, &sha);
}

uint8_t *make_file(const struct make *m, size_t *ret_len_bytes)
{
	size_t graph = bnnmodel__graph__get_packed_size(&m->graph), data_at = (64 + graph + 63) / 64 * 64;
	uint8_t *file = mem_zalloc(1, data_at + m->data_bytes);
	memcpy(file,
		"\x89"
		"BNND\r\n"
		"\x1a",
		8);
	store_le16(file + 8, 1);
	const Bnnmodel__Answers *a = m->graph.answers;
	store_le16(file + 10, a && (a->n_groups > 0 || a->n_group_factors > 0 || a->has_near_duplicate));
	store_le32(file + 12, (uint32_t)graph);
	store_le64(file + 16, m->data_bytes);
	bnnmodel__graph__pack(&m->graph, file + 64);
	memcpy(file + data_at, m->data, m->data_bytes);
	*ret_len_bytes = data_at + m->data_bytes;
	make_digest(file, *ret_len_bytes);
	return file;
}
