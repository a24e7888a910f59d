/* SPDX-License-Identifier: MIT */
/* What is printed: JSON, columns, times, exit codes. */
#include "tests/unit/client/tests.h"

#include <math.h>

#include "client/ctl/ctl.h"
#include "client/ctl/picture_end.h"

static void check_text(const char *text, size_t n, const char *wanted)
{
	char *out = NULL;
	size_t out_bytes = 0;
	FILE *stream = open_memstream(&out, &out_bytes);
	struct json json = json_line(stream);
	json_bytes(&json, "k", (const uint8_t *)text, n);
	json_end_line(&json);
	(void)fclose(stream);
	char line[512];
	(void)snprintf(line, sizeof line, "{\"k\": \"%s\"}\n", wanted);
	assert_string_equal(out, line);
	free(out);
}

void test_json(void **state)
{
	(void)state;
	check_text("a\"b\\c", 5, "a\\\"b\\\\c");
	check_text("a\nb\tc\x01\x1F\x7F", 8, "a\\nb\\tc\\u0001\\u001f\\u007f");
	check_text("\0x", 2, "\\u0000x");
	check_text("gr\xC3\xB6\xC3\x9F"
		   "e \xE6\x97\xA5 \xF0\x9F\x98\x80",
		16,
		"gr\xC3\xB6\xC3\x9F"
		"e \xE6\x97\xA5 \xF0\x9F\x98\x80");
	check_text("\xFF\xC0\x80\xED\xA0\x80z", 7, "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffdz");
	check_text("cut \xE6\x97", 6, "cut \\ufffd\\ufffd");
	check_text("\xC2\x85\xE2\x80\xA8", 5, "\\u0085\\u2028");
	/* What nobody would see. */
	check_text("\u202Etxet", 7, "\\u202etxet");
	check_text("a\u00A0\u200B", 6, "a\\u00a0\\u200b");
	check_text("\U000E0041\U000F0000", 8, "\\udb40\\udc41\\udb80\\udc00");

	char *out = NULL;
	size_t out_bytes = 0;
	FILE *stream = open_memstream(&out, &out_bytes);
	struct json json = json_line(stream);
	json_array(&json, "empty");
	json_end(&json);
	json_array(&json, "list");
	json_object(&json, NULL);
	json_int(&json, "i", INT64_MIN);
	json_uint(&json, "u", UINT64_MAX);
	json_end(&json);
	json_null(&json, NULL);
	json_bool(&json, NULL, true);
	json_double(&json, NULL, 0.5);
	json_double(&json, NULL, (double)NAN);
	json_double(&json, NULL, (double)INFINITY);
	json_end(&json);
	json_text(&json, "nothing", NULL);
	json_end_line(&json);
	json = json_line(stream);
	json_end_line(&json);
	(void)fclose(stream);
	assert_string_equal(out,
		"{\"empty\": [], \"list\": [{\"i\": -9223372036854775808, \"u\": 18446744073709551615}, null, "
		"true, 0.5, null, null], \"nothing\": null}\n{}\n");
	free(out);
}

void test_columns(void **state)
{
	(void)state;
	char shown[TERM_SHOWN_BYTES];
	assert_string_equal(term_shown(shown, "a\x1b[31m\xFF"), "a\\x1B[31m\\xFF");
	char *out = NULL;
	size_t out_bytes = 0;
	FILE *stream = open_memstream(&out, &out_bytes);
	term_left(stream, "\xE6\x97\xA5", 4);
	term_right(stream, "ab", 4);
	term_left(stream, "too long", 2);
	(void)fclose(stream);
	assert_string_equal(out, "\xE6\x97\xA5    abtoo long");
	free(out);
}

