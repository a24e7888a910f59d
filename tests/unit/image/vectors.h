/* SPDX-License-Identifier: MIT */
/* tests/unit/image/vectors.h: the cases of tests/vectors/image.bin (made by make_image.py) and what the image tests
 * share. Every helper fails the running test when something is wrong with the file. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/image/image.h"

struct vector {
	char name[96];
	struct image_picture picture;
	struct image_input input;
	uint8_t *noise; /* the raw picture, where the case has one */
	const uint8_t *expected;
	size_t expected_bytes;
};

struct vectors {
	uint8_t *bytes; /* the file */
	struct vector *cases;
	uint32_t n;
};

/* As cmocka's group setup and teardown: *state is a struct vectors. */
int vectors_load(void **state);
int vectors_unload(void **state);

/* The case of that name. */
const struct vector *vectors_find(const struct vectors *v, const char *name);

/* n bytes of splitmix64, low byte first; the caller frees. */
uint8_t *noise_make(uint64_t seed, size_t n);

/* image_to_input into exactly sized heap memory, so that a sanitizer sees every byte outside of it. The picture's
 * bytes are copied likewise. Returns its result; *ret_pixels (NULL allowed) is the caller's on success. */
int decode_tight(const struct image_picture *picture, const struct image_input *input,
	const struct image_limits *limits, uint8_t **ret_pixels, struct err *err);

/* decode_tight twice, over different bytes of another picture and in memory that malloc filled with different bytes:
 * fails the test when a single pixel, or the result, depends on either. *ret_pixels as above. */
int decode_twice(const struct image_picture *picture, const struct image_input *input,
	const struct image_limits *limits, uint8_t **ret_pixels, struct err *err);
