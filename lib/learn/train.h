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

/* The samples from..to-1 of the shuffled order. */
struct train_batch {
	size_t from, to;
};

static inline size_t train_batches(const struct learn_settings *settings, size_t n)
{
	return (n + settings->minibatch - 1) / settings->minibatch;
}

/* Minibatch i of an epoch's n samples. A step weighs the same whatever its size, so a last minibatch of one sample
 * would count as much as a full one and pull the row after itself: `default` makes them as even as can be (sizes differ
 * by at most one); `reference` keeps its authors' short last one. */
static inline struct train_batch train_batch(const struct learn_settings *settings, size_t n, size_t i)
{
	const uint64_t size = settings->minibatch, count = train_batches(settings, n); /* i n may exceed 32 bits */
	if (settings->preset == LEARN_REFERENCE)
		return (struct train_batch){i * size, i + 1 == count ? n : (i + 1) * size};
	return (struct train_batch){(size_t)(i * (uint64_t)n / count), (size_t)((i + 1) * (uint64_t)n / count)};
}

/* Trains with SGD and momentum on cross-entropy and writes the k working rows as real numbers, ret_tw[k * d]; the
 * row *other* is thrown away. Adds to *report. Returns 0, or 1: stop said so. */
int train_hybrid(const struct train_job *job, double *ret_tw, struct learn_report *report);
int train_float(const struct train_job *job, double *ret_tw, struct learn_report *report);
