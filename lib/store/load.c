/* SPDX-License-Identifier: MIT */
/* lib/store/load.c: the living items, each checked against its CRC.
 *
 * A bad row or label is replaced by what its class had before, along the history as it is in force: behind a lesson the
 * state one earlier, behind an undo or rollback the state that it made again (whose item has the same bytes). A class
 * without any good row, or without any good label, is left out whole. Refuses nothing: what is lost is reported. */
#include "lib/store/store_inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/memory.h"

/* Finds what was there before a bad item. There may be as many of those as there are items: the statements are prepared
 * once, and none of them reads all that lives. */
struct seeker {
	sqlite3_stmt *restored, *living, *dead;
	int64_t file_id;
};

static int seeker_init(struct seeker *seeker, const struct store *store, struct err *err)
{
	*seeker = (struct seeker){.file_id = store->file_id};
	int r = sql_prepare(
		store->db, "SELECT ifnull(restored, seq - 1) FROM change WHERE seq = ?1", &seeker->restored, err);
	if (r == 0)
		r = sql_prepare(store->db,
			"SELECT " ITEM_COLUMNS " FROM item WHERE died = ?4 AND class_id = ?1 AND +kind = ?2"
			" AND born <= ?3 LIMIT 1",
			&seeker->living, err);
	if (r == 0) /* what lived then has died at the next change of its class, so it is the first or not far behind */
		r = sql_prepare(store->db,
			"SELECT " ITEM_COLUMNS
			" FROM item WHERE died > ?3 AND died < ?4 AND class_id = ?1 AND +kind = ?2"
			" AND born <= ?3 ORDER BY died LIMIT 1",
			&seeker->dead, err);
	return r;
}

static void seeker_deinit(struct seeker *seeker)
{
	sqlite3_finalize(seeker->restored);
	sqlite3_finalize(seeker->living);
	sqlite3_finalize(seeker->dead);
}

/* The change whose state was in force before `seq`; of a change that is not there the one before it. */
static int seeker_before(struct seeker *seeker, uint64_t seq, int64_t *ret_before, struct err *err)
{
	*ret_before = (int64_t)seq - 1;
	sqlite3_reset(seeker->restored);
	sql_bind(seeker->restored, SQL_ARGS((int64_t)seq));
	int r = sql_step(seeker->restored, err);
	if (r == 1)
		*ret_before = sqlite3_column_int64(seeker->restored, 0);
	return r < 0 ? r : 0;
}

/* Where the item of that class and kind living at seq stands; 1: there is none. */
static int seeker_item(struct seeker *seeker, const struct store_item *like, uint64_t seq, bool *ret_good,
	int64_t *ret_id, uint64_t *ret_born, struct err *err)
{
	sqlite3_stmt *const stmts[] = {seeker->living, seeker->dead};
	for (int i = 0; i < 2; i++) {
		struct item_row row;
		sqlite3_reset(stmts[i]);
		sql_bind(stmts[i], SQL_ARGS(like->class_id, (int64_t)like->kind, (int64_t)seq, ALIVE));
		int r = sql_step(stmts[i], err);
		if (r < 0)
			return r;
		if (r == 0)
			continue;
		item_row_read(stmts[i], seeker->file_id, &row);
		*ret_good = row.good;
		*ret_id = row.id;
		*ret_born = row.item.born;
		return 0;
	}
	return 1;
}

/* A bad item's last good predecessor, as *ret_id; 0: there is none. */
static int item_previous_good(
	struct seeker *seeker, const struct item_row *bad, int64_t *ret_id, uint64_t *ret_born, struct err *err)
{
	uint64_t seq = bad->item.born;
	while (seq > 0) {
		int64_t before = 0;
		bool good = false;
		int r = seeker_before(seeker, seq, &before, err);
		if (r != 0)
			return r;
		if (before <= 0 || (uint64_t)before >= seq) /* nothing was taught then; from a damaged change */
			break;
		r = seeker_item(seeker, &bad->item, (uint64_t)before, &good, ret_id, ret_born, err);
		if (r < 0)
			return r;
		if (r == 1)
			break;
		if (good)
			return 0;
		seq = *ret_born < seq ? *ret_born : 0;
	}
	*ret_id = 0;
	*ret_born = 0;
	return 0;
}

