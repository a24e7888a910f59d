/* SPDX-License-Identifier: MIT */
/* tests/testlib/faulty_vfs.c: see faulty_vfs.h. Never part of the shipped daemon. */
#include "tests/testlib/faulty_vfs.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static struct {
	sqlite3_vfs *real;
	struct faulty_plan plan;
	uint64_t operations, failures;
	const char *plan_file; /* NULL: none */
	char plan_text[64];    /* its last content */
} disk;

bool faulty_vfs_parse(const char *text, struct faulty_plan *ret_plan)
{
	static const struct {
		const char *name;
		enum faulty_kind kind;
	} kinds[] = {
		{"enospc", FAULTY_ENOSPC},
		{"edquot", FAULTY_EDQUOT},
		{"eio-write", FAULTY_EIO_WRITE},
		{"eio-sync", FAULTY_EIO_SYNC},
		{"readonly", FAULTY_READONLY},
		{"slow-sync", FAULTY_SLOW_SYNC},
		{"none", FAULTY_NONE},
		{"", FAULTY_NONE},
	};
	struct faulty_plan plan = {0};
	size_t n = strcspn(text, "=@x\n"), i = 0;
	for (; i < sizeof kinds / sizeof *kinds; i++)
		if (strlen(kinds[i].name) == n && strncmp(text, kinds[i].name, n) == 0)
			break;
	if (i == sizeof kinds / sizeof *kinds)
		return false;
	plan.kind = kinds[i].kind;
	char *end = (char *)text + n;
	if (*end == '=')
		plan.slow_ms = (unsigned)strtoul(end + 1, &end, 10);
	if (*end == '@')
		plan.after = strtoull(end + 1, &end, 10);
	if (*end == 'x')
		plan.count = strtoull(end + 1, &end, 10);
	if (*end != '\0' && *end != '\n')
		return false;
	*ret_plan = plan;
	return true;
}

void faulty_vfs_set(const struct faulty_plan *plan)
{
	disk.plan = *plan;
	disk.operations = disk.failures = 0;
}

uint64_t faulty_vfs_operations(void)
{
	return disk.operations;
}

uint64_t faulty_vfs_failures(void)
{
	return disk.failures;
}

static void follow_plan_file(void)
{
	int number = errno;
	if (!disk.plan_file)
		return;
	char text[sizeof disk.plan_text] = "";
	FILE *file = fopen(disk.plan_file, "re");
	if (file) {
		size_t n = fread(text, 1, sizeof text - 1, file);
		text[n] = '\0';
		fclose(file);
	}
	errno = number;
	struct faulty_plan plan;
	if (strcmp(text, disk.plan_text) == 0)
		return;
	memcpy(disk.plan_text, text, sizeof text);
	if (faulty_vfs_parse(text, &plan))
		faulty_vfs_set(&plan);
	else
		fprintf(stderr, "faulty_vfs: \"%s\" is no plan\n", text);
}

enum operation { OPERATION_WRITE, OPERATION_TRUNCATE, OPERATION_DELETE, OPERATION_SYNC, OPERATION_CREATE };

static bool applies(enum faulty_kind kind, enum operation operation)
{
	switch (kind) {
	case FAULTY_ENOSPC:
	case FAULTY_EDQUOT:
		return operation == OPERATION_WRITE || operation == OPERATION_CREATE;
	case FAULTY_EIO_WRITE:
		return operation == OPERATION_WRITE || operation == OPERATION_TRUNCATE || operation == OPERATION_DELETE;
	case FAULTY_EIO_SYNC:
		return operation == OPERATION_SYNC;
	case FAULTY_READONLY:
		return operation != OPERATION_SYNC;
	default:
		return false;
	}
}

/* Counts the operation; the errno that it fails with, 0: it works. */
static int next_operation(enum operation operation)
{
	static const int numbers[] = {0, ENOSPC, EDQUOT, EIO, EIO, EROFS, 0};
	follow_plan_file();
	uint64_t i = disk.operations++;
	const struct faulty_plan *plan = &disk.plan;
	if (plan->kind == FAULTY_SLOW_SYNC && operation == OPERATION_SYNC && i >= plan->after) {
		struct timespec time = {plan->slow_ms / 1000, (long)(plan->slow_ms % 1000) * 1000000};
		nanosleep(&time, NULL);
	}
	if (!applies(plan->kind, operation) || i < plan->after || (plan->count > 0 && disk.failures >= plan->count))
		return 0;
	disk.failures++;
	return errno = numbers[plan->kind];
}

struct faulty_file {
	sqlite3_file base;
	sqlite3_file *real; /* lies behind this */
};
#define REAL(file) (((struct faulty_file *)(file))->real)

static int file_close(sqlite3_file *file)
{
	return REAL(file)->pMethods->xClose(REAL(file));
}
static int file_read(sqlite3_file *file, void *data, int n, sqlite3_int64 at)
{
	return REAL(file)->pMethods->xRead(REAL(file), data, n, at);
}
static int file_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 at)
{
	int number = next_operation(OPERATION_WRITE);
	if (number == 0)
		return REAL(file)->pMethods->xWrite(REAL(file), data, n, at);
	if (number != EROFS && n > 1)
		REAL(file)->pMethods->xWrite(REAL(file), data, n / 2, at);
	errno = number;
	return number == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}
