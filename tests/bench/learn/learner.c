/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/learner.c: see learner.h. */
#include "learner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "learn_bench.h"
#include "lib/base/clock.h"
#include "lib/base/memory.h"
#include "lib/learn/near.h"

enum { KEPT_DEFAULT = 200 };
#define REFUSE_DEFAULT 0.05

struct kept { /* the newest pictures of a class, a ring */
	size_t n, oldest;
	const int8_t **q;
};

struct learner {
	struct learner_rule rule;
	size_t n_ids, n_known;
	struct learn_row **rows; /* by id; NULL: not taught */
	struct kept *kept;
	struct metric *metric; /* NULL: plain rows rank */
	uint64_t seq;
	struct learner_report report;
};

/* ---- settings ---- */

static void set_refuse(struct learner_rule *rule, const struct bnn_info *info, const char *value)
{
	struct learn_answer_constants *c = &rule->constants;
	c->never = strcmp(value, "never") == 0;
	double share = c->never ? bnn_refuse_share[0] : strtod(value, NULL);
	size_t i = 0;
	while (i < BNN_REFUSE_SHARES && fabs(share - bnn_refuse_share[i]) > 1e-6)
		i++;
	if (i == BNN_REFUSE_SHARES)
		bench_die("refuse=%s is none of 0.01, 0.02, 0.05, 0.1, 0.2, never", value);
	c->temperature = info->has_answers ? info->temperature : 1;
	c->pair_cosine = info->known.pair_cosine;
	c->pair_weight = info->known.pair_weight;
	c->class_share = info->known.class_share;
	c->deviations = info->deviations[i];
	c->few_pictures = info->known.few_pictures;
	c->deviation = info->deviation;
	c->deviation_weight = info->deviation_weight;
	c->blank = info->blank;
	c->blank_cosine = info->blank_cosine;
	c->metric_temperature = info->known.metric_temperature;
}

void learner_rule_of(const struct bnn_info *info, struct learner_rule *ret_rule)
{
	char refuse[16];
	*ret_rule = (struct learner_rule){.d = info->n_features,
		.near = info->known.near_duplicate,
		.scene = {.share = info->known.scene_share, .cosine = info->known.scene_cosine},
		.kept = KEPT_DEFAULT};
	learn_settings_preset(LEARN_DEFAULT, &ret_rule->settings);
	ret_rule->shape.n_groups = info->n_groups;
	for (size_t g = 0; g < info->n_groups; g++) {
		ret_rule->shape.width[g] = info->group_width[g];
		ret_rule->shape.factor[g] = info->group_factor[g];
	}
	snprintf(refuse, sizeof refuse, "%g", REFUSE_DEFAULT);
	set_refuse(ret_rule, info, refuse);
}

static int index_of(const char *const *names, const char *value)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(names[i], value) == 0)
			return i + 1;
	bench_die("%s: no such value", value);
}

bool learner_rule_set(struct learner_rule *rule, const struct bnn_info *info, const char *text)
{
	struct learn_settings *s = &rule->settings;
	const char *value = strchr(text, '=');
	if (!value)
		bench_die("%s is no NAME=VALUE", text);
	const size_t n = (size_t)(value++ - text);
	const double x = strtod(value, NULL);
	struct err err;
#define IS(name) (n == strlen(name) && strncmp(text, name, n) == 0)
	if (IS("preset"))
		learn_settings_preset((enum learn_preset)index_of(learn_preset_names, value), s);
	else if (IS("width"))
		s->width = (enum learn_width)index_of(learn_width_names, value);
	else if (IS("method"))
		s->method = (enum learn_method)index_of(learn_method_names, value);
	else if (IS("epochs"))
		s->epochs = (uint32_t)x;
	else if (IS("eta"))
		s->eta = x;
	else if (IS("minibatch"))
		s->minibatch = (uint32_t)x;
	else if (IS("momentum"))
		s->momentum = x;
	else if (IS("decay"))
		s->decay = x;
	else if (IS("others"))
		s->others = (uint32_t)x;
	else if (IS("past_cap"))
		s->past_cap = (uint32_t)x;
	else if (IS("classes_total"))
		s->classes_total = (uint32_t)x;
	else if (IS("near_duplicate"))
		rule->near = x;
	else if (IS("kept") && x >= 1)
		rule->kept = (size_t)x;
	else if (IS("refuse"))
		set_refuse(rule, info, value);
	else
		return false;
#undef IS
	if (learn_settings_check(s, &err) != 0)
		bench_die("%s: %s", text, err.text);
	return true;
}

/* ---- lessons ---- */

struct learner *learner_new(const struct learner_rule *rule, size_t n_ids)
{
	struct learner *l = mem_zalloc(1, sizeof *l);
	*l = (struct learner){.rule = *rule,
		.n_ids = n_ids,
		.rows = mem_zalloc(n_ids, sizeof(struct learn_row *)),
		.kept = mem_zalloc(n_ids, sizeof *l->kept)};
	if (rule->settings.method != LEARN_CWR)
		l->metric = metric_new(&rule->shape);
	return l;
}

void learner_free(struct learner *l)
{
	for (size_t c = 0; c < l->n_ids; c++) {
		learn_row_free(l->rows[c]);
		free(l->kept[c].q);
	}
	free(l->rows);
	free(l->kept);
	metric_free(l->metric);
	free(l);
}

static void must(int r, const struct err *err)
{
	if (r != 0)
		bench_die("%s", err->text);
}

