/* SPDX-License-Identifier: MIT */
/* daemon/config/config.h: the settings. Flag, environment, file, default, in this order of precedence; one key table. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/learn/learn.h"

enum config_keep { CONFIG_KEEP_FEATURES = 1, CONFIG_KEEP_NONE };

struct config {
	char *socket_path;      /* socket.path: /run/bnnd/bnnd.sock */
	uint32_t socket_mode;   /* socket.mode: 0660 in the system daemon with its group, 0600 for an ordinary user */
	char *socket_group;     /* socket.group: "bnnd" for root, NULL: leave */
	char *state_dir;        /* state.dir: /var/lib/bnnd */
	char *model;            /* model.path; NULL: model_choice.h chooses */
	char *model_dir;        /* model.dir: where `current` and default.bnn are looked up */
	uint32_t infer_threads; /* infer.threads; 0: max(1, cores - 1) */
	double refuse;          /* answers.refuse: 0.01, 0.02, 0.05, 0.10, 0.20; 0: never */
	uint32_t decode_memory_mib;    /* image.decode_memory_mib: 48 */
	uint32_t decode_megapixels;    /* image.decode_megapixels: 24 */
	uint32_t decode_seconds;       /* image.decode_seconds: 10 */
	struct learn_settings learner; /* learner.preset, .width, .method, .epochs, .eta, .minibatch, ... */
	enum config_keep keep;         /* learner.keep: features | none */
	uint32_t max_classes;          /* learner.max_classes: 4096 */
	uint32_t samples_per_class;    /* learner.samples_per_class: 200 */
	uint32_t lesson_idle_s;        /* lesson.idle_s: 60 */
	uint32_t lesson_starve_ms;     /* lesson.starve_ms: 200 */
	uint32_t lesson_per_uid;       /* lesson.per_uid: 4 */
	uint32_t lesson_max_pictures;  /* lesson.max_pictures: 10000 */
	uint32_t lesson_max_classes;   /* lesson.max_classes: 256 */
	uint32_t session_stall_s;      /* session.stall_s: 30 */
	uint32_t sessions_max;         /* session.max: 64 */
};

/* Values given on the command line or in the environment; NULL: not given. Borrowed. */
struct config_overrides {
	const char *file;   /* --config, BNND_CONFIG; a missing one is an error, a missing default file is not */
	const char *socket; /* --socket, BNND_SOCKET */
	const char *state;  /* --state, BNND_STATE */
	const char *model;  /* --model, BNND_MODEL */
};

extern const char config_default_file[]; /* /etc/bnnd/bnnd.yaml with the prefix /usr */

#define CONFIG_DEFAULT_SOCKET "/run/bnnd/bnnd.sock"

enum { CONFIG_FILE_MAX_BYTES = 256 << 10, CONFIG_DEPTH_MAX = 4 };

/* Defaults, then the file, then the overrides. Errors are one sentence with file:line:column and the nearest valid key. */
int config_load(const struct config_overrides *overrides, struct config *ret_config, struct err *err);
/* Why nothing but learner.method: cwr can rank, a sentence; NULL: each can. */
const char *config_no_metric(const struct config *config);
/* Why known is never decided with the scene taken away, likewise. */
const char *config_no_scene(const struct config *config);
void config_deinit(struct config *config);
/* The annotated settings in force, as a file that config_load reads back, and the sum of the memory bounds. */
void config_print(const struct config *config, FILE *out);
