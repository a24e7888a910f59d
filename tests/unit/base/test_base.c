/* SPDX-License-Identifier: MIT */
/* lib/base: labels, sentences, checked sizes, shuffles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/endian.h"
#include "lib/base/err.h"
#include "lib/base/label.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/base/text.h"
#include "lib/base/utf8.h"

static int check(const char *s, size_t n, struct label *ret_label)
{
	struct err err;
	int r = label_check((const uint8_t *)s, n, ret_label, &err);
	if (r != 0) {
		assert_string_equal(err.field, "label");
		assert_int_equal(err.limit, LABEL_MAX_BYTES);
	}
	return r;
}

static void test_label(void **state)
{
	(void)state;
	static const char *const good[] = {"mug", "a b", "größe", "\U0001F600", "x", "None of these", "unknowns", "C++",
		"日本語", "한국어", "à la carte", "Ελλάδα", "עברית", "می‌خواهم" /* Persian, with U+200C */,
		"क्‍ष" /* virama, U+200D */, "র‍্যাম" /* U+200D before the virama */,
		"\U0001F468‍\U0001F469‍\U0001F467" /* a family: U+200D between */, "❤️" /* U+FE0F */,
		"1️⃣" /* a keycap */, "\U0001F44D\U0001F3FD‍\U0001F527" /* skin tone, U+200D */,
		"\U0001F1E9\U0001F1EA" /* a flag */, "葛\U000E0100" /* an ideograph's variant */};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (check(good[i], strlen(good[i]), NULL) != 0)
			fail_msg("%s is refused", good[i]);
	static const struct {
		const char *s;
		size_t n;
	} bad[] = {{"", 0}, {" a", 2}, {"a ", 2}, {"a\0b", 3}, {"a\nb", 3}, {"\x7F", 1}, {"\xC2\x85", 2}, {"\xFF", 1},
		{"\xC0\x80", 2}, {"\xED\xA0\x80", 3}, {"\xE2\x82", 2}, {"\xF4\x90\x80\x80", 4}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(check(bad[i].s, bad[i].n, NULL), -ERR_INVALID_ARGUMENT);
	static const char *const unseen[] = {"\u202Etxet", "a\u202Ab", "\u2066a\u2069", "mug\u200B", "mu\u200Dg",
		"mu\u200Cg", "mug\u200D", "\u200Dmug", "mug\uFE0F", "\uFE0Fmug", "\u2764\uFE0F\uFE0F", "a\u00ADb",
		"a\uFEFF", "a\u2060b", "a\u00A0b", "a\u3000b", "\u2003", "a\u202Fb", "\u2800", "\u3164", "\u115F",
		"\uE000", "\U000F0000", "\u0378", "\uFFFE", "\U000E0041", "\U0001F3F4\U000E0067\U000E007F", "\u0301a",
		"a\u034Fb", "a\u2028b", "a\uFFF9b", "می\u200C", "ا\u200Cb", "\U0001F468\u200D",
		"\U0001F468\u200C\U0001F469"};
	for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++) {
		if (check(unseen[i], strlen(unseen[i]), NULL) != -ERR_INVALID_ARGUMENT)
			fail_msg("label %zu, %s, is not refused", i, unseen[i]);
		assert_int_equal(label_check_kept((const uint8_t *)unseen[i], strlen(unseen[i]), NULL, NULL),
			strcmp(unseen[i], "a\u2028b") ? 0 : -ERR_INVALID_ARGUMENT);
	}
	static const char *const reserved[] = {"none", "(none)", "unknown", "Unknown", "(UNKNOWN)", "None"};
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
		assert_int_equal(check(reserved[i], strlen(reserved[i]), NULL), -ERR_INVALID_ARGUMENT);
	char long_label[LABEL_MAX_BYTES + 1];
	memset(long_label, 'a', sizeof long_label);
	assert_int_equal(check(long_label, LABEL_MAX_BYTES, NULL), 0);
	assert_int_equal(check(long_label, LABEL_MAX_BYTES + 1, NULL), -ERR_INVALID_ARGUMENT);
	for (size_t i = 0; i + 3 <= LABEL_MAX_BYTES; i += 3)
		memcpy(long_label + i, "\u0958", 3); /* excluded from composition: twice as long in NFC */
	assert_int_equal(check(long_label, LABEL_MAX_BYTES - LABEL_MAX_BYTES % 3, NULL), -ERR_INVALID_ARGUMENT);
}

