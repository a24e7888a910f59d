/* SPDX-License-Identifier: MIT */
/* lib/store/check.c: a look at states that are not open: the offline check, and how much another backbone's holds.
 * Works on copies in RAM: nothing is written, locked or created. Refuses a file that a process has open. */
#include "lib/store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/memory.h"
#include "lib/base/text.h"

uint32_t store_peek_classes(const char *dir, const uint8_t feature_id[STORE_FEATURE_ID_BYTES])
{
	char name[32];
	file_state_name(feature_id, name);
	char *path = file_path(dir, name);
	struct file_probe probe;
	struct store_identity identity;
	sqlite3 *db = NULL;
	int64_t n = 0;
	if (file_probe(path, &probe, NULL) == 0 && probe.exists && !probe.locked &&
		schema_check_header(probe.header, name, NULL) == 0 && image_open(path, &db, NULL) == 0 &&
		schema_identify(db, name, &identity, NULL) == 0 &&
		memcmp(identity.feature_id, feature_id, sizeof identity.feature_id) == 0)
		sql_int(db, "SELECT count(DISTINCT class_id) FROM item WHERE died = ?1 AND kind = 1 AND class_id > 0",
			SQL_ARGS(ALIVE), 0, &n, NULL);
	sqlite3_close(db);
	free(path);
	return (uint32_t)n;
}

struct check {
	store_finding_fn *fn;
	void *ctx;
	const char *name; /* of the file looked at */
	sqlite3 *db;
	struct store_identity identity;
	size_t n_findings;
};

