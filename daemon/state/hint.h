/* SPDX-License-Identifier: MIT */
/* daemon/state/hint.h: what a lesson lacks, in words for who taught it. Pure functions; the one place where hints are made. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HINT_MAX_BYTES = 512 };

/* A class as the lesson leaves it. */
struct hint_class {
	bool is_none, is_new;
	uint64_t pictures; /* taught of it in all */
	uint32_t told;     /* of them the row counts: near-duplicates are one */
	/* Of a class among few: the mean cosine of two pictures of it, and of one of it with one of another; 0: nothing is
	 * known. */
	double within, between;
};
/* One sentence or several, joined by "; ", or "". closed_world: nothing is refused already. no_scene: the empty scene could
 * be taught and is not. */
void hint_of_lesson(const struct hint_class *classes, size_t n_classes, bool closed_world, bool no_scene,
	char ret_text[HINT_MAX_BYTES]);
