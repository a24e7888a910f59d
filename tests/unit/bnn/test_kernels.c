/* SPDX-License-Identifier: MIT */
/* Every set of kernels against the reference (ref.c), bit for bit, an operation at a time, on odd shapes.
 *
 * Each case is a seeded model; its one interesting step is taken out of the plan of each set and run on buffers that
 * end at a PROT_NONE page, over random floats with zeros of both signs (and NaN and infinities for sign). What lies
 * before the buffer is checked, too.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/random.h"
#include "lib/bnn/kernels/choose.h"
#include "lib/bnn/run.h"
#include "tests/unit/bnn/make_model.h"

enum { CANARY = 0xC5, CANARY_BYTES = 64, CASES = 250, PARTS_MAX = 5 };

/* `bytes` bytes that end where a page begins that nobody may touch. */
struct guarded {
	uint8_t *map, *p;
	size_t map_bytes, bytes;
};

static struct guarded guarded_new(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct guarded g = {.bytes = bytes};
	g.map_bytes = (bytes + CANARY_BYTES + page - 1) / page * page + page;
	g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(g.map, MAP_FAILED);
	g.p = g.map + g.map_bytes - page - bytes;
	memset(g.map, CANARY, g.map_bytes - page);
	assert_int_equal(mprotect(g.map + g.map_bytes - page, page, PROT_NONE), 0);
	return g;
}

static void guarded_free(struct guarded *g)
{
	for (int i = 1; i <= CANARY_BYTES; i++)
		assert_int_equal(g->p[-i], CANARY);
	munmap(g->map, g->map_bytes);
}

static struct bnn_model *load(const struct make *m, const struct kernels *k)
{
	size_t len;
	uint8_t *file = make_file(m, &len);
	struct bnn_model *model = NULL;
	struct err err = {0};
	setenv("BNND_KERNELS", k->name, 1);
	if (bnn_model_from_bytes(file, len, true, &model, &err))
		fail_msg("%s: %s", k->name, err.text);
	unsetenv("BNND_KERNELS");
	free(file);
	return model;
}

/* The plain reference is the last of the sets. */
static const struct kernels *reference(void)
{
	const struct kernels *const *k = kernels_usable();
	while (k[1])
		k++;
	assert_string_equal((*k)->name, "ref");
	return *k;
}

/* What the step reads: the same for every set. */
struct operands {
	struct guarded x, v, parts[PARTS_MAX];
};

static size_t input_bytes(const struct plan *plan, const struct plan_step *s)
{
	return plan->buffers[s->x].bytes;
}

static void fill_floats(struct make *m, float *p, size_t n, bool wild)
{
	for (size_t i = 0; i < n; i++) {
		p[i] = make_float(m);
		uint32_t r = wild ? make_below(m, 16) : 16;
		if (r < 3)
			p[i] = r == 0 ? NAN : r == 1 ? INFINITY : -INFINITY;
	}
}

/* What a statistic may meet: in every fourth run NaN and infinities, too, which leave little else in a sum. */
static void fill_hard(struct make *m, float *p, size_t n)
{
	static const float hard[] = {-0.0f, 0, FLT_TRUE_MIN, -FLT_TRUE_MIN, 0x1p-140f, FLT_MIN, -0x1p-75f, 4097, 4095,
		-1e20f, 1e19f, FLT_MAX, -FLT_MAX, INFINITY, NAN, -INFINITY};
	enum { N = sizeof hard / sizeof *hard, NOT_FINITE = 3, LARGE = 5 };
	uint32_t left_out = (const uint32_t[]){0, NOT_FINITE, NOT_FINITE + LARGE, NOT_FINITE + LARGE}[make_below(m, 4)];
	for (size_t i = 0; i < n; i++)
		p[i] = make_below(m, 4) ? make_float(m) : hard[make_below(m, N - left_out)];
}

