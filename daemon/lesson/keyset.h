/* SPDX-License-Identifier: MIT */
/* daemon/lesson/keyset.h: the keys of committed changes, so that asking again is seen without the disk.
 *
 * Bounded: the newest KEYSET_MAX, as many as the store remembers; one more and the oldest goes. A key in the set may be
 * forgotten in the store, which has the last word. Keys are a stranger's bytes, so their hash is seeded. Loop thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/store/store.h" /* STORE_KEY_BYTES, STORE_KEYS_KEPT */

enum { KEYSET_MAX = STORE_KEYS_KEPT };

struct keyset {
	/* The keys in the order in which they came, a ring: the oldest at `first`. */
	size_t n, first, n_keys; /* n_keys: room in keys[], at most KEYSET_MAX */
	uint8_t (*keys)[STORE_KEY_BYTES];
	/* Where in keys[] they are: open addressing, index + 1, 0: free. */
	size_t n_places; /* a power of two, above 4/3 of n_keys */
	uint32_t *places;
	uint64_t seed;
};

void keyset_init(struct keyset *set);
void keyset_deinit(struct keyset *set);
void keyset_add(struct keyset *set, const uint8_t key[STORE_KEY_BYTES]);
bool keyset_has(const struct keyset *set, const uint8_t key[STORE_KEY_BYTES]);
