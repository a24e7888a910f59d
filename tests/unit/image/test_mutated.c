/* SPDX-License-Identifier: MIT */
/* lib/image and seeded damage that knows the formats: chunks and segments left out, doubled, exchanged, taken from another
 * file, changed, with checksums that are right again. Each outcome is an error with a sentence or a picture, and never
 * depends on what was in the buffer or in fresh memory before (decode_twice). Usage: test_image_mutated [ROUNDS [SEED]]. */
#include "tests/unit/image/vectors.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/random.h"
#include "tests/unit/image/make_png.h"

enum { PIECES_MAX = 64, ROUNDS = 40000, FILE_MAX_BYTES = 1 << 18, PNG_SIGNATURE = 8 };
static uint32_t rounds = ROUNDS;
static uint64_t first_seed = 11;

struct piece {
	const uint8_t *bytes;
	size_t n;
};

/* A file in pieces: the signature, then chunks or segments; the entropy-coded data of a JPEG belongs to its segment. */
struct pieces {
	struct piece piece[PIECES_MAX];
	unsigned n;
};

static void add(struct pieces *p, const uint8_t *bytes, size_t n)
{
	if (p->n < PIECES_MAX)
		p->piece[p->n++] = (struct piece){bytes, n};
	else
		p->piece[PIECES_MAX - 1].n += n;
}

static void split_png(const struct image_picture *file, struct pieces *ret)
{
	add(ret, file->bytes, PNG_SIGNATURE);
	for (size_t at = PNG_SIGNATURE; at < file->len_bytes;) {
		size_t n = load_be32(file->bytes + at) + 12u;
		add(ret, file->bytes + at, n);
		at += n;
	}
}

static void split_jpeg(const struct image_picture *file, struct pieces *ret)
{
	const uint8_t *b = file->bytes;
	size_t from = 0;
	for (size_t at = 2; at + 1 < file->len_bytes; at++) {
		if (b[at] != 0xFF || b[at + 1] == 0 || b[at + 1] == 0xFF)
			continue;
		add(ret, b + from, at - from);
		from = at;
		if (b[at + 1] < 0xD0 || b[at + 1] > 0xD9)
			at += load_be16(b + at + 2); /* and its marker, by the loop and what follows */
	}
	add(ret, b + from, file->len_bytes - from);
}

static bool is_png(const struct image_picture *file)
{
	return file->source == IMAGE_ENCODED && file->bytes[1] == 'P';
}

static void split(const struct image_picture *file, struct pieces *ret)
{
	ret->n = 0;
	if (is_png(file))
		split_png(file, ret);
	else
		split_jpeg(file, ret);
}

static uint32_t below(uint64_t *seed, size_t n)
{
	return splitmix64_below(seed, (uint32_t)n);
}

/* One change of the order of things. */
static void shuffle(struct pieces *p, const struct pieces *other, uint64_t *seed)
{
	unsigned i = below(seed, p->n), k = below(seed, p->n), from = below(seed, other->n);
	struct piece swapped = p->piece[i];
	switch (below(seed, 5)) {
	case 0: /* left out */
		memmove(p->piece + i, p->piece + i + 1, (p->n - i - 1) * sizeof *p->piece);
		p->n -= p->n > 1;
		break;
	case 1: /* exchanged */
		p->piece[i] = p->piece[k];
		p->piece[k] = swapped;
		break;
	case 2: /* another file's instead */
		p->piece[i] = other->piece[from];
		break;
	case 3: /* another file's as well */
		swapped = other->piece[from];
		/* fall through */
	case 4: /* again */
		if (p->n == PIECES_MAX)
			break;
		memmove(p->piece + k + 1, p->piece + k, (p->n - k) * sizeof *p->piece);
		p->piece[k] = swapped;
		p->n++;
		break;
	}
}

/* Most changes hit the first bytes of a piece: its length, name and numbers. */
static void change_bytes(uint8_t *file, const struct pieces *p, uint64_t *seed)
{
	size_t at = 0, i = below(seed, p->n), n = p->piece[i].n;
	for (size_t k = 0; k < i; k++)
		at += p->piece[k].n;
	if (n == 0)
		return;
	at += below(seed, below(seed, 3) ? (n < 24 ? n : 24) : n);
	static const uint8_t special[] = {0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF};
	file[at] = below(seed, 2) ? special[below(seed, sizeof special)] : (uint8_t)splitmix64_next(seed);
}

static uint8_t *join(const struct pieces *p, size_t *ret_bytes)
{
	size_t n = 0, at = 0;
	for (unsigned i = 0; i < p->n; i++)
		n += p->piece[i].n;
	uint8_t *file = mem_zalloc(n, 1);
	for (unsigned i = 0; i < p->n; at += p->piece[i++].n)
		memcpy(file + at, p->piece[i].bytes, p->piece[i].n);
	*ret_bytes = n;
	return file;
}

static const struct vector *draw(const struct vectors *v, bool png, uint64_t *seed)
{
	for (;;) {
		const struct vector *c = &v->cases[below(seed, v->n)];
		if (c->picture.source == IMAGE_ENCODED && c->picture.len_bytes < FILE_MAX_BYTES &&
			is_png(&c->picture) == png)
			return c;
	}
}

/* One damaged file, from its seed alone. Returns what decoding did. */
static int round_of(const struct vectors *v, uint64_t seed)
{
	bool png = below(&seed, 2);
	const struct vector *c = draw(v, png, &seed), *other = draw(v, png, &seed);
	struct pieces p, q;
	split(&c->picture, &p);
	split(&other->picture, &q);
	for (uint32_t n = below(&seed, 3); n > 0; n--)
		shuffle(&p, &q, &seed);
	size_t file_bytes;
	uint8_t *file = join(&p, &file_bytes);
	for (uint32_t n = below(&seed, 4); n > 0 && file_bytes > 0; n--)
		change_bytes(file, &p, &seed);
	if (png && file_bytes > PNG_SIGNATURE && below(&seed, 8))
		repair_png_checksums(file, file_bytes);
	if (below(&seed, 8) == 0)
		file_bytes = below(&seed, file_bytes + 1);
	struct image_picture picture = c->picture;
	picture.bytes = file;
	picture.len_bytes = file_bytes;
	struct err err = {0};
	int r = decode_twice(&picture, &c->input, NULL, NULL, &err);
	if (r != 0 && (r != -err.code || strlen(err.text) < 20))
		fail_msg("%d %s", r, err.text);
	free(file);
	return r;
}

static void test_mutated(void **state)
{
	unsigned n_good = 0, n_bad = 0;
	for (uint32_t i = 0; i < rounds; i++) {
		int r = round_of(*state, first_seed * 1000003 + i);
		if (r == 0)
			n_good++;
		else if (r == -ERR_INVALID_ARGUMENT || r == -ERR_RESOURCE_EXHAUSTED)
			n_bad++;
		else
			fail_msg("round %u: %d", i, r);
	}
	print_message("%u pictures, %u errors\n", n_good, n_bad);
	assert_true(n_good > rounds / 20 && n_bad > rounds / 5);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		rounds = (uint32_t)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 10);
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutated)};
	return cmocka_run_group_tests(tests, vectors_load, vectors_unload);
}
