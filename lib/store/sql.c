/* SPDX-License-Identifier: MIT */
/* lib/store/sql.c: statements in few words, and what SQLite's result codes mean for people and for the next lesson.
 * A full disk is told from a broken one here and nowhere else. */
#include "lib/store/store_inside.h"

#include <errno.h>
#include <string.h>

/* Of the system call that failed. SQLite keeps none for a COMMIT, the VFS (that is, errno) still has it then. */
static int last_errno(sqlite3 *db)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	int number = sqlite3_system_errno(db);
	return number ? number : vfs->xGetLastError(vfs, 0, NULL);
}

static bool out_of_space(sqlite3 *db)
{
	int code = sqlite3_extended_errcode(db), number = last_errno(db);
	if ((code & 0xFF) == SQLITE_FULL)
		return true;
	/* A new -wal that finds no room, a quota met while writing. Met while syncing it is a lost page instead. */
	return (number == ENOSPC || number == EDQUOT) &&
	       ((code & 0xFF) == SQLITE_CANTOPEN || code == SQLITE_IOERR_WRITE);
}

bool sql_errno_passes(int number)
{
	return number == ENOMEM || number == EINTR || number == EAGAIN || number == EMFILE || number == ENFILE;
}

/* Locks, and looks from outside, write nothing; memory and descriptors come back, and a write that was refused for want of
 * them left nothing behind the last commit. */
static bool passes(int code, int number)
{
	switch (code) {
	case SQLITE_IOERR_NOMEM:
	case SQLITE_IOERR_LOCK:
	case SQLITE_IOERR_RDLOCK:
	case SQLITE_IOERR_UNLOCK:
	case SQLITE_IOERR_CHECKRESERVEDLOCK:
	case SQLITE_IOERR_BLOCKED:
	case SQLITE_IOERR_ACCESS:
	case SQLITE_IOERR_FSTAT:
		return true;
	case SQLITE_IOERR_READ:
	case SQLITE_IOERR_WRITE:
		return sql_errno_passes(number);
	default:
		return false;
	}
}

bool sql_is_io_error(sqlite3 *db)
{
	int code = sqlite3_extended_errcode(db);
	return (code & 0xFF) == SQLITE_IOERR && !out_of_space(db) && !passes(code, last_errno(db));
}

int sql_error(sqlite3 *db, struct err *err)
{
	int code = sqlite3_extended_errcode(db), number = last_errno(db);
	if (out_of_space(db))
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "the disk of the state directory is full");
	switch (code & 0xFF) {
	case SQLITE_NOMEM:
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "no memory for the state");
	case SQLITE_IOERR:
		if (code == SQLITE_IOERR_NOMEM)
			return err_set(err, ERR_RESOURCE_EXHAUSTED, "no memory for the state");
		return err_set(err, ERR_UNAVAILABLE, "the disk of the state failed (%s%s%s)", sqlite3_errmsg(db),
			number ? ", " : "", number ? strerror(number) : "");
	case SQLITE_INTERRUPT: /* by the budget, nothing else interrupts */
		return err_set(err, ERR_DATA_LOSS, "the state file is damaged (reading it comes to no end)");
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_TOOBIG:
	case SQLITE_MISMATCH:
	case SQLITE_CONSTRAINT: /* what a whole file allows is all that is ever written */
		return err_set(err, ERR_DATA_LOSS, "the state file is damaged (%s)", sqlite3_errmsg(db));
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(err, ERR_UNAVAILABLE, "the state file is in use by another process");
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		number = (code & 0xFF) == SQLITE_CANTOPEN ? number : 0;
		return err_set(err, ERR_UNAVAILABLE, "the state file cannot be written (%s%s%s)", sqlite3_errmsg(db),
			number ? ", " : "", number ? strerror(number) : "");
	default:
		return err_set(err, ERR_INTERNAL, "the state file: %s (%d)", sqlite3_errmsg(db), code);
	}
}

static int spend(void *ctx)
{
	struct sql_budget *budget = ctx;
	budget->left -= budget->left < BUDGET_STRIDE ? budget->left : BUDGET_STRIDE;
	return budget->left == 0;
}

void sql_budget_attach(sqlite3 *db, struct sql_budget *budget)
{
	sqlite3_progress_handler(db, BUDGET_STRIDE, spend, budget);
}

void sql_budget_refill(struct sql_budget *budget, uint64_t n_bytes)
{
	budget->left = BUDGET_STEPS + BUDGET_STEPS_PER_BYTE * n_bytes;
}

int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return sql_error(db, err);
	*ret_stmt = stmt;
	return 0;
}

void sql_bind(sqlite3_stmt *stmt, size_t n, const int64_t *args)
{
	for (size_t i = 0; i < n; i++) {
		if (args[i] == NO_SEQ)
			sqlite3_bind_null(stmt, (int)i + 1);
		else
			sqlite3_bind_int64(stmt, (int)i + 1, args[i]);
	}
}

int sql_step(sqlite3_stmt *stmt, struct err *err)
{
	int r = sqlite3_step(stmt);
	if (r == SQLITE_ROW)
		return 1;
	return r == SQLITE_DONE ? 0 : sql_error(sqlite3_db_handle(stmt), err);
}

int sql_run(sqlite3 *db, const char *sql, size_t n, const int64_t *args, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(db, sql, &stmt, err);
	if (r != 0)
		return r;
	sql_bind(stmt, n, args);
	while ((r = sql_step(stmt, err)) > 0)
		;
	sqlite3_finalize(stmt);
	return r;
}

int sql_int(
	sqlite3 *db, const char *sql, size_t n, const int64_t *args, int64_t otherwise, int64_t *ret, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = sql_prepare(db, sql, &stmt, err);
	if (r != 0)
		return r;
	sql_bind(stmt, n, args);
	r = sql_step(stmt, err);
	if (r >= 0)
		*ret = r > 0 && sqlite3_column_type(stmt, 0) != SQLITE_NULL ? sqlite3_column_int64(stmt, 0) : otherwise;
	sqlite3_finalize(stmt);
	return r < 0 ? r : 0;
}

bool sql_column_int(sqlite3_stmt *stmt, int column, int64_t min, int64_t max, int64_t *ret)
{
	int64_t value = sqlite3_column_int64(stmt, column);
	bool good = sqlite3_column_type(stmt, column) == SQLITE_INTEGER && value >= min && value <= max;
	*ret = good ? value : 0;
	return good;
}
