/* SPDX-License-Identifier: MIT */
/* daemon/state/learned over the real learner and a real store: every change, each compared with what a reopened state says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/state/teach.h"
#include "lib/base/random.h"
#include "tests/unit/daemon/folder.h"
#include "proto/limits.h"
#include "tests/testlib/labels.h"

enum { D = 32, EACH = 6 };

static char dir[] = "/tmp/bnnd-learned-XXXXXX";
static struct config config;
static struct learned *learned;

static void open_state(void)
{
	struct learned_options options = {.config = &config, .model_name = "tiny", .n_features = D};
	struct err err;
	memset(options.feature_id, 7, sizeof options.feature_id);
	if (learned_open(&options, &learned, &err) < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/bnnd-learned-XXXXXX");
	assert_non_null(mkdtemp(dir));
	config = (struct config){
		.state_dir = dir, .keep = CONFIG_KEEP_FEATURES, .max_classes = 4, .samples_per_class = 8};
	learn_settings_preset(LEARN_DEFAULT, &config.learner);
	open_state();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	learned_close(learned);
	return remove_folder(dir);
}

/* Pictures of a class: a fixed direction and noise; `from` numbers them, so equal numbers are equal pictures. */
static void picture(const char *label, uint32_t number, int8_t *ret_q, uint8_t *ret_digest)
{
	uint64_t direction = 0, noise = number;
	for (const char *c = label; *c; c++)
		direction = direction * 131 + (uint8_t)*c;
	memset(ret_digest, 0, DIGEST_BYTES);
	memcpy(ret_digest, &direction, 8);
	memcpy(ret_digest + 8, &number, 4);
	for (size_t i = 0; i < D; i++)
		ret_q[i] =
			(int8_t)((int)splitmix64_below(&direction, 81) - 40 + (int)splitmix64_below(&noise, 21) - 10);
}

static int teach(const char *label, uint32_t from, uint32_t n, const struct change_guard *guard,
	struct change_outcome *ret, struct err *err)
{
	static const struct change_guard none;
	struct teach_class class = {.label = label_of(label)};
	int8_t q[16 * D];
	uint32_t y[16] = {0};
	uint8_t digests[16][DIGEST_BYTES];
	for (uint32_t i = 0; i < n; i++)
		picture(label, from + i, q + i * D, digests[i]);
	struct teach_work work = {.n_classes = 1,
		.classes = &class,
		.n = n,
		.q = q,
		.y = y,
		.digests = (const uint8_t(*)[DIGEST_BYTES])digests};
	return learned_teach(learned, &work, guard ? guard : &none, NULL, NULL, ret, err);
}

static uint64_t taught(const char *label, uint32_t from, uint32_t n)
{
	struct change_outcome outcome;
	struct err err;
	if (teach(label, from, n, NULL, &outcome, &err) != 0)
		fail_msg("%s", err.text);
	uint64_t seq = outcome.entry->seq;
	change_outcome_deinit(&outcome);
	return seq;
}

