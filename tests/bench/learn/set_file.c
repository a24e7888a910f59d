/* SPDX-License-Identifier: MIT */
/* tests/bench/learn/set_file.c: see set_file.h. */
#include "set_file.h"

#include <stdlib.h>
#include <string.h>

#include "learn_bench.h"
#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/learn/bounds.h"

enum { HEADER_BYTES = 32 + SET_ID_BYTES + SET_NAME_BYTES, ROW_BYTES = 16, PICTURES_MAX = 1 << 20 };

static void read_rows(FILE *f, const char *path, struct set_file *set)
{
	for (size_t i = 0; i < set->n; i++) {
		uint8_t bytes[ROW_BYTES];
		if (fread(bytes, sizeof bytes, 1, f) != 1)
			bench_die("%s is cut short", path);
		struct set_row row = {.class = load_le32(bytes),
			.kind = load_le32(bytes + 4),
			.may = load_le32(bytes + 8),
			.of = load_le32(bytes + 12)};
		if (row.class >= set->n_classes || row.kind >= SET_KINDS || row.of >= PICTURES_MAX ||
			(row.kind == SET_FRAME && row.of >= i))
			bench_die("%s: row %zu is no row", path, i);
		set->rows[i] = row;
	}
}

void set_read(const char *path, struct set_file *ret_set)
{
	FILE *f = bench_open(path, "rb");
	uint8_t header[HEADER_BYTES];
	if (fread(header, sizeof header, 1, f) != 1 || memcmp(header, "BNSX", 4) != 0)
		bench_die("%s is no BNSX file", path);
	*ret_set = (struct set_file){.n = load_le32(header + 4),
		.d = load_le32(header + 8),
		.n_classes = load_le32(header + 12),
		.usual = load_le32(header + 16),
		.pool = load_le32(header + 20),
		.asked = load_le32(header + 24),
		.share = load_le32(header + 28)};
	struct set_file *set = ret_set;
	memcpy(set->feature_id, header + 32, SET_ID_BYTES);
	memcpy(set->name, header + 32 + SET_ID_BYTES, SET_NAME_BYTES);
	if (set->n == 0 || set->n > PICTURES_MAX || set->d == 0 || set->d > LEARN_FEATURES_MAX || set->n_classes == 0 ||
		set->n_classes > LEARN_CLASSES_MAX || set->usual == 0 || set->pool < set->usual)
		bench_die("%s: the header is wrong", path);
	set->rows = mem_zalloc(set->n, sizeof *set->rows);
	set->q = mem_aligned(set->n * set->d);
	read_rows(f, path, set);
	if (fread(set->q, set->d, set->n, f) != set->n || fgetc(f) != EOF)
		bench_die("%s is not whole", path);
	fclose(f);
}

void set_drop(struct set_file *set)
{
	free(set->rows);
	free(set->q);
}
