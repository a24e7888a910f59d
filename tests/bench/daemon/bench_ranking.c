/* SPDX-License-Identifier: MIT */
/* tests/bench/daemon/bench_ranking.c: what is made of the kept pictures costs: a start, a lesson of 20 pictures and its undo in
 * a state of N classes that keeps 200 pictures of each, by metric and by cwr; then a lesson of 20 pictures of the scene as
 * none, which all rows before it are made for, and a lesson and a start with that. In process, without a socket.
 *
 * usage: bench_ranking DIR [N...], default 10 100. DIR: an empty folder; in memory (/dev/shm) what is measured is not the
 * disk. Times are of the processor, in ms; drawn features, in number and groups those of the shipped networks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/state/teach.h"
#include "lib/base/random.h"
#include "tests/bench/bench.h"

enum { FEATURES = 1024, KEPT = 200, LESSON = 20, TIMES = 5, DIR_BYTES = 512 };

static struct config config = {.keep = CONFIG_KEEP_FEATURES, .max_classes = 4096, .samples_per_class = KEPT};
static const struct metric_shape shape = {.n_groups = 2, .width = {512, 512}, .factor = {1.5, 1}};
static const struct change_guard plain;

static struct learned *open_state(enum learn_method method)
{
	struct learned_options options = {.config = &config,
		.model_name = "bench",
		.n_features = FEATURES,
		.shape = shape,
		.near = 0.8,
		.scene = {.share = 0.75, .cosine = 0.5}};
	struct learned *learned = NULL;
	struct err err = {0};
	config.learner.method = method;
	must(learned_open(&options, &learned, &err), &err);
	return learned;
}

/* n new pictures of a class around a point of its own; class 0 is none. */
static void teach(struct learned *learned, uint32_t class, uint32_t n)
{
	static int8_t q[KEPT * FEATURES];
	static uint32_t y[KEPT], number;
	static uint8_t digests[KEPT][DIGEST_BYTES];
	struct teach_class taught;
	taught.label.len_bytes = (uint8_t)snprintf((char *)taught.label.bytes, LABEL_MAX_BYTES, "class %u", class);
	if (class == 0)
		taught.label.len_bytes = 0;
	for (uint32_t k = 0; k < n; k++) {
		uint64_t point = class, noise = ++number * UINT64_C(7919);
		for (size_t i = 0; i < FEATURES; i++)
			q[k * FEATURES + i] = (int8_t)((int)splitmix64_below(&point, 41) - 20 +
						       (int)splitmix64_below(&noise, 61) - 30);
		memcpy(digests[k], &number, sizeof number);
	}
	struct teach_work work = {.n_classes = 1,
		.classes = &taught,
		.n = n,
		.q = q,
		.y = y,
		.digests = (const uint8_t(*)[DIGEST_BYTES])digests};
	struct change_outcome outcome;
	struct err err = {0};
	must(learned_teach(learned, &work, &plain, NULL, NULL, &outcome, &err), &err);
	change_outcome_deinit(&outcome);
}

static void undo(struct learned *learned)
{
	struct change_outcome outcome;
	struct err err = {0};
	must(learned_undo(learned, &plain, &outcome, &err), &err);
	change_outcome_deinit(&outcome);
}

static double lesson_ms(struct learned *learned, uint32_t class)
{
	double begin = cpu_ms();
	teach(learned, class, LESSON);
	return cpu_ms() - begin;
}

static void measure(uint32_t n, enum learn_method method)
{
	double begin = cpu_ms(), lesson = 0, undone = 0;
	struct learned *learned = open_state(method);
	double start = cpu_ms() - begin;
	for (int i = 0; i < TIMES; i++) {
		lesson += lesson_ms(learned, 1);
		begin = cpu_ms();
		undo(learned);
		undone += cpu_ms() - begin;
	}
	const double none = lesson_ms(learned, 0), before_scene = lesson_ms(learned, 1);
	learned_close(learned);
	begin = cpu_ms();
	learned = open_state(method);
	printf("%7u %-8s %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f\n", n, learn_method_names[method - 1], start,
		lesson / TIMES, undone / TIMES, none, before_scene, cpu_ms() - begin);
	undo(learned);
	undo(learned);
	learned_close(learned);
}

static void state_of(uint32_t n)
{
	struct learned *learned = open_state(LEARN_CWR);
	for (uint32_t c = 1; c <= n; c++)
		teach(learned, c, KEPT);
	learned_close(learned);
	measure(n, LEARN_CWR);
	measure(n, LEARN_METRIC);
}

int main(int argc, char **argv)
{
	static const char *const usual[] = {"10", "100"};
	char dir[DIR_BYTES];
	if (argc < 2) {
		fprintf(stderr, "usage: bench_ranking DIR [N...]\n");
		return 2;
	}
	learn_settings_preset(LEARN_DEFAULT, &config.learner);
	print_machine("processor time in ms, means of 5 changes");
	printf("%7s %-8s %9s %9s %9s %9s %9s %9s\n", "classes", "method", "start", "lesson 20", "undo", "none 20",
		"then 20", "start");
	const char *const *list = argc > 2 ? (const char *const *)argv + 2 : usual;
	for (int i = 0; i < (argc > 2 ? argc - 2 : 2); i++) {
		const uint32_t n = (uint32_t)strtoul(list[i], NULL, 10);
		if (n == 0 || n > config.max_classes || snprintf(dir, sizeof dir, "%s/%u", argv[1], n) >= DIR_BYTES) {
			fprintf(stderr, "bench_ranking: 1 to %u classes, in a folder of a short name\n",
				config.max_classes);
			return 2;
		}
		config.state_dir = dir;
		state_of(n);
	}
	return 0;
}
