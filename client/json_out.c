/* SPDX-License-Identifier: MIT */
/* client/json_out.c: see json_out.h. */
#include "client/json_out.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lib/base/require.h"
#include "lib/base/text.h"

static void quoted(FILE *out, const uint8_t *text, size_t len)
{
	fputc('"', out);
	for (size_t i = 0, n; i < len; i += n) {
		uint32_t point = 0;
		n = utf8_decode(text + i, len - i, &point);
		if (n == 0) {
			n = 1;
			fputs("\\ufffd", out);
		} else if (point == '"' || point == '\\') {
			fprintf(out, "\\%c", (int)point);
		} else if (point == '\n') {
			fputs("\\n", out);
		} else if (point == '\t') {
			fputs("\\t", out);
		} else if (point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029) {
			fprintf(out, "\\u%04x", (unsigned)point);
		} else {
			fwrite(text + i, 1, n, out);
		}
	}
	fputc('"', out);
}

static void before(struct json *json, const char *key)
{
	int level = json->depth - 1;
	REQUIRE(level >= 0 && (json->close[level] == '}') == (key != NULL));
	if (json->comma[level])
		fputs(", ", json->out);
	json->comma[level] = true;
	if (key) {
		quoted(json->out, (const uint8_t *)key, strlen(key));
		fputs(": ", json->out);
	}
}

static void open_level(struct json *json, char open, char close)
{
	REQUIRE(json->depth < JSON_DEPTH_MAX);
	fputc(open, json->out);
	json->comma[json->depth] = false;
	json->close[json->depth++] = close;
}

struct json json_line(FILE *out)
{
	struct json json = {.out = out};
	open_level(&json, '{', '}');
	return json;
}

void json_end_line(struct json *json)
{
	json_end(json);
	REQUIRE(json->depth == 0);
	fputc('\n', json->out);
	(void)fflush(json->out); /* who reads line by line gets each one when it is there */
}

void json_object(struct json *json, const char *key)
{
	before(json, key);
	open_level(json, '{', '}');
}

void json_array(struct json *json, const char *key)
{
	before(json, key);
	open_level(json, '[', ']');
}

void json_end(struct json *json)
{
	REQUIRE(json->depth > 0);
	fputc(json->close[--json->depth], json->out);
}

void json_bytes(struct json *json, const char *key, const uint8_t *text, size_t len_bytes)
{
	before(json, key);
	quoted(json->out, text, len_bytes);
}

void json_text(struct json *json, const char *key, const char *text)
{
	if (text)
		json_bytes(json, key, (const uint8_t *)text, strlen(text));
	else
		json_null(json, key);
}

void json_bool(struct json *json, const char *key, bool v)
{
	before(json, key);
	fputs(v ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *key)
{
	before(json, key);
	fputs("null", json->out);
}

void json_int(struct json *json, const char *key, int64_t v)
{
	before(json, key);
	fprintf(json->out, "%" PRId64, v);
}

void json_uint(struct json *json, const char *key, uint64_t v)
{
	before(json, key);
	fprintf(json->out, "%" PRIu64, v);
}

void json_double(struct json *json, const char *key, double v)
{
	if (!isfinite(v)) {
		json_null(json, key);
		return;
	}
	before(json, key);
	fprintf(json->out, "%.6g", v);
}
