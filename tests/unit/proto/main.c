/* SPDX-License-Identifier: MIT */
#include "tests/unit/proto/tests.h"

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_table),
		cmocka_unit_test(test_frame_round_trip),
		cmocka_unit_test(test_frame_every_bit),
		cmocka_unit_test(test_wire_golden),
		cmocka_unit_test(test_wire_covers_everything),
		cmocka_unit_test(test_wire_values),
		cmocka_unit_test(test_decode_cap),
		cmocka_unit_test(test_decode_merge),
		cmocka_unit_test(test_decode_hostile),
		cmocka_unit_test(test_decode_mutations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
