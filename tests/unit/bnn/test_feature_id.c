/* SPDX-License-Identifier: MIT */
/* What names a model's features: equal ids, equal features. Everything that the file can say about an operation, a
 * tensor and the input changes the id, each in its own way, found by walking model.proto's own description: an
 * attribute that is added there and forgotten in graph_unpack.c or feature_id.c fails here. (What does not change it,
 * test_run.c says; that it never changes, the golden ids do.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/bnn/graph.h"
#include "tests/unit/bnn/make_model.h"

enum { VALUES_MAX = 64, SIDE = 4, UNCHANGED = -1 };

struct id {
	uint8_t bytes[BNN_ID_BYTES];
};

/* The id of m's graph, which need not pass graph_check. */
static struct id id_of(const struct make *m)
{
	size_t len = bnnmodel__graph__get_packed_size(&m->graph);
	uint8_t *message = mem_zalloc(len, 1);
	struct graph g;
	struct err err = {0};
	struct id id;
	bnnmodel__graph__pack(&m->graph, message);
	if (graph_unpack(message, len, m->data, m->data_bytes, &g, &err))
		fail_msg("%s", err.text);
	for (size_t i = 0; i < g.n_ops; i++)
		for (size_t k = 0; k < g.ops[i].n_outputs; k++)
			g.tensors[g.ops[i].outputs[k]].producer = (int)i;
	graph_feature_id(&g, id.bytes);
	graph_deinit(&g);
	free(message);
	return id;
}

/* ---- messages filled by their description ---- */

/* Values are counted while they are set: 1 each, but the one of number `changed`. */
struct filling {
	struct make *m;
	int changed, n;
};

static int next_value(struct filling *f, int plain, int other)
{
	return f->n++ == f->changed ? other : plain;
}

static void fill(struct filling *f, const ProtobufCMessageDescriptor *d, void *message);

static void *new_message(struct filling *f, const ProtobufCMessageDescriptor *d)
{
	void *message = make_alloc(f->m, 1, d->sizeof_message);
	protobuf_c_message_init(d, message);
	fill(f, d, message);
	return message;
}

/* All of these are four bytes. An enum's values are 1, 2, ... */
static void set_value(struct filling *f, const ProtobufCFieldDescriptor *field, void *to)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_FLOAT:
		*(float *)to = (float)next_value(f, 1, 2);
		return;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)to = next_value(f, 1, 0);
		return;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_ENUM:
		*(int32_t *)to = next_value(f, 1, 2);
		return;
	default:
		fail_msg("%s: this test does not know how to fill in a field of its type", field->name);
	}
}

static void fill(struct filling *f, const ProtobufCMessageDescriptor *d, void *message)
{
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &d->fields[i];
		uint8_t *at = (uint8_t *)message + field->offset,
			*quantifier = (uint8_t *)message + field->quantifier_offset;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			uint32_t *values = make_alloc(f->m, 2, sizeof *values);
			values[1] = 1;
			set_value(f, field, &values[0]);
			*(size_t *)quantifier = (size_t)next_value(f, 1, 2);
			*(void **)at = values;
		} else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
			*(void **)at = new_message(f, field->descriptor);
		} else {
			*(protobuf_c_boolean *)quantifier = 1;
			set_value(f, field, at);
		}
	}
}

/* ---- */

/* input -> one operation of this kind, of two inputs -> features. Returns how many values its attributes have. */
static int one_operation(struct make *m, const ProtobufCFieldDescriptor *kind, int changed)
{
	make_init(m, 1);
	struct made x = make_input(m, SIDE, SIDE), y = make_activation(m, DTYPE_F32, SIDE, SIDE, 3);
	uint32_t v = make_floats(m, 1, &x.c, 1);
	Bnnmodel__Op *op = make_op(m, (enum op_kind)kind->id, 2, (uint32_t[]){x.id, v}, y.id);
	struct filling f = {m, changed, 0};
	op->sign = new_message(&f, kind->descriptor); /* a union of pointers */
	make_features(m, y);
	return f.n;
}

static bool same(const struct id *a, const struct id *b)
{
	return !memcmp(a, b, sizeof *a);
}

/* ids[0] is of the graph unchanged: each change gives an id of its own. */
static void no_two_are_equal(const struct id *ids, int n, const char *what)
{
	for (int i = 0; i < n; i++)
		for (int k = 0; k < i; k++)
			if (same(&ids[i], &ids[k]))
				fail_msg("%s: changes %d and %d (0: none) have the same feature_id", what, k, i);
}

