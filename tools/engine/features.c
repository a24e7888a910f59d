/* SPDX-License-Identifier: MIT */
/* bnnd-features: the engine on pictures from stdin, for tools and tests.
 *
 *   bnnd-features MODEL.bnn < pictures > features      n x height x width x 3 bytes -> n x n_features floats
 *   bnnd-features --trace MODEL.bnn < pictures         instead, for each step of each picture, a line
 *                                                      "NAME KERNEL HEIGHT WIDTH CHANNELS DTYPE\n" and the values
 *
 * Pictures are in the model's input format already: no decoding, no resize. Numbers are written in the machine's own
 * byte order. A partial picture at the end is refused after the complete ones were answered. Not installed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bnn/bnn.h"

static size_t dtype_bytes(char dtype)
{
	return dtype == 'b' ? 1 : 4; /* 'f' and 'i' */
}

static void print_step(void *ctx, const struct bnn_trace_step *step)
{
	FILE *out = ctx;
	size_t n = (size_t)step->height * step->width * step->channels;

	fprintf(out, "%s %s %u %u %u %c\n", step->name, step->kernel, step->height, step->width, step->channels,
		step->dtype);
	fwrite(step->values, dtype_bytes(step->dtype), n, out);
}

/* Answers every picture of `in`. Returns 0, or 1 with a sentence on stderr. */
static int answer_all(const struct bnn_model *model, bool trace, FILE *in, FILE *out)
{
	const struct bnn_info *info = bnn_model_info(model);
	size_t picture_bytes = (size_t)info->width * info->height * 3;
	uint8_t *picture = malloc(picture_bytes);
	float *features = calloc(info->n_features, sizeof *features);
	struct bnn_run *run = bnn_run_new(model);
	size_t got = 0, n = 0;
	int r = 1;

	if (!picture || !features || !run) {
		fprintf(stderr, "bnnd-features: out of memory\n");
		goto out;
	}
	while ((got = fread(picture, 1, picture_bytes, in)) == picture_bytes) {
		if (trace) {
			bnn_run_traced(run, picture, features, print_step, out);
		} else {
			bnn_run_features(run, picture, features);
			fwrite(features, sizeof *features, info->n_features, out);
		}
		n++;
	}
	if (ferror(in))
		fprintf(stderr, "bnnd-features: reading pictures: %s\n", strerror(errno));
	else if (got)
		fprintf(stderr, "bnnd-features: picture %zu has %zu bytes, the model needs %ux%ux3\n", n, got,
			info->width, info->height);
	else if (fflush(out) || ferror(out))
		fprintf(stderr, "bnnd-features: writing: %s\n", strerror(errno));
	else
		r = 0;
out:
	bnn_run_free(run);
	free(features);
	free(picture);
	return r;
}

int main(int argc, char **argv)
{
	bool trace = argc == 3 && !strcmp(argv[1], "--trace");
	struct bnn_model *model;
	struct err err = {0};
	int r;

	if (argc != 2 && !trace) {
		fprintf(stderr, "usage: bnnd-features [--trace] MODEL.bnn < pictures > features\n");
		return 2;
	}
	if (bnn_model_open(argv[argc - 1], &model, &err)) {
		fprintf(stderr, "bnnd-features: %s\n", err.text);
		return 1;
	}
	r = answer_all(model, trace, stdin, stdout);
	bnn_model_free(model);
	return r;
}
