/* SPDX-License-Identifier: MIT */
/* lib/store/open.c: is the state there, ours, free and writable?
 *
 * A file is looked at from outside before SQLite sees it: SQLite would replay a foreign journal or delete a -wal beside an
 * empty file. What is not ours, newer, locked or damaged stays as it is (STORE_CLOSED); what cannot be written is served
 * from RAM (STORE_READ_ONLY). Opening, reading and closing write nothing; a session that committed carries its -wal into
 * the db when it closes. */
#include "lib/store/store_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"

static int keep_wal_pages(void *ctx, sqlite3 *db, const char *name, int n_pages)
{
	(void)db, (void)name;
	((struct store *)ctx)->wal_pages = n_pages;
	return SQLITE_OK;
}

int connection_open(struct store *store, struct err *err)
{
	sqlite3 *db = NULL;
	if (sqlite3_open_v2(store->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
		    NULL) != SQLITE_OK) {
		int r = db ? sql_error(db, err) : err_set(err, ERR_RESOURCE_EXHAUSTED, "no memory for the state");
		sqlite3_close(db);
		return r;
	}
	sql_budget_attach(db, &store->budget);
	/* Closing must not write: a checkpoint is made by store_close, and only when there is something to carry. */
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_wal_hook(db, keep_wal_pages, store); /* replaces the automatic checkpoint, whose errors nobody sees */
	int r = schema_set_up(db, err);
	/* EXCLUSIVE before the first access: the index of the -wal is then in RAM, no -shm, which a full disk refuses. */
	if (r == 0 &&
		sqlite3_exec(db,
			"PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=4194304",
			NULL, NULL, NULL) != SQLITE_OK)
		r = sql_error(db, err);
	if (r != 0) {
		sqlite3_close(db);
		return r;
	}
	store->db = db;
	return 0;
}

/* The newest change: its seq, the next class id, and that it was written for this file. */
static int read_newest(struct store *store, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(
		store->db, "SELECT " CHANGE_COLUMNS ", file_id FROM change ORDER BY seq DESC LIMIT 1", &stmt, err);
	if (r != 0)
		return r;
	r = sql_step(stmt, err);
	if (r == 1) {
		struct change_row row;
		change_row_read(stmt, store->file_id, &row);
		if (row.entry.seq == 0)
			r = err_set(err, ERR_DATA_LOSS, "%s is damaged (its newest change has no number)",
				file_base(store->path));
		store->seq = row.entry.seq;
		store->class_id_next = row.good ? (uint32_t)row.class_next : store->class_id_next;
		/* A good CRC was made with this file's id, whatever the column says. */
		if (r == 1)
			r = row.good || sqlite3_column_int64(stmt, CHANGE_N_COLUMNS) == store->file_id
				    ? 0
				    : err_set(err, ERR_DATA_LOSS,
					      "%s-wal belongs to another state file: put the right one beside it, or "
					      "none",
					      file_base(store->path));
	}
	sqlite3_finalize(stmt);
	return r;
}

int check_row_format(struct store *store, int64_t first_id, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(store->db,
		first_id == 0 ? "SELECT " ITEM_COLUMNS " FROM item WHERE died = ?1 AND kind = " SQL_KIND_ROW
				" AND format IS NOT ?2 AND format IS NOT ?4"
			      : "SELECT " ITEM_COLUMNS
				" FROM item WHERE id >= ?3 AND +died = ?1 AND kind = " SQL_KIND_ROW
				" AND format IS NOT ?2 AND format IS NOT ?4",
		&stmt, err);
	if (r != 0)
		return r;
	if (first_id != 0)
		sqlite3_bind_int64(stmt, 3, first_id);
	sqlite3_bind_int64(stmt, 1, ALIVE);
	sqlite3_bind_text(stmt, 2, store->format, -1, SQLITE_STATIC);
	if (store->old_format[0])
		sqlite3_bind_text(stmt, 4, store->old_format, -1, SQLITE_STATIC);
	while ((r = sql_step(stmt, err)) == 1) {
		struct item_row row;
		item_row_read(stmt, store->file_id, &row);
		if (!row.good)
			continue; /* a flipped bit is no other format: store_load finds it */
		err_set(err, ERR_FAILED_PRECONDITION, "%s holds rows of format \"%s\", but this bnnd runs with \"%s\"",
			file_base(store->path), row.item.format, store->format);
		r = ROW_FORMAT_OTHER;
		break;
	}
	sqlite3_finalize(stmt);
	return r;
}

