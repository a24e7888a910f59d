/* SPDX-License-Identifier: MIT */
/* daemon/config/threads.h: how many threads compute pictures, so that all of them may hold what one may, and the sum of it. */
#pragma once

#include "daemon/config/config.h"

/* Of each thread. Named because it counts: the default (8 MiB) is charged to LimitDATA= for each, used or not. */
enum { THREAD_STACK_BYTES = 2 << 20 };

/* infer.threads; where that is 0 one less than there are cores, but no more than fit the process's limit of data
 * (RLIMIT_DATA, the unit's LimitDATA=), and at least one. arena_bytes: of one run of the model. */
uint32_t threads_choose(const struct config *config, size_t arena_bytes);
/* The same for so many cores and such a limit. */
uint32_t threads_fit(const struct config *config, size_t arena_bytes, uint32_t cores, uint64_t limit_bytes);

/* The bytes that the daemon's own limits allow it to hold, what each thread may left out; and with so many threads. */
uint64_t config_memory_bound(const struct config *config);
uint64_t threads_memory_bound(const struct config *config, uint32_t n_threads, size_t arena_bytes);

/* Is that more than the process may have? Then pictures can be refused before a setting is reached: the sentence says what
 * to change. false: it fits. */
enum { THREADS_TEXT_BYTES = 320 };
bool threads_over_limit(uint64_t bound_bytes, char ret_text[THREADS_TEXT_BYTES]);