/* Everything that a client could see, as text: labels, counts, lessons, history, scores of fixed pictures. */
static char *seen(void)
{
	static const char *const asked[] = {"mug", "cup", "", "hat", "elsewhere"};
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct snapshot *s = learned_snapshot(learned);
	fprintf(out, "seq %llu writable %d reasons %zu\n", (unsigned long long)s->seq, s->writable, s->n_reasons);
	for (size_t i = 0; i < s->n_classes; i++) {
		const struct class_entry *c = s->classes[i];
		fprintf(out, "class %.*s id %u samples %llu digests %zu:", c->label.len_bytes, c->label.bytes, c->id,
			(unsigned long long)class_samples(c), c->n_digests);
		size_t shown = 0;
		for (const struct class_lesson *l = c->newest; l && shown < CLASS_LESSONS_KEPT; l = l->before, shown++)
			fprintf(out, " %llu/%u/%u/%lld", (unsigned long long)l->seq, l->samples, l->n,
				(long long)(l->time_ms - l->first_ms));
		fprintf(out, "\n");
		assert_ptr_equal(snapshot_find(s, &c->label), c);
		assert_ptr_equal(snapshot_by_id(s, c->id), c);
	}
	fprintf(out, "none %llu:", s->none ? (unsigned long long)class_samples(s->none) : 0);
	for (const struct class_lesson *l = s->none ? s->none->newest : NULL; l; l = l->before)
		fprintf(out, " %llu/%u", (unsigned long long)l->seq, l->samples);
	fprintf(out, "\n");
	for (size_t i = 0; i < s->n_history; i++) {
		const struct change_entry *e = s->history[i].entry;
		fprintf(out, "change %llu %s undone %d restored %llu", (unsigned long long)e->seq, store_op_name(e->op),
			s->history[i].undone, (unsigned long long)e->restored_seq);
		for (size_t k = 0; k < e->n_classes; k++)
			fprintf(out, " %.*s(%u)", e->classes[k].label.len_bytes, e->classes[k].label.bytes,
				e->classes[k].samples);
		fprintf(out, " -> %.*s\n", e->new_label.len_bytes, e->new_label.bytes);
	}
	for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
		struct learn_answer_constants constants = {.temperature = 10, .pair_cosine = 0.3};
		struct learn_answer answer;
		int8_t q[D];
		uint8_t digest[DIGEST_BYTES];
		picture(asked[i], 99, q, digest);
		learn_head_answer(s->head, q, &constants, &answer);
		fprintf(out, "%s: known %d unknown %.17g", asked[i], answer.known, answer.unknown_score);
		for (size_t k = 0; k < answer.n_top; k++)
			fprintf(out, " %u %.17g", answer.top[k].id, answer.top[k].cosine);
		fprintf(out, "\n");
	}
	snapshot_unref(s);
	fclose(out);
	return text;
}

