/* SPDX-License-Identifier: MIT */
/* tests/bench/daemon/bench_history.c: does anything grow with the number of changes ever made? In process, without a socket.
 * First a keyed change in a state of 10 classes and 10 changes and in one of 1,000 and 5,000: within 20 % of one another.
 * Then a state of N changes, its start and one of each kind of change; N doubles from row to row, so that what is linear
 * doubles and what is quadratic is four times as much.
 *
 * usage: bench_history DIR [N...], default 12500 to 100000. DIR: an empty folder; in memory (/dev/shm) what is measured is
 * not the disk. Times are of the processor, so that a busy machine counts little. 100 classes are quiet, one is renamed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/state/teach.h"
#include "tests/bench/bench.h"

enum { FEATURES = 512, QUIET = 100, MOST = 8, DIR_BYTES = 512 };

static struct config config;
static const struct change_guard plain;

static char *dir_of(char ret_path[DIR_BYTES], const char *dir, const char *name, uint32_t number)
{
	if (snprintf(ret_path, DIR_BYTES, "%s/%s-%u", dir, name, number) >= DIR_BYTES) {
		fprintf(stderr, "bench_history: the path of the folder is too long\n");
		exit(2);
	}
	return ret_path;
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

static void teach(struct learned *learned, const struct label *label, uint32_t number, const uint8_t *key)
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
	const struct change_guard guard = {.key = key};
	struct change_outcome outcome;
	struct err err = {0};
	done(learned_teach(learned, &work, &guard, NULL, NULL, &outcome, &err), &outcome, &err);
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
	printf(" %9.2f", cpu_ms() - begin);
}

static void measure(uint32_t n)
{
	static const uint8_t key[STORE_KEY_BYTES] = {1, 2, 3};
	struct change_outcome outcome;
	struct err err = {0};
	struct learned *learned = open_state();
	struct label label = label_of("renamed", 0);
	uint32_t names = 0;
	teach(learned, &label, 0, NULL);
	for (uint32_t i = 1; i <= QUIET; i++) {
		label = label_of("quiet", i);
		teach(learned, &label, i, NULL);
	}
	double begin = cpu_ms();
	while (names + QUIET + 2 < n)
		rename_to(learned, names++, NULL);
	printf("%7u %9.3f", n, (cpu_ms() - begin) / names);
	learned_close(learned);

	begin = cpu_ms();
	learned = open_state();
	column(begin);
	begin = cpu_ms();
	done(learned_undo(learned, &plain, &outcome, &err), &outcome, &err);
	column(begin);
	names--;
	begin = cpu_ms();
	rename_to(learned, names++, key);
	column(begin);
	begin = cpu_ms();
	done(learned_find_key(learned, key, &outcome, &err), &outcome, &err);
	column(begin);
	label = label_of("quiet", 1);
	begin = cpu_ms();
	teach(learned, &label, QUIET + 1, NULL);
	column(begin);
	begin = cpu_ms();
	done(learned_undo(learned, &plain, &outcome, &err), &outcome, &err);
	column(begin);
	begin = cpu_ms();
	done(learned_forget(learned, &label, &plain, &outcome, &err), &outcome, &err);
	column(begin);
	begin = cpu_ms();
	done(learned_undo(learned, &plain, &outcome, &err), &outcome, &err);
	column(begin);
	begin = cpu_ms();
	done(learned_rollback(learned, n / 2, &plain, &outcome, &err), &outcome, &err);
	column(begin);
	begin = cpu_ms();
	learned_close(learned);
	column(begin);
	printf("\n");
}

/* ---- a keyed change in a small state and in a large one ---- */

enum { ROUNDS = 51, LASTING = 9 }; /* that class is not touched any more: its lesson is the first that has a key */
enum { RENAME, LESSON, FORGET, REPEATED, KEYED };
static const char *const keyed_names[KEYED] = {"rename", "lesson", "forget", "repeated"}; /* the last: that lesson */

struct sized {
	uint32_t n_classes, n_changes;
	struct learned *learned;
	double ms[KEYED][ROUNDS];
};

static const uint8_t first_key[STORE_KEY_BYTES] = {9};

