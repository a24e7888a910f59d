/* SPDX-License-Identifier: MIT */
/* daemon/state/snapshot_make.c: see snapshot_make.h. Everything behind a reference is immutable; the counters are the only
 * words that two threads write. */
#include "daemon/state/snapshot_make.h"

#include <stdlib.h>

#include "lib/base/memory.h"

struct snapshot_box {
	struct snapshot seen; /* first: a snapshot is its box */
	atomic_uint refs;
	struct roster classes;
	struct shared_set entries; /* of the history */
	struct shared_set scene;   /* rows that the head is made of, too */
};

static struct learn_head *head_of(const struct roster *classes, const struct learn_settings *settings, size_t d,
	const struct snapshot_parts *parts)
{
	const struct snapshot *before = parts->before;
	const struct learn_row **rows = mem_zalloc(classes->n, sizeof *rows);
	uint32_t *ids = mem_zalloc(classes->n, sizeof *ids);
	for (size_t i = 0; i < classes->n; i++) {
		rows[i] = class_node_of(classes->by_id[i])->row;
		ids[i] = classes->by_id[i]->id;
	}
	struct learn_head *head = learn_head_new(settings, d, rows, ids, classes->n, before ? before->head : NULL);
	if (parts->ranking)
		learn_head_rank_by(head, parts->ranking);
	scene_rows_give(parts->scene, head, before ? before->head : NULL);
	free(rows);
	free(ids);
	return head;
}

struct snapshot *snapshot_new(const struct snapshot_parts *parts, const struct learn_settings *settings, size_t d)
{
	struct snapshot_box *box = mem_zalloc(1, sizeof *box);
	struct snapshot *s = &box->seen;
	atomic_init(&box->refs, 1);
	s->seq = parts->seq;
	s->writable = parts->writable;
	s->mends = parts->mends;
	s->method = parts->ranking ? settings->method : LEARN_CWR;

	roster_copy(parts->classes, &box->classes);
	const struct class_node *none = roster_find(&box->classes, CLASS_ID_NONE);
	s->none = none ? &none->entry : NULL;
	s->n_classes = box->classes.n_named;
	s->classes = box->classes.by_label;
	s->by_key = box->classes.by_key;
	s->head = head_of(&box->classes, settings, d, parts);

	shared_set_copy(&parts->scene->set, &box->scene);
	s->scene = parts->scene->scene != NULL;
	scene_rows_why(parts->scene, s->none, s->n_classes, s->no_scene);

	shared_set_copy(parts->entries, &box->entries);
	s->history = mem_dup(parts->history, parts->n_history * sizeof *parts->history);
	s->n_history = parts->n_history;

	const char **reasons = mem_zalloc(parts->n_reasons, sizeof *reasons);
	for (size_t i = 0; i < parts->n_reasons; i++)
		reasons[i] = mem_strdup(parts->reasons[i]);
	s->reasons = reasons;
	s->n_reasons = parts->n_reasons;
	return s;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	struct snapshot_box *box = (struct snapshot_box *)snapshot;
	atomic_fetch_add_explicit(&box->refs, 1, memory_order_relaxed);
	return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
	struct snapshot_box *box = (struct snapshot_box *)snapshot;
	if (!box || atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) != 1)
		return;
	learn_head_free((struct learn_head *)snapshot->head);
	roster_deinit(&box->classes);
	shared_set_deinit(&box->entries);
	shared_set_deinit(&box->scene);
	for (size_t i = 0; i < snapshot->n_reasons; i++)
		free((void *)snapshot->reasons[i]);
	free((void *)snapshot->history);
	free((void *)snapshot->reasons);
	free(box);
}

const struct class_entry *snapshot_by_id(const struct snapshot *snapshot, uint32_t id)
{
	const struct snapshot_box *box = (const struct snapshot_box *)snapshot;
	const struct class_node *node = roster_find(&box->classes, id);
	return node ? &node->entry : NULL;
}
