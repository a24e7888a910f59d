/* SPDX-License-Identifier: MIT */
/* lib/store/again.c: what stood in the way may pass: another process ends, a disk gets room, a directory that was moved
 * away comes back. Looked for when somebody asks (store_try_again, now and then; before each change store_look does).
 *
 * Never passes: a file that is not ours, newer or damaged, a failed sync, a file that something else has written to. */
#include "lib/store/store_inside.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#include "lib/base/memory.h"

enum { ROOM_BYTES = 64 << 10 /* about what a lesson of 20 pictures writes */ };

/* Whatever is served of it meanwhile stays until something better is there. */
static int open_anew(struct store *store, struct err *err)
{
	if (store->db && !open_can_write(store))
		return 0;
	connection_close(store);
	if (open_at_path(store, err) < 0)
		mode_degrade(store, STORE_CLOSED, err);
	return store->mode == STORE_CLOSED ? 0 : STORE_E_OPENED;
}

static bool has_room(struct store *store)
{
	struct statvfs disk;
	struct store_io io = {0};
	enum file_fault fault = FILE_FAULT_NONE;
	if (statvfs(store->dir, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < ROOM_BYTES)
		return false;
	uint8_t *bytes = mem_zalloc(1, ROOM_BYTES);
	char *path = file_new_path(store->path);
	bool has = file_write(path, bytes, ROOM_BYTES, &io, &fault, NULL) == 0;
	file_delete(path);
	free(path);
	free(bytes);
	return has;
}

int store_try_again(struct store *store, struct err *err)
{
	struct err own;
	err = err ? err : &own;
	switch (store->trouble) {
	case TROUBLE_AT_OPEN:
		return open_anew(store, err);
	case TROUBLE_GONE:
		return place_check(store, err) == 0 ? open_anew(store, err) : 0;
	case TROUBLE_HINDERED:
		if (!store->db && fresh_lock(store, err) != 0)
			mode_degrade(store, STORE_CLOSED, err);
		else if (has_room(store))
			mode_unhinder(store);
		return 0;
	case TROUBLE_NONE:
	case TROUBLE_FINAL:
	case TROUBLE_WRITTEN:
		break;
	}
	return 0;
}
