/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/features.c: raw pictures -> lib/image -> lib/bnn -> h and q, as the daemon does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learn_bench.h"
#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/bnn/bnn.h"
#include "lib/image/image.h"
#include "lib/learn/learn.h"

enum { HEADER_BYTES = 20 };

struct pictures {
	size_t n;
	struct image_picture each; /* but for its bytes */
	uint8_t *bytes;            /* free */
};

static struct pictures read_pictures(const char *path)
{
	FILE *f = bench_open(path, "rb");
	uint8_t header[HEADER_BYTES];
	if (fread(header, 1, sizeof header, f) != sizeof header || memcmp(header, "BNPX", 4) != 0)
		bench_die("%s is no BNPX file", path);
	struct pictures p = {.n = load_le32(header + 4),
		.each = {.source = IMAGE_RAW,
			.raw_width = load_le32(header + 8),
			.raw_height = load_le32(header + 12),
			.raw_channels = load_le32(header + 16)}};
	p.each.len_bytes = (size_t)p.each.raw_width * p.each.raw_height * p.each.raw_channels;
	p.bytes = malloc(p.n * p.each.len_bytes + 1);
	if (!p.bytes || fread(p.bytes, p.each.len_bytes, p.n, f) != p.n)
		bench_die("%s is cut short", path);
	fclose(f);
	return p;
}

static void run_all(const struct bnn_model *model, const struct pictures *pictures, FILE *q_out, FILE *h_out)
{
	const struct bnn_info *info = bnn_model_info(model);
	const struct image_input input = {.width = info->width,
		.height = info->height,
		.fit = (enum image_fit)info->fit,
		.background = {info->background[0], info->background[1], info->background[2]}};
	struct bnn_run *run = bnn_run_new(model);
	uint8_t *pixels = mem_zalloc((size_t)info->width * info->height, 3);
	float *h = mem_zalloc(info->n_features, sizeof *h);
	int8_t *q = mem_zalloc(info->n_features, 1);
	for (size_t i = 0; i < pictures->n; i++) {
		struct err err;
		struct image_picture picture = pictures->each;
		picture.bytes = pictures->bytes + i * picture.len_bytes;
		if (image_to_input(&picture, &input, NULL, pixels, &err) != 0)
			bench_die("picture %zu: %s", i, err.text);
		bnn_run_features(run, pixels, h);
		learn_quantize(h, info->n_features, q); /* a q of zeros stays: it is answered unknown */
		fwrite(q, 1, info->n_features, q_out);
		fwrite(h, sizeof *h, info->n_features, h_out);
	}
	free(pixels);
	free(h);
	free(q);
	bnn_run_free(run);
}

int bench_features(int argc, char **argv)
{
	if (argc != 4)
		bench_die("features takes MODEL PICTURES Q H");
	struct err err;
	struct bnn_model *model;
	if (bnn_model_open(argv[0], &model, &err) != 0)
		bench_die("%s", err.text);
	const struct bnn_info *info = bnn_model_info(model);
	struct pictures pictures = read_pictures(argv[1]);
	FILE *q_out = bench_open(argv[2], "wb"), *h_out = bench_open(argv[3], "wb");
	uint8_t header[HEADER_BYTES] = "BNQX";
	store_le32(header + 4, (uint32_t)pictures.n);
	store_le32(header + 8, info->n_features);
	fwrite(header, 1, sizeof header, q_out);
	run_all(model, &pictures, q_out, h_out);
	if (fclose(q_out) != 0 || fclose(h_out) != 0)
		bench_die("cannot write %s", argv[2]);
	printf("%s ", info->name);
	for (size_t i = 0; i < sizeof info->feature_id; i++)
		printf("%02x", info->feature_id[i]);
	printf(" %u %u\n", info->width, info->n_features);
	free(pictures.bytes);
	bnn_model_free(model);
	return 0;
}
