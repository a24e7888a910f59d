/* SPDX-License-Identifier: MIT */
/* daemon/keyset.c: see keyset.h. Open addressing; nothing is ever removed but by a restart. */
#include "daemon/keyset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"

enum { KEYSET_FIRST_PLACES = 64 };

void keyset_init(struct keyset *set)
{
	memset(set, 0, sizeof *set);
	if (getrandom(&set->seed, sizeof set->seed, GRND_NONBLOCK) != sizeof set->seed)
		set->seed = (uintptr_t)set;
}

void keyset_deinit(struct keyset *set)
{
	free(set->keys);
	free(set->taken);
	memset(set, 0, sizeof *set);
}

/* The place of the key, or the free one where it belongs. There is always a free one. */
static size_t keyset_place(const struct keyset *set, const uint8_t key[STORE_KEY_BYTES])
{
	uint64_t state = set->seed ^ load_le64(key);
	state = splitmix64_next(&state) ^ load_le64(key + 8);
	size_t at = (size_t)splitmix64_next(&state) & (set->n_places - 1);
	while (set->taken[at] && memcmp(set->keys[at], key, STORE_KEY_BYTES) != 0)
		at = (at + 1) & (set->n_places - 1);
	return at;
}

static void keyset_grow(struct keyset *set)
{
	struct keyset old = *set;
	set->n_places = old.n_places ? 2 * old.n_places : KEYSET_FIRST_PLACES;
	set->keys = mem_zalloc(set->n_places, sizeof *set->keys);
	set->taken = mem_zalloc(set->n_places, sizeof *set->taken);
	for (size_t i = 0; i < old.n_places; i++) {
		if (!old.taken[i])
			continue;
		size_t at = keyset_place(set, old.keys[i]);
		memcpy(set->keys[at], old.keys[i], STORE_KEY_BYTES);
		set->taken[at] = true;
	}
	free(old.keys);
	free(old.taken);
}

void keyset_add(struct keyset *set, const uint8_t key[STORE_KEY_BYTES])
{
	if (4 * (set->n + 1) > 3 * set->n_places)
		keyset_grow(set);
	size_t at = keyset_place(set, key);
	if (set->taken[at])
		return;
	memcpy(set->keys[at], key, STORE_KEY_BYTES);
	set->taken[at] = true;
	set->n++;
}

bool keyset_has(const struct keyset *set, const uint8_t key[STORE_KEY_BYTES])
{
	return set->n_places && set->taken[keyset_place(set, key)];
}
