/* SPDX-License-Identifier: MIT */
/* What the loader refuses, and with which words: a sound tiny model, one change a row.
 *
 * A change is made to the messages before they are packed, or to the bytes of the file; the digest is right in all
 * but one, else the tests would only be of SHA-256.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/endian.h"
#include "lib/bnn/model.h"
#include "tests/unit/bnn/make_model.h"

/* Where things are in the tiny model below. */
enum {
	OP_AT_CONV,
	OP_AT_SIGN,
	OP_AT_BINARY,
	OP_AT_ADD,
	OP_AT_PRELU,
	OP_AT_CLAMP,
	OP_AT_POOL,
	OP_AT_DEPTHWISE,
	OP_AT_MEAN,
	OP_AT_DENSE,
	OP_AT_L2
};

static const struct window three = {3, 3, 1, 1, 1, 1, {1, 1, 1, 1}};
static const struct window half = {2, 2, 2, 2, 1, 1, {0}};
static const struct window point = {1, 1, 1, 1, 1, 1, {0}};

static void tiny(struct make *m)
{
	make_init(m, 5);
	struct made x = make_conv(m, make_input(m, 6, 8), 5, three, 1, true, true);
	struct made y = make_binary(m, make_sign(m, x, SIGN_LESS, false), 5, three, 1, false);
	y = make_prelu(m, make_arithmetic(m, OP_ADD, x, y.id), false);
	y = make_pool(m, make_clamp(m, y, -1, 1), half, false);
	y = make_same(m, OP_MEAN, make_depthwise(m, y, three, 2, true));
	y = make_same(m, OP_L2, make_dense(m, y, 4, true));
	make_features(m, y);
	Bnnmodel__Answers *a = make_alloc(m, 1, sizeof *a);
	bnnmodel__answers__init(a);
	a->has_temperature = 1;
	a->temperature = 7;
	a->n_unknown_cosine = 5;
	a->unknown_cosine = make_alloc(m, 5, sizeof(double));
	a->n_deviations = 5;
	a->deviations = make_alloc(m, 5, sizeof(double));
	a->has_deviation = a->has_deviation_weight = 1;
	a->deviation = 0.1;
	a->deviation_weight = 4;
	m->graph.answers = a;
	Bnnmodel__Prior *p = make_alloc(m, 1, sizeof *p);
	bnnmodel__prior__init(p);
	p->has_covariance = 1;
	p->covariance = make_floats(m, 2, (uint32_t[]){4, 4}, 1);
	m->graph.prior = p;
}

static uint8_t *tiny_file(size_t *ret_len)
{
	struct make m;
	tiny(&m);
	uint8_t *file = make_file(&m, ret_len);
	make_deinit(&m);
	return file;
}

static int load(const uint8_t *file, size_t len, bool verify, struct err *err)
{
	struct bnn_model *model = NULL;
	int r = bnn_model_from_bytes(file, len, verify, &model, err);
	if (!r)
		bnn_model_free(model);
	else
		assert_null(model);
	return r;
}

static Bnnmodel__Op *op(struct make *m, int i)
{
	return m->graph.ops[i];
}

static Bnnmodel__Tensor *by_id(struct make *m, uint32_t id)
{
	for (size_t i = 0; i < m->graph.n_tensors; i++)
		if (m->graph.tensors[i]->id == id)
			return m->graph.tensors[i];
	fail_msg("no tensor %u", id);
	return NULL;
}

static Bnnmodel__Tensor *in(struct make *m, int i, int k)
{
	return by_id(m, op(m, i)->inputs[k]);
}

static Bnnmodel__Tensor *out(struct make *m, int i)
{
	return by_id(m, op(m, i)->outputs[0]);
}

static void set_float(struct make *m, Bnnmodel__Tensor *t, size_t i, float v)
{
	memcpy(m->data + t->offset + 4 * i, &v, sizeof v);
}

/* The empty message of another kind in the place of op i's attributes. */
static void become(struct make *m, int i, enum op_kind kind)
{
	Bnnmodel__Op *o = op(m, i), *other = make_op(m, kind, 0, NULL, 0);
	m->graph.n_ops--;
	o->attributes_case = other->attributes_case;
	o->sign = other->sign;
}

static void unknown_field(struct make *m, ProtobufCMessage *to, uint32_t tag)
{
	ProtobufCMessageUnknownField *f = make_alloc(m, 1, sizeof *f);
	f->tag = tag;
	f->wire_type = PROTOBUF_C_WIRE_TYPE_VARINT;
	f->len = 1;
	f->data = make_alloc(m, 1, 1);
	to->n_unknown_fields = 1;
	to->unknown_fields = f;
}

