/* SPDX-License-Identifier: MIT */
/* tests/bench/daemon/bench_socket.c: what the socket costs: `infer` of a raw picture over the socket less the same
 * computation in this process, one after the other in one run so that both see the same machine.
 *
 * usage: bench_socket MODEL SOCKET ROUNDS. Prints lines "name value" in microseconds for bench_daemon.py. The daemon must
 * have been taught something, so that both sides have a head to ask. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/bnnd.h"
#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/bnn/bnn.h"
#include "lib/image/image.h"
#include "lib/learn/learn.h"

enum { CLASSES = 10, SAMPLES = 5, SIDE = 96, BLOCK = 50, WARM_UP = 20 };

static double now_us(void)
{
	return (double)clock_ns() / 1e3;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_socket: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

/* The daemon's pass, in process: picture -> input -> features -> q -> answer. */
struct local {
	struct bnn_model *model;
	struct bnn_run *run;
	struct image_input input;
	struct learn_answer_constants constants;
	struct learn_head *head;
	uint8_t *pixels;
	float *features;
	int8_t *q;
};

static void local_features(struct local *local, const uint8_t *rgb)
{
	const struct image_picture picture = {.source = IMAGE_RAW,
		.bytes = rgb,
		.len_bytes = SIDE * SIDE * 3,
		.raw_width = SIDE,
		.raw_height = SIDE,
		.raw_channels = 3};
	struct err err;
	if (image_to_input(&picture, &local->input, NULL, local->pixels, &err) < 0)
		die("picture", err.text);
	bnn_run_features(local->run, local->pixels, local->features);
	learn_quantize(local->features, bnn_model_info(local->model)->n_features, local->q);
}

static void draw(uint64_t seed, uint8_t *ret_rgb)
{
	uint64_t state = seed, colour = splitmix64_next(&state);
	for (size_t i = 0; i < SIDE * SIDE; i++)
		for (size_t c = 0; c < 3; c++)
			ret_rgb[3 * i + c] = (uint8_t)(((i / SIDE / 8 + i % SIDE / (4 + seed % 7)) % 2 * 120) +
						       (colour >> 8 * c & 0x3f) + (splitmix64_next(&state) & 15));
}

/* A head of CLASSES classes, taught to drawn pictures: what it says does not matter, what it costs does. */
static void local_teach(struct local *local, size_t d)
{
	int8_t *q = malloc(CLASSES * SAMPLES * d);
	uint32_t y[CLASSES * SAMPLES], ids[CLASSES];
	const struct learn_row *old[CLASSES] = {0};
	struct learn_row *rows[CLASSES];
	uint8_t *rgb = malloc(SIDE * SIDE * 3);
	struct learn_settings settings;
	struct learn_report report;
	struct err err;
	if (!q || !rgb)
		die("memory", "none left");
	for (uint32_t i = 0; i < CLASSES * SAMPLES; i++) {
		draw(i + 1, rgb);
		local_features(local, rgb);
		memcpy(q + i * d, local->q, d);
		y[i] = i / SAMPLES;
		ids[i / SAMPLES] = i / SAMPLES + 1;
	}
	learn_settings_preset(LEARN_DEFAULT, &settings);
	const struct learn_lesson lesson = {
		.seq = 1, .d = d, .n = CLASSES * SAMPLES, .k = CLASSES, .q = q, .y = y, .old = old};
	if (learn_train(&settings, &lesson, NULL, NULL, rows, &report, &err) < 0)
		die("lesson", err.text);
	local->head = learn_head_new(&settings, d, (const struct learn_row *const *)rows, ids, CLASSES, NULL);
	for (size_t i = 0; i < CLASSES; i++)
		learn_row_free(rows[i]);
	free(q);
	free(rgb);
}

static void local_init(struct local *local, const char *path)
{
	struct err err;
	if (bnn_model_open(path, &local->model, &err) < 0)
		die("model", err.text);
	const struct bnn_info *info = bnn_model_info(local->model);
	local->input =
		(struct image_input){.width = info->width, .height = info->height, .fit = (enum image_fit)info->fit};
	memcpy(local->input.background, info->background, sizeof local->input.background);
	local->constants = (struct learn_answer_constants){.temperature = info->temperature,
		.pair_cosine = info->known.pair_cosine,
		.pair_weight = info->known.pair_weight,
		.class_share = info->known.class_share,
		.deviations = info->deviations[2],
		.few_pictures = info->known.few_pictures,
		.deviation = info->deviation,
		.deviation_weight = info->deviation_weight};
	local->run = bnn_run_new(local->model);
	local->pixels = malloc((size_t)info->width * info->height * 3);
	local->features = malloc(info->n_features * sizeof *local->features);
	local->q = malloc(info->n_features);
	if (!local->pixels || !local->features || !local->q)
		die("memory", "none left");
	local_teach(local, info->n_features);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void report(const char *name, double *us, size_t n)
{
	qsort(us, n, sizeof *us, by_value);
	printf("%s_p50 %.1f\n%s_p99 %.1f\n", name, us[n / 2], name, us[n * 99 / 100]);
}

int main(int argc, char **argv)
{
	if (argc != 4 || atoi(argv[3]) < 10)
		die("usage", "bench_socket MODEL SOCKET ROUNDS");
	size_t rounds = (size_t)atoi(argv[3]);
	struct local local;
	struct bnnd_conn *conn;
	struct bnnd_error error;
	struct bnnd_answer answer;
	struct learn_answer own;
	local_init(&local, argv[1]);
	if (bnnd_connect(argv[2], &conn, &error) < 0)
		die("connect", error.message);
	uint8_t *rgb = malloc(SIDE * SIDE * 3);
	double *here = malloc(rounds * sizeof *here), *there = malloc(rounds * sizeof *there);
	double *less = malloc(rounds * sizeof *less), *inside = malloc(rounds * sizeof *inside);
	if (!rgb || !here || !there || !less || !inside)
		die("memory", "none left");
	const struct bnnd_picture picture = {
		.data = rgb, .len_bytes = SIDE * SIDE * 3, .raw_width = SIDE, .raw_height = SIDE, .raw_channels = 3};
	/* In blocks of the same pictures: call by call the two processes would throw each other's weights out of the cache. */
	for (size_t from = 0; from < rounds + WARM_UP; from += BLOCK) {
		size_t to = from + BLOCK < rounds + WARM_UP ? from + BLOCK : rounds + WARM_UP;
		for (size_t i = from; i < to; i++) {
			draw(1000 + i, rgb);
			double begin = now_us();
			local_features(&local, rgb);
			learn_head_answer(local.head, local.q, &local.constants, &own);
			here[i < WARM_UP ? 0 : i - WARM_UP] = now_us() - begin;
		}
		for (size_t i = from; i < to; i++) {
			size_t at = i < WARM_UP ? 0 : i - WARM_UP;
			draw(1000 + i, rgb);
			double begin = now_us();
			if (bnnd_infer(conn, &picture, NULL, &answer, &error) < 0)
				die("infer", error.message);
			there[at] = now_us() - begin;
			less[at] = there[at] - here[at];
			inside[at] = answer.us.total;
		}
	}
	report("in_process", here, rounds);
	report("socket", there, rounds);
	report("difference", less, rounds);
	report("in_daemon", inside, rounds);
	bnnd_close(conn);
	return EXIT_SUCCESS;
}
