/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/features.c: raw pictures -> lib/image -> lib/bnn -> q, as the daemon does. */
#include <stdio.h>
#include <stdlib.h>

#include "learn_bench.h"
#include "lib/base/endian.h"
#include "lib/bnn/bnn.h"
#include "lib/image/image.h"
#include "lib/learn/learn.h"

int bench_features(int argc, char **argv)
{
	if (argc != 3)
		bench_die("features takes MODEL PICTURES OUT");
	struct err err;
	struct bnn_model *model;
	if (bnn_model_open(argv[0], &model, &err) != 0)
		bench_die("%s", err.text);
	const struct bnn_info *info = bnn_model_info(model);
	const struct image_input input = {.width = info->width,
		.height = info->height,
		.fit = (enum image_fit)info->fit,
		.background = {info->background[0], info->background[1], info->background[2]}};
	struct bench_file pictures;
	bench_read(argv[1], "BNPX", &pictures);
	struct image_picture picture = {.source = IMAGE_RAW,
		.raw_width = pictures.shape[0],
		.raw_height = pictures.shape[1],
		.raw_channels = pictures.shape[2]};
	picture.len_bytes = (size_t)pictures.shape[0] * pictures.shape[1] * pictures.shape[2];

	FILE *out = fopen(argv[2], "wb");
	if (!out)
		bench_die("cannot write %s", argv[2]);
	uint8_t header[20] = "BNQX";
	store_le32(header + 4, pictures.n);
	store_le32(header + 8, info->n_features);
	fwrite(header, 1, sizeof header, out);
	struct bnn_run *run = bnn_run_new(model);
	uint8_t *pixels = malloc((size_t)info->width * info->height * 3);
	float *h = malloc(info->n_features * sizeof *h);
	int8_t *q = malloc(info->n_features);
	for (size_t i = 0; i < pictures.n; i++) {
		picture.bytes = pictures.data + i * picture.len_bytes;
		if (image_to_input(&picture, &input, NULL, pixels, &err) != 0)
			bench_die("picture %zu: %s", i, err.text);
		bnn_run_features(run, pixels, h);
		learn_quantize(h, info->n_features, q); /* a q of zeros stays: it is answered unknown */
		fwrite(q, 1, info->n_features, out);
	}
	if (fclose(out) != 0)
		bench_die("cannot write %s", argv[2]);
	printf("%s %s %.17g %.17g %.17g", info->name, info->kernels, info->temperature, info->deviation,
		info->deviation_weight);
	for (size_t i = 0; i < BNN_REFUSE_SHARES; i++)
		printf(" %.17g", info->deviations[i]);
	for (size_t i = 0; i < BNN_REFUSE_SHARES; i++)
		printf(" %.17g", info->unknown_cosine[i]);
	printf("\n");
	free(pixels);
	free(h);
	free(q);
	free(pictures.data);
	bnn_run_free(run);
	bnn_model_free(model);
	return 0;
}
