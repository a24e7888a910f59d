/* SPDX-License-Identifier: MIT */
/* daemon/config_check.c: see config_check.h. What is wrong in the file itself was refused before (config_load). */
#include "daemon/config_check.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/model_choice.h"
#include "daemon/host/reach.h"
#include "lib/base/memory.h"
#include "lib/base/text.h"

enum { SENTENCE_BYTES = 800, SHOWN_BYTES = 200 };

struct checking {
	config_finding_fn *fn;
	void *ctx;
	size_t n_faults;
};

__attribute__((format(printf, 3, 4))) static void tell(
	struct checking *c, enum config_finding kind, const char *format, ...)
{
	char sentence[SENTENCE_BYTES];
	va_list ap;
	va_start(ap, format);
	vsnprintf(sentence, sizeof sentence, format, ap);
	va_end(ap);
	text_make_printable(sentence);
	c->n_faults += kind == CONFIG_FAULT;
	c->fn(c->ctx, kind, sentence);
}

/* The folder that a path lies in; free it. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = mem_strdup(!slash ? "." : slash == path ? "/" : path);
	if (slash && slash != path)
		folder[slash - path] = '\0';
	return folder;
}

/* Is there a folder at this path? The reason goes to the caller's sentence. */
static const char *no_folder(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return strerror(errno);
	return S_ISDIR(st.st_mode) ? NULL : strerror(ENOTDIR);
}

static void check_socket(struct checking *c, const struct config *config)
{
	if (config->socket_group && !getgrnam(config->socket_group))
		tell(c, CONFIG_FAULT, "socket.group: there is no group %s", config->socket_group);
	/* The unit makes the folder of the default path when it starts. */
	if (strcmp(config->socket_path, CONFIG_DEFAULT_SOCKET) == 0)
		return;
	char *folder = folder_of(config->socket_path);
	const char *why = no_folder(folder);
	if (why)
		tell(c, CONFIG_FAULT, "socket.path: the folder %s cannot be used: %s", folder, why);
	free(folder);
}

static void check_state(struct checking *c, const struct config *config)
{
	char obstacle[REACH_TEXT_BYTES];
	struct stat st;
	const char *dir = config->state_dir;
	if (reach_unit_obstacle(dir, true, obstacle))
		tell(c, CONFIG_OF_THE_UNIT, "state.dir: %s", obstacle);
	if (stat(dir, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			tell(c, CONFIG_FAULT, "state.dir: %s is no folder", dir);
	} else if (errno != ENOENT) {
		tell(c, CONFIG_FAULT, "state.dir: %s: %s", dir, strerror(errno));
	} else {
		/* The first lesson makes it, but not what it lies in. */
		char *parent = folder_of(dir);
		const char *why = no_folder(parent);
		if (why)
			tell(c, CONFIG_FAULT, "state.dir: %s cannot be made: %s: %s", dir, parent, why);
		free(parent);
	}
}

static void check_model(struct checking *c, const struct config *config)
{
	struct bnn_model *model = NULL;
	char *reason = NULL, obstacle[REACH_TEXT_BYTES];
	struct err err;
	if (config->model && reach_unit_obstacle(config->model, false, obstacle))
		tell(c, CONFIG_OF_THE_UNIT, "model.path: %s", obstacle);
	if (model_choose(config, &model, &reason, &err) < 0)
		tell(c, CONFIG_FAULT, "%s: %s", config->model ? "model.path" : "model.dir", err.text);
	else if (reason)
		tell(c, CONFIG_NOTE, "model: %s", reason);
	bnn_model_free(model);
	free(reason);
}

static void check_method(struct checking *c, const struct config *config)
{
	const char *why = config_no_metric(config);
	if (why && config->learner.method != LEARN_CWR)
		tell(c, CONFIG_NOTE, "learner.method: %s, and the daemon is degraded", why);
}

size_t config_check(const struct config *config, config_finding_fn *fn, void *ctx)
{
	struct checking c = {.fn = fn, .ctx = ctx};
	check_socket(&c, config);
	check_state(&c, config);
	check_model(&c, config);
	check_method(&c, config);
	return c.n_faults;
}
