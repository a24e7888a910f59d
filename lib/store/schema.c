/* SPDX-License-Identifier: MIT */
/* lib/store/schema.c: the tables, a new file as bytes, and whether a file is ours.
 *
 *   meta    one row: which backbone, and a random id of this file
 *   change  one row a mutation; undo_to: where an undo of it leads, restored: the seq that an undo or rollback made again,
 *           class_next: the next free class id behind it, item_first: the ids of the items that it brought begin here
 *   item    kind, class, born <= s < died; age: id of the item it is a copy of (its own for a new one), so that a sample
 *           that comes back by undo keeps its place among the others
 *
 * meta never changes, so its page is never in a -wal: a -wal that belongs to another file brings changes with another
 * file id. Refuses files that are not ours or of another schema version. */
#include "lib/store/store_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "lib/base/endian.h"
#include "lib/base/require.h"
#include "lib/base/text.h"

static const char tables[] =
	"CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), feature_id BLOB NOT NULL, file_id INTEGER NOT NULL);"
	"CREATE TABLE change(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, op INTEGER NOT NULL, key BLOB UNIQUE,"
	" undo_to INTEGER, restored INTEGER, class_next INTEGER NOT NULL, item_first INTEGER NOT NULL,"
	" file_id INTEGER NOT NULL,"
	" result BLOB NOT NULL, crc INTEGER NOT NULL);"
	"CREATE INDEX change_restored ON change(seq) WHERE restored IS NOT NULL;"
	"CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, class_id INTEGER NOT NULL,"
	" born INTEGER NOT NULL, died INTEGER NOT NULL, age INTEGER NOT NULL, format TEXT NOT NULL,"
	" data BLOB NOT NULL, crc INTEGER NOT NULL);"
	"CREATE INDEX item_died ON item(died, class_id, kind, age);"
	"CREATE INDEX item_label ON item(id) WHERE kind = " SQL_KIND_LABEL ";";

enum { CRC_NUMBERS = 9 }; /* at most, before the bytes */

enum { /* offsets in the database header */
	AT_WRITE_VERSION = 18,
	AT_READ_VERSION = 19,
	AT_USER_VERSION = 60,
	AT_APPLICATION_ID = 68,
};
enum { WAL_MODE = 2 }; /* of both versions */

const char *store_op_name(enum store_op op)
{
	static const char *const names[] = {[STORE_OP_LEARN] = "learn",
		[STORE_OP_FORGET] = "forget",
		[STORE_OP_RENAME] = "rename",
		[STORE_OP_UNDO] = "undo",
		[STORE_OP_ROLLBACK] = "rollback"};
	return op >= STORE_OP_LEARN && op <= STORE_OP_ROLLBACK ? names[op] : "unknown";
}

const char *store_kind_name(enum store_kind kind)
{
	static const char *const names[] = {[STORE_UNREADABLE] = "item",
		[STORE_ROW] = "row",
		[STORE_LABEL] = "label",
		[STORE_SAMPLE] = "sample",
		[STORE_NOTE] = "note"};
	return kind >= STORE_ROW && kind <= STORE_NOTE ? names[kind] : names[STORE_UNREADABLE];
}

static int check_ids(uint32_t application_id, uint32_t version, const char *name, struct err *err)
{
	if (application_id != STORE_APPLICATION_ID)
		return err_set(err, ERR_FAILED_PRECONDITION,
			"%s is a database of another program (application id 0x%08" PRIx32 "), it is left alone", name,
			application_id);
	if (version > STORE_SCHEMA_VERSION)
		return err_set(err, ERR_FAILED_PRECONDITION,
			"%s was written by a newer bnnd (schema %" PRIu32 ", this one knows %d), it is left alone",
			name, version, STORE_SCHEMA_VERSION);
	if (version < STORE_SCHEMA_VERSION)
		return err_set(err, ERR_FAILED_PRECONDITION, "%s has schema %" PRIu32 ", which no bnnd ever wrote",
			name, version);
	return 0;
}

int schema_check_header(const uint8_t header[SQLITE_HEADER_BYTES], const char *name, struct err *err)
{
	if (memcmp(header, "SQLite format 3", 16) != 0)
		return err_set(err, ERR_FAILED_PRECONDITION, "%s is not a database, it is left alone", name);
	int r = check_ids(load_be32(header + AT_APPLICATION_ID), load_be32(header + AT_USER_VERSION), name, err);
	if (r == 0 && (header[AT_WRITE_VERSION] != WAL_MODE || header[AT_READ_VERSION] != WAL_MODE))
		r = err_set(err, ERR_FAILED_PRECONDITION,
			"%s is damaged or was changed by another program (it is not in WAL mode: sqlite3 %s \"PRAGMA "
			"journal_mode=WAL\"), it is left alone",
			name, name);
	return r;
}

