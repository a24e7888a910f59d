/* SPDX-License-Identifier: MIT */
/* Whole networks: every set of kernels, fused or not, gives every tensor that it stores the bits of the reference;
 * nothing in the arena outlives its use; threads do not meet.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/memory.h"
#include "lib/bnn/kernels/choose.h"
#include "lib/bnn/run.h"
#include "tests/unit/bnn/make_model.h"

enum { NETS = 120, MIXED_NETS = 12, TENSORS_MAX = 128, FEATURES_ROOM = 1024 };

struct kept {
	char name[64], dtype;
	size_t bytes;
	void *values;
};

struct trace {
	struct kept kept[TENSORS_MAX];
	size_t n;
};

static void keep(void *ctx, const struct bnn_trace_step *step)
{
	struct trace *t = ctx;
	assert_true(t->n < TENSORS_MAX);
	struct kept *k = &t->kept[t->n++];
	snprintf(k->name, sizeof k->name, "%s", step->name);
	k->dtype = step->dtype;
	k->bytes = (size_t)step->height * step->width * step->channels * (step->dtype == 'b' ? 1 : 4);
	k->values = mem_dup(step->values, k->bytes);
}

static void trace_free(struct trace *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->kept[i].values);
}

static struct bnn_model *load(const struct make *m, const char *kernels)
{
	size_t len;
	uint8_t *file = make_file(m, &len);
	struct bnn_model *model = NULL;
	struct err err = {0};
	setenv("BNND_KERNELS", kernels, 1);
	if (bnn_model_from_bytes(file, len, true, &model, &err))
		fail_msg("%s", err.text);
	unsetenv("BNND_KERNELS");
	free(file);
	return model;
}

static struct window some_window(struct make *m, struct made x)
{
	uint32_t k = 1 + make_below(m, 3), s = 1 + make_below(m, 2);
	struct window w = {k, k, s, s, 1, 1, {k / 2, k / 2, k / 2, k / 2}};
	if (x.h + 2 * (k / 2) < k || x.w + 2 * (k / 2) < k)
		w = (struct window){1, 1, 1, 1, 1, 1, {0}};
	return w;
}

/* sign -> binary convolution -> and then some of: + x, prelu, a second reader. */
static struct made binary_block(struct make *m, struct made x)
{
	uint32_t k = 1 + 2 * make_below(m, 2), s = 1 + make_below(m, 4) / 3;
	struct window w = {k, k, s, s, 1, 1, {k / 2, k / 2, k / 2, k / 2}};
	uint32_t out_c = s == 1 && make_below(m, 3) ? x.c : 1 + make_below(m, 90);
	struct made bits = make_sign(m, x, (int)make_below(m, 4), false);
	struct made y = make_binary(m, bits, out_c, w, (int)make_below(m, 3) - 1, make_below(m, 2)), first = y;
	struct made side = {0};
	if (make_below(m, 6) == 0) /* a reader before the one that could be fused */
		side = make_same(m, OP_SQRT, first);
	if (y.h == x.h && y.w == x.w && y.c == x.c && make_below(m, 5))
		y = make_below(m, 2) ? make_arithmetic(m, OP_ADD, x, y.id) : make_arithmetic(m, OP_ADD, y, x.id);
	if (make_below(m, 3))
		y = make_prelu(m, y, make_below(m, 4) == 0);
	if (make_below(m, 6) == 0) /* and one behind it */
		y = make_arithmetic(m, OP_SUB, y, first.id);
	return side.c ? make_arithmetic(m, OP_ADD, y, side.id) : y;
}

/* ReActNet's way to more channels: two branches of the same bits, each with the residual, joined. */
static struct made joined_block(struct make *m, struct made x)
{
	struct window point = {1, 1, 1, 1, 1, 1, {0}};
	struct made bits = make_sign(m, x, (int)make_below(m, 4), false), parts[3];
	for (size_t i = 0; i < 2; i++) {
		struct made y = make_binary(m, bits, x.c, point, 1, false);
		parts[i] = make_arithmetic(m, OP_ADD, x, y.id);
	}
	parts[2] = make_max_pool(m, x, (struct window){1 + 2 * make_below(m, 2), 1, 1, 1, 1, 1, {0}});
	size_t n = parts[2].h == x.h ? 3 : 2;
	return make_conv(m, make_concat(m, n, parts), 1 + make_below(m, 70), point, 1, false, false);
}

