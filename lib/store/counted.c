/* SPDX-License-Identifier: MIT */
/* lib/store/counted.c: how many bytes and syncs go to the disk.
 *
 * SQLite hands out the open files of a connection. Their table of methods is replaced by a copy in which xWrite and xSync
 * count and then do what they did; the files are the same objects. A whole VFS for two numbers would be more code than
 * the store. Not counted: the directory's sync when SQLite creates a -wal (once in a file's life). */
#include "lib/store/store_inside.h"

#include <stddef.h>

static struct counted_file *counted_of(sqlite3_file *file)
{
	return (struct counted_file *)((char *)file->pMethods - offsetof(struct counted_file, methods));
}

static int counted_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 at)
{
	struct counted_file *counted = counted_of(file);
	counted->io->bytes_written += (uint64_t)n;
	return counted->real->xWrite(file, data, n, at);
}

static int counted_sync(sqlite3_file *file, int flags)
{
	struct counted_file *counted = counted_of(file);
	counted->io->syncs++;
	return counted->real->xSync(file, flags);
}

static void attach(struct counted_file *counted, struct store_io *io, sqlite3_file *file)
{
	if (!file || !file->pMethods || file->pMethods == &counted->methods)
		return;
	counted->real = file->pMethods;
	counted->methods = *file->pMethods;
	counted->methods.xWrite = counted_write;
	counted->methods.xSync = counted_sync;
	counted->io = io;
	file->pMethods = &counted->methods;
}

void counted_attach(struct store *store)
{
	sqlite3_file *file = NULL;
	if (sqlite3_file_control(store->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK)
		attach(&store->counted_db, &store->io, file);
	file = NULL;
	if (sqlite3_file_control(store->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) == SQLITE_OK)
		attach(&store->counted_wal, &store->io, file);
}

void store_io(const struct store *store, struct store_io *ret_io)
{
	*ret_io = store->io;
}
