/* SPDX-License-Identifier: MIT */
/* lib/store/fresh.c: a directory in which there is no state of ours yet has no file whose lock would say that it is taken,
 * so the directory itself is locked (flock, which writes nothing) until the file is there. Of two daemons started on one
 * fresh directory the second knows at once. Where a directory cannot be locked, all goes on without. */
#include "lib/store/store_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { OWNER_READINGS = 3 };

void fresh_unlock(struct store *store)
{
	if (store->dir_lock >= 0)
		close(store->dir_lock);
	store->dir_lock = -1;
}

/* Who has flocked that file, by one reading of the kernel's list of locks; 0: it was not in it. */
static int find_owner(const struct stat *st)
{
	FILE *file = fopen("/proc/locks", "re");
	char line[200];
	int owner = 0;
	while (file && owner == 0 && fgets(line, sizeof line, file)) {
		unsigned device_major, device_minor;
		uintmax_t inode;
		int pid;
		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%" SCNuMAX, &pid, &device_major, &device_minor, &inode) ==
				4 &&
			inode == st->st_ino && device_major == major(st->st_dev) && device_minor == minor(st->st_dev))
			owner = pid > 0 ? pid : -1;
	}
	if (file)
		fclose(file);
	return owner;
}

/* 0: it cannot be told. The list comes in pieces: one that others shorten meanwhile leaves lines out. */
static int lock_owner(const struct stat *st)
{
	int owner = 0;
	for (int i = 0; i < OWNER_READINGS && owner == 0; i++)
		owner = find_owner(st);
	return owner > 0 ? owner : 0;
}

static bool is_still_there(const struct store *store)
{
	struct stat held, there;
	return store->dir_lock >= 0 && fstat(store->dir_lock, &held) == 0 && stat(store->dir, &there) == 0 &&
	       held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

int fresh_lock(struct store *store, struct err *err)
{
	struct stat st;
	if (is_still_there(store))
		return 0;
	fresh_unlock(store);
	if (mkdir(store->dir, 0700) == 0) {
		store->made_dir = true;
		store->parent_synced = false;
	} else if (errno != EEXIST) {
		return 0; /* the first change says why */
	}
	int fd = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		store->dir_lock = fd;
		return 0;
	}
	struct file_probe probe = {0};
	char owner[64];
	bool taken = errno == EWOULDBLOCK;
	if (taken && fstat(fd, &st) == 0)
		probe.owner = lock_owner(&st);
	close(fd);
	if (!taken)
		return 0;
	file_owner_text(&probe, owner, sizeof owner);
	return err_set(err, ERR_UNAVAILABLE, "the state directory %s is %s", store->dir, owner);
}

void fresh_tidy(struct store *store)
{
	fresh_unlock(store);
	if (store->made_dir && !store->created)
		rmdir(store->dir); /* fails unless it is as empty as it was made */
}
