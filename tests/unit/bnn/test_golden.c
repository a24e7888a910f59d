/* SPDX-License-Identifier: MIT */
/* photo96-1 against the training code's own results (float64): features end to end on drawn pictures, from committed
 * vectors; and, where BNND_SHARED_DATA has the golden files, every operation fed the golden input, and features on
 * photographs. Each set of kernels that this CPU has. The bounds are those of the golden files' README.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/bnn/kernels/choose.h"
#include "lib/bnn/run.h"

enum { NAME_BYTES = 40, RECORD_BYTES = 68, FEATURES = 512, PATH_BYTES = 4096, BLOCKS = 8, ONE_PHOTOGRAPH = 1 };
static const double float_bound = 1e-5, sign_bound = 1e-5, cosine_bound = 0.9999, cosine_bound_worst = 0.99;

struct blob {
	uint8_t *bytes;
	size_t len;
};

struct record {
	char dtype;
	uint32_t rank, side[4];
	size_t n;
	const uint8_t *bytes;
};

static struct blob blob_load(const char *path)
{
	struct blob b = {0};
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s cannot be opened", path);
	fseek(f, 0, SEEK_END);
	b.len = (size_t)ftell(f);
	rewind(f);
	b.bytes = mem_zalloc(b.len, 1);
	assert_int_equal(fread(b.bytes, 1, b.len, f), b.len);
	fclose(f);
	return b;
}

/* See make_bnn_golden.py. */
static struct record find(const struct blob *golden, const char *name)
{
	struct record r = {0};
	const uint8_t *p = golden->bytes + 16, *end = golden->bytes + golden->len;
	assert_memory_equal(golden->bytes, "BNNGOLD1", 8);
	while (p + RECORD_BYTES <= end) {
		size_t bytes = load_le32(p + 64), total = (RECORD_BYTES + bytes + 7) / 8 * 8;
		if (!strncmp((const char *)p, name, NAME_BYTES)) {
			r.dtype = (char)load_le32(p + 40);
			r.rank = load_le32(p + 44);
			r.n = 1;
			for (uint32_t i = 0; i < 4; i++)
				r.n *= r.side[i] = load_le32(p + 48 + 4 * i);
			r.bytes = p + RECORD_BYTES;
			return r;
		}
		p += total;
	}
	fail_msg("no record %s", name);
	return r;
}

/* The record whose name begins so: operations carry their number in front. */
static struct record find_op(const struct blob *golden, int number, const char *kind, const char *name)
{
	char full[64];
	snprintf(full, sizeof full, "op.%02d.%s%s%s", number, kind, *name ? "." : "", name);
	return find(golden, full);
}

static float float_at(const struct record *r, size_t i)
{
	float v;
	memcpy(&v, r->bytes + 4 * i, sizeof v);
	return v;
}

static const char *root(void)
{
	const char *r = getenv("BNND_SOURCE_DIR");
	return r ? r : ".";
}

static struct bnn_model *load(const char *kernels)
{
	char path[PATH_BYTES];
	struct bnn_model *model = NULL;
	struct err err = {0};
	snprintf(path, sizeof path, "%s/tests/vectors/models/photo96-1.bnn", root());
	setenv("BNND_KERNELS", kernels, 1);
	if (bnn_model_open(path, &model, &err))
		fail_msg("%s", err.text);
	unsetenv("BNND_KERNELS");
	return model;
}

static double cosine(const float *a, const struct record *r, size_t row)
{
	double ab = 0, aa = 0, bb = 0;
	for (size_t i = 0; i < FEATURES; i++) {
		double x = (double)a[i], y = (double)float_at(r, row * FEATURES + i);
		ab += x * y;
		aa += x * x;
		bb += y * y;
	}
	return ab / sqrt(aa * bb);
}

/* Features of all pictures: at most `below` under the bound, none under the worst. */
static void check_features(
	const struct bnn_model *model, const uint8_t *pictures, const struct record *want, size_t below)
{
	struct bnn_run *run = bnn_run_new(model);
	float got[FEATURES];
	double least = 1;
	size_t n_below = 0;
	for (size_t i = 0; i < want->side[0]; i++) {
		bnn_run_features(run, pictures + i * model->info.width * model->info.height * 3, got);
		double c = cosine(got, want, i);
		least = c < least ? c : least;
		n_below += c < cosine_bound;
	}
	print_message("%s, %s: %u pictures, least cosine %.7f\n", model->info.name, model->info.kernels, want->side[0],
		least);
	assert_true(n_below <= below && least >= (below ? cosine_bound_worst : cosine_bound));
	bnn_run_free(run);
}