static int file_truncate(sqlite3_file *file, sqlite3_int64 n)
{
	if (next_operation(OPERATION_TRUNCATE) != 0)
		return SQLITE_IOERR_TRUNCATE;
	return REAL(file)->pMethods->xTruncate(REAL(file), n);
}
static int file_sync(sqlite3_file *file, int flags)
{
	if (next_operation(OPERATION_SYNC) != 0)
		return SQLITE_IOERR_FSYNC;
	return REAL(file)->pMethods->xSync(REAL(file), flags);
}
static int file_size(sqlite3_file *file, sqlite3_int64 *ret_n)
{
	return REAL(file)->pMethods->xFileSize(REAL(file), ret_n);
}
static int file_lock(sqlite3_file *file, int level)
{
	return REAL(file)->pMethods->xLock(REAL(file), level);
}
static int file_unlock(sqlite3_file *file, int level)
{
	return REAL(file)->pMethods->xUnlock(REAL(file), level);
}
static int file_check_lock(sqlite3_file *file, int *ret_locked)
{
	return REAL(file)->pMethods->xCheckReservedLock(REAL(file), ret_locked);
}
static int file_control(sqlite3_file *file, int op, void *arg)
{
	return REAL(file)->pMethods->xFileControl(REAL(file), op, arg);
}
static int file_sector(sqlite3_file *file)
{
	return REAL(file)->pMethods->xSectorSize(REAL(file));
}
static int file_device(sqlite3_file *file)
{
	return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}

/* Version 1: no shared memory, no mapping; the store needs neither. */
static const sqlite3_io_methods methods = {1, file_close, file_read, file_write, file_truncate, file_sync, file_size,
	file_lock, file_unlock, file_check_lock, file_control, file_sector, file_device};

static int faulty_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
	(void)vfs;
	struct faulty_file *faulty = (struct faulty_file *)file;
	struct stat st;
	faulty->base.pMethods = NULL;
	faulty->real = (sqlite3_file *)(faulty + 1);
	follow_plan_file();
	bool is_new = path && (flags & SQLITE_OPEN_CREATE) && stat(path, &st) != 0;
	if (is_new && next_operation(OPERATION_CREATE) != 0) {
		return SQLITE_CANTOPEN;
	}
	if (disk.plan.kind == FAULTY_READONLY && (flags & SQLITE_OPEN_READWRITE) && path) {
		errno = EROFS;
		if (!(flags & SQLITE_OPEN_MAIN_DB))
			return SQLITE_CANTOPEN;
		flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
	}
	int r = disk.real->xOpen(disk.real, path, faulty->real, flags, ret_flags);
	if (faulty->real->pMethods)
		faulty->base.pMethods = &methods;
	return r;
}
static int faulty_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
	(void)vfs;
	struct stat st;
	if (stat(path, &st) == 0 && next_operation(OPERATION_DELETE) != 0)
		return SQLITE_IOERR_DELETE;
	return disk.real->xDelete(disk.real, path, sync_dir);
}
static int faulty_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
	(void)vfs;
	follow_plan_file();
	if (disk.plan.kind == FAULTY_READONLY && flags == SQLITE_ACCESS_READWRITE) {
		*ret = 0;
		return SQLITE_OK;
	}
	return disk.real->xAccess(disk.real, path, flags, ret);
}
static int faulty_full_path(sqlite3_vfs *vfs, const char *path, int n, char *ret_path)
{
	(void)vfs;
	return disk.real->xFullPathname(disk.real, path, n, ret_path);
}
static int faulty_randomness(sqlite3_vfs *vfs, int n, char *ret)
{
	(void)vfs;
	return disk.real->xRandomness(disk.real, n, ret);
}
static int faulty_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return disk.real->xSleep(disk.real, us);
}
static int faulty_time(sqlite3_vfs *vfs, double *ret)
{
	(void)vfs;
	return disk.real->xCurrentTime(disk.real, ret);
}
static int faulty_last_error(sqlite3_vfs *vfs, int n, char *ret)
{
	(void)vfs;
	return disk.real->xGetLastError(disk.real, n, ret); /* errno, as it was left above */
}

__attribute__((constructor)) static void faulty_register(void)
{
	static sqlite3_vfs vfs;
	disk.real = sqlite3_vfs_find("unix");
	if (!disk.real)
		abort();
	vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = (int)sizeof(struct faulty_file) + disk.real->szOsFile,
		.mxPathname = disk.real->mxPathname,
		.zName = "faulty",
		.xOpen = faulty_open,
		.xDelete = faulty_delete,
		.xAccess = faulty_access,
		.xFullPathname = faulty_full_path,
		.xRandomness = faulty_randomness,
		.xSleep = faulty_sleep,
		.xCurrentTime = faulty_time,
		.xGetLastError = faulty_last_error,
	};
	disk.plan_file = getenv("BNND_FAULT_FILE");
	const char *text = getenv("BNND_FAULT");
	if (text && !faulty_vfs_parse(text, &disk.plan)) {
		fprintf(stderr, "faulty_vfs: BNND_FAULT=\"%s\" is no plan\n", text);
		abort();
	}
	if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
		abort();
}
