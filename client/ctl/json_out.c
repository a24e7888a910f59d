/* SPDX-License-Identifier: MIT */
/* client/ctl/json_out.c: see json_out.h. */
#include "client/ctl/json_out.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lib/base/require.h"
#include "lib/base/text.h"

static void escaped(FILE *out, uint32_t point)
{
	if (point > 0xFFFF) /* as two UTF-16 surrogates */
		fprintf(out, "\\u%04x\\u%04x", (unsigned)(0xD7C0 + (point >> 10)),
			(unsigned)(0xDC00 + (point & 0x3FF)));
	else
		fprintf(out, "\\u%04x", (unsigned)point);
}

/* What cannot be seen is escaped: the string is the same, and a terminal shows all of it. */
static void quoted(FILE *out, const uint8_t *text, size_t len)
{
	struct text_walk walk = {.text = text, .len_bytes = len};
	fputc('"', out);
	while (text_next(&walk)) {
		if (walk.n_bytes == 0)
			fputs("\\ufffd", out);
		else if (walk.point == '"' || walk.point == '\\')
			fprintf(out, "\\%c", (int)walk.point);
		else if (walk.point == '\n')
			fputs("\\n", out);
		else if (walk.point == '\t')
			fputs("\\t", out);
		else if (walk.kind != TEXT_SHOWN)
			escaped(out, walk.point);
		else
			fwrite(text + walk.at, 1, walk.n_bytes, out);
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