int open_read_state(struct store *store, struct err *err)
{
	struct store_identity identity;
	int r = schema_identify(store->db, file_base(store->path), &identity, err);
	if (r == 0 && memcmp(identity.feature_id, store->feature_id, sizeof identity.feature_id) != 0)
		r = err_set(err, ERR_FAILED_PRECONDITION, "%s belongs to another backbone than its name says",
			file_base(store->path));
	if (r != 0)
		return r;
	store->file_id = identity.file_id;
	return read_newest(store, err);
}

static int read_existing(struct store *store, struct err *err)
{
	int r = open_read_state(store, err);
	return r == 0 ? verify_opened(store, err) : r;
}

bool open_can_write(const struct store *store)
{
	struct stat st;
	return file_can_write(store->dir) && (stat(store->path, &st) != 0 || file_can_write(store->path)) &&
	       (stat(store->wal_path, &st) != 0 || file_can_write(store->wal_path));
}

static void serve_copy(struct store *store, struct err *err)
{
	int r = image_open(store->path, &store->budget, &store->db, err);
	if (r == 0)
		r = read_existing(store, err);
	if (r != 0)
		mode_degrade(store, STORE_CLOSED, err);
	if (r != 0 || store->trouble == TROUBLE_FINAL)
		return;
	err_set(err, ERR_UNAVAILABLE,
		"the state directory %s cannot be written: a copy in memory is served and lessons are refused",
		store->dir);
	mode_degrade(store, STORE_READ_ONLY, err);
}

static void say_locked(const struct store *store, const struct file_probe *probe, struct err *err)
{
	char owner[64];
	file_owner_text(probe, owner, sizeof owner);
	err_set(err, ERR_UNAVAILABLE, "%s is %s", store->path, owner);
}

/* SQLite would take what it finds there for a log, and fail with the first change. */
static int check_wal_kind(const struct store *store, struct err *err)
{
	struct stat st;
	if (lstat(store->wal_path, &st) != 0 || S_ISREG(st.st_mode))
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "%s is not a regular file", store->wal_path);
}

static void open_existing(struct store *store, const struct file_probe *probe, struct err *err)
{
	if (probe->locked) {
		say_locked(store, probe, err);
		mode_degrade(store, STORE_CLOSED, err);
		return;
	}
	int r = schema_check_header(probe->header, file_base(store->path), err);
	if (r == 0 && file_has_journal(store->path))
		r = err_set(err, ERR_FAILED_PRECONDITION,
			"there is %s-journal, which bnnd never writes: move it away if it is not yours",
			file_base(store->path));
	if (r == 0)
		r = check_wal_kind(store, err);
	if (r != 0) {
		mode_degrade(store, STORE_CLOSED, err);
		return;
	}
	if (!open_can_write(store)) {
		serve_copy(store, err);
		return;
	}
	r = connection_open(store, err);
	if (r == 0)
		r = read_existing(store, err);
	if (r == 0)
		r = place_note(store, err);
	if (r == 0) {
		counted_attach(store);
		return;
	}
	bool busy = store->db && (sqlite3_errcode(store->db) & 0xFF) == SQLITE_BUSY;
	mode_degrade(store, STORE_CLOSED, err);
	struct file_probe again;
	if (busy && file_probe(store->path, &again, NULL) == 0 && again.locked) { /* somebody came between */
		say_locked(store, &again, err);
		mode_degrade(store, STORE_CLOSED, err);
	}
}

