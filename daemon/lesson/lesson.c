/* SPDX-License-Identifier: MIT */
/* daemon/lesson/lesson.c: see lesson.h.
 *
 * Invariants: samples[] is ordered by `order`; features_bytes is n_features for each sample of each lesson, from its
 * arrival until the lesson ends; a group lives while a sample names it. */
#include "daemon/lesson/lesson.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"

enum { LESSON_FIRST_SAMPLES = 32 };

struct lesson_group {
	struct list link;
	struct label label;
	uint32_t n;    /* samples that name it */
	bool is_new;   /* not known when it was first named */
	bool numbered; /* lesson_take */
	uint32_t index;
};

struct lesson_sample {
	uint64_t order;
	struct lesson_group *group;
	bool accepted; /* false: its features are being computed */
	uint8_t digest[DIGEST_BYTES];
	int8_t q[];
};

void lessons_init(struct lessons *lessons, const struct lesson_limits *limits)
{
	memset(lessons, 0, sizeof *lessons);
	lessons->limits = *limits;
	lessons->next_number = 1;
	list_init(&lessons->open);
	keyset_init(&lessons->committed);
}

void lessons_deinit(struct lessons *lessons)
{
	LIST_EACH(node, &lessons->open)
	lesson_end(lessons, LIST_ENTRY(node, struct lesson, link));
	keyset_deinit(&lessons->committed);
}

int lesson_begin(struct lessons *lessons, const struct lesson_options *options, uint64_t now_us,
	struct lesson **ret_lesson, struct err *err)
{
	LIST_EACH(node, &lessons->open)
	{
		struct lesson *other = LIST_ENTRY(node, struct lesson, link);
		if (memcmp(other->key, options->key, STORE_KEY_BYTES) != 0)
			continue;
		return err_set_about(err, ERR_ABORTED,
			(struct err_about){.field = "key", .retry_after_ms = ERR_RETRY_LESSON_MS}, "%s",
			other->state == LESSON_LEARNS
				? "the lesson with this key is being committed: ask again"
				: "a lesson with this key is open on another connection: ask again when it has ended");
	}
	struct lesson *lesson = mem_zalloc(1, sizeof *lesson);
	lesson->number = lessons->next_number++;
	memcpy(lesson->key, options->key, STORE_KEY_BYTES);
	lesson->dry_run = options->dry_run;
	lesson->has_if_seq = options->has_if_seq;
	lesson->if_seq = options->if_seq;
	lesson->touched_us = now_us;
	lesson->state = keyset_has(&lessons->committed, options->key) ? LESSON_LOOKUP : LESSON_OPEN;
	list_init(&lesson->groups);
	list_append(&lessons->open, &lesson->link);
	*ret_lesson = lesson;
	return 0;
}

void lesson_opened(struct lesson *lesson, uint64_t now_us)
{
	lesson->state = LESSON_OPEN;
	lesson->touched_us = now_us;
}

struct lesson *lesson_find(struct lessons *lessons, uint64_t number)
{
	LIST_EACH(node, &lessons->open)
	{
		struct lesson *lesson = LIST_ENTRY(node, struct lesson, link);
		if (lesson->number == number)
			return lesson;
	}
	return NULL;
}

static void samples_free(struct lesson *lesson)
{
	for (size_t i = 0; i < lesson->n_samples; i++)
		free(lesson->samples[i]);
	free(lesson->samples);
	lesson->samples = NULL;
	lesson->samples_max = 0;
}

void lesson_end(struct lessons *lessons, struct lesson *lesson)
{
	lessons->features_bytes -= lesson->n_samples * lessons->limits.n_features;
	samples_free(lesson);
	LIST_EACH(node, &lesson->groups)
	free(LIST_ENTRY(node, struct lesson_group, link));
	list_remove(&lesson->link);
	free(lesson);
}

static struct lesson_group *group_find(const struct lesson *lesson, const struct label *label)
{
	LIST_EACH(node, &lesson->groups)
	{
		struct lesson_group *group = LIST_ENTRY(node, struct lesson_group, link);
		if (label_equal(&group->label, label))
			return group;
	}
	return NULL;
}

