/* SPDX-License-Identifier: MIT */
/* tests/bench/daemon/bench_commit.c: what one change costs on the disk: time, syncs, bytes, at the store itself.
 *
 * usage: bench_commit DIR CHANGES. A change is what a lesson of 20 pictures of one class writes with the default backbone:
 * a row of 512 16-bit weights, a label, 20 kept samples, a result. Prints lines "name value" for bench_daemon.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/store/store.h"

enum { FEATURES = 512, SAMPLES = 20, ROW_BYTES = 8 + 2 * FEATURES, DIGEST = 16, RESULT_BYTES = 60 };

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static int commit(struct store *store, uint32_t n, struct err *err)
{
	uint8_t row[ROW_BYTES], samples[SAMPLES][DIGEST + FEATURES], result[RESULT_BYTES], key[STORE_KEY_BYTES] = {0};
	char label[16];
	struct store_put puts[2 + SAMPLES];
	uint32_t id = store_class_id_next(store);
	uint64_t seq;
	for (size_t i = 0; i < sizeof row; i++)
		row[i] = (uint8_t)(i * 31 + n * 7);
	for (size_t i = 0; i < sizeof samples; i++)
		((uint8_t *)samples)[i] = (uint8_t)(i * 17 + n * 13);
	memset(result, 1, sizeof result);
	memcpy(key, &n, sizeof n);
	int len = snprintf(label, sizeof label, "class %u", n);
	puts[0] = (struct store_put){STORE_ROW, id, row, sizeof row, "cwr1 8/16 d=512"};
	puts[1] = (struct store_put){STORE_LABEL, id, (const uint8_t *)label, (size_t)len, "label"};
	for (size_t i = 0; i < SAMPLES; i++)
		puts[2 + i] = (struct store_put){STORE_SAMPLE, id, samples[i], sizeof samples[i], "q8"};
	const struct store_change change = {.op = STORE_OP_LEARN,
		.time_ms = 1700000000000,
		.key = key,
		.result = result,
		.result_bytes = sizeof result,
		.puts = puts,
		.n_puts = 2 + SAMPLES,
		.samples_per_class = 200};
	return store_commit(store, &change, &seq, err);
}

int main(int argc, char **argv)
{
	struct store_options options = {
		.dir = argc == 3 ? argv[1] : "", .model_name = "bench", .format = "cwr1 8/16 d=512"};
	int n = argc == 3 ? atoi(argv[2]) : 0;
	struct store *store;
	struct store_io before, after;
	struct err err = {0};
	double *us = n > 1 ? malloc((size_t)n * sizeof *us) : NULL;
	if (!us) {
		fputs("usage: bench_commit DIR CHANGES\n", stderr);
		return 2;
	}
	memset(options.feature_id, 7, sizeof options.feature_id);
	if (store_open(&options, &store, &err) < 0 || commit(store, 0, &err) != 0) { /* the first one makes the file */
		fprintf(stderr, "bench_commit: %s\n", err.text);
		return EXIT_FAILURE;
	}
	store_io(store, &before);
	for (int i = 0; i < n; i++) {
		double begin = now_us();
		if (commit(store, (uint32_t)i + 1, &err) != 0) {
			fprintf(stderr, "bench_commit: %s\n", err.text);
			return EXIT_FAILURE;
		}
		us[i] = now_us() - begin;
	}
	store_io(store, &after);
	store_close(store);
	qsort(us, (size_t)n, sizeof *us, by_value);
	printf("commit_p50 %.1f\ncommit_p99 %.1f\ncommit_syncs %.2f\ncommit_bytes %.0f\n", us[n / 2], us[n * 99 / 100],
		(double)(after.syncs - before.syncs) / n, (double)(after.bytes_written - before.bytes_written) / n);
	free(us);
	return EXIT_SUCCESS;
}
