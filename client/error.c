/* SPDX-License-Identifier: MIT */
/* client/error.c: sentences and codes for the caller. What a daemon says is escaped before anybody prints it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/conn.h"
#include "lib/base/err.h"
#include "lib/base/label.h"
#include "lib/base/text.h"

const char *bnnd_code_name(int code)
{
	return err_code_name(code);
}

int error_set(struct bnnd_error *err, enum bnnd_origin origin, int code, const char *format, ...)
{
	if (!err)
		return -code;
	*err = (struct bnnd_error){.code = code, .origin = origin};
	va_list args;
	va_start(args, format);
	(void)vsnprintf(err->message, sizeof err->message, format, args);
	va_end(args);
	text_make_printable(err->message);
	return -code;
}

int error_from_status(struct bnnd_error *err, const Bnnd__Status *status)
{
	if (!status || status->code == 0)
		return 0;
	int code = status->code <= ERR_DATA_LOSS ? (int)status->code : BNND_UNKNOWN_ERROR;
	error_set(err, BNND_ORIGIN_DAEMON, code, "%s", "");
	if (!err)
		return -code;
	const char *text = status->message[0] ? status->message : err_code_name(code);
	text_escape(err->message, sizeof err->message, (const uint8_t *)text, strlen(text));
	text_escape(err->field, sizeof err->field, (const uint8_t *)status->field, strlen(status->field));
	err->limit = status->limit;
	err->retry_after_ms = status->retry_after_ms;
	return -code;
}

int conn_label_check(const char *label, const char *field, struct bnnd_error *err)
{
	struct err why;
	/* By the rule of all times: which names a new class may have is the daemon's to say. */
	int r = label_check_kept((const uint8_t *)(label ? label : ""), label ? strlen(label) : 0, &why);
	if (r == 0)
		return 0;
	error_set(err, BNND_ORIGIN_CALL, -r, "%s", why.text);
	if (err) {
		(void)snprintf(err->field, sizeof err->field, "%s", field);
		err->limit = why.limit;
	}
	return r;
}

ProtobufCBinaryData conn_label(const char *label)
{
	return (ProtobufCBinaryData){.len = strlen(label), .data = (uint8_t *)label};
}