static void find(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void find(struct check *check, const char *format, ...)
{
	char line[ERR_TEXT_BYTES + 64];
	va_list ap;
	int n = snprintf(line, sizeof line, "%s: ", check->name);
	va_start(ap, format);
	vsnprintf(line + n, sizeof line - (size_t)n, format, ap);
	va_end(ap);
	text_make_printable(line);
	check->n_findings++;
	check->fn(check->ctx, line);
}

static void check_tree(struct check *check)
{
	sqlite3_stmt *stmt = NULL;
	struct err err;
	int r = sql_prepare(check->db, "PRAGMA integrity_check(20)", &stmt, &err);
	while (r == 0 && (r = sql_step(stmt, &err)) == 1) {
		const char *line = (const char *)sqlite3_column_text(stmt, 0);
		if (line && strcmp(line, "ok") != 0)
			find(check, "SQLite finds: %s", line);
		r = 0;
	}
	sqlite3_finalize(stmt);
	if (r < 0)
		find(check, "%s", err.text);
}

static const char *kind_name(enum store_kind kind)
{
	static const char *const names[] = {"item", "row", "label", "sample", "note"};
	return kind >= STORE_ROW && kind <= STORE_NOTE ? names[kind] : names[0];
}

static void check_items(struct check *check)
{
	sqlite3_stmt *stmt = NULL;
	struct err err;
	int r = sql_prepare(check->db,
		"SELECT " ITEM_COLUMNS ", died, (SELECT 1 FROM change WHERE seq = born) FROM item ORDER BY id", &stmt,
		&err);
	while (r == 0 && (r = sql_step(stmt, &err)) == 1) {
		struct item_row row;
		item_row_read(stmt, check->identity.file_id, &row);
		unsigned long long born = row.item.born;
		int64_t died = sqlite3_column_int64(stmt, 7);
		if (!row.good)
			find(check, "the %s of class %u from change %llu is damaged%s", kind_name(row.item.kind),
				row.item.class_id, born, died == ALIVE ? "" : " (an old version)");
		if (sqlite3_column_type(stmt, 8) == SQLITE_NULL || died <= (int64_t)row.item.born)
			find(check, "item %lld (class %u) belongs to no change or died before it was born",
				(long long)row.id, row.item.class_id);
		r = 0;
	}
	sqlite3_finalize(stmt);
	if (r < 0)
		find(check, "%s", err.text);
}

static void check_changes(struct check *check)
{
	sqlite3_stmt *stmt = NULL;
	struct err err;
	uint64_t last = 0;
	int64_t class_next = 0, above = 0;
	int r = sql_prepare(check->db, "SELECT " CHANGE_COLUMNS ", file_id FROM change ORDER BY seq", &stmt, &err);
	while (r == 0 && (r = sql_step(stmt, &err)) == 1) {
		struct change_row row;
		change_row_read(stmt, check->identity.file_id, &row);
		unsigned long long seq = row.entry.seq;
		if (sqlite3_column_int64(stmt, 9) != check->identity.file_id)
			find(check, "change %llu was written for another file: the -wal is not this file's", seq);
		else if (!row.good)
			find(check, "change %llu is damaged", seq);
		else if (row.undo_to >= (int64_t)seq || row.entry.restored >= seq)
			find(check, "change %llu leads back to itself or to a later one", seq);
		else if (row.class_next < class_next)
			find(check, "change %llu gives class ids that were used before", seq);
		if (last != 0 && row.entry.seq != last + 1)
			find(check, "changes %llu to %llu are missing", (unsigned long long)last + 1, seq - 1);
		last = row.entry.seq;
		class_next = row.good ? row.class_next : class_next;
		r = 0;
	}
	sqlite3_finalize(stmt);
	if (r == 0)
		r = sql_int(check->db, "SELECT count(*) FROM item WHERE class_id >= ?1", SQL_ARGS(class_next), 0,
			&above, &err);
	if (r < 0)
		find(check, "%s", err.text);
	else if (above > 0)
		find(check, "%lld items have class ids that were never given", (long long)above);
}

static void check_file(struct check *check, const char *path)
{
	struct file_probe probe;
	struct err err;
	struct stat st;
	char *journal = NULL, owner[64], own_name[32];
	if (file_probe(path, &probe, &err) != 0) {
		find(check, "%s", err.text);
		return;
	}
	if (probe.locked) {
		file_owner_text(&probe, owner, sizeof owner);
		find(check, "%s: stop it to check the file", owner);
		return;
	}
	if (asprintf(&journal, "%s-journal", path) > 0 && stat(journal, &st) == 0 && st.st_size > 0)
		find(check, "there is a rollback journal beside it, which bnnd never writes");
	free(journal);
	if (schema_check_header(probe.header, check->name, &err) != 0 || image_open(path, &check->db, &err) != 0) {
		find(check, "%s", err.text);
		return;
	}
	if (schema_identify(check->db, check->name, &check->identity, &err) != 0) {
		find(check, "%s", err.text);
		check_tree(check);
	} else {
		file_state_name(check->identity.feature_id, own_name);
		if (strcmp(own_name, check->name) != 0)
			find(check, "it belongs to another backbone than its name says (%s)", own_name);
		check_tree(check);
		check_changes(check);
		check_items(check);
	}
	sqlite3_close(check->db);
	check->db = NULL;
}

static void check_current(struct check *check, const char *dir)
{
	struct store_current current;
	struct stat st;
	char *path = file_path(dir, "current");
	if (stat(path, &st) == 0 && store_current_read(dir, &current) != 0) {
		check->name = "current";
		find(check, "it cannot be read: the default model will be used");
	}
	free(path);
}

static int is_state_name(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);
	return strncmp(entry->d_name, "state-", 6) == 0 && n > 9 && strcmp(entry->d_name + n - 3, ".db") == 0;
}

int store_check(const char *dir, store_finding_fn *fn, void *ctx, struct err *err)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_state_name, alphasort);
	if (n < 0)
		return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
			"the state directory %s cannot be read: %s", dir, strerror(errno));
	struct check check = {.fn = fn, .ctx = ctx};
	for (int i = 0; i < n; i++) {
		char *path = file_path(dir, entries[i]->d_name);
		check.name = entries[i]->d_name;
		check_file(&check, path);
		free(path);
		free(entries[i]);
	}
	free(entries);
	check_current(&check, dir);
	return check.n_findings > 0 ? 1 : 0;
}
