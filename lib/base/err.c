/* SPDX-License-Identifier: MIT */
/* lib/base/err.c: see err.h. A sentence that is too long is cut, never refused. */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

static int set(struct err *err, enum err_code code, struct err_about about, const char *format, va_list ap)
{
	if (err) {
		*err = (struct err){.code = code,
			.field = about.field,
			.limit = about.limit,
			.retry_after_ms = about.retry_after_ms};
		vsnprintf(err->text, sizeof err->text, format, ap);
		text_make_printable(err->text);
	}
	return -(int)code;
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int r = set(err, code, (struct err_about){0}, format, ap);
	va_end(ap);
	return r;
}

int err_set_about(struct err *err, enum err_code code, struct err_about about, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int r = set(err, code, about, format, ap);
	va_end(ap);
	return r;
}

void err_set_field(struct err *err, const char *field)
{
	if (err)
		err->field = field;
}

void err_prefix(struct err *err, const char *format, ...)
{
	if (!err)
		return;
	char joined[2 * ERR_TEXT_BYTES];
	va_list ap;
	va_start(ap, format);
	vsnprintf(joined, ERR_TEXT_BYTES, format, ap);
	va_end(ap);
	size_t n = strlen(joined);
	snprintf(joined + n, sizeof joined - n, ": %s", err->text);
	memcpy(err->text, joined, sizeof err->text);
	err->text[sizeof err->text - 1] = '\0';
	text_make_printable(err->text);
}

const char *err_code_name(int code)
{
	static const char *const names[] = {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",
		"NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
		"ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"};
	if (code < 0 || (size_t)code >= sizeof names / sizeof *names)
		return "UNKNOWN";
	return names[code];
}
