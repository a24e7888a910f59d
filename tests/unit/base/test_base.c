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
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "lib/base/text.h"

static int check(const char *s, size_t n)
{
	struct err err;
	int r = label_check((const uint8_t *)s, n, &err);
	if (r != 0)
		assert_string_equal(err.field, "label");
	return r;
}

static void test_label(void **state)
{
	(void)state;
	static const char *const good[] = {"mug", "a b", "größe", "\xF0\x9F\x98\x80", "x"};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(check(good[i], strlen(good[i])), 0);
	static const struct {
		const char *s;
		size_t n;
	} bad[] = {{"", 0}, {" a", 2}, {"a ", 2}, {"a\0b", 3}, {"a\nb", 3}, {"\x7F", 1}, {"\xC2\x85", 2}, {"\xFF", 1},
		{"\xC0\x80", 2}, {"\xED\xA0\x80", 3}, {"\xE2\x82", 2}, {"\xF4\x90\x80\x80", 4}};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(check(bad[i].s, bad[i].n), -ERR_INVALID_ARGUMENT);
	char long_label[LABEL_MAX_BYTES + 1];
	memset(long_label, 'a', sizeof long_label);
	assert_int_equal(check(long_label, LABEL_MAX_BYTES), 0);
	assert_int_equal(check(long_label, LABEL_MAX_BYTES + 1), -ERR_INVALID_ARGUMENT);
}

static void test_sentences(void **state)
{
	(void)state;
	struct err err;
	assert_int_equal(err_set(&err, ERR_NOT_FOUND, "no class %s", "a\x1b[2J\xFF"), -ERR_NOT_FOUND);
	assert_string_equal(err.text, "no class a?[2J?");
	err_prefix(&err, "forget");
	assert_string_equal(err.text, "forget: no class a?[2J?");
	char text[12];
	text_escape(text, sizeof text, (const uint8_t *)"a\nb\xFFz", 5);
	assert_string_equal(text, "a\\x0Ab\\xFFz");
	text_escape(text, 6, (const uint8_t *)"ab\ncd", 5);
	assert_string_equal(text, "ab");
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
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_shuffle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
