/* SPDX-License-Identifier: MIT */
/* daemon/state/scene_rows.h: by what *known* is decided where the negatives are one scene: the scene, and of each class a
 * row of its kept pictures with the scene taken away (lib/learn/scene.h). For learned*.c, change.c and snapshot_make.c
 * alone. Learn thread.
 *
 * Invariant: the scene is that of the pictures of none, and each row that of the pictures of its class, which the store's
 * newest state keeps with their features, in their order there. Nothing else enters: so undo, rollback and a restart give
 * the same bits. A class none of whose pictures is kept so has no row, and is decided upon as if there were no scene. */
#pragma once

#include "daemon/state/shared.h"
#include "daemon/state/snapshot.h"
#include "lib/learn/learn.h"
#include "lib/learn/scene.h"
#include "lib/store/store.h"

struct scene_class {
	struct shared shared; /* first */
	uint32_t id;
	struct learn_row *row; /* owned */
};

struct scene_rows {
	const char *off; /* there is never a scene: why, a sentence; NULL: there may be one */
	struct learn_settings settings;
	struct scene_constants constants;
	double near; /* of learned_options */
	size_t d;
	struct scene *scene; /* one reference; NULL: there is none */
	double alike;        /* the mean cosine of two pictures of none */
	size_t n_pictures;   /* of none, with features */
	size_t n;
	struct scene_class **classes; /* n, ascending ids; what lives is in the set */
	struct shared_set set;
};

void scene_rows_init(struct scene_rows *rows, const char *off, const struct learn_settings *settings,
	const struct scene_constants *constants, double near, size_t d);
void scene_rows_drop(struct scene_rows *rows); /* scene and rows */
/* Anew from the store, all of it. Negative: the store's error. */
int scene_rows_load(struct scene_rows *rows, struct store *store, struct err *err);
/* After the change seq, the newest: the classes that it touched, or all where none is among them. */
int scene_rows_follow(struct scene_rows *rows, struct store *store, uint64_t seq, struct err *err);
/* Why *known* is decided without a scene, though none may be taught, or for which of n_classes classes: a sentence, or "". */
enum { SCENE_WHY_BYTES = sizeof((struct snapshot *)0)->no_scene };
void scene_rows_why(const struct scene_rows *rows, bool has_none, size_t n_classes, char ret_why[SCENE_WHY_BYTES]);
/* For a head of the classes, before anybody asks it. before: as for learn_head_new. */
void scene_rows_give(const struct scene_rows *rows, struct learn_head *head, const struct learn_head *before);