/* What is one class, and what is stored of it. */
static void test_label_keys(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {{"caf\u00E9", "cafe\u0301", true}, {"한글", "\u1112\u1161\u11AB\u1100\u1173\u11AF", true},
		{"\u212B", "\u00C5", true}, {"e\u0323\u0301", "e\u0301\u0323", true},
		{"می‌خواهم", "میخواهم", true}, {"❤", "❤️", true},
		{"\U0001F468‍\U0001F469", "\U0001F468\U0001F469", true}, {"cafe", "caf\u00E9", false},
		{"Mug", "mug", false}, {"a b", "ab", false}, {"\uFF4Dug", "mug", false}, {"x", "x", true}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct label a, b, key_a, key_b, again;
		assert_int_equal(check(rows[i].a, strlen(rows[i].a), &a), 0);
		assert_int_equal(check(rows[i].b, strlen(rows[i].b), &b), 0);
		label_key(&a, &key_a);
		label_key(&b, &key_b);
		if (label_equal(&key_a, &key_b) != rows[i].same)
			fail_msg("%s and %s", rows[i].a, rows[i].b);
		label_key(&key_a, &again);
		assert_true(label_equal(&key_a, &again));
		/* What is stored is NFC, and stays what it is. */
		assert_int_equal(check((const char *)a.bytes, a.len_bytes, &again), 0);
		assert_true(label_equal(&a, &again));
	}
	struct label nfd;
	assert_int_equal(check("cafe\u0301", 6, &nfd), 0);
	assert_int_equal(nfd.len_bytes, 5);
	assert_memory_equal(nfd.bytes, "caf\u00E9", 5);
	char longer[LABEL_MAX_BYTES + 9];
	memset(longer, 'x', sizeof longer);
	struct label cut = label_of_bytes(longer, sizeof longer), none = label_of_bytes(NULL, 0);
	assert_int_equal(cut.len_bytes, LABEL_MAX_BYTES);
	assert_memory_equal(cut.bytes, longer, LABEL_MAX_BYTES);
	assert_int_equal(none.len_bytes, 0);
	/* An old label of which no key would be left keeps its bytes. */
	struct label invisible = {.bytes = "\xE2\x80\x8B", .len_bytes = 3}, key;
	label_key(&invisible, &key);
	assert_true(label_equal(&key, &invisible));
}

/* Any text of telling characters: what is accepted is shown as it is, stays accepted in NFC and keeps its key. */
static void test_label_random(void **state)
{
	(void)state;
	static const char *const pieces[] = {"a", "e", " ", "0", "#", "\u0301", "\u0323", "\u0345", "\u05D0", "\u0628",
		"\u0627", "\u0653", "\u0622", "\u0650", "\u200C", "\u200D", "\u0915", "\u094D", "\u093C", "\u0958",
		"\uFE0F", "\uFE0E", "\U000E0101", "\u2764", "\U0001F468", "\U0001F3FD", "\u1100", "\u1161", "\u11A8",
		"\uAC00", "\u115F", "\u00A0", "\u202E", "\u0345", "\uF900", "\u226E", "<", "\u0338", "\u212B", "\uFDFA",
		"\U0001D15E", "\xFF", "\xE2\x80", "\U000E0041", "\u0F71", "\u0F72", "\u0F80"};
	uint64_t seed = 11;
	size_t n_good = 0;
	for (int round = 0; round < 200000; round++) {
		char text[LABEL_MAX_BYTES + 8] = "", shown[TEXT_ESCAPED_BYTES(LABEL_MAX_BYTES)], cut[6];
		uint32_t n = 1 + splitmix64_below(&seed, round % 50 == 0 ? 40 : 6);
		while (n-- > 0 && strlen(text) < LABEL_MAX_BYTES)
			strcat(text, pieces[splitmix64_below(&seed, sizeof pieces / sizeof *pieces)]);
		struct label normal, again, key, key_again;
		text_escape(shown, sizeof shown, (const uint8_t *)text, strlen(text));
		text_escape(cut, sizeof cut, (const uint8_t *)text, strlen(text));
		assert_int_equal(memcmp(shown, cut, strlen(cut)), 0);
		if (label_check((const uint8_t *)text, strlen(text), &normal, NULL) != 0)
			continue;
		n_good++;
		assert_string_equal(shown, text);
		assert_int_equal(label_check_kept((const uint8_t *)text, strlen(text), &again, NULL), 0);
		assert_int_equal(again.len_bytes, strlen(text));
		assert_memory_equal(again.bytes, text, again.len_bytes);
		assert_string_equal(label_shown(shown, &again), text);
		if (label_check(normal.bytes, normal.len_bytes, &again, NULL) != 0)
			fail_msg("%s is accepted, and refused in NFC", text);
		assert_true(label_equal(&normal, &again));
		label_key(&normal, &key);
		label_key(&key, &key_again);
		assert_true(key.len_bytes > 0 && label_equal(&key, &key_again));
	}
	assert_true(n_good > 10000);
}