/* What is in memory is what the disk says. */
static void assert_same_after_reopening(void)
{
	char *before = seen();
	learned_close(learned);
	open_state();
	char *after = seen();
	if (strcmp(before, after) != 0) /* all of it, not cut as the assertion's message is */
		fprintf(stderr, "in memory:\n%sreopened:\n%s", before, after);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void test_teach(void **state)
{
	(void)state;
	struct change_outcome outcome;
	struct err err;
	assert_same_after_reopening();
	assert_int_equal(taught("mug", 0, EACH), 1);
	assert_same_after_reopening();
	assert_int_equal(taught("cup", 0, EACH), 2);
	assert_int_equal(taught("", 0, EACH), 3);      /* negatives */
	assert_int_equal(taught("mug", 100, EACH), 4); /* seen again; 12 pictures, 8 are kept */
	assert_same_after_reopening();
	/* Known pictures count nothing; nothing left is no change. */
	assert_int_equal(teach("mug", 103, 5, NULL, &outcome, &err), 0);
	assert_int_equal(outcome.entry->seq, 5);
	assert_int_equal(outcome.entry->already_known, 3);
	assert_int_equal(outcome.entry->classes[0].samples, 2);
	assert_false(outcome.entry->classes[0].is_new);
	change_outcome_deinit(&outcome);
	assert_int_equal(teach("mug", 103, 5, NULL, &outcome, &err), 0);
	assert_int_equal(outcome.entry->n_classes, 0);
	assert_int_equal(outcome.entry->seq, 5);
	assert_false(outcome.written); /* so its key is not kept */
	change_outcome_deinit(&outcome);
	assert_same_after_reopening();
	taught("a", 0, 2);
	taught("b", 0, 2);
	assert_int_equal(teach("c", 0, 2, NULL, &outcome, &err), -ERR_RESOURCE_EXHAUSTED); /* max_classes 4 */
	assert_int_equal(err.limit, 4);
	assert_same_after_reopening();
}

static void test_guards(void **state)
{
	(void)state;
	struct change_outcome outcome;
	struct err err;
	static const uint8_t key[STORE_KEY_BYTES] = {1, 2, 3};
	struct change_guard guard = {.key = key}, old = {.has_if_seq = true, .if_seq = 0}, dry = {.dry_run = true};
	char *before, *after;
	assert_int_equal(teach("mug", 0, EACH, &guard, &outcome, &err), 0);
	assert_false(outcome.repeated);
	assert_true(outcome.written);
	change_outcome_deinit(&outcome);
	before = seen();
	assert_int_equal(teach("mug", 50, EACH, &guard, &outcome, &err), 0);
	assert_true(outcome.repeated);
	assert_false(outcome.written);
	assert_int_equal(outcome.entry->seq, 1);
	assert_int_equal(outcome.entry->classes[0].samples, EACH);
	assert_int_equal(outcome.entry->classes[0].label.len_bytes, 3);
	change_outcome_deinit(&outcome);
	assert_int_equal(teach("cup", 0, EACH, &old, &outcome, &err), -ERR_ABORTED);
	assert_int_equal(teach("cup", 0, EACH, &dry, &outcome, &err), 0);
	assert_int_equal(outcome.entry->seq, 0);
	assert_false(outcome.written);
	assert_int_equal(outcome.entry->classes[0].samples, EACH);
	change_outcome_deinit(&outcome);
	after = seen();
	assert_string_equal(before, after);
	free(before);
	free(after);
	assert_int_equal(learned_undo(learned, &(struct change_guard){0}, &outcome, &err), 0);
	change_outcome_deinit(&outcome);
	assert_int_equal(learned_find_key(learned, key, &outcome, &err), 0);
	assert_true(outcome.undone);
	change_outcome_deinit(&outcome);
	static const uint8_t other[STORE_KEY_BYTES] = {9};
	assert_int_equal(learned_find_key(learned, other, &outcome, &err), 1);
}

static void test_forget_rename_undo(void **state)
{
	(void)state;
	static const struct change_guard plain;
	struct change_outcome outcome;
	struct err err;
	struct label mug = label_of("mug"), cup = label_of("cup"), hat = label_of("hat"), none = {0};
	taught("mug", 0, EACH);
	taught("cup", 0, EACH);
	char *two = seen();
	assert_int_equal(learned_rename(learned, &mug, &cup, &plain, &outcome, &err), -ERR_ALREADY_EXISTS);
	assert_int_equal(learned_rename(learned, &hat, &cup, &plain, &outcome, &err), -ERR_NOT_FOUND);
	assert_int_equal(learned_rename(learned, &mug, &hat, &plain, &outcome, &err), 0); /* 3 */
	change_outcome_deinit(&outcome);
	assert_same_after_reopening();
	assert_int_equal(learned_forget(learned, &mug, &plain, &outcome, &err), -ERR_NOT_FOUND);
	assert_int_equal(learned_forget(learned, &none, &plain, &outcome, &err), -ERR_NOT_FOUND);
	assert_int_equal(learned_forget(learned, &hat, &plain, &outcome, &err), 0); /* 4 */
	assert_int_equal(outcome.entry->classes[0].label.len_bytes, 3);
	change_outcome_deinit(&outcome);
	assert_same_after_reopening();
	assert_int_equal(learned_undo(learned, &plain, &outcome, &err), 0); /* 5: hat is back */
	assert_int_equal(outcome.entry->restored_seq, 3);
	assert_int_equal(outcome.undid->op, STORE_OP_FORGET);
	change_outcome_deinit(&outcome);
	assert_same_after_reopening();
	assert_int_equal(learned_undo(learned, &plain, &outcome, &err), 0); /* 6: it is called mug again */
	assert_int_equal(outcome.undid->op, STORE_OP_RENAME);
	change_outcome_deinit(&outcome);
	char *again = seen();
	/* Same classes, lessons and answers as after two lessons; the history has grown. */
	assert_non_null(strstr(again, "class mug"));
	assert_string_equal(strstr(two, "mug: known"), strstr(again, "mug: known"));
	free(two);
	free(again);
	assert_same_after_reopening();
	assert_int_equal(learned_rollback(learned, 4, &plain, &outcome, &err), 0); /* 7: the undos are undone */
	change_outcome_deinit(&outcome);
	struct snapshot *s = learned_snapshot(learned);
	assert_int_equal(s->n_classes, 1);
	snapshot_unref(s);
	assert_same_after_reopening();
	assert_int_equal(learned_rollback(learned, 0, &plain, &outcome, &err), 0);
	change_outcome_deinit(&outcome);
	assert_int_equal(learned_rollback(learned, 99, &plain, &outcome, &err), -ERR_NOT_FOUND);
	assert_same_after_reopening();
	/* A class taught anew under an old name is another class. */
	taught("mug", 0, EACH);
	assert_same_after_reopening();
}

static const char *const labels[] = {"mug", "cup", "hat", ""};

/* One change drawn at random; those that are not possible now change nothing. */
static void change_at_random(uint64_t *random)
{
	static const struct change_guard plain;
	static uint32_t number;
	struct change_outcome outcome;
	struct err err;
	struct label a = label_of(labels[splitmix64_below(random, 4)]),
		     b = label_of(labels[splitmix64_below(random, 3)]);
	char text[8] = "";
	int r = 1;
	memcpy(text, a.bytes, a.len_bytes);
	struct snapshot *s = learned_snapshot(learned);
	uint64_t seq = s->seq;
	snapshot_unref(s);
	switch (splitmix64_below(random, 8)) {
	case 0:
	case 1:
	case 2:
		r = teach(text, number += 3, 3, NULL, &outcome, &err);
		break;
	case 3:
		r = a.len_bytes ? learned_rename(learned, &a, &b, &plain, &outcome, &err) : 1;
		break;
	case 4:
		r = learned_forget(learned, &a, &plain, &outcome, &err);
		break;
	case 5:
	case 6:
		r = learned_undo(learned, &plain, &outcome, &err);
		break;
	case 7:
		r = learned_rollback(learned, splitmix64_below(random, (uint32_t)seq + 1), &plain, &outcome, &err);
		break;
	}
	if (r == 0)
		change_outcome_deinit(&outcome);
}

/* An undo or rollback reads what it touched alone: memory is still what the disk says. */
static void test_any_sequence_of_changes(void **state)
{
	(void)state;
	enum { ROUNDS = 60, AT_MOST = 12 };
	uint64_t random = 11;
	for (int round = 0; round < ROUNDS; round++) {
		for (uint64_t n = 1 + splitmix64_below(&random, AT_MOST); n > 0; n--)
			change_at_random(&random);
		assert_same_after_reopening();
	}
}

static size_t classes_now(void)
{
	struct snapshot *s = learned_snapshot(learned);
	size_t n = s->n_classes;
	snapshot_unref(s);
	return n;
}

static void rename_to(const char *from, const char *to, int want)
{
	static const struct change_guard plain;
	struct change_outcome outcome;
	struct err err;
	struct label old = label_of(from), new = label_of(to);
	assert_int_equal(learned_rename(learned, &old, &new, &plain, &outcome, &err), want);
	if (want == 0)
		change_outcome_deinit(&outcome);
}

/* A state of the time before the rule of labels (made here by renaming, which leaves the rule to the wire): every class
 * is there, is found, can be taught and renamed, and no new class gets such a label. */
static void test_old_labels(void **state)
{
	(void)state;
	static const char *const old[] = {"\u202Etxet", "unknown", "cafe\u0301"};
	for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
		taught("mug", 0, EACH);
		rename_to("mug", old[i], 0);
		assert_same_after_reopening();
	}
	assert_int_equal(classes_now(), 3);
	for (size_t i = 0; i < sizeof old / sizeof *old; i++)
		taught(old[i], 50, EACH);
	assert_int_equal(classes_now(), 3);
	/* NFC finds what is kept as NFD, beside which no other can be made; then it may be spelt anew. */
	taught("caf\u00E9", 100, EACH);
	assert_int_equal(classes_now(), 3);
	taught("mug", 0, EACH);
	rename_to("mug", "caf\u00E9", -ERR_ALREADY_EXISTS);
	rename_to("cafe\u0301", "caf\u00E9", 0);
	rename_to("caf\u00E9", "caf\u00E9", -ERR_ALREADY_EXISTS);
	struct snapshot *s = learned_snapshot(learned);
	struct label nfc = label_of("caf\u00E9"), nfd = label_of("cafe\u0301");
	assert_ptr_equal(snapshot_find(s, &nfc), snapshot_find(s, &nfd));
	assert_null(snapshot_find_exact(s, &nfd));
	snapshot_unref(s);
	rename_to("unknown", "cup", 0);
	struct change_outcome outcome;
	struct err err;
	assert_int_equal(teach("unknown", 0, EACH, NULL, &outcome, &err), -ERR_INVALID_ARGUMENT);
	assert_string_equal(err.field, "label");
	assert_same_after_reopening();
}