static struct made some_block(struct make *m, struct made x)
{
	switch (make_below(m, 9)) {
	case 3:
		return x.h >= 3 ? joined_block(m, x) : x;
	case 0:
		x = make_conv(m, x, 1 + make_below(m, 70), some_window(m, x), 1, make_below(m, 2), false);
		return make_below(m, 2) ? make_clamp(m, x, 0, 3e38f) : x;
	case 1:
		x = make_depthwise(m, x, some_window(m, x), 1, true);
		return make_below(m, 2) ? make_clamp(m, x, -1, 1) : x;
	case 2:
		return x.h >= 2 && x.w >= 2 ? make_pool(m, x, (struct window){2, 2, 2, 2, 1, 1, {0}}, false) : x;
	default:
		return binary_block(m, x);
	}
}

/* The mean of a map and how far it lies from it, each to unit length and times a weight, as one vector. */
static struct made statistics(struct make *m, struct made x)
{
	struct made parts[2] = {make_same(m, OP_MEAN, x)};
	parts[1] = make_deviation(m, x, parts[0]);
	for (size_t i = 0; i < 2; i++) {
		parts[i] = make_same(m, OP_L2, parts[i]);
		parts[i] = make_arithmetic(m, OP_MUL, parts[i], make_floats(m, 1, &x.c, 1));
	}
	return make_concat(m, 2, parts);
}

static void make_net(struct make *m, uint64_t seed)
{
	struct made parts[4];
	size_t n = 0;
	make_init(m, seed);
	struct made x = make_input(m, 4 + make_below(m, 14), 4 + make_below(m, 14));
	x = make_conv(m, x, 1 + make_below(m, 70), (struct window){3, 3, 1, 1, 1, 1, {1, 1, 1, 1}}, 1, true, false);
	for (uint32_t left = 2 + make_below(m, 6); left > 0; left--) {
		struct made map = x;
		x = some_block(m, x);
		if (make_below(m, 3) == 0 && n < 3) /* of what the block made, or, late, of what it read */
			parts[n++] = statistics(m, make_below(m, 2) ? x : map);
	}
	x = make_same(m, OP_MEAN, x);
	if (make_below(m, 2))
		x = make_same(m, OP_SQRT, x);
	if (n) {
		parts[n++] = x;
		x = make_concat(m, n, parts);
	}
	x = make_dense(m, make_arithmetic(m, OP_SUB, x, make_floats(m, 1, &x.c, 1)), 1 + make_below(m, 100), false);
	make_features(m, make_same(m, OP_L2, x));
}

static uint8_t *some_pixels(struct make *m, const struct bnn_info *info)
{
	size_t n = (size_t)info->width * info->height * 3;
	uint8_t *p = make_alloc(m, n, 1);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)make_below(m, 256);
	return p;
}

static const struct kept *find(const struct trace *t, const struct kept *like)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->kept[i].name, like->name) && t->kept[i].dtype == like->dtype)
			return &t->kept[i];
	return NULL;
}

static void compare(const struct trace *got, const struct trace *want, const char *kernels, uint64_t seed)
{
	for (size_t i = 0; i < got->n; i++) {
		const struct kept *g = &got->kept[i], *w = find(want, g);
		assert_non_null(w);
		if (g->bytes != w->bytes || memcmp(g->values, w->values, g->bytes) != 0)
			fail_msg("%s differs from ref in %s, net %llu", kernels, g->name, (unsigned long long)seed);
	}
}

static void run_twice(const struct bnn_model *model, const uint8_t *pixels, float *ret_features, struct trace *trace)
{
	struct bnn_run *run = bnn_run_new(model);
	float again[FEATURES_ROOM];
	size_t n = model->info.n_features;
	bnn_run_traced(run, pixels, ret_features, keep, trace);
	memset(run->arena, 0xFF, model->info.arena_bytes); /* NaN, and all bits set */
	bnn_run_features(run, pixels, again);
	assert_memory_equal(ret_features, again, n * sizeof *again);
	memset(run->arena, 0xA5, model->info.arena_bytes);
	bnn_run_features(run, pixels, again);
	assert_memory_equal(ret_features, again, n * sizeof *again);
	bnn_run_free(run);
}

