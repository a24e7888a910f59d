/* SPDX-License-Identifier: MIT */
/* tests/fuzz/fuzz_model.c: the bytes of a model file. Refused with a sentence, or a model: then every kernel gives the
 * same bits, and they are numbers.
 *
 *   0 FILE                        a whole .bnn file
 *   1 WORD(4) KIB(1) GRAPH        a graph alone; its data are so many KiB of one word, so that a small input reaches the
 *                                 plan and the kernels
 *   3 ...                         the same as format 1.1: of features in groups
 *
 * The digest is not looked at: else this would be a test of SHA-256. */
#include <math.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/random.h"
#include "lib/bnn/bnn.h"
#include "tests/fuzz/fuzz.h"

enum {
	HEADER_BYTES = 64,
	RUN_OPERATIONS_MAX = 20000000, /* what is run here; more is a valid model that takes its time */
	RUN_ARENA_MAX_BYTES = 32 << 20,
};

static const uint8_t magic[8] = {0x89, 'B', 'N', 'N', 'D', '\r', '\n', 0x1a};

static uint8_t *file_of_graph(struct fuzz_input *input, uint16_t minor, size_t *ret_n)
{
	uint8_t word[4];
	store_be32(word, fuzz_u32(input));
	size_t data_bytes = (size_t)fuzz_u8(input) << 10, graph_bytes = input->left;
	size_t data_at = (HEADER_BYTES + graph_bytes + 63) / 64 * 64;
	uint8_t *file = calloc(1, data_at + data_bytes);
	FUZZ_CHECK(file);
	memcpy(file, magic, sizeof magic);
	store_le16(file + 8, 1);
	store_le16(file + 10, minor);
	store_le32(file + 12, (uint32_t)graph_bytes);
	store_le64(file + 16, data_bytes);
	if (graph_bytes)
		memcpy(file + HEADER_BYTES, input->at, graph_bytes);
	for (size_t i = 0; i < data_bytes; i++)
		file[data_at + i] = word[i % sizeof word];
	*ret_n = data_at + data_bytes;
	return file;
}

static bool is_small(const struct bnn_info *info)
{
	return info->multiply_adds + info->binary_multiply_adds <= RUN_OPERATIONS_MAX &&
	       info->arena_bytes <= RUN_ARENA_MAX_BYTES;
}

static void features(const struct bnn_model *model, uint64_t seed, float *ret_features)
{
	const struct bnn_info *info = bnn_model_info(model);
	size_t n = (size_t)info->width * info->height * 3;
	uint8_t *pixels = malloc(n);
	FUZZ_CHECK(pixels);
	for (size_t i = 0; i < n; i++)
		pixels[i] = (uint8_t)splitmix64_next(&seed);
	struct bnn_run *run = bnn_run_new(model);
	bnn_run_features(run, pixels, ret_features);
	bnn_run_free(run);
	free(pixels);
}

static void check_kernels(const struct bnn_model *model, const uint8_t *bytes, size_t n)
{
	const struct bnn_info *info = bnn_model_info(model);
	struct bnn_model *plain;
	struct err err;
	float *chosen = malloc(info->n_features * sizeof *chosen),
	      *reference = malloc(info->n_features * sizeof *reference);
	FUZZ_CHECK(chosen && reference);
	setenv("BNND_KERNELS", "ref", 1);
	FUZZ_CHECK(bnn_model_from_bytes(bytes, n, false, &plain, &err) == 0);
	unsetenv("BNND_KERNELS");
	FUZZ_CHECK(memcmp(info->feature_id, bnn_model_info(plain)->feature_id, BNN_ID_BYTES) == 0);
	for (uint64_t seed = 0; seed < 2; seed++) {
		features(model, seed, chosen);
		features(plain, seed, reference);
		FUZZ_CHECK(memcmp(chosen, reference, info->n_features * sizeof *chosen) == 0);
		for (size_t i = 0; i < info->n_features; i++)
			FUZZ_CHECK(isfinite(chosen[i]));
	}
	bnn_model_free(plain);
	free(chosen);
	free(reference);
}

static void check_explanation(const struct bnn_model *model)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	FUZZ_CHECK(out);
	bnn_model_explain(model, out);
	fclose(out);
	FUZZ_CHECK(n > 0);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input input = {bytes, n};
	struct bnn_model *model;
	struct err err = {0};
	uint8_t *made = NULL;
	const uint8_t form = fuzz_u8(&input);
	if (form % 2)
		made = file_of_graph(&input, form == 3, &n);
	else
		n = input.left;
	const uint8_t *file = made ? made : input.at;
	int r = bnn_model_from_bytes(file, n, false, &model, &err);
	if (r != 0) {
		fuzz_check_refusal(r, &err);
	} else {
		check_explanation(model);
		if (is_small(bnn_model_info(model)))
			check_kernels(model, file, n);
		bnn_model_free(model);
	}
	free(made);
	return 0;
}
