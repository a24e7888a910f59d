/* SPDX-License-Identifier: MIT */
/* daemon/state/teach.c: one lesson: leave out what is known, train, write, publish. See teach.h.
 *
 * Invariant: a picture (its digest) is taught to a class once, however often it is sent. */
#include "daemon/state/teach.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/state/change.h"
#include "daemon/state/hint.h"
#include "daemon/state/sample.h"
#include "lib/base/memory.h"
#include "lib/learn/near.h"

enum { SCENE_CLASSES = 4 }; /* states of one scene are few */

struct teaching {
	struct learned *learned;
	const struct teach_work *work;
	bool (*stop)(void *);
	void *stop_ctx;
	size_t k; /* classes that have something new */
	struct teaching_class {
		struct label label;
		uint32_t id;
		struct class_node *old; /* borrowed, NULL: new */
		uint32_t samples;
		struct learn_row *row; /* trained */
		uint8_t *row_bytes;    /* and encoded */
	} * classes;
	size_t n; /* samples that are new, in order */
	int8_t *q;
	uint32_t *y;
	uint8_t (*digests)[DIGEST_BYTES];
	uint32_t already_known;
	struct near_groups groups; /* of the samples */
	/* What the puts point to, beside the above. */
	struct store_put *puts;
	uint8_t *items;
	char sample_format[STORE_FORMAT_MAX_BYTES];
};

static void teaching_deinit(struct teaching *t)
{
	for (size_t i = 0; i < t->k; i++) {
		learn_row_free(t->classes[i].row);
		free(t->classes[i].row_bytes);
	}
	free(t->classes);
	free(t->q);
	free(t->y);
	free(t->digests);
	near_groups_deinit(&t->groups);
	free(t->puts);
	free(t->items);
}

static bool taught_in_this_lesson(const struct teaching *t, uint32_t class, const uint8_t *digest)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->y[i] == class && memcmp(t->digests[i], digest, DIGEST_BYTES) == 0)
			return true;
	return false;
}

/* The new class of this lesson that the label names, too (an equal key), + 1; 0: none yet. */
static uint32_t new_class_of(const struct teaching *t, const struct label *label)
{
	struct label key, other;
	label_key(label, &key);
	for (uint32_t i = 0; i < t->k; i++) {
		label_key(&t->classes[i].label, &other);
		if (!t->classes[i].old && label_equal(&key, &other))
			return i + 1;
	}
	return 0;
}

/* Copies the new samples; classes left without one are dropped and the others numbered anew. */
static void teaching_collect(struct teaching *t)
{
	const struct teach_work *work = t->work;
	struct learned *learned = t->learned;
	size_t d = learned->d;
	uint32_t *place = mem_zalloc(work->n_classes, sizeof *place); /* work's class -> ours + 1 */
	t->classes = mem_zalloc(work->n_classes, sizeof *t->classes);
	t->q = mem_zalloc(work->n, d);
	t->y = mem_zalloc(work->n, sizeof *t->y);
	t->digests = mem_zalloc(work->n, DIGEST_BYTES);
	uint32_t next_id = store_class_id_next(learned->store);
	for (size_t i = 0; i < work->n; i++) {
		const struct label *label = &work->classes[work->y[i]].label;
		const struct class_entry *class = snapshot_find(learned->snapshot, label);
		uint32_t *at = &place[work->y[i]];
		if (!*at && !class)
			*at = new_class_of(t, label);
		if (class_has_digest(class, work->digests[i]) ||
			(*at && taught_in_this_lesson(t, *at - 1, work->digests[i]))) {
			t->already_known++;
			continue;
		}
		if (!*at) {
			struct teaching_class *c = &t->classes[t->k++];
			*at = (uint32_t)t->k;
			c->label = class ? class->label : *label;
			c->old = class ? class_node_of(class) : NULL;
			c->id = class ? class->id : label->len_bytes ? next_id++ : CLASS_ID_NONE;
		}
		t->classes[*at - 1].samples++;
		t->y[t->n] = *at - 1;
		memcpy(t->q + t->n * d, work->q + i * d, d);
		memcpy(t->digests[t->n++], work->digests[i], DIGEST_BYTES);
	}
	free(place);
}

/* A new class obeys the rule of labels even if an older one of this name was forgotten since the lesson began. */
static int teaching_check(struct teaching *t, struct err *err)
{
	const struct config *config = t->learned->config;
	size_t total = t->learned->snapshot->n_classes;
	for (size_t i = 0; i < t->k; i++) {
		struct label *label = &t->classes[i].label;
		bool is_new = !t->classes[i].old && t->classes[i].id != CLASS_ID_NONE;
		int r = is_new ? label_check(label->bytes, label->len_bytes, label, err) : 0;
		if (r != 0)
			return r;
		total += is_new;
	}
	if (total <= config->max_classes)
		return 0;
	return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
		(struct err_about){.field = "learner.max_classes", .limit = config->max_classes},
		"there would be %zu classes: the limit learner.max_classes is %u", total, config->max_classes);
}