void test_labels_shown(void **state)
{
	(void)state;
	char shown[TERM_SHOWN_BYTES];
	assert_string_equal(ctl_class_shown(shown, "", true), "(none)");
	assert_string_equal(ctl_class_shown(shown, "mug", false), "mug");
	/* Of a state that is older than the rule: never like an answer, never what cannot be seen. */
	assert_string_equal(ctl_class_shown(shown, "(none)", false), "\"(none)\"");
	assert_string_equal(ctl_class_shown(shown, "unknown", false), "\"unknown\"");
	assert_string_equal(ctl_class_shown(shown, "\u202Etxet", false), "\\xE2\\x80\\xAEtxet");
	struct bnnd_answer answer = {.known = true, .label = "unknown"};
	assert_string_equal(ctl_answer_word(shown, &answer), "\"unknown\"");
	answer.known = false;
	assert_string_equal(ctl_answer_word(shown, &answer), "unknown");
	answer.reason = BNND_NONE;
	assert_string_equal(ctl_answer_word(shown, &answer), "(none)");
}

/* Where the first of two pictures ends. */
void test_picture_end(void **state)
{
	(void)state;
#define PNG        "\x89PNG\r\n\x1A\n"
#define PNG_END    "\0\0\0\0IEND...."
#define PNG_WHOLE  PNG "\0\0\0\2IDATxx...." PNG_END
#define JPEG_HEAD  "\xFF\xD8\xFF\xE0\0\6\xFF\xD9\xFF\xD8" /* a thumbnail's markers inside a segment */
#define JPEG_SCAN  "\xFF\xDA\0\3x\1\xFF\0\2\xFF\xD0\3"
#define JPEG_WHOLE JPEG_HEAD JPEG_SCAN "\xFF\xFF\xD9"
#define MPF        "\xFF\xD8\xFF\xE2\0\6MPF\0\xFF\xD9"
#define ROW(text, end)                                                                                                 \
	{                                                                                                              \
		text, sizeof text - 1, end                                                                             \
	}
	static const struct {
		const char *bytes;
		size_t n, end;
	} rows[] = {ROW("", 0), ROW(JPEG_WHOLE, 0), ROW(PNG_WHOLE, 0), ROW("neither " JPEG_WHOLE, 0),
		ROW(JPEG_WHOLE JPEG_WHOLE, sizeof JPEG_WHOLE - 1), ROW(PNG_WHOLE PNG_WHOLE, sizeof PNG_WHOLE - 1),
		ROW(JPEG_WHOLE PNG_WHOLE, sizeof JPEG_WHOLE - 1), ROW(PNG_WHOLE JPEG_WHOLE, sizeof PNG_WHOLE - 1),
		ROW(JPEG_WHOLE "a video", 0), ROW(PNG_WHOLE "\n", 0), ROW(MPF JPEG_WHOLE, 0),
		ROW(JPEG_HEAD JPEG_SCAN JPEG_WHOLE, sizeof JPEG_HEAD JPEG_SCAN - 1),
		ROW(PNG "\xFF\xFF\xFF\xFFIDAT....", 0), ROW(JPEG_HEAD "\xFF\xE1\0\1xx", 0),
		ROW(JPEG_HEAD "\xFF\xE1\xFF\xFFxx", 0)};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t end = picture_end((const uint8_t *)rows[i].bytes, rows[i].n);
		if (end != rows[i].end)
			fail_msg("row %zu: %zu, not %zu", i, end, rows[i].end);
		for (size_t cut = 0; cut < rows[i].n; cut++) { /* nowhere behind the end of what there is */
			uint8_t *part = malloc(cut + 1);
			memcpy(part, rows[i].bytes, cut);
			assert_true(picture_end(part, cut) <= cut);
			free(part);
		}
	}
}

void test_times(void **state)
{
	(void)state;
	char buffer[TERM_TIME_BYTES];
	assert_string_equal(term_time_utc(buffer, 0), "1970-01-01T00:00:00.000Z");
	assert_string_equal(term_time_utc(buffer, 1790000000123), "2026-09-21T14:13:20.123Z");
	assert_string_equal(term_time_utc(buffer, -1), "1969-12-31T23:59:59.999Z");
	assert_true(strlen(term_time_utc(buffer, INT64_MAX)) > 0);
	assert_string_equal(term_duration(buffer, 59999), "59 s");
	assert_string_equal(term_duration(buffer, 3599000), "59 min 59 s");
	assert_string_equal(term_duration(buffer, 90000000), "1 d 1 h");
}

