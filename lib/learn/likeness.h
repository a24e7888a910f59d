/* SPDX-License-Identifier: MIT */
/* lib/learn/likeness.h: how alike the pictures of a class are, as its row tells. doc/LEARNER.md, "Unknown". */
#pragma once

#include "lib/learn/learn.h"

/* Sets row->likeness of the consolidated row of class c (cur samples) from the lesson's pictures and the old row's. */
void likeness_measure(const struct learn_settings *settings, const struct learn_lesson *lesson, size_t c, uint32_t cur,
	struct learn_row *row);
