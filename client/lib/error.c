/* SPDX-License-Identifier: MIT */
/* client/lib/error.c: sentences and codes for the caller. What a daemon says is escaped before anybody prints it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/lib/conn.h"
#include "lib/base/err.h"
#include "lib/base/label.h"
#include "lib/base/text.h"
#include "proto/limits.h"

/* bnnd.h stands alone, so it repeats what the wire and the daemon have. */
#define IS_THE_WIRES(code) _Static_assert((int)BNND_##code == ERR_##code, #code)
IS_THE_WIRES(CANCELLED);
IS_THE_WIRES(INVALID_ARGUMENT);
IS_THE_WIRES(DEADLINE_EXCEEDED);
IS_THE_WIRES(NOT_FOUND);
IS_THE_WIRES(ALREADY_EXISTS);
IS_THE_WIRES(PERMISSION_DENIED);
IS_THE_WIRES(RESOURCE_EXHAUSTED);
IS_THE_WIRES(FAILED_PRECONDITION);
IS_THE_WIRES(ABORTED);
IS_THE_WIRES(OUT_OF_RANGE);
IS_THE_WIRES(UNIMPLEMENTED);
IS_THE_WIRES(INTERNAL);
IS_THE_WIRES(UNAVAILABLE);
IS_THE_WIRES(DATA_LOSS);
_Static_assert((int)BNND_UNKNOWN_ERROR == ERR_UNKNOWN, "UNKNOWN");
_Static_assert((int)BNND_LABEL_MAX_BYTES == LABEL_MAX_BYTES && (int)BNND_KEY_BYTES == LESSON_KEY_BYTES &&
		       (int)BNND_TOP_MAX == TOP_MAX,
	"limits are the wire's");

const char *bnnd_code_name(int code)
{
	return err_code_name(code);
}

static int set(struct bnnd_error *err, enum bnnd_origin origin, int code, struct err_about about, const char *format,
	va_list args)
{
	if (!err)
		return -code;
	*err = (struct bnnd_error){
		.code = code, .origin = origin, .limit = about.limit, .retry_after_ms = about.retry_after_ms};
	(void)snprintf(err->field, sizeof err->field, "%s", about.field ? about.field : "");
	(void)vsnprintf(err->message, sizeof err->message, format, args);
	text_make_printable(err->message);
	return -code;
}

int error_set(struct bnnd_error *err, enum bnnd_origin origin, int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int r = set(err, origin, code, (struct err_about){0}, format, args);
	va_end(args);
	return r;
}

int error_set_about(
	struct bnnd_error *err, enum bnnd_origin origin, int code, struct err_about about, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int r = set(err, origin, code, about, format, args);
	va_end(args);
	return r;
}

int error_from_status(struct bnnd_error *err, const Bnnd__Status *status)
{
	if (!status || status->code == 0)
		return 0;
	int code = status->code <= ERR_DATA_LOSS ? (int)status->code : BNND_UNKNOWN_ERROR;
	const char *text = status->message[0] ? status->message : err_code_name(code);
	char message[sizeof err->message], field[sizeof err->field];
	text_escape(message, sizeof message, (const uint8_t *)text, strlen(text));
	text_escape(field, sizeof field, (const uint8_t *)status->field, strlen(status->field));
	const struct err_about about = {
		.field = field, .limit = status->limit, .retry_after_ms = status->retry_after_ms};
	return error_set_about(err, BNND_ORIGIN_DAEMON, code, about, "%s", message);
}

int conn_label_check(const char *label, const char *field, struct bnnd_error *err)
{
	struct err why;
	/* By the rule of all times: which names a new class may have is the daemon's to say. */
	int r = label_check_kept((const uint8_t *)(label ? label : ""), label ? strlen(label) : 0, NULL, &why);
	if (r == 0)
		return 0;
	return error_set_about(err, BNND_ORIGIN_CALL, why.code, (struct err_about){.field = field, .limit = why.limit},
		"%s", why.text);
}

ProtobufCBinaryData conn_label(const char *label)
{
	return (ProtobufCBinaryData){.len = strlen(label), .data = (uint8_t *)label};
}
