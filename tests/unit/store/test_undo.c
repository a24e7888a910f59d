/* SPDX-License-Identifier: MIT */
/* tests/unit/store/test_undo.c: undo and rollback: where they lead, what they make again, what is then in force. */
#include "tests/unit/store/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/random.h"

/* Letters: l learns class 1 with the step's number as its row, f forgets it, u undoes, 0-9 rolls back to that seq, x an
 * undo that must be refused. row: the row in the end, 0: none. */
static const struct undo_case {
	const char *steps, *history;
	int row;
} undo_cases[] = {
	{"l", "1", 1},
	{"ll", "2 1", 2},
	{"lu", "2u>0 1*", 0},
	{"lux", "2u>0 1*", 0},
	{"llu", "3u>1 2* 1", 1},
	{"lluu", "4u>0 3u>1* 2* 1*", 0},
	{"lluux", "4u>0 3u>1* 2* 1*", 0},
	{"lluu2", "5b>2 4u>0* 3u>1* 2 1", 2},
	{"lluu2l", "6 5b>2 4u>0* 3u>1* 2 1", 6},
	{"lluu2lu", "7u>5 6* 5b>2 4u>0* 3u>1* 2 1", 2},
	{"lluu2luu", "8u>4 7u>5* 6* 5b>2* 4u>0 3u>1* 2* 1*", 0},
	{"lluu2luux", "8u>4 7u>5* 6* 5b>2* 4u>0 3u>1* 2* 1*", 0},
	{"lll1u", "5u>3 4b>1* 3 2 1", 3},
	{"lll1uu", "6u>2 5u>3* 4b>1* 3* 2 1", 2},
	{"lll1uuu", "7u>1 6u>2* 5u>3* 4b>1* 3* 2* 1", 1},
	{"lll0", "4b>0 3* 2* 1*", 0},
	{"lll03", "5b>3 4b>0* 3 2 1", 3},
	{"lll3", "4b>3 3 2 1", 3}, /* to where it is: nothing is undone */
	{"lfu", "3u>1 2* 1", 1},
	{"lfuu", "4u>0 3u>1* 2* 1*", 0},
	{"lful", "4 3u>1 2* 1", 4},
	{"lulu", "4u>2 3* 2u>0 1*", 0},
	{"llulu", "5u>3 4* 3u>1 2* 1", 1},
	{"llulu4", "6b>4 5u>3* 4 3u>1 2* 1", 4},
};

static void test_undo_sequences(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof undo_cases / sizeof *undo_cases; i++) {
		const struct undo_case *c = &undo_cases[i];
		f->options.feature_id[0] = (uint8_t)i;
		fixture_reopen(f);
		for (const char *step = c->steps; *step; step++) {
			char row[16];
			uint64_t target;
			snprintf(row, sizeof row, "%d", (int)(step - c->steps) + 1);
			if (*step == 'l')
				learn(f->store, 1, row, "cup", "");
			else if (*step == 'f')
				forget(f->store, 1);
			else if (*step == 'u')
				undo(f->store);
			else if (*step == 'x')
				assert_int_equal(store_undo_target(f->store, &target, NULL), -ERR_FAILED_PRECONDITION);
			else
				rollback(f->store, (uint64_t)(*step - '0'));
		}
		char expected[64] = "";
		if (c->row)
			snprintf(expected, sizeof expected, "1r=%d 1l=cup", c->row);
		for (int again = 0; again < 2; again++) {
			char *history = history_text(f->store), *text = state_text(f->store);
			if (strcmp(history, c->history) != 0 || strcmp(text, expected) != 0)
				fail_msg("%s: \"%s\" \"%s\", expected \"%s\" \"%s\"", c->steps, history, text,
					c->history, expected);
			free(history);
			free(text);
			fixture_reopen(f);
		}
	}
}

/* Many changes at random, against a model: the text of the state at every seq, and what is in force found by going back. */
static void test_random_walk(void **state)
{
	enum { STEPS = 400 };
	struct fixture *f = *state;
	char *text_at[STEPS + 1] = {NULL};
	int64_t undo_to[STEPS + 1] = {-1}, restored[STEPS + 1] = {-1};
	uint64_t seed = 7;
	fixture_reopen(f);
	text_at[0] = state_text(f->store);
	for (int64_t s = 1; s <= STEPS; s++) {
		uint32_t what = splitmix64_below(&seed, 10), class_id = 1 + splitmix64_below(&seed, 4);
		char row[24], samples[4] = "";
		snprintf(row, sizeof row, "%lld", (long long)s);
		undo_to[s] = s - 1;
		restored[s] = -1;
		for (uint32_t i = splitmix64_below(&seed, 4); i > 0; i--)
			samples[i - 1] = (char)('a' + splitmix64_below(&seed, 26));
		if (what < 5) {
			learn(f->store, class_id, row, what < 2 ? row : NULL, samples);
		} else if (what < 6) {
			forget(f->store, class_id);
		} else if (what < 8 && undo_to[s - 1] >= 0) {
			restored[s] = undo_to[s - 1];
			undo_to[s] = undo_to[restored[s]];
			undo(f->store);
		} else {
			restored[s] = (int64_t)splitmix64_below(&seed, (uint32_t)s);
			rollback(f->store, (uint64_t)restored[s]);
		}
		if (s % 50 == 0)
			fixture_reopen(f);
		text_at[s] = state_text(f->store);
		if (restored[s] >= 0 && strcmp(text_at[s], text_at[restored[s]]) != 0)
			fail_msg("change %d restored %d: \"%s\", then it was \"%s\"", (int)s, (int)restored[s],
				text_at[s], text_at[restored[s]]);
		bool in_force[STEPS + 1] = {false};
		for (int64_t at = s; at > 0; at = restored[at] >= 0 ? restored[at] : at - 1)
			in_force[at] = true;
		char *expected = NULL, *history = history_text(f->store);
		size_t n = 0;
		FILE *out = open_memstream(&expected, &n);
		for (int64_t at = s; at > 0; at--) {
			fprintf(out, "%lld", (long long)at);
			if (restored[at] >= 0) /* undo or rollback alike */
				fprintf(out, "r>%lld", (long long)restored[at]);
			fprintf(out, "%s%s", in_force[at] ? "" : "*", at > 1 ? " " : "");
		}
		fclose(out);
		for (char *c = history; *c; c++)
			if (*c == 'u' || *c == 'b')
				*c = 'r';
		assert_string_equal(history, expected);
		free(history);
		free(expected);
	}
	for (int s = 0; s <= STEPS; s++)
		free(text_at[s]);
}

static void test_rollback_above_newest(void **state)
{
	struct fixture *f = *state;
	fixture_reopen(f);
	learn(f->store, 1, "A", "cup", "");
	struct store_change change = {.op = STORE_OP_ROLLBACK};
	uint64_t seq = 77;
	struct err err;
	assert_int_equal(store_restore(f->store, 2, &change, &seq, &err), -ERR_NOT_FOUND);
	assert_int_equal(seq, 77);
	assert_int_equal(store_seq(f->store), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_unit_test(test_undo_sequences),
		fixture_unit_test(test_random_walk),
		fixture_unit_test(test_rollback_above_newest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