#define SCHEMA_QUERY "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid"

/* An empty database with our tables, in RAM. */
static int open_pattern(sqlite3 **ret_db, struct err *err)
{
	sqlite3 *db = NULL;
	int r = 0;
	if (sqlite3_open(":memory:", &db) != SQLITE_OK)
		r = err_set(err, ERR_RESOURCE_EXHAUSTED, "no memory for a new state");
	else if (sqlite3_exec(db, tables, NULL, NULL, NULL) != SQLITE_OK)
		r = sql_error(db, err);
	if (r == 0)
		*ret_db = db;
	else
		sqlite3_close(db);
	return r;
}

/* Two statements on their next rows, or both at their end: the same values? */
static bool same_rows(sqlite3_stmt *a, sqlite3_stmt *b, int state_a, int state_b)
{
	if (state_a != state_b)
		return false;
	for (int i = 0; state_a == 1 && i < sqlite3_column_count(a); i++) {
		const char *x = (const char *)sqlite3_column_text(a, i), *y = (const char *)sqlite3_column_text(b, i);
		if (!x != !y || (x && strcmp(x, y) != 0))
			return false;
	}
	return true;
}

/* Whatever else a schema holds, it is no state: a view would answer for a table, a trigger would run with each lesson. */
static int check_schema(sqlite3 *db, const char *name, struct err *err)
{
	sqlite3 *pattern = NULL;
	sqlite3_stmt *ours = NULL, *theirs = NULL;
	int r = open_pattern(&pattern, err), mine = 1, found = 1;
	if (r == 0)
		r = sql_prepare(pattern, SCHEMA_QUERY, &ours, err);
	if (r == 0)
		r = sql_prepare(db, SCHEMA_QUERY, &theirs, err);
	while (r == 0 && mine == 1) {
		mine = sql_step(ours, err);
		found = mine < 0 ? mine : sql_step(theirs, err);
		if (mine < 0 || found < 0) {
			r = mine < 0 ? mine : found;
		} else if (!same_rows(ours, theirs, mine, found)) {
			const char *row = (const char *)sqlite3_column_text(found == 1 ? theirs : ours, 1);
			char shown[64];
			text_escape(shown, sizeof shown, (const uint8_t *)(row ? row : ""), row ? strlen(row) : 0);
			r = err_set(err, ERR_FAILED_PRECONDITION,
				"%s is damaged or was changed by another program (its schema differs from bnnd's at "
				"'%s'), "
				"it is left alone",
				name, shown);
		}
	}
	sqlite3_finalize(ours);
	sqlite3_finalize(theirs);
	sqlite3_close(pattern);
	return r;
}

/* The one row of meta. */
static int read_identity(sqlite3 *db, const char *name, struct store_identity *ret_identity, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(db, "SELECT feature_id, file_id FROM meta", &stmt, err);
	if (r != 0)
		return r;
	r = sql_step(stmt, err);
	if (r == 1 && sqlite3_column_type(stmt, 0) == SQLITE_BLOB &&
		sqlite3_column_bytes(stmt, 0) == STORE_FEATURE_ID_BYTES &&
		sqlite3_column_type(stmt, 1) == SQLITE_INTEGER) {
		memcpy(ret_identity->feature_id, sqlite3_column_blob(stmt, 0), STORE_FEATURE_ID_BYTES);
		ret_identity->file_id = sqlite3_column_int64(stmt, 1);
		r = sql_step(stmt, err);
	} else if (r >= 0) {
		r = 1;
	}
	if (r == 1)
		r = err_set(err, ERR_DATA_LOSS, "%s does not say which backbone it belongs to", name);
	sqlite3_finalize(stmt);
	return r;
}

int schema_identify(sqlite3 *db, const char *name, struct store_identity *ret_identity, struct err *err)
{
	int64_t application_id = 0, version = 0;
	int r = sql_int(db, "PRAGMA application_id", 0, NULL, 0, &application_id, err);
	if (r == 0)
		r = sql_int(db, "PRAGMA user_version", 0, NULL, 0, &version, err);
	if (r == 0)
		r = check_ids((uint32_t)application_id, (uint32_t)version, name, err);
	if (r == 0)
		r = check_schema(db, name, err);
	return r == 0 ? read_identity(db, name, ret_identity, err) : r;
}

