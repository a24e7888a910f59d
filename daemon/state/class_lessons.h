/* SPDX-License-Identifier: MIT */
/* daemon/state/class_lessons.h: the lessons of classes, found in the store's history. For learned*.c alone.
 *
 * A class's lessons are the changes in force that taught it, from its beginning on. */
#pragma once

#include "daemon/state/learned_inside.h"
#include "lib/base/err.h"

/* A class whose lessons are looked for. */
struct touched {
	uint32_t id;
	bool is_known;                     /* its lessons are complete */
	struct class_node *old;            /* as it was, NULL: it was not */
	const struct class_lesson *newest; /* one reference */
	size_t n_seen;
	struct lesson_seen {
		uint64_t seq;
		int64_t time_ms;
		uint32_t samples;
	} * seen;                  /* CLASS_LESSONS_MAX, the newest first: they go on top of `newest` */
	struct lesson_sums unseen; /* of those between, which are not kept */
};

struct touches { /* ascending ids */
	size_t n;
	struct touched *list;
	size_t n_unknown;
};

void touches_add(struct touches *touches, uint32_t class_id);
/* After the last touches_add: ascending ids, each once. */
void touches_sort(struct touches *touches);
void touches_deinit(struct touches *touches);
struct touched *touched_find(const struct touches *touches, uint32_t class_id); /* NULL: it is not among them */

/* A change in force that taught the class, on the way back from the newest; for others nothing happens. */
void touched_see(struct touches *touches, const struct change_entry *entry, const struct taught_class *class);
/* Looks for the lessons of the classes that are not known, from the newest change back to where the last of them began,
 * and puts what was seen of all of them on top of `newest`. */
int lessons_count(struct learned *learned, struct touches *touches, struct err *err);
/* The classes in memory get theirs. */
void lessons_give(struct learned *learned, struct touches *touches);

/* The lessons of every class in memory. */
int class_lessons_load(struct learned *learned, struct err *err);
