/* SPDX-License-Identifier: MIT */
/* lib/store/mode.c: how the state is served just now, why, and how that gets worse: at a read that fails, at a commit, or
 * when the file is not what it was. It gets better in again.c alone. */
#include "lib/store/store_inside.h"

#include <stdio.h>
#include <string.h>

enum store_mode store_mode(const struct store *store)
{
	return store->mode;
}

const char *store_why(const struct store *store)
{
	return store->why;
}

const char *store_flaw(const struct store *store)
{
	return store->flaw;
}

uint64_t store_seq(const struct store *store)
{
	return store->seq;
}

uint32_t store_class_id_next(const struct store *store)
{
	return store->class_id_next;
}

void connection_close(struct store *store)
{
	sqlite3_close_v2(store->db); /* a statement of a caller may be open */
	store->db = NULL;
	store->counted_db = store->counted_wal = (struct counted_file){0};
	store->place.noted = false;
}

/* What another process, the disk or the administrator did may be undone by them; what is in a file stays. */
static bool may_pass(const struct err *why)
{
	return why->code == ERR_UNAVAILABLE || why->code == ERR_RESOURCE_EXHAUSTED || why->code == ERR_NOT_FOUND;
}

void mode_degrade(struct store *store, enum store_mode mode, const struct err *why)
{
	store->mode = mode;
	memcpy(store->why, why->text, sizeof store->why);
	if (store->trouble != TROUBLE_FINAL)
		store->trouble = may_pass(why) ? TROUBLE_AT_OPEN : TROUBLE_FINAL;
	if (mode == STORE_CLOSED) {
		connection_close(store);
		store->seq = 0;
		store->class_id_next = 1;
	}
}

void mode_fail(struct store *store, const struct err *why)
{
	store->mode = STORE_READ_ONLY;
	store->trouble = TROUBLE_FINAL;
	snprintf(store->why, sizeof store->why, "%.300s: lessons are refused until restart", why->text);
}

void mode_hinder(struct store *store, const struct err *why)
{
	store->trouble = TROUBLE_HINDERED;
	snprintf(store->why, sizeof store->why, "%.300s: lessons fail until that has passed", why->text);
}

void mode_unhinder(struct store *store)
{
	if (store->trouble != TROUBLE_HINDERED)
		return;
	store->trouble = TROUBLE_NONE;
	store->why[0] = '\0';
}

static void lose(struct store *store, enum trouble trouble, const char *remedy, struct err *why)
{
	char found[300];
	snprintf(found, sizeof found, "%.299s", why->text);
	err_set(why, ERR_UNAVAILABLE, "%s: lessons are refused %s", found, remedy);
	store->mode = STORE_READ_ONLY;
	store->trouble = trouble;
	memcpy(store->why, why->text, sizeof store->why);
}

void mode_gone(struct store *store, struct err *why)
{
	lose(store, TROUBLE_GONE, "until it is back in its place or bnnd is restarted", why);
}

void mode_written(struct store *store, struct err *why)
{
	lose(store, TROUBLE_WRITTEN, "until restart; a copy is put back, -wal and all, while bnnd is stopped", why);
}

bool store_look(struct store *store)
{
	struct err err = {0};
	if (!store->db || store->mode != STORE_READ_WRITE)
		return false;
	int found = place_check(store, &err);
	if (found == PLACE_GONE)
		mode_gone(store, &err);
	else if (found == PLACE_WRITTEN)
		mode_written(store, &err);
	return found != 0;
}

bool store_mends(const struct store *store)
{
	return store->trouble == TROUBLE_AT_OPEN || store->trouble == TROUBLE_GONE ||
	       store->trouble == TROUBLE_HINDERED;
}
