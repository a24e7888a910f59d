/* SPDX-License-Identifier: MIT */
/* lib/base/err.h: the sentence for people and the code for machines, filled where the fact is known.
 *
 * Error rule of the whole project: 0 is success; negative is fatal and passed up unchanged (it is -code below);
 * positive is one of the called function's own documented outcomes, handled by its direct caller.
 */
#pragma once

#include <stdint.h>

/* The canonical gRPC numbers: they travel to the client as they are. */
enum err_code {
	ERR_CANCELLED = 1,
	ERR_UNKNOWN = 2,
	ERR_INVALID_ARGUMENT = 3,
	ERR_DEADLINE_EXCEEDED = 4,
	ERR_NOT_FOUND = 5,
	ERR_ALREADY_EXISTS = 6,
	ERR_PERMISSION_DENIED = 7,
	ERR_RESOURCE_EXHAUSTED = 8,
	ERR_FAILED_PRECONDITION = 9,
	ERR_ABORTED = 10,
	ERR_OUT_OF_RANGE = 11,
	ERR_UNIMPLEMENTED = 12,
	ERR_INTERNAL = 13,
	ERR_UNAVAILABLE = 14,
	ERR_DATA_LOSS = 15,
};

enum {
	ERR_TEXT_BYTES = 400,
	/* Advice when to ask again, by what has to end first. */
	ERR_RETRY_REQUEST_MS = 100, /* a request, a connection: soon */
	ERR_RETRY_LESSON_MS = 1000, /* a lesson */
};

struct err {
	int code;                  /* enum err_code, 0: nothing happened */
	uint32_t retry_after_ms;   /* ERR_RETRY_..., 0: no advice */
	uint64_t limit;            /* the limit that was met, 0: none */
	const char *field;         /* static string: the field or setting that is wrong, NULL: none */
	char text[ERR_TEXT_BYTES]; /* one sentence, UTF-8, no newline; foreign bytes in it are escaped */
};

/* Fills err (NULL allowed) and returns -code, so that `return err_set(err, ERR_..., "...")` reads well.
 * field, limit and retry_after_ms are none. Any thread. */
int err_set(struct err *err, enum err_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What machines are told beside the code; what an initializer leaves out is none. */
struct err_about {
	const char *field; /* each as in struct err */
	uint64_t limit;
	uint32_t retry_after_ms;
};
/* The same with these: err_set_about(err, ERR_..., (struct err_about){.field = "label", .limit = n}, "..."). */
int err_set_about(struct err *err, enum err_code code, struct err_about about, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Gives the field the name that it has where the caller found the wrong value. NULL allowed. */
void err_set_field(struct err *err, const char *field);

/* Puts "prefix: " in front of the sentence already there. */
void err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "INVALID_ARGUMENT" and so on; "UNKNOWN" for a number that is none. Static string. */
const char *err_code_name(int code);
