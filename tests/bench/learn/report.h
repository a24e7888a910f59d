/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/report.h: outcomes -> a mean a draw, over the plans of a case; the mean over draws with its standard
 * error: rows of CSV, a set, case and method each; "draws" is how many there were. Then the mean over the sets that a case
 * could be made of, as rows of the set "mean", whose "draws" are sets, and as the table. */
#pragma once

#include "measure.h"

struct report;
/* Writes the first line of the CSV and prints that of the table. */
struct report *report_new(const char *model, const char *csv_path);
void report_begin_set(struct report *report, const char *set);
/* Of a plan; or, plan being NULL, what all plans of the draw say together. */
void report_add(struct report *report, size_t case_index, enum answerer by, int part, const struct plan *plan,
	const struct outcome *outcome);
void report_end_draw(struct report *report);
void report_end_set(struct report *report);
void report_free(struct report *report); /* writes and prints the rows over the sets */