/* The picture comes, and what it pushes out goes. */
static void keep(struct learner *l, uint32_t id, const int8_t *q)
{
	struct kept *kept = &l->kept[id];
	struct err err;
	if (!kept->q)
		kept->q = mem_zalloc(l->rule.kept, sizeof *kept->q);
	if (l->metric)
		must(metric_add(l->metric, id, q, 1, &err), &err);
	if (kept->n < l->rule.kept) {
		kept->q[kept->n++] = q;
		return;
	}
	if (l->metric)
		must(metric_take(l->metric, id, kept->q[kept->oldest], 1, &err), &err);
	kept->q[kept->oldest] = q;
	kept->oldest = (kept->oldest + 1) % l->rule.kept;
}

/* The ids of a lesson in the order in which they first come: id_of[k], y[n]. */
static size_t number_classes(size_t n, const uint32_t *id, uint32_t *ret_y, uint32_t *ret_id_of)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		size_t c = 0;
		while (c < k && ret_id_of[c] != id[i])
			c++;
		if (c == k)
			ret_id_of[k++] = id[i];
		ret_y[i] = (uint32_t)c;
	}
	return k;
}

void learner_teach(struct learner *l, size_t n, const int8_t *const *q, const uint32_t *id)
{
	const size_t d = l->rule.d;
	uint32_t *y = mem_zalloc(n, sizeof *y), *id_of = mem_zalloc(n, sizeof *id_of);
	const size_t k = number_classes(n, id, y, id_of);
	int8_t *all = mem_aligned(n * d);
	for (size_t i = 0; i < n; i++)
		memcpy(all + i * d, q[i], d);
	const struct learn_row **old = mem_zalloc(k, sizeof *old);
	struct learn_row **made = mem_zalloc(k, sizeof *made);
	size_t n_old = 0;
	for (size_t c = 0; c < k; c++) {
		old[c] = l->rows[id_of[c]];
		n_old += old[c] != NULL;
	}
	struct near_groups groups;
	const uint64_t from_us = clock_us();
	near_find(&l->rule.settings, l->rule.near, all, y, n, d, NULL, NULL, &groups);
	struct learn_lesson lesson = {.seq = ++l->seq,
		.d = d,
		.n = n,
		.k = k,
		.q = all,
		.y = y,
		.groups = &groups,
		.near = l->rule.near,
		.old = old,
		.n_known_others = l->n_known - n_old};
	struct learn_report report;
	struct err err;
	must(learn_train(&l->rule.settings, &lesson, NULL, NULL, made, &report, &err), &err);
	l->report.us += (double)(clock_us() - from_us);
	l->report.lessons++;
	l->report.steps += report.steps;
	l->report.updates += report.updates;
	l->report.lost += report.lost;
	for (size_t c = 0; c < k; c++) {
		learn_row_free(l->rows[id_of[c]]);
		l->rows[id_of[c]] = made[c];
	}
	l->n_known += k - n_old;
	for (size_t i = 0; i < n; i++)
		keep(l, id[i], q[i]);
	near_groups_deinit(&groups);
	free(y);
	free(id_of);
	free(all);
	free(old);
	free(made);
}

struct learner_report learner_report(const struct learner *l)
{
	return l->report;
}

void learner_report_clear(struct learner *l)
{
	l->report = (struct learner_report){0};
}

/* The kept pictures one behind the other, the oldest first. */
static int8_t *kept_pictures(const struct learner *l, size_t id)
{
	const struct kept *kept = &l->kept[id];
	int8_t *all = mem_aligned(kept->n * l->rule.d + 1);
	for (size_t i = 0; i < kept->n; i++)
		memcpy(all + i * l->rule.d, kept->q[(kept->oldest + i) % kept->n], l->rule.d);
	return all;
}

/* Where none is one scene, known is decided without it: daemon/state/scene_rows.c. */
static void take_scene_away(const struct learner *l, struct learn_head *head)
{
	const struct learner_rule *rule = &l->rule;
	double alike;
	int8_t *none = kept_pictures(l, 0);
	struct scene *scene = rule->settings.preset == LEARN_REFERENCE
				      ? NULL
				      : scene_new(&rule->scene, none, l->kept[0].n, rule->d, &alike);
	free(none);
	if (!scene)
		return;
	struct learn_row **rows = mem_zalloc(l->n_ids, sizeof *rows);
	uint32_t *ids = mem_zalloc(l->n_ids, sizeof *ids);
	size_t n = 0;
	for (size_t c = 1; c < l->n_ids; c++) {
		if (l->kept[c].n == 0)
			continue;
		int8_t *q = kept_pictures(l, c);
		rows[n] = scene_row_new(scene, &rule->settings, rule->near, q, l->kept[c].n);
		ids[n] = (uint32_t)c;
		n += rows[n] != NULL;
		free(q);
	}
	learn_head_take_away(head, scene, &rule->settings, (const struct learn_row *const *)rows, ids, n, NULL);
	for (size_t i = 0; i < n; i++)
		learn_row_free(rows[i]);
	free(rows);
	free(ids);
	scene_free(scene);
}

struct learn_head *learner_head(const struct learner *l)
{
	const struct learn_row **rows = mem_zalloc(l->n_ids, sizeof *rows);
	uint32_t *ids = mem_zalloc(l->n_ids, sizeof *ids);
	size_t n = 0;
	for (size_t c = 0; c < l->n_ids; c++) { /* ids ascend */
		if (!l->rows[c])
			continue;
		rows[n] = l->rows[c];
		ids[n++] = (uint32_t)c;
	}
	struct learn_head *head = learn_head_new(&l->rule.settings, l->rule.d, rows, ids, n, NULL);
	if (l->metric) {
		struct metric_rows *ranking = l->rule.settings.method == LEARN_MEANS ? metric_rows_means(l->metric)
										     : metric_rows_new(l->metric);
		learn_head_rank_by(head, ranking);
		metric_rows_free(ranking);
	}
	take_scene_away(l, head);
	free(rows);
	free(ids);
	return head;
}
