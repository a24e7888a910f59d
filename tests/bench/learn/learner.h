/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/learner.h: lib/learn as the daemon drives it: rows by lessons, the metric of the kept pictures, a head.
 * What it does to the state is what daemon/state does (teach.c, ranking.c), without a store. */
#pragma once

#include "lib/bnn/bnn.h"
#include "lib/learn/learn.h"
#include "lib/learn/metric.h"
#include "lib/learn/scene.h"

struct learner_rule {
	size_t d;
	struct learn_settings settings;
	struct learn_answer_constants constants;
	struct metric_shape shape;
	double near; /* Answers.near_duplicate of the model */
	struct scene_constants scene;
	size_t kept; /* learner.samples_per_class */
};
/* The defaults of a daemon with this model. */
void learner_rule_of(const struct bnn_info *info, struct learner_rule *ret_rule);
/* NAME=VALUE: a setting of the learner, or refuse=SHARE|never. False: no such name. Exits where the value is none. */
bool learner_rule_set(struct learner_rule *rule, const struct bnn_info *info, const char *text);

/* What lessons cost and lost, all together. */
struct learner_report {
	size_t lessons;
	uint64_t steps, updates, lost;
	double us;
};

struct learner;
struct learner *learner_new(const struct learner_rule *rule, size_t n_ids); /* ids below that; 0 is none */
void learner_free(struct learner *learner);
/* One lesson of n pictures q[i] (d values, which outlive the learner) of the class id[i]. */
void learner_teach(struct learner *learner, size_t n, const int8_t *const *q, const uint32_t *id);
struct learner_report learner_report(const struct learner *learner);
void learner_report_clear(struct learner *learner);
/* What answers now. The caller frees it. */
struct learn_head *learner_head(const struct learner *learner);