struct verdict { /* on a bad row or label */
	uint32_t class_id;
	int64_t id, good_id; /* good_id 0: the class is left out */
};
struct verdicts {
	size_t n;
	struct verdict *list; /* by class id, as they were found */
};

static void report(store_damage_fn *fn, void *ctx, const struct store_item *item, uint64_t restored_seq)
{
	struct store_damage damage = {item->class_id, item->kind, item->born, restored_seq};
	if (fn)
		fn(ctx, &damage);
}

/* Of the change ?2: what died with it, what it brought. */
#define TOUCHED                                                                                                        \
	"SELECT class_id FROM item WHERE died = ?2 UNION ALL"                                                          \
	" SELECT class_id FROM item WHERE id >= (SELECT item_first FROM change WHERE seq = ?2)"
#define BY_CLASS " ORDER BY class_id, kind, age"

/* The living items of all classes, or of those that a change touched (0: all); and_where narrows it further. */
static int prepare_living(
	struct store *store, uint64_t touched_by, const char *and_where, sqlite3_stmt **ret_stmt, struct err *err)
{
	char sql[400];
	snprintf(sql, sizeof sql, "SELECT " ITEM_COLUMNS " FROM item WHERE died = ?1 %s%s" BY_CLASS, and_where,
		touched_by ? " AND class_id IN (" TOUCHED ")" : "");
	int r = sql_prepare(store->db, sql, ret_stmt, err);
	if (r != 0)
		return r;
	sqlite3_bind_int64(*ret_stmt, 1, ALIVE);
	if (touched_by)
		sqlite3_bind_int64(*ret_stmt, 2, (int64_t)touched_by);
	return 0;
}

static int judge(struct store *store, uint64_t touched_by, store_damage_fn *damage, void *ctx,
	struct verdicts *verdicts, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	struct seeker seeker;
	int r = seeker_init(&seeker, store, err);
	if (r == 0)
		r = prepare_living(store, touched_by, "AND kind <= " SQL_KIND_LABEL, &stmt, err);
	while (r >= 0 && (r = sql_step(stmt, err)) == 1) {
		struct item_row row;
		item_row_read(stmt, store->file_id, &row);
		if (row.good || !row.named) /* the latter are left out and reported in deliver() */
			continue;
		struct verdict verdict = {row.item.class_id, row.id, 0};
		uint64_t restored_seq = 0;
		r = item_previous_good(&seeker, &row, &verdict.good_id, &restored_seq, err);
		if (r != 0)
			break;
		verdicts->list = mem_realloc(verdicts->list, verdicts->n + 1, sizeof verdict);
		verdicts->list[verdicts->n++] = verdict;
		report(damage, ctx, &row.item, restored_seq);
	}
	sqlite3_finalize(stmt);
	seeker_deinit(&seeker);
	return r;
}

/* Those on one class; asked with ascending ids, so that each is looked at once. */
static struct verdicts verdicts_on(struct verdicts *left, uint32_t class_id)
{
	struct verdicts on = {0};
	while (left->n > 0 && left->list->class_id < class_id) {
		left->list++;
		left->n--;
	}
	on.list = left->list;
	while (on.n < left->n && on.list[on.n].class_id == class_id)
		on.n++;
	return on;
}

static bool left_out(const struct verdicts *on_class)
{
	for (size_t i = 0; i < on_class->n; i++)
		if (on_class->list[i].good_id == 0)
			return true;
	return false;
}

static int64_t replacement(const struct verdicts *on_class, int64_t id)
{
	for (size_t i = 0; i < on_class->n; i++)
		if (on_class->list[i].id == id)
			return on_class->list[i].good_id;
	return 0;
}

/* A caller's answer that is not 0 stops the load; kept apart from what the database says. */
struct delivery {
	store_item_fn *fn;
	void *ctx;
	int answer;
};

static int deliver_by_id(struct store *store, int64_t id, struct delivery *delivery, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(store->db, "SELECT " ITEM_COLUMNS " FROM item WHERE id = ?1", &stmt, err);
	if (r != 0)
		return r;
	sqlite3_bind_int64(stmt, 1, id);
	r = sql_step(stmt, err);
	if (r == 1) {
		struct item_row row;
		item_row_read(stmt, store->file_id, &row);
		if (row.good)
			delivery->answer = delivery->fn(delivery->ctx, &row.item);
		r = 0;
	}
	sqlite3_finalize(stmt);
	return r;
}

