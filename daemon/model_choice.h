/* SPDX-License-Identifier: MIT */
/* daemon/model_choice.h: which backbone to run: the one asked for, the one last taught, or the default. */
#pragma once

#include "daemon/config/config.h"
#include "lib/bnn/bnn.h"

/* Opens the model. Asked for (model.path): that one or an error. Else the model of the state that was changed last,
 * while it is installed; else default.bnn, and *ret_reason is a sentence (free) saying what is missing, so that the
 * daemon is degraded but an upgrade never makes a device forget. *ret_reason is NULL when all is well. */
int model_choose(const struct config *config, struct bnn_model **ret_model, char **ret_reason, struct err *err);
/* A sentence (free) where another model was asked for than the one taught last: the state directory then holds classes
 * that this daemon does not know, and "nothing taught yet" would sound as if they were lost. Else NULL. */
char *model_waiting(const struct config *config, const struct bnn_model *model);
