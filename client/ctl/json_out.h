/* SPDX-License-Identifier: MIT */
/* client/ctl/json_out.h: JSON to a stream: one object a line, always valid UTF-8, numbers in the C locale.
 *
 *	struct json json = json_line(stdout);
 *	json_text(&json, "source", "a.jpg");
 *	json_array(&json, "top");
 *	json_end(&json);
 *	json_end_line(&json);
 *
 * key NULL inside an array. Order and nesting are the caller's; too deep or unbalanced is a bug here (abort). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_DEPTH_MAX = 8 };

struct json {
	FILE *out;
	int depth;
	bool comma[JSON_DEPTH_MAX]; /* something stands before the next value of this level */
	char close[JSON_DEPTH_MAX];
};

struct json json_line(FILE *out); /* begins the line's object */
void json_end_line(struct json *json);

void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_end(struct json *json); /* of the innermost object or array */

/* Bytes that are not UTF-8 become U+FFFD each; control characters are escaped. text NULL: null. */
void json_text(struct json *json, const char *key, const char *text);
void json_bytes(struct json *json, const char *key, const uint8_t *text, size_t len_bytes);
void json_bool(struct json *json, const char *key, bool v);
void json_null(struct json *json, const char *key);
void json_int(struct json *json, const char *key, int64_t v);
void json_uint(struct json *json, const char *key, uint64_t v);
/* Not a number and infinite: null. */
void json_double(struct json *json, const char *key, double v);
