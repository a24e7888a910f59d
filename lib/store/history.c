/* SPDX-License-Identifier: MIT */
/* lib/store/history.c: changes, the newest first, each with whether it is in force.
 *
 * In force at the newest change n: walk back from n. A lesson, forget or rename at s is in force, and the walk goes to
 * s - 1. An undo or rollback at s that restored t is in force, and the walk goes to t: everything between t and s is
 * undone, undos and rollbacks included. So an undo that was itself rolled back undoes nothing. */
#include "lib/store/store_inside.h"

#include <stdio.h>

uint64_t store_entry_before(const struct store_entry *entry)
{
	bool restores = entry->op == STORE_OP_UNDO || entry->op == STORE_OP_ROLLBACK;
	/* A damaged row must not turn a walk around. */
	return restores && entry->restored < entry->seq ? entry->restored : entry->seq - 1;
}

/* The walk, as the gap (low, high) of undone changes that it looks at; asked with falling seqs. */
struct walk {
	sqlite3_stmt *restores; /* seq, restored; the newest first */
	int64_t low, high;
	bool done;
};

static int walk_begin(struct walk *walk, sqlite3 *db, uint64_t newest, struct err *err)
{
	*walk = (struct walk){.low = (int64_t)newest, .high = (int64_t)newest + 1};
	return sql_prepare(db, "SELECT seq, restored FROM change WHERE restored IS NOT NULL ORDER BY seq DESC",
		&walk->restores, err);
}

static int walk_next_gap(struct walk *walk, struct err *err)
{
	int r = 0;
	while (!walk->done && (r = sql_step(walk->restores, err)) == 1) {
		int64_t seq = sqlite3_column_int64(walk->restores, 0);
		if (seq > walk->low)
			continue; /* undone itself */
		walk->high = seq;
		walk->low = sqlite3_column_int64(walk->restores, 1);
		if (walk->low >= seq || walk->low < 0) /* a damaged row must not turn the walk around */
			walk->low = seq - 1;
		return 0;
	}
	walk->done = true;          /* a statement that is asked again begins again */
	walk->high = walk->low = 0; /* everything below is in force */
	return r < 0 ? r : 0;
}

static int walk_undone(struct walk *walk, uint64_t seq, bool *ret_undone, struct err *err)
{
	int64_t s = (int64_t)seq;
	while (!walk->done && s < walk->high && s <= walk->low) {
		int r = walk_next_gap(walk, err);
		if (r != 0)
			return r;
	}
	*ret_undone = s < walk->high;
	return 0;
}

/* Gives fn the changes that `which` (from WHERE on, its ?n are args) selects with falling seqs; key, where there is one,
 * is ?1 instead. *ret_n counts what was given. */
static int give(struct store *store, const char *which, size_t n_args, const int64_t *args, const uint8_t *key,
	store_entry_fn *fn, void *ctx, size_t *ret_n, struct err *err)
{
	char sql[256];
	struct walk walk = {0};
	struct reading reading;
	*ret_n = 0;
	if (!read_begin(&reading, store, err))
		return 0;
	snprintf(sql, sizeof sql, "SELECT " CHANGE_COLUMNS " FROM change %s", which);
	read_select(&reading, sql, n_args, args);
	if (reading.r == 0)
		reading.r = walk_begin(&walk, store->db, store->seq, reading.err);
	if (reading.r == 0 && key)
		sqlite3_bind_blob(reading.stmt, 1, key, STORE_KEY_BYTES, SQLITE_STATIC);
	while (read_next(&reading)) {
		struct change_row row;
		change_row_read(reading.stmt, store->file_id, &row);
		if (row.entry.seq == 0) {
			reading.r = err_set(
				reading.err, ERR_DATA_LOSS, "the state file is damaged (a change has no number)");
			break;
		}
		reading.r = walk_undone(&walk, row.entry.seq, &row.entry.undone, reading.err);
		if (reading.r == 0)
			reading.answer = fn(ctx, &row.entry);
		++*ret_n;
	}
	sqlite3_finalize(walk.restores);
	return read_finish(&reading);
}

int store_history(struct store *store, uint64_t before_seq, size_t n, store_entry_fn *fn, void *ctx, struct err *err)
{
	size_t given;
	int64_t before = before_seq == 0 || before_seq > INT64_MAX ? INT64_MAX : (int64_t)before_seq;
	int64_t most = n > INT64_MAX ? INT64_MAX : (int64_t)n;
	return give(store, "WHERE seq BETWEEN 1 AND ?1 - 1 ORDER BY seq DESC LIMIT ?2", SQL_ARGS(before, most), NULL,
		fn, ctx, &given, err);
}

int store_lessons(struct store *store, store_entry_fn *fn, void *ctx, struct err *err)
{
	size_t given;
	return give(store, "WHERE seq >= 1 AND op = " SQL_OP_LEARN " ORDER BY seq DESC", 0, NULL, NULL, fn, ctx, &given,
		err);
}

int store_find_key(
	struct store *store, const uint8_t key[STORE_KEY_BYTES], store_entry_fn *fn, void *ctx, struct err *err)
{
	size_t given;
	if (store->db && (store->trouble == TROUBLE_GONE || store->trouble == TROUBLE_WRITTEN))
		return err_set(err, ERR_UNAVAILABLE, "%s", store->why);
	int r = give(store, "WHERE key = ?1", 0, NULL, key, fn, ctx, &given, err);
	return r == 0 && given == 0 ? 1 : r;
}

int store_keys(struct store *store, store_key_fn *fn, void *ctx, struct err *err)
{
	struct reading reading;
	if (!read_begin(&reading, store, err))
		return 0;
	read_select(&reading, "SELECT key, seq FROM change WHERE seq > ?1 AND key IS NOT NULL ORDER BY seq", 0, NULL);
	if (reading.r == 0) /* not as SQL_ARGS, for which -1 is none */
		sqlite3_bind_int64(reading.stmt, 1, (int64_t)store->seq - STORE_KEYS_KEPT);
	while (read_next(&reading))
		if (sqlite3_column_type(reading.stmt, 0) == SQLITE_BLOB &&
			sqlite3_column_bytes(reading.stmt, 0) == STORE_KEY_BYTES)
			fn(ctx, sqlite3_column_blob(reading.stmt, 0), (uint64_t)sqlite3_column_int64(reading.stmt, 1));
	return read_finish(&reading);
}

int history_count_lessons(sqlite3 *db, uint64_t newest, uint64_t *ret_n, struct err *err)
{
	struct walk walk = {0};
	sqlite3_stmt *stmt = NULL;
	uint64_t n = 0;
	int r = walk_begin(&walk, db, newest, err);
	if (r == 0)
		r = sql_prepare(db, "SELECT seq FROM change WHERE seq BETWEEN 1 AND ?1 AND op = ?2 ORDER BY seq DESC",
			&stmt, err);
	if (r == 0)
		sql_bind(stmt, SQL_ARGS((int64_t)newest, STORE_OP_LEARN));
	while (r == 0 && (r = sql_step(stmt, err)) == 1) {
		bool undone = false;
		r = walk_undone(&walk, (uint64_t)sqlite3_column_int64(stmt, 0), &undone, err);
		n += !undone;
	}
	sqlite3_finalize(walk.restores);
	sqlite3_finalize(stmt);
	*ret_n = n;
	return r;
}
