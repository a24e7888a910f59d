/* SPDX-License-Identifier: MIT */
/* daemon/lesson/keyset.c: see keyset.h. */
#include "daemon/lesson/keyset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"

enum { KEYSET_FIRST_KEYS = 64 };

void keyset_init(struct keyset *set)
{
	memset(set, 0, sizeof *set);
	if (getrandom(&set->seed, sizeof set->seed, GRND_NONBLOCK) != sizeof set->seed)
		set->seed = (uintptr_t)set;
}

void keyset_deinit(struct keyset *set)
{
	free(set->keys);
	free(set->places);
	memset(set, 0, sizeof *set);
}

/* Where a search for the key begins. */
static size_t place_first(const struct keyset *set, const uint8_t key[STORE_KEY_BYTES])
{
	uint64_t state = set->seed ^ load_le64(key);
	state = splitmix64_next(&state) ^ load_le64(key + 8);
	return (size_t)splitmix64_next(&state) & (set->n_places - 1);
}

/* The place of the key, or the free one where it belongs. There is always a free one. */
static size_t place_of(const struct keyset *set, const uint8_t key[STORE_KEY_BYTES])
{
	size_t at = place_first(set, key);
	while (set->places[at] && memcmp(set->keys[set->places[at] - 1], key, STORE_KEY_BYTES) != 0)
		at = (at + 1) & (set->n_places - 1);
	return at;
}

/* Frees a place; what was put behind it because it was taken moves up, so that searches still find it. */
static void place_free(struct keyset *set, size_t hole)
{
	size_t mask = set->n_places - 1;
	set->places[hole] = 0;
	for (size_t at = (hole + 1) & mask; set->places[at]; at = (at + 1) & mask) {
		size_t wanted = place_first(set, set->keys[set->places[at] - 1]);
		if (((at - wanted) & mask) < ((at - hole) & mask))
			continue; /* its search begins behind the hole */
		set->places[hole] = set->places[at];
		set->places[at] = 0;
		hole = at;
	}
}

/* Only before the ring is full for the first time, when the oldest is still at 0. */
static void keyset_grow(struct keyset *set)
{
	size_t n = set->n_keys ? 2 * set->n_keys : KEYSET_FIRST_KEYS;
	set->n_keys = n < KEYSET_MAX ? n : KEYSET_MAX;
	set->keys = mem_realloc(set->keys, set->n_keys, sizeof *set->keys);
	free(set->places);
	set->n_places = set->n_places ? set->n_places : 1;
	while (3 * set->n_places <= 4 * set->n_keys)
		set->n_places *= 2;
	set->places = mem_zalloc(set->n_places, sizeof *set->places);
	for (size_t i = 0; i < set->n; i++)
		set->places[place_of(set, set->keys[i])] = (uint32_t)i + 1;
}

void keyset_add(struct keyset *set, const uint8_t key[STORE_KEY_BYTES])
{
	if (keyset_has(set, key))
		return;
	if (set->n == set->n_keys && set->n < KEYSET_MAX)
		keyset_grow(set);
	if (set->n == KEYSET_MAX) {
		place_free(set, place_of(set, set->keys[set->first]));
		set->first = (set->first + 1) % set->n_keys;
		set->n--;
	}
	size_t i = (set->first + set->n++) % set->n_keys, at = place_of(set, key);
	memcpy(set->keys[i], key, STORE_KEY_BYTES);
	set->places[at] = (uint32_t)i + 1;
}

bool keyset_has(const struct keyset *set, const uint8_t key[STORE_KEY_BYTES])
{
	return set->n_places && set->places[place_of(set, key)];
}