static void test_nets(void **state)
{
	(void)state;
	size_t fused = 0, stored = 0;
	for (uint64_t seed = 0; seed < NETS; seed++) {
		struct make m;
		make_net(&m, seed);
		struct bnn_model *ref = load(&m, "ref");
		const uint8_t *pixels = some_pixels(&m, &ref->info);
		struct trace want = {.n = 0};
		float features[FEATURES_ROOM], got[FEATURES_ROOM];
		run_twice(ref, pixels, features, &want);
		for (const struct kernels *const *k = kernels_usable(); *k; k++) {
			struct bnn_model *model = load(&m, (*k)->name);
			struct trace trace = {.n = 0};
			run_twice(model, pixels, got, &trace);
			compare(&trace, &want, (*k)->name, seed);
			assert_memory_equal(got, features, ref->info.n_features * sizeof *got);
			assert_memory_equal(model->info.feature_id, ref->info.feature_id, BNN_ID_BYTES);
			fused += want.n - trace.n;
			stored += trace.n;
			trace_free(&trace);
			bnn_model_free(model);
		}
		trace_free(&want);
		bnn_model_free(ref);
		make_deinit(&m);
	}
	print_message("%d nets, %zu tensors compared, %zu fused away\n", NETS, stored, fused);
	assert_true(fused > NETS && stored > 10 * NETS);
}

/* The k-th thing that can be replaced alone, taken from another set: a convolution brings its packers. false: no such
 * thing. */
static bool replace(struct kernels *set, const struct kernels *from, int k)
{
	switch (k) {
	case 0:
		set->conv_weights_size = from->conv_weights_size;
		set->pack_conv_weights = from->pack_conv_weights;
		set->conv2d = from->conv2d;
		return true;
	case 1:
		set->binary_weights_size = from->binary_weights_size;
		set->pack_binary_weights = from->pack_binary_weights;
		set->binary_scratch = from->binary_scratch;
		set->binary_conv2d = from->binary_conv2d;
		set->fuses = set->fuses && from->fuses;
		return true;
	case 2:
		set->depthwise = from->depthwise;
		return true;
	case 3:
		set->sign = from->sign;
		return true;
	case 4:
		set->prelu = from->prelu;
		return true;
	case 5:
		set->mean = from->mean;
		return true;
	case 6:
		set->deviation = from->deviation;
		return true;
	default:
		return false;
	}
}

/* m's network planned for a set that choose.c does not have. Free it with plan_deinit. */
static void plan_for(const struct make *m, const struct kernels *set, struct plan *ret_plan)
{
	size_t len = bnnmodel__graph__get_packed_size(&m->graph);
	uint8_t *message = mem_zalloc(len, 1);
	struct graph graph;
	struct err err = {0};
	bnnmodel__graph__pack(&m->graph, message);
	if (graph_unpack(message, len, m->data, m->data_bytes, &graph, &err) || graph_check(&graph, &err) ||
		plan_init(ret_plan, &graph, set, &err))
		fail_msg("%s", err.text);
	graph_deinit(&graph);
	free(message);
}

/* `set` with each of its replaceable functions from `from`, one at a time. */
static void check_mixed(const struct make *m, const struct bnn_model *ref, const uint8_t *pixels, const float *want,
	const struct kernels *set, const struct kernels *from)
{
	struct kernels mixed = *set;
	for (int k = 0; replace(&mixed, from, k); k++, mixed = *set) {
		struct bnn_model model = {.info = ref->info};
		float got[FEATURES_ROOM];
		plan_for(m, &mixed, &model.plan);
		struct bnn_run *run = bnn_run_new(&model);
		bnn_run_features(run, pixels, got);
		if (memcmp(got, want, ref->info.n_features * sizeof *got) != 0)
			fail_msg("%s with function %d of %s", set->name, k, from->name);
		bnn_run_free(run);
		plan_deinit(&model.plan);
	}
}

