/* SPDX-License-Identifier: MIT */
/* daemon/state/learned_inside.c: see learned_inside.h. */
#include "daemon/state/learned_inside.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"

static struct history_item item_of(struct learned *learned, const struct change_entry *entry, bool undone)
{
	change_entry_ref(entry);
	shared_set_add(&learned->entries, entry->seq, change_entry_shared(entry));
	return (struct history_item){.entry = entry, .undone = undone};
}

void learned_history_push(struct learned *learned, const struct change_entry *entry)
{
	if (learned->n_history == SNAPSHOT_HISTORY) {
		const struct change_entry *oldest = learned->history[--learned->n_history].entry;
		shared_set_remove(&learned->entries, oldest->seq, change_entry_shared(oldest));
	}
	memmove(learned->history + 1, learned->history, learned->n_history++ * sizeof *learned->history);
	learned->history[0] = item_of(learned, entry, false);
}

void learned_history_add(struct learned *learned, const struct change_entry *entry, bool undone)
{
	learned->history[learned->n_history++] = item_of(learned, entry, undone);
}

void learned_forget_all(struct learned *learned)
{
	roster_deinit(&learned->classes);
	shared_set_deinit(&learned->entries);
	ranking_drop(&learned->ranking);
	scene_rows_drop(&learned->scene);
	for (size_t i = 0; i < learned->n_reasons; i++)
		free(learned->reasons[i]);
	learned->n_history = learned->n_reasons = 0;
}

void learned_reason_add(struct learned *learned, const char *sentence)
{
	if (learned->n_reasons < LEARNED_REASONS_MAX)
		learned->reasons[learned->n_reasons++] = mem_strdup(sentence);
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
		.before = learned->snapshot,
		.classes = &learned->classes,
		.n_history = learned->n_history,
		.history = learned->history,
		.entries = &learned->entries,
		.ranking = learned->ranking.rows,
		.scene = &learned->scene,
		.n_reasons = n,
		.reasons = reasons,
		.writable = mode == STORE_READ_WRITE,
		.mends = store_mends(learned->store),
	};
	learned->snapshot = snapshot_new(&parts, &learned->config->learner, learned->d);
	snapshot_unref((struct snapshot *)parts.before);
}