/* clang-format off */
#define CHANGE(name, body) static void name(struct make *m) { body; }
/* the message */
CHANGE(no_ops, m->graph.n_ops = 0)
CHANGE(unknown_graph, unknown_field(m, &m->graph.base, 99))
CHANGE(unknown_tensor, unknown_field(m, &m->graph.tensors[3]->base, 42))
CHANGE(unknown_op, unknown_field(m, &op(m, 4)->base, 99))
CHANGE(unknown_pads, unknown_field(m, &op(m, OP_AT_CONV)->conv2d->window->pads->base, 9))
CHANGE(unknown_card, unknown_field(m, &m->graph.card->base, 3))
CHANGE(unknown_answers, unknown_field(m, &m->graph.answers->base, 17))
CHANGE(no_attributes, op(m, 2)->attributes_case = 0)
CHANGE(no_window, op(m, OP_AT_CONV)->conv2d->window = NULL)
CHANGE(no_pads, op(m, OP_AT_CONV)->conv2d->window->pads = NULL)
CHANGE(no_left, op(m, OP_AT_CONV)->conv2d->window->pads->has_left = 0)
CHANGE(no_groups, op(m, OP_AT_BINARY)->binary_conv2d->has_groups = 0)
CHANGE(no_clamp_hi, op(m, OP_AT_CLAMP)->clamp->has_hi = 0)
CHANGE(no_count, op(m, OP_AT_POOL)->avg_pool->has_count_padding = 0)
CHANGE(clamp_nan, op(m, OP_AT_CLAMP)->clamp->lo = NAN)
CHANGE(temperature_inf, m->graph.answers->temperature = INFINITY)
CHANGE(bad_rule, op(m, OP_AT_SIGN)->sign->rules[0] = (Bnnmodel__SignRule)4)
CHANGE(bad_dtype, out(m, OP_AT_CONV)->dtype = (Bnnmodel__DType)7)
CHANGE(bad_fit, m->graph.input->fit = (Bnnmodel__Fit)4)
CHANGE(no_id, m->graph.tensors[0]->has_id = 0)
CHANGE(no_dtype, m->graph.tensors[0]->has_dtype = 0)
CHANGE(same_id, m->graph.tensors[1]->id = m->graph.tensors[0]->id)
CHANGE(no_such_id, op(m, OP_AT_CONV)->inputs[1] = 5)
CHANGE(no_such_table, m->graph.input->table = 5)
/* tensors */
CHANGE(rank_0, m->graph.tensors[0]->n_shape = 0)
CHANGE(side_0, m->graph.tensors[0]->shape[1] = 0)
CHANGE(huge, for (int i = 0; i < 3; i++) m->graph.tensors[0]->shape[i] = 0xFFFFFFFFu)
CHANGE(large_activation, out(m, OP_AT_CONV)->shape[0] = 65535; out(m, OP_AT_CONV)->shape[1] = 65535)
CHANGE(only_offset, in(m, OP_AT_CONV, 1)->has_length = 0)
CHANGE(unaligned, in(m, OP_AT_CONV, 1)->offset += 4)
CHANGE(outside, in(m, OP_AT_CONV, 1)->offset = 1ull << 40)
CHANGE(outside_wraps, in(m, OP_AT_CONV, 1)->offset = ~63ull)
CHANGE(short_length, in(m, OP_AT_CONV, 2)->length -= 4)
CHANGE(only_scale, out(m, OP_AT_CONV)->has_scale = 1)
CHANGE(float_scale, out(m, OP_AT_CONV)->has_scale = out(m, OP_AT_CONV)->has_zero_point = 1; out(m, OP_AT_CONV)->scale = 1)
CHANGE(weight_nan, set_float(m, in(m, OP_AT_DENSE, 1), 3, NAN))
CHANGE(half_inf, store_le16(m->data + in(m, OP_AT_CONV, 1)->offset + 2, 0x7C00))
CHANGE(pad_bit, m->data[in(m, OP_AT_BINARY, 1)->offset + 3] |= 0x80)
CHANGE(unused, make_activation(m, DTYPE_F32, 2, 2, 2))
CHANGE(activation_rank, out(m, OP_AT_MEAN)->n_shape = 1)
/* order */
CHANGE(later_input, op(m, OP_AT_CONV)->inputs[0] = op(m, OP_AT_CLAMP)->outputs[0])
CHANGE(itself, op(m, OP_AT_CLAMP)->inputs[0] = op(m, OP_AT_CLAMP)->outputs[0])
CHANGE(twice, op(m, OP_AT_CLAMP)->outputs[0] = op(m, OP_AT_PRELU)->outputs[0])
CHANGE(writes_constant, op(m, OP_AT_CLAMP)->outputs[0] = op(m, OP_AT_CONV)->inputs[1])
CHANGE(writes_input, op(m, OP_AT_CONV)->outputs[0] = m->graph.input->tensor)
/* operations */
CHANGE(shape_differs, out(m, OP_AT_CONV)->shape[2] = 6)
CHANGE(one_input, op(m, OP_AT_SIGN)->n_inputs = 1)
CHANGE(two_outputs, op(m, OP_AT_L2)->outputs[1] = make_activation(m, DTYPE_F32, 1, 1, 4).id; op(m, OP_AT_L2)->n_outputs = 2)
CHANGE(two_rules, op(m, OP_AT_SIGN)->sign->n_rules = 2; op(m, OP_AT_SIGN)->sign->rules[1] = BNNMODEL__SIGN_RULE__LESS)
CHANGE(sign_of_bits, op(m, OP_AT_BINARY)->inputs[0] = op(m, OP_AT_CONV)->outputs[0])
CHANGE(sign_to_float, out(m, OP_AT_SIGN)->dtype = BNNMODEL__DTYPE__F32)
CHANGE(kernel_0, op(m, OP_AT_CONV)->conv2d->window->kernel_y = 0)
CHANGE(stride_0, op(m, OP_AT_CONV)->conv2d->window->stride_x = 0)
CHANGE(dilation_huge, op(m, OP_AT_CONV)->conv2d->window->dilation_x = 0xFFFFFFFFu)
CHANGE(kernel_differs, op(m, OP_AT_CONV)->conv2d->window->kernel_y = 2)
CHANGE(pads_huge, op(m, OP_AT_CONV)->conv2d->window->pads->bottom = 0xFFFFFFFFu)
CHANGE(groups_0, op(m, OP_AT_CONV)->conv2d->groups = 0)
CHANGE(groups_7, op(m, OP_AT_CONV)->conv2d->groups = 7)
CHANGE(pad_value, op(m, OP_AT_BINARY)->binary_conv2d->pad_value = 2)
CHANGE(clamp_order, op(m, OP_AT_BINARY)->binary_conv2d->clamp_lo = 1000)
CHANGE(no_shift, op(m, OP_AT_BINARY)->n_inputs = 3)
CHANGE(scale_shape, op(m, OP_AT_BINARY)->inputs[2] = op(m, OP_AT_DENSE)->inputs[2])
CHANGE(scale_overflow, set_float(m, in(m, OP_AT_BINARY, 2), 0, 3e38f))
CHANGE(multiplier_0, op(m, OP_AT_DEPTHWISE)->depthwise_conv2d->multiplier = 0)
CHANGE(multiplier_huge, op(m, OP_AT_DEPTHWISE)->depthwise_conv2d->multiplier = 0x40000001)
CHANGE(dense_of_map, op(m, OP_AT_DENSE)->inputs[0] = op(m, OP_AT_CLAMP)->outputs[0])
CHANGE(add_shape, op(m, OP_AT_ADD)->inputs[1] = op(m, OP_AT_DENSE)->inputs[2])
CHANGE(add_constant_first, op(m, OP_AT_ADD)->inputs[0] = op(m, OP_AT_PRELU)->inputs[1])
CHANGE(prelu_3, op(m, OP_AT_PRELU)->n_inputs = 3; op(m, OP_AT_PRELU)->inputs[2] = op(m, OP_AT_PRELU)->inputs[1])
CHANGE(clamp_lo_hi, op(m, OP_AT_CLAMP)->clamp->lo = 2)
CHANGE(pool_misses, op(m, OP_AT_POOL)->avg_pool->window = make_window(m, (struct window){2, 2, 1, 2, 7, 1, {1, 0, 1, 0}}))
/* no kernel */
CHANGE(max_pool_misses, become(m, OP_AT_POOL, OP_MAX_POOL); op(m, OP_AT_POOL)->max_pool->window = make_window(m, (struct window){2, 2, 1, 2, 7, 1, {1, 0, 1, 0}}))
CHANGE(max_pool_shape, become(m, OP_AT_POOL, OP_MAX_POOL); op(m, OP_AT_POOL)->max_pool->window = make_window(m, point))
CHANGE(no_sigmoid, become(m, OP_AT_L2, OP_SIGMOID))
CHANGE(no_softmax, become(m, OP_AT_L2, OP_SOFTMAX))
CHANGE(concat_words, become(m, OP_AT_BINARY, OP_CONCAT); op(m, OP_AT_BINARY)->n_inputs = 1; out(m, OP_AT_BINARY)->dtype = BNNMODEL__DTYPE__BITS)
CHANGE(concat_side, become(m, OP_AT_L2, OP_CONCAT); op(m, OP_AT_L2)->n_inputs = 2; op(m, OP_AT_L2)->inputs[1] = out(m, OP_AT_CLAMP)->id)
CHANGE(concat_shape, become(m, OP_AT_ADD, OP_CONCAT))
CHANGE(concat_constant, become(m, OP_AT_ADD, OP_CONCAT); op(m, OP_AT_ADD)->inputs[1] = op(m, OP_AT_PRELU)->inputs[1])
CHANGE(deviation_one, become(m, OP_AT_L2, OP_DEVIATION))
CHANGE(deviation_channels, become(m, OP_AT_L2, OP_DEVIATION); op(m, OP_AT_L2)->n_inputs = 2; op(m, OP_AT_L2)->inputs[1] = out(m, OP_AT_MEAN)->id)
CHANGE(no_split, become(m, OP_AT_L2, OP_SPLIT); op(m, OP_AT_L2)->split->n_sizes = 1; op(m, OP_AT_L2)->split->sizes = &out(m, OP_AT_L2)->shape[2])
CHANGE(no_reshape, become(m, OP_AT_L2, OP_RESHAPE); op(m, OP_AT_L2)->reshape->n_shape = 3; op(m, OP_AT_L2)->reshape->shape = out(m, OP_AT_L2)->shape)
CHANGE(no_pad, become(m, OP_AT_L2, OP_PAD); op(m, OP_AT_L2)->pad->pads = make_window(m, point)->pads; op(m, OP_AT_L2)->pad->has_value = 1)
CHANGE(no_unpack, become(m, OP_AT_BINARY, OP_UNPACK); op(m, OP_AT_BINARY)->n_inputs = 1)
CHANGE(no_binary_max_pool, become(m, OP_AT_BINARY, OP_BINARY_MAX_POOL); op(m, OP_AT_BINARY)->n_inputs = 1; op(m, OP_AT_BINARY)->binary_max_pool->window = make_window(m, three); out(m, OP_AT_BINARY)->dtype = BNNMODEL__DTYPE__BITS)
CHANGE(no_quantize, become(m, OP_AT_L2, OP_QUANTIZE); Bnnmodel__Tensor *t = out(m, OP_AT_L2); t->dtype = BNNMODEL__DTYPE__I8; t->has_scale = t->has_zero_point = 1; t->scale = 1)
CHANGE(no_dequantize, become(m, OP_AT_L2, OP_DEQUANTIZE))
CHANGE(no_i8, Bnnmodel__Tensor *t = out(m, OP_AT_BINARY); t->dtype = BNNMODEL__DTYPE__I8; t->has_scale = t->has_zero_point = 1; t->scale = 1)
CHANGE(no_bits, out(m, OP_AT_BINARY)->dtype = BNNMODEL__DTYPE__BITS; op(m, OP_AT_BINARY)->n_inputs = 3; int32_t thresholds[5] = {0}; op(m, OP_AT_BINARY)->inputs[2] = make_constant(m, DTYPE_I32, 1, (uint32_t[]){5}, thresholds, sizeof thresholds))
CHANGE(bits_thresholds, out(m, OP_AT_BINARY)->dtype = BNNMODEL__DTYPE__BITS)
CHANGE(no_binary_groups, op(m, OP_AT_BINARY)->binary_conv2d->groups = 5; op(m, OP_AT_BINARY)->inputs[1] = make_bits(m, 5, 3, 3, 1))
/* the rest */
CHANGE(no_input, m->graph.input = NULL)
CHANGE(input_no_fit, m->graph.input->has_fit = 0)
CHANGE(input_constant, m->graph.input->tensor = m->graph.input->table)
CHANGE(input_rules, m->graph.input->image_rules = 0)
CHANGE(background, m->graph.input->background.len = 2)
CHANGE(table_shape, m->graph.input->table = op(m, OP_AT_DENSE)->inputs[1])
CHANGE(no_features, m->graph.n_outputs = 0)
CHANGE(other_output, m->graph.outputs[0]->name = (char *)"boxes")
CHANGE(features_twice, m->graph.outputs[m->graph.n_outputs++] = m->graph.outputs[0])
CHANGE(features_map, m->graph.outputs[0]->tensor = op(m, OP_AT_CLAMP)->outputs[0])
CHANGE(features_input, m->graph.outputs[0]->tensor = m->graph.input->tensor)
CHANGE(features_classes, static char *names[] = {(char *)"a"}; m->graph.outputs[0]->n_classes = 1; m->graph.outputs[0]->classes = names)
CHANGE(logits_classes, static char *names[] = {(char *)"a"}; Bnnmodel__Output *o = make_alloc(m, 1, sizeof *o); *o = *m->graph.outputs[0]; o->name = (char *)"logits"; o->n_classes = 1; o->classes = names; m->graph.outputs[m->graph.n_outputs++] = o)
CHANGE(no_card, m->graph.card = NULL)
CHANGE(card_name, m->graph.card->name = (char *)"a b")
CHANGE(card_text, m->graph.card->text = (char *)"\033[2J")
CHANGE(no_temperature, m->graph.answers->has_temperature = 0)
CHANGE(temperature_0, m->graph.answers->temperature = 0)
CHANGE(temperature_huge, m->graph.answers->temperature = 1e300)
CHANGE(four_shares, m->graph.answers->n_unknown_cosine = 4)
CHANGE(four_deviations, m->graph.answers->n_deviations = 4)
CHANGE(deviations_11, m->graph.answers->deviations[1] = 11)
CHANGE(no_deviation, m->graph.answers->has_deviation = 0)
CHANGE(deviation_0, m->graph.answers->deviation = 0)
CHANGE(weight_0, m->graph.answers->deviation_weight = 0)
CHANGE(cosine_2, m->graph.answers->unknown_cosine[1] = 2)
CHANGE(no_covariance, m->graph.prior->has_covariance = 0)
CHANGE(covariance_shape, m->graph.prior->covariance = op(m, OP_AT_DENSE)->inputs[1]; op(m, OP_AT_DENSE)->n_inputs = 3)
CHANGE(covariance_vector, m->graph.prior->covariance = op(m, OP_AT_DENSE)->inputs[2])
CHANGE(long_name, op(m, 2)->name = make_alloc(m, 1, 200); memset(op(m, 2)->name, 'n', 199))
/* clang-format on */

