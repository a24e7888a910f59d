/* SPDX-License-Identifier: MIT */
/* lib/learn/row.c: consolidated rows: masters of each width, their stored bytes, their forward side.
 *
 * Invariant: an integer row has |m| < 2^(q_b - 1) and LEARN_E_MIN <= e <= LEARN_E_MAX, or is all zero; a float row is
 * finite. learn_row_decode refuses bytes that are not so: they come from a disk.
 */
#include "lib/learn/row.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/learn/integer.h"
#include "lib/learn/bounds.h"
#include "lib/learn/known.h"

/* past u32, e i32, r f64, mean f64, squares f64; of version 1 past, e, n u32, 0 u32, mean, squares */
enum {
	STORED_HEADER_BYTES = 32,
	STORED_E_ZERO = INT32_MIN, /* a row of zeros */
	FORMAT_MAX_BYTES = 64,
};

#define LIKENESS_MEAN_READ_MAX (1 + 0x1p-40)
#define LIKENESS_SQUARES_MAX   0x1p35 /* more than any 2^32 cosines have: so thresholds are finite */

int learn_width_bits(enum learn_width width)
{
	REQUIRE(width >= LEARN_8_8 && width <= LEARN_8_32);
	return width == LEARN_8_8 ? 8 : width == LEARN_8_16 ? 16 : 32;
}

size_t learn_width_bytes(enum learn_width width)
{
	return width == LEARN_FLOAT ? sizeof(float) : (size_t)learn_width_bits(width) / CHAR_BIT;
}

