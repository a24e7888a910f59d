/* SPDX-License-Identifier: MIT */
/* A model changed in any byte is refused with a sentence, or it is a valid model on which a forward pass runs.
 *
 *   test_model_bytes tiny|shipped STRIDE
 *
 * Tiny models: every byte, changed twice (one bit, and to 0x00 or 0xFF). A shipped one: header, graph, both ends of
 * each tensor and 2,000 seeded bytes, changed in one of the two ways. Each change is tried with the digest as it was,
 * which must refuse it, and without looking at the digest, as if it had been recomputed: else this would be a test of
 * SHA-256 alone.
 * STRIDE n tries every n-th position: for runs that are slow or repeated.
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
#include "lib/base/random.h"
#include "lib/bnn/graph.h"
#include "lib/bnn/plan.h"

enum { HEADER_BYTES = 64, DIGEST_AT = 32, DIGEST_BYTES = 32, SEEDED = 2000 };

static size_t stride = 1;

struct file {
	uint8_t *bytes;
	size_t len, graph_end, data_at;
	uint8_t *pixels;
	size_t refused, valid;
	uint64_t seed;
};

static struct file file_load(const char *folder, const char *name)
{
	char path[4096];
	const char *root = getenv("BNND_SOURCE_DIR");
	struct file f = {.seed = 11};
	struct bnn_model *model;
	struct err err = {0};
	snprintf(path, sizeof path, "%s/%s/%s.bnn", root ? root : ".", folder, name);
	FILE *in = fopen(path, "rb");
	if (!in)
		fail_msg("%s cannot be opened", path);
	fseek(in, 0, SEEK_END);
	f.len = (size_t)ftell(in);
	rewind(in);
	f.bytes = mem_zalloc(f.len, 1);
	assert_int_equal(fread(f.bytes, 1, f.len, in), f.len);
	fclose(in);
	f.graph_end = HEADER_BYTES + load_le32(f.bytes + 12);
	f.data_at = (f.graph_end + 63) / 64 * 64;
	if (bnn_model_from_bytes(f.bytes, f.len, true, &model, &err))
		fail_msg("%s: %s", path, err.text);
	bnn_model_free(model);
	return f;
}

/* A sentence: some words, no code alone. */
static void check_sentence(const struct err *err, int r)
{
	assert_true(r < 0 && err->code == -r);
	assert_true(strlen(err->text) > 10 && strchr(err->text, ' '));
}

static void check_run(const struct bnn_model *model, uint64_t seed)
{
	const struct bnn_info *info = bnn_model_info(model);
	size_t n = (size_t)info->width * info->height * 3;
	uint8_t *pixels = mem_zalloc(n, 1);
	float *features = mem_zalloc(info->n_features, sizeof *features),
	      *again = mem_zalloc(info->n_features, sizeof *again);
	for (size_t i = 0; i < n; i++)
		pixels[i] = (uint8_t)splitmix64_next(&seed);
	struct bnn_run *run = bnn_run_new(model);
	bnn_run_features(run, pixels, features);
	bnn_run_features(run, pixels, again);
	assert_memory_equal(features, again, info->n_features * sizeof *features);
	for (uint32_t i = 0; i < info->n_features; i++)
		assert_true(isfinite(features[i]));
	bnn_run_free(run);
	free(pixels);
	free(features);
	free(again);
}

static void try_change(struct file *f, size_t at, uint8_t value)
{
	uint8_t old = f->bytes[at];
	struct bnn_model *model = NULL;
	struct err err = {0};
	if (value == old)
		return;
	f->bytes[at] = value;
	int r = bnn_model_from_bytes(f->bytes, f->len, true, &model, &err);
	if (!r)
		fail_msg("byte %zu changed to %u passes with the old digest", at, value);
	check_sentence(&err, r);
	r = bnn_model_from_bytes(f->bytes, f->len, false, &model, &err);
	if (r) {
		check_sentence(&err, r);
		f->refused++;
	} else {
		check_run(model, at);
		bnn_model_free(model);
		f->valid++;
	}
	f->bytes[at] = old;
}

static void try_bit(struct file *f, size_t at)
{
	try_change(f, at, f->bytes[at] ^ (uint8_t)(1u << splitmix64_next(&f->seed) % 8));
}