/* The directory, or what it would be created in. 0, or 1 with *err: it cannot be written, or negative. */
static int look_at_dir(struct store *store, struct err *err)
{
	struct stat st;
	if (stat(store->dir, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			return err_set(err, ERR_FAILED_PRECONDITION, "%s is not a directory", store->dir);
		if (file_can_write(store->dir))
			return 0;
		err_set(err, ERR_UNAVAILABLE, "the state directory %s cannot be written: lessons are refused",
			store->dir);
		return 1;
	}
	if (errno == ENOTDIR)
		return err_set(err, ERR_FAILED_PRECONDITION, "the state directory %s is below a file", store->dir);
	if (errno != ENOENT) {
		err_set(err, ERR_UNAVAILABLE, "the state directory %s cannot be reached: %s", store->dir,
			strerror(errno));
		return 1;
	}
	char *parent = mem_strdup(store->dir), *slash = strrchr(parent, '/');
	const char *name = !slash ? "." : slash == parent ? "/" : parent;
	if (slash && slash != parent)
		*slash = '\0';
	int r = 0;
	if (stat(name, &st) != 0) {
		r = err_set(err, ERR_NOT_FOUND, "the state directory %s cannot be created: %s does not exist",
			store->dir, name);
	} else if (!file_can_write(name)) {
		err_set(err, ERR_UNAVAILABLE, "the state directory %s cannot be created: lessons are refused",
			store->dir);
		r = 1;
	}
	free(parent);
	return r;
}

static int check_options(const struct store_options *options, struct err *err)
{
	if (strlen(options->model_name) >= MODEL_NAME_BYTES || strchr(options->model_name, '\n'))
		return err_set(err, ERR_INVALID_ARGUMENT, "the model's name is longer than %d bytes or has a line end",
			(int)MODEL_NAME_BYTES - 1);
	if (strlen(options->format) >= STORE_FORMAT_MAX_BYTES ||
		(options->old_format && strlen(options->old_format) >= STORE_FORMAT_MAX_BYTES))
		return err_set(err, ERR_INVALID_ARGUMENT, "the row format is longer than %d bytes",
			STORE_FORMAT_MAX_BYTES - 1);
	return 0;
}

static void look_into(struct store *store, const struct file_probe *probe, struct err *err)
{
	struct stat st;
	store->n_bytes = probe->n_bytes + (stat(store->wal_path, &st) == 0 ? (uint64_t)st.st_size : 0);
	store->wal_lost = !probe->locked && image_wal_lost(store->path);
	read_allow(store);
	open_existing(store, probe, err);
}

static void open_found(struct store *store, struct err *err)
{
	struct file_probe probe = {0};
	int r = file_probe(store->path, &probe, err);
	/* Nothing there yet: the directory is locked instead, and looked into once more. */
	if (r == 0 && !probe.exists && store->mode == STORE_READ_WRITE) {
		r = fresh_lock(store, err);
		if (r == 0)
			r = file_probe(store->path, &probe, err);
	}
	if (r != 0)
		mode_degrade(store, STORE_CLOSED, err);
	else if (probe.exists)
		look_into(store, &probe, err);
	if (store->db || store->mode == STORE_CLOSED)
		fresh_unlock(store);
}

int open_at_path(struct store *store, struct err *err)
{
	store->mode = STORE_READ_WRITE;
	store->trouble = TROUBLE_NONE;
	store->why[0] = store->flaw[0] = '\0';
	store->seq = 0;
	store->class_id_next = 1;
	store->wal_pages = 0;
	store->created = store->committed = store->dir_synced = false;
	int r = look_at_dir(store, err);
	if (r < 0)
		return r;
	if (r == 1)
		mode_degrade(store, STORE_READ_ONLY, err);
	open_found(store, err);
	int format = store->db ? check_row_format(store, 0, err) : 0;
	if (format == ROW_FORMAT_OTHER)
		return -err->code;
	if (format < 0)
		mode_degrade(store, STORE_CLOSED, err);
	store->current_is_ours = current_names(store->dir, store->feature_id, store->model_name);
	return 0;
}

int store_open(const struct store_options *options, struct store **ret_store, struct err *err)
{
	struct err own;
	err = err ? err : &own;
	int r = check_options(options, err);
	if (r != 0)
		return r;
	struct store *store = mem_zalloc(1, sizeof *store);
	char name[32];
	file_state_name(options->feature_id, name);
	store->dir = mem_strdup(options->dir);
	for (size_t n = strlen(store->dir); n > 1 && store->dir[n - 1] == '/'; n--)
		store->dir[n - 1] = '\0';
	store->path = file_path(store->dir, name);
	REQUIRE(asprintf(&store->wal_path, "%s-wal", store->path) > 0);
	memcpy(store->feature_id, options->feature_id, sizeof store->feature_id);
	snprintf(store->model_name, sizeof store->model_name, "%s", options->model_name);
	snprintf(store->format, sizeof store->format, "%s", options->format);
	snprintf(store->old_format, sizeof store->old_format, "%s", options->old_format ? options->old_format : "");
	store->dir_lock = -1;
	r = open_at_path(store, err);
	if (r != 0) {
		store_close(store);
		return r;
	}
	*ret_store = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	store_look(store); /* what is not ours any more is not written into at the end, either */
	/* So that the db alone is whole and a backup that forgets the -wal loses nothing; not after a failed write. */
	if (store->db && store->mode == STORE_READ_WRITE && store->committed)
		sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	connection_close(store);
	fresh_tidy(store);
	free(store->dir);
	free(store->path);
	free(store->wal_path);
	free(store);
}
