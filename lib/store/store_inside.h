/* SPDX-License-Identifier: MIT */
/* lib/store/store_inside.h: what the files of lib/store share. Nobody else includes it.
 *
 *   open.c     is the file there, ours and free? -> read-write, read-only or closed; again.c: trying again
 *   mode.c     how it is served just now, and why
 *   place.c    is the file that is open still the one at its path? fresh.c: the directory before there is a file
 *   schema.c   the tables, a new file, the checks of an opened one
 *   file.c     whole files written and synced, who holds a lock
 *   image.c    db and -wal read into RAM as one database, without touching either
 *   counted.c  bytes and syncs
 *   commit.c   the one transaction; restore.c: undo and rollback
 *   verify.c   is what the file says of itself true?
 *   read.c     a read from its beginning to its end: load.c, samples.c, history.c
 *   current.c, check.c: as named
 */
#pragma once

#include <sqlite3.h>
#include <sys/types.h>
#include <time.h>

#include "lib/store/store.h"

enum {
	STORE_APPLICATION_ID = 0x626e6e64, /* "bnnd" */
	STORE_SCHEMA_VERSION = 1,
	STORE_PAGE_BYTES = 4096,
	SQLITE_HEADER_BYTES = 100, /* what the file format document calls the database header */
	CHECKPOINT_PAGES = 1000,   /* of the -wal: 4 MiB, then it is carried into the db */
	ROW_MAX_BYTES = 2 << 20,   /* of a row of a table: SQLite is told, so that no damaged length allocates more */
	/* Steps of SQLite's machine that one operation may take. A page that leads back to itself ends there. Counted,
	 * not timed, so that a slow board never loses its state; a start takes at most half a step a byte. */
	BUDGET_STEPS = 1 << 20,
	BUDGET_STEPS_PER_BYTE = 32,
	BUDGET_STEPS_PER_PUT =
		1000, /* of a change, which may be larger than all that was there; about 100 are needed */
	BUDGET_STRIDE = 1000,
	MODEL_NAME_BYTES = sizeof((struct store_current *)0)->model_name,
};
/* No state comes near: numbers above are damage, and below them nothing overflows. */
#define STORE_SEQ_MAX      (INT64_C(1) << 48) /* of changes and of items */
#define STORE_CLASS_ID_MAX INT32_MAX
/* died of a living item. */
#define ALIVE  INT64_MAX
#define NO_SEQ (-1) /* undo_to and restored: none (NULL in the table) */

struct sql_budget {
	uint64_t left; /* steps of the operation that runs */
};

/* A file as stat shows it. */
struct file_mark {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

/* What stands in the way of changes, and whether it may pass. */
enum trouble {
	TROUBLE_NONE,
	TROUBLE_FINAL,    /* until restart */
	TROUBLE_AT_OPEN,  /* could not be opened (closed) or written (a copy is served): opened again when it can be */
	TROUBLE_WRITTEN,  /* something else wrote to the open file: until restart */
	TROUBLE_GONE,     /* the open file is not at its path: opened again when it is back */
	TROUBLE_HINDERED, /* the last change failed for want of space and the like: the next is tried */
};

/* One open file whose writes and syncs are counted: SQLite's own table of methods with two entries replaced. */
struct counted_file {
	sqlite3_io_methods methods;
	const sqlite3_io_methods *real;
	struct store_io *io;
};

struct store {
	char *dir, *path, *wal_path; /* path of the db; the -wal is path with "-wal" */
	uint8_t feature_id[STORE_FEATURE_ID_BYTES];
	char model_name[MODEL_NAME_BYTES];
	char format[STORE_FORMAT_MAX_BYTES], old_format[STORE_FORMAT_MAX_BYTES]; /* "": there is none */