void test_exit_codes(void **state)
{
	(void)state;
	static const struct {
		struct bnnd_error err;
		int exit_code;
	} table[] = {
		{{.code = BNND_UNAVAILABLE, .origin = BNND_ORIGIN_CONNECT}, CTL_NO_DAEMON},
		{{.code = BNND_UNAVAILABLE, .origin = BNND_ORIGIN_LOST}, CTL_NO_DAEMON},
		{{.code = BNND_UNAVAILABLE, .origin = BNND_ORIGIN_DAEMON}, CTL_FAILED},
		{{.code = BNND_PERMISSION_DENIED, .origin = BNND_ORIGIN_CONNECT}, CTL_NOT_ALLOWED},
		{{.code = BNND_PERMISSION_DENIED, .origin = BNND_ORIGIN_DAEMON}, CTL_NOT_ALLOWED},
		{{.code = BNND_FAILED_PRECONDITION, .origin = BNND_ORIGIN_CONNECT}, CTL_FAILED},
		{{.code = BNND_NOT_FOUND, .origin = BNND_ORIGIN_DAEMON}, CTL_NOT_FOUND},
		{{.code = BNND_RESOURCE_EXHAUSTED, .origin = BNND_ORIGIN_DAEMON, .retry_after_ms = 50}, CTL_BUSY},
		{{.code = BNND_RESOURCE_EXHAUSTED, .origin = BNND_ORIGIN_DAEMON}, CTL_FAILED},
		{{.code = BNND_ABORTED, .origin = BNND_ORIGIN_DAEMON}, CTL_FAILED},
		{{.code = BNND_ABORTED, .origin = BNND_ORIGIN_DAEMON, .retry_after_ms = 50}, CTL_BUSY},
		{{.code = BNND_DEADLINE_EXCEEDED, .origin = BNND_ORIGIN_CALL}, CTL_BUSY},
		{{.code = BNND_DEADLINE_EXCEEDED, .origin = BNND_ORIGIN_DAEMON}, CTL_BUSY},
		{{.code = BNND_INVALID_ARGUMENT, .origin = BNND_ORIGIN_DAEMON}, CTL_FAILED},
		{{.code = BNND_INVALID_ARGUMENT, .origin = BNND_ORIGIN_CALL}, CTL_USAGE},
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (ctl_exit_code(&table[i].err) != table[i].exit_code)
			fail_msg("%zu: %d, not %d", i, ctl_exit_code(&table[i].err), table[i].exit_code);
	/* Whose fault is it: this picture's, so that the others go on? */
	assert_true(ctl_error_is_of_picture(
		&(struct bnnd_error){.code = BNND_INVALID_ARGUMENT, .origin = BNND_ORIGIN_DAEMON}));
	assert_true(ctl_error_is_of_picture(&(struct bnnd_error){
		.code = BNND_RESOURCE_EXHAUSTED, .origin = BNND_ORIGIN_DAEMON, .field = "image.decode_memory_mib"}));
	assert_false(ctl_error_is_of_picture(&(struct bnnd_error){
		.code = BNND_RESOURCE_EXHAUSTED, .origin = BNND_ORIGIN_DAEMON, .field = "lesson.max_classes"}));
	assert_false(ctl_error_is_of_picture(
		&(struct bnnd_error){.code = BNND_INVALID_ARGUMENT, .origin = BNND_ORIGIN_DAEMON, .field = "label"}));
	assert_false(ctl_error_is_of_picture(&(struct bnnd_error){
		.code = BNND_RESOURCE_EXHAUSTED, .origin = BNND_ORIGIN_DAEMON, .retry_after_ms = 5}));
	assert_false(
		ctl_error_is_of_picture(&(struct bnnd_error){.code = BNND_UNAVAILABLE, .origin = BNND_ORIGIN_LOST}));
}
