/* SPDX-License-Identifier: MIT */
/* lib/store/file.c: whole files written and synced, and a look at a db file from outside.
 *
 * Writing goes through SQLite's default VFS (opened as a super-journal: a plain file whose first sync also syncs its
 * directory), so that the tests' faulty disk reaches every byte that the store writes. Reading does not. */
#include "lib/store/store_inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"

enum { /* os_unix.c: the bytes of the db that SQLite locks; every lock lies in them */
	LOCK_FIRST_BYTE = 0x40000000,
	LOCK_BYTES = 512,
};

char *file_path(const char *dir, const char *name)
{
	char *path = NULL;
	REQUIRE(asprintf(&path, "%s/%s", dir, name) > 0);
	return path;
}

const char *file_base(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

void file_state_name(const uint8_t feature_id[STORE_FEATURE_ID_BYTES], char ret_name[32])
{
	size_t used = (size_t)snprintf(ret_name, 32, "state-");
	for (size_t i = 0; i < 8; i++)
		used += (size_t)snprintf(ret_name + used, 32 - used, "%02x", feature_id[i]);
	snprintf(ret_name + used, 32 - used, ".db");
}

bool file_can_write(const char *path)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	int yes = 0;
	return vfs->xAccess(vfs, path, SQLITE_ACCESS_READWRITE, &yes) == SQLITE_OK && yes;
}

void file_delete(const char *path)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	vfs->xDelete(vfs, path, 0);
}

static int write_fault(int code, const char *path, enum file_fault *ret_fault, struct err *err)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	int number = vfs->xGetLastError(vfs, 0, NULL);
	/* A full disk refuses a new file, too, and a quota a write: the VFS has no word for it, errno has. */
	bool is_full =
		(number == ENOSPC || number == EDQUOT) && (code == SQLITE_CANTOPEN || code == SQLITE_IOERR_WRITE);
	if ((code & 0xFF) == SQLITE_FULL || is_full) {
		*ret_fault = FILE_FAULT_FULL;
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "the disk of the state directory is full");
	}
	if ((code & 0xFF) == SQLITE_IOERR && !(code == SQLITE_IOERR_WRITE && sql_errno_passes(number))) {
		*ret_fault = FILE_FAULT_IO;
		return err_set(err, ERR_UNAVAILABLE, "the disk of the state failed while writing %s", file_base(path));
	}
	*ret_fault = FILE_FAULT_OTHER;
	return err_set(err, ERR_UNAVAILABLE, "cannot create %s: %s", path, strerror(number));
}

int file_write(
	const char *path, const void *data, size_t n, struct store_io *io, enum file_fault *ret_fault, struct err *err)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	sqlite3_file *file = mem_zalloc(1, (size_t)vfs->szOsFile);
	vfs->xDelete(vfs, path, 0); /* what a crash left */
	errno = 0;
	int code = vfs->xOpen(vfs, path, file,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXCLUSIVE | SQLITE_OPEN_SUPER_JOURNAL, NULL);
	if (code == SQLITE_OK && chmod(path, 0600) != 0)
		code = SQLITE_CANTOPEN;
	if (code == SQLITE_OK)
		code = file->pMethods->xWrite(file, data, (int)n, 0);
	if (code == SQLITE_OK)
		code = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
	int r = code == SQLITE_OK ? 0 : write_fault(code, path, ret_fault, err);
	if (file->pMethods)
		file->pMethods->xClose(file);
	free(file);
	if (r != 0)
		vfs->xDelete(vfs, path, 0);
	io->bytes_written += r == 0 ? n : 0;
	io->syncs += r == 0 ? 2 : 0; /* the file and its directory */
	return r;
}

char *file_new_path(const char *path)
{
	char *new_path = NULL;
	REQUIRE(asprintf(&new_path, "%s.%d.new", path, (int)getpid()) > 0);
	return new_path;
}

/* NAME.PID.new of a process that is gone. */
static bool is_left_over(const char *name)
{
	size_t n = strlen(name);
	if (n < 5 || strcmp(name + n - 4, ".new") != 0)
		return false;
	size_t at = n - 4;
	while (at > 0 && name[at - 1] >= '0' && name[at - 1] <= '9')
		at--;
	long pid = at < n - 4 ? strtol(name + at, NULL, 10) : 0;
	bool ours = strncmp(name, "state-", 6) == 0 || strncmp(name, "current.", 8) == 0;
	return ours && at > 0 && name[at - 1] == '.' && pid > 0 && pid != getpid() && kill((pid_t)pid, 0) != 0 &&
	       errno == ESRCH;
}