int schema_set_up(sqlite3 *db, struct err *err)
{
	/* A file is input: nothing in its schema may run code, and cells are checked before they are used. */
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, ROW_MAX_BYTES);
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	if (sqlite3_exec(db, "PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY", NULL, NULL, NULL) != SQLITE_OK)
		return sql_error(db, err);
	return 0;
}

static int fill_new(sqlite3 *db, const uint8_t feature_id[STORE_FEATURE_ID_BYTES], struct err *err)
{
	char pragmas[160];
	snprintf(pragmas, sizeof pragmas, "PRAGMA page_size=%d; PRAGMA application_id=%d; PRAGMA user_version=%d",
		STORE_PAGE_BYTES, STORE_APPLICATION_ID, STORE_SCHEMA_VERSION);
	if (sqlite3_exec(db, pragmas, NULL, NULL, NULL) != SQLITE_OK ||
		sqlite3_exec(db, tables, NULL, NULL, NULL) != SQLITE_OK)
		return sql_error(db, err);
	int64_t file_id = 0;
	sqlite3_randomness(sizeof file_id, &file_id);
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(db, "INSERT INTO meta(id, feature_id, file_id) VALUES(1, ?1, ?2)", &stmt, err);
	if (r != 0)
		return r;
	sqlite3_bind_blob(stmt, 1, feature_id, STORE_FEATURE_ID_BYTES, SQLITE_STATIC);
	sqlite3_bind_int64(stmt, 2, file_id);
	r = sql_step(stmt, err);
	sqlite3_finalize(stmt);
	return r;
}

int schema_new_image(
	const uint8_t feature_id[STORE_FEATURE_ID_BYTES], uint8_t **ret_bytes, size_t *ret_n, struct err *err)
{
	sqlite3 *db = NULL;
	if (sqlite3_open(":memory:", &db) != SQLITE_OK) {
		sqlite3_close(db);
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "no memory for a new state");
	}
	int r = fill_new(db, feature_id, err);
	if (r == 0) {
		sqlite3_int64 n = 0;
		uint8_t *bytes = sqlite3_serialize(db, "main", &n, 0);
		REQUIRE(bytes && n >= STORE_PAGE_BYTES);
		bytes[AT_WRITE_VERSION] = bytes[AT_READ_VERSION] = WAL_MODE; /* from its first byte on */
		*ret_bytes = bytes;
		*ret_n = (size_t)n;
	}
	sqlite3_close(db);
	return r;
}

static uint32_t crc_numbers(size_t n, const int64_t *numbers)
{
	uint8_t bytes[8 * CRC_NUMBERS];
	REQUIRE(n <= CRC_NUMBERS);
	for (size_t i = 0; i < n; i++)
		store_le64(bytes + 8 * i, (uint64_t)numbers[i]);
	return (uint32_t)crc32(0, bytes, (uInt)(8 * n));
}

uint32_t schema_item_crc(
	int64_t file_id, int64_t kind, int64_t class_id, const char *format, const void *data, size_t n)
{
	size_t format_bytes = strlen(format);
	const int64_t numbers[] = {file_id, kind, class_id, (int64_t)format_bytes, (int64_t)n};
	uLong crc = crc_numbers(sizeof numbers / sizeof *numbers, numbers);
	crc = crc32(crc, (const Bytef *)format, (uInt)format_bytes);
	return (uint32_t)(n ? crc32(crc, data, (uInt)n) : crc);
}

uint32_t schema_change_crc(int64_t file_id, const struct change_row *row)
{
	const struct store_entry *e = &row->entry;
	const int64_t numbers[] = {file_id, (int64_t)e->seq, e->time_ms, e->op, row->undo_to, row->restored,
		row->class_next, row->item_first, (int64_t)e->result_bytes};
	uLong crc = crc_numbers(sizeof numbers / sizeof *numbers, numbers);
	return (uint32_t)(e->result_bytes ? crc32(crc, e->result, (uInt)e->result_bytes) : crc);
}

