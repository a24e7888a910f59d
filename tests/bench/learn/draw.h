/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/draw.h: one draw of a set: the order of its classes, and of each class what may be taught and what is
 * asked. The same seed, the same draw, on every machine. */
#pragma once

#include <stdbool.h>

#include "set_file.h"

struct indices { /* of pictures or classes */
	size_t n;
	uint32_t *at;
};
void indices_add(struct indices *list, uint32_t i);
bool indices_have(const struct indices *list, uint32_t i);

struct draw_class {
	struct indices pool;        /* in the order they are taught in */
	struct indices asked;       /* never in the pool */
	struct indices photographs; /* that there is a burst of: the first frame of each */
	struct indices scene[2];    /* things before the draw's scene: to teach, to ask */
};
struct draw {
	const struct set_file *set;
	uint32_t seed;
	struct indices order;    /* the classes that have something to teach and to ask, shuffled */
	struct indices bursts;   /* of these those with bursts, in the same order */
	struct indices scenes;   /* and those before the draw's scene */
	struct indices empty[2]; /* the scene alone: to teach, to ask */
	struct draw_class *classes;
};
void draw_make(const struct set_file *set, uint32_t seed, struct draw *ret_draw);
void draw_drop(struct draw *draw);
/* How many pictures a class is taught where a case says n: n, but what the set says where that is 20; at most what it has. */
size_t draw_taught(const struct draw *draw, uint32_t class, size_t n);
/* Whether half of the classes have n pictures to teach. */
bool draw_has(const struct draw *draw, size_t n);