struct row {
	const char *name;
	void (*change)(struct make *m);
	enum err_code code;
	const char *word; /* of the sentence */
};
#define ROW(change, code, word)                                                                                        \
	{                                                                                                              \
#change, change, ERR_##code, word                                                                      \
	}

static const struct row rows[] = {
	ROW(no_ops, INVALID_ARGUMENT, "neither a constant nor computed"),
	ROW(unknown_graph, UNIMPLEMENTED, "field 99 of Graph"),
	ROW(unknown_tensor, UNIMPLEMENTED, "tensor 3: field 42 of Tensor"),
	ROW(unknown_op, UNIMPLEMENTED, "operation 4: field 99"),
	ROW(unknown_pads, UNIMPLEMENTED, "operation 0: field 9 of Pads"),
	ROW(unknown_card, UNIMPLEMENTED, "field 3 of Card"),
	ROW(unknown_answers, UNIMPLEMENTED, "field 17 of Answers"),
	ROW(no_attributes, INVALID_ARGUMENT, "operation 2: no attributes"),
	ROW(no_window, INVALID_ARGUMENT, "missing attribute 'window'"),
	ROW(no_pads, INVALID_ARGUMENT, "missing attribute 'pads'"),
	ROW(no_left, INVALID_ARGUMENT, "missing attribute 'left'"),
	ROW(no_groups, INVALID_ARGUMENT, "operation 2: missing attribute 'groups'"),
	ROW(no_clamp_hi, INVALID_ARGUMENT, "missing attribute 'hi'"),
	ROW(no_count, INVALID_ARGUMENT, "missing attribute 'count_padding'"),
	ROW(clamp_nan, INVALID_ARGUMENT, "not a finite number in 'lo'"),
	ROW(temperature_inf, INVALID_ARGUMENT, "not a finite number in 'temperature'"),
	ROW(bad_rule, UNIMPLEMENTED, "value 4 of 'rules'"),
	ROW(bad_dtype, UNIMPLEMENTED, "value 7 of 'dtype'"),
	ROW(bad_fit, UNIMPLEMENTED, "value 4 of 'fit'"),
	ROW(no_id, INVALID_ARGUMENT, "tensor 0: id is missing"),
	ROW(no_dtype, INVALID_ARGUMENT, "tensor 0: dtype is missing"),
	ROW(same_id, INVALID_ARGUMENT, "twice"),
	ROW(no_such_id, INVALID_ARGUMENT, "operation 0: tensor id 5 is not there"),
	ROW(no_such_table, INVALID_ARGUMENT, "tensor id 5 is not there"),
	ROW(rank_0, INVALID_ARGUMENT, "rank 0"),
	ROW(side_0, INVALID_ARGUMENT, "a side is 0"),
	ROW(huge, RESOURCE_EXHAUSTED, "too many elements"),
	ROW(large_activation, RESOURCE_EXHAUSTED, "too many elements"),
	ROW(only_offset, INVALID_ARGUMENT, "offset and length"),
	ROW(unaligned, INVALID_ARGUMENT, "multiple of 64"),
	ROW(outside, INVALID_ARGUMENT, "outside the data"),
	ROW(outside_wraps, INVALID_ARGUMENT, "outside the data"),
	ROW(short_length, INVALID_ARGUMENT, "its shape takes"),
	ROW(only_scale, INVALID_ARGUMENT, "scale and zero_point go together"),
	ROW(float_scale, INVALID_ARGUMENT, "belong to integers"),
	ROW(weight_nan, INVALID_ARGUMENT, "not finite"),
	ROW(half_inf, INVALID_ARGUMENT, "not finite"),
	ROW(pad_bit, INVALID_ARGUMENT, "pad bit"),
	ROW(unused, INVALID_ARGUMENT, "neither a constant nor computed"),
	ROW(activation_rank, INVALID_ARGUMENT, "height x width x channels"),
	ROW(later_input, INVALID_ARGUMENT, "not computed by an operation before it"),
	ROW(itself, INVALID_ARGUMENT, "not computed by an operation before it"),
	ROW(twice, INVALID_ARGUMENT, "another operation's result"),
	ROW(writes_constant, INVALID_ARGUMENT, "a constant or"),
	ROW(writes_input, INVALID_ARGUMENT, "is the input"),
	ROW(shape_differs, INVALID_ARGUMENT,
		"operation 0 'conv2d': output 0 should be 6 x 8 x 5, the file says 6 x 8 x 6"),
	ROW(one_input, INVALID_ARGUMENT, "operation 1 'sign': 1 inputs"),
	ROW(two_outputs, INVALID_ARGUMENT, "2 outputs"),
	ROW(two_rules, INVALID_ARGUMENT, "2 rules"),
	ROW(sign_of_bits, INVALID_ARGUMENT, "not a BITS activation"),
	ROW(sign_to_float, INVALID_ARGUMENT, "wrong dtype"),
	ROW(kernel_0, INVALID_ARGUMENT, "wrong shape"),
	ROW(stride_0, INVALID_ARGUMENT, "1 to 256"),
	ROW(dilation_huge, INVALID_ARGUMENT, "1 to 256"),
	ROW(kernel_differs, INVALID_ARGUMENT, "wrong shape"),
	ROW(pads_huge, INVALID_ARGUMENT, "smaller than the dilated kernel"),
	ROW(groups_0, INVALID_ARGUMENT, "groups"),
	ROW(groups_7, INVALID_ARGUMENT, "groups"),
	ROW(pad_value, INVALID_ARGUMENT, "pad_value 2"),
	ROW(clamp_order, INVALID_ARGUMENT, "clamp_lo"),
	ROW(no_shift, INVALID_ARGUMENT, "scale and shift"),
	ROW(scale_shape, INVALID_ARGUMENT, "input 2 has the wrong shape"),
	ROW(scale_overflow, INVALID_ARGUMENT, "not finite together"),
	ROW(multiplier_0, INVALID_ARGUMENT, "multiplier 0"),
	ROW(multiplier_huge, INVALID_ARGUMENT, "multiplier"),
	ROW(dense_of_map, INVALID_ARGUMENT, "1 x 1 x I"),
	ROW(add_shape, INVALID_ARGUMENT, "neither the shape"),
	ROW(add_constant_first, INVALID_ARGUMENT, "not an F32 activation"),
	ROW(prelu_3, INVALID_ARGUMENT, "3 inputs"),
	ROW(clamp_lo_hi, INVALID_ARGUMENT, "lo is above hi"),
	ROW(pool_misses, INVALID_ARGUMENT, "holds no pixel"),
	ROW(max_pool_misses, INVALID_ARGUMENT, "holds no pixel"),
	ROW(max_pool_shape, INVALID_ARGUMENT, "output 0"),
	ROW(no_sigmoid, UNIMPLEMENTED, "'sigmoid' has no kernel in this version"),
	ROW(no_softmax, UNIMPLEMENTED, "'softmax' has no kernel"),
	ROW(concat_words, INVALID_ARGUMENT, "whole words of 32"),
	ROW(concat_side, INVALID_ARGUMENT, "another height or width"),
	ROW(concat_shape, INVALID_ARGUMENT, "output 0"),
	ROW(concat_constant, INVALID_ARGUMENT, "not an F32 activation"),
	ROW(deviation_one, INVALID_ARGUMENT, "'deviation': 1 inputs"),
	ROW(deviation_channels, INVALID_ARGUMENT, "input 1 is not one value a channel"),
	ROW(no_split, UNIMPLEMENTED, "'split' has no kernel"),
	ROW(no_reshape, UNIMPLEMENTED, "'reshape' has no kernel"),
	ROW(no_pad, UNIMPLEMENTED, "'pad' has no kernel"),
	ROW(no_unpack, UNIMPLEMENTED, "'unpack' has no kernel"),
	ROW(no_binary_max_pool, UNIMPLEMENTED, "'binary_max_pool' has no kernel"),
	ROW(no_quantize, UNIMPLEMENTED, "'quantize' has no kernel"),
	ROW(no_dequantize, INVALID_ARGUMENT, "quantized integer activation"),
	ROW(no_i8, UNIMPLEMENTED, "'binary_conv2d' with I8 output has no kernel"),
	ROW(no_bits, UNIMPLEMENTED, "'binary_conv2d' with BITS output has no kernel"),
	ROW(bits_thresholds, INVALID_ARGUMENT, "thresholds"),
	ROW(no_binary_groups, UNIMPLEMENTED, "'binary_conv2d' with groups has no kernel"),
	ROW(no_input, INVALID_ARGUMENT, "input is not complete"),
	ROW(input_no_fit, INVALID_ARGUMENT, "input is not complete"),
	ROW(input_constant, INVALID_ARGUMENT, "height x width x 3"),
	ROW(input_rules, INVALID_ARGUMENT, "image_rules"),
	ROW(background, INVALID_ARGUMENT, "background"),
	ROW(table_shape, INVALID_ARGUMENT, "table"),
	ROW(no_features, INVALID_ARGUMENT, "no output 'features'"),
	ROW(other_output, UNIMPLEMENTED, "'boxes'"),
	ROW(features_twice, INVALID_ARGUMENT, "'features' is there twice"),
	ROW(features_map, INVALID_ARGUMENT, "1 x 1 x C"),
	ROW(features_input, INVALID_ARGUMENT, "1 x 1 x C"),
	ROW(features_classes, INVALID_ARGUMENT, "class names"),
	ROW(logits_classes, INVALID_ARGUMENT, "1 class names for 4 logits"),
	ROW(no_card, INVALID_ARGUMENT, "card"),
	ROW(card_name, INVALID_ARGUMENT, "card's name"),
	ROW(card_text, INVALID_ARGUMENT, "card's text"),
	ROW(no_temperature, INVALID_ARGUMENT, "temperature"),
	ROW(temperature_0, INVALID_ARGUMENT, "temperature"),
	ROW(temperature_huge, INVALID_ARGUMENT, "temperature"),
	ROW(four_shares, INVALID_ARGUMENT, "5 cosines"),
	ROW(four_deviations, INVALID_ARGUMENT, "5 deviations"),
	ROW(deviations_11, INVALID_ARGUMENT, "5 deviations"),
	ROW(no_deviation, INVALID_ARGUMENT, "deviation"),
	ROW(deviation_0, INVALID_ARGUMENT, "deviation above 0"),
	ROW(weight_0, INVALID_ARGUMENT, "deviation above 0"),
	ROW(cosine_2, INVALID_ARGUMENT, "5 cosines"),
	ROW(no_covariance, INVALID_ARGUMENT, "covariance is missing"),
	ROW(covariance_shape, INVALID_ARGUMENT, "features x features"),
	ROW(covariance_vector, INVALID_ARGUMENT, "features x features"),
	ROW(long_name, INVALID_ARGUMENT, "name is longer"),
};

