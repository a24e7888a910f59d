/* SPDX-License-Identifier: MIT */
/* daemon/state/ranking.h: what ranks classes where learner.method is metric or means: rows made of the kept pictures. For
 * learned*.c and change.c alone. Learn thread.
 *
 * Invariant: the metric is that of the pictures that the store's newest state keeps with their features, bit for bit, and
 * the rows are those of the newest change at which a refresh was due. When that is, the items alone decide, never the
 * time: so a restart ranks with the same bits. */
#pragma once

#include "lib/learn/learn.h"
#include "lib/learn/metric.h"
#include "lib/store/store.h"

enum {
	RANKING_ALWAYS_CLASSES = 1000, /* up to so many a refresh is due at every change */
	RANKING_EVERY = 16,            /* above at every change whose seq is a multiple of this */
	/* Features of a group: a refresh takes 0.3 s on a desktop and 50 MB, and both grow with the third power and the
	 * second. Wider ones have no metric. */
	RANKING_GROUP_MAX = 2048,
};

struct ranking {
	enum learn_method method; /* CWR: there is never a metric, and plain rows rank */
	struct metric_shape shape;
	struct metric *metric;    /* NULL: there is none */
	struct metric_rows *rows; /* one reference; NULL likewise */
	bool stale;               /* the metric has changed since the rows were made */
};

void ranking_init(struct ranking *ranking, enum learn_method method, const struct metric_shape *shape);
void ranking_drop(struct ranking *ranking); /* metric and rows */
/* Anew from the store, all of it. NO_METRIC, and plain rows rank: *ret_why says what is in the way. Negative: the store's
 * error. */
enum { RANKING_NO_METRIC = 1 };
int ranking_load(struct ranking *ranking, struct store *store, struct err *ret_why, struct err *err);
/* After the change seq, the newest. An error: what is in memory cannot be told from the items, read everything anew. */
int ranking_follow(struct ranking *ranking, struct store *store, uint64_t seq, struct err *err);