static void test_utf8(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len, n;
		uint32_t point;
	} rows[] = {
		{"a", 1, 1, 'a'},
		{"\0", 1, 1, 0},
		{"\x7F\x80", 2, 1, 0x7F},
		{"\xC2\x80", 2, 2, 0x80},
		{"\xDF\xBF", 2, 2, 0x7FF},
		{"\xE0\xA0\x80", 3, 3, 0x800},
		{"\xED\x9F\xBF", 3, 3, 0xD7FF},
		{"\xEE\x80\x80", 3, 3, 0xE000},
		{"\xEF\xBF\xBF", 3, 3, 0xFFFF},
		{"\xF0\x90\x80\x80", 4, 4, 0x10000},
		{"\xF4\x8F\xBF\xBF", 4, 4, 0x10FFFF},
		{"", 0, 0, 0},
		{"\x80", 1, 0, 0},
		{"\xC1\xBF", 2, 0, 0},
		{"\xE0\x9F\xBF", 3, 0, 0},
		{"\xF0\x8F\xBF\xBF", 4, 0, 0},
		{"\xED\xA0\x80", 3, 0, 0},
		{"\xED\xBF\xBF", 3, 0, 0},
		{"\xF4\x90\x80\x80", 4, 0, 0},
		{"\xF8\x88\x80\x80\x80", 5, 0, 0},
		{"\xC3", 1, 0, 0},
		{"\xE2\x80", 2, 0, 0},
		{"\xE2\x80z", 3, 0, 0},
		{"\xFF", 1, 0, 0},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint32_t point = 0;
		size_t n = utf8_decode((const uint8_t *)rows[i].bytes, rows[i].len, &point);
		if (n != rows[i].n || point != rows[i].point)
			fail_msg("row %zu: %zu bytes, U+%04X", i, n, point);
	}
}

static void escapes_to(const char *text, const char *want)
{
	char shown[100];
	text_escape(shown, sizeof shown, (const uint8_t *)text, strlen(text));
	assert_string_equal(shown, want);
}

static void test_escape(void **state)
{
	(void)state;
	escapes_to("\u202Etxet.gpj", "\\xE2\\x80\\xAEtxet.gpj");
	escapes_to("a\u200Bb", "a\\xE2\\x80\\x8Bb");
	escapes_to("a\u00A0b", "a\\xC2\\xA0b");
	escapes_to("\u0301a", "\\xCC\\x81a");
	escapes_to("\n\u0301a", "\\x0A\\xCC\\x81a");
	escapes_to("\U000E0041", "\\xF3\\xA0\\x81\\x81");
	escapes_to("cafe\u0301 می‌خواهم \U0001F468‍\U0001F469 日本",
		"cafe\u0301 می‌خواهم \U0001F468‍\U0001F469 日本");
	char text[12];
	text_escape(text, sizeof text, (const uint8_t *)"a\nb\xFFz", 5);
	assert_string_equal(text, "a\\x0Ab\\xFFz");
	text_escape(text, 6, (const uint8_t *)"ab\ncd", 5);
	assert_string_equal(text, "ab");
	text_escape(text, sizeof text, (const uint8_t *)"a\xE2\x80\xAE", 4); /* never half a character */
	assert_string_equal(text, "a");
	char printed[] = "no class \u202Emug\u00A0";
	text_make_printable(printed);
	assert_string_equal(printed, "no class ???mug??");
}

