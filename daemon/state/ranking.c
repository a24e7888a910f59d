/* SPDX-License-Identifier: MIT */
/* daemon/state/ranking.c: see ranking.h. Memory has the sums alone: what a change took away is read from the store. */
#include "daemon/state/ranking.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/state/sample.h"
#include "lib/base/memory.h"

/* ---- items -> metric ---- */

enum { AT_ONCE = 256 };

struct gathering { /* pictures of one class that come or go */
	struct ranking *ranking;
	size_t d;
	enum store_step step;
	uint32_t class_id;
	size_t n;
	int8_t *q;       /* AT_ONCE x d */
	bool strict;     /* what went and is damaged now may be in the metric: an end */
	struct err *why; /* of RANKING_NO_METRIC */
};

/* 0 or RANKING_NO_METRIC. */
static int gathering_flush(struct gathering *g)
{
	if (g->n == 0)
		return 0;
	int r = (g->step == STORE_CAME ? metric_add : metric_take)(g->ranking->metric, g->class_id, g->q, g->n, g->why);
	g->ranking->stale = true;
	g->n = 0;
	return r < 0 ? RANKING_NO_METRIC : 0;
}

static int gathering_sample(void *ctx, enum store_step step, const struct store_item *item)
{
	struct gathering *g = ctx;
	int r = 0;
	if (item->kind == STORE_UNREADABLE && g->strict)
		err_set(g->why, ERR_DATA_LOSS, "an item of change %llu is damaged", (unsigned long long)item->born);
	if (item->kind == STORE_UNREADABLE)
		return g->strict ? RANKING_NO_METRIC : 0;
	const int8_t *q = sample_features(item, g->d);
	if (!q)
		return 0; /* taught under learner.keep: none */
	if (g->n == AT_ONCE || g->step != step || g->class_id != item->class_id)
		r = gathering_flush(g);
	g->step = step;
	g->class_id = item->class_id;
	memcpy(g->q + g->n++ * g->d, q, g->d);
	return r;
}

typedef int reading_fn(struct store *store, uint64_t seq, store_sample_fn *fn, void *ctx, struct err *err);

/* What `read` gives of the change seq. strict: what went and is damaged now may be in the metric, and is the end. */
static int gather(struct ranking *ranking, struct store *store, reading_fn *read, uint64_t seq, bool strict,
	struct err *ret_why, struct err *err)
{
	struct gathering g = {
		.ranking = ranking, .d = metric_features(ranking->metric), .strict = strict, .why = ret_why};
	g.q = mem_zalloc(AT_ONCE, g.d);
	int r = read(store, seq, gathering_sample, &g, err);
	if (r == 0)
		r = gathering_flush(&g);
	free(g.q);
	return r;
}

/* ---- metric -> rows ---- */

static bool is_due(const struct metric *metric, uint64_t seq)
{
	return metric_classes(metric) <= RANKING_ALWAYS_CLASSES || seq % RANKING_EVERY == 0;
}

static void refresh(struct ranking *ranking, const struct metric *metric)
{
	metric_rows_free(ranking->rows);
	ranking->rows = ranking->method == LEARN_MEANS ? metric_rows_means(metric) : metric_rows_new(metric);
}

void ranking_init(struct ranking *ranking, enum learn_method method, const struct metric_shape *shape)
{
	*ranking = (struct ranking){.method = method, .shape = *shape};
}

void ranking_drop(struct ranking *ranking)
{
	metric_free(ranking->metric);
	metric_rows_free(ranking->rows);
	ranking->metric = NULL;
	ranking->rows = NULL;
	ranking->stale = false;
}

/* The change at which a refresh was due last is this one or one of RANKING_EVERY - 1 before: they are gone through again.
 * *ret_due is the metric as it was then. */
static int replay(
	struct ranking *ranking, struct store *store, struct metric **ret_due, struct err *ret_why, struct err *err)
{
	const uint64_t newest = store_seq(store);
	uint64_t seq = newest - newest % RANKING_EVERY;
	int r = gather(ranking, store, store_samples, seq, false, ret_why, err);
	while (r == 0) {
		if (is_due(ranking->metric, seq)) {
			metric_free(*ret_due);
			*ret_due = metric_copy(ranking->metric);
		}
		if (seq++ == newest)
			break;
		r = gather(ranking, store, store_samples_step, seq, false, ret_why, err);
	}
	return r;
}

/* 0 or RANKING_NO_METRIC. */
static int check_widths(const struct metric_shape *shape, struct err *ret_why)
{
	for (size_t g = 0; g < shape->n_groups; g++)
		if (shape->width[g] > RANKING_GROUP_MAX) {
			err_set(ret_why, ERR_RESOURCE_EXHAUSTED,
				"cwr ranks: %zu of the network's features are one group, and learner.method metric and "
				"means "
				"take at most %d",
				shape->width[g], RANKING_GROUP_MAX);
			return RANKING_NO_METRIC;
		}
	return 0;
}

int ranking_load(struct ranking *ranking, struct store *store, struct err *ret_why, struct err *err)
{
	struct metric *due = NULL;
	ranking_drop(ranking);
	if (ranking->method == LEARN_CWR)
		return 0;
	if (check_widths(&ranking->shape, ret_why) != 0)
		return RANKING_NO_METRIC;
	ranking->metric = metric_new(&ranking->shape);
	int r = replay(ranking, store, &due, ret_why, err);
	if (r == 0) {
		refresh(ranking, due);
		ranking->stale = !metric_equal(due, ranking->metric);
	} else {
		ranking_drop(ranking);
	}
	metric_free(due);
	return r;
}

int ranking_follow(struct ranking *ranking, struct store *store, uint64_t seq, struct err *err)
{
	struct err why;
	if (!ranking->metric)
		return 0;
	int r = gather(ranking, store, store_samples_step, seq, true, &why, err);
	if (r == RANKING_NO_METRIC)
		return err_set(err, ERR_DATA_LOSS, "%s", why.text);
	if (r == 0 && ranking->stale && is_due(ranking->metric, seq)) {
		refresh(ranking, ranking->metric);
		ranking->stale = false;
	}
	return r;
}