/* ---- drawn pictures, committed ---- */

struct bits_seen {
	const struct blob *golden;
	size_t compared, differ;
};

static void see_bits(void *ctx, const struct bnn_trace_step *step)
{
	struct bits_seen *seen = ctx;
	char name[32];
	if (step->dtype != 'b')
		return;
	snprintf(name, sizeof name, "op.%.4s.bits", step->name); /* "bin3.sign" */
	struct record want = find(seen->golden, name);
	assert_int_equal(want.n, (size_t)step->height * step->width * step->channels);
	for (size_t i = 0; i < want.n; i++)
		seen->differ += (want.bytes[i / 8] >> i % 8 & 1) != ((const uint8_t *)step->values)[i];
	seen->compared += want.n;
}

static void test_drawn(void **state)
{
	(void)state;
	char path[PATH_BYTES];
	snprintf(path, sizeof path, "%s/tests/vectors/bnn/drawn-96.bin", root());
	struct blob golden = blob_load(path);
	snprintf(path, sizeof path, "%s/tests/vectors/features/photo96-1.vec", root());
	struct blob vec = blob_load(path);
	const uint8_t *pictures = vec.bytes + 24;
	struct record features = find(&golden, "features");
	assert_memory_equal(vec.bytes, "BNNVEC1\n", 8);
	assert_int_equal(load_le32(vec.bytes + 8), features.side[0]);
	for (const struct kernels *const *k = kernels_usable(); *k; k++) {
		struct bnn_model *model = load((*k)->name);
		struct bnn_run *run = bnn_run_new(model);
		struct bits_seen seen = {.golden = &golden};
		float got[FEATURES];
		check_features(model, pictures, &features, 0);
		bnn_run_traced(run, pictures, got, see_bits, &seen);
		print_message("  %zu of %zu signs differ end to end\n", seen.differ, seen.compared);
		assert_true(seen.compared > 50000 && seen.differ * 1000 < seen.compared);
		bnn_run_free(run);
		bnn_model_free(model);
	}
	free(vec.bytes);
	free(golden.bytes);
}

/* ---- operation by operation, fed the golden input ---- */

struct forced {
	const struct blob *golden;
	struct bnn_run *run;
	const struct plan *plan;
	size_t next; /* step */
	size_t sign_flips;
};

/* What the group's first step reads becomes the golden tensor. */
static void put_floats(struct forced *f, int buffer, const struct record *r)
{
	memcpy(run_buffer(f->run, buffer), r->bytes, r->n * sizeof(float));
}

static void check_floats(const struct forced *f, const struct plan_step *s, const struct record *want)
{
	const float *got = run_buffer(f->run, s->y);
	double largest = 0, error = 0;
	assert_int_equal(want->n, (size_t)s->height * s->width * s->channels);
	for (size_t i = 0; i < want->n; i++) {
		double w = (double)float_at(want, i), e = fabs((double)got[i] - w);
		largest = fabs(w) > largest ? fabs(w) : largest;
		error = e > error ? e : error;
	}
	if (!(error <= float_bound * largest))
		fail_msg("%s: %s is off by %g of %g", f->plan->kernels->name, s->name, error, largest);
}

/* Bits equal, except where x is as near to the threshold as rounding can tell. */
static void check_bits(struct forced *f, const struct plan_step *s, const struct record *x, const struct record *want)
{
	const uint64_t *got = run_buffer(f->run, s->bits);
	uint32_t channels = s->channels;
	double square = 0;
	for (size_t i = 0; i < x->n; i++)
		square += (double)float_at(x, i) * (double)float_at(x, i);
	double near = sign_bound * sqrt(square / (double)x->n);
	for (size_t i = 0; i < want->n; i++) {
		uint32_t c = (uint32_t)(i % channels);
		bool bit = got[i / channels * kernel_words(channels) + c / 64] >> c % 64 & 1;
		if (bit == want->bytes[i])
			continue;
		f->sign_flips++;
		if (fabs((double)float_at(x, i) - (double)s->sign.t[c]) > near)
			fail_msg("%s: %s, bit %zu", f->plan->kernels->name, s->bits_name, i);
	}
}

