/* SPDX-License-Identifier: MIT */
/* tests/unit/store/test_crash.c: kill -9 in the middle of commits, again and again on one directory: nothing acknowledged
 * is lost, nothing is half there, seq goes on without a gap. */
#include "tests/unit/store/fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/random.h"

enum { ROUNDS = 50, ROW_BYTES = 12000 }; /* large rows: the -wal is carried into the db every few hundred changes */

/* Every change names its seq in row and label, so a state that mixes two of them shows. */
static void teach_for_ever(struct fixture *f, int fd)
{
	struct store *store = NULL;
	if (store_open(&f->options, &store, NULL) != 0 || store_mode(store) != STORE_READ_WRITE)
		_exit(1);
	for (;;) {
		uint64_t seq = store_seq(store) + 1, target = 0, done = 0;
		char row[ROW_BYTES], label[32];
		memset(row, 'r', sizeof row);
		snprintf(row, sizeof row, "%llu", (unsigned long long)seq);
		snprintf(label, sizeof label, "%llu", (unsigned long long)seq);
		struct store_put puts[] = {
			{STORE_ROW, 1, (const uint8_t *)row, sizeof row, FORMAT},
			{STORE_LABEL, 1, (const uint8_t *)label, strlen(label), NULL},
			{STORE_SAMPLE, 1, (const uint8_t *)label, strlen(label), "q"},
		};
		struct store_change change = {.op = STORE_OP_LEARN, .puts = puts, .n_puts = 3, .samples_per_class = 5};
		int r;
		if (seq % 7 == 0 && store_undo_target(store, &target, NULL) == 0) {
			change = (struct store_change){.op = STORE_OP_UNDO};
			r = store_restore(store, target, &change, &done, NULL);
		} else {
			r = store_commit(store, &change, &done, NULL);
		}
		if (r != 0 || done != seq || write(fd, &done, sizeof done) != sizeof done) /* the acknowledgement */
			_exit(2);
	}
}

struct seen {
	char row[32], label[32], sample[32];
};

static int see(void *ctx, const struct store_item *item)
{
	struct seen *seen = ctx;
	char *text = item->kind == STORE_ROW ? seen->row : item->kind == STORE_LABEL ? seen->label : seen->sample;
	snprintf(text, 32, "%.*s", item->len_bytes > 31 ? 31 : (int)item->len_bytes, (const char *)item->data);
	return 0;
}

static void damage(void *ctx, const struct store_damage *found)
{
	(void)ctx;
	fail_msg("class %u is damaged", found->class_id);
}

struct newest {
	uint64_t expected_seq, in_force; /* the newest lesson in force */
};

static int walk(void *ctx, const struct store_entry *entry)
{
	struct newest *newest = ctx;
	assert_int_equal(entry->seq, newest->expected_seq);
	newest->expected_seq--;
	if (!entry->undone && entry->op == STORE_OP_LEARN && newest->in_force == 0)
		newest->in_force = entry->seq;
	return 0;
}

static uint64_t kill_once(struct fixture *f, uint64_t seed)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		close(fds[0]);
		teach_for_ever(f, fds[1]);
	}
	close(fds[1]);
	uint64_t acknowledged = 0, last;
	if (seed % 5 != 0) /* sometimes in the middle of opening or of the first commit */
		assert_int_equal(read(fds[0], &acknowledged, sizeof acknowledged), sizeof acknowledged);
	struct timespec wait = {0, (long)splitmix64_below(&seed, 15000000)};
	nanosleep(&wait, NULL);
	kill(child, SIGKILL);
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	while (read(fds[0], &last, sizeof last) == sizeof last)
		acknowledged = last;
	close(fds[0]);
	return acknowledged;
}

static void test_kill(void **state)
{
	struct fixture *f = *state;
	uint64_t last_seq = 0, unacknowledged = 0;
	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t acknowledged = kill_once(f, round);
		fixture_reopen(f);
		uint64_t seq = store_seq(f->store);
		if (acknowledged == 0) /* killed before the first answer of this round */
			acknowledged = last_seq;
		if (seq < acknowledged || seq > acknowledged + 1)
			fail_msg("round %d: %llu were acknowledged, %llu are there", (int)round,
				(unsigned long long)acknowledged, (unsigned long long)seq);
		unacknowledged += seq - acknowledged;
		last_seq = seq;
		struct newest newest = {.expected_seq = seq};
		assert_int_equal(store_history(f->store, 0, 1000000, walk, &newest, NULL), 0);
		assert_int_equal(newest.expected_seq, 0);
		struct seen seen = {0};
		char expected[32] = "";
		assert_int_equal(store_load(f->store, see, damage, &seen, NULL), 0);
		if (newest.in_force)
			snprintf(expected, sizeof expected, "%llu", (unsigned long long)newest.in_force);
		assert_string_equal(seen.row, expected);
		assert_string_equal(seen.label, expected);
		assert_string_equal(seen.sample, expected);
		fixture_close(f);
	}
	assert_int_equal(store_check(f->dir, print_finding, stdout, NULL), 0);
	print_message("    %d kills, %llu changes, %llu of them there but not yet acknowledged\n", ROUNDS,
		(unsigned long long)last_seq, (unsigned long long)unacknowledged);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_unit_test(test_kill),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
