/* SPDX-License-Identifier: MIT */
/* daemon/server.h: the running daemon: loop, sessions, lanes.
 *
 *   socket -> session (frames) -> ops (table) -> infer lane | learn lane | answered by the loop -> reply
 */
#pragma once

#include "daemon/config/config.h"
#include "daemon/state/learned.h"
#include "lib/bnn/bnn.h"

struct server_parts { /* borrowed; all outlive server_run */
	const struct config *config;
	const struct bnn_model *model;
	struct learned *learned;
	size_t n_reasons; /* degraded for reasons beside the state's own (model not the one last taught) */
	const char *const *reasons;
	const char *state_obstacle; /* what is in the way of the state directory, a sentence; NULL: nothing */
	const char *waiting;        /* what another model was taught, a sentence; NULL: nothing */
};

/* Serves until SIGTERM or SIGINT, then stops in order (doc/DESIGN.md) and returns 0. Errors before serving: the socket
 * cannot be had (ERR_ALREADY_EXISTS: another daemon lives there; ERR_INVALID_ARGUMENT: path too long, not a socket). */
int server_run(const struct server_parts *parts, struct err *err);