static void group_release(struct lesson *lesson, struct lesson_group *group)
{
	if (--group->n > 0)
		return;
	list_remove(&group->link);
	lesson->n_groups--;
	free(group);
}

/* A class that this lesson has not named yet. */
static int group_new(const struct lessons *lessons, struct lesson *lesson, const struct label *label,
	const struct snapshot *snapshot, struct lesson_group **ret_group, struct err *err)
{
	const struct lesson_limits *limits = &lessons->limits;
	bool is_new = label->len_bytes && !snapshot_find(snapshot, label);
	size_t known = snapshot->n_classes + is_new;
	if (lesson->n_groups >= limits->classes)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.field = "lesson.max_classes", .limit = limits->classes},
			"a lesson can have %u classes: commit this one and begin another", limits->classes);
	LIST_EACH(node, &lesson->groups)
	known += LIST_ENTRY(node, struct lesson_group, link)->is_new;
	if (is_new && known > limits->known_classes)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.field = "learner.max_classes", .limit = limits->known_classes},
			"there would be %zu classes: the limit learner.max_classes is %u", known,
			limits->known_classes);
	struct lesson_group *group = mem_zalloc(1, sizeof *group);
	group->label = *label;
	group->is_new = is_new;
	list_append(&lesson->groups, &group->link);
	lesson->n_groups++;
	*ret_group = group;
	return 0;
}

static int room_for_one(const struct lessons *lessons, const struct lesson *lesson, struct err *err)
{
	const struct lesson_limits *limits = &lessons->limits;
	if (lesson->n_samples >= limits->pictures)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.field = "lesson.max_pictures", .limit = limits->pictures},
			"a lesson can have %u pictures: commit this one and begin another", limits->pictures);
	if (limits->n_features > limits->features_bytes - lessons->features_bytes)
		return err_set_about(err, ERR_RESOURCE_EXHAUSTED,
			(struct err_about){.field = "lesson.features",
				.limit = limits->features_bytes,
				.retry_after_ms = ERR_RETRY_LESSON_MS},
			"all open lessons together hold %zu bytes: no more are taken", limits->features_bytes);
	return 0;
}

int lesson_add(struct lessons *lessons, struct lesson *lesson, const struct label *label,
	const struct snapshot *snapshot, uint64_t now_us, uint64_t *ret_order, struct err *err)
{
	lesson->touched_us = now_us;
	if (lesson->state != LESSON_OPEN)
		return err_set(err, ERR_FAILED_PRECONDITION,
			lesson->state == LESSON_LOOKUP ? "the lesson has not begun: wait for the answer to begin"
						       : "the lesson is being committed: nothing can be added");
	int r = room_for_one(lessons, lesson, err);
	if (r != 0)
		return r;
	struct lesson_group *group = group_find(lesson, label);
	if (!group)
		r = group_new(lessons, lesson, label, snapshot, &group, err);
	if (r != 0)
		return r;
	struct lesson_sample *sample = mem_zalloc(1, sizeof *sample + lessons->limits.n_features);
	sample->order = lesson->next_order++;
	sample->group = group;
	group->n++;
	if (lesson->n_samples == lesson->samples_max) {
		lesson->samples_max = lesson->samples_max ? 2 * lesson->samples_max : LESSON_FIRST_SAMPLES;
		lesson->samples = mem_realloc(lesson->samples, lesson->samples_max, sizeof *lesson->samples);
	}
	lesson->samples[lesson->n_samples++] = sample;
	lesson->n_pending++;
	lessons->features_bytes += lessons->limits.n_features;
	*ret_order = sample->order;
	return 0;
}

static size_t sample_at(const struct lesson *lesson, uint64_t order)
{
	size_t low = 0, high = lesson->n_samples;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (lesson->samples[middle]->order < order)
			low = middle + 1;
		else
			high = middle;
	}
	REQUIRE(low < lesson->n_samples && lesson->samples[low]->order == order);
	return low;
}

static void sample_remove(struct lessons *lessons, struct lesson *lesson, size_t at)
{
	struct lesson_sample *sample = lesson->samples[at];
	group_release(lesson, sample->group);
	memmove(&lesson->samples[at], &lesson->samples[at + 1], (lesson->n_samples - at - 1) * sizeof *lesson->samples);
	lesson->n_samples--;
	lessons->features_bytes -= lessons->limits.n_features;
	free(sample);
}

