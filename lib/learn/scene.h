/* SPDX-License-Identifier: MIT */
/* lib/learn/scene.h: *known* with the scene taken away, where the negatives are one scene.
 *
 * Before a camera that does not move every picture shows the same scene, and what is before it counts little beside that:
 * a class is then as much the scene as the thing, and other things before the scene are like it. With m, the mean of the
 * unit pictures of none, x' = unit(x - share m) shows what is before the scene. It is brought to int8 as features are, so
 * all that a lesson knows of pictures is known of these, too. doc/LEARNER.md, "The scene". Nothing here blocks, logs or
 * keeps a static; + - x / and sqrt of doubles in index order: the same bits everywhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/learn/learn.h"

struct scene_constants { /* of the model */
	double share;    /* of m, 0 to 1 */
	double cosine;   /* of a picture with the mean of all there could be, above which they are one scene; 0 to 1 */
};

/* Immutable, counted: one reference when made, dropped by scene_free on any thread. */
struct scene;
/* Of n pictures of none, q[n * d], n >= 0; the order matters to the last bit. *ret_alike: the mean
 * cosine of two of them (of one picture 1, but for rounding; of none 0), which is cosine^2 at the bound: few pictures that
 * have nothing in common are no scene. NULL: they are not one scene. */
struct scene *scene_new(
	const struct scene_constants *constants, const int8_t *q, size_t n, size_t d, double *ret_alike);
struct scene *scene_ref(struct scene *scene);
void scene_free(struct scene *scene); /* NULL allowed */

/* q[d] -> q'[d]: the features with the scene taken away. Of zeros, or where nothing is left: zeros. */
void scene_take_away(const struct scene *scene, const int8_t *q, int8_t *ret_q);

/* Rows in x' and heads of them have this width, whatever that of lessons: they are made anew, never trained further. */
struct learn_settings scene_settings(const struct learn_settings *settings);
/* The plain row of a class with the scene taken away, of its n >= 1 kept pictures q[n * d], the oldest first (of more than
 * SCENE_ROW_PICTURES so many, spread evenly: those tell as much, and each is compared with each): the mean of
 * those that are no near-duplicates of one another (theta: near, see near.h) once the scene is gone. What it says of how
 * alike they are is that of one lesson of them all. */
enum { SCENE_ROW_PICTURES = 64 };
struct learn_row *scene_row_new(
	const struct scene *scene, const struct learn_settings *settings, double near, const int8_t *q, size_t n);