static void test_columns(void **state)
{
	(void)state;
	assert_int_equal(text_columns(""), 0);
	assert_int_equal(text_columns("mug"), 3);
	assert_int_equal(text_columns("gr\xC3\xB6\xC3\x9F"
				      "e"),
		5);
	assert_int_equal(text_columns("\xE6\x97\xA5\xE6\x9C\xAC"), 4);
	assert_int_equal(text_columns("o\xCC\x88"), 1); /* o and a combining diaeresis */
	assert_int_equal(text_columns("\xF0\x9F\x98\x80"), 2);
}

static void test_sentences(void **state)
{
	(void)state;
	struct err err;
	assert_int_equal(err_set(&err, ERR_NOT_FOUND, "no class %s", "a\x1b[2J\xFF"), -ERR_NOT_FOUND);
	assert_string_equal(err.text, "no class a?[2J?");
	err_prefix(&err, "forget");
	assert_string_equal(err.text, "forget: no class a?[2J?");
	assert_string_equal(err_code_name(14), "UNAVAILABLE");
	assert_string_equal(err_code_name(99), "UNKNOWN");
	char utf8_at_end[2 * ERR_TEXT_BYTES];
	memset(utf8_at_end, 0xC3, sizeof utf8_at_end);
	for (size_t i = 1; i < sizeof utf8_at_end; i += 2)
		utf8_at_end[i] = (char)0xBC;
	utf8_at_end[sizeof utf8_at_end - 1] = '\0';
	err_set(&err, ERR_INTERNAL, "%s", utf8_at_end);
	assert_true(strlen(err.text) < ERR_TEXT_BYTES);
	assert_null(strchr(err.text, '?'));
}

/* What a sentence is about goes with it, and nothing of the error before stays. */
static void test_error_about(void **state)
{
	(void)state;
	struct err err;
	const struct err_about about = {
		.field = "picture", .limit = (uint64_t)1 << 40, .retry_after_ms = ERR_RETRY_REQUEST_MS};
	assert_int_equal(
		err_set_about(&err, ERR_RESOURCE_EXHAUSTED, about, "%d\n%s", 7, "pictures"), -ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
	assert_string_equal(err.text, "7?pictures");
	assert_string_equal(err.field, "picture");
	assert_int_equal(err.limit, (uint64_t)1 << 40);
	assert_int_equal(err.retry_after_ms, ERR_RETRY_REQUEST_MS);
	err_set_field(&err, "picture.raw");
	assert_string_equal(err.field, "picture.raw");
	assert_int_equal(err.limit, (uint64_t)1 << 40);
	err_set_about(&err, ERR_NOT_FOUND, (struct err_about){.field = "label"}, "no class");
	assert_string_equal(err.field, "label");
	assert_int_equal(err.limit, 0);
	assert_int_equal(err.retry_after_ms, 0);
	err_set(&err, ERR_INTERNAL, "no memory");
	assert_null(err.field);
	assert_int_equal(err_set_about(NULL, ERR_ABORTED, about, "nobody asks"), -ERR_ABORTED);
	err_set_field(NULL, "label");
}

static void test_sizes(void **state)
{
	(void)state;
	size_t v = 7;
	assert_false(size_mul(SIZE_MAX, 2, &v));
	assert_false(size_add(SIZE_MAX, 1, &v));
	assert_int_equal(v, 7);
	assert_null(mem_try_aligned(SIZE_MAX));
	uint8_t *p = mem_aligned(100);
	assert_int_equal((uintptr_t)p % MEM_ALIGN_BYTES, 0);
	free(p);
	uint8_t b[8];
	store_be32(b, 0x01020304);
	assert_int_equal(b[0], 1);
	store_le32(b, 0x01020304);
	assert_int_equal(b[0], 4);
	assert_int_equal(load_be16(b), 0x0403);
}

/* From the Python specification: shuffle(5, 7, 3) and shuffle(10, 1, 0). */
static void test_shuffle(void **state)
{
	(void)state;
	static const uint32_t five[] = {4, 0, 1, 2, 3}, ten[] = {7, 4, 6, 9, 1, 8, 2, 3, 5, 0};
	uint32_t order[10];
	random_shuffle(7, 3, 5, order);
	assert_memory_equal(order, five, sizeof five);
	random_shuffle(1, 0, 10, order);
	assert_memory_equal(order, ten, sizeof ten);
	random_shuffle(1, 0, 0, order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_label),
		cmocka_unit_test(test_label_keys),
		cmocka_unit_test(test_label_random),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_error_about),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_shuffle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