static int teaching_train(struct teaching *t, struct err *err)
{
	struct learned *learned = t->learned;
	const struct learn_settings *settings = &learned->config->learner;
	if (near_find(settings, learned->near, t->q, t->y, t->n, learned->d, t->stop, t->stop_ctx, &t->groups) != 0)
		return err_set(err, ERR_CANCELLED, "the lesson was stopped; nothing has changed");
	const struct learn_row **old = mem_zalloc(t->k, sizeof *old);
	struct learn_row **rows = mem_zalloc(t->k, sizeof *rows);
	size_t seen = 0;
	for (size_t i = 0; i < t->k; i++) {
		old[i] = t->classes[i].old ? t->classes[i].old->row : NULL;
		seen += t->classes[i].old != NULL;
	}
	struct learn_lesson lesson = {.seq = store_seq(learned->store) + 1,
		.d = learned->d,
		.n = t->n,
		.k = t->k,
		.q = t->q,
		.y = t->y,
		.groups = &t->groups,
		.near = learned->near,
		.old = old,
		.n_known_others = learned->classes.n - seen};
	struct learn_report report;
	int r = learn_train(settings, &lesson, t->stop, t->stop_ctx, rows, &report, err);
	for (size_t i = 0; r == 0 && i < t->k; i++)
		t->classes[i].row = rows[i];
	free(old);
	free(rows);
	return r;
}

/* How alike a class is to others, where there are few: each class's row as this lesson leaves it, in one head. */
static void teaching_compare(const struct teaching *t, struct hint_class *hints)
{
	const struct roster *known = &t->learned->classes;
	const struct learn_row *rows[SCENE_CLASSES];
	uint32_t ids[SCENE_CLASSES];
	size_t n = 0;
	for (size_t i = 0; i < known->n + t->k; i++) { /* those of the lesson last: their new rows stay */
		const struct teaching_class *c = i >= known->n ? &t->classes[i - known->n] : NULL;
		const struct class_node *node = c ? NULL : class_node_of(known->by_id[i]);
		const uint32_t id = c ? c->id : node->entry.id;
		size_t at = 0;
		if (id == CLASS_ID_NONE)
			continue;
		while (at < n && ids[at] != id)
			at++;
		if (at == SCENE_CLASSES)
			return;
		n += at == n;
		ids[at] = id;
		rows[at] = c ? c->row : node->row;
	}
	if (n < 2)
		return;
	struct learn_head *head = learn_head_new(&t->learned->config->learner, t->learned->d, rows, ids, n, NULL);
	for (size_t i = 0; i < t->k; i++)
		for (size_t at = 0; at < n; at++)
			if (ids[at] == t->classes[i].id)
				learn_head_alike(head, at, &hints[i].between);
	learn_head_free(head);
}

static struct hint_world teaching_world(const struct teaching *t)
{
	const struct learned *learned = t->learned;
	const struct roster *known = &learned->classes;
	struct hint_world world = {.closed = learned->config->refuse == 0,
		.has_none = known->n > 0 && known->by_id[0]->id == CLASS_ID_NONE, /* the smallest id */
		.first = known->n == 0 && !config_no_scene(learned->config)};
	for (size_t i = 0; i < t->k; i++)
		world.has_none |= t->classes[i].id == CLASS_ID_NONE;
	return world;
}

/* Of a class's pictures those that its row counts; where the row counts no more than the cap, all of them. */
static uint32_t pictures_told(const struct teaching *t, const struct learn_row *row, uint64_t pictures)
{
	const struct learn_settings *settings = &t->learned->config->learner;
	const uint32_t past = learn_row_past(row), all = pictures < UINT32_MAX ? (uint32_t)pictures : UINT32_MAX;
	return settings->past_cap && past >= settings->past_cap ? all : past;
}

static char *teaching_hint(const struct teaching *t)
{
	struct hint_class *hints = mem_zalloc(t->k, sizeof *hints);
	char *text = mem_zalloc(1, HINT_MAX_BYTES);
	for (size_t i = 0; i < t->k; i++) {
		const struct teaching_class *c = &t->classes[i];
		const uint64_t pictures = c->samples + (c->old ? class_samples(&c->old->entry) : 0);
		hints[i] = (struct hint_class){.is_none = c->id == CLASS_ID_NONE,
			.is_new = !c->old,
			.pictures = pictures,
			.told = pictures_told(t, c->row, pictures),
			.within = learn_row_likeness(c->row)->mean};
	}
	teaching_compare(t, hints);
	const struct hint_world world = teaching_world(t);
	hint_of_lesson(hints, t->k, &world, text);
	free(hints);
	return text;
}