static void fill_input(struct make *m, const struct plan_step *s, struct guarded *x)
{
	if (s->kind == OP_DEVIATION || s->kind == OP_MEAN) {
		fill_hard(m, (float *)x->p, x->bytes / sizeof(float));
		return;
	}
	if (s->kind != OP_BINARY_CONV2D) {
		fill_floats(m, (float *)x->p, x->bytes / sizeof(float), s->kind == OP_SIGN || s->kind == OP_MAX_POOL);
		return;
	}
	uint32_t channels = s->binary.win.in_c, words = kernel_words(channels);
	uint64_t *bits = (uint64_t *)x->p;
	for (size_t i = 0; i < x->bytes / sizeof *bits; i++) {
		bits[i] = splitmix64_next(&m->seed);
		if (i % words == words - 1 && channels % 64)
			bits[i] &= ((uint64_t)1 << channels % 64) - 1;
	}
}

/* Runs the step of `plan` on guarded buffers; the results' bytes in *ret, y first, then bits. */
static void run_guarded(const struct plan *plan, const struct plan_step *s, const struct operands *in,
	struct guarded *ret_y, struct guarded *ret_bits)
{
	size_t n = (size_t)s->height * s->width;
	struct guarded scratch = {0};
	const float *parts[PARTS_MAX];
	for (size_t i = 0; i < s->concat.n; i++)
		parts[i] = (const float *)in->parts[i].p;
	struct step_operands o = {.x = in->x.p, .v = s->v >= 0 ? (const float *)in->v.p : NULL, .parts = parts};
	*ret_y = *ret_bits = (struct guarded){0};
	if (s->y >= 0) {
		*ret_y = guarded_new(n * s->channels * sizeof(float));
		o.y = (float *)ret_y->p;
	}
	if (s->bits >= 0) {
		*ret_bits = guarded_new(n * kernel_words(s->channels) * sizeof(uint64_t));
		o.bits = (uint64_t *)ret_bits->p;
	}
	if (s->scratch >= 0) {
		scratch = guarded_new(plan->buffers[s->scratch].bytes);
		o.scratch = scratch.p;
	}
	step_execute(plan, s, &o);
	if (scratch.map)
		guarded_free(&scratch);
}

/* Of NaN neither sign nor payload is defined where one is computed. */
static bool same_but_nan(const struct guarded *a, const struct guarded *b)
{
	const float *x = (const float *)a->p, *y = (const float *)b->p;
	for (size_t i = 0; i < a->bytes / sizeof *x; i++)
		if (memcmp(&x[i], &y[i], sizeof *x) != 0 && !(isnan(x[i]) && isnan(y[i])))
			return false;
	return true;
}

static bool same_results(const struct guarded *a, const struct guarded *b, const struct plan_step *s)
{
	if (a->bytes == b->bytes && (!a->bytes || !memcmp(a->p, b->p, a->bytes)))
		return true;
	return a->bytes == b->bytes && (s->kind == OP_DEVIATION || s->kind == OP_MEAN) && same_but_nan(a, b);
}

