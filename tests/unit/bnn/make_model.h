/* SPDX-License-Identifier: MIT */
/* tests/unit/bnn/make_model.h: builds .bnn files from seeded numbers, an operation at a time, and lets a test change
 * the messages before they are packed. Aborts on misuse: it is a test's own tool. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/bnn/graph.h"
#include "lib/bnn/model.pb-c.h"

enum { MAKE_TENSORS_MAX = 512, MAKE_OPS_MAX = 256 };

struct make {
	Bnnmodel__Graph graph; /* its arrays have room for the maxima above */
	uint8_t *data;
	size_t data_bytes;
	uint64_t seed;
	void **memory;
	size_t n_memory;
};

/* A tensor id with its shape. */
struct made {
	uint32_t id, h, w, c;
};

void make_init(struct make *m, uint64_t seed);
void make_deinit(struct make *m);
void *make_alloc(struct make *m, size_t n, size_t bytes);

/* Uniform in [0, n); about normal, with some exact zeros of both signs. */
uint32_t make_below(struct make *m, uint32_t n);
float make_float(struct make *m);

uint32_t make_constant(
	struct make *m, enum dtype dtype, uint32_t rank, const uint32_t *shape, const void *bytes, size_t len);
uint32_t make_floats(struct make *m, uint32_t rank, const uint32_t *shape, float scale); /* random */
uint32_t make_bits(struct make *m, uint32_t o, uint32_t ky, uint32_t kx, uint32_t i);    /* random */
struct made make_activation(struct make *m, enum dtype dtype, uint32_t h, uint32_t w, uint32_t c);
/* The operation's attribute message is there and empty: m's caller fills it. */
Bnnmodel__Op *make_op(struct make *m, enum op_kind kind, size_t n_inputs, const uint32_t *inputs, uint32_t output);
Bnnmodel__Window *make_window(struct make *m, struct window w);

struct made make_input(struct make *m, uint32_t h, uint32_t w);
struct made make_sign(struct make *m, struct made x, int rule, bool one_threshold); /* rule 0: mixed */
struct made make_binary(struct make *m, struct made bits, uint32_t out_c, struct window w, int pad_value, bool clamp);
struct made make_conv(
	struct make *m, struct made x, uint32_t out_c, struct window w, uint32_t groups, bool bias, bool half);
struct made make_depthwise(struct make *m, struct made x, struct window w, uint32_t multiplier, bool bias);
struct made make_dense(struct make *m, struct made x, uint32_t out_c, bool bias);
struct made make_arithmetic(struct make *m, enum op_kind kind, struct made x, uint32_t v);
struct made make_prelu(struct make *m, struct made x, bool shifts);
struct made make_clamp(struct make *m, struct made x, float lo, float hi);
struct made make_pool(struct make *m, struct made x, struct window w, bool count_padding);
struct made make_max_pool(struct make *m, struct made x, struct window w);
struct made make_concat(struct make *m, size_t n, const struct made *parts);
struct made make_same(struct make *m, enum op_kind kind, struct made x); /* sqrt, l2; mean */
struct made make_deviation(struct make *m, struct made x, struct made from);
void make_features(struct make *m, struct made x);

/* The output side of a window, 0 if it does not fit. */
uint32_t make_side(uint32_t in, uint32_t before, uint32_t after, uint32_t kernel, uint32_t stride, uint32_t dilation);

/* The file, with a right digest. Free it with free(). */
uint8_t *make_file(const struct make *m, size_t *ret_len_bytes);
void make_digest(uint8_t *file, size_t len_bytes);