double learn_pow2(int k)
{
	REQUIRE(k >= -1022 && k <= 1023);
	uint64_t bits = (uint64_t)(k + 1023) << 52;
	double x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

static struct learn_row *row_new(enum learn_width width, size_t d, uint32_t past)
{
	REQUIRE(d >= 1 && d <= LEARN_FEATURES_MAX);
	struct learn_row *row = mem_zalloc(1, sizeof *row + d * learn_width_bytes(width));
	*row = (struct learn_row){.width = width, .d = d, .likeness = {.n = past, .r = 1}, .master.any = row + 1};
	return row;
}

void learn_row_free(struct learn_row *row)
{
	free(row);
}

uint32_t learn_row_past(const struct learn_row *row)
{
	return row->likeness.n;
}

const struct learn_likeness *learn_row_likeness(const struct learn_row *row)
{
	return &row->likeness;
}

static int32_t master_at(const struct learn_row *row, size_t i)
{
	switch (row->width) {
	case LEARN_8_8:
		return row->master.m8[i];
	case LEARN_8_16:
		return row->master.m16[i];
	default:
		return row->master.m32[i];
	}
}

static void master_set(struct learn_row *row, size_t i, int32_t m)
{
	switch (row->width) {
	case LEARN_8_8:
		row->master.m8[i] = (int8_t)m;
		break;
	case LEARN_8_16:
		row->master.m16[i] = (int16_t)m;
		break;
	default:
		row->master.m32[i] = m;
	}
}

void learn_row_masters(const struct learn_row *row, int32_t *ret_m)
{
	REQUIRE(row->width != LEARN_FLOAT);
	for (size_t i = 0; i < row->d; i++)
		ret_m[i] = master_at(row, i);
}

void learn_row_forward(const struct learn_row *row, int8_t *ret_f)
{
	REQUIRE(row->width != LEARN_FLOAT);
	int bits = learn_width_bits(row->width);
	for (size_t i = 0; i < row->d; i++)
		ret_f[i] = learn_forward(master_at(row, i), bits);
}

void learn_row_values(const struct learn_row *row, double *ret_w)
{
	double scale = row->width == LEARN_FLOAT || row->zero ? 1 : learn_pow2(-row->e);
	for (size_t i = 0; i < row->d; i++)
		ret_w[i] = row->width == LEARN_FLOAT ? (double)row->master.f32[i] : master_at(row, i) * scale;
}

/* The largest exponent at which all of w rounds to less than limit; below LEARN_E_MIN: there is none. */
static int largest_exponent(const double *w, size_t d, double limit)
{
	double largest = 0;
	for (size_t i = 0; i < d; i++)
		largest = fmax(largest, fabs(w[i]));
	int e = LEARN_E_MAX;
	while (e >= LEARN_E_MIN && rint(largest * learn_pow2(e)) >= limit)
		e--;
	return e;
}

int learn_row_from_values(
	enum learn_width width, size_t d, const double *w, uint32_t past, struct learn_row **ret_row, struct err *err)
{
	bool zero = true;
	for (size_t i = 0; i < d; i++) {
		zero = zero && w[i] == 0;
		if (!isfinite(w[i]) || (width == LEARN_FLOAT && !isfinite((float)w[i])))
			return err_set(
				err, ERR_INVALID_ARGUMENT, "the lesson's weights grew beyond what can be stored");
	}
	int e = 0;
	if (width != LEARN_FLOAT && !zero) {
		e = largest_exponent(w, d, learn_pow2(learn_width_bits(width) - 1));
		if (e < LEARN_E_MIN)
			return err_set(
				err, ERR_INVALID_ARGUMENT, "the lesson's weights grew beyond what can be stored");
	}
	struct learn_row *row = row_new(width, d, past);
	row->e = e;
	row->zero = zero && width != LEARN_FLOAT;
	double scale = learn_pow2(e);
	for (size_t i = 0; i < d; i++) {
		if (width == LEARN_FLOAT)
			row->master.f32[i] = (float)w[i];
		else
			master_set(row, i, (int32_t)rint(w[i] * scale));
	}
	*ret_row = row;
	return 0;
}

void learn_row_format(enum learn_width width, size_t d, int version, char *ret_text, size_t text_bytes)
{
	snprintf(ret_text, text_bytes, "cwr%d %s d=%zu", version, learn_width_name(width), d);
}

/* Little-endian values of 1, 2 or 4 bytes, as the host keeps them (endian.h insists on a little-endian host). */
void learn_row_encode(const struct learn_row *row, uint8_t **ret_bytes, size_t *ret_len_bytes)
{
	size_t values_bytes = row->d * learn_width_bytes(row->width);
	uint8_t *bytes = mem_zalloc(1, STORED_HEADER_BYTES + values_bytes);
	store_le32(bytes, row->likeness.n);
	store_le32(bytes + 4, (uint32_t)(row->zero ? STORED_E_ZERO : row->e));
	memcpy(bytes + 8, &row->likeness.r, sizeof row->likeness.r);
	memcpy(bytes + 16, &row->likeness.mean, sizeof row->likeness.mean);
	memcpy(bytes + 24, &row->likeness.squares, sizeof row->likeness.squares);
	memcpy(bytes + STORED_HEADER_BYTES, row->master.any, values_bytes);
	*ret_bytes = bytes;
	*ret_len_bytes = STORED_HEADER_BYTES + values_bytes;
}

static bool likeness_good(const struct learn_likeness *own)
{
	const bool single = own->n > 1 || (own->mean == 0 && own->squares == 0);
	return own->r >= 1 && own->r <= own->n && own->mean >= 0 && own->mean <= 1 && own->squares >= 0 &&
	       own->squares <= LIKENESS_SQUARES_MAX && single;
}

/* What is wrong with a row just read, or NULL. */
static const char *row_fault(const struct learn_row *row)
{
	if (row->likeness.n == 0)
		return "it was taught with no picture";
	if (!likeness_good(&row->likeness))
		return "its own cosines are out of range";
	if (row->width == LEARN_FLOAT) {
		for (size_t i = 0; i < row->d; i++)
			if (!isfinite(row->master.f32[i]))
				return "a weight is not a number";
		return row->e == 0 && !row->zero ? NULL : "it has an exponent";
	}
	if (!row->zero && (row->e < LEARN_E_MIN || row->e > LEARN_E_MAX))
		return "its exponent is out of range";
	int64_t limit = INT64_C(1) << (learn_width_bits(row->width) - 1);
	for (size_t i = 0; i < row->d; i++) {
		if (master_at(row, i) == -limit)
			return "a weight is out of range";
		if (row->zero && master_at(row, i) != 0)
			return "a weight has no exponent";
	}
	return NULL;
}

/* What the header says of the class's own cosines; of version 1 of no picture where its numbers are no cosines. */
static struct learn_likeness likeness_read(const uint8_t *bytes, int version)
{
	const uint32_t past = load_le32(bytes);
	struct learn_likeness own = {.n = past};
	memcpy(&own.mean, bytes + 16, sizeof own.mean);
	memcpy(&own.squares, bytes + 24, sizeof own.squares);
	if (version != LEARN_ROW_VERSION_OLD) {
		memcpy(&own.r, bytes + 8, sizeof own.r);
		return own;
	}
	if (!(fabs(own.mean) <= LIKENESS_MEAN_READ_MAX && own.squares >= 0 &&
		    own.squares <= LIKENESS_SQUARES_MAX)) /* a rounding of 1 was stored, too */
		return (struct learn_likeness){.n = past, .mean = NAN};
	return known_upgrade(past, load_le32(bytes + 8), own.mean, own.squares);
}

/* 0: of no version. */
static int version_of(enum learn_width width, size_t d, const char *format)
{
	int version = LEARN_ROW_VERSION;
	for (; version > 0; version--) {
		char text[FORMAT_MAX_BYTES];
		learn_row_format(width, d, version, text, sizeof text);
		if (strcmp(text, format) == 0)
			break;
	}
	return version;
}

int learn_row_decode(enum learn_width width, size_t d, const char *format, const uint8_t *bytes, size_t len_bytes,
	struct learn_row **ret_row, struct err *err)
{
	const size_t values_bytes = d * learn_width_bytes(width);
	const int version = version_of(width, d, format);
	if (version == 0)
		return err_set(err, ERR_DATA_LOSS,
			"a stored row has the format \"%.40s\", which is not %s with %zu features", format,
			learn_width_name(width), d);
	if (len_bytes != STORED_HEADER_BYTES + values_bytes)
		return err_set(err, ERR_DATA_LOSS, "a stored row has %zu bytes, not the %zu of %s with %zu features",
			len_bytes, STORED_HEADER_BYTES + values_bytes, learn_width_name(width), d);
	struct learn_row *row = row_new(width, d, 0);
	int32_t e = (int32_t)load_le32(bytes + 4);
	row->zero = e == STORED_E_ZERO;
	row->e = row->zero ? 0 : e;
	row->likeness = likeness_read(bytes, version);
	memcpy(row->master.any, bytes + STORED_HEADER_BYTES, values_bytes);
	const char *fault = row_fault(row);
	if (fault) {
		learn_row_free(row);
		return err_set(err, ERR_DATA_LOSS, "a stored row is damaged: %s", fault);
	}
	*ret_row = row;
	return 0;
}

double dot_f64(const double *a, const double *b, size_t d)
{
	double sum = 0;
	for (size_t i = 0; i < d; i++)
		sum += a[i] * b[i];
	return sum;
}
