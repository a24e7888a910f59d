/* SPDX-License-Identifier: MIT */
/* lib/store/restore.c: undo and rollback: a change that appends copies of what lived then and lets die what did not.
 *
 * Items that live at both ends stay as they are, so an undo writes what the undone change wrote and no more. A copy keeps
 * the age, the bytes and the CRC of its original: a damaged one stays damaged and is found by the next load. */
#include "lib/store/store_inside.h"

#include "lib/base/require.h"

/* item_first of the first change behind the target, which may be the very one that is being made; 0, which leaves nothing
 * out, when it is damaged. */
static int first_item_behind(struct store *store, int64_t target, int64_t *ret_first, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	struct change_row row = {0};
	int r = sql_prepare(store->db, "SELECT " CHANGE_COLUMNS " FROM change WHERE seq = ?1", &stmt, err);
	if (r != 0)
		return r;
	sqlite3_bind_int64(stmt, 1, target + 1);
	r = sql_step(stmt, err);
	if (r == 1)
		change_row_read(stmt, store->file_id, &row);
	*ret_first = row.good ? row.item_first : 0;
	sqlite3_finalize(stmt);
	return r < 0 ? r : 0;
}

/* Living now and not then: among the items with ids from first on. Living then and not now: among those that died since.
 * The rest, nearly all, is not looked at (+died: not by the index of all that live). */
static int apply_restore(
	struct store *store, const struct store_change *change, const struct change_row *row, struct err *err)
{
	(void)change;
	int64_t seq = (int64_t)row->entry.seq, target = row->restored, first = 0;
	int r = first_item_behind(store, target, &first, err);
	if (r == 0)
		r = sql_run(store->db,
			"UPDATE item SET died = ?1 WHERE id >= ?4 AND +died = ?2 AND age NOT IN"
			" (SELECT age FROM item WHERE died > ?3 AND died < ?2 AND born <= ?3)",
			SQL_ARGS(seq, ALIVE, target, first), err);
	if (r == 0)
		r = sql_run(store->db,
			"INSERT INTO item(kind, class_id, born, died, age, format, data, crc)"
			" SELECT kind, class_id, ?1, ?2, age, format, data, crc FROM item"
			" WHERE died > ?3 AND died < ?2 AND born <= ?3"
			" AND age NOT IN (SELECT age FROM item WHERE id >= ?4 AND +died = ?2) ORDER BY age",
			SQL_ARGS(seq, ALIVE, target, first), err);
	if (r == 0)
		r = check_row_format(store, row->item_first, err);
	return r == ROW_FORMAT_OTHER ? -err->code : r;
}

/* undo_to of the change seq; NO_SEQ for seq 0; without a file *ret_undo_to stays as it is. What a damaged change says
 * leads nowhere. */
static int undo_to_of(struct store *store, uint64_t seq, int64_t *ret_undo_to, struct err *err)
{
	struct reading reading;
	struct change_row row = {.undo_to = NO_SEQ, .good = true};
	if (!read_begin(&reading, store, err))
		return 0;
	read_select(&reading, "SELECT " CHANGE_COLUMNS " FROM change WHERE seq = ?1", SQL_ARGS((int64_t)seq));
	if (read_next(&reading))
		change_row_read(reading.stmt, store->file_id, &row);
	int r = read_finish(&reading);
	if (r == 0 && !row.good)
		r = err_set(err, ERR_DATA_LOSS,
			"change %llu is damaged: where an undo leads is not known; roll back instead",
			(unsigned long long)seq);
	if (r == 0)
		*ret_undo_to = row.undo_to;
	return r;
}

int store_restore(
	struct store *store, uint64_t target_seq, const struct store_change *change, uint64_t *ret_seq, struct err *err)
{
	struct err own;
	err = err ? err : &own;
	REQUIRE(change->op == STORE_OP_UNDO || change->op == STORE_OP_ROLLBACK);
	REQUIRE(change->n_puts == 0 && change->n_drop_classes == 0 && change->result_bytes <= STORE_RESULT_MAX_BYTES);
	if (target_seq > store->seq && store->mode != STORE_CLOSED)
		return err_set(err, ERR_NOT_FOUND, "there is no change %llu: the newest is %llu",
			(unsigned long long)target_seq, (unsigned long long)store->seq);
	int64_t undo_to = (int64_t)store->seq;
	if (change->op == STORE_OP_UNDO) {
		int r = undo_to_of(store, target_seq, &undo_to, err);
		if (r != 0)
			return r;
	}
	return commit_change(store, change, undo_to, (int64_t)target_seq, apply_restore, ret_seq, err);
}

int store_undo_target(struct store *store, uint64_t *ret_target, struct err *err)
{
	int64_t target = NO_SEQ;
	if (store->seq > 0) {
		int r = undo_to_of(store, store->seq, &target, err);
		if (r != 0)
			return r;
	}
	if (target == NO_SEQ)
		return err_set(err, ERR_FAILED_PRECONDITION, "nothing to undo");
	*ret_target = (uint64_t)target;
	return 0;
}
