/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/reply.h: what is answered to each picture of a list, by one method. */
#pragma once

#include "learner.h"
#include "plan.h"

/* By what a plan is answered: ours as the settings say, and beside it, from the same features: */
enum answerer {
	BY_OURS,
	BY_CWR,         /* ours with learner.method cwr: what the paper's rows give */
	BY_CLASS_MEANS, /* the cosine with the mean of a class's q */
	BY_NEAREST,     /* the greatest cosine with a taught picture */
	ANSWERERS
};
extern const char *const answerer_name[ANSWERERS];

struct reply {
	uint32_t id; /* ranked first: class + 1, or 0 (none) */
	bool known, passes;
	double margin; /* how far above its threshold; of methods that have none the value that ranks */
};
/* What ours says of its lessons stays 0 for the others. */
void replies_make(const struct draw *draw, const struct bench_case *what, const struct plan *plan,
	const struct learner_rule *rule, enum answerer by, const struct indices *asked, struct reply *ret_replies,
	struct learner_report *ret_report);
