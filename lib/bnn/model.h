/* SPDX-License-Identifier: MIT */
/* lib/bnn/model.h: what a model is inside the library: its plan, and what bnn.h tells of it. Read-only once loaded. */
#pragma once

#include "lib/bnn/bnn.h"
#include "lib/bnn/plan.h"

struct bnn_model {
	struct bnn_info info;
	struct plan plan;
	char *name, *card; /* info points to them, */
	int8_t *blank;     /* and to this */
};