void file_sweep(const char *dir_path)
{
	DIR *dir = opendir(dir_path);
	for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
		if (!is_left_over(entry->d_name))
			continue;
		char *path = file_path(dir_path, entry->d_name);
		file_delete(path);
		free(path);
	}
	if (dir)
		closedir(dir);
}

int file_sync_dir(const char *dir, struct store_io *io, enum file_fault *ret_fault, struct err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		*ret_fault = FILE_FAULT_OTHER;
		return err_set(err, ERR_UNAVAILABLE, "cannot open %s: %s", dir, strerror(errno));
	}
	int number = fsync(fd) == 0 ? 0 : errno;
	close(fd);
	io->syncs++;
	/* Some file systems cannot sync a directory: they keep the order without. */
	if (number == 0 || number == EINVAL)
		return 0;
	*ret_fault = FILE_FAULT_IO;
	return err_set(err, ERR_UNAVAILABLE, "cannot sync %s: %s", dir, strerror(number));
}

int file_read(const char *path, size_t max_bytes, uint8_t **ret_data, size_t *ret_n, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot read %s: %s", path, strerror(errno));
	struct stat st;
	int r = 0;
	uint8_t *data = NULL;
	size_t n = 0;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		r = err_set(err, ERR_FAILED_PRECONDITION, "%s is not a regular file", path);
	else if ((uint64_t)st.st_size > max_bytes)
		r = err_set(err, ERR_RESOURCE_EXHAUSTED, "%s is too large to be read into memory (%lld bytes)", path,
			(long long)st.st_size);
	else if (!(data = sqlite3_malloc64((sqlite3_uint64)st.st_size + 1)))
		r = err_set(
			err, ERR_RESOURCE_EXHAUSTED, "no memory to read %s (%lld bytes)", path, (long long)st.st_size);
	while (r == 0 && n < (size_t)st.st_size) {
		ssize_t got = read(fd, data + n, (size_t)st.st_size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			r = err_set(err, ERR_UNAVAILABLE, "cannot read %s: %s", path, strerror(errno));
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	if (r != 0) {
		sqlite3_free(data);
		return r;
	}
	*ret_data = data;
	*ret_n = n;
	return 0;
}

int file_probe(const char *path, struct file_probe *ret_probe, struct err *err)
{
	struct file_probe probe = {0};
	struct stat st;
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) /* SQLite would keep the -wal beside what it leads to */
		return err_set(err, ERR_UNAVAILABLE,
			"%s is a symbolic link: put the file itself there, or link the whole directory", path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		*ret_probe = probe;
		return 0;
	}
	if (fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot read %s: %s", path, strerror(errno));
	int r = 0;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		r = err_set(err, ERR_UNAVAILABLE, "%s is not a regular file", path);
	} else {
		struct flock lock = {
			.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_FIRST_BYTE, .l_len = LOCK_BYTES};
		probe.exists = true;
		probe.n_bytes = (uint64_t)st.st_size;
		probe.locked = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
		probe.owner = probe.locked && lock.l_pid > 0 ? lock.l_pid : 0;
		if (pread(fd, probe.header, sizeof probe.header, 0) < 0)
			r = err_set(err, ERR_UNAVAILABLE, "cannot read %s: %s", path, strerror(errno));
	}
	close(fd);
	if (r == 0)
		*ret_probe = probe;
	return r;
}

bool file_has_journal(const char *path)
{
	char *journal = NULL;
	struct stat st;
	REQUIRE(asprintf(&journal, "%s-journal", path) > 0);
	bool has = stat(journal, &st) == 0 && st.st_size > 0;
	free(journal);
	return has;
}

void file_owner_text(const struct file_probe *probe, char *ret_text, size_t n)
{
	if (probe->owner > 0)
		snprintf(ret_text, n, "in use by process %d", probe->owner);
	else
		snprintf(ret_text, n, "in use by another process");
}
