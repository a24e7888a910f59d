/* SPDX-License-Identifier: MIT */
/* lib/store/store.h: the durable state of one backbone: changes and items in one SQLite file.
 *
 * Every mutation appends one change; seq never goes back. The state at s is every item with born <= s < died. The store
 * keeps rows and never computes: what an item's bytes mean is the caller's. One connection, one thread at a time.
 * Durable, then visible, then acknowledged: when store_commit has returned 0, a power cut loses nothing.
 *
 *   DIR/state-<first 16 hex of feature_id>.db   WAL, synchronous=FULL, locking_mode=EXCLUSIVE
 *   DIR/current                                 which of them was changed last, and with which model
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum {
	STORE_KEY_BYTES = 16,
	STORE_FEATURE_ID_BYTES = 32,
	STORE_FORMAT_MAX_BYTES = 64,
	STORE_ITEM_MAX_BYTES = 1 << 20,
	STORE_RESULT_MAX_BYTES = 60 << 10,
	STORE_KEYS_KEPT = 100000, /* a repeated key older than that is a new request */
};

/* Both stand in the file: a number that was given keeps its meaning. */
enum store_kind { STORE_UNREADABLE = 0, STORE_ROW = 1, STORE_LABEL = 2, STORE_SAMPLE = 3, STORE_NOTE = 4 };
const char *store_kind_name(enum store_kind kind); /* "row", "label", ...; "item" for any other */
enum store_op {
	STORE_OP_LEARN = 1,
	STORE_OP_FORGET = 2,
	STORE_OP_RENAME = 3,
	STORE_OP_UNDO = 4,
	STORE_OP_ROLLBACK = 5,
};
const char *store_op_name(enum store_op op); /* "learn", "forget", ... */

/* How much of the store works. */
enum store_mode {
	STORE_READ_WRITE,
	STORE_READ_ONLY, /* commits are ERR_UNAVAILABLE: the directory cannot be written and a copy in RAM is served, or
			  * a write or sync failed (then until restart), the file is no longer at its path, or it
			  * contradicts itself and a change could spoil more of it */
	STORE_CLOSED,    /* not ours, newer, locked or unreadable: nothing is served, nothing is touched */
};

struct store;

struct store_options {
	const char *dir; /* created with 0700; its parent must exist */
	uint8_t feature_id[STORE_FEATURE_ID_BYTES];
	const char *model_name; /* written to `current` with the first change; below 64 bytes */
	const char *format;     /* of rows: "cwr2 8/16 d=512"; a file with other rows is refused */
	const char *old_format; /* rows that are taken, too; NULL: none */
};

/* Opens or creates the state file. 0 with *ret_store also for STORE_READ_ONLY and STORE_CLOSED: ask store_mode and
 * store_why (one sentence, "" when all is well). A row format other than options->format: ERR_FAILED_PRECONDITION,
 * naming both. ERR_NOT_FOUND: neither the directory nor its parent exists. The file is created at the first commit (the
 * directory, which is locked while it is empty, at once, and a directory that stayed empty goes with store_close);
 * opening, reading and closing write nothing, so an idle daemon writes nothing. Everything that is given is copied. */
int store_open(const struct store_options *options, struct store **ret_store, struct err *err);
/* Carries the -wal into the db when this store committed; nothing depends on it. NULL allowed. */
void store_close(struct store *store);
/* Both may change in store_commit and store_restore (a failed write) and in every read (a broken file). */
enum store_mode store_mode(const struct store *store);
const char *store_why(const struct store *store);
/* What of the past was found damaged or lost at opening: old versions of items, changes, the end of a -wal. One sentence,
 * "" when all is well. Stops nothing. */
const char *store_flaw(const struct store *store);
/* Is the file that is open still the one at its path, as we left it? Looked at before each change, and here. True: it no
 * longer is, and mode and why say so. */
bool store_look(struct store *store);
/* May what stands in the way of changes pass by itself? Then store_try_again, now and then: STORE_E_OPENED: the state was
 * opened anew, everything that was read of it is void; 0: mode and why may have changed, or nothing. */
bool store_mends(const struct store *store);
enum { STORE_E_OPENED = 2 };
int store_try_again(struct store *store, struct err *err);
uint64_t store_seq(const struct store *store);           /* of the newest change, 0: none */
uint32_t store_class_id_next(const struct store *store); /* never used before; 0 is `none` */