	sqlite3 *db; /* NULL: there is no file yet, or closed */
	struct sql_budget budget;
	uint64_t n_bytes; /* of the file and its -wal, at opening */
	bool wal_lost;    /* changes, at opening */
	enum store_mode mode;
	char why[ERR_TEXT_BYTES], flaw[ERR_TEXT_BYTES];
	uint64_t seq;
	uint32_t class_id_next;
	int64_t file_id;      /* random, of this file: seeds every CRC, and tells a -wal of another file */
	bool current_is_ours; /* `current` names this state and model already */
	bool created;         /* by us, since opening */
	bool made_dir;        /* likewise */
	bool parent_synced;   /* since the directory was made */
	bool dir_synced;      /* since db and -wal are there: before the first change of a session */
	int dir_lock;         /* descriptor of the directory, locked while there is no file yet; -1: none */
	enum trouble trouble;
	struct place { /* as our own last write left it */
		bool noted;
		bool unseen; /* they were not at their paths by then */
		struct file_mark db, wal;
		uint8_t header[SQLITE_HEADER_BYTES];
	} place;
	bool committed; /* since opening: so that closing has something to carry into the db */
	int wal_pages;
	struct store_io io;
	struct counted_file counted_db, counted_wal;
};

/* sql.c: statements. Every function that fails fills err from the connection and returns the negative code. */
int sql_error(sqlite3 *db, struct err *err);
/* A write or sync (or read) of the disk failed, so that nobody knows what is on it; not for want of space, memory or
 * descriptors, which passes. */
bool sql_is_io_error(sqlite3 *db);
bool sql_errno_passes(int number); /* no memory, no descriptors, interrupted */
/* Statements of db end with ERR_DATA_LOSS when the budget, which outlives db, is spent. */
void sql_budget_attach(sqlite3 *db, struct sql_budget *budget);
/* Before each operation; n_bytes: what there is to read. */
void sql_budget_refill(struct sql_budget *budget, uint64_t n_bytes);
int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt, struct err *err);
/* Integers bound as ?1, ?2...; NO_SEQ as NULL. */
void sql_bind(sqlite3_stmt *stmt, size_t n, const int64_t *args);
/* 1: a row, 0: done, negative: failed. */
int sql_step(sqlite3_stmt *stmt, struct err *err);
/* Runs to the end, no rows wanted. */
int sql_run(sqlite3 *db, const char *sql, size_t n, const int64_t *args, struct err *err);
/* The first column of the first row, or `otherwise` without a row or with NULL. */
int sql_int(
	sqlite3 *db, const char *sql, size_t n, const int64_t *args, int64_t otherwise, int64_t *ret, struct err *err);
/* An integer in this range, or false and 0: type first, a conversion would hide what is there. */
bool sql_column_int(sqlite3_stmt *stmt, int column, int64_t min, int64_t max, int64_t *ret);
#define SQL_ARGS(...)                                                                                                  \
	sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[])                                                \
	{                                                                                                              \
		__VA_ARGS__                                                                                            \
	}

/* Kinds and ops where a statement writes them out. */
#define SQL_KIND_ROW    "1"
#define SQL_KIND_LABEL  "2"
#define SQL_KIND_SAMPLE "3"
#define SQL_OP_LEARN    "1"
_Static_assert(STORE_ROW == 1 && STORE_LABEL == 2 && STORE_SAMPLE == 3, "as SQL_KIND_... have them");
_Static_assert(STORE_OP_LEARN == 1, "as SQL_OP_LEARN has it");

/* schema.c */
struct store_identity { /* what a file says it is */
	uint8_t feature_id[STORE_FEATURE_ID_BYTES];
	int64_t file_id;
};
/* Is this the first page of a state file that this version reads? name is for the sentence.
 * ERR_FAILED_PRECONDITION with why not. */
int schema_check_header(const uint8_t header[SQLITE_HEADER_BYTES], const char *name, struct err *err);
/* The same for an opened database, whose -wal may hold newer pages: its ids, that its schema is ours to the letter (no
 * view in a table's place, no trigger), and its identity. */
int schema_identify(sqlite3 *db, const char *name, struct store_identity *ret_identity, struct err *err);
/* A new, empty state as the bytes of its file, to be freed with sqlite3_free. */
int schema_new_image(
	const uint8_t feature_id[STORE_FEATURE_ID_BYTES], uint8_t **ret_bytes, size_t *ret_n, struct err *err);
/* Settings of every connection that reads. */
int schema_set_up(sqlite3 *db, struct err *err);
/* The CRC-32 of an item; all but what changes later (born of a copy, died) is in it. */
uint32_t schema_item_crc(
	int64_t file_id, int64_t kind, int64_t class_id, const char *format, const void *data, size_t n);

/* item columns in the order in which every query here asks for them. */
#define ITEM_COLUMNS "id, kind, class_id, born, format, data, crc"
enum { ITEM_N_COLUMNS = 7 };
struct item_row {
	int64_t id;
	struct store_item item; /* borrowed from the statement until its next step */
	bool good;              /* the CRC fits and every column is what it should be */
	bool named;             /* kind and class can be told; if not: STORE_UNREADABLE */
};
void item_row_read(sqlite3_stmt *stmt, int64_t file_id, struct item_row *ret_row);

