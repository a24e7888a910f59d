/* SPDX-License-Identifier: MIT */
/* lib/store/samples.c: the kept samples of a state, and what one change did to them.
 *
 * Unlike rows and labels a damaged sample has no older version: it is left out wherever it would be given. */
#include "lib/store/internal.h"

/* Gives fn what a statement with the one argument seq selects, in its order. went: what died, bad items, too. */
struct giving {
	store_sample_fn *fn;
	void *ctx;
	bool went;
	int answer;
};

static int give(struct store *store, const char *sql, uint64_t seq, struct giving *giving, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(store->db, sql, &stmt, err);
	if (r != 0)
		return r;
	sqlite3_bind_int64(stmt, 1, (int64_t)seq);
	while (giving->answer == 0 && (r = sql_step(stmt, err)) == 1) {
		struct item_row row;
		item_row_read(stmt, store->file_id, &row);
		if (!row.good)
			row.item.kind = STORE_UNREADABLE;
		if (row.item.kind == STORE_SAMPLE || (giving->went && !row.good))
			giving->answer = giving->fn(giving->ctx, giving->went ? STORE_WENT : STORE_CAME, &row.item);
	}
	sqlite3_finalize(stmt);
	return r < 0 ? r : 0;
}

int store_samples(struct store *store, uint64_t seq, store_sample_fn *fn, void *ctx, struct err *err)
{
	struct err own;
	struct giving giving = {.fn = fn, .ctx = ctx};
	err = err ? err : &own;
	if (!store->db)
		return 0;
	read_begin(store);
	int r = give(store,
		"SELECT " ITEM_COLUMNS " FROM item WHERE died > ?1 AND +born <= ?1 AND +kind = 3"
		" ORDER BY died, class_id, kind, age",
		seq, &giving, err);
	return read_finish(store, r, giving.answer, err);
}

int store_samples_step(struct store *store, uint64_t seq, store_sample_fn *fn, void *ctx, struct err *err)
{
	struct err own;
	struct giving giving = {.fn = fn, .ctx = ctx, .went = true};
	err = err ? err : &own;
	if (!store->db)
		return 0;
	read_begin(store);
	int r = give(store,
		"SELECT " ITEM_COLUMNS " FROM item WHERE died = ?1 AND +born < ?1 ORDER BY class_id, kind, age", seq,
		&giving, err);
	giving.went = false;
	if (r == 0 && giving.answer == 0)
		r = give(store,
			"SELECT " ITEM_COLUMNS " FROM item"
			" WHERE id >= (SELECT item_first FROM change WHERE seq = ?1)"
			" AND id < ifnull((SELECT item_first FROM change WHERE seq = ?1 + 1), 9223372036854775807)"
			" AND +born = ?1 AND +died > ?1 AND +kind = 3 ORDER BY id",
			seq, &giving, err);
	return read_finish(store, r, giving.answer, err);
}
