/* SPDX-License-Identifier: MIT */
/* lib/store/place.c: is the file that is open still the one at its path, as we left it?
 *
 * A directory that is removed, a file that is moved away, an older copy laid over it: SQLite goes on writing into what it
 * has open, and what is acknowledged then is lost. So before and after each change db and -wal are looked at by lstat of
 * their paths: device and inode must be those that were opened, size and time those of our own last write; and the open
 * handle must read the header that it read then. Never by a second descriptor: closing it would drop SQLite's locks.
 *
 * Moved away while a change was being written, they have our last write and nobody saw its size and time: what they
 * look like when they are back is taken for ours. */
#include "lib/store/store_inside.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int mark_read(const char *path, struct file_mark *ret_mark)
{
	struct stat st;
	if (lstat(path, &st) != 0) /* behind a link the next start would look for the -wal elsewhere */
		return -errno;
	*ret_mark = (struct file_mark){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
	return 0;
}

static bool header_read(struct store *store, uint8_t ret_header[SQLITE_HEADER_BYTES])
{
	sqlite3_file *file = NULL;
	return sqlite3_file_control(store->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file &&
	       file->pMethods && file->pMethods->xRead(file, ret_header, SQLITE_HEADER_BYTES, 0) == SQLITE_OK;
}

static bool same_file(const struct file_mark *a, const struct file_mark *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

int place_note(struct store *store, struct err *err)
{
	struct place *place = &store->place;
	struct file_mark db = {0}, wal = {0};
	bool there = mark_read(store->path, &db) == 0 && mark_read(store->wal_path, &wal) == 0;
	if (!there && !place->noted)
		return err_set(err, ERR_UNAVAILABLE, "%s was removed or moved away while bnnd opened it", store->path);
	if (place->noted && !(there && same_file(&db, &place->db) && same_file(&wal, &place->wal)))
		place->unseen = true;
	else
		*place = (struct place){.noted = true, .db = db, .wal = wal};
	header_read(store, place->header);
	return 0;
}

static bool same_content(const struct file_mark *a, const struct file_mark *b)
{
	return a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static int check_file(const char *path, const struct file_mark *noted, struct file_mark *ret_now, struct err *err)
{
	int r = mark_read(path, ret_now);
	if (r == -ENOENT || r == -ENOTDIR)
		err_set(err, ERR_UNAVAILABLE, "%s was removed or moved away while bnnd had it open", path);
	else if (r != 0)
		err_set(err, ERR_UNAVAILABLE, "%s cannot be reached any more: %s", path, strerror(-r));
	else if (!same_file(ret_now, noted))
		err_set(err, ERR_UNAVAILABLE, "%s is another file than the one that bnnd has open", path);
	else
		return 0;
	return PLACE_GONE;
}

/* Both are those that were opened; how they look now. */
static int check_both(const struct store *store, struct file_mark *ret_db, struct file_mark *ret_wal, struct err *err)
{
	int r = check_file(store->path, &store->place.db, ret_db, err);
	return r != 0 ? r : check_file(store->wal_path, &store->place.wal, ret_wal, err);
}

int place_check_files(const struct store *store, struct err *err)
{
	struct file_mark db = {0}, wal = {0};
	return store->place.noted ? check_both(store, &db, &wal, err) : 0;
}

int place_check(struct store *store, struct err *err)
{
	struct file_mark db = {0}, wal = {0};
	uint8_t header[SQLITE_HEADER_BYTES];
	if (!store->place.noted)
		return 0;
	int r = check_both(store, &db, &wal, err);
	if (r != 0)
		return r;
	if (store->place.unseen) {
		store->place.db = db;
		store->place.wal = wal;
		store->place.unseen = false;
	}
	const char *written = !same_content(&db, &store->place.db)     ? store->path
			      : !same_content(&wal, &store->place.wal) ? store->wal_path
								       : NULL;
	if (!written && store->db &&
		(!header_read(store, header) || memcmp(header, store->place.header, sizeof header) != 0))
		written = store->path;
	if (!written)
		return 0;
	err_set(err, ERR_UNAVAILABLE, "%s was written to by something else while bnnd had it open", written);
	return PLACE_WRITTEN;
}