static void test_sound(void **state)
{
	(void)state;
	struct err err = {0};
	size_t len;
	uint8_t *file = tiny_file(&len);
	if (load(file, len, true, &err))
		fail_msg("%s", err.text);
	assert_int_equal(load(file, len, true, NULL), 0);
	free(file);
}

static void test_messages(void **state)
{
	(void)state;
	int failed = 0;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct make m;
		struct err err = {0};
		size_t len;
		tiny(&m);
		rows[i].change(&m);
		uint8_t *file = make_file(&m, &len);
		int r = load(file, len, true, &err);
		if (r != -(int)rows[i].code || err.code != (int)rows[i].code || !strstr(err.text, rows[i].word)) {
			print_error("%s: %d %s '%s', not %s '%s'\n", rows[i].name, r, err_code_name(err.code), err.text,
				err_code_name(rows[i].code), rows[i].word);
			failed++;
		}
		assert_int_equal(load(file, len, true, NULL), r);
		free(file);
		make_deinit(&m);
	}
	print_message("%zu changes of the message\n", sizeof rows / sizeof *rows);
	assert_int_equal(failed, 0);
}

/* Joining floats has a kernel, joining bits has none. */
static void test_concat_of_bits(void **state)
{
	(void)state;
	struct make m;
	struct err err = {0};
	size_t len;
	make_init(&m, 1);
	struct made x = make_conv(&m, make_input(&m, 4, 4), 32, three, 1, true, false);
	struct made bits = make_sign(&m, x, SIGN_LESS, false);
	struct made both = make_activation(&m, DTYPE_BITS, 4, 4, 64);
	make_op(&m, OP_CONCAT, 2, (uint32_t[]){bits.id, bits.id}, both.id);
	make_features(&m, make_same(&m, OP_MEAN, make_binary(&m, both, 3, three, 1, false)));
	uint8_t *file = make_file(&m, &len);
	assert_int_equal(load(file, len, true, &err), -ERR_UNIMPLEMENTED);
	assert_non_null(strstr(err.text, "'concat' with BITS inputs has no kernel"));
	free(file);
	make_deinit(&m);
}

