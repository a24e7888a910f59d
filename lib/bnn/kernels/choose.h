/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/choose.h: the sets of kernels of this build that this CPU can run. */
#pragma once

#include "lib/bnn/kernels/kernels.h"

/* Best first; NULL-terminated; complete before main and never changed. The plain reference is the last. */
const struct kernels *const *kernels_usable(void);

/* The set called `forced`, or with NULL or "" the best one. NULL: none has that name; ret_names tells which there are. */
const struct kernels *kernels_choose(const char *forced, char *ret_names, size_t names_bytes);
