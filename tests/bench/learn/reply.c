/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/reply.c: see reply.h. */
#include "reply.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/learn/integer.h"

const char *const answerer_name[ANSWERERS] = {"ours", "cwr", "class-means", "nearest"};

static uint32_t id_of(const struct set_file *set, uint32_t picture)
{
	return set->rows[picture].kind == SET_EMPTY ? 0 : set->rows[picture].class + 1;
}

/* ---- ours ---- */

static void teach(struct learner *learner, const struct set_file *set, const struct indices *lesson)
{
	const int8_t **q = mem_zalloc(lesson->n, sizeof *q);
	uint32_t *id = mem_zalloc(lesson->n, sizeof *id);
	for (size_t i = 0; i < lesson->n; i++) {
		q[i] = set_q(set, lesson->at[i]);
		id[i] = id_of(set, lesson->at[i]);
	}
	learner_teach(learner, lesson->n, q, id);
	free(q);
	free(id);
}

static void by_ours(const struct draw *draw, const struct bench_case *what, const struct plan *plan,
	const struct learner_rule *rule, const struct indices *asked, struct reply *ret,
	struct learner_report *ret_report)
{
	struct learner *learner = learner_new(rule, draw->set->n_classes + 1);
	for (size_t i = 0; i < plan->again_from; i++)
		teach(learner, draw->set, &plan->lessons[i]);
	if (what->way == CASE_AGAIN)
		learner_report_clear(learner);
	while (what->way == CASE_AGAIN && learner_report(learner).steps < CASE_AGAIN_STEPS)
		for (size_t i = plan->again_from; i < plan->n_lessons; i++)
			teach(learner, draw->set, &plan->lessons[i]);
	struct learn_head *head = learner_head(learner);
	for (size_t i = 0; i < asked->n; i++) {
		struct learn_answer a;
		learn_head_answer(head, set_q(draw->set, asked->at[i]), &rule->constants, &a);
		ret[i] = (struct reply){.id = a.top[0].id,
			.known = a.known,
			.passes = a.passes,
			.margin = a.top[0].cosine - a.threshold};
	}
	*ret_report = learner_report(learner);
	learn_head_free(head);
	learner_free(learner);
}

/* ---- the others ---- */

static void by_class_means(
	const struct draw *draw, const struct plan *plan, const struct indices *asked, struct reply *ret)
{
	const size_t d = draw->set->d, n = draw->set->n_classes + 1;
	double *mean = mem_zalloc(n * d, sizeof *mean), *norm = mem_zalloc(n, sizeof *norm);
	for (size_t i = 0; i < plan->n_lessons; i++)
		for (size_t k = 0; k < plan->lessons[i].n; k++)
			for (size_t j = 0; j < d; j++)
				mean[id_of(draw->set, plan->lessons[i].at[k]) * d + j] +=
					set_q(draw->set, plan->lessons[i].at[k])[j];
	for (size_t c = 0; c < n; c++) {
		for (size_t j = 0; j < d; j++)
			norm[c] += mean[c * d + j] * mean[c * d + j];
		norm[c] = sqrt(norm[c]);
	}
	for (size_t i = 0; i < asked->n; i++) {
		const int8_t *q = set_q(draw->set, asked->at[i]);
		const double length = sqrt(dot_i8(q, q, d));
		ret[i].margin = -INFINITY;
		for (uint32_t c = 0; c < n; c++) {
			double sum = 0;
			for (size_t j = 0; j < d && norm[c] > 0; j++)
				sum += mean[c * d + j] * q[j];
			if (norm[c] > 0 && sum / norm[c] / length > ret[i].margin)
				ret[i] = (struct reply){.id = c, .margin = sum / norm[c] / length};
		}
	}
	free(mean);
	free(norm);
}

static void by_nearest(const struct draw *draw, const struct plan *plan, const struct indices *asked, struct reply *ret)
{
	const struct set_file *set = draw->set;
	double *norm = mem_zalloc(set->n, sizeof *norm);
	for (size_t i = 0; i < set->n; i++)
		norm[i] = sqrt(dot_i8(set_q(set, i), set_q(set, i), set->d));
	for (size_t i = 0; i < asked->n; i++) {
		const uint32_t a = asked->at[i];
		ret[i].margin = -INFINITY;
		for (size_t l = 0; l < plan->n_lessons; l++)
			for (size_t k = 0; k < plan->lessons[l].n; k++) {
				const uint32_t t = plan->lessons[l].at[k];
				const double value = dot_i8(set_q(set, a), set_q(set, t), set->d) / (norm[a] * norm[t]);
				if (value > ret[i].margin)
					ret[i] = (struct reply){.id = id_of(set, t), .margin = value};
			}
	}
	free(norm);
}

void replies_make(const struct draw *draw, const struct bench_case *what, const struct plan *plan,
	const struct learner_rule *rule, enum answerer by, const struct indices *asked, struct reply *ret_replies,
	struct learner_report *ret_report)
{
	*ret_report = (struct learner_report){0};
	if (by == BY_CLASS_MEANS)
		return by_class_means(draw, plan, asked, ret_replies);
	if (by == BY_NEAREST)
		return by_nearest(draw, plan, asked, ret_replies);
	struct learner_rule as = *rule;
	if (by == BY_CWR)
		as.settings.method = LEARN_CWR;
	by_ours(draw, what, plan, &as, asked, ret_replies, ret_report);
}
