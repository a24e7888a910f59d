/* SPDX-License-Identifier: MIT */
/* daemon/state/learned.c: opens and closes the state. Reading it is learned_load.c; the changes are edit.c (forget, rename),
 * restore.c (undo, rollback) and teach.c. */
#include "daemon/state/learned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/state/learned_inside.h"
#include "daemon/state/learned_load.h"
#include "lib/base/memory.h"

int learned_open(const struct learned_options *options, struct learned **ret_learned, struct err *err)
{
	struct learned *learned = mem_zalloc(1, sizeof *learned);
	learned->config = options->config;
	learned->d = options->n_features;
	learned->near = options->near;
	learned->history = mem_zalloc(SNAPSHOT_HISTORY, sizeof *learned->history);
	const struct metric_shape one_group = {.n_groups = 1, .width = {learned->d}, .factor = {1}};
	ranking_init(&learned->ranking, config_no_metric(options->config) ? LEARN_CWR : options->config->learner.method,
		options->shape.n_groups > 0 ? &options->shape : &one_group);
	scene_rows_init(&learned->scene, config_no_scene(options->config), &options->config->learner, &options->scene,
		options->near, learned->d);
	char old_format[STORE_FORMAT_MAX_BYTES];
	const enum learn_width width = options->config->learner.width;
	learn_row_format(width, learned->d, LEARN_ROW_VERSION, learned->row_format, sizeof learned->row_format);
	learn_row_format(width, learned->d, LEARN_ROW_VERSION_OLD, old_format, sizeof old_format);

	struct store_options store = {.dir = options->config->state_dir,
		.model_name = options->model_name,
		.format = learned->row_format,
		.old_format = old_format};
	memcpy(store.feature_id, options->feature_id, sizeof store.feature_id);
	int r = store_open(&store, &learned->store, err);
	if (r == 0)
		r = learned_reload(learned, err);
	if (r < 0) {
		learned_close(learned);
		return r;
	}
	*ret_learned = learned;
	return 0;
}

void learned_close(struct learned *learned)
{
	if (!learned)
		return;
	learned_forget_all(learned);
	snapshot_unref(learned->snapshot);
	store_close(learned->store);
	free(learned->history);
	free(learned);
}

int learned_try_again(struct learned *learned, struct err *err)
{
	char why[ERR_TEXT_BYTES];
	enum store_mode mode = store_mode(learned->store);
	snprintf(why, sizeof why, "%s", store_why(learned->store));
	int r = store_try_again(learned->store, err);
	if (r == STORE_E_OPENED)
		return learned_reload(learned, err) == 0 ? LEARNED_OPENED : 0;
	if (mode != store_mode(learned->store) || strcmp(why, store_why(learned->store)) != 0)
		learned_publish(learned);
	return 0;
}

struct snapshot *learned_snapshot(struct learned *learned)
{
	return snapshot_ref(learned->snapshot);
}

struct key_walk {
	learned_key_fn *fn;
	void *ctx;
};

static void key_walk(void *ctx, const uint8_t key[STORE_KEY_BYTES], uint64_t seq)
{
	struct key_walk *walk = ctx;
	(void)seq;
	walk->fn(walk->ctx, key);
}

int learned_keys(struct learned *learned, learned_key_fn *fn, void *ctx, struct err *err)
{
	struct key_walk walk = {.fn = fn, .ctx = ctx};
	if (store_mode(learned->store) == STORE_CLOSED)
		return 0;
	return store_keys(learned->store, key_walk, &walk, err);
}
