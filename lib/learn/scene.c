/* SPDX-License-Identifier: MIT */
/* lib/learn/scene.c: see scene.h. */
#include "lib/learn/scene.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/learn/integer.h"
#include "lib/learn/likeness.h"
#include "lib/learn/near.h"
#include "lib/learn/row.h"

struct scene {
	atomic_uint refs;
	size_t d;
	double taken[]; /* d: share m */
};

/* Adds the unit picture; a q of zeros adds nothing. */
static void add_unit(const int8_t *q, size_t d, double *sum)
{
	const double norm = sqrt((double)dot_i8(q, q, d));
	for (size_t i = 0; i < d && norm > 0; i++)
		sum[i] += q[i] / norm;
}

struct scene *scene_new(const struct scene_constants *constants, const int8_t *q, size_t n, size_t d, double *ret_alike)
{
	struct scene *scene = mem_zalloc(1, sizeof *scene + d * sizeof *scene->taken);
	double *m = scene->taken;
	atomic_init(&scene->refs, 1);
	scene->d = d;
	for (size_t j = 0; j < n; j++)
		add_unit(q + j * d, d, m);
	for (size_t i = 0; i < d && n > 0; i++)
		m[i] = m[i] / (double)n;
	/* |m| is the mean cosine of the pictures with m, themselves among what made it. Of two of them, of many: */
	*ret_alike = dot_f64(m, m, d);
	if (n > 1)
		*ret_alike = ((double)n * *ret_alike - 1) / ((double)n - 1);
	if (!(*ret_alike > constants->cosine * constants->cosine)) {
		scene_free(scene);
		return NULL;
	}
	for (size_t i = 0; i < d; i++)
		m[i] = constants->share * m[i];
	return scene;
}

struct scene *scene_ref(struct scene *scene)
{
	atomic_fetch_add_explicit(&scene->refs, 1, memory_order_relaxed);
	return scene;
}

void scene_free(struct scene *scene)
{
	if (scene && atomic_fetch_sub_explicit(&scene->refs, 1, memory_order_acq_rel) == 1)
		free(scene);
}

void scene_take_away(const struct scene *scene, const int8_t *q, int8_t *ret_q)
{
	const size_t d = scene->d;
	const double norm = sqrt((double)dot_i8(q, q, d));
	double *left = mem_zalloc(d, sizeof *left);
	float *h = mem_zalloc(d, sizeof *h);
	for (size_t i = 0; i < d && norm > 0; i++)
		left[i] = q[i] / norm - scene->taken[i];
	const double length = sqrt(dot_f64(left, left, d));
	for (size_t i = 0; i < d && length > 0; i++)
		h[i] = (float)(left[i] / length);
	learn_quantize(h, d, ret_q);
	free(left);
	free(h);
}

struct learn_settings scene_settings(const struct learn_settings *settings)
{
	struct learn_settings of_scene = *settings;
	of_scene.width = LEARN_8_8;
	return of_scene;
}

/* The mean of the unit pictures, of any length, as a row; what it says of them is not told yet. */
static struct learn_row *mean_row(const struct learn_settings *settings, const int8_t *q, size_t n, size_t d)
{
	struct learn_row *row;
	double *sum = mem_zalloc(d, sizeof *sum);
	for (size_t j = 0; j < n; j++)
		add_unit(q + j * d, d, sum);
	int r = learn_row_from_values(settings->width, d, sum, 1, &row, NULL);
	REQUIRE(r == 0); /* what is finite and no larger than n can be stored */
	free(sum);
	return row;
}

struct learn_row *scene_row_new(
	const struct scene *scene, const struct learn_settings *settings, double near, const int8_t *q, size_t n)
{
	const size_t d = scene->d, n_kept = n;
	n = n_kept < SCENE_ROW_PICTURES ? n_kept : SCENE_ROW_PICTURES;
	const struct learn_settings of_scene = scene_settings(settings);
	const struct learn_row *const nothing = NULL;
	struct near_groups groups;
	int8_t *left = mem_zalloc(n, d), *merged = mem_zalloc(n, d);
	uint32_t *y = mem_zalloc(n, sizeof *y), *merged_y = mem_zalloc(n, sizeof *merged_y);
	for (size_t j = 0; j < n; j++)
		scene_take_away(scene, q + j * n_kept / n * d, left + j * d);
	int stopped = near_find(&of_scene, near, left, y, n, d, NULL, NULL, &groups);
	REQUIRE(stopped == 0);
	near_merge(&groups, left, y, n, d, merged, merged_y);
	struct learn_row *row = mean_row(&of_scene, merged, groups.n, d);
	const struct learn_lesson lesson = {
		.d = d, .n = n, .k = 1, .q = left, .y = y, .old = &nothing, .groups = &groups, .near = near};
	likeness_measure(&of_scene, &lesson, 0, (uint32_t)groups.n, row);
	near_groups_deinit(&groups);
	free(left);
	free(merged);
	free(y);
	free(merged_y);
	return row;
}
