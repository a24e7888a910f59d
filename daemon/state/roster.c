/* SPDX-License-Identifier: MIT */
/* daemon/state/roster.c: see roster.h. */
#include "daemon/state/roster.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"

typedef int order_fn(const struct class_entry *a, const struct class_entry *b);

static int by_id(const struct class_entry *a, const struct class_entry *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

static int by_label(const struct class_entry *a, const struct class_entry *b)
{
	int r = label_compare(&a->label, &b->label);
	return r != 0 ? r : by_id(a, b);
}

static int by_key(const struct class_entry *a, const struct class_entry *b)
{
	int r = label_compare(&a->key, &b->key);
	return r != 0 ? r : by_label(a, b);
}

/* ---- a list in one order ---- */

/* Where the class is, or belongs: the first that is not smaller. */
static size_t place(const struct class_entry *const *list, size_t n, const struct class_entry *class, order_fn *order)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (order(list[middle], class) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct class_entry **list_put(
	const struct class_entry **list, size_t n, const struct class_entry *class, order_fn *order)
{
	size_t at = place(list, n, class, order);
	list = mem_grow(list, n, sizeof *list);
	memmove(list + at + 1, list + at, (n - at) * sizeof *list);
	list[at] = class;
	return list;
}

static void list_take(const struct class_entry **list, size_t n, const struct class_entry *class, order_fn *order)
{
	size_t at = place(list, n, class, order);
	memmove(list + at, list + at + 1, (n - at - 1) * sizeof *list);
}

static int sort_by_label(const void *a, const void *b)
{
	return by_label(*(const struct class_entry *const *)a, *(const struct class_entry *const *)b);
}

static int sort_by_key(const void *a, const void *b)
{
	return by_key(*(const struct class_entry *const *)a, *(const struct class_entry *const *)b);
}

/* ---- all of them ---- */

void roster_begin_many(struct roster *roster)
{
	free(roster->by_label);
	free(roster->by_key);
	roster->by_label = roster->by_key = NULL;
	roster->n_named = 0;
	roster->unordered = true;
}

static void order_labels(struct roster *roster)
{
	for (size_t i = 0; i < roster->n; i++) {
		if (roster->by_id[i]->id == CLASS_ID_NONE)
			continue;
		roster->by_label = mem_grow(roster->by_label, roster->n_named, sizeof *roster->by_label);
		roster->by_key = mem_grow(roster->by_key, roster->n_named, sizeof *roster->by_key);
		roster->by_label[roster->n_named] = roster->by_key[roster->n_named] = roster->by_id[i];
		roster->n_named++;
	}
	if (roster->n_named) {
		qsort(roster->by_label, roster->n_named, sizeof *roster->by_label, sort_by_label);
		qsort(roster->by_key, roster->n_named, sizeof *roster->by_key, sort_by_key);
	}
	roster->unordered = false;
}

void roster_put(struct roster *roster, struct class_node *node)
{
	const struct class_entry *class = &node->entry;
	class_node_unref(roster_take(roster, class->id));
	roster->by_id = list_put(roster->by_id, roster->n++, class, by_id);
	shared_set_add(&roster->nodes, class->id, &node->shared);
	if (class->id == CLASS_ID_NONE || roster->unordered)
		return;
	roster->by_label = list_put(roster->by_label, roster->n_named, class, by_label);
	roster->by_key = list_put(roster->by_key, roster->n_named, class, by_key);
	roster->n_named++;
}

struct class_node *roster_take(struct roster *roster, uint32_t id)
{
	struct class_node *node = roster_find(roster, id);
	if (!node)
		return NULL;
	list_take(roster->by_id, roster->n--, &node->entry, by_id);
	shared_ref(&node->shared);
	shared_set_remove(&roster->nodes, id, &node->shared);
	if (id == CLASS_ID_NONE || roster->unordered)
		return node;
	list_take(roster->by_label, roster->n_named, &node->entry, by_label);
	list_take(roster->by_key, roster->n_named, &node->entry, by_key);
	roster->n_named--;
	return node;
}

struct class_node *roster_find(const struct roster *roster, uint32_t id)
{
	const struct class_entry asked = {.id = id};
	size_t at = place(roster->by_id, roster->n, &asked, by_id);
	return at < roster->n && roster->by_id[at]->id == id ? class_node_of(roster->by_id[at]) : NULL;
}

void roster_copy(struct roster *roster, struct roster *ret_copy)
{
	if (roster->unordered)
		order_labels(roster);
	*ret_copy = (struct roster){
		.n = roster->n,
		.n_named = roster->n_named,
		.by_id = mem_dup(roster->by_id, roster->n * sizeof *roster->by_id),
		.by_label = mem_dup(roster->by_label, roster->n_named * sizeof *roster->by_label),
		.by_key = mem_dup(roster->by_key, roster->n_named * sizeof *roster->by_key),
	};
	shared_set_copy(&roster->nodes, &ret_copy->nodes);
}

void roster_deinit(struct roster *roster)
{
	free(roster->by_id);
	free(roster->by_label);
	free(roster->by_key);
	shared_set_deinit(&roster->nodes);
	*roster = (struct roster){0};
}