/* The bytes of the file: what is put where, how many are left. */
struct byte_row {
	const char *name;
	size_t at, n;
	uint64_t value;
	long cut; /* bytes added (or less) at the end */
	bool keep_digest;
	enum err_code code;
	const char *word;
};

static const struct byte_row byte_rows[] = {
	{"magic", 1, 1, 'X', 0, false, ERR_INVALID_ARGUMENT, "does not begin"},
	{"major", 8, 2, 2, 0, false, ERR_UNIMPLEMENTED, "format is 2.0"},
	{"minor", 10, 2, 2, 0, false, ERR_UNIMPLEMENTED, "format is 1.2"},
	{"graph too large", 12, 4, (4 << 20) + 1, 0, false, ERR_RESOURCE_EXHAUSTED, "4 MiB"},
	{"graph larger than file", 12, 4, 1 << 20, 0, false, ERR_INVALID_ARGUMENT, "cut"},
	{"data too large", 16, 8, (256u << 20) + 1, 0, false, ERR_RESOURCE_EXHAUSTED, "256 MiB"},
	{"data wraps", 16, 8, ~0ull, 0, false, ERR_RESOURCE_EXHAUSTED, "256 MiB"},
	{"data less", 16, 8, 64, 0, false, ERR_INVALID_ARGUMENT, "too long"},
	{"reserved", 24, 1, 1, 0, false, ERR_UNIMPLEMENTED, "reserved"},
	{"digest", 40, 1, 0x55, 0, true, ERR_INVALID_ARGUMENT, "SHA-256"},
	{"content", 70, 1, 0x55, 0, true, ERR_INVALID_ARGUMENT, "SHA-256"},
	{"not protobuf", 64, 4, 0xFFFFFFFF, 0, false, ERR_INVALID_ARGUMENT, "protobuf"},
	{"cut by one", 70, 0, 0, -1, false, ERR_INVALID_ARGUMENT, "cut"},
	{"one more", 70, 0, 0, 1, false, ERR_INVALID_ARGUMENT, "too long"},
	{"header alone", 70, 0, 0, -1000000, false, ERR_INVALID_ARGUMENT, "cut"},
};