static void assert_key_names(const uint8_t *key, const char *label)
{
	struct change_outcome outcome;
	struct err err;
	struct label want = label_of(label);
	assert_int_equal(learned_find_key(learned, key, &outcome, &err), 0);
	assert_true(outcome.repeated && outcome.entry->n_classes == 1);
	assert_true(label_equal(&outcome.entry->classes[0].label, &want));
	change_outcome_deinit(&outcome);
}

/* Whatever became of the class since: a result is told again as it was told first. */
static void test_a_key_names_the_class_of_its_time(void **state)
{
	static const uint8_t first[STORE_KEY_BYTES] = {1}, second[STORE_KEY_BYTES] = {2};
	const struct change_guard guards[] = {{.key = first}, {.key = second}, {.key = NULL}};
	struct change_outcome outcome;
	struct err err;
	(void)state;
	assert_int_equal(teach("mug", 0, EACH, &guards[0], &outcome, &err), 0);
	change_outcome_deinit(&outcome);
	assert_key_names(first, "mug");
	rename_to("mug", "cup", 0);
	assert_int_equal(teach("cup", 50, EACH, &guards[1], &outcome, &err), 0);
	change_outcome_deinit(&outcome);
	assert_key_names(first, "mug");
	assert_key_names(second, "cup");
	struct label cup = label_of("cup");
	assert_int_equal(learned_forget(learned, &cup, &guards[2], &outcome, &err), 0);
	change_outcome_deinit(&outcome);
	assert_key_names(first, "mug");
	assert_key_names(second, "cup");
	for (size_t i = 0; i < 3; i++) { /* the forgetting, the second lesson, the renaming: it is mug again */
		assert_int_equal(learned_undo(learned, &guards[2], &outcome, &err), 0);
		change_outcome_deinit(&outcome);
		assert_key_names(first, "mug");
		assert_key_names(second, "cup");
	}
	assert_same_after_reopening();
	assert_key_names(second, "cup");
}

