/* SPDX-License-Identifier: MIT */
/* daemon/keyset.h: the keys of committed changes, so that asking again is seen without the disk.
 *
 * A key in the set may have been folded away in the store: the store has the last word. Keys are a stranger's bytes, so
 * their hash is seeded. Loop thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/store/store.h" /* STORE_KEY_BYTES */

struct keyset {
	size_t n, n_places; /* a power of two, at least 4/3 n */
	uint8_t (*keys)[STORE_KEY_BYTES];
	bool *taken;
	uint64_t seed;
};

void keyset_init(struct keyset *set);
void keyset_deinit(struct keyset *set);
void keyset_add(struct keyset *set, const uint8_t key[STORE_KEY_BYTES]);
bool keyset_has(const struct keyset *set, const uint8_t key[STORE_KEY_BYTES]);