static void put_bits(struct forced *f, int buffer, uint32_t channels, const struct record *bits)
{
	uint64_t *to = run_buffer(f->run, buffer);
	uint32_t words = kernel_words(channels);
	memset(to, 0, bits->n / channels * words * sizeof *to);
	for (size_t i = 0; i < bits->n; i++)
		to[i / channels * words + i % channels / 64] |= (uint64_t)bits->bytes[i] << i % channels % 64;
}

/* A convolution that is a step of its own: the dot products of the golden file, through the definition's epilogue,
 * must give its floats bit for bit. */
static void check_accumulators(const struct forced *f, const struct plan_step *s, const struct record *acc)
{
	const struct kernel_binary_conv *k = &s->binary;
	const float *got = run_buffer(f->run, s->y);
	int32_t taps = (int32_t)(k->win.kernel_y * k->win.kernel_x * k->win.in_c);
	assert_int_equal(acc->n, (size_t)s->height * s->width * s->channels);
	for (size_t i = 0; i < acc->n; i++) {
		uint32_t o = (uint32_t)(i % s->channels);
		float v = (float)(taps - (int16_t)load_le16(acc->bytes + 2 * i)) * k->m[o];
		v = v + k->b[o];
		if (memcmp(&v, &got[i], sizeof v) != 0)
			fail_msg("%s: %s, sum %zu", f->plan->kernels->name, s->name, i);
	}
}

static const struct plan_step *step(const struct forced *f)
{
	return &f->plan->steps[f->next];
}

static void execute(struct forced *f)
{
	const struct plan_step *s = step(f);
	struct step_operands o = {run_buffer(f->run, s->x), run_buffer(f->run, s->v), run_buffer(f->run, s->y),
		run_buffer(f->run, s->bits), run_buffer(f->run, s->scratch)};
	step_execute(f->plan, s, &o);
	f->next++;
}

static bool in_group(const struct forced *f, const char *name)
{
	size_t n = strlen(name);
	return f->next < f->plan->n_steps && !strncmp(step(f)->name, name, n) &&
	       (!step(f)->name[n] || step(f)->name[n] == '.');
}

static void force_group(struct forced *f, const char *name, const struct record *x, const struct record *want)
{
	assert_true(in_group(f, name));
	put_floats(f, step(f)->x, x);
	while (in_group(f, name))
		execute(f);
	check_floats(f, &f->plan->steps[f->next - 1], want);
}

/* sign, convolution, residual, prelu: as separate steps, or the last three in one whose predecessor gave the signs. */
static void force_binary(struct forced *f, const char *name, const struct record *x, const struct record *want)
{
	char key[32];
	snprintf(key, sizeof key, "op.%s.bits", name);
	struct record bits = find(f->golden, key);
	snprintf(key, sizeof key, "op.%s.acc", name);
	struct record acc = find(f->golden, key);
	assert_true(in_group(f, name));
	if (step(f)->kind == OP_SIGN) {
		put_floats(f, step(f)->x, x);
		execute(f);
	}
	check_bits(f, &f->plan->steps[f->next - 1], x, &bits);
	while (in_group(f, name)) {
		const struct plan_step *s = step(f);
		if (s->kind == OP_BINARY_CONV2D)
			put_bits(f, s->x, s->binary.win.in_c, &bits);
		if (s->kind == OP_BINARY_CONV2D && s->v >= 0)
			put_floats(f, s->v, x);
		else if (s->kind == OP_ADD) /* of x and the convolution's result */
			put_floats(f, s->x, x);
		execute(f);
		if (s->kind == OP_BINARY_CONV2D && !strcmp(s->label, "binary_conv2d"))
			check_accumulators(f, s, &acc);
	}
	check_floats(f, &f->plan->steps[f->next - 1], want);
}

