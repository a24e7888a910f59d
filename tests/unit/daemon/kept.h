/* SPDX-License-Identifier: MIT */
/* tests/unit/daemon/kept.h: a real store with lessons of drawn features, for tests of what is made of the kept pictures: changes
 * of every kind, at random, and answers whose bits are compared. Include it behind cmocka.h. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "daemon/state/learned_inside.h"
#include "daemon/state/teach.h"
#include "lib/base/random.h"
#include "tests/unit/daemon/folder.h"

enum { D = 24, KEPT = 8, LESSON_MAX = 250, ASKED = 12 };

static char dir[64];
static struct config config;
static struct learned *learned;
static const struct change_guard plain;
static bool bursts; /* every three pictures one after the other are near-duplicates */

static inline void open_state(void)
{
	struct learned_options options = {.config = &config,
		.model_name = "tiny",
		.n_features = D,
		.shape = {.n_groups = 2, .width = {16, 8}, .factor = {1.5, 1}},
		.near = 0.97,
		.scene = {.share = 0.75, .cosine = 0.5}};
	struct err err;
	memset(options.feature_id, 7, sizeof options.feature_id);
	if (learned_open(&options, &learned, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void reopen(void)
{
	learned_close(learned);
	open_state();
}

static inline int setup(void **state)
{
	(void)state;
	/* Memory: what is tested is not the speed of the disk under /tmp. */
	strcpy(dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/bnnd-ranking-XXXXXX" : "/tmp/bnnd-ranking-XXXXXX");
	assert_non_null(mkdtemp(dir));
	config = (struct config){
		.state_dir = dir, .keep = CONFIG_KEEP_FEATURES, .max_classes = 4000, .samples_per_class = KEPT};
	learn_settings_preset(LEARN_DEFAULT, &config.learner);
	config.learner.epochs = 1;
	config.learner.method = LEARN_METRIC;
	bursts = false;
	open_state();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	learned_close(learned);
	return remove_folder(dir);
}

/* ---- changes ---- */

static inline struct label label_of(unsigned class)
{
	struct label label = {.len_bytes = 0}; /* class 0: none */
	char text[24];
	if (class > 0)
		label.len_bytes = (uint8_t)snprintf(text, sizeof text, "class %u", class);
	memcpy(label.bytes, text, label.len_bytes);
	return label;
}

/* Equal numbers are equal pictures; those of a class lie around a point. */
static inline void picture(unsigned class, uint32_t number, int8_t *ret_q, uint8_t *ret_digest)
{
	const uint32_t view = bursts ? number / 3 : number;
	uint64_t point = class * UINT64_C(7919) + 1, noise = view * UINT64_C(104729) + class;
	memset(ret_digest, 0, DIGEST_BYTES);
	memcpy(ret_digest, &class, sizeof class);
	memcpy(ret_digest + 8, &number, sizeof number);
	for (size_t i = 0; i < D; i++)
		ret_q[i] = (int8_t)((int)splitmix64_below(&point, 101) - 50 + (int)splitmix64_below(&noise, 61) - 30);
}

/* One lesson of n_classes classes from `first` on, `each` pictures a class. */
static inline int teach(unsigned first, unsigned n_classes, uint32_t from, uint32_t each)
{
	static struct teach_class classes[LESSON_MAX];
	static int8_t q[LESSON_MAX][D];
	static uint32_t y[LESSON_MAX];
	static uint8_t digests[LESSON_MAX][DIGEST_BYTES];
	struct change_outcome outcome;
	size_t n = 0;
	for (unsigned c = 0; c < n_classes; c++) {
		classes[c].label = label_of(first + c);
		for (uint32_t i = 0; i < each; i++, n++) {
			assert_true(n < LESSON_MAX);
			picture(first + c, from + i, q[n], digests[n]);
			y[n] = c;
		}
	}
	struct teach_work work = {.n_classes = n_classes,
		.classes = classes,
		.n = n,
		.q = q[0],
		.y = y,
		.digests = (const uint8_t(*)[DIGEST_BYTES])digests};
	struct err err;
	int r = learned_teach(learned, &work, &plain, NULL, NULL, &outcome, &err);
	if (r == 0)
		change_outcome_deinit(&outcome);
	return r;
}

static inline void taught(unsigned first, unsigned n_classes, uint32_t from, uint32_t each)
{
	assert_int_equal(teach(first, n_classes, from, each), 0);
}

enum change { FORGET, RENAME, UNDO, ROLLBACK };

/* 0, or why it was not possible. a, b: classes, or in a the seq. */
static inline int changed(enum change what, unsigned a, unsigned b)
{
	struct label old = label_of(a), new = label_of(b);
	struct change_outcome outcome;
	struct err err;
	int r = what == FORGET   ? learned_forget(learned, &old, &plain, &outcome, &err)
		: what == RENAME ? learned_rename(learned, &old, &new, &plain, &outcome, &err)
		: what == UNDO   ? learned_undo(learned, &plain, &outcome, &err)
				 : learned_rollback(learned, a, &plain, &outcome, &err);
	if (r == 0)
		change_outcome_deinit(&outcome);
	return r;
}

/* ---- what is checked ---- */

/* Answers to pictures of known and other classes, all their bits. */
static inline void ask(struct learn_answer ret[ASKED])
{
	const struct learn_answer_constants constants = {.temperature = 10,
		.pair_cosine = 0.3,
		.deviations = 2,
		.deviation = 0.1,
		.deviation_weight = 4,
		.metric_temperature = 100};
	struct snapshot *s = learned_snapshot(learned);
	for (unsigned i = 0; i < ASKED; i++) {
		int8_t q[D];
		uint8_t digest[DIGEST_BYTES];
		picture(i, 1000000, q, digest);
		memset(&ret[i], 0, sizeof ret[i]);
		learn_head_answer(s->head, q, &constants, &ret[i]);
	}
	snapshot_unref(s);
}

static inline void assert_same_answers(const struct learn_answer before[ASKED])
{
	struct learn_answer now[ASKED];
	ask(now);
	for (size_t i = 0; i < ASKED; i++) {
		assert_int_equal(now[i].n_top, before[i].n_top);
		assert_true(now[i].known == before[i].known && now[i].passes == before[i].passes);
		assert_true(now[i].unknown_score == before[i].unknown_score && now[i].threshold == before[i].threshold);
		for (size_t k = 0; k < now[i].n_top; k++)
			assert_true(now[i].top[k].id == before[i].top[k].id &&
				    now[i].top[k].score == before[i].top[k].score &&
				    now[i].top[k].cosine == before[i].top[k].cosine);
	}
}

static inline uint64_t seq_now(void)
{
	return store_seq(learned->store);
}

static inline void spoil(const char *sql)
{
	char path[96];
	sqlite3 *db;
	learned_close(learned);
	snprintf(path, sizeof path, "%s/state-0707070707070707.db", dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	open_state();
}

static inline void change_at_random(uint64_t *random)
{
	static uint32_t number;
	const unsigned a = (unsigned)splitmix64_below(random, 5), b = 1 + (unsigned)splitmix64_below(random, 5);
	switch (splitmix64_below(random, 8)) {
	case 0:
	case 1:
	case 2: /* more than are kept, at times */
		taught(a, 1 + (unsigned)splitmix64_below(random, 3), number += 20,
			1 + (uint32_t)splitmix64_below(random, KEPT + 4));
		break;
	case 3:
		(void)(a && changed(RENAME, a, b));
		break;
	case 4:
		(void)changed(FORGET, a, 0);
		break;
	case 5:
	case 6:
		(void)changed(UNDO, 0, 0);
		break;
	case 7:
		assert_int_equal(changed(ROLLBACK, (unsigned)splitmix64_below(random, seq_now() + 1), 0), 0);
		break;
	}
}