/* Index of an accepted sample with the same class and digest, n_samples: none. */
static size_t sample_twin(const struct lesson *lesson, const struct lesson_sample *sample, const uint8_t *digest)
{
	size_t i = 0;
	for (; i < lesson->n_samples; i++) {
		const struct lesson_sample *other = lesson->samples[i];
		if (other->accepted && other->group == sample->group &&
			memcmp(other->digest, digest, DIGEST_BYTES) == 0)
			break;
	}
	return i;
}

enum lesson_added lesson_add_done(struct lessons *lessons, struct lesson *lesson, uint64_t order,
	enum lesson_added outcome, const int8_t *q, const uint8_t digest[DIGEST_BYTES], uint64_t now_us)
{
	size_t at = sample_at(lesson, order);
	struct lesson_sample *sample = lesson->samples[at];
	REQUIRE(!sample->accepted && lesson->n_pending > 0);
	lesson->n_pending--;
	lesson->touched_us = now_us;
	if (outcome == LESSON_ACCEPTED) {
		size_t twin = sample_twin(lesson, sample, digest);
		memcpy(sample->digest, digest, DIGEST_BYTES);
		memcpy(sample->q, q, lessons->limits.n_features);
		sample->accepted = true;
		lesson->n_accepted++;
		if (twin == lesson->n_samples)
			return LESSON_ACCEPTED;
		/* The same picture twice: the earlier place stays, whichever features came first. */
		at = twin > at ? twin : at;
		lesson->n_accepted--;
		outcome = LESSON_KNOWN;
	}
	if (outcome == LESSON_KNOWN)
		lesson->n_known++;
	sample_remove(lessons, lesson, at);
	return outcome;
}

int lesson_seal(struct lesson *lesson, uint32_t added, uint64_t now_us, struct err *err)
{
	REQUIRE(lesson->n_pending == 0);
	lesson->touched_us = now_us;
	if (added != lesson->n_accepted) {
		lesson->state = LESSON_OPEN;
		return err_set_about(err, ERR_FAILED_PRECONDITION, (struct err_about){.field = "added"},
			"the commit counts %u pictures, but %u were accepted: the lesson is still open", added,
			lesson->n_accepted);
	}
	lesson->state = LESSON_LEARNS;
	return 0;
}

void lesson_take(struct lesson *lesson, size_t n_features, struct lesson_material *ret_material)
{
	size_t n = lesson->n_samples;
	struct lesson_material m = {
		.classes = mem_zalloc(lesson->n_groups, sizeof *m.classes),
		.q = mem_zalloc(n, n_features),
		.y = mem_zalloc(n, sizeof *m.y),
		.digests = mem_zalloc(n, sizeof *m.digests),
	};
	for (size_t i = 0; i < n; i++) {
		struct lesson_sample *sample = lesson->samples[i];
		struct lesson_group *group = sample->group;
		if (!group->numbered) {
			group->numbered = true;
			group->index = (uint32_t)m.work.n_classes;
			m.classes[m.work.n_classes++].label = group->label;
		}
		memcpy(m.q + i * n_features, sample->q, n_features);
		memcpy(m.digests[i], sample->digest, DIGEST_BYTES);
		m.y[i] = group->index;
		free(sample);
		lesson->samples[i] = NULL;
	}
	m.work.n = n;
	m.work.already_known = lesson->n_known;
	m.work.classes = m.classes;
	m.work.q = m.q;
	m.work.y = m.y;
	m.work.digests = (const uint8_t(*)[DIGEST_BYTES])m.digests;
	*ret_material = m;
}

void lesson_material_deinit(struct lesson_material *m)
{
	free(m->classes);
	free(m->q);
	free(m->y);
	free(m->digests);
	memset(m, 0, sizeof *m);
}

bool lesson_idle(const struct lessons *lessons, const struct lesson *lesson, uint64_t now_us)
{
	return lesson->state == LESSON_OPEN && lesson->n_pending == 0 &&
	       now_us > lesson->touched_us + lessons->limits.idle_us;
}