static void sized_open(struct sized *state, char *dir)
{
	struct label label = label_of("renamed", 0);
	config.state_dir = dir;
	state->learned = open_state();
	teach(state->learned, &label, 0, NULL);
	for (uint32_t i = 1; i < state->n_classes; i++) {
		label = label_of("quiet", i);
		teach(state->learned, &label, i, i == LASTING ? first_key : NULL);
	}
	for (uint32_t i = state->n_classes; i < state->n_changes; i++)
		rename_to(state->learned, i - state->n_classes, NULL);
}

/* One round of each kind; what is forgotten is taught again, so that the number of classes stays. */
static void sized_round(struct sized *state, uint32_t round)
{
	uint8_t key[STORE_KEY_BYTES] = {0};
	const struct change_guard guard = {.key = key};
	struct label label = label_of("quiet", 1 + round % (LASTING - 1)), lasting = label_of("quiet", LASTING);
	struct change_outcome outcome;
	struct err err = {0};
	memcpy(key, &round, sizeof round);
	for (uint8_t kind = 0; kind < KEYED; kind++) {
		key[STORE_KEY_BYTES - 1] = kind + 1;
		double begin = cpu_ms();
		if (kind == RENAME)
			rename_to(state->learned, state->n_changes - state->n_classes + round, key);
		else if (kind == LESSON)
			teach(state->learned, &label, state->n_changes + round, key);
		else if (kind == FORGET)
			done(learned_forget(state->learned, &label, &guard, &outcome, &err), &outcome, &err);
		else
			teach(state->learned, &lasting, LASTING, first_key);
		state->ms[kind][round] = cpu_ms() - begin;
	}
	teach(state->learned, &label, round, NULL);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void measure_keyed(const char *dir)
{
	struct sized states[2] = {{.n_classes = 10, .n_changes = 10}, {.n_classes = 1000, .n_changes = 5000}};
	char dirs[2][DIR_BYTES];
	for (size_t i = 0; i < 2; i++) {
		dir_of(dirs[i], dir, "keyed", states[i].n_classes);
		sized_open(&states[i], dirs[i]);
	}
	for (uint32_t round = 0; round < ROUNDS; round++) /* by turns, so that both see the same machine */
		for (size_t i = 0; i < 2; i++)
			sized_round(&states[i], round);
	printf("\n%-9s %16s %16s   (CPU ms: median, least of %d; compared: the least)\n", "keyed", "10 and 10",
		"1000 and 5000", ROUNDS);
	for (size_t kind = 0; kind < KEYED; kind++) {
		double *small = states[0].ms[kind], *large = states[1].ms[kind];
		qsort(small, ROUNDS, sizeof *small, by_value);
		qsort(large, ROUNDS, sizeof *large, by_value);
		printf("%-9s %8.3f %7.3f %8.3f %7.3f   %+.0f %%\n", keyed_names[kind], small[ROUNDS / 2], small[0],
			large[ROUNDS / 2], large[0], 100 * (large[0] / small[0] - 1));
	}
	for (size_t i = 0; i < 2; i++)
		learned_close(states[i].learned);
}

int main(int argc, char **argv)
{
	uint32_t sizes[MOST] = {12500, 25000, 50000, 100000}, n = 4;
	char dir[DIR_BYTES];
	if (argc < 2 || argc > 2 + MOST) {
		fprintf(stderr, "usage: bench_history DIR [N...]\n");
		return 2;
	}
	for (n = argc > 2 ? 0 : n; n + 2 < (uint32_t)argc; n++) {
		sizes[n] = (uint32_t)strtoul(argv[n + 2], NULL, 10);
		if (sizes[n] < 2 * QUIET) {
			fprintf(stderr, "bench_history: %u changes are too few\n", sizes[n]);
			return 2;
		}
	}
	config = (struct config){.keep = CONFIG_KEEP_FEATURES, .max_classes = 1000, .samples_per_class = 200};
	learn_settings_preset(LEARN_DEFAULT, &config.learner);
	print_machine("one thread");
	measure_keyed(argv[1]);
	printf("\n%7s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s   (CPU ms)\n", "changes", "a rename", "start", "undo",
		"keyed", "its key", "lesson", "undo", "forget", "undo", "rollback", "close");
	for (uint32_t i = 0; i < n; i++) {
		config.state_dir = dir_of(dir, argv[1], "changes", sizes[i]);
		measure(sizes[i]);
		fflush(stdout);
	}
	return EXIT_SUCCESS;
}
