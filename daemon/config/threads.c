/* SPDX-License-Identifier: MIT */
/* daemon/config/threads.c: see threads.h. */
#include "daemon/config/threads.h"

#include <sys/resource.h>
#include <unistd.h>

#include "lib/store/store.h" /* STORE_KEYS_KEPT */
#include "proto/limits.h"

/* UINT64_MAX: none. */
static uint64_t data_limit_bytes(void)
{
	struct rlimit limit;
	return getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : UINT64_MAX;
}

uint64_t config_memory_bound(const struct config *config)
{
	enum {
		FEATURES = 1024, /* and groups of the shipped networks */
		LESSON_BYTES = 64,
		CLASS_BYTES = FEATURES * 5 + 512 + CLASS_LESSONS_MAX * LESSON_BYTES, /* row, forward side, lists */
		ENTRY_BYTES = 1024,                                                  /* one change */
		KEY_BYTES = 32,                                                      /* and its place in the index */
		/* The metric: its state, a copy at start, a factor; of each class sums, twice, and its row, twice. */
		METRIC_BYTES = 3 * 4 * 2 * 512 * 513,
		METRIC_CLASS_BYTES = 2 * (4 * FEATURES + 16) + 2 * (FEATURES + 16),
		/* Of each class its row with the scene taken away and its forward side, twice while all are made anew. */
		SCENE_CLASS_BYTES = 2 * (2 * FEATURES + 256),
	};
	const bool metric = config->learner.method != LEARN_CWR;
	uint64_t session = FRAME_BODY_MAX_BYTES + DECODE_ARENA_BYTES + OUTPUT_MARK_BYTES;
	return config->sessions_max * session + PAYLOAD_BUDGET_BYTES + LESSON_FEATURES_MAX_BYTES +
	       (uint64_t)config->max_classes * (CLASS_BYTES + 16 * config->samples_per_class) + 1000 * ENTRY_BYTES +
	       STORE_KEYS_KEPT * KEY_BYTES +
	       (metric ? METRIC_BYTES + (uint64_t)config->max_classes * METRIC_CLASS_BYTES : 0) +
	       (config_no_scene(config) ? 0 : (uint64_t)config->max_classes * SCENE_CLASS_BYTES);
}

uint64_t threads_memory_bound(const struct config *config, uint32_t n_threads, size_t arena_bytes)
{
	uint64_t thread = ((uint64_t)config->decode_memory_mib << 20) + THREAD_STACK_BYTES + arena_bytes;
	return config_memory_bound(config) + THREAD_STACK_BYTES /* of the learn lane */ + n_threads * thread;
}

uint32_t threads_fit(const struct config *config, size_t arena_bytes, uint32_t cores, uint64_t limit_bytes)
{
	if (config->infer_threads)
		return config->infer_threads;
	uint32_t n = cores > 2 ? cores - 1 : 1;
	while (n > 1 && threads_memory_bound(config, n, arena_bytes) > limit_bytes)
		n--;
	return n;
}

uint32_t threads_choose(const struct config *config, size_t arena_bytes)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return threads_fit(config, arena_bytes, cores > 1 ? (uint32_t)cores : 1, data_limit_bytes());
}

bool threads_over_limit(uint64_t bound_bytes, char ret_text[THREADS_TEXT_BYTES])
{
	uint64_t limit = data_limit_bytes();
	if (bound_bytes <= limit)
		return false;
	snprintf(ret_text, THREADS_TEXT_BYTES,
		"the settings allow the daemon %llu MiB, but its limit of data is %llu MiB: pictures may be refused "
		"for want of "
		"memory; make infer.threads or image.decode_memory_mib smaller, or raise LimitDATA= and MemoryMax= "
		"(`systemctl edit bnnd`)",
		(unsigned long long)(bound_bytes >> 20), (unsigned long long)(limit >> 20));
	return true;
}