/* Two classes of one key, from a time without keys: each is found by its own bytes, another spelling finds the first. */
static void test_twins(void **state)
{
	(void)state;
	struct class_entry nfd = {.id = 1, .label = label_of("cafe\u0301")},
			   nfc = {.id = 2, .label = label_of("caf\u00E9")};
	label_key(&nfd.label, &nfd.key);
	label_key(&nfc.label, &nfc.key);
	const struct class_entry *by_label[] = {&nfd, &nfc}; /* "e" is smaller than the first byte of U+00E9 */
	const struct snapshot twins = {.n_classes = 2, .classes = by_label, .by_key = by_label};
	struct label joined = label_of("caf\u00E9\u200D"), tea = label_of("th\u00E9");
	assert_true(label_equal(&nfd.key, &nfc.key));
	assert_ptr_equal(snapshot_find(&twins, &nfd.label), &nfd);
	assert_ptr_equal(snapshot_find(&twins, &nfc.label), &nfc);
	assert_ptr_equal(snapshot_find(&twins, &joined), &nfd);
	assert_null(snapshot_find(&twins, &tea));
}

static size_t kept(const char *label)
{
	struct label asked = label_of(label);
	struct snapshot *s = learned_snapshot(learned);
	const struct class_entry *class = snapshot_find(s, &asked);
	size_t n = 0;
	for (const struct class_lesson *l = class->newest; l; l = l->before)
		n++;
	assert_int_equal(n, class->newest->n_kept);
	snapshot_unref(s);
	return n;
}

