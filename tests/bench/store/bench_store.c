/* SPDX-License-Identifier: MIT */
/* tests/bench/store/bench_store.c: what the state costs: each kind of change in time, syncs and bytes, and opening a full
 * one.
 *
 * usage: bench_store DIR [CLASSES]. DIR lies on the disk that is to be measured, and is left filled. A lesson is what 20
 * pictures of one class write with the default backbone: a row of 512 16-bit weights, a label, 20 kept samples. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/store/store.h"
#include "tests/bench/bench.h"

enum { FEATURES = 512, SAMPLES = 20, ROW_BYTES = 32 + 2 * FEATURES, DIGEST = 16, RESULT_BYTES = 60, RENAMES = 100 };

static struct store_options options = {.model_name = "bench", .format = "cwr1 8/16 d=512"};

static double now_us(void)
{
	return (double)clock_ns() / 1e3;
}

static struct store *open_store(void)
{
	struct store *store = NULL;
	struct err err = {0};
	must(store_open(&options, &store, &err), &err);
	if (store_mode(store) != STORE_READ_WRITE) {
		fprintf(stderr, "bench_store: %s\n", store_why(store));
		exit(EXIT_FAILURE);
	}
	return store;
}

static int lesson(struct store *store, uint32_t n, struct err *err)
{
	static uint8_t row[ROW_BYTES], samples[SAMPLES][DIGEST + FEATURES], result[RESULT_BYTES];
	char label[16];
	uint8_t key[STORE_KEY_BYTES] = {0};
	struct store_put puts[2 + SAMPLES];
	uint32_t id = store_class_id_next(store);
	uint64_t seq;
	for (size_t i = 0; i < sizeof row; i++)
		row[i] = (uint8_t)(i * 31 + n * 7);
	for (size_t i = 0; i < sizeof samples; i++)
		((uint8_t *)samples)[i] = (uint8_t)(i * 17 + n * 13);
	memcpy(key, &n, sizeof n);
	int len = snprintf(label, sizeof label, "class %u", n);
	puts[0] = (struct store_put){STORE_ROW, id, row, sizeof row, options.format};
	puts[1] = (struct store_put){STORE_LABEL, id, (const uint8_t *)label, (size_t)len, "utf8"};
	for (size_t i = 0; i < SAMPLES; i++)
		puts[2 + i] = (struct store_put){STORE_SAMPLE, id, samples[i], sizeof samples[i], "digest16 q8 d=512"};
	const struct store_change change = {.op = STORE_OP_LEARN,
		.key = key,
		.result = result,
		.result_bytes = sizeof result,
		.puts = puts,
		.n_puts = 2 + SAMPLES,
		.samples_per_class = 200};
	return store_commit(store, &change, &seq, err);
}

static int rename_one(struct store *store, uint32_t n, struct err *err)
{
	char label[24];
	uint64_t seq;
	int len = snprintf(label, sizeof label, "renamed %u", n);
	struct store_put put = {STORE_LABEL, 1 + n, (const uint8_t *)label, (size_t)len, "utf8"};
	const struct store_change change = {.op = STORE_OP_RENAME, .puts = &put, .n_puts = 1};
	return store_commit(store, &change, &seq, err);
}

static int forget_one(struct store *store, uint32_t n, struct err *err)
{
	uint64_t seq;
	uint32_t id = 1 + n;
	const struct store_change change = {.op = STORE_OP_FORGET, .drop_classes = &id, .n_drop_classes = 1};
	return store_commit(store, &change, &seq, err);
}

static int undo_one(struct store *store, uint32_t n, struct err *err)
{
	uint64_t seq, target;
	const struct store_change change = {.op = STORE_OP_UNDO};
	(void)n;
	int r = store_undo_target(store, &target, err);
	return r ? r : store_restore(store, target, &change, &seq, err);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void measure(
	struct store *store, const char *name, uint32_t n, int (*change)(struct store *, uint32_t, struct err *))
{
	double *us = calloc(n, sizeof *us);
	struct store_io before, after;
	struct err err = {0};
	store_io(store, &before);
	for (uint32_t i = 0; i < n; i++) {
		double begin = now_us();
		must(change(store, i, &err), &err);
		us[i] = now_us() - begin;
	}
	store_io(store, &after);
	qsort(us, n, sizeof *us, by_value);
	printf("%-8s x%-5u p50 %8.0f us   p99 %8.0f us   %.2f syncs   %7.0f bytes\n", name, n, us[n / 2],
		us[n * 99 / 100], (double)(after.syncs - before.syncs) / n,
		(double)(after.bytes_written - before.bytes_written) / n);
	free(us);
}

static int count_item(void *ctx, const struct store_item *item)
{
	*(size_t *)ctx += item->len_bytes;
	return 0;
}

static int count_entry(void *ctx, const struct store_entry *entry)
{
	*(size_t *)ctx += entry->result_bytes;
	return 0;
}

int main(int argc, char **argv)
{
	uint32_t n = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000;
	if (argc < 2 || argc > 3 || n < RENAMES) {
		fprintf(stderr, "usage: bench_store DIR [CLASSES, at least %d]\n", RENAMES);
		return 2;
	}
	options.dir = argv[1];
	memset(options.feature_id, 7, sizeof options.feature_id);
	struct err err = {0};
	struct store *store = open_store();
	must(lesson(store, n, &err), &err); /* makes the file */
	measure(store, "lesson", n, lesson);
	measure(store, "rename", RENAMES, rename_one);
	measure(store, "forget", RENAMES, forget_one);
	measure(store, "undo", RENAMES, undo_one);
	double begin = now_us();
	store_close(store);
	printf("close, with the -wal carried into the db: %.1f ms\n", (now_us() - begin) / 1e3);

	begin = now_us();
	store = open_store();
	double opened = now_us();
	size_t bytes = 0;
	must(store_load(store, count_item, NULL, &bytes, &err), &err);
	double loaded = now_us();
	must(store_labels(store, count_item, &bytes, &err), &err);
	must(store_history(store, 0, SIZE_MAX, count_entry, &bytes, &err), &err);
	printf("open %u classes: %.1f ms, load every item %.1f ms, labels and history %.1f ms\n", n + 1,
		(opened - begin) / 1e3, (loaded - opened) / 1e3, (now_us() - loaded) / 1e3);
	store_close(store);
	return EXIT_SUCCESS;
}
