/* SPDX-License-Identifier: MIT */
/* daemon/state/labels.h: what classes were called when, for entries that are read back from the store: changes keep class ids,
 * never labels. Wanted labels are gathered and found together: a few by what their classes are called now, where that was so
 * then; the others by one walk over the labels from the newest back that ends with the last one found. The cost is that of
 * how far back they lie, not their number times that of all labels. */
#pragma once

#include "daemon/state/snapshot.h"
#include "lib/base/err.h"
#include "lib/store/store.h"

struct label_wants {
	size_t n;
	struct label_want *list;
};

/* What the class was called when `at` was the newest change: *ret_label is filled by labels_find, or stays as it is. */
void label_want(struct label_wants *wants, uint32_t class_id, uint64_t at, struct label *ret_label);
/* Fills them and forgets them. What no label is known of stays empty. */
int labels_find(struct label_wants *wants, struct store *store, struct err *err);
void label_wants_drop(struct label_wants *wants);
/* The newest label of a class, living or not; false: none is known. */
bool label_newest(struct store *store, uint32_t class_id, struct label *ret_label);