/* The model's last step but `from_end`, by every set. */
static void check_step(struct make *m, size_t from_end, const char *what, uint64_t seed)
{
	struct bnn_model *ref_model = load(m, reference());
	const struct plan *ref = &ref_model->plan;
	const struct plan_step *s = &ref->steps[ref->n_steps - 1 - from_end];
	struct operands in = {guarded_new(input_bytes(ref, s)), {0}, {{0}}};
	fill_input(m, s, &in.x);
	for (size_t i = 0; i < s->concat.n; i++) {
		in.parts[i] = guarded_new(ref->buffers[s->parts[i]].bytes);
		fill_floats(m, (float *)in.parts[i].p, in.parts[i].bytes / sizeof(float), true);
	}
	if (s->v >= 0) {
		in.v = guarded_new(ref->buffers[s->v].bytes);
		if (s->kind == OP_DEVIATION)
			fill_hard(m, (float *)in.v.p, in.v.bytes / sizeof(float));
		else
			fill_floats(m, (float *)in.v.p, in.v.bytes / sizeof(float), false);
	}
	struct guarded want_y, want_bits;
	run_guarded(ref, s, &in, &want_y, &want_bits);
	for (const struct kernels *const *k = kernels_usable(); *k; k++) {
		struct bnn_model *model = load(m, *k);
		const struct plan *plan = &model->plan;
		assert_int_equal(plan->n_steps, ref->n_steps);
		struct guarded y, bits;
		run_guarded(plan, &plan->steps[plan->n_steps - 1 - from_end], &in, &y, &bits);
		if (!same_results(&y, &want_y, s) || !same_results(&bits, &want_bits, s))
			fail_msg("%s differs from ref in %s, seed %llu, %ux%ux%u", (*k)->name, what,
				(unsigned long long)seed, s->height, s->width, s->channels);
		if (y.map)
			guarded_free(&y);
		if (bits.map)
			guarded_free(&bits);
		bnn_model_free(model);
	}
	guarded_free(&in.x);
	if (in.v.map)
		guarded_free(&in.v);
	for (size_t i = 0; i < s->concat.n; i++)
		guarded_free(&in.parts[i]);
	if (want_y.map)
		guarded_free(&want_y);
	if (want_bits.map)
		guarded_free(&want_bits);
	bnn_model_free(ref_model);
}

static const uint32_t odd_channels[] = {1, 2, 3, 5, 7, 8, 12, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 127, 129, 200};

static uint32_t some_channels(struct make *m)
{
	return odd_channels[make_below(m, sizeof odd_channels / sizeof *odd_channels)];
}

/* A window that fits x, pads up to the dilated kernel less one. */
static struct window some_window(struct make *m, struct made x)
{
	for (;;) {
		struct window w = {1 + make_below(m, 5), 1 + make_below(m, 5), 1 + make_below(m, 3),
			1 + make_below(m, 3), 1 + make_below(m, 2), 1 + make_below(m, 2), {0}};
		uint32_t room_y = window_extent(w.kernel_y, w.dilation_y),
			 room_x = window_extent(w.kernel_x, w.dilation_x);
		if (make_below(m, 4))
			w.pads = (struct pads){make_below(m, room_y), make_below(m, room_x), make_below(m, room_y),
				make_below(m, room_x)};
		if (make_side(x.h, w.pads.top, w.pads.bottom, w.kernel_y, w.stride_y, w.dilation_y) &&
			make_side(x.w, w.pads.left, w.pads.right, w.kernel_x, w.stride_x, w.dilation_x))
			return w;
	}
}

static const struct window pointwise = {1, 1, 1, 1, 1, 1, {0}};

static struct made some_map(struct make *m, uint32_t channels)
{
	struct made x = make_input(m, 1 + make_below(m, 9), 1 + make_below(m, 14));
	return make_conv(m, x, channels, pointwise, 1, false, false);
}

/* ... -> mean -> features, so that the interesting step is the last but one. */
static void finish(struct make *m, struct made y)
{
	make_features(m, make_same(m, OP_MEAN, y));
}

static void test_conv2d(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		uint32_t groups = make_below(&m, 3) ? 1 : 1 + make_below(&m, 4);
		struct made x = some_map(&m, groups * (1 + make_below(&m, 20)));
		uint32_t out_c = groups > 1 ? groups * (1 + make_below(&m, 40)) : some_channels(&m);
		struct window w = make_below(&m, 5) ? some_window(&m, x) : pointwise;
		finish(&m, make_conv(&m, x, out_c, w, groups, make_below(&m, 2), make_below(&m, 2)));
		check_step(&m, 1, "conv2d", seed);
		make_deinit(&m);
	}
}

static void test_depthwise(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made x = some_map(&m, some_channels(&m));
		finish(&m, make_depthwise(&m, x, some_window(&m, x), 1 + make_below(&m, 2) * make_below(&m, 3),
				   make_below(&m, 2)));
		check_step(&m, 1, "depthwise_conv2d", seed);
		make_deinit(&m);
	}
}

