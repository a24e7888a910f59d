/* SPDX-License-Identifier: MIT */
#include "tests/unit/client/tests.h"

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_hello_refusals),
		cmocka_unit_test(test_no_daemon),
		cmocka_unit_test(test_short_reads),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_farewell),
		cmocka_unit_test(test_not_our_frames),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_timeout_while_told),
		cmocka_unit_test(test_told_while_sending),
		cmocka_unit_test(test_both_full),
		cmocka_unit_test(test_infer),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_refused_here),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_lists_without_end),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_lesson_simple),
		cmocka_unit_test(test_lesson_pipelined),
		cmocka_unit_test(test_lesson_key_known),
		cmocka_unit_test(test_lesson_commit_refused),
		cmocka_unit_test(test_lesson_lost),
		cmocka_unit_test(test_lesson_abort),
		cmocka_unit_test(test_args_good),
		cmocka_unit_test(test_args_bad),
		cmocka_unit_test(test_args_nearest),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_labels_shown),
		cmocka_unit_test(test_picture_end),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_learn_busy),
		cmocka_unit_test(test_learn_again),
		cmocka_unit_test(test_learn_limit),
		cmocka_unit_test(test_learn_nothing),
		cmocka_unit_test(test_change_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