struct store_item {
	enum store_kind kind;
	uint32_t class_id;
	uint64_t born;
	const char *format;
	const uint8_t *data; /* borrowed until the callback returns */
	size_t len_bytes;
};
/* A class whose newest row or label failed its CRC and fell back (or was dropped: restored_seq 0). Of an item that does
 * not even say its kind and class: STORE_UNREADABLE and class_id 0. */
struct store_damage {
	uint32_t class_id;
	enum store_kind kind;
	uint64_t bad_seq, restored_seq;
};
typedef int store_item_fn(void *ctx, const struct store_item *item); /* non-zero stops and is passed up */
typedef void store_damage_fn(void *ctx, const struct store_damage *damage);

/* Every living item of the newest state, by class id, then kind, then age. Rows and labels are CRC-checked; a bad one is
 * replaced by the class's previous good version and reported (before its class is given), and a class without any is left
 * out whole; a bad sample or note is left out and reported.
 * This and every other read: a file that is broken below the items (ERR_DATA_LOSS) or a disk that cannot be read
 * (ERR_UNAVAILABLE): the store is STORE_CLOSED from then on, forget what fn was given. */
int store_load(struct store *store, store_item_fn *fn, store_damage_fn *damage, void *ctx, struct err *err);
/* The same of the classes alone that the change seq, the newest, touched; and which they are, those that died with it,
 * too (once or twice each, in any order). The cost is that of the change, not of all that is known. */
int store_load_touched(
	struct store *store, uint64_t seq, store_item_fn *fn, store_damage_fn *damage, void *ctx, struct err *err);
typedef void store_class_fn(void *ctx, uint32_t class_id);
int store_touched(struct store *store, uint64_t seq, store_class_fn *fn, void *ctx, struct err *err);

/* The kept samples alone, to keep sums of them: those of the state at seq, the newest or an older one, as STORE_CAME; samples
 * of a class come one after the other, but for those that died since, which come before. Bad ones are left out. */
enum store_step { STORE_WENT, STORE_CAME };
typedef int store_sample_fn(void *ctx, enum store_step step, const struct store_item *item); /* as store_item_fn */
int store_samples(struct store *store, uint64_t seq, store_sample_fn *fn, void *ctx, struct err *err);
/* Those of one class of the newest state, the oldest first. */
int store_class_samples(struct store *store, uint32_t class_id, store_sample_fn *fn, void *ctx, struct err *err);
/* From the state at seq - 1 to that at seq: the samples that the change let die, then those that it brought. An item that
 * went and is bad now, whatever it was, is STORE_UNREADABLE: nothing tells whether it was among those given before. */
int store_samples_step(struct store *store, uint64_t seq, store_sample_fn *fn, void *ctx, struct err *err);

/* One mutation. */
struct store_put { /* a new item; a living row or label of the same class dies with this change */
	enum store_kind kind;
	uint32_t class_id;
	const uint8_t *data;
	size_t len_bytes;
	const char *format;
};
struct store_change {
	enum store_op op;
	int64_t time_ms;       /* UTC, since 1970 */
	const uint8_t *key;    /* STORE_KEY_BYTES, or NULL: none */
	const uint8_t *result; /* the caller's encoding of the answer, given back for a repeated key and in history */
	size_t result_bytes;
	const struct store_put *puts;
	size_t n_puts;
	const uint32_t *drop_classes; /* all living items of these classes die (forget) */
	size_t n_drop_classes;
	uint32_t
		samples_per_class; /* the oldest living samples of a class above that die with this change; 0: no limit */
};

/* Positive outcomes of store_commit and store_restore. */
enum {
	STORE_E_KEY_KNOWN = 1, /* nothing written: store_find_key has the first result */
};

/* One transaction; on return of 0 it is on the disk and *ret_seq is its seq, always store_seq() + 1 (a result need not
 * hold it). Errors: ERR_RESOURCE_EXHAUSTED (disk full, no memory; the next one is tried again and store_why says so until
 * it works), ERR_UNAVAILABLE (likewise, as long as the mode is read-write: no descriptors left, no permission; else none
 * will work, by store_mends until restart or not). */
int store_commit(struct store *store, const struct store_change *change, uint64_t *ret_seq, struct err *err);

