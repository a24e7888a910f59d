/* SPDX-License-Identifier: MIT */
/* The features of committed models on committed pictures, bit for bit.
 *
 * tests/vectors/features/NAME.vec was made by tests/vectors/make_features.py with a numpy evaluator that shares no code with
 * the engine, so equal floats mean that both understood the format in the same way. Runs with every set of kernels that
 * this machine can, the plain reference among them.
 */
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
#include "lib/bnn/kernels/choose.h"

enum {
	VEC_HEADER_BYTES = 24,
	REF_PHOTOS = 2, /* the plain reference takes long for a photograph under sanitizers and qemu */
};

static const char *const drawn[] = {"tiny", "stages", "odd"};

struct vec {
	uint8_t *bytes;
	uint32_t n, height, width, d;
	const uint8_t *pictures, *features; /* features: n x d little-endian float32 */
};

static const char *source_path(char *path, size_t path_bytes, const char *folder, const char *name, const char *suffix)
{
	const char *root = getenv("BNND_SOURCE_DIR");

	snprintf(path, path_bytes, "%s/%s/%s%s", root ? root : ".", folder, name, suffix);
	return path;
}

static void vec_load(const char *path, struct vec *ret_vec)
{
	struct vec v = {0};
	FILE *f = fopen(path, "rb");
	long len;

	if (!f)
		fail_msg("%s cannot be opened", path);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	len = ftell(f);
	rewind(f);
	assert_true(len > VEC_HEADER_BYTES);
	v.bytes = malloc((size_t)len);
	assert_non_null(v.bytes);
	assert_int_equal(fread(v.bytes, 1, (size_t)len, f), len);
	fclose(f);
	assert_memory_equal(v.bytes, "BNNVEC1\n", 8);
	v.n = load_le32(v.bytes + 8);
	v.height = load_le32(v.bytes + 12);
	v.width = load_le32(v.bytes + 16);
	v.d = load_le32(v.bytes + 20);
	v.pictures = v.bytes + VEC_HEADER_BYTES;
	v.features = v.pictures + (size_t)v.n * v.height * v.width * 3;
	assert_int_equal(len, VEC_HEADER_BYTES + (size_t)v.n * (v.height * v.width * 3 + v.d * 4));
	*ret_vec = v;
}

static void check_model(const char *folder, const char *name, const char *kernels, uint32_t n_max)
{
	char path[4096];
	struct bnn_model *model;
	struct err err = {0};
	struct vec v;

	vec_load(source_path(path, sizeof path, "tests/vectors/features", name, ".vec"), &v);
	setenv("BNND_KERNELS", kernels, 1);
	if (bnn_model_open(source_path(path, sizeof path, folder, name, ".bnn"), &model, &err))
		fail_msg("%s: %s", path, err.text);
	const struct bnn_info *info = bnn_model_info(model);
	assert_string_equal(info->name, name);
	assert_int_equal(info->width, v.width);
	assert_int_equal(info->height, v.height);
	assert_int_equal(info->n_features, v.d);
	assert_string_equal(info->kernels, kernels);
	struct bnn_run *run = bnn_run_new(model);
	assert_non_null(run);
	float *features = calloc(v.d, sizeof *features);
	assert_non_null(features);

	for (uint32_t i = 0; i < v.n && i < n_max; i++) {
		bnn_run_features(run, v.pictures + (size_t)i * v.height * v.width * 3, features);
		for (uint32_t k = 0; k < v.d; k++) {
			uint32_t bits, want = load_le32(v.features + ((size_t)i * v.d + k) * 4);

			memcpy(&bits, &features[k], sizeof bits);
			if (bits != want)
				fail_msg("%s, kernels %s, picture %u, feature %u: %08x, not %08x", name, info->kernels,
					i, k, bits, want);
		}
	}
	free(features);
	bnn_run_free(run);
	bnn_model_free(model);
	free(v.bytes);
	unsetenv("BNND_KERNELS");
}

static void check_all(const char *folder, const char *name, uint32_t n_max_ref)
{
	for (const struct kernels *const *k = kernels_usable(); *k; k++)
		check_model(folder, name, (*k)->name, strcmp((*k)->name, "ref") ? UINT32_MAX : n_max_ref);
}

static void test_drawn(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++)
		check_all("tests/vectors/models", drawn[i], UINT32_MAX);
}

static void test_shipped(void **state)
{
	const char *shipped = getenv("BNND_SHIPPED"); /* models/shipped.txt, by meson */
	char *names, *rest;

	(void)state;
	assert_non_null(shipped);
	names = strdup(shipped);
	assert_non_null(names);
	rest = names;
	for (char *name; (name = strsep(&rest, " "));)
		check_all("models", name, REF_PHOTOS);
	free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drawn),
		cmocka_unit_test(test_shipped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
