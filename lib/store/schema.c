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
#include "lib/store/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "lib/base/endian.h"
#include "lib/base/require.h"

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
	"CREATE INDEX item_label ON item(id) WHERE kind = 2;";

enum { CRC_NUMBERS = 9 }; /* at most, before the bytes */

enum {                         /* offsets in the database header */
	AT_WRITE_VERSION = 18, /* 2: WAL */
	AT_READ_VERSION = 19,
	AT_USER_VERSION = 60,
	AT_APPLICATION_ID = 68,
};

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
	return check_ids(load_be32(header + AT_APPLICATION_ID), load_be32(header + AT_USER_VERSION), name, err);
}

int schema_identify(sqlite3 *db, const char *name, struct store_identity *ret_identity, struct err *err)
{
	int64_t application_id = 0, version = 0;
	int r = sql_int(db, "PRAGMA application_id", 0, NULL, 0, &application_id, err);
	if (r == 0)
		r = sql_int(db, "PRAGMA user_version", 0, NULL, 0, &version, err);
	if (r == 0)
		r = check_ids((uint32_t)application_id, (uint32_t)version, name, err);
	sqlite3_stmt *stmt = NULL;
	if (r == 0)
		r = sql_prepare(db, "SELECT feature_id, file_id FROM meta", &stmt, err);
	if (r != 0)
		return r;
	r = sql_step(stmt, err);
	if (r == 1 && sqlite3_column_bytes(stmt, 0) == STORE_FEATURE_ID_BYTES) {
		memcpy(ret_identity->feature_id, sqlite3_column_blob(stmt, 0), STORE_FEATURE_ID_BYTES);
		ret_identity->file_id = sqlite3_column_int64(stmt, 1);
		r = 0;
	} else if (r >= 0) {
		r = err_set(err, ERR_DATA_LOSS, "%s does not say which backbone it belongs to", name);
	}
	sqlite3_finalize(stmt);
	return r;
}

int schema_set_up(sqlite3 *db, struct err *err)
{
	/* A file is input: nothing in its schema may run code, and cells are checked before they are used. */
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
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
		bytes[AT_WRITE_VERSION] = bytes[AT_READ_VERSION] = 2; /* WAL from its first byte on */
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

void item_row_read(sqlite3_stmt *stmt, int64_t file_id, struct item_row *ret_row)
{
	const char *format = (const char *)sqlite3_column_text(stmt, 4);
	const uint8_t *data = sqlite3_column_blob(stmt, 5);
	size_t n = (size_t)sqlite3_column_bytes(stmt, 5);
	int64_t kind = sqlite3_column_int64(stmt, 1), class_id = sqlite3_column_int64(stmt, 2);
	*ret_row = (struct item_row){
		.id = sqlite3_column_int64(stmt, 0),
		.item =
			{
				.kind = (enum store_kind)kind,
				.class_id = (uint32_t)class_id,
				.born = (uint64_t)sqlite3_column_int64(stmt, 3),
				.format = format ? format : "",
				.data = data,
				.len_bytes = n,
			},
	};
	ret_row->good = kind >= STORE_ROW && kind <= STORE_NOTE && class_id >= 0 && class_id <= UINT32_MAX &&
			schema_item_crc(file_id, kind, class_id, ret_row->item.format, data, n) ==
				(uint32_t)sqlite3_column_int64(stmt, 6);
}

static int64_t column_seq(sqlite3_stmt *stmt, int column)
{
	return sqlite3_column_type(stmt, column) == SQLITE_NULL ? NO_SEQ : sqlite3_column_int64(stmt, column);
}

void change_row_read(sqlite3_stmt *stmt, int64_t file_id, struct change_row *ret_row)
{
	struct change_row row = {
		.entry =
			{
				.seq = (uint64_t)sqlite3_column_int64(stmt, 0),
				.time_ms = sqlite3_column_int64(stmt, 1),
				.op = (enum store_op)sqlite3_column_int64(stmt, 2),
				.result = sqlite3_column_blob(stmt, 7),
				.result_bytes = (size_t)sqlite3_column_bytes(stmt, 7),
			},
		.undo_to = column_seq(stmt, 3),
		.restored = column_seq(stmt, 4),
		.class_next = sqlite3_column_int64(stmt, 5),
		.item_first = sqlite3_column_int64(stmt, 6),
	};
	row.good = schema_change_crc(file_id, &row) == (uint32_t)sqlite3_column_int64(stmt, 8);
	row.entry.restored = row.restored == NO_SEQ ? 0 : (uint64_t)row.restored;
	if (!row.good) {
		row.entry.result = NULL;
		row.entry.result_bytes = 0;
	}
	*ret_row = row;
}