static int deliver(struct store *store, uint64_t touched_by, store_damage_fn *damage, struct verdicts verdicts,
	struct delivery *delivery, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = prepare_living(store, touched_by, "", &stmt, err);
	if (r != 0)
		return r;
	while (delivery->answer == 0 && (r = sql_step(stmt, err)) == 1) {
		struct item_row row;
		item_row_read(stmt, store->file_id, &row);
		struct verdicts on_class = verdicts_on(&verdicts, row.item.class_id);
		if (row.named && left_out(&on_class))
			continue;
		int64_t id = row.good ? 0 : replacement(&on_class, row.id);
		if (row.good)
			delivery->answer = delivery->fn(delivery->ctx, &row.item);
		else if (id != 0)
			r = deliver_by_id(store, id, delivery, err);
		else
			report(damage, delivery->ctx, &row.item, 0);
		if (r < 0)
			break;
	}
	sqlite3_finalize(stmt);
	return r < 0 ? r : 0;
}

static int load(struct store *store, uint64_t touched_by, store_item_fn *fn, store_damage_fn *damage, void *ctx,
	struct err *err)
{
	struct reading reading;
	struct verdicts verdicts = {0};
	struct delivery delivery = {.fn = fn, .ctx = ctx};
	if (!read_begin(&reading, store, err))
		return 0;
	reading.r = judge(store, touched_by, damage, ctx, &verdicts, reading.err);
	if (reading.r == 0)
		reading.r = deliver(store, touched_by, damage, verdicts, &delivery, reading.err);
	free(verdicts.list);
	reading.answer = delivery.answer;
	return read_finish(&reading);
}

int store_load(struct store *store, store_item_fn *fn, store_damage_fn *damage, void *ctx, struct err *err)
{
	return load(store, 0, fn, damage, ctx, err);
}

int store_load_touched(
	struct store *store, uint64_t seq, store_item_fn *fn, store_damage_fn *damage, void *ctx, struct err *err)
{
	return load(store, seq, fn, damage, ctx, err);
}

int store_touched(struct store *store, uint64_t seq, store_class_fn *fn, void *ctx, struct err *err)
{
	struct reading reading;
	int64_t class_id = 0;
	if (!read_begin(&reading, store, err))
		return 0;
	read_select(&reading, TOUCHED, SQL_ARGS(ALIVE, (int64_t)seq));
	while (read_next(&reading)) {
		if (sqlite3_column_type(reading.stmt, 0) == SQLITE_INTEGER)
			class_id = sqlite3_column_int64(reading.stmt, 0);
		if (class_id >= 0 && class_id <= STORE_CLASS_ID_MAX)
			fn(ctx, (uint32_t)class_id);
	}
	return read_finish(&reading);
}

/* Gives fn the labels that `which` (what follows WHERE, its ?n are args) selects. */
static int give_labels(struct store *store, const char *which, size_t n_args, const int64_t *args, store_item_fn *fn,
	void *ctx, struct err *err)
{
	char sql[256];
	struct reading reading;
	if (!read_begin(&reading, store, err))
		return 0;
	snprintf(sql, sizeof sql, "SELECT " ITEM_COLUMNS " FROM item WHERE %s ORDER BY id DESC", which);
	read_select(&reading, sql, n_args, args);
	while (read_next(&reading)) {
		struct item_row row;
		item_row_read(reading.stmt, store->file_id, &row);
		if (row.good)
			reading.answer = fn(ctx, &row.item);
	}
	return read_finish(&reading);
}

int store_labels(struct store *store, store_item_fn *fn, void *ctx, struct err *err)
{
	return give_labels(store, "kind = " SQL_KIND_LABEL, 0, NULL, fn, ctx, err);
}

int store_label(struct store *store, uint32_t class_id, store_item_fn *fn, void *ctx, struct err *err)
{
	return give_labels(store, "class_id = ?1 AND died = ?2 AND kind = " SQL_KIND_LABEL, SQL_ARGS(class_id, ALIVE),
		fn, ctx, err);
}
