/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/cases.c: the verbs `cases` and `draws`: over sets, draws, cases and methods.
 *
 * cases MODEL CSV [NAME=VALUE]... -- SET...   measures; writes a row a set, case and method, prints their means
 * draws [NAME=VALUE]... -- SET...             prints the same draws, a line of JSON each, for yardsticks.py
 *
 * NAME=VALUE: draws=5, first=0 (the number of the first draw), cases=all,one-20 (names, or what stands before their '-';
 * default: all but lesson, again and size), by=ours,cwr,... (measure.h), and the learner's settings (learner.h).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "learn_bench.h"
#include "lib/base/memory.h"
#include "measure.h"
#include "report.h"

#define CASES_DEFAULT "all,half,five,one,unequal,photo,frame,burst,views,three,mixed,apart,scene"
enum { DRAWS_DEFAULT = 5 };

struct options {
	uint32_t draws, first;
	const char *cases, *by;
	const struct bnn_info *info; /* NULL: no model, no settings */
	struct learner_rule rule;
};

/* Whether a list of words with commas has the name, or what stands before its '-'. */
static bool listed(const char *list, const char *name)
{
	const char *dash = strchr(name, '-');
	const size_t whole = strlen(name), group = dash ? (size_t)(dash - name) : whole;
	for (const char *at = list; *at;) {
		const size_t n = strcspn(at, ",");
		if ((n == whole || n == group) && strncmp(at, name, n) == 0)
			return true;
		at += n + (at[n] == ',');
	}
	return false;
}

/* Returns how many of argv were options and "--". */
static int parse(int argc, char **argv, struct options *o)
{
	int i = 0;
	for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const char *value = strchr(argv[i], '=');
		const size_t n = value ? (size_t)(value++ - argv[i]) : 0;
		if (n == 5 && strncmp(argv[i], "draws", n) == 0)
			o->draws = (uint32_t)strtoul(value, NULL, 10);
		else if (n == 5 && strncmp(argv[i], "first", n) == 0)
			o->first = (uint32_t)strtoul(value, NULL, 10);
		else if (n == 5 && strncmp(argv[i], "cases", n) == 0)
			o->cases = value;
		else if (n == 2 && strncmp(argv[i], "by", n) == 0)
			o->by = value;
		else if (!o->info || !learner_rule_set(&o->rule, o->info, argv[i]))
			bench_die("%s: no such setting", argv[i]);
	}
	if (argc - i < 2 || o->draws == 0)
		bench_die("-- and sets are missing, or draws");
	return i + 1;
}

/* ---- cases ---- */

static void measure_draw(const struct draw *draw, const struct bench_case *what, const struct options *o,
	enum answerer by, struct report *report)
{
	size_t n;
	const int parts = what->way == CASE_UNEQUAL ? PARTS : 1;
	const size_t at = (size_t)(what - bench_cases_table);
	struct plan *plans = plans_make(draw, what, &n);
	struct outcome pool[PARTS] = {0};
	for (size_t i = 0; i < n; i++) {
		struct outcome outcomes[PARTS];
		measure_plan(draw, what, &plans[i], &o->rule, by, outcomes);
		for (int part = 0; part < parts; part++) {
			report_add(report, at, by, part, &plans[i], &outcomes[part]);
			outcome_pool(&pool[part], &outcomes[part]);
			outcome_drop(&outcomes[part]);
		}
		plan_drop(&plans[i]);
	}
	for (int part = 0; part < parts && n > 0; part++) {
		outcome_of_pool(&pool[part]);
		report_add(report, at, by, part, NULL, &pool[part]);
		outcome_drop(&pool[part]);
	}
	free(plans);
}

static void measure_set(const char *path, const struct options *o, struct report *report)
{
	struct set_file set;
	set_read(path, &set);
	if (set.d != o->info->n_features || memcmp(set.feature_id, o->info->feature_id, SET_ID_BYTES) != 0)
		bench_die("%s has features of another model", path);
	report_begin_set(report, set.name);
	for (uint32_t k = 0; k < o->draws; k++) {
		struct draw draw;
		draw_make(&set, o->first + k, &draw);
		for (size_t i = 0; i < bench_cases_count; i++)
			for (int by = 0; by < ANSWERERS && listed(o->cases, bench_cases_table[i].name); by++)
				if (listed(o->by, answerer_name[by]))
					measure_draw(&draw, &bench_cases_table[i], o, (enum answerer)by, report);
		report_end_draw(report);
		draw_drop(&draw);
	}
	report_end_set(report);
	set_drop(&set);
}

int bench_cases(int argc, char **argv)
{
	struct options o = {.draws = DRAWS_DEFAULT, .cases = CASES_DEFAULT, .by = "ours,cwr,class-means,nearest"};
	struct bnn_model *model;
	struct err err;
	if (argc < 3)
		bench_die("cases takes MODEL CSV [NAME=VALUE]... -- SET...");
	if (bnn_model_open(argv[0], &model, &err) != 0)
		bench_die("%s", err.text);
	o.info = bnn_model_info(model);
	learner_rule_of(o.info, &o.rule);
	const int from = 2 + parse(argc - 2, argv + 2, &o);
	struct report *report = report_new(o.info->name, argv[1]);
	for (int i = from; i < argc; i++)
		measure_set(argv[i], &o, report);
	report_free(report);
	bnn_model_free(model);
	return 0;
}

/* ---- draws ---- */

static void print_indices(const char *name, const uint32_t *at, size_t n)
{
	printf("\"%s\": [", name);
	for (size_t i = 0; i < n; i++)
		printf("%s%u", i ? ", " : "", at[i]);
	printf("]");
}

static void print_plan(
	const struct draw *draw, const struct bench_case *what, const struct plan *plan, const char *path)
{
	struct indices taught = {0};
	for (size_t i = 0; i < plan->again_from; i++)
		for (size_t k = 0; k < plan->lessons[i].n; k++)
			indices_add(&taught, plan->lessons[i].at[k]);
	printf("{\"file\": \"%s\", \"set\": \"%s\", \"case\": \"%s\", \"draw\": %u, ", path, draw->set->name,
		what->name, draw->seed);
	print_indices("taught", taught.at, taught.n);
	printf(", ");
	print_indices("asked", plan->asked.at, plan->asked.n);
	printf("}\n");
	free(taught.at);
}

int bench_draws(int argc, char **argv)
{
	struct options o = {.draws = DRAWS_DEFAULT, .cases = "all", .by = ""};
	for (int i = parse(argc, argv, &o); i < argc; i++) {
		struct set_file set;
		set_read(argv[i], &set);
		for (uint32_t k = 0; k < o.draws; k++) {
			struct draw draw;
			draw_make(&set, o.first + k, &draw);
			for (size_t c = 0; c < bench_cases_count; c++) {
				size_t n;
				if (!listed(o.cases, bench_cases_table[c].name))
					continue;
				struct plan *plans = plans_make(&draw, &bench_cases_table[c], &n);
				for (size_t p = 0; p < n; p++) {
					print_plan(&draw, &bench_cases_table[c], &plans[p], argv[i]);
					plan_drop(&plans[p]);
				}
				free(plans);
			}
			draw_drop(&draw);
		}
		set_drop(&set);
	}
	return 0;
}
