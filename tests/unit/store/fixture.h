/* SPDX-License-Identifier: MIT */
/* tests/unit/store/fixture.h: a state directory of its own for a test, changes in few words, and the state as text. */
#pragma once

#include "lib/store/store.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define FORMAT "cwr1 8/16 d=4"

struct fixture {
	char dir[96];
	struct store_options options;
	struct store *store;
};

extern const uint8_t feature_a[STORE_FEATURE_ID_BYTES], feature_b[STORE_FEATURE_ID_BYTES];

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
#define fixture_unit_test(test) cmocka_unit_test_setup_teardown(test, fixture_set_up, fixture_tear_down)
/* Closes if open, opens again; the store's answer. */
int fixture_open(struct fixture *fixture, struct err *err);
void fixture_reopen(struct fixture *fixture); /* must be read-write */
void fixture_close(struct fixture *fixture);

char *path_in(const struct fixture *fixture, const char *name); /* free it */
char *db_path(const struct fixture *fixture);
char *wal_path(const struct fixture *fixture);
void write_file(const char *path, const void *data, size_t n);
uint8_t *read_file(const char *path, size_t *ret_n); /* NULL: there is none; free it */
void copy_file(const char *from, const char *to);
/* Name, size, times, inode and content of everything in the directory. */
char *dir_fingerprint(const char *dir);
/* SQL run on a database file behind the store's back, through the real VFS. */
void run_sql(const char *path, const char *sql);

/* A learn change of one class: row, label (NULL: none) and samples, each one text. Returns its seq. */
int try_learn(struct store *store, uint32_t class_id, const char *row, const char *label, const char *samples,
	const char *key, struct err *err);
uint64_t learn(struct store *store, uint32_t class_id, const char *row, const char *label, const char *samples);
uint64_t forget(struct store *store, uint32_t class_id);
uint64_t undo(struct store *store);
uint64_t rollback(struct store *store, uint64_t target);

/* "1r=A 1l=cup 1s=x 1s=y 2r=B": living items by class, kind and age. Damage is appended as "!1r@2>1". free it. */
char *state_text(struct store *store);
/* "5u>3 4 3* 2* 1": seqs, the newest first, u/b and what it restored, * for undone. free it. */
char *history_text(struct store *store);
void assert_state(struct store *store, const char *expected);
void assert_history(struct store *store, const char *expected);

/* Three lessons that make taught_state; unclean: as a kill leaves it, the third in the -wal alone. */
extern const char taught_state[];
void teach(struct fixture *fixture, bool unclean);
void spoil_bytes(const char *path, size_t at, size_t n, uint8_t value);
void print_finding(void *file, enum store_line line, const char *sentence); /* for store_check: a line to a FILE */
