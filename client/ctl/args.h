/* SPDX-License-Identifier: MIT */
/* client/ctl/args.h: bnnctl's command line: one table of flags, one of verbs, what was said on this line.
 *
 * A verb takes the flags of its mask and nothing else; what it does not know is refused with the nearest thing that it
 * does know. Flags and operands may be mixed; "--" ends the flags; "--flag=value" and "--flag value" are the same. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/bnnd.h"
#include "lib/base/err.h"

enum arg_flag {
	ARG_SOCKET,
	ARG_TIMEOUT,
	ARG_JSON,
	ARG_HELP,
	ARG_VERSION,
	ARG_DIR,
	ARG_TOGETHER,
	ARG_NONE,
	ARG_DRY_RUN,
	ARG_KEY,
	ARG_IF_SEQ,
	ARG_RAW,
	ARG_ROI,
	ARG_ROTATE,
	ARG_REFUSE,
	ARG_TOP,
	ARG_FAIL_UNKNOWN,
	ARG_OUTPUT,
	ARG_LIMIT,
	ARG_EACH,
	ARG_CONFUSION,
	ARG_CHECK,
	ARG_FLAGS, /* how many */
};
#define ARG_BIT(flag) (UINT32_C(1) << (flag))

struct args {
	uint32_t given; /* ARG_BIT of each flag that was said */
	const char *socket;
	uint32_t timeout_ms;
	const char *dir;
	uint8_t key[BNND_KEY_BYTES];
	uint64_t if_seq;
	uint32_t raw_width, raw_height, raw_channels;
	double roi[4];
	uint32_t rotate;
	double refuse; /* a share, BNND_REFUSE_NEVER, or 0: not given */
	uint32_t top;
	const char *output;
	uint32_t limit;
	const struct verb *verb; /* NULL: none was said */
	size_t n_operands;
	const char **operands; /* of argv; the array is the caller's to free */
};

struct ctl;
struct verb {
	const char *name;
	const char *operands; /* "NAME FILE..." */
	const char *summary;
	const char *help; /* paragraphs after the usage */
	const char *examples;
	uint32_t flags; /* ARG_BIT; the global ones are added */
	int (*run)(struct ctl *ctl);
};

/* Reads argv[1..argc-1]. Everything is borrowed from argv but operands. An error is a usage error: its sentence names
 * the nearest flag or verb. On error and on success the caller frees ret_args->operands. */
int args_parse(int argc, char **argv, const struct verb *verbs, size_t n_verbs, struct args *ret_args, struct err *err);

static inline bool args_has(const struct args *args, enum arg_flag flag)
{
	return (args->given & ARG_BIT(flag)) != 0;
}

/* What a name was probably meant to be; NULL: nothing is near. */
const char *args_nearest(const char *word, const char *const *names, size_t n);

/* verb NULL: the overview of all. */
void args_help(FILE *out, const struct verb *verbs, size_t n_verbs, const struct verb *verb);
