/* SPDX-License-Identifier: MIT */
/* lib/store/commit.c: the one transaction that every mutation is.
 *
 * When it returns 0 the change is on the disk, whole. When it fails the change is not in the state that is served; for
 * want of space the next one may work; after a failed write or sync none is taken until the state is opened again, since
 * a sync that is tried again answers for pages that are lost. */
#include "lib/store/store_inside.h"

#include <string.h>

#include "lib/base/require.h"

static int check_writable(const struct store *store, struct err *err)
{
	return store->mode == STORE_READ_WRITE ? 0 : err_set(err, ERR_UNAVAILABLE, "%s", store->why);
}

static int key_known(struct store *store, const uint8_t *key, bool *ret_known, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(store->db, "SELECT 1 FROM change WHERE key = ?1", &stmt, err);
	if (r != 0)
		return r;
	sqlite3_bind_blob(stmt, 1, key, STORE_KEY_BYTES, SQLITE_STATIC);
	r = sql_step(stmt, err);
	*ret_known = r == 1;
	sqlite3_finalize(stmt);
	return r < 0 ? r : 0;
}

static int insert_change(
	struct store *store, const struct store_change *change, const struct change_row *row, struct err *err)
{
	const struct store_entry *e = &row->entry;
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(store->db,
		"INSERT INTO change(seq, op, undo_to, restored, class_next, item_first, time, file_id, crc, key, "
		"result)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
		&stmt, err);
	if (r != 0)
		return r;
	sql_bind(stmt, SQL_ARGS((int64_t)e->seq, e->op, row->undo_to, row->restored, row->class_next, row->item_first));
	sqlite3_bind_int64(stmt, 7, e->time_ms);
	sqlite3_bind_int64(stmt, 8, store->file_id);
	sqlite3_bind_int64(stmt, 9, schema_change_crc(store->file_id, row));
	if (change->key)
		sqlite3_bind_blob(stmt, 10, change->key, STORE_KEY_BYTES, SQLITE_STATIC);
	sqlite3_bind_blob(
		stmt, 11, e->result_bytes ? e->result : (const uint8_t *)"", (int)e->result_bytes, SQLITE_STATIC);
	r = sql_step(stmt, err);
	sqlite3_finalize(stmt);
	if (r == 0 && e->seq > STORE_KEYS_KEPT)
		r = sql_run(store->db, "UPDATE change SET key = NULL WHERE seq = ?1",
			SQL_ARGS((int64_t)(e->seq - STORE_KEYS_KEPT)), err);
	return r;
}

static int put_item(
	struct store *store, sqlite3_stmt *stmt, const struct store_put *put, int64_t id, uint64_t seq, struct err *err)
{
	int r = 0;
	if (put->kind == STORE_ROW || put->kind == STORE_LABEL)
		r = sql_run(store->db, "UPDATE item SET died = ?1 WHERE died = ?2 AND class_id = ?3 AND kind = ?4",
			SQL_ARGS((int64_t)seq, ALIVE, put->class_id, put->kind), err);
	if (r != 0)
		return r;
	const char *format = put->format ? put->format : "";
	sqlite3_reset(stmt);
	sql_bind(stmt, SQL_ARGS(id, put->kind, put->class_id, (int64_t)seq, ALIVE));
	sqlite3_bind_text(stmt, 6, format, -1, SQLITE_STATIC);
	sqlite3_bind_blob(
		stmt, 7, put->len_bytes ? put->data : (const uint8_t *)"", (int)put->len_bytes, SQLITE_STATIC);
	sqlite3_bind_int64(
		stmt, 8, schema_item_crc(store->file_id, put->kind, put->class_id, format, put->data, put->len_bytes));
	return sql_step(stmt, err);
}

