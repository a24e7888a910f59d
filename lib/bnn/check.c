/* SPDX-License-Identifier: MIT */
/* lib/bnn/check.c: is the graph sound? Tensors, the order of operations, the limits and the outputs; an operation by
 * itself is check_op.c's.
 *
 * Invariant: a graph that passes can be planned and run without a further check: every size fits its type, every
 * constant has exactly its bytes, every operand is there before it is read, every operation has a kernel.
 * Each refusal names the operation or tensor and what is wrong with it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/utf8.h"
#include "lib/bnn/check_op.h"

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
	case DTYPE_I32:
	case DTYPE_F32:
		break;
	}
	return 32;
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
		elements += op_input(c, i)->is_constant ? 0 : op_input(c, i)->n_elements;
	if (op->operations < elements)
		op->operations = elements;
	const char *what = op_without_kernel(c);
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
	return tensor_is_float_constant(t) && t->rank == 2 && t->shape[0] == d && t->shape[1] == d;
}

static bool groups_ok(const struct graph *g)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < g->n_groups; i++) {
		if (g->groups[i] == 0)
			return false;
		sum += g->groups[i];
	}
	return g->n_groups == 0 || (g->n_groups <= BNN_GROUPS_MAX && sum == g->tensors[g->features].shape[2]);
}

static bool is_cosine(double x)
{
	return x >= 0 && x <= 1;
}

/* So that what two of them and a cosine make is finite. */
static bool is_temperature(double x)
{
	return x >= 1.0 / ANSWERS_TEMPERATURE_MAX && x <= ANSWERS_TEMPERATURE_MAX;
}

static bool known_ok(const struct bnn_known *k)
{
	return is_cosine(k->near_duplicate) && k->near_duplicate > 0 && is_cosine(k->pair_cosine) &&
	       k->pair_weight >= 0 && k->pair_weight <= ANSWERS_WEIGHT_MAX && is_cosine(k->class_share) &&
	       k->few_pictures >= 0 && k->few_pictures <= ANSWERS_WEIGHT_MAX && is_temperature(k->metric_temperature) &&
	       is_cosine(k->scene_share) && is_cosine(k->scene_cosine);
}

static bool group_factors_ok(const struct graph *g)
{
	bool ok = g->n_group_factors == 0 || g->n_group_factors == g->n_groups;
	for (size_t i = 0; i < g->n_group_factors && ok; i++)
		ok = g->group_factors[i] >= 1.0 / BNN_GROUP_FACTOR_MAX && g->group_factors[i] <= BNN_GROUP_FACTOR_MAX;
	return ok;
}

static bool blank_ok(const struct graph *g)
{
	bool any = false,
	     ok = g->blank_cosine >= -1 && g->blank_cosine <= 1 && g->n_blank == g->tensors[g->features].shape[2];
	for (size_t i = 0; i < g->n_blank && ok; i++) {
		ok = g->blank[i] != INT8_MIN;
		any = any || g->blank[i] != 0;
	}
	return ok && any;
}

static int check_answers(const struct graph *g, struct err *err)
{
	const size_t n_cosines = g->has_known ? 0 : BNN_REFUSE_SHARES;
	bool ok = is_temperature(g->temperature) && g->deviation > 0 && g->deviation <= 1 && g->deviation_weight > 0 &&
		  g->deviation_weight <= ANSWERS_WEIGHT_MAX && g->n_unknown_cosine == n_cosines &&
		  g->n_deviations == BNN_REFUSE_SHARES;
	for (size_t i = 0; i < n_cosines && ok; i++)
		ok = g->unknown_cosine[i] >= -1 && g->unknown_cosine[i] <= 1;
	for (size_t i = 0; i < BNN_REFUSE_SHARES && ok; i++)
		ok = fabs(g->deviations[i]) <= ANSWERS_DEVIATIONS_MAX;
	if (!ok)
		return err_set(err, ERR_INVALID_ARGUMENT,
			"answers: a temperature of 1/%d to %d, a deviation above 0, %zu cosines and %d deviations are "
			"needed",
			ANSWERS_TEMPERATURE_MAX, ANSWERS_TEMPERATURE_MAX, n_cosines, BNN_REFUSE_SHARES);
	if (g->has_known && (!known_ok(&g->known) || (g->blank && !blank_ok(g))))
		return err_set(err, ERR_INVALID_ARGUMENT, "answers: a constant of *known* is out of range");
	if (!groups_ok(g))
		return err_set(err, ERR_INVALID_ARGUMENT,
			"answers: at most %d groups of features, all of them together, are possible", BNN_GROUPS_MAX);
	if (!group_factors_ok(g))
		return err_set(err, ERR_INVALID_ARGUMENT,
			"answers: as many factors as groups, each 1/%d to %d, are possible", BNN_GROUP_FACTOR_MAX,
			BNN_GROUP_FACTOR_MAX);
	return 0;
}

static int check_rest(const struct graph *g, struct err *err)
{
	int r = g->has_answers ? check_answers(g, err) : 0;
	if (r)
		return r;
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
