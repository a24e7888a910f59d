/* SPDX-License-Identifier: MIT */
/* The tests of proto, one file a subject, run by main.c. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

void test_frame_table(void **state);
void test_frame_round_trip(void **state);
void test_frame_every_bit(void **state);
void test_wire_golden(void **state);
void test_wire_covers_everything(void **state);
void test_wire_values(void **state);
void test_decode_cap(void **state);
void test_decode_merge(void **state);
void test_decode_hostile(void **state);
void test_decode_mutations(void **state);
