/* SPDX-License-Identifier: MIT */
/* daemon/model_choice.c: see model_choice.h. Names in `current` come from a file: only plain ones are looked up. */
#include "daemon/model_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/text.h"
#include "lib/image/image.h"
#include "lib/store/store.h"

/* Opens a model whose pictures are made by the rules that lib/image has: with others it would see something else. */
static int open_model(const char *path, struct bnn_model **ret_model, struct err *err)
{
	struct bnn_model *model;
	int r = bnn_model_open(path, &model, err);
	if (r < 0)
		return r;
	uint32_t rules = bnn_model_info(model)->image_rules;
	if (rules != IMAGE_RULES) {
		bnn_model_free(model);
		return err_set(err, ERR_UNIMPLEMENTED, "%s: it was made with picture rules %u, this bnnd has %d", path,
			rules, IMAGE_RULES);
	}
	*ret_model = model;
	return 0;
}

static int open_named(const char *dir, const char *name, struct bnn_model **ret_model, struct err *err)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/%s.bnn", dir, name);
	return open_model(path, ret_model, err);
}

static bool plain_name(const char *name)
{
	return name[0] && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(name);
}

/* "6 classes were learned with the model 'photo96-1'" */
static void say_taught(char *text, size_t text_bytes, const struct store_current *current, uint32_t n_classes)
{
	char name[160];
	text_escape(name, sizeof name, (const uint8_t *)current->model_name, strlen(current->model_name));
	snprintf(text, text_bytes, "%u class%s learned with the model '%s'", n_classes,
		n_classes == 1 ? " was" : "es were", name);
}

/* A copy that is a text: what went into it may be cut, and a directory's name any bytes. */
static char *sentence(char *text)
{
	text_make_printable(text);
	return mem_strdup(text);
}

static char *missing_reason(const struct store_current *current, uint32_t n_classes, const char *used, const char *why)
{
	char text[1024], taught[256];
	say_taught(taught, sizeof taught, current, n_classes);
	snprintf(text, sizeof text, "%s, which cannot be used (%s); '%s' runs instead", taught, why, used);
	return sentence(text);
}

static char *unknown_reason(const struct config *config, const char *used)
{
	char text[1024];
	snprintf(text, sizeof text,
		"with which model was learned last cannot be told (%s/current is damaged); '%s' runs: name another "
		"with "
		"model.path",
		config->state_dir, used);
	return sentence(text);
}

char *model_waiting(const struct config *config, const struct bnn_model *model)
{
	struct store_current current;
	const struct bnn_info *info = bnn_model_info(model);
	char taught[256], text[1024];
	if (!config->model || store_current_read(config->state_dir, &current) != 0 ||
		memcmp(info->feature_id, current.feature_id, BNN_ID_BYTES) == 0)
		return NULL;
	uint32_t n_classes = store_peek_classes(config->state_dir, current.feature_id);
	if (!n_classes)
		return NULL;
	say_taught(taught, sizeof taught, &current, n_classes);
	snprintf(text, sizeof text, "%s and wait%s in %s; '%s' was asked for and has a state of its own", taught,
		n_classes == 1 ? "s" : "", config->state_dir, info->name);
	return sentence(text);
}

int model_choose(const struct config *config, struct bnn_model **ret_model, char **ret_reason, struct err *err)
{
	struct store_current current;
	struct err why = {0};
	*ret_reason = NULL;
	if (config->model)
		return open_model(config->model, ret_model, err);
	int known = store_current_read(config->state_dir, &current);
	if (known != 0) {
		int opened = open_named(config->model_dir, "default", ret_model, err);
		if (opened == 0 && known == STORE_E_BAD_CURRENT)
			*ret_reason = unknown_reason(config, bnn_model_info(*ret_model)->name);
		return opened;
	}
	if (!plain_name(current.model_name)) {
		err_set(&why, ERR_INVALID_ARGUMENT, "that is no model's name");
	} else if (open_named(config->model_dir, current.model_name, ret_model, &why) == 0) {
		if (memcmp(bnn_model_info(*ret_model)->feature_id, current.feature_id, BNN_ID_BYTES) == 0)
			return 0;
		bnn_model_free(*ret_model);
		err_set(&why, ERR_FAILED_PRECONDITION, "its features are not those of then");
	}
	int r = open_named(config->model_dir, "default", ret_model, err);
	if (r == 0 && memcmp(bnn_model_info(*ret_model)->feature_id, current.feature_id, BNN_ID_BYTES) != 0)
		*ret_reason = missing_reason(&current, store_peek_classes(config->state_dir, current.feature_id),
			bnn_model_info(*ret_model)->name, why.text);
	return r;
}