/* Any function may stand in any other set: so hand-written ones can replace a portable one each. */
static void test_mixed_sets(void **state)
{
	(void)state;
	const struct kernels *const *all = kernels_usable();
	for (uint64_t seed = 0; seed < MIXED_NETS; seed++) {
		struct make m;
		make_net(&m, seed);
		struct bnn_model *ref = load(&m, "ref");
		const uint8_t *pixels = some_pixels(&m, &ref->info);
		float want[FEATURES_ROOM];
		struct bnn_run *run = bnn_run_new(ref);
		bnn_run_features(run, pixels, want);
		bnn_run_free(run);
		for (size_t a = 0; all[a]; a++)
			for (size_t b = 0; all[b]; b++)
				if (a != b)
					check_mixed(&m, ref, pixels, want, all[a], all[b]);
		bnn_model_free(ref);
		make_deinit(&m);
	}
}

/* Buffers that are alive in the same step must not meet. */
static void test_lifetimes(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < NETS; seed++) {
		struct make m;
		make_net(&m, seed);
		struct bnn_model *model = load(&m, "portable");
		const struct plan *p = &model->plan;
		size_t sum = 0;
		for (size_t i = 0; i < p->n_buffers; i++) {
			const struct plan_buffer *a = &p->buffers[i];
			assert_int_equal(a->offset % MEM_ALIGN_BYTES, 0);
			assert_true(a->offset + a->bytes <= p->arena_bytes);
			sum += a->bytes;
			for (size_t k = 0; k < i; k++) {
				const struct plan_buffer *b = &p->buffers[k];
				if (a->first <= b->last && b->first <= a->last)
					assert_true(
						a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset);
			}
		}
		assert_true(p->arena_bytes <= sum + p->n_buffers * MEM_ALIGN_BYTES);
		bnn_model_free(model);
		make_deinit(&m);
	}
}

struct thread_job {
	const struct bnn_model *model;
	const uint8_t *pixels;
	const float *want;
	int wrong;
};

static void *thread_main(void *ctx)
{
	struct thread_job *job = ctx;
	struct bnn_run *run = bnn_run_new(job->model);
	float got[FEATURES_ROOM];
	for (int i = 0; i < 50; i++) {
		bnn_run_features(run, job->pixels, got);
		job->wrong += memcmp(got, job->want, job->model->info.n_features * sizeof *got) != 0;
	}
	bnn_run_free(run);
	return NULL;
}

static void test_threads(void **state)
{
	(void)state;
	struct make m;
	make_net(&m, 77);
	struct bnn_model *model = load(&m, "");
	float want[2][FEATURES_ROOM];
	struct thread_job jobs[2];
	pthread_t threads[2];
	struct bnn_run *run = bnn_run_new(model);
	for (int i = 0; i < 2; i++) {
		const uint8_t *pixels = some_pixels(&m, &model->info);
		bnn_run_features(run, pixels, want[i]);
		jobs[i] = (struct thread_job){model, pixels, want[i], 0};
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread_main, &jobs[i]), 0);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(jobs[i].wrong, 0);
	}
	bnn_run_free(run);
	bnn_model_free(model);
	make_deinit(&m);
}

static size_t arena_bytes(const struct make *m)
{
	struct bnn_model *model = load(m, "portable");
	size_t bytes = model->info.arena_bytes;
	assert_int_equal(bytes, model->plan.arena_bytes);
	bnn_model_free(model);
	return bytes;
}

