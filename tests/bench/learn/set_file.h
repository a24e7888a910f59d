/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/set_file.h: the features of a public set, as cache.py writes them.
 *
 *   "BNSX"  u32 n, d, classes, usual, pool, asked, share  u8 feature_id[32], name[32]  u32 row[n][4]  i8 q[n][d]
 *
 * little-endian; a row is {class, kind, may, of}. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What a row is of. `of`: of a frame the photograph's index; before a scene that scene's number. */
enum set_kind {
	SET_PICTURE,
	SET_FRAME,    /* of a burst; frames of one follow each other */
	SET_IN_SCENE, /* a thing of the class before a static scene */
	SET_EMPTY,    /* the scene alone */
	SET_GENERIC,  /* from here on: never taught, of no class */
	SET_BLURRED,
	SET_BLACK,
	SET_WHITE,
	SET_KINDS
};
enum { SET_MAY_TEACH = 1, SET_MAY_ASK = 2, SET_ID_BYTES = 32, SET_NAME_BYTES = 32 };

struct set_row {
	uint32_t class, kind, may, of;
};

struct set_file {
	char name[SET_NAME_BYTES + 1];
	uint8_t feature_id[SET_ID_BYTES];
	size_t n, d, n_classes;
	size_t usual; /* pictures a class that are taught where a case says 20 */
	size_t pool;  /* set aside a class for teaching, at most, */
	size_t share; /* and at most so many in a hundred of those that may be taught */
	size_t asked; /* a class, at most */
	struct set_row *rows;
	int8_t *q; /* n x d */
};

/* Exits with a sentence where the file is not there, not whole or says what cannot be. */
void set_read(const char *path, struct set_file *ret_set);
void set_drop(struct set_file *set);
static inline const int8_t *set_q(const struct set_file *set, size_t i)
{
	return set->q + i * set->d;
}