static bool is_text(sqlite3_stmt *stmt, int column, size_t below_bytes)
{
	if (sqlite3_column_type(stmt, column) != SQLITE_TEXT)
		return false;
	const unsigned char *text = sqlite3_column_text(stmt, column);
	size_t n = (size_t)sqlite3_column_bytes(stmt, column);
	return text && n < below_bytes && strlen((const char *)text) == n;
}

static bool is_blob(sqlite3_stmt *stmt, int column, int max_bytes)
{
	return sqlite3_column_type(stmt, column) == SQLITE_BLOB && sqlite3_column_bytes(stmt, column) <= max_bytes;
}

/* Everything is set, whatever the row holds. */
void item_row_read(sqlite3_stmt *stmt, int64_t file_id, struct item_row *ret_row)
{
	struct item_row row = {.id = sqlite3_column_int64(stmt, 0), .item = {.format = ""}};
	struct store_item *item = &row.item;
	int64_t kind, class_id, born, crc;
	row.named = sql_column_int(stmt, 1, STORE_ROW, STORE_NOTE, &kind);
	row.named &= sql_column_int(stmt, 2, 0, STORE_CLASS_ID_MAX, &class_id);
	if (row.named) {
		item->kind = (enum store_kind)kind;
		item->class_id = (uint32_t)class_id;
	}
	row.good = sql_column_int(stmt, 3, 1, STORE_SEQ_MAX, &born) && row.named &&
		   is_text(stmt, 4, STORE_FORMAT_MAX_BYTES) && is_blob(stmt, 5, STORE_ITEM_MAX_BYTES) &&
		   sql_column_int(stmt, 6, 0, UINT32_MAX, &crc);
	item->born = (uint64_t)born;
	if (row.good) {
		item->format = (const char *)sqlite3_column_text(stmt, 4);
		item->data = sqlite3_column_blob(stmt, 5);
		item->len_bytes = (size_t)sqlite3_column_bytes(stmt, 5);
		row.good = schema_item_crc(file_id, item->kind, item->class_id, item->format, item->data,
				   item->len_bytes) == (uint32_t)crc;
	}
	*ret_row = row;
}

/* A seq before the change's own, or none: NULL. */
static bool read_earlier_seq(sqlite3_stmt *stmt, int column, int64_t seq, int64_t *ret)
{
	if (sql_column_int(stmt, column, 0, seq - 1, ret))
		return true;
	*ret = NO_SEQ;
	return sqlite3_column_type(stmt, column) == SQLITE_NULL;
}

/* An undo or rollback says what it restored, the others do not. */
static bool restores_as_its_op(const struct change_row *row)
{
	bool undoes = row->entry.op == STORE_OP_UNDO || row->entry.op == STORE_OP_ROLLBACK;
	return undoes == (row->restored != NO_SEQ);
}

void change_row_read(sqlite3_stmt *stmt, int64_t file_id, struct change_row *ret_row)
{
	struct change_row row = {0};
	struct store_entry *e = &row.entry;
	int64_t seq, op, crc;
	row.good = sql_column_int(stmt, 0, 1, STORE_SEQ_MAX, &seq);
	row.good &= sql_column_int(stmt, 1, INT64_MIN, INT64_MAX, &e->time_ms);
	row.good &= sql_column_int(stmt, 2, STORE_OP_LEARN, STORE_OP_ROLLBACK, &op);
	row.good &= read_earlier_seq(stmt, 3, seq, &row.undo_to);
	row.good &= read_earlier_seq(stmt, 4, seq, &row.restored);
	row.good &= sql_column_int(stmt, 5, 1, STORE_CLASS_ID_MAX, &row.class_next);
	row.good &= sql_column_int(stmt, 6, 1, STORE_SEQ_MAX, &row.item_first);
	row.good &= is_blob(stmt, 7, STORE_RESULT_MAX_BYTES);
	row.good &= sql_column_int(stmt, 8, 0, UINT32_MAX, &crc);
	e->seq = (uint64_t)seq;
	e->op = (enum store_op)op;
	if (row.good && restores_as_its_op(&row)) {
		e->result = sqlite3_column_blob(stmt, 7);
		e->result_bytes = (size_t)sqlite3_column_bytes(stmt, 7);
		row.good = schema_change_crc(file_id, &row) == (uint32_t)crc;
	} else {
		row.good = false;
	}
	e->restored = row.restored == NO_SEQ ? 0 : (uint64_t)row.restored;
	e->damaged = !row.good;
	if (!row.good) {
		e->result = NULL;
		e->result_bytes = 0;
	}
	*ret_row = row;
}