/* change columns, likewise. */
#define CHANGE_COLUMNS "seq, time, op, undo_to, restored, class_next, item_first, result, crc"
enum { CHANGE_N_COLUMNS = 9 };
struct change_row {
	struct store_entry entry; /* undone is not filled in; whatever is in the file, every field is in its range */
	int64_t undo_to, restored, class_next, item_first;
	bool good;
};
/* Of all but the key, which is let go one day; entry.restored and good are not looked at. */
uint32_t schema_change_crc(int64_t file_id, const struct change_row *row);
void change_row_read(sqlite3_stmt *stmt, int64_t file_id, struct change_row *ret_row);

/* verify.c */
struct verified {
	uint64_t seq;           /* of the newest change, 0: none */
	uint32_t class_id_next; /* above every class that any change or item names */
	int64_t newest_time_ms;
	enum store_op newest_op; /* 0: the newest change is damaged */
};
enum finding {
	FINDING_LIVING,        /* a living item's CRC: store_load reports it and finds another version */
	FINDING_PAST,          /* an old item's or a change's CRC: nothing else is in doubt */
	FINDING_CONTRADICTION, /* of pages, indexes or rows: a change could spoil more */
};
typedef void verify_fn(void *ctx, enum finding finding, const char *sentence);
/* Everything: pages and indexes against each other by SQLite's own check, every CRC, and what no CRC covers and no index
 * repeats: changes without a gap, items that belong to the change that they name and that die after it. Findings go to
 * fn, at most max_findings of SQLite's. Negative: it cannot be read. */
int verify_file(sqlite3 *db, int64_t file_id, int max_findings, verify_fn *fn, void *ctx, struct verified *ret,
	struct err *err);

/* The same of a file just opened: what is found decides flaw, class_id_next and whether it is written to. */
int verify_opened(struct store *store, struct err *err);

/* history.c: lessons in force at the newest change. */
int history_count_lessons(sqlite3 *db, uint64_t newest, uint64_t *ret_n, struct err *err);

/* file.c. Everything that writes goes through SQLite's default VFS, so that a test can let any of it fail. */
enum file_fault { FILE_FAULT_NONE, FILE_FAULT_FULL, FILE_FAULT_IO, FILE_FAULT_OTHER };
char *file_path(const char *dir, const char *name);
const char *file_base(const char *path);
void file_state_name(const uint8_t feature_id[STORE_FEATURE_ID_BYTES], char ret_name[32]);
bool file_can_write(const char *path); /* a directory or a file */
/* Writes path anew, mode 0600, and syncs it. */
int file_write(
	const char *path, const void *data, size_t n, struct store_io *io, enum file_fault *ret_fault, struct err *err);
/* Under which path is written until it is renamed; free it. */
char *file_new_path(const char *path);
/* Deletes what processes that were killed while writing left under such names. */
void file_sweep(const char *dir);
/* FILE_FAULT_IO: the sync itself failed; else it was not come to. */
int file_sync_dir(const char *dir, struct store_io *io, enum file_fault *ret_fault, struct err *err);
void file_delete(const char *path);
/* Reads a whole file of at most max_bytes; *ret_data from sqlite3_malloc, sqlite3_free it. 1: there is none. */
int file_read(const char *path, size_t max_bytes, uint8_t **ret_data, size_t *ret_n, struct err *err);

struct file_probe {
	bool exists, locked;
	int owner; /* process id of who holds the lock, 0: it cannot be told */
	uint64_t n_bytes;
	uint8_t header[SQLITE_HEADER_BYTES]; /* zeros behind the end of a short file */
};
/* Looks at a db file from outside. Never call it for a file that this process has open: closing any descriptor of a
 * file drops the process's locks on it. ERR_UNAVAILABLE: it cannot be read. */
int file_probe(const char *path, struct file_probe *ret_probe, struct err *err);
/* A rollback journal beside it: bnnd never writes one, SQLite would play it into the db. */
bool file_has_journal(const char *path);
/* "in use by process 12" */
void file_owner_text(const struct file_probe *probe, char *ret_text, size_t n);

/* image.c: opens db and -wal as one database in RAM, read only. Touches neither; caller has probed it. */
int image_open(const char *path, struct sql_budget *budget, sqlite3 **ret_db, struct err *err);
/* Does the -wal hold whole changes behind a frame that is damaged? They were acknowledged, and no recovery finds them. */
bool image_wal_lost(const char *path);
/* The same as bytes (sqlite3_free); pages of the -wal are those that SQLite's recovery would find. */
int image_read(const char *path, uint8_t **ret_bytes, size_t *ret_n, struct err *err);

