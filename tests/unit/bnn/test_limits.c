/* SPDX-License-Identifier: MIT */
/* What a model file may cost before it is refused: memory while it is unpacked, the arena, operations, constants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/endian.h"
#include "lib/bnn/bnn.h"
#include "tests/unit/bnn/make_model.h"

static const struct window point = {1, 1, 1, 1, 1, 1, {0}};

static int load(const uint8_t *file, size_t len, bool verify, struct err *err)
{
	struct bnn_model *model = NULL;
	int r = bnn_model_from_bytes(file, len, verify, &model, err);
	bnn_model_free(model);
	return r;
}

/* A graph of empty messages: small on the wire, large in memory. */
static void test_many_empty_messages(void **state)
{
	(void)state;
	size_t graph = 4 << 20, len = 64 + graph;
	uint8_t *file = calloc(1, len);
	struct err err = {0};
	assert_non_null(file);
	memcpy(file,
		"\x89"
		"BNND\r\n"
		"\x1a",
		8);
	store_le16(file + 8, 1);
	store_le32(file + 12, (uint32_t)graph);
	for (size_t i = 0; i < graph; i += 2)
		file[64 + i] = 1 << 3 | 2; /* tensors, 0 bytes */
	make_digest(file, len);
	int r = load(file, len, true, &err);
	assert_true(r == -ERR_INVALID_ARGUMENT || r == -ERR_RESOURCE_EXHAUSTED);
	free(file);
}

/* Sizes that are each allowed, but not together. */
static void test_limits(void **state)
{
	(void)state;
	struct err err = {0};
	struct make m;
	size_t len;
	make_init(&m, 1);
	struct made x = make_input(&m, 1024, 1024);
	x = make_conv(&m, x, 40, point, 1, false, false);
	make_features(&m, make_same(&m, OP_MEAN, make_arithmetic(&m, OP_ADD, x, make_prelu(&m, x, false).id)));
	uint8_t *file = make_file(&m, &len);
	assert_int_equal(load(file, len, true, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(err.text, "arena above 256 MiB"));
	free(file);
	make_deinit(&m);

	make_init(&m, 1);
	x = make_conv(&m, make_input(&m, 1024, 1024), 60, point, 1, false, false);
	struct window w = {8, 8, 1, 1, 1, 1, {0}};
	make_features(&m, make_same(&m, OP_MEAN, make_conv(&m, x, 8, w, 1, false, false)));
	file = make_file(&m, &len);
	assert_int_equal(load(file, len, true, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(err.text, "20 G operations"));
	free(file);
	make_deinit(&m);
}

/* Weights that blow up when they are packed: many groups of one output each. */
static void test_packed_weights(void **state)
{
	(void)state;
	struct err err = {0};
	struct make m;
	size_t len;
	make_init(&m, 1);
	struct made x = make_conv(&m, make_input(&m, 1, 1), 65536, point, 1, false, false);
	for (int i = 0; i < 200; i++) {
		/* one constant for all of them: the file stays small, the packed copies do not */
		uint32_t weights = i ? m.graph.ops[1]->inputs[1] : make_floats(&m, 4, (uint32_t[]){65536, 1, 1, 1}, 1);
		struct made y = make_activation(&m, DTYPE_F32, 1, 1, 65536);
		Bnnmodel__Op *op = make_op(&m, OP_CONV2D, 2, (uint32_t[]){x.id, weights}, y.id);
		op->conv2d->window = make_window(&m, point);
		op->conv2d->has_groups = 1;
		op->conv2d->groups = 65536;
		x = y;
	}
	make_features(&m, make_dense(&m, x, 2, false));
	uint8_t *file = make_file(&m, &len);
	setenv("BNND_KERNELS", "portable", 1);
	assert_int_equal(load(file, len, true, &err), -ERR_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(err.text, "constants take more than 256 MiB"));
	unsetenv("BNND_KERNELS");
	free(file);
	make_deinit(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_empty_messages),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_packed_weights),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
