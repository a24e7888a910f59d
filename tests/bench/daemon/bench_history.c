/* SPDX-License-Identifier: MIT */
/* tests/bench/daemon/bench_history.c: does anything grow with the number of changes ever made? A state of N changes, then
 * the start and one of each kind of change, in process, without a socket; N doubles from row to row, so that what is
 * linear doubles and what is quadratic is four times as much.
 *
 * usage: bench_history DIR [N...], default 12500 to 100000. DIR: an empty folder; in memory (/dev/shm) what is measured is
 * not the disk. Times are of the processor, so that a busy machine counts little. 100 classes are quiet, one is renamed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/state/teach.h"

enum { FEATURES = 512, QUIET = 100, MOST = 8 };

static struct config config;
static const struct change_guard plain;

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void must(int r, const struct err *err)
{
	if (r == 0)
		return;
	fprintf(stderr, "bench_history: %s\n", err->text);
	exit(EXIT_FAILURE);
}

static struct learned *open_state(void)
{
	struct learned_options options = {.config = &config, .model_name = "bench", .n_features = FEATURES};
	struct learned *learned = NULL;
	struct err err = {0};
	must(learned_open(&options, &learned, &err), &err);
	return learned;
}

static struct label label_of(const char *text, uint32_t number)
{
	struct label label;
	label.len_bytes = (uint8_t)snprintf((char *)label.bytes, sizeof label.bytes, "%s %u", text, number);
	return label;
}

static void done(int r, struct change_outcome *outcome, const struct err *err)
{
	must(r, err);
	change_outcome_deinit(outcome);
}

static void teach(struct learned *learned, const struct label *label, uint32_t number)
{
	struct teach_class class = {.label = *label};
	int8_t q[FEATURES];
	uint8_t digest[1][DIGEST_BYTES] = {{0}};
	uint32_t y = 0;
	for (size_t i = 0; i < FEATURES; i++)
		q[i] = (int8_t)((i * 37 + number * 101) % 81 - 40);
	memcpy(digest[0], &number, sizeof number);
	struct teach_work work = {.n_classes = 1,
		.classes = &class,
		.n = 1,
		.q = q,
		.y = &y,
		.digests = (const uint8_t(*)[DIGEST_BYTES])digest};
	struct change_outcome outcome;
	struct err err = {0};
	done(learned_teach(learned, &work, &plain, NULL, NULL, &outcome, &err), &outcome, &err);
}

static void rename_to(struct learned *learned, uint32_t number, const uint8_t *key)
{
	struct label from = label_of("renamed", number), to = label_of("renamed", number + 1);
	struct change_guard guard = {.key = key};
	struct change_outcome outcome;
	struct err err = {0};
	done(learned_rename(learned, &from, &to, &guard, &outcome, &err), &outcome, &err);
}

/* The last line of a column is what a reader compares. */
static void column(double begin)
{
	printf(" %9.2f", now_ms() - begin);
}

static void measure(uint32_t n)
{
	static const uint8_t key[STORE_KEY_BYTES] = {1, 2, 3};
	struct change_outcome outcome;
	struct err err = {0};
	struct learned *learned = open_state();
	struct label label = label_of("renamed", 0);
	uint32_t names = 0;
	teach(learned, &label, 0);
	for (uint32_t i = 1; i <= QUIET; i++) {
		label = label_of("quiet", i);
		teach(learned, &label, i);
	}
	double begin = now_ms();
	while (names + QUIET + 2 < n)
		rename_to(learned, names++, NULL);
	printf("%7u %9.3f", n, (now_ms() - begin) / names);
	learned_close(learned);

	begin = now_ms();
	learned = open_state();
	column(begin);
	begin = now_ms();
	done(learned_undo(learned, &plain, &outcome, &err), &outcome, &err);
	column(begin);
	names--;
	begin = now_ms();
	rename_to(learned, names++, key);
	column(begin);
	begin = now_ms();
	done(learned_find_key(learned, key, &outcome, &err), &outcome, &err);
	column(begin);
	label = label_of("quiet", 1);
	begin = now_ms();
	teach(learned, &label, QUIET + 1);
	column(begin);
	begin = now_ms();
	done(learned_undo(learned, &plain, &outcome, &err), &outcome, &err);
	column(begin);
	begin = now_ms();
	done(learned_forget(learned, &label, &plain, &outcome, &err), &outcome, &err);
	column(begin);
	begin = now_ms();
	done(learned_undo(learned, &plain, &outcome, &err), &outcome, &err);
	column(begin);
	begin = now_ms();
	done(learned_rollback(learned, n / 2, &plain, &outcome, &err), &outcome, &err);
	column(begin);
	begin = now_ms();
	learned_close(learned);
	column(begin);
	printf("\n");
}

int main(int argc, char **argv)
{
	uint32_t sizes[MOST] = {12500, 25000, 50000, 100000}, n = 4;
	if (argc < 2 || argc > 2 + MOST) {
		fprintf(stderr, "usage: bench_history DIR [N...]\n");
		return 2;
	}
	for (n = argc > 2 ? 0 : n; n + 2 < (uint32_t)argc; n++)
		sizes[n] = (uint32_t)strtoul(argv[n + 2], NULL, 10);
	config = (struct config){.keep = CONFIG_KEEP_FEATURES, .max_classes = 1000, .samples_per_class = 200};
	learn_settings_preset(LEARN_DEFAULT, &config.learner);
	printf("%7s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s   (CPU ms)\n", "changes", "a rename", "start", "undo",
		"keyed", "its key", "lesson", "undo", "forget", "undo", "rollback", "close");
	for (uint32_t i = 0; i < n; i++) {
		char dir[512];
		if (sizes[i] < 2 * QUIET || snprintf(dir, sizeof dir, "%s/%u", argv[1], sizes[i]) >= (int)sizeof dir) {
			fprintf(stderr, "bench_history: %u changes are too few\n", sizes[i]);
			return 2;
		}
		config.state_dir = dir;
		measure(sizes[i]);
		fflush(stdout);
	}
	return EXIT_SUCCESS;
}
