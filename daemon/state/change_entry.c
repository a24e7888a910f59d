/* SPDX-License-Identifier: MIT */
/* daemon/state/change_entry.c: see change_entry.h. */
#include "daemon/state/change_entry.h"

#include <stdlib.h>

#include "lib/base/memory.h"

struct entry_node {           /* every entry is in one */
	struct shared shared; /* first */
	struct change_entry entry;
};

static void node_end(struct shared *thing)
{
	struct entry_node *node = (struct entry_node *)thing;
	free(node->entry.classes);
	free(node->entry.hint);
	free(node);
}

struct change_entry *change_entry_new(size_t n_classes)
{
	struct entry_node *node = mem_zalloc(1, sizeof *node);
	shared_init(&node->shared, node_end);
	node->entry.n_classes = n_classes;
	node->entry.classes = mem_zalloc(n_classes, sizeof *node->entry.classes);
	return &node->entry;
}

struct shared *change_entry_shared(const struct change_entry *entry)
{
	return (struct shared *)((char *)entry - offsetof(struct entry_node, entry));
}

struct change_entry *change_entry_ref(const struct change_entry *entry)
{
	shared_ref(change_entry_shared(entry));
	return (struct change_entry *)entry;
}

void change_entry_unref(struct change_entry *entry)
{
	shared_unref(entry ? change_entry_shared(entry) : NULL);
}
