/* SPDX-License-Identifier: MIT */
/* lib/learn/likeness.c: the cosines of a class's own pictures, at the ends of their range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/base/random.h"
#include "lib/learn/learn.h"

/* Pictures that are all the same (a covered camera) have cosines of 1, whose products round to above it: what a lesson
 * stores must be what the next start reads. */
static void test_equal_pictures_are_read_back(void **state)
{
	(void)state;
	enum { D_MAX = 68, N_MAX = 6, LESSONS = 4, ROUNDS = 20000 };
	uint64_t seed = 1;
	struct learn_settings s;
	learn_settings_preset(LEARN_DEFAULT, &s);
	s.epochs = 1;
	for (int round = 0; round < ROUNDS; round++) {
		int8_t q[N_MAX * D_MAX], v[D_MAX];
		uint32_t y[N_MAX] = {0};
		size_t d = 8 + splitmix64_below(&seed, 60);
		s.width = (enum learn_width)(1 + splitmix64_below(&seed, 4));
		for (size_t i = 0; i < d; i++)
			v[i] = (int8_t)((int)splitmix64_below(&seed, 255) - 127);
		size_t n = 2 + splitmix64_below(&seed, 4);
		for (size_t k = 0; k < n; k++)
			memcpy(q + k * d, v, d);
		struct learn_row *row = NULL, *next = NULL, *again = NULL;
		for (uint64_t k = 0; k < LESSONS; k++) {
			const struct learn_row *old = row;
			struct learn_lesson lesson = {
				.seq = k + 1, .d = d, .n = n, .k = 1, .q = q, .y = y, .old = &old};
			uint8_t *bytes;
			size_t len_bytes;
			if (learn_train(&s, &lesson, NULL, NULL, &next, NULL, NULL) != 0)
				break; /* there is nothing to learn */
			learn_row_encode(next, &bytes, &len_bytes);
			assert_int_equal(learn_row_decode(s.width, d, bytes, len_bytes, &again, NULL), 0);
			learn_row_free(again);
			free(bytes);
			learn_row_free(row);
			row = next;
		}
		learn_row_free(row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_pictures_are_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
