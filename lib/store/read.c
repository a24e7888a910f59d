/* SPDX-License-Identifier: MIT */
/* lib/store/read.c: the one way in which something is read of an open file: with a budget, and with an end that looks at
 * how it went. A file that is broken below its rows is touched no more. */
#include "lib/store/store_inside.h"

void read_allow(struct store *store)
{
	sql_budget_refill(&store->budget, store->n_bytes + store->io.bytes_written);
}

bool read_begin(struct reading *reading, struct store *store, struct err *err)
{
	*reading = (struct reading){.store = store};
	reading->err = err ? err : &reading->own;
	if (!store->db)
		return false;
	read_allow(store);
	return true;
}

void read_select(struct reading *reading, const char *sql, size_t n, const int64_t *args)
{
	if (reading->r != 0 || reading->answer != 0)
		return;
	sqlite3_finalize(reading->stmt);
	reading->stmt = NULL;
	reading->r = sql_prepare(reading->store->db, sql, &reading->stmt, reading->err);
	if (reading->r == 0)
		sql_bind(reading->stmt, n, args);
}

bool read_next(struct reading *reading)
{
	if (reading->r != 0 || reading->answer != 0)
		return false;
	int r = sql_step(reading->stmt, reading->err);
	reading->r = r < 0 ? r : 0;
	return r == 1;
}

int read_finish(struct reading *reading)
{
	sqlite3_finalize(reading->stmt);
	if (reading->r < 0)
		mode_degrade(reading->store, STORE_CLOSED, reading->err);
	return reading->r < 0 ? reading->r : reading->answer;
}
