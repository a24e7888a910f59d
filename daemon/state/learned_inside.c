/* SPDX-License-Identifier: MIT */
/* daemon/state/learned_inside.c: see learned_inside.h. */
#include "daemon/state/learned_inside.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"

void learned_put(struct learned *learned, struct class_node *node)
{
	size_t at = class_node_place(learned->nodes, learned->n_nodes, node->entry.id);
	if (at < learned->n_nodes && learned->nodes[at]->entry.id == node->entry.id) {
		class_node_unref(learned->nodes[at]);
		learned->nodes[at] = node;
		return;
	}
	learned->nodes = mem_realloc(learned->nodes, learned->n_nodes + 1, sizeof *learned->nodes);
	memmove(learned->nodes + at + 1, learned->nodes + at, (learned->n_nodes - at) * sizeof *learned->nodes);
	learned->nodes[at] = node;
	learned->n_nodes++;
}

struct class_node *learned_take(struct learned *learned, uint32_t class_id)
{
	size_t at = class_node_place(learned->nodes, learned->n_nodes, class_id);
	if (at == learned->n_nodes || learned->nodes[at]->entry.id != class_id)
		return NULL;
	struct class_node *node = learned->nodes[at];
	memmove(learned->nodes + at, learned->nodes + at + 1, (--learned->n_nodes - at) * sizeof *learned->nodes);
	return node;
}

void history_push(struct learned *learned, const struct change_entry *entry)
{
	if (learned->n_history == SNAPSHOT_HISTORY)
		history_node_unref(learned->history[--learned->n_history]);
	memmove(learned->history + 1, learned->history, learned->n_history * sizeof *learned->history);
	memmove(learned->undone + 1, learned->undone, learned->n_history * sizeof *learned->undone);
	learned->history[0] = history_node_new(change_entry_dup(entry));
	learned->undone[0] = false;
	learned->n_history++;
}

void learned_forget_all(struct learned *learned)
{
	for (size_t i = 0; i < learned->n_nodes; i++)
		class_node_unref(learned->nodes[i]);
	for (size_t i = 0; i < learned->n_history; i++)
		history_node_unref(learned->history[i]);
	for (size_t i = 0; i < learned->n_reasons; i++)
		free(learned->reasons[i]);
	learned->n_nodes = learned->n_history = learned->n_reasons = 0;
}

void learned_publish(struct learned *learned)
{
	char *reasons[LEARNED_REASONS_MAX + 2];
	size_t n = 0;
	enum store_mode mode = store_mode(learned->store);
	const char *why = store_why(learned->store), *flaw = store_flaw(learned->store);
	if (why[0])
		reasons[n++] = (char *)why;
	if (flaw[0])
		reasons[n++] = (char *)flaw;
	for (size_t i = 0; i < learned->n_reasons; i++)
		reasons[n++] = learned->reasons[i];
	struct snapshot_parts parts = {
		.seq = store_seq(learned->store),
		.n_nodes = learned->n_nodes,
		.nodes = learned->nodes,
		.n_history = learned->n_history,
		.history = learned->history,
		.undone = learned->undone,
		.n_reasons = n,
		.reasons = reasons,
		.writable = mode == STORE_READ_WRITE,
		.mends = store_mends(learned->store),
	};
	snapshot_unref(learned->snapshot);
	learned->snapshot = snapshot_new(&parts, &learned->config->learner, learned->d);
}
