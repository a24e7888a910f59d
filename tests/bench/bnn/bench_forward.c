/* SPDX-License-Identifier: MIT */
/* Times the forward pass by operation, all sets of kernels of this machine in one run, one thread.
 *
 *   bench_forward [MODEL.bnn [ROUNDS]]
 *
 * The sets take turns, so that a slow second hits all of them; of each step and of the whole pass the median and the
 * least are kept. The whole pass is timed by itself, without the trace. Prints machine and date, since a figure
 * without them says nothing.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/base/require.h"
#include "lib/bnn/bnn.h"
#include "lib/bnn/kernels/choose.h"
#include "tests/bench/bench.h"

enum { SETS_MAX = 8, STEPS_MAX = 256, ROUNDS = 200, WARM_UP = 5, SLOW_NS = 5000000, SLOW_SHARE = 20 };

struct step_times {
	char name[64];
	uint32_t height, width, channels;
	uint64_t *ns; /* one a round */
};

struct set {
	const char *name;
	struct bnn_model *model;
	struct bnn_run *run;
	struct step_times steps[STEPS_MAX];
	size_t n_steps, at; /* at: step of the trace in progress */
	uint64_t *total_ns;
	size_t rounds;
	uint64_t least_ns;
};

static int compare_ns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static double median_us(uint64_t *ns, size_t n)
{
	qsort(ns, n, sizeof *ns, compare_ns);
	return (double)ns[n / 2] / 1e3;
}

/* A fused step calls twice, the second time without time of its own: its signs. */
static void see_step(void *ctx, const struct bnn_trace_step *step)
{
	struct set *s = ctx;
	if (!step->ns && step->dtype == 'b')
		return;
	REQUIRE(s->at < STEPS_MAX);
	struct step_times *t = &s->steps[s->at];
	if (s->at++ == s->n_steps) {
		snprintf(t->name, sizeof t->name, "%.20s %.40s", step->name, step->kernel);
		t->height = step->height;
		t->width = step->width;
		t->channels = step->channels;
		t->ns = mem_zalloc(ROUNDS, sizeof *t->ns);
		s->n_steps++;
	}
	t->ns[s->rounds] = step->ns;
}

static void round_of(struct set *s, const uint8_t *pixels, float *features)
{
	uint64_t start = clock_ns();
	bnn_run_features(s->run, pixels, features);
	uint64_t ns = clock_ns() - start;
	s->total_ns[s->rounds] = ns;
	s->least_ns = !s->rounds || ns < s->least_ns ? ns : s->least_ns;
	s->at = 0;
	bnn_run_traced(s->run, pixels, features, see_step, s);
	s->rounds++;
}

static void print_steps(struct set *s)
{
	double sum = 0, whole = median_us(s->total_ns, s->rounds) / 1e3;
	printf("\n%s: whole pass %.3f ms (%.3f), %zu rounds\n", s->name, whole, (double)s->total_ns[0] / 1e6,
		s->rounds);
	printf("  %-54s %-14s %10s\n", "step", "shape", "us");
	for (size_t i = 0; i < s->n_steps; i++) {
		struct step_times *t = &s->steps[i];
		char shape[40];
		double us = median_us(t->ns, s->rounds);
		snprintf(shape, sizeof shape, "%ux%ux%u", t->height, t->width, t->channels);
		printf("  %-54s %-14s %10.1f  (%.1f)\n", t->name, shape, us, (double)t->ns[0] / 1e3);
		sum += us;
	}
	printf("  %-54s %-14s %10.1f\n", "sum", "", sum);
}

static void open_set(struct set *s, const char *kernels, const char *path)
{
	struct err err = {0};
	setenv("BNND_KERNELS", kernels, 1);
	if (bnn_model_open(path, &s->model, &err)) {
		fprintf(stderr, "bench_forward: %s\n", err.text);
		exit(1);
	}
	s->name = kernels;
	s->run = bnn_run_new(s->model);
	s->total_ns = mem_zalloc(ROUNDS, sizeof *s->total_ns);
}

static void close_set(struct set *s)
{
	for (size_t i = 0; i < s->n_steps; i++)
		free(s->steps[i].ns);
	free(s->total_ns);
	bnn_run_free(s->run);
	bnn_model_free(s->model);
}

int main(int argc, char **argv)
{
	static struct set sets[SETS_MAX];
	size_t n_sets = 0, rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : ROUNDS;
	const char *root = getenv("BNND_SOURCE_DIR");
	char path[4096];
	snprintf(path, sizeof path, "%s/models/default.bnn", root ? root : ".");
	if (argc > 3 || rounds < 1 || rounds > ROUNDS) {
		fprintf(stderr, "usage: bench_forward [MODEL.bnn [ROUNDS, 1 to %d]]\n", ROUNDS);
		return 2;
	}
	for (const struct kernels *const *k = kernels_usable(); *k; k++)
		open_set(&sets[n_sets++], (*k)->name, argc > 1 ? argv[1] : path);
	const struct bnn_info *info = bnn_model_info(sets[0].model);
	size_t n = (size_t)info->width * info->height * 3;
	uint8_t *pixels = mem_zalloc(n, 1);
	float *features = mem_zalloc(info->n_features, sizeof *features);
	uint64_t seed = 1;
	for (size_t i = 0; i < n; i++)
		pixels[i] = (uint8_t)splitmix64_next(&seed);
	for (size_t i = 0; i < rounds + WARM_UP; i++)
		for (size_t k = 0; k < n_sets; k++) {
			bool slow = sets[k].least_ns > SLOW_NS;
			if (i < WARM_UP)
				bnn_run_features(sets[k].run, pixels, features);
			else if (!slow || i % SLOW_SHARE == 0)
				round_of(&sets[k], pixels, features);
		}
	print_machine("one thread; median of the rounds (least)");
	printf("model     %s, %ux%u, %.1f M multiply-adds of floats, %.1f M of bits, arena %zu KiB\n", info->name,
		info->width, info->height, (double)info->multiply_adds / 1e6, (double)info->binary_multiply_adds / 1e6,
		info->arena_bytes >> 10);
	for (size_t k = 0; k < n_sets; k++) {
		print_steps(&sets[k]);
		close_set(&sets[k]);
	}
	free(pixels);
	free(features);
	return 0;
}