static void try_extreme(struct file *f, size_t at)
{
	try_change(f, at, splitmix64_next(&f->seed) % 2 ? 0xFF : 0x00);
}

static void try_byte(struct file *f, size_t at)
{
	if (splitmix64_next(&f->seed) % 4)
		try_bit(f, at);
	else
		try_extreme(f, at);
}

static void finish(struct file *f, const char *name)
{
	print_message("%s: %zu changes refused, %zu gave a valid model\n", name, f->refused, f->valid);
	assert_true(f->refused > 0 && f->valid > 0);
	free(f->bytes);
}

static void try_all(const char *name)
{
	struct file f = file_load("tests/vectors/models", name);
	for (size_t at = 0; at < f.len; at += stride) {
		try_bit(&f, at);
		try_extreme(&f, at);
	}
	finish(&f, name);
}

static void test_tiny(void **state)
{
	(void)state;
	try_all("tiny");
}

static void test_stages(void **state)
{
	(void)state;
	try_all("stages");
}

static void test_odd(void **state)
{
	(void)state;
	try_all("odd");
}

static void test_shipped(void **state)
{
	(void)state;
	struct file f = file_load("models", "nano64-3");
	struct graph g;
	struct err err = {0};
	size_t n = 0;
	for (size_t at = 0; at < f.graph_end; at += stride)
		try_byte(&f, at);
	assert_int_equal(graph_unpack(f.bytes + HEADER_BYTES, f.graph_end - HEADER_BYTES, f.bytes + f.data_at,
				 f.len - f.data_at, &g, &err),
		0);
	for (size_t i = 0; i < g.n_tensors; i++) {
		const struct tensor *t = &g.tensors[i];
		if (!t->is_constant || n++ % stride)
			continue;
		try_byte(&f, f.data_at + t->offset);
		try_byte(&f, f.data_at + t->offset + t->length - 1);
	}
	graph_deinit(&g);
	for (size_t i = 0; i < SEEDED; i += stride)
		try_byte(&f, (size_t)(splitmix64_next(&f.seed) % f.len));
	finish(&f, "nano64-3");
}

/* Whole stretches of the graph replaced by noise, doubled, or left out: what single bytes seldom reach. */
static void test_stretches(void **state)
{
	(void)state;
	struct file f = file_load("tests/vectors/models", "tiny");
	uint8_t *copy = mem_zalloc(f.len, 1);
	size_t graph = f.graph_end - HEADER_BYTES;
	for (size_t i = 0; i < 4000; i += stride) {
		struct bnn_model *model;
		struct err err = {0};
		size_t a = splitmix64_next(&f.seed) % graph, b = splitmix64_next(&f.seed) % graph;
		size_t n = splitmix64_next(&f.seed) % 40;
		memcpy(copy, f.bytes, f.len);
		n = n < graph - a ? n : graph - a;
		n = n < graph - b ? n : graph - b;
		if (i % 2)
			memmove(copy + HEADER_BYTES + a, f.bytes + HEADER_BYTES + b, n);
		for (size_t k = 0; k < n && i % 2 == 0; k++)
			copy[HEADER_BYTES + a + k] = (uint8_t)splitmix64_next(&f.seed);
		int r = bnn_model_from_bytes(copy, f.len, false, &model, &err);
		if (r) {
			check_sentence(&err, r);
			f.refused++;
		} else {
			check_run(model, i);
			bnn_model_free(model);
			f.valid++;
		}
	}
	free(copy);
	finish(&f, "stretches");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tiny[] = {
		cmocka_unit_test(test_tiny),
		cmocka_unit_test(test_stages),
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_stretches),
	};
	const struct CMUnitTest whole[] = {cmocka_unit_test(test_shipped)};
	if (argc != 3 || atoi(argv[2]) <= 0) {
		fprintf(stderr, "usage: test_model_bytes tiny|shipped STRIDE\n");
		return 2;
	}
	stride = (size_t)atoi(argv[2]);
	if (!strcmp(argv[1], "tiny"))
		return cmocka_run_group_tests(tiny, NULL, NULL);
	return cmocka_run_group_tests(whole, NULL, NULL);
}