/* A map that is read long after the next layer has read it is still there: the arena is larger by it. */
static void test_a_map_read_late(void **state)
{
	(void)state;
	enum { SIDE = 16, CHANNELS = 40, MAP_BYTES = SIDE * SIDE * CHANNELS * sizeof(float) };
	size_t bytes[2];
	for (int late = 0; late < 2; late++) {
		struct make m;
		make_init(&m, 1);
		struct window point = {1, 1, 1, 1, 1, 1, {0}};
		struct made maps[2], x = make_conv(&m, make_input(&m, SIDE, SIDE), CHANNELS, point, 1, true, false);
		maps[0] = x;
		for (int i = 0; i < 3; i++)
			x = make_conv(&m, x, CHANNELS, point, 1, true, false);
		maps[1] = x;
		struct made parts[2] = {statistics(&m, maps[!late]), statistics(&m, maps[1])};
		make_features(&m, make_concat(&m, 2, parts));
		bytes[late] = arena_bytes(&m);
		make_deinit(&m);
	}
	assert_true(bytes[0] >= 2 * MAP_BYTES && bytes[0] < 3 * MAP_BYTES);
	assert_true(bytes[1] >= 3 * MAP_BYTES && bytes[1] < 4 * MAP_BYTES);
}

/* An operation that only the logits need is checked and left out; names and card enter no id. */
static void test_feature_id(void **state)
{
	(void)state;
	struct make m;
	make_net(&m, 3);
	struct bnn_model *model = load(&m, "");
	uint8_t id[BNN_ID_BYTES];
	size_t n_steps = model->plan.n_steps;
	memcpy(id, model->info.feature_id, sizeof id);
	bnn_model_free(model);

	m.graph.card->name = (char *)"other";
	m.graph.ops[0]->name = NULL;
	for (size_t i = 0; i < m.graph.n_tensors; i++)
		m.graph.tensors[i]->name = (char *)"t";
	Bnnmodel__Tensor *last = m.graph.tensors[m.graph.n_tensors - 1];
	struct made logits = make_dense(&m, (struct made){last->id, 1, 1, last->shape[2]}, 7, true);
	make_features(&m, logits);
	m.graph.outputs[1]->name = (char *)"logits";
	model = load(&m, "");
	assert_memory_equal(model->info.feature_id, id, sizeof id);
	assert_int_equal(model->plan.n_steps, n_steps);
	bnn_model_free(model);

	m.graph.input->background.data[1] = 1;
	model = load(&m, "");
	assert_memory_not_equal(model->info.feature_id, id, sizeof id);
	bnn_model_free(model);
	m.graph.input->background.data[1] = 0;
	m.data[m.graph.tensors[1]->offset] ^= 1;
	model = load(&m, "");
	assert_memory_not_equal(model->info.feature_id, id, sizeof id);
	bnn_model_free(model);
	make_deinit(&m);
}

/* Numbers that overflow on the way must not reach a learner. */
static void test_overflow_is_zero(void **state)
{
	(void)state;
	struct make m;
	make_init(&m, 1);
	struct made x = make_same(&m, OP_MEAN, make_input(&m, 4, 4));
	float big[3] = {3e38f, 3e38f, -3e38f};
	uint32_t v = make_constant(&m, DTYPE_F32, 1, (uint32_t[]){3}, big, sizeof big);
	x = make_arithmetic(&m, OP_MUL, make_arithmetic(&m, OP_ADD, x, v), v);
	make_features(&m, make_same(&m, OP_L2, make_arithmetic(&m, OP_SUB, x, x.id)));
	struct bnn_model *model = load(&m, "");
	struct bnn_run *run = bnn_run_new(model);
	uint8_t pixels[48] = {0};
	float features[3] = {1, 1, 1};
	bnn_run_features(run, pixels, features);
	for (int i = 0; i < 3; i++)
		assert_true(features[i] == 0);
	bnn_run_free(run);
	bnn_model_free(model);
	make_deinit(&m);
}

static void test_explain(void **state)
{
	(void)state;
	struct make m;
	make_net(&m, 9);
	struct bnn_model *model = load(&m, "portable");
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	bnn_model_explain(model, out);
	fclose(out);
	const char *const words[] = {
		"made-1", "fit contain", "portable", "arena", "conv2d", "mean", "made by a test\n"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		assert_non_null(strstr(text, words[i]));
	free(text);
	bnn_model_free(model);
	make_deinit(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nets),
		cmocka_unit_test(test_mixed_sets),
		cmocka_unit_test(test_lifetimes),
		cmocka_unit_test(test_a_map_read_late),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_feature_id),
		cmocka_unit_test(test_overflow_is_zero),
		cmocka_unit_test(test_explain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