/* counted.c */
void counted_attach(struct store *store); /* after the first read: db and -wal are open */

/* open.c */
int connection_open(struct store *store, struct err *err); /* of an existing file, read-write */
int open_read_state(struct store *store, struct err *err); /* seq, class ids, identity, row format */
/* Positive outcome of check_row_format: a living row (of those with ids from first_id on) has another format than the
 * caller's; err says so. */
enum { ROW_FORMAT_OTHER = 1 };
int check_row_format(struct store *store, int64_t first_id, struct err *err);
/* The way from nothing to the state at the path, whatever is there; also the second time. Negative: rows of another
 * format. */
int open_at_path(struct store *store, struct err *err);
bool open_can_write(const struct store *store);

/* mode.c */
void mode_degrade(struct store *store, enum store_mode mode, const struct err *why);
/* No more commits until restart; what is learned is still served. */
void mode_fail(struct store *store, const struct err *why);
/* A change failed, the next may work: said until it does. */
void mode_hinder(struct store *store, const struct err *why);
void mode_unhinder(struct store *store);
/* The open file is not at its path. Fills in the rest of the sentence. */
void mode_gone(struct store *store, struct err *why);
void mode_written(struct store *store, struct err *why);
void connection_close(struct store *store); /* of SQLite; the rest stays */

/* read.c: a read from its beginning to its end.
 *
 *	struct reading reading;
 *	if (!read_begin(&reading, store, err))
 *		return 0;
 *	read_select(&reading, "SELECT ...", SQL_ARGS(...));
 *	while (read_next(&reading))
 *		reading.answer = fn(ctx, ... reading.stmt ...);
 *	return read_finish(&reading);
 */
struct reading {
	struct store *store;
	struct err *err, own; /* the caller's, or our own */
	sqlite3_stmt *stmt;   /* NULL: none of its own */
	int r;                /* negative: it has failed, by *err */
	int answer;           /* of the caller's function; not 0: enough */
};
/* Before each operation: what it may read. read_begin does it. */
void read_allow(struct store *store);
/* False: there is no file, so there is nothing to read or finish. */
bool read_begin(struct reading *reading, struct store *store, struct err *err);
/* Once or, one behind the other, several times. */
void read_select(struct reading *reading, const char *sql, size_t n, const int64_t *args);
/* Is there another row? Not after an answer that is not 0, or a failure. */
bool read_next(struct reading *reading);
/* The answer; or, when the read failed (the tree of the file is broken, the disk cannot be read), that: the file is
 * touched no more, STORE_CLOSED. The statement is finalized. */
int read_finish(struct reading *reading);

/* place.c */
enum { PLACE_GONE = 1, PLACE_WRITTEN };
/* After opening, and after each of our own writes. ERR_UNAVAILABLE, after opening: gone from its path already. */
int place_note(struct store *store, struct err *err);
/* 0, or what was found, with the sentence. _files: who they are alone, not what is in them. */
int place_check(struct store *store, struct err *err);
int place_check_files(const struct store *store, struct err *err);

/* fresh.c */
int fresh_lock(struct store *store, struct err *err); /* ERR_UNAVAILABLE: another process has it */
void fresh_unlock(struct store *store);               /* the file is there and locked */
void fresh_tidy(struct store *store);                 /* closing: a directory that was made for nothing goes */

/* create.c: the directory and the state file, at the first commit. */
int create_state(struct store *store, enum file_fault *ret_fault, struct err *err);
/* The names of directory, db and -wal are on the disk. Before the first change of a session: SQLite syncs the directory of
 * a new -wal, too, but says nothing when it cannot. */
int sync_dirs(struct store *store, enum file_fault *ret_fault, struct err *err);

/* commit.c */
typedef int apply_fn(
	struct store *store, const struct store_change *change, const struct change_row *row, struct err *err);
/* restored: NO_SEQ or the seq whose state the change makes again. */
int commit_change(struct store *store, const struct store_change *change, int64_t undo_to, int64_t restored,
	apply_fn *apply, uint64_t *ret_seq, struct err *err);

/* current.c */
bool current_names(const char *dir, const uint8_t feature_id[STORE_FEATURE_ID_BYTES], const char *model_name);
/* In two halves: what can fail for want of space comes before the transaction, the rename behind it. */
int current_prepare(struct store *store, enum file_fault *ret_fault, struct err *err);
int current_publish(struct store *store, enum file_fault *ret_fault, struct err *err);
