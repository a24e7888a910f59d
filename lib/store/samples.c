/* SPDX-License-Identifier: MIT */
/* lib/store/samples.c: the kept samples of a state, and what one change did to them.
 *
 * Unlike rows and labels a damaged sample has no older version: it is left out wherever it would be given. */
#include "lib/store/store_inside.h"

/* Gives fn what a statement selects, in its order. STORE_WENT: what died, bad items, too. */
static void give(struct reading *reading, const char *sql, size_t n_args, const int64_t *args, enum store_step step,
	store_sample_fn *fn, void *ctx)
{
	read_select(reading, sql, n_args, args);
	while (read_next(reading)) {
		struct item_row row;
		item_row_read(reading->stmt, reading->store->file_id, &row);
		if (!row.good)
			row.item.kind = STORE_UNREADABLE;
		if (row.item.kind == STORE_SAMPLE || (step == STORE_WENT && !row.good))
			reading->answer = fn(ctx, step, &row.item);
	}
}

int store_samples(struct store *store, uint64_t seq, store_sample_fn *fn, void *ctx, struct err *err)
{
	struct reading reading;
	if (!read_begin(&reading, store, err))
		return 0;
	give(&reading,
		"SELECT " ITEM_COLUMNS " FROM item WHERE died > ?1 AND +born <= ?1 AND +kind = " SQL_KIND_SAMPLE
		" ORDER BY died, class_id, kind, age",
		SQL_ARGS((int64_t)seq), STORE_CAME, fn, ctx);
	return read_finish(&reading);
}

int store_class_samples(struct store *store, uint32_t class_id, store_sample_fn *fn, void *ctx, struct err *err)
{
	struct reading reading;
	if (!read_begin(&reading, store, err))
		return 0;
	give(&reading,
		"SELECT " ITEM_COLUMNS " FROM item WHERE died = ?1 AND class_id = ?2 AND kind = " SQL_KIND_SAMPLE
		" ORDER BY age",
		SQL_ARGS(ALIVE, class_id), STORE_CAME, fn, ctx);
	return read_finish(&reading);
}

int store_samples_step(struct store *store, uint64_t seq, store_sample_fn *fn, void *ctx, struct err *err)
{
	struct reading reading;
	if (!read_begin(&reading, store, err))
		return 0;
	give(&reading, "SELECT " ITEM_COLUMNS " FROM item WHERE died = ?1 AND +born < ?1 ORDER BY class_id, kind, age",
		SQL_ARGS((int64_t)seq), STORE_WENT, fn, ctx);
	give(&reading,
		"SELECT " ITEM_COLUMNS " FROM item"
		" WHERE id >= (SELECT item_first FROM change WHERE seq = ?1)"
		" AND id < ifnull((SELECT item_first FROM change WHERE seq = ?1 + 1), 9223372036854775807)"
		" AND +born = ?1 AND +died > ?1 AND +kind = " SQL_KIND_SAMPLE " ORDER BY id",
		SQL_ARGS((int64_t)seq), STORE_CAME, fn, ctx);
	return read_finish(&reading);
}
