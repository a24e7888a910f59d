/* SPDX-License-Identifier: MIT */
/* daemon/state/hint.h: what a lesson lacks, in words for who taught it. Pure functions; the one place where hints are made. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HINT_MAX_BYTES = 768 };

/* A class as the lesson leaves it. */
struct hint_class {
	bool is_none, is_new;
	uint64_t pictures; /* taught of it in all */
	uint32_t told;     /* of them the row counts: near-duplicates are one */
	/* Of a class among few: the mean cosine of two pictures of it, and of one of it with one of another; 0: nothing is
	 * known. */
	double within, between;
};
/* What is so while it is taught. */
struct hint_world {
	bool closed;   /* answers.refuse: never */
	bool has_none; /* negatives are taught: of other things before the camera they tell */
	bool first;    /* the first class, and the empty scene could be taught */
};
/* One sentence or several, joined by "; ", or "". */
void hint_of_lesson(const struct hint_class *classes, size_t n_classes, const struct hint_world *world,
	char ret_text[HINT_MAX_BYTES]);
