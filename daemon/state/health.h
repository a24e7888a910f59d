/* SPDX-License-Identifier: MIT */
/* daemon/state/health.h: is the daemon ready, degraded or stopping, why, and may anything be changed? Loop thread. */
#pragma once

#include "daemon/state/published.h"
#include "lib/base/err.h"

struct health {
	const struct published *published; /* whose snapshot has reasons of its own */
	size_t n_reasons;                  /* beside those, from the start on: sentences */
	const char *const *reasons;
	const char *state_obstacle; /* what is in the way of the state directory, a sentence; NULL: nothing */
	bool answers;               /* the model has constants for them */
	bool stopping;
};

/* Why it is degraded, the state's own reasons first; NULL behind the last, so at 0 when all is well. */
const char *health_reason(const struct health *health, size_t i);

/* "ready", "degraded" or "stopping". */
const char *health_word(const struct health *health);

/* "12 classes, seq 40; degraded: ...", for systemctl status and the line at start. */
void health_sentence(const struct health *health, char *ret_text, size_t text_bytes);

/* ERR_UNAVAILABLE with the reason when nothing can be changed. */
int health_may_change(const struct health *health, struct err *err);
