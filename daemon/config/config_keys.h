/* SPDX-License-Identifier: MIT */
/* daemon/config/config_keys.h: the one table of settings: path, type, range, help. For config_load.c and config_print.c alone. */
#pragma once

#include "daemon/config/config.h"

enum config_type {
	CONFIG_STRING, /* char *, "" is NULL where it may be absent */
	CONFIG_PATH,   /* the same, of a file; no ~ is expanded */
	CONFIG_UINT,   /* uint32_t, low..high */
	CONFIG_MODE,   /* uint32_t, octal */
	CONFIG_REAL,   /* double, low..high */
	CONFIG_SHARE,  /* double, one of bnn_refuse_share, or 0: "never" */
	CONFIG_CHOICE, /* enum (as uint32_t), one of choices: its index + 1 */
};

struct config_key {
	const char *path; /* "learner.epochs" */
	enum config_type type;
	size_t offset; /* in struct config */
	double low, high;
	const char *const *choices; /* CONFIG_CHOICE, NULL-terminated */
	const char *help;
};

extern const struct config_key config_keys[];
extern const size_t config_keys_n;

/* The key of a path, NULL: there is none. */
const struct config_key *config_key_find(const char *path);
/* The path that is spelled most like this one. */
const char *config_key_nearest(const char *path);
/* Sets a value from its text: 0, or ERR_INVALID_ARGUMENT with what would be right. */
int config_key_set(const struct config_key *key, const char *text, struct config *config, struct err *err);
/* The value in force, as the file would have it: config_key_set gets back what it is. */
void config_key_print(const struct config_key *key, const struct config *config, FILE *out);
