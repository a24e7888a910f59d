/* SPDX-License-Identifier: MIT */
/* lib/base/err.c: see err.h. A sentence that is too long is cut, never refused. */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
	if (err) {
		va_list ap;
		memset(err, 0, sizeof *err);
		err->code = code;
		va_start(ap, format);
		vsnprintf(err->text, sizeof err->text, format, ap);
		va_end(ap);
		text_make_printable(err->text);
	}
	return -(int)code;
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
