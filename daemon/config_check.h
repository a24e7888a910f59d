/* SPDX-License-Identifier: MIT */
/* daemon/config_check.h: do the things that the settings name exist, and can they be used? For bnnd --check-config. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/config.h"

/* Tells every fault (fault true), and every setting that the shipped systemd unit would stand in the way of (false).
 * Opens the model, looks the group and the folders up; changes nothing. Returns the number of faults. */
typedef void config_finding_fn(void *ctx, bool fault, const char *sentence);
size_t config_check(const struct config *config, config_finding_fn *fn, void *ctx);
