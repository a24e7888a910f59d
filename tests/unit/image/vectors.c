/* SPDX-License-Identifier: MIT */
/* tests/unit/image/vectors.c: see vectors.h. Reads the whole file once; cases point into it. */
#include "tests/unit/image/vectors.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"

enum { SAME_FILE = -1 };

struct reader {
	const uint8_t *at, *end;
};

static const uint8_t *take(struct reader *r, size_t n)
{
	assert_true((size_t)(r->end - r->at) >= n);
	r->at += n;
	return r->at - n;
}

static uint32_t take32(struct reader *r)
{
	return load_le32(take(r, 4));
}

uint8_t *noise_make(uint64_t seed, size_t n)
{
	uint8_t *bytes = mem_zalloc(n, 1);
	for (size_t i = 0; i < n; i += 8) {
		uint8_t eight[8];
		store_le64(eight, splitmix64_next(&seed));
		memcpy(bytes + i, eight, n - i < 8 ? n - i : 8);
	}
	return bytes;
}

static void take_file(struct reader *r, const struct vectors *v, struct vector *c)
{
	int32_t n = (int32_t)take32(r);
	if (n == SAME_FILE) {
		uint32_t i = take32(r);
		assert_true(&v->cases[i] < c);
		c->picture.bytes = v->cases[i].picture.bytes;
		c->picture.len_bytes = v->cases[i].picture.len_bytes;
	} else {
		c->picture.bytes = take(r, (size_t)n);
		c->picture.len_bytes = (size_t)n;
	}
}

static void take_case(struct reader *r, const struct vectors *v, struct vector *c)
{
	uint32_t n = take32(r);
	snprintf(c->name, sizeof c->name, "%.*s", (int)n, (const char *)take(r, n));
	bool is_raw = take32(r) == 1;
	uint64_t seed = load_le64(take(r, 8));
	struct image_picture *p = &c->picture;
	p->source = is_raw ? IMAGE_RAW : IMAGE_ENCODED;
	p->raw_width = take32(r);
	p->raw_height = take32(r);
	p->raw_channels = take32(r);
	p->rotate = take32(r);
	p->has_roi = take32(r) == 1;
	for (int i = 0; i < 4; i++) {
		uint64_t bits = load_le64(take(r, 8));
		memcpy(&p->roi[i], &bits, 8);
	}
	c->input.width = take32(r);
	c->input.height = take32(r);
	c->input.fit = (enum image_fit)take32(r);
	memcpy(c->input.background, take(r, 4), 3);
	take_file(r, v, c);
	if (is_raw) {
		p->len_bytes = (size_t)p->raw_width * p->raw_height * p->raw_channels;
		p->bytes = c->noise = noise_make(seed, p->len_bytes);
	}
	c->expected_bytes = take32(r);
	c->expected = take(r, c->expected_bytes);
	assert_int_equal(c->expected_bytes, c->input.width * c->input.height * 3);
}

int vectors_load(void **state)
{
	const char *source_dir = getenv("BNND_SOURCE_DIR");
	char path[4096];
	snprintf(path, sizeof path, "%s/tests/vectors/image.bin", source_dir ? source_dir : ".");
	FILE *file = fopen(path, "rb");
	if (!file) {
		fprintf(stderr, "%s cannot be opened: set BNND_SOURCE_DIR\n", path);
		return -1;
	}
	fseek(file, 0, SEEK_END);
	long len = ftell(file);
	rewind(file);
	struct vectors *v = mem_zalloc(1, sizeof *v);
	v->bytes = mem_zalloc((size_t)len, 1);
	size_t got = fread(v->bytes, 1, (size_t)len, file);
	fclose(file);
	struct reader r = {v->bytes, v->bytes + got};
	assert_memory_equal(take(&r, 8), "BNNDIMG1", 8);
	v->n = take32(&r);
	v->cases = mem_zalloc(v->n, sizeof *v->cases);
	for (uint32_t i = 0; i < v->n; i++)
		take_case(&r, v, &v->cases[i]);
	assert_ptr_equal(r.at, r.end);
	*state = v;
	return 0;
}

int vectors_unload(void **state)
{
	struct vectors *v = *state;
	for (uint32_t i = 0; i < v->n; i++)
		free(v->cases[i].noise);
	free(v->cases);
	free(v->bytes);
	free(v);
	return 0;
}

const struct vector *vectors_find(const struct vectors *v, const char *name)
{
	for (uint32_t i = 0; i < v->n; i++)
		if (strcmp(v->cases[i].name, name) == 0)
			return &v->cases[i];
	fail_msg("no case %s in image.bin", name);
	return NULL;
}

static int decode_over(const struct image_picture *picture, const struct image_input *input,
	const struct image_limits *limits, uint8_t before, uint8_t **ret_pixels, struct err *err)
{
	struct image_picture copy = *picture;
	uint8_t *bytes = mem_dup(picture->bytes, picture->len_bytes);
	size_t n = (size_t)input->width * input->height * 3;
	uint8_t *pixels = mem_zalloc(n, 1);
	memset(pixels, before, n);
	copy.bytes = bytes;
	int r = image_to_input(&copy, input, limits, pixels, err);
	free(bytes);
	*ret_pixels = pixels;
	return r;
}

int decode_tight(const struct image_picture *picture, const struct image_input *input,
	const struct image_limits *limits, uint8_t **ret_pixels, struct err *err)
{
	uint8_t *pixels;
	int r = decode_over(picture, input, limits, 0, &pixels, err);
	if (r == 0 && ret_pixels)
		*ret_pixels = pixels;
	else
		free(pixels);
	return r;
}

int decode_twice(const struct image_picture *picture, const struct image_input *input,
	const struct image_limits *limits, uint8_t **ret_pixels, struct err *err)
{
	static const uint8_t before[] = {0x5A, 0xC3};
	uint8_t *pixels[2];
	int r[2];
	for (int i = 0; i < 2; i++) {
		mallopt(M_PERTURB, before[i] ^ 0x77); /* a sanitizer's malloc has its own way */
		r[i] = decode_over(picture, input, limits, before[i], &pixels[i], err);
	}
	mallopt(M_PERTURB, 0);
	assert_int_equal(r[0], r[1]);
	/* After an error, too: nothing of the picture before is left. */
	assert_memory_equal(pixels[0], pixels[1], (size_t)input->width * input->height * 3);
	free(pixels[1]);
	if (r[0] == 0 && ret_pixels)
		*ret_pixels = pixels[0];
	else
		free(pixels[0]);
	return r[0];
}