static void test_bytes(void **state)
{
	(void)state;
	size_t whole;
	uint8_t *file = tiny_file(&whole), *copy = malloc(whole + 8);
	assert_non_null(copy);
	for (size_t i = 0; i < sizeof byte_rows / sizeof *byte_rows; i++) {
		const struct byte_row *r = &byte_rows[i];
		struct err err = {0};
		long left = (long)whole + r->cut;
		size_t len = left < 40 ? 40 : (size_t)left;
		memset(copy + whole, 0, 8);
		memcpy(copy, file, whole);
		memcpy(copy + r->at, &r->value, r->n);
		if (!r->keep_digest && len >= 64)
			make_digest(copy, len);
		int got = load(copy, len, true, &err);
		if (got != -(int)r->code || !strstr(err.text, r->word))
			fail_msg("%s: %d '%s'", r->name, got, err.text);
	}
	/* between graph and data */
	uint32_t graph = load_le32(file + 12);
	if (graph % 64) {
		struct err err = {0};
		memcpy(copy, file, whole);
		copy[64 + graph] = 1;
		make_digest(copy, whole);
		assert_int_equal(load(copy, whole, true, &err), -ERR_INVALID_ARGUMENT);
		assert_non_null(strstr(err.text, "between"));
	}
	for (size_t len = 0; len < whole; len += len < 80 ? 1 : 977)
		assert_int_not_equal(load(file, len, false, NULL), 0);
	free(copy);
	free(file);
}