/* However often a class is taught, memory has its newest lessons and the sums, and an undo finds those before again. */
static void test_lessons_in_memory_are_bounded(void **state)
{
	(void)state;
	enum { MANY = 3 * CLASS_LESSONS_KEPT + 7 };
	static const struct change_guard plain;
	struct change_outcome outcome;
	struct err err;
	for (uint32_t i = 0; i < MANY; i++) {
		taught("mug", i, 1);
		assert_true(kept("mug") <= CLASS_LESSONS_MAX);
	}
	assert_same_after_reopening();
	assert_int_equal(kept("mug"), CLASS_LESSONS_MAX);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(learned_undo(learned, &plain, &outcome, &err), 0);
		change_outcome_deinit(&outcome);
		assert_int_equal(kept("mug"), CLASS_LESSONS_MAX - 1 - i);
	}
	assert_same_after_reopening();
	assert_int_equal(learned_rollback(learned, 20, &plain, &outcome, &err), 0);
	change_outcome_deinit(&outcome);
	assert_int_equal(kept("mug"), 20);
	assert_same_after_reopening();
	assert_int_equal(learned_rollback(learned, MANY, &plain, &outcome, &err), 0);
	change_outcome_deinit(&outcome);
	assert_int_equal(kept("mug"), CLASS_LESSONS_MAX);
	assert_same_after_reopening();
}

/* Any one page of the file broken: the daemon starts all the same, says so, and leaves the file as it is. */
static void test_broken_pages(void **state)
{
	(void)state;
	enum { PAGE = 4096 };
	char path[128];
	static uint8_t page[PAGE], garbage[PAGE], now[PAGE];
	taught("mug", 0, EACH);
	taught("cup", 0, EACH);
	learned_close(learned);
	snprintf(path, sizeof path, "%s/state-0707070707070707.db", dir);
	memset(garbage, 0x5A, sizeof garbage);
	for (long at = PAGE;; at += PAGE) {
		FILE *file = fopen(path, "r+b");
		assert_non_null(file);
		fseek(file, at, SEEK_SET);
		size_t n = fread(page, 1, PAGE, file);
		if (n == 0) {
			fclose(file);
			break;
		}
		fseek(file, at, SEEK_SET);
		fwrite(garbage, 1, n, file);
		fclose(file);
		open_state(); /* fails the test where it fails */
		struct snapshot *s = learned_snapshot(learned);
		assert_true(s->n_reasons > 0 || s->n_classes == 2);
		snapshot_unref(s);
		learned_close(learned);
		file = fopen(path, "r+b");
		fseek(file, at, SEEK_SET);
		assert_int_equal(fread(now, 1, n, file), n);
		assert_memory_equal(now, garbage, n);
		fseek(file, at, SEEK_SET);
		fwrite(page, 1, n, file);
		fclose(file);
	}
	open_state();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_teach, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guards, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forget_rename_undo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_labels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_key_names_the_class_of_its_time, setup, teardown),
		cmocka_unit_test(test_twins),
		cmocka_unit_test_setup_teardown(test_any_sequence_of_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lessons_in_memory_are_bounded, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