static struct change_entry *teaching_entry(const struct teaching *t)
{
	struct change_entry *entry = change_entry_new(t->k);
	entry->op = STORE_OP_LEARN;
	entry->already_known = t->already_known;
	entry->hint = t->k ? teaching_hint(t) : NULL;
	for (size_t i = 0; i < t->k; i++)
		entry->classes[i] = (struct taught_class){.id = t->classes[i].id,
			.label = t->classes[i].label,
			.samples = t->classes[i].samples,
			.is_new = !t->classes[i].old};
	return entry;
}

/* What is written: rows, labels of new classes, and sample items. */
static void teaching_puts(struct teaching *t, struct store_change *write)
{
	struct learned *learned = t->learned;
	size_t d = learned->d, item_bytes = DIGEST_BYTES + (learned->config->keep == CONFIG_KEEP_FEATURES ? d : 0),
	       n = 0;
	sample_format(item_bytes > DIGEST_BYTES, d, t->sample_format);
	t->puts = mem_zalloc(2 * t->k + t->n, sizeof *t->puts);
	t->items = mem_zalloc(t->n, item_bytes);
	for (size_t i = 0; i < t->k; i++) {
		struct teaching_class *c = &t->classes[i];
		struct store_put *row = &t->puts[n++];
		*row = (struct store_put){.kind = STORE_ROW, .class_id = c->id, .format = learned->row_format};
		learn_row_encode(c->row, &c->row_bytes, &row->len_bytes);
		row->data = c->row_bytes;
		if (!c->old && c->id != CLASS_ID_NONE)
			t->puts[n++] = (struct store_put){.kind = STORE_LABEL,
				.class_id = c->id,
				.data = c->label.bytes,
				.len_bytes = c->label.len_bytes,
				.format = "utf8"};
	}
	for (size_t i = 0; i < t->n; i++) {
		uint8_t *item = t->items + i * item_bytes;
		memcpy(item, t->digests[i], DIGEST_BYTES);
		memcpy(item + DIGEST_BYTES, t->q + i * d, item_bytes - DIGEST_BYTES);
		t->puts[n++] = (struct store_put){.kind = STORE_SAMPLE,
			.class_id = t->classes[t->y[i]].id,
			.data = item,
			.len_bytes = item_bytes,
			.format = t->sample_format};
	}
	write->puts = t->puts;
	write->n_puts = n;
	write->samples_per_class = learned->config->samples_per_class;
}

static int teaching_compute(void *ctx, struct learned *learned, struct change_draft *draft, struct err *err)
{
	struct teaching *t = ctx;
	t->learned = learned;
	teaching_collect(t);
	int r = teaching_check(t, err);
	if (r == 0 && t->k)
		r = teaching_train(t, err);
	if (r != 0)
		return r;
	draft->entry = teaching_entry(t);
	draft->empty = t->k == 0;
	if (t->k)
		teaching_puts(t, &draft->write);
	return 0;
}

/* The class as the store has it now: its old digests and the new ones, the oldest above the limit left out. */
static struct class_node *teaching_node(struct teaching *t, size_t k, const struct change_entry *entry)
{
	struct teaching_class *c = &t->classes[k];
	const struct class_entry *old = c->old ? &c->old->entry : NULL;
	size_t n_old = old ? old->n_digests : 0, limit = t->learned->config->samples_per_class;
	size_t all = n_old + c->samples, skip = limit && all > limit ? all - limit : 0, n = 0;
	struct class_node *node = class_node_new(c->id, all - skip);
	uint8_t(*digests)[DIGEST_BYTES] = (void *)node->entry.digests;
	for (size_t i = 0; i < n_old; i++, n++)
		if (n >= skip)
			memcpy(digests[n - skip], old->digests[i], DIGEST_BYTES);
	for (size_t i = 0; i < t->n; i++)
		if (t->y[i] == k && n++ >= skip)
			memcpy(digests[n - 1 - skip], t->digests[i], DIGEST_BYTES);
	node->entry.newest =
		class_lesson_new(old ? class_lesson_ref(old->newest) : NULL, entry->seq, entry->time_ms, c->samples);
	class_node_name(node, &c->label);
	node->row = c->row;
	c->row = NULL;
	return node;
}

static int teaching_follow(void *ctx, struct learned *learned, const struct change_entry *entry, struct err *err)
{
	struct teaching *t = ctx;
	(void)err;
	for (size_t k = 0; k < t->k; k++)
		roster_put(&learned->classes, teaching_node(t, k, entry));
	return 0;
}

int learned_teach(struct learned *learned, const struct teach_work *work, const struct change_guard *guard,
	bool (*stop)(void *ctx), void *stop_ctx, struct change_outcome *ret_outcome, struct err *err)
{
	struct teaching t = {.work = work, .stop = stop, .stop_ctx = stop_ctx, .already_known = work->already_known};
	const struct change_plan plan = {
		.ctx = &t, .compute = teaching_compute, .follow = teaching_follow, .timed = true};
	int r = change_run(learned, &plan, guard, ret_outcome, err);
	teaching_deinit(&t);
	return r;
}