/* The oldest samples above the limit die, in every class that got one with this change. */
static int cap_samples(
	struct store *store, const struct store_change *change, int64_t first_id, uint64_t seq, struct err *err)
{
	sqlite3_stmt *classes = NULL;
	int r = sql_prepare(store->db, "SELECT DISTINCT class_id FROM item WHERE id >= ?1 AND kind = " SQL_KIND_SAMPLE,
		&classes, err);
	if (r != 0)
		return r;
	sqlite3_bind_int64(classes, 1, first_id);
	while ((r = sql_step(classes, err)) == 1) {
		r = sql_run(store->db,
			"UPDATE item SET died = ?1 WHERE id IN (SELECT id FROM item WHERE died = ?2 AND class_id = ?3"
			" AND kind = " SQL_KIND_SAMPLE " ORDER BY age DESC LIMIT -1 OFFSET ?4)",
			SQL_ARGS((int64_t)seq, ALIVE, sqlite3_column_int64(classes, 0), change->samples_per_class),
			err);
		if (r != 0)
			break;
	}
	sqlite3_finalize(classes);
	return r;
}

static int apply_puts(
	struct store *store, const struct store_change *change, const struct change_row *row, struct err *err)
{
	uint64_t seq = row->entry.seq;
	int r = 0;
	for (size_t i = 0; r == 0 && i < change->n_drop_classes; i++)
		r = sql_run(store->db, "UPDATE item SET died = ?1 WHERE died = ?2 AND class_id = ?3",
			SQL_ARGS((int64_t)seq, ALIVE, change->drop_classes[i]), err);
	sqlite3_stmt *stmt = NULL;
	if (r == 0)
		r = sql_prepare(store->db,
			"INSERT INTO item(id, kind, class_id, born, died, age, format, data, crc)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?1, ?6, ?7, ?8)",
			&stmt, err);
	for (size_t i = 0; r == 0 && i < change->n_puts; i++)
		r = put_item(store, stmt, &change->puts[i], row->item_first + (int64_t)i, seq, err);
	sqlite3_finalize(stmt);
	if (r == 0 && change->samples_per_class > 0)
		r = cap_samples(store, change, row->item_first, seq, err);
	if (r == 0) /* what never lived need not be kept */
		r = sql_run(store->db, "DELETE FROM item WHERE id >= ?1 AND died = ?2",
			SQL_ARGS(row->item_first, (int64_t)seq), err);
	return r;
}

static int transact(struct store *store, const struct store_change *change, struct change_row *row, apply_fn *apply,
	struct err *err)
{
	int r = sql_run(store->db, "BEGIN IMMEDIATE", 0, NULL, err);
	if (r == 0)
		r = sql_int(store->db, "SELECT max(id) + 1 FROM item", 0, NULL, 1, &row->item_first, err);
	if (r == 0 && (row->item_first < 1 || row->item_first > STORE_SEQ_MAX))
		r = err_set(err, ERR_DATA_LOSS, "the state file is damaged (an item's id is out of range)");
	if (r == 0)
		r = insert_change(store, change, row, err);
	if (r == 0)
		r = apply(store, change, row, err);
	if (r == 0)
		r = sql_run(store->db, "COMMIT", 0, NULL, err);
	if (r == 0)
		return 0;
	bool broken = sql_is_io_error(store->db) || err->code == ERR_DATA_LOSS;
	if (!sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	if (broken) {
		mode_fail(store, err);
		r = err_set(err, ERR_UNAVAILABLE, "%s", store->why);
	}
	return r;
}

/* What comes before the transaction: file, connection, the new `current`. */
static int prepare(struct store *store, struct err *err)
{
	enum file_fault fault = FILE_FAULT_NONE;
	if (!store->db || !store->current_is_ours)
		file_sweep(store->dir);
	int r = store->db ? 0 : create_state(store, &fault, err);
	if (r == 0 && !store->current_is_ours)
		r = current_prepare(store, &fault, err);
	if (r == 0)
		r = sync_dirs(store, &fault, err);
	if (r != 0 && fault == FILE_FAULT_IO) {
		mode_fail(store, err);
		r = err_set(err, ERR_UNAVAILABLE, "%s", store->why);
	}
	return r;
}

/* What comes after it: the change is on the disk and acknowledged, whatever happens here; a disk that fails now takes no
 * more of them. A full one only leaves the -wal longer. */
static void finish(struct store *store)
{
	struct err err = {0};
	enum file_fault fault = FILE_FAULT_NONE;
	if (!store->current_is_ours && current_publish(store, &fault, &err) != 0) {
		if (fault == FILE_FAULT_IO)
			mode_fail(store, &err);
		else
			mode_hinder(store, &err); /* written again with the next change */
	}
	if (store->wal_pages < CHECKPOINT_PAGES || store->mode != STORE_READ_WRITE)
		return;
	if (sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) != SQLITE_OK &&
		sql_is_io_error(store->db)) {
		sql_error(store->db, &err);
		mode_fail(store, &err);
	}
}

