/* SPDX-License-Identifier: MIT */
/* daemon/state/labels.c: see labels.h. */
#include "daemon/state/labels.h"

#include <stdlib.h>

#include "lib/base/memory.h"

struct label_want {
	uint32_t class_id;
	uint64_t at;
	struct label *label;
	size_t n_found; /* of those of its class; in the first of them */
};

void label_want(struct label_wants *wants, uint32_t class_id, uint64_t at, struct label *ret_label)
{
	wants->list = mem_grow(wants->list, wants->n, sizeof *wants->list);
	wants->list[wants->n++] = (struct label_want){.class_id = class_id, .at = at, .label = ret_label};
}

void label_wants_drop(struct label_wants *wants)
{
	free(wants->list);
	*wants = (struct label_wants){0};
}

static int by_class_then_newest(const void *a, const void *b)
{
	const struct label_want *x = a, *y = b;
	if (x->class_id != y->class_id)
		return x->class_id < y->class_id ? -1 : 1;
	return (x->at < y->at) - (x->at > y->at);
}

struct finding {
	struct label_wants *wants;
	size_t n_left;
};

enum { ALL_FOUND = 1, FEW = 256 };

/* The walk comes from the newest: a label is that of every time from its birth on that has none yet. */
static int found_label(void *ctx, const struct store_item *item)
{
	struct finding *finding = ctx;
	const struct label_wants *wants = finding->wants;
	size_t low = 0, high = wants->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (wants->list[middle].class_id < item->class_id)
			low = middle + 1;
		else
			high = middle;
	}
	struct label label;
	if (low == wants->n || wants->list[low].class_id != item->class_id ||
		label_check_kept(item->data, item->len_bytes, &label, NULL) != 0)
		return 0;
	struct label_want *first = &wants->list[low], *end = wants->list + wants->n;
	for (struct label_want *want = first + first->n_found;
		want < end && want->class_id == item->class_id && want->at >= item->born; want++) {
		*want->label = label;
		first->n_found++;
		finding->n_left--;
	}
	return finding->n_left > 0 ? 0 : ALL_FOUND;
}

/* Of a few, the living labels first: most classes are still called what they were called then. */
static int find_living(struct finding *finding, struct store *store, struct err *err)
{
	const struct label_wants *wants = finding->wants;
	int r = 0;
	for (size_t i = 0; r == 0 && wants->n <= FEW && i < wants->n; i++)
		if (i == 0 || wants->list[i].class_id != wants->list[i - 1].class_id)
			r = store_label(store, wants->list[i].class_id, found_label, finding, err);
	return r;
}

int labels_find(struct label_wants *wants, struct store *store, struct err *err)
{
	struct finding finding = {.wants = wants, .n_left = wants->n};
	int r = 0;
	if (wants->n > 0) {
		qsort(wants->list, wants->n, sizeof *wants->list, by_class_then_newest);
		r = find_living(&finding, store, err);
		if (r == 0)
			r = store_labels(store, found_label, &finding, err);
	}
	label_wants_drop(wants);
	return r < 0 ? r : 0;
}

bool label_newest(struct store *store, uint32_t class_id, struct label *ret_label)
{
	struct label_wants wants = {0};
	struct label label = {.len_bytes = 0};
	label_want(&wants, class_id, UINT64_MAX, &label);
	if (labels_find(&wants, store, NULL) < 0 || label.len_bytes == 0)
		return false;
	*ret_label = label;
	return true;
}
