/* SPDX-License-Identifier: MIT */
/* daemon/state/health.c: see health.h. */
#include "daemon/state/health.h"

#include <stdio.h>

const char *health_reason(const struct health *health, size_t i)
{
	const struct snapshot *snapshot = health->published->now;
	if (i < snapshot->n_reasons)
		return snapshot->reasons[i];
	i -= snapshot->n_reasons;
	if (!snapshot->writable && health->state_obstacle && i-- == 0)
		return health->state_obstacle;
	if (i < health->n_reasons)
		return health->reasons[i];
	i -= health->n_reasons;
	return !health->answers && i == 0 ? "the model has no constants for answers: everything is unknown" : NULL;
}

const char *health_word(const struct health *health)
{
	return health->stopping ? "stopping" : health_reason(health, 0) ? "degraded" : "ready";
}

void health_sentence(const struct health *health, char *text, size_t text_bytes)
{
	const struct snapshot *snapshot = health->published->now;
	const char *why = health_reason(health, 0);
	snprintf(text, text_bytes, "%zu class%s, seq %llu%s%s", snapshot->n_classes,
		snapshot->n_classes == 1 ? "" : "es", (unsigned long long)snapshot->seq, why ? "; degraded: " : "",
		why ? why : "");
}

int health_may_change(const struct health *health, struct err *err)
{
	if (health->stopping)
		return err_set(err, ERR_UNAVAILABLE, "the daemon is stopping");
	if (health->published->now->writable)
		return 0;
	/* What can be done about it says more than what SQLite met. */
	const char *why = health->state_obstacle ? health->state_obstacle : health_reason(health, 0);
	return err_set(err, ERR_UNAVAILABLE, "nothing can be learned now: %s", why ? why : "the state is not writable");
}
