/* SPDX-License-Identifier: MIT */
/* lib/store/verify.c: is what the file says of itself true? For each start, and for the offline check.
 *
 * CRCs cover what an item and a change hold. When an item lives, and in which order, is in no CRC but is kept twice, in
 * the table and in an index, which SQLite's own check compares; and which change an item is of follows from its id, since
 * each change keeps the first id that it gave. So no single bit can flip without a finding here or a wrong CRC.
 *
 * What SQLite's check compares must be numbers of the kind that was written: an index entry whose type says float where
 * its bytes are the largest integer is no number, which compares equal to everything and is read as NULL. */
#include "lib/store/store_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

struct verify {
	verify_fn *fn;
	void *ctx;
	sqlite3 *db;
	int64_t file_id;
	struct verified verified;
	sqlite3_stmt *changes; /* by seq */
	bool all_good;         /* up to now: what damaged changes say of items is not known */
	int64_t seq;           /* of the change whose items come */
	int64_t next_seq, next_first;
	int64_t newest;       /* seq of the newest change */
	uint32_t class_above; /* above every class of an item */
};

static void find(struct verify *v, enum finding finding, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void find(struct verify *v, enum finding finding, const char *format, ...)
{
	char line[ERR_TEXT_BYTES];
	va_list ap;
	va_start(ap, format);
	vsnprintf(line, sizeof line, format, ap);
	va_end(ap);
	text_make_printable(line);
	v->fn(v->ctx, finding, line);
}

/* Every page used once, every index entry has its row and every row its entries. */
static int verify_tree(struct verify *v, int max_findings, struct err *err)
{
	char sql[64];
	snprintf(sql, sizeof sql, "PRAGMA integrity_check(%d)", max_findings);
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(v->db, sql, &stmt, err);
	for (int n = 0; r == 0 && n < max_findings && (r = sql_step(stmt, err)) == 1; n++) {
		const char *line = (const char *)sqlite3_column_text(stmt, 0);
		r = 0;
		if (line && strcmp(line, "ok") != 0)
			find(v, FINDING_CONTRADICTION, "SQLite finds: %s", line);
	}
	sqlite3_finalize(stmt);
	return r;
}

/* The entries of the index are integers, as the rows are. */
static int verify_types(struct verify *v, struct err *err)
{
	int64_t n = 0;
	int r = sql_int(v->db,
		"SELECT count(*) FROM item INDEXED BY item_died WHERE typeof(died) <> 'integer' OR typeof(class_id) <> "
		"'integer' OR typeof(kind) <> 'integer' OR typeof(age) <> 'integer'",
		0, NULL, 0, &n, err);
	if (r == 0 && n > 0)
		find(v, FINDING_CONTRADICTION, "the index of items has %lld entries that are no integers",
			(long long)n);
	return r;
}

static void check_change(struct verify *v, const struct change_row *row, int64_t file_id)
{
	unsigned long long seq = row->entry.seq;
	struct verified *known = &v->verified;
	if (seq == 0) {
		find(v, FINDING_CONTRADICTION, "a change has a number that is none");
		v->all_good = false;
		return;
	}
	if (file_id != v->file_id && !row->good)
		find(v, FINDING_CONTRADICTION, "change %llu was written for another file: the -wal is not this file's",
			seq);
	else if (file_id != v->file_id || !row->good)
		find(v, FINDING_PAST, "change %llu is damaged", seq);
	else if (row->class_next < known->class_id_next)
		find(v, FINDING_CONTRADICTION, "change %llu gives class ids that were used before", seq);
	if (row->entry.seq != known->seq + 1)
		find(v, FINDING_CONTRADICTION, "changes %llu to %llu are missing", (unsigned long long)known->seq + 1,
			seq - 1);
	if (row->good && v->all_good && row->item_first < v->next_first)
		find(v, FINDING_CONTRADICTION, "change %llu gives item ids that were used before", seq);
	if (row->good && row->class_next > known->class_id_next)
		known->class_id_next = (uint32_t)row->class_next;
	known->newest_time_ms = row->entry.time_ms;
	known->newest_op = row->good ? row->entry.op : 0;
	v->all_good = v->all_good && row->good;
	known->seq = row->entry.seq;
}

/* The next change becomes the one whose items come; next_seq 0: there is none behind it. */
static int next_change(struct verify *v, struct err *err)
{
	struct change_row row;
	v->seq = v->next_seq;
	v->next_seq = 0;
	if (!v->changes)
		return 0;
	int r = sql_step(v->changes, err);
	if (r == 1) {
		change_row_read(v->changes, v->file_id, &row);
		check_change(v, &row, sqlite3_column_int64(v->changes, CHANGE_N_COLUMNS));
		v->next_seq = (int64_t)row.entry.seq;
		v->next_first = row.item_first;
		return 0;
	}
	sqlite3_finalize(v->changes);
	v->changes = NULL;
	return r;
}

enum { AT_DIED = ITEM_N_COLUMNS, AT_AGE };

/* What is wrong with a row whose columns cannot all be true, or NULL. */
static const char *contradiction(const struct verify *v, const struct item_row *row, sqlite3_stmt *stmt)
{
	int64_t born = (int64_t)row->item.born, died, age;
	if (!row->named || row->id < 1 || row->id > STORE_SEQ_MAX)
		return "has an id, kind or class that is none";
	if (born < 1 || born > v->newest || (v->all_good && born != v->seq))
		return "does not belong to the change that it names";
	if (!sql_column_int(stmt, AT_DIED, born + 1, ALIVE, &died) || (died > v->newest && died != ALIVE))
		return "died before it was born or after the newest change";
	if (!sql_column_int(stmt, AT_AGE, 1, row->id, &age))
		return "is a copy of one that came after it";
	if (v->all_good && row->item.class_id >= v->verified.class_id_next)
		return "has a class id that was never given";
	return NULL;
}

static void check_item(struct verify *v, sqlite3_stmt *stmt)
{
	struct item_row row;
	item_row_read(stmt, v->file_id, &row);
	const char *what = contradiction(v, &row, stmt);
	bool lives = sqlite3_column_int64(stmt, AT_DIED) == ALIVE;
	if (what)
		find(v, FINDING_CONTRADICTION, "item %lld %s", (long long)row.id, what);
	if (row.named && !row.good)
		find(v, lives ? FINDING_LIVING : FINDING_PAST, "the %s of class %u from change %llu is damaged%s",
			store_kind_name(row.item.kind), row.item.class_id, (unsigned long long)row.item.born,
			lives ? "" : " (an old version)");
	if (row.named && row.item.class_id >= v->class_above)
		v->class_above = row.item.class_id + 1;
}

/* Items by id and changes by seq go side by side. */
static int verify_rows(struct verify *v, struct err *err)
{
	sqlite3_stmt *items = NULL;
	int r = sql_int(v->db, "SELECT max(seq) FROM change", 0, NULL, 0, &v->newest, err);
	if (r == 0)
		r = sql_prepare(v->db, "SELECT " CHANGE_COLUMNS ", file_id FROM change ORDER BY seq", &v->changes, err);
	if (r == 0)
		r = next_change(v, err);
	if (r == 0)
		r = sql_prepare(
			v->db, "SELECT " ITEM_COLUMNS ", died, age FROM item NOT INDEXED ORDER BY id", &items, err);
	while (r == 0 && (r = sql_step(items, err)) == 1) {
		r = 0;
		while (r == 0 && v->next_seq != 0 && v->next_first <= sqlite3_column_int64(items, 0))
			r = next_change(v, err);
		if (r == 0)
			check_item(v, items);
	}
	while (r == 0 && v->changes)
		r = next_change(v, err);
	sqlite3_finalize(v->changes);
	sqlite3_finalize(items);
	return r;
}

int verify_file(
	sqlite3 *db, int64_t file_id, int max_findings, verify_fn *fn, void *ctx, struct verified *ret, struct err *err)
{
	struct verify v = {
		.fn = fn, .ctx = ctx, .db = db, .file_id = file_id, .verified = {.class_id_next = 1}, .all_good = true};
	int r = verify_tree(&v, max_findings, err);
	if (r == 0)
		r = verify_types(&v, err);
	if (r == 0)
		r = verify_rows(&v, err);
	if (v.class_above > v.verified.class_id_next) /* the change that gave it is damaged */
		v.verified.class_id_next = v.class_above;
	if (r == 0)
		*ret = v.verified;
	return r;
}

struct findings { /* the first of each, and how many */
	size_t n[FINDING_CONTRADICTION + 1];
	char first[FINDING_CONTRADICTION + 1][200];
};

static void keep_finding(void *ctx, enum finding finding, const char *sentence)
{
	struct findings *findings = ctx;
	if (findings->n[finding]++ == 0)
		snprintf(findings->first[finding], sizeof findings->first[finding], "%.190s", sentence);
}

/* "state-x.db is damaged (change 3 is damaged, and 2 more): what follows from that" */
static int say_damaged(struct store *store, const struct findings *findings, enum finding finding,
	const char *what_follows, struct err *err)
{
	char more[40] = "";
	if (findings->n[finding] > 1)
		snprintf(more, sizeof more, ", and %zu more", findings->n[finding] - 1);
	return err_set(err, ERR_DATA_LOSS, "%s is damaged (%s%s): %s; bnnd --check-state says what",
		file_base(store->path), findings->first[finding], more, what_follows);
}

/* A file that contradicts itself is served as well as can be, and not written to: a page that is taken for free, or an
 * index that leaves an item out, would make one flipped bit many. */
int verify_opened(struct store *store, struct err *err)
{
	struct verified verified;
	struct findings findings = {0};
	int r = verify_file(store->db, store->file_id, 1, keep_finding, &findings, &verified, err);
	if (r != 0)
		return r;
	store->class_id_next = verified.class_id_next;
	if (store->wal_lost) {
		snprintf(store->flaw, sizeof store->flaw,
			"%s is damaged: changes behind change %llu were acknowledged and are lost",
			file_base(store->wal_path), (unsigned long long)store->seq);
	} else if (findings.n[FINDING_PAST]) {
		say_damaged(store, &findings, FINDING_PAST, "that part of the past cannot be shown or made again", err);
		memcpy(store->flaw, err->text, sizeof store->flaw);
	}
	if (findings.n[FINDING_CONTRADICTION]) {
		say_damaged(store, &findings, FINDING_CONTRADICTION, "lessons are refused", err);
		mode_degrade(store, STORE_READ_ONLY, err);
	}
	return 0;
}