static void force_network(struct forced *f)
{
	static const char *const floats[][2] = {{"conv2d", "stem"}, {"depthwise_conv2d", "dw"}, {"conv2d", "pw"}};
	struct record x = find(f->golden, "op.input"), y;
	int number = 0;
	const float *in = run_buffer(f->run, f->plan->steps[0].y);
	for (size_t i = 0; i < x.n; i++)
		assert_true(in[i] == float_at(&x, i));
	f->next = 1;
	for (; number < 3; number++, x = y) {
		y = find_op(f->golden, number, floats[number][0], floats[number][1]);
		force_group(f, floats[number][1], &x, &y);
	}
	for (int block = 0, pools = 0; block < BLOCKS; block++) {
		char name[24];
		if (block == 2 || block == 4) { /* a pool and a convolution between the widths */
			snprintf(name, sizeof name, "pool%d", pools);
			y = find_op(f->golden, number++, "avg_pool", "");
			force_group(f, name, &x, &y);
			x = y;
			snprintf(name, sizeof name, "tr%d", pools++);
			y = find_op(f->golden, number++, "conv2d", name);
			force_group(f, name, &x, &y);
			x = y;
		}
		snprintf(name, sizeof name, "bin%d", block);
		y = find_op(f->golden, number++, "binary_residual", name);
		force_binary(f, name, &x, &y);
		x = y;
	}
	y = find_op(f->golden, number++, "conv2d", "last");
	force_group(f, "last", &x, &y);
	x = y;
	y = find_op(f->golden, number, "global_avg_pool", "");
	force_group(f, "mean", &x, &y);
	put_floats(f, step(f)->x, &y);
	while (f->next < f->plan->n_steps)
		execute(f);
	struct record features = find(f->golden, "features"), first = features;
	first.n = FEATURES; /* of picture 0 */
	check_floats(f, &f->plan->steps[f->plan->n_steps - 1], &first);
}

/* Converts a golden file with numpy, into the build directory and never elsewhere: the source must not gain other
 * people's photographs. False: the file or the directory is not there. */
static bool convert(const char *name, struct blob *ret_golden)
{
	const char *shared = getenv("BNND_SHARED_DATA"), *build = getenv("BNND_BUILD_DIR");
	char npz[PATH_BYTES], out[PATH_BYTES], command[4 * PATH_BYTES];
	if (!shared || !*shared || !build || !*build)
		return false;
	snprintf(npz, sizeof npz, "%s/models/v1-96/%s.npz", shared, name);
	FILE *f = fopen(npz, "rb");
	if (!f)
		return false;
	fclose(f);
	snprintf(out, sizeof out, "%s/tests/unit/bnn/%s-96.bin", build, name);
	snprintf(command, sizeof command, "/usr/bin/python3 '%s/tests/vectors/make_bnn_golden.py' '%s' '%s'", root(),
		npz, out);
	assert_int_equal(system(command), 0);
	*ret_golden = blob_load(out);
	return true;
}

static void check_file(const char *name, size_t below)
{
	struct blob golden;
	if (!convert(name, &golden)) {
		print_message("no models/v1-96/%s.npz in BNND_SHARED_DATA, or no BNND_BUILD_DIR: skipped\n", name);
		skip();
	}
	struct record pictures = find(&golden, "pictures"), features = find(&golden, "features");
	for (const struct kernels *const *k = kernels_usable(); *k; k++) {
		struct bnn_model *model = load((*k)->name);
		float unused[FEATURES];
		struct forced f = {.golden = &golden, .run = bnn_run_new(model), .plan = &model->plan};
		bnn_run_features(f.run, pictures.bytes, unused);
		struct step_operands input = {.x = pictures.bytes, .y = run_buffer(f.run, f.plan->steps[0].y)};
		step_execute(f.plan, &f.plan->steps[0], &input);
		force_network(&f);
		print_message("%s, %s: each operation within its bound, %zu signs nearer than rounding\n", name,
			(*k)->name, f.sign_flips);
		check_features(model, pictures.bytes, &features, below);
		bnn_run_free(f.run);
		bnn_model_free(model);
	}
	free(golden.bytes);
}

static void test_golden_drawn(void **state)
{
	(void)state;
	check_file("golden-drawn", 0);
}

static void test_golden_photographs(void **state)
{
	(void)state;
	check_file("golden", ONE_PHOTOGRAPH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drawn),
		cmocka_unit_test(test_golden_drawn),
		cmocka_unit_test(test_golden_photographs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