/* undo and rollback: one change that makes the living items equal to those at target_seq (items get new births).
 * op is STORE_OP_UNDO or STORE_OP_ROLLBACK. ERR_NOT_FOUND: target_seq is above the newest or was folded. */
int store_restore(struct store *store, uint64_t target_seq, const struct store_change *change, uint64_t *ret_seq,
	struct err *err);

/* Where an undo of the newest change leads: seq - 1, for an undo that restored t it is undo_to(t). Returns 0 with
 * *ret_target, or ERR_FAILED_PRECONDITION "nothing to undo", or ERR_DATA_LOSS: the change is damaged. */
int store_undo_target(struct store *store, uint64_t *ret_target, struct err *err);

/* Every label item ever, living or dead, the newest first: so that a history can name a class that is forgotten now, and
 * stop (fn) when it has what it wants. Only kind, class_id, born, data and len_bytes are filled. Bad ones are left out. */
int store_labels(struct store *store, store_item_fn *fn, void *ctx, struct err *err);
/* The living label of a class alone, if it has one that is good: the one that it has had since its birth. */
int store_label(struct store *store, uint32_t class_id, store_item_fn *fn, void *ctx, struct err *err);

struct store_entry { /* of the history */
	uint64_t seq;
	int64_t time_ms;
	enum store_op op;
	bool undone;           /* not in force: an undo or rollback went back behind it */
	bool damaged;          /* its CRC is wrong: what it did is not known, op and restored may be 0 */
	uint64_t restored;     /* undo, rollback: the seq whose state it made again */
	const uint8_t *result; /* NULL and 0 when it is damaged */
	size_t result_bytes;
};
/* Whose state the change was made of: the seqs that are in force lie along these, down to 0. Always below its own. */
uint64_t store_entry_before(const struct store_entry *entry);
typedef int store_entry_fn(void *ctx, const struct store_entry *entry);
/* The newest first, below before_seq (0: from the newest), at most n. */
int store_history(struct store *store, uint64_t before_seq, size_t n, store_entry_fn *fn, void *ctx, struct err *err);

/* The lessons (STORE_OP_LEARN) among them alone, all of them, until fn stops. */
int store_lessons(struct store *store, store_entry_fn *fn, void *ctx, struct err *err);

/* Positive outcome 1: no such key. Else fn is called once. ERR_UNAVAILABLE: the file is no longer at its path. */
int store_find_key(
	struct store *store, const uint8_t key[STORE_KEY_BYTES], store_entry_fn *fn, void *ctx, struct err *err);
/* Every kept key (for an index in memory), of the STORE_KEYS_KEPT newest changes, the oldest first. */
typedef void store_key_fn(void *ctx, const uint8_t key[STORE_KEY_BYTES], uint64_t seq);
int store_keys(struct store *store, store_key_fn *fn, void *ctx, struct err *err);

/* Bytes written and syncs since opening, counted where SQLite and the store write and sync; for bench and stats. */
struct store_io {
	uint64_t bytes_written, syncs;
};
void store_io(const struct store *store, struct store_io *ret_io);

/* `current`. Positive outcomes of store_current_read. */
enum {
	STORE_E_NO_CURRENT = 1,
	STORE_E_BAD_CURRENT, /* there is one, which cannot be read or is damaged */
};
struct store_current {
	uint8_t feature_id[STORE_FEATURE_ID_BYTES];
	char model_name[64];
};
int store_current_read(const char *dir, struct store_current *ret_current);
/* How many classes the state of another backbone has, without changing it; 0 when it cannot be told. Not for a state that
 * this process has open: looking at a file and closing it drops the process's lock. So does store_check. */
uint32_t store_peek_classes(const char *dir, const uint8_t feature_id[STORE_FEATURE_ID_BYTES]);

/* Offline check for bnnd --check-state: every file, every CRC, SQLite's own check; one line a finding to fn, and one that
 * says what each file holds; changes nothing. Returns 0 all well, positive 1: findings, ERR_NOT_FOUND: no state there. */
enum store_line { STORE_SAYS, STORE_FINDS };
typedef void store_line_fn(void *ctx, enum store_line line, const char *sentence);
int store_check(const char *dir, store_line_fn *fn, void *ctx, struct err *err);
