/* SPDX-License-Identifier: MIT */
/* tests/testlib/faulty_vfs.h: a disk that fails when it is told to: a shim over SQLite's own VFS, for tests alone.
 *
 * An executable that links faulty_vfs.c has it as SQLite's default VFS before main begins. Without a plan it does nothing
 * but count. A plan comes from faulty_vfs_set, from BNND_FAULT (once, at start), or from the file that BNND_FAULT_FILE
 * names (looked at before each operation, so that a test can change its mind while the program runs):
 *
 *   enospc            no space: writes and new files fail (half of a write goes through)
 *   edquot            the same, by quota
 *   eio-write         writes, truncations and deletions fail
 *   eio-sync          syncs fail
 *   readonly          nothing can be opened for writing, what is open fails to write
 *   slow-sync=MS      every sync takes MS milliseconds more
 *   none              (or an empty or missing file)
 *
 * each but readonly may be followed by @N (the first N operations still work) and xM (only M of them fail). Operations:
 * writes, syncs, truncations, deletions and new files, of every file that SQLite's VFS is used for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum faulty_kind {
	FAULTY_NONE,
	FAULTY_ENOSPC,
	FAULTY_EDQUOT,
	FAULTY_EIO_WRITE,
	FAULTY_EIO_SYNC,
	FAULTY_READONLY,
	FAULTY_SLOW_SYNC,
};

struct faulty_plan {
	enum faulty_kind kind;
	uint64_t after; /* operations that still work */
	uint64_t count; /* how many fail; 0: all that follow */
	unsigned slow_ms;
};

/* false: the text is no plan. */
bool faulty_vfs_parse(const char *text, struct faulty_plan *ret_plan);
/* Counts operations anew. */
void faulty_vfs_set(const struct faulty_plan *plan);
uint64_t faulty_vfs_operations(void); /* since faulty_vfs_set */
uint64_t faulty_vfs_failures(void);   /* of them failed by plan */
