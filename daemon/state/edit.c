/* SPDX-License-Identifier: MIT */
/* daemon/state/edit.c: forget and rename: changes of one class that compute nothing. See learned.h. */
#include <stdlib.h>
#include <string.h>

#include "daemon/state/change.h"
#include "lib/base/require.h"

struct edit {
	const struct label *label, *new_label; /* new_label: rename */
	const struct class_entry *class;       /* as it is before; the snapshot's */
	uint32_t id;
	struct store_put put;
};

static int no_such_class(const struct label *label, struct err *err)
{
	char name[LABEL_SHOWN_BYTES];
	const struct err_about about = {.field = "label"};
	return label->len_bytes
		       ? err_set_about(err, ERR_NOT_FOUND, about, "there is no class '%s'", label_shown(name, label))
		       : err_set_about(err, ERR_NOT_FOUND, about, "no negatives were taught");
}

/* The class, and the entry of a change of it alone. */
static int edit_begin(
	struct edit *edit, const struct learned *learned, enum store_op op, struct change_draft *draft, struct err *err)
{
	edit->class = snapshot_find(learned->snapshot, edit->label);
	if (!edit->class)
		return no_such_class(edit->label, err);
	edit->id = edit->class->id;
	draft->entry = change_entry_new(1);
	draft->entry->op = op;
	draft->entry->classes[0].id = edit->id;
	draft->entry->classes[0].label = edit->class->label;
	return 0;
}

/* ---- forget ---- */

static int forget_compute(void *ctx, struct learned *learned, struct change_draft *draft, struct err *err)
{
	struct edit *edit = ctx;
	draft->write.drop_classes = &edit->id;
	draft->write.n_drop_classes = 1;
	return edit_begin(edit, learned, STORE_OP_FORGET, draft, err);
}

int learned_forget(struct learned *learned, const struct label *label, const struct change_guard *guard,
	struct change_outcome *ret_outcome, struct err *err)
{
	struct edit edit = {.label = label};
	const struct change_plan plan = {.ctx = &edit, .compute = forget_compute};
	return change_run(learned, &plan, guard, ret_outcome, err);
}

/* ---- rename ---- */

/* The new name must be free, or be the class's own, spelt anew. */
static int rename_check(const struct edit *edit, const struct learned *learned, struct err *err)
{
	const struct label *label = edit->new_label;
	const struct class_entry *taken = snapshot_find(learned->snapshot, label);
	if (!taken || (taken->id == edit->id && !label_equal(&taken->label, label)))
		return 0;
	char name[LABEL_SHOWN_BYTES];
	return err_set_about(err, ERR_ALREADY_EXISTS, (struct err_about){.field = "new_label"},
		"there is a class '%s' already: forget it first", label_shown(name, label));
}

static int rename_compute(void *ctx, struct learned *learned, struct change_draft *draft, struct err *err)
{
	struct edit *edit = ctx;
	int r = edit_begin(edit, learned, STORE_OP_RENAME, draft, err);
	if (r == 0)
		r = rename_check(edit, learned, err);
	if (r != 0)
		return r;
	draft->entry->new_label = *edit->new_label;
	edit->put = (struct store_put){.kind = STORE_LABEL,
		.class_id = edit->id,
		.data = edit->new_label->bytes,
		.len_bytes = edit->new_label->len_bytes,
		.format = "utf8"};
	draft->write.puts = &edit->put;
	draft->write.n_puts = 1;
	return 0;
}

/* The same class under another label: rows are immutable, so the new node has a copy. */
static int rename_follow(void *ctx, struct learned *learned, const struct change_entry *entry, struct err *err)
{
	const struct edit *edit = ctx;
	const struct class_node *old = class_node_of(edit->class);
	struct class_node *node = class_node_new(old->entry.id, old->entry.n_digests);
	node->entry.newest = class_lesson_ref(old->entry.newest);
	memcpy((void *)node->entry.digests, old->entry.digests, old->entry.n_digests * DIGEST_BYTES);
	class_node_name(node, edit->new_label);
	uint8_t *bytes;
	size_t len_bytes;
	learn_row_encode(old->row, &bytes, &len_bytes);
	int r = learn_row_decode(
		learned->config->learner.width, learned->d, learned->row_format, bytes, len_bytes, &node->row, NULL);
	REQUIRE(r == 0);
	free(bytes);
	roster_put(&learned->classes, node);
	(void)entry, (void)err;
	return 0;
}

int learned_rename(struct learned *learned, const struct label *old_label, const struct label *new_label,
	const struct change_guard *guard, struct change_outcome *ret_outcome, struct err *err)
{
	struct edit edit = {.label = old_label, .new_label = new_label};
	const struct change_plan plan = {.ctx = &edit, .compute = rename_compute, .follow = rename_follow};
	return change_run(learned, &plan, guard, ret_outcome, err);
}
