/* SPDX-License-Identifier: MIT */
/* lib/store/create.c: the directory and the state file, at the first commit.
 *
 * The file is written whole beside its place, synced and renamed: under its name there never is half a state file, so one
 * that is empty or no database is never taken for a beginning. Refuses to replace a file that appeared meanwhile. */
#include "lib/store/store_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/memory.h"

static int make_dir(struct store *store, enum file_fault *ret_fault, struct err *err)
{
	if (mkdir(store->dir, 0700) == 0) {
		store->made_dir = true;
		store->parent_synced = false;
		return 0;
	}
	if (errno == EEXIST)
		return 0;
	*ret_fault = FILE_FAULT_OTHER;
	if (errno == ENOSPC || errno == EDQUOT)
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "the disk of the state directory is full");
	return err_set(err, ERR_UNAVAILABLE, "cannot create the state directory %s: %s", store->dir, strerror(errno));
}

/* rename that never replaces. */
static int rename_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (access(to, F_OK) == 0) { /* a file system without the flag */
		errno = EEXIST;
		return -1;
	}
	return rename(from, to);
}

static int place_file(struct store *store, const char *from, enum file_fault *ret_fault, struct err *err)
{
	if (rename_new(from, store->path) != 0) {
		*ret_fault = errno == ENOSPC || errno == EDQUOT ? FILE_FAULT_FULL : FILE_FAULT_OTHER;
		if (*ret_fault == FILE_FAULT_FULL)
			err_set(err, ERR_RESOURCE_EXHAUSTED, "the disk of the state directory is full");
		else if (errno == EEXIST)
			err_set(err, ERR_UNAVAILABLE, "%s was created by another process meanwhile", store->path);
		else
			err_set(err, ERR_UNAVAILABLE, "cannot create %s: %s", store->path, strerror(errno));
		file_delete(from);
		if (*ret_fault == FILE_FAULT_OTHER && access(store->path, F_OK) == 0)
			mode_degrade(store, STORE_CLOSED, err); /* to be opened as it is */
		return -err->code;
	}
	store->created = true;
	return 0;
}

static int write_new(struct store *store, enum file_fault *ret_fault, struct err *err)
{
	uint8_t *bytes = NULL;
	size_t n = 0;
	int r = make_dir(store, ret_fault, err);
	if (r == 0)
		r = schema_new_image(store->feature_id, &bytes, &n, err);
	if (r != 0)
		return r;
	char *path = file_new_path(store->path);
	r = file_write(path, bytes, n, &store->io, ret_fault, err);
	sqlite3_free(bytes);
	if (r == 0)
		r = place_file(store, path, ret_fault, err);
	free(path);
	return r;
}

int sync_dirs(struct store *store, enum file_fault *ret_fault, struct err *err)
{
	int r = 0;
	if (store->made_dir && !store->parent_synced) {
		char *parent = mem_strdup(store->dir), *slash = strrchr(parent, '/');
		if (slash && slash != parent)
			*slash = '\0';
		r = file_sync_dir(!slash ? "." : slash == parent ? "/" : parent, &store->io, ret_fault, err);
		store->parent_synced = r == 0;
		free(parent);
	}
	if (r == 0 && !store->dir_synced) {
		r = file_sync_dir(store->dir, &store->io, ret_fault, err);
		store->dir_synced = r == 0;
	}
	return r;
}

int create_state(struct store *store, enum file_fault *ret_fault, struct err *err)
{
	int r = fresh_lock(store, err);
	if (r == 0 && !store->created)
		r = write_new(store, ret_fault, err);
	if (r == 0)
		r = connection_open(store, err);
	if (r != 0)
		return r;
	r = open_read_state(store, err);
	if (r == 0)
		r = place_note(store, err);
	if (r == 0) {
		counted_attach(store);
		fresh_unlock(store);
		return 0;
	}
	*ret_fault = sql_is_io_error(store->db) ? FILE_FAULT_IO : FILE_FAULT_OTHER;
	sqlite3_close(store->db);
	store->db = NULL;
	return r;
}