static void test_dense(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made x = make_same(&m, OP_MEAN, some_map(&m, some_channels(&m)));
		finish(&m, make_dense(&m, x, some_channels(&m), make_below(&m, 2)));
		check_step(&m, 1, "dense", seed);
		make_deinit(&m);
	}
}

static void test_sign(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made x = some_map(&m, some_channels(&m));
		struct made bits = make_sign(&m, x, (int)make_below(&m, 4), make_below(&m, 4) == 0);
		finish(&m, make_binary(&m, bits, 1, pointwise, 1, false));
		/* sign, then a convolution and the mean behind it */
		check_step(&m, 2, "sign", seed);
		make_deinit(&m);
	}
}

static void test_binary_conv2d(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 2 * CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made bits = make_sign(&m, some_map(&m, some_channels(&m)), SIGN_LESS, false);
		finish(&m, make_binary(&m, bits, some_channels(&m), some_window(&m, bits), (int)make_below(&m, 3) - 1,
				   make_below(&m, 3) == 0));
		check_step(&m, 1, "binary_conv2d", seed);
		make_deinit(&m);
	}
}

/* More than 31 words a sum: byte counters must be emptied in time. All differ, so each byte count is at its most. */
static void test_binary_conv2d_deep(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 8; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made bits = make_sign(&m, some_map(&m, 64 * 37 + (uint32_t)seed), SIGN_LESS, false);
		struct window w = {3, 3, 1, 1, 1, 1 + (uint32_t)seed % 2, {2, 2, 2, 2}};
		finish(&m, make_binary(&m, bits, 9, w, -1, false));
		for (size_t i = 0; i < m.graph.n_tensors; i++) {
			Bnnmodel__Tensor *t = m.graph.tensors[i];
			uint32_t words = (bits.c + 31) / 32;
			for (size_t k = 0;
				t->has_offset && t->dtype == (Bnnmodel__DType)DTYPE_BITS && k < t->length / 4; k++) {
				uint32_t left = bits.c - 32 * (uint32_t)(k % words),
					 v = left < 32 ? (1u << left) - 1 : 0xFFFFFFFFu;
				memcpy(m.data + t->offset + 4 * k, seed % 3 ? &v : &(uint32_t){0}, 4);
			}
		}
		check_step(&m, 1, "deep binary_conv2d", seed);
		make_deinit(&m);
	}
}

static void test_arithmetic(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made x = some_map(&m, some_channels(&m));
		enum op_kind kind = (enum op_kind)(OP_ADD + make_below(&m, 3));
		uint32_t v;
		switch (make_below(&m, 4)) {
		case 0:
			v = make_floats(&m, 1, &x.c, 1);
			break;
		case 1:
			v = make_floats(&m, 3, (uint32_t[]){x.h, x.w, x.c}, 1);
			break;
		case 2:
			v = make_same(&m, OP_MEAN, x).id;
			break;
		default:
			v = make_prelu(&m, x, false).id;
			break;
		}
		finish(&m, make_arithmetic(&m, kind, x, v));
		check_step(&m, 1, "add, sub, mul", seed);
		make_deinit(&m);
	}
}

static void test_one_input(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made x = some_map(&m, some_channels(&m)), y;
		uint32_t which = make_below(&m, 5);
		/* not behind a convolution: a clamp there is fused */
		x = make_prelu(&m, x, false);
		if (which == 0)
			y = make_clamp(&m, x, -0.5f, make_below(&m, 2) ? 3.4028234663852886e38f : 0.25f);
		else if (which <= 2)
			y = make_prelu(&m, x, which == 2);
		else
			y = make_same(&m, which == 3 ? OP_SQRT : OP_L2, x);
		finish(&m, y);
		check_step(&m, 1, "clamp, prelu, sqrt, l2", seed);
		check_step(&m, 0, "mean", seed);
		make_deinit(&m);
	}
}