static int commit_written(struct store *store, const struct store_change *change, int64_t undo_to, int64_t restored,
	apply_fn *apply, uint64_t *ret_seq, struct err *err)
{
	int r = check_writable(store, err);
	bool known = false;
	read_allow(store);
	store->budget.left += (uint64_t)BUDGET_STEPS_PER_PUT * change->n_puts;
	if (r == 0 && change->key && store->db)
		r = key_known(store, change->key, &known, err);
	if (r == 0 && known)
		return STORE_E_KEY_KNOWN;
	if (r == 0)
		r = prepare(store, err);
	if (r != 0)
		return r;
	struct change_row row = {
		.entry = {.seq = store->seq + 1,
			.time_ms = change->time_ms,
			.op = change->op,
			.result = change->result,
			.result_bytes = change->result_bytes},
		.undo_to = undo_to,
		.restored = restored,
		.class_next = store->class_id_next,
	};
	for (size_t i = 0; i < change->n_puts; i++)
		row.class_next = change->puts[i].class_id >= row.class_next ? (int64_t)change->puts[i].class_id + 1
									    : row.class_next;
	r = transact(store, change, &row, apply, err);
	/* What went into a file that is nobody's any more is not acknowledged. */
	if (r == 0 && place_check_files(store, err) != 0) {
		(void)place_note(store, NULL);
		mode_gone(store, err);
		r = -ERR_UNAVAILABLE;
	}
	if (r == 0) {
		store->seq = row.entry.seq;
		store->class_id_next = (uint32_t)row.class_next;
		store->committed = true;
		mode_unhinder(store);
		finish(store);
		*ret_seq = row.entry.seq;
	}
	if (store->db && store->trouble != TROUBLE_GONE)
		(void)place_note(store, NULL);
	return r;
}

int commit_change(struct store *store, const struct store_change *change, int64_t undo_to, int64_t restored,
	apply_fn *apply, uint64_t *ret_seq, struct err *err)
{
	store_look(store);
	int r = commit_written(store, change, undo_to, restored, apply, ret_seq, err);
	if (r < 0 && store->mode == STORE_READ_WRITE &&
		(err->code == ERR_RESOURCE_EXHAUSTED || err->code == ERR_UNAVAILABLE))
		mode_hinder(store, err);
	return r;
}

static int check_change(const struct store_change *change, struct err *err)
{
	if (change->result_bytes > STORE_RESULT_MAX_BYTES)
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "the result of the change has %zu bytes: the limit is %d",
			change->result_bytes, STORE_RESULT_MAX_BYTES);
	for (size_t i = 0; i < change->n_puts; i++) {
		const struct store_put *put = &change->puts[i];
		REQUIRE(put->kind >= STORE_ROW && put->kind <= STORE_NOTE);
		REQUIRE(!put->format || strlen(put->format) < STORE_FORMAT_MAX_BYTES);
		if (put->class_id >= STORE_CLASS_ID_MAX)
			return err_set(err, ERR_RESOURCE_EXHAUSTED,
				"no class id is left in this state: the limit is %d", STORE_CLASS_ID_MAX);
		if (put->len_bytes > STORE_ITEM_MAX_BYTES)
			return err_set(err, ERR_RESOURCE_EXHAUSTED,
				"an item of the change has %zu bytes: the limit is %d", put->len_bytes,
				STORE_ITEM_MAX_BYTES);
	}
	return 0;
}

int store_commit(struct store *store, const struct store_change *change, uint64_t *ret_seq, struct err *err)
{
	struct err own;
	err = err ? err : &own;
	REQUIRE(change->op >= STORE_OP_LEARN && change->op <= STORE_OP_RENAME);
	int r = check_change(change, err);
	return r != 0 ? r : commit_change(store, change, (int64_t)store->seq, NO_SEQ, apply_puts, ret_seq, err);
}
