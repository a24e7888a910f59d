/* SPDX-License-Identifier: MIT */
/* lib/learn/train.h: steps 1 and 2 of CWR* (the working rows), as cwr.c calls them. */
#pragma once

#include "lib/learn/learn.h"

struct train_job {
	const struct learn_settings *settings;
	const struct learn_lesson *lesson;
	uint32_t others;                      /* M: how often the row *other* counts in the softmax */
	const struct learn_row *const *start; /* k: the row that tw[c] starts at; NULL: at zero */
	bool (*stop)(void *ctx);
	void *stop_ctx;
};

/* Trains with SGD and momentum on cross-entropy and writes the k working rows as real numbers, ret_tw[k * d]; the
 * row *other* is thrown away. Adds to *report. Returns 0, or 1: stop said so. */
int train_hybrid(const struct train_job *job, double *ret_tw, struct learn_report *report);
int train_float(const struct train_job *job, double *ret_tw, struct learn_report *report);