static bool pool_fits(uint32_t in, uint32_t before, uint32_t kernel, uint32_t stride, uint32_t dilation, uint32_t out)
{
	for (uint32_t o = 0; o < out; o++) {
		bool inside = false;
		for (uint32_t k = 0; k < kernel; k++) {
			int at = (int)(o * stride + k * dilation) - (int)before;
			inside |= at >= 0 && at < (int)in;
		}
		if (!inside)
			return false;
	}
	return true;
}

static void test_avg_pool(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made x = some_map(&m, some_channels(&m));
		struct window w = some_window(&m, x);
		struct made y = make_pool(&m, x, w, make_below(&m, 2));
		if (pool_fits(x.h, w.pads.top, w.kernel_y, w.stride_y, w.dilation_y, y.h) &&
			pool_fits(x.w, w.pads.left, w.kernel_x, w.stride_x, w.dilation_x, y.w)) {
			finish(&m, y);
			check_step(&m, 1, "avg_pool", seed);
		}
		make_deinit(&m);
	}
}

static void test_max_pool(void **state)
{
	(void)state;
	size_t cases = 0;
	for (uint64_t seed = 0; seed < CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made x = some_map(&m, some_channels(&m));
		struct window w = some_window(&m, x);
		struct made y = make_max_pool(&m, x, w);
		if (pool_fits(x.h, w.pads.top, w.kernel_y, w.stride_y, w.dilation_y, y.h) &&
			pool_fits(x.w, w.pads.left, w.kernel_x, w.stride_x, w.dilation_x, y.w)) {
			finish(&m, y);
			check_step(&m, 1, "max_pool", seed);
			cases++;
		}
		make_deinit(&m);
	}
	assert_true(cases > CASES / 2);
}

static void test_concat(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made x = some_map(&m, some_channels(&m)), parts[PARTS_MAX];
		size_t n = 1 + make_below(&m, PARTS_MAX);
		for (size_t i = 0; i < n; i++)
			parts[i] = i && make_below(&m, 4) == 0
					   ? parts[i - 1] /* the same twice */
					   : make_conv(&m, x, some_channels(&m), pointwise, 1, false, false);
		finish(&m, make_concat(&m, n, parts));
		check_step(&m, 1, "concat", seed);
		make_deinit(&m);
	}
}

static const uint32_t statistic_channels[] = {1, 2, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129, 256, 300};

static void test_statistics(void **state)
{
	(void)state;
	enum { N = sizeof statistic_channels / sizeof *statistic_channels };
	for (uint64_t seed = 0; seed < 2 * CASES; seed++) {
		struct make m;
		make_init(&m, seed);
		struct made in =
			make_input(&m, seed % 5 ? 1 + make_below(&m, 9) : 1, seed % 5 ? 1 + make_below(&m, 9) : 1);
		struct made x = make_conv(&m, in, statistic_channels[seed % N], pointwise, 1, false, false);
		struct made mean = make_same(&m, OP_MEAN, x);
		make_features(&m, make_deviation(&m, x, mean));
		check_step(&m, 0, "deviation", seed);
		check_step(&m, 1, "mean", seed);
		make_deinit(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conv2d),
		cmocka_unit_test(test_depthwise),
		cmocka_unit_test(test_dense),
		cmocka_unit_test(test_sign),
		cmocka_unit_test(test_binary_conv2d),
		cmocka_unit_test(test_binary_conv2d_deep),
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_one_input),
		cmocka_unit_test(test_avg_pool),
		cmocka_unit_test(test_max_pool),
		cmocka_unit_test(test_concat),
		cmocka_unit_test(test_statistics),
	};
	printf("kernels:");
	for (const struct kernels *const *k = kernels_usable(); *k; k++)
		printf(" %s", (*k)->name);
	printf("\n");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
