/* SPDX-License-Identifier: MIT */
/* daemon/state/snapshot.c: finds classes in a snapshot. How one is made, counted and ends: snapshot_make.c. */
#include "daemon/state/snapshot.h"

#include <string.h>

size_t snapshot_first_after(const struct snapshot *snapshot, const struct label *label)
{
	size_t low = 0, high = snapshot->n_classes;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (label_compare(&snapshot->classes[middle]->label, label) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct class_entry *snapshot_find_exact(const struct snapshot *snapshot, const struct label *label)
{
	size_t after = snapshot_first_after(snapshot, label);
	return after > 0 && label_equal(&snapshot->classes[after - 1]->label, label) ? snapshot->classes[after - 1]
										     : NULL;
}

const struct class_entry *snapshot_find(const struct snapshot *snapshot, const struct label *label)
{
	if (label->len_bytes == 0)
		return snapshot->none;
	const struct class_entry *exact = snapshot_find_exact(snapshot, label);
	if (exact)
		return exact;
	struct label key;
	label_key(label, &key);
	size_t low = 0, high = snapshot->n_classes; /* the first whose key is not smaller */
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (label_compare(&snapshot->by_key[middle]->key, &key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < snapshot->n_classes && label_equal(&snapshot->by_key[low]->key, &key) ? snapshot->by_key[low]
											   : NULL;
}

bool class_has_digest(const struct class_entry *class, const uint8_t digest[DIGEST_BYTES])
{
	for (size_t i = 0; class && i < class->n_digests; i++)
		if (memcmp(class->digests[i], digest, DIGEST_BYTES) == 0)
			return true;
	return false;
}
