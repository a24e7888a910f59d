/* SPDX-License-Identifier: MIT */
/* daemon/config_check.h: do the things that the settings name exist, and can they be used? For bnnd --check-config. */
#pragma once

#include <stddef.h>

#include "daemon/config/config.h"

enum config_finding {
	CONFIG_FAULT,       /* the daemon would not start, or not work */
	CONFIG_OF_THE_UNIT, /* the shipped systemd unit stands in the way, unless it was opened */
	CONFIG_NOTE,
};
typedef void config_finding_fn(void *ctx, enum config_finding kind, const char *sentence);

/* Opens the model, looks the group and the folders up; changes nothing. Returns the number of faults. */
size_t config_check(const struct config *config, config_finding_fn *fn, void *ctx);
