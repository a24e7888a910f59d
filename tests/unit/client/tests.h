/* SPDX-License-Identifier: MIT */
/* The tests of client, one file a subject, run by main.c. */
#pragma once

#include "tests/unit/client/fake.h"

/* conn */
void test_hello(void **state);
void test_hello_refusals(void **state);
void test_no_daemon(void **state);
void test_short_reads(void **state);
void test_lost(void **state);
void test_farewell(void **state);
void test_not_our_frames(void **state);
void test_timeout(void **state);
void test_timeout_while_told(void **state);
void test_told_while_sending(void **state);
void test_both_full(void **state);
/* calls */
void test_infer(void **state);
void test_errors(void **state);
void test_busy(void **state);
void test_refused_here(void **state);
void test_pages(void **state);
void test_results(void **state);
void test_lists_without_end(void **state);
void test_changes(void **state);
/* lesson */
void test_lesson_simple(void **state);
void test_lesson_pipelined(void **state);
void test_lesson_key_known(void **state);
void test_lesson_commit_refused(void **state);
void test_lesson_lost(void **state);
void test_lesson_abort(void **state);
/* args */
void test_args_good(void **state);
void test_args_bad(void **state);
void test_args_nearest(void **state);
/* output */
void test_json(void **state);
void test_columns(void **state);
void test_labels_shown(void **state);
void test_picture_end(void **state);
void test_times(void **state);
void test_exit_codes(void **state);
/* verbs of bnnctl */
void test_learn_busy(void **state);
void test_learn_again(void **state);
void test_learn_limit(void **state);
void test_learn_nothing(void **state);
void test_change_again(void **state);