static void test_every_attribute(void **state)
{
	(void)state;
	const ProtobufCMessageDescriptor *d = &bnnmodel__op__descriptor;
	int kinds = 0, values = 0;
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *kind = &d->fields[i];
		if (!(kind->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
			continue;
		struct id ids[VALUES_MAX];
		struct make m;
		int n = 0, at = UNCHANGED;
		do {
			n = one_operation(&m, kind, at);
			assert_true(n < VALUES_MAX);
			ids[at - UNCHANGED] = id_of(&m);
			make_deinit(&m);
		} while (++at < n);
		no_two_are_equal(ids, n + 1, kind->name);
		assert_string_equal(op_kind_name((enum op_kind)kind->id), kind->name);
		kinds++;
		values += n;
	}
	print_message("%d kinds of operations, %d values of attributes\n", kinds, values);
	assert_int_equal(kinds, OP_END - OP_SIGN);
	assert_true(values >= 80); /* as many as there were when this was written */
}

/* What is said of a tensor, and which tensors an operation reads and writes. */
static void test_every_tensor(void **state)
{
	(void)state;
	enum { CHANGES = 11 };
	struct id ids[CHANGES];
	for (int change = 0; change < CHANGES; change++) {
		struct make m;
		make_init(&m, 1);
		struct made x = make_input(&m, SIDE, SIDE), y = make_activation(&m, DTYPE_I8, SIDE, SIDE, 3);
		uint32_t v = make_floats(&m, 1, &x.c, 1), other = make_floats(&m, 1, &x.c, 2);
		Bnnmodel__Op *op = make_op(&m, OP_ADD, 2, (uint32_t[]){x.id, v}, y.id);
		Bnnmodel__Tensor *result = m.graph.tensors[2], *constant = m.graph.tensors[3];
		assert_int_equal(result->id, y.id);
		assert_int_equal(constant->id, v);
		result->has_scale = result->has_zero_point = 1;
		result->scale = 0.5f;
		make_features(&m, y);
		switch (change) {
		case 1:
			result->scale = 0.25f;
			break;
		case 2:
			result->zero_point = -3;
			break;
		case 3:
			result->has_scale = result->has_zero_point = 0;
			break;
		case 4:
			result->dtype = BNNMODEL__DTYPE__I16;
			break;
		case 5:
			result->shape[1]++;
			break;
		case 6:
			constant->shape[1] = 1;
			constant->n_shape = 2;
			break;
		case 7:
			m.data[constant->offset] ^= 1;
			break;
		case 8:
			op->inputs[0] = other;
			break;
		case 9:
			op->n_inputs = 1;
			break;
		case 10:
			op->outputs[1] = make_activation(&m, DTYPE_F32, 1, 1, 1).id;
			op->n_outputs = 2;
			break;
		default:
			break;
		}
		ids[change] = id_of(&m);
		make_deinit(&m);
	}
	no_two_are_equal(ids, CHANGES, "tensors");
}

static void test_every_word_of_the_input(void **state)
{
	(void)state;
	enum { CHANGES = 9 };
	struct id ids[CHANGES];
	for (int change = 0; change < CHANGES; change++) {
		struct make m;
		make_init(&m, 1);
		struct made x = make_input(&m, SIDE, SIDE), y = make_activation(&m, DTYPE_F32, SIDE, SIDE, 3);
		make_op(&m, OP_SQRT, 1, &x.id, y.id);
		make_features(&m, y);
		Bnnmodel__Input *in = m.graph.input;
		uint32_t *shape = m.graph.tensors[0]->shape;
		const Bnnmodel__Tensor *table = m.graph.tensors[1];
		assert_int_equal(m.graph.tensors[0]->id, x.id);
		assert_int_equal(table->id, in->table);
		switch (change) {
		case 1:
			shape[0]++;
			break;
		case 2:
			shape[1]++;
			break;
		case 3:
			in->fit = BNNMODEL__FIT__STRETCH;
			break;
		case 4:
			in->image_rules++;
			break;
		case 5:
		case 6:
		case 7:
			in->background.data[change - 5] ^= 1;
			break;
		case 8:
			m.data[table->offset + table->length - 1] ^= 1;
			break;
		default:
			break;
		}
		ids[change] = id_of(&m);
		make_deinit(&m);
	}
	no_two_are_equal(ids, CHANGES, "input");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_attribute),
		cmocka_unit_test(test_every_tensor),
		cmocka_unit_test(test_every_word_of_the_input),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