static void test_open(void **state)
{
	(void)state;
	struct bnn_model *model;
	struct err err = {0};
	assert_int_equal(bnn_model_open("/nonexistent/model.bnn", &model, &err), -ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "/nonexistent/model.bnn"));
	assert_int_equal(bnn_model_open("/", &model, &err), -ERR_INVALID_ARGUMENT);
	assert_int_equal(bnn_model_open("/dev/null", &model, &err), -ERR_INVALID_ARGUMENT);
	char path[] = "/tmp/bnnd-test-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	size_t len;
	uint8_t *file = tiny_file(&len);
	assert_int_equal(write(fd, file, len), len);
	close(fd);
	assert_int_equal(bnn_model_open(path, &model, &err), 0);
	assert_int_equal(truncate(path, 0), 0); /* the model has copies */
	const struct bnn_info *info = bnn_model_info(model);
	assert_string_equal(info->name, "made-1");
	assert_string_equal(info->card, "made by a test");
	assert_int_equal(info->width, 8);
	assert_int_equal(info->height, 6);
	assert_int_equal(info->fit, BNN_FIT_CONTAIN);
	assert_int_equal(info->n_features, 4);
	assert_true(info->has_answers);
	struct bnn_run *run = bnn_run_new(model);
	uint8_t pixels[6 * 8 * 3] = {0};
	float features[4];
	bnn_run_features(run, pixels, features);
	double length = 0;
	for (int i = 0; i < 4; i++)
		length += (double)features[i] * (double)features[i];
	assert_true(fabs(length - 1) < 1e-5);
	bnn_run_free(run);
	bnn_model_free(model);
	assert_int_equal(bnn_model_open(path, &model, &err), -ERR_INVALID_ARGUMENT);
	unlink(path);
	free(file);
}

static void test_forced_kernels(void **state)
{
	(void)state;
	struct err err = {0};
	size_t len;
	uint8_t *file = tiny_file(&len);
	setenv("BNND_KERNELS", "neon", 1);
	assert_int_equal(load(file, len, true, &err), -ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(err.text, "'neon'"));
	assert_non_null(strstr(err.text, "ref"));
	assert_non_null(strstr(err.text, "portable"));
	setenv("BNND_KERNELS", "", 1);
	assert_int_equal(load(file, len, true, &err), 0);
	unsetenv("BNND_KERNELS");
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_concat_of_bits),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_forced_kernels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
