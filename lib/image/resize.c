/* SPDX-License-Identifier: MIT */
/* lib/image/resize.c: see resize.h.
 *
 * A flip is a table of weights in reverse, and a transposition swaps which axis goes first, so the picture itself is
 * never turned: rows are taken as they are stored. Not transposed, each row is resized along x and the narrow rows are
 * summed along y; transposed, the seen horizontal pass runs along stored y, so rows are summed first and each sum is
 * then resized along stored x. Integer sums make the order within a pass irrelevant. */
#include "lib/image/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"
#include "lib/base/require.h"

enum {
	WEIGHT_BITS = 32 - 8 - 2, /* a byte times a weight and two bits of room */
	HALF = 1 << (WEIGHT_BITS - 1),
};

static double triangle(double x)
{
	x = fabs(x);
	return x < 1.0 ? 1.0 - x : 0.0;
}

static uint8_t rounded(int32_t sum)
{
	int32_t v = sum >> WEIGHT_BITS; /* the half is in the sum already */
	return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

/* Pillow's precompute_coeffs, term by term in the same order: another order of these floating-point operations could
 * round a weight differently. Output i of n_in -> n_out, unflipped. Returns the number of weights. */
static uint32_t weights_of(uint32_t n_in, uint32_t n_out, uint32_t i, double *w, uint32_t *ret_start)
{
	double scale = (double)n_in / n_out, filter_scale = scale < 1.0 ? 1.0 : scale, support = 1.0 * filter_scale;
	double center = (i + 0.5) * scale, total = 0.0, shrink = 1.0 / filter_scale;
	int from = (int)(center - support + 0.5), to = (int)(center + support + 0.5);
	from = from < 0 ? 0 : from;
	to = to > (int)n_in ? (int)n_in : to;
	for (int k = 0; k < to - from; k++) {
		w[k] = triangle((k + from - center + 0.5) * shrink);
		total += w[k];
	}
	for (int k = 0; k < to - from; k++)
		if (total != 0.0)
			w[k] /= total;
	*ret_start = (uint32_t)from;
	return (uint32_t)(to - from);
}

static void axis_init(struct resize_axis *axis, uint32_t n_in, uint32_t n_out, bool flip)
{
	double scale = (double)n_in / n_out;
	uint32_t stride = (uint32_t)ceil(scale < 1.0 ? 1.0 : scale) * 2 + 1;
	*axis = (struct resize_axis){.n = n_out,
		.stride = stride,
		.flip = flip,
		.start = mem_zalloc(n_out, sizeof *axis->start),
		.size = mem_zalloc(n_out, sizeof *axis->size),
		.weights = mem_zalloc((size_t)n_out * stride, sizeof *axis->weights)};
	double *w = mem_zalloc(stride, sizeof *w);
	for (uint32_t e = 0; e < n_out; e++) {
		uint32_t start, size = weights_of(n_in, n_out, flip ? n_out - 1 - e : e, w, &start);
		REQUIRE(size >= 1 && size <= stride && start + size <= n_in);
		int32_t *dest = axis->weights + (size_t)e * stride;
		for (uint32_t k = 0; k < size; k++)
			dest[flip ? size - 1 - k : k] = (int32_t)(0.5 + w[k] * (1 << WEIGHT_BITS));
		axis->start[e] = flip ? n_in - start - size : start;
		axis->size[e] = size;
	}
	free(w);
}

static void axis_deinit(struct resize_axis *axis)
{
	free(axis->start);
	free(axis->size);
	free(axis->weights);
}

static uint32_t axis_place(const struct resize_axis *axis, uint32_t e)
{
	return axis->flip ? axis->n - 1 - e : e;
}

/* Resizes a row of RGB along x; output at place p goes to dest + p * step_bytes. */
static void resize_along_x(const struct resize_axis *axis, const uint8_t *rgb, uint8_t *dest, size_t step_bytes)
{
	for (uint32_t e = 0; e < axis->n; e++) {
		const int32_t *w = axis->weights + (size_t)e * axis->stride;
		const uint8_t *p = rgb + (size_t)axis->start[e] * 3;
		int32_t r = HALF, g = HALF, b = HALF;
		for (uint32_t k = 0; k < axis->size[e]; k++, p += 3) {
			r += p[0] * w[k];
			g += p[1] * w[k];
			b += p[2] * w[k];
		}
		uint8_t *out = dest + axis_place(axis, e) * step_bytes;
		out[0] = rounded(r);
		out[1] = rounded(g);
		out[2] = rounded(b);
	}
}

/* Sums the rows of output e from the ring into z->line (or dest). */
static void resize_along_y(struct resizer *z, uint32_t e, uint8_t *dest)
{
	const int32_t *w = z->y.weights + (size_t)e * z->y.stride;
	for (size_t i = 0; i < z->row_bytes; i++)
		z->sums[i] = HALF;
	for (uint32_t k = 0; k < z->y.size[e]; k++) {
		const uint8_t *row = z->ring + (z->y.start[e] + k) % z->ring_rows * z->row_bytes;
		int32_t weight = w[k];
		for (size_t i = 0; i < z->row_bytes; i++)
			z->sums[i] += row[i] * weight;
	}
	for (size_t i = 0; i < z->row_bytes; i++)
		dest[i] = rounded(z->sums[i]);
}

static void paint_background(const struct decode_job *job)
{
	const struct image_input *input = job->input;
	for (size_t i = 0; i < (size_t)input->width * input->height; i++)
		memcpy(job->pixels + 3 * i, input->background, 3);
}

int resizer_init(struct resizer *z, const struct decode_job *job, const struct geometry *geometry, struct err *err)
{
	const struct rect *crop = &geometry->crop, *target = &geometry->target;
	bool transpose = geometry->orientation.transpose;
	*z = (struct resizer){.geometry = *geometry, .input_width = job->input->width, .pixels = job->pixels};
	uint32_t x_outputs = transpose ? target->height : target->width;
	uint32_t y_outputs = transpose ? target->width : target->height;
	axis_init(&z->x, crop->width, x_outputs, geometry->orientation.flip_x);
	axis_init(&z->y, crop->height, y_outputs, geometry->orientation.flip_y);

	/* Each row that comes may complete several outputs, but none needs more rows than its own window. */
	z->row_bytes = (size_t)(transpose ? crop->width : x_outputs) * 3;
	z->ring_rows = 1;
	for (uint32_t e = 0; e < y_outputs; e++)
		z->ring_rows = z->y.size[e] > z->ring_rows ? z->y.size[e] : z->ring_rows;
	int r = decode_check_memory(job, (uint64_t)z->row_bytes * z->ring_rows,
		"making this picture as small as the model's input", "", err);
	z->ring = r == 0 ? calloc(z->ring_rows, z->row_bytes) : NULL; /* its size is the picture's, within the limit */
	if (r == 0 && !z->ring)
		r = err_set(
			err, ERR_RESOURCE_EXHAUSTED, "no memory to make this picture as small as the model's input");
	if (r < 0) {
		resizer_deinit(z);
		return r;
	}
	z->sums = mem_zalloc(z->row_bytes, sizeof *z->sums);
	z->line = mem_zalloc(z->row_bytes, 1);
	if (target->width != job->input->width || target->height != job->input->height)
		paint_background(job);
	return 0;
}

/* Output e along y is complete: writes it as a row of the target or, transposed, as a column. */
static void emit(struct resizer *z, uint32_t e)
{
	const struct rect *target = &z->geometry.target;
	size_t stride = (size_t)z->input_width * 3, place = axis_place(&z->y, e);
	uint8_t *corner = z->pixels + target->y * stride + (size_t)target->x * 3;
	if (z->geometry.orientation.transpose) {
		resize_along_y(z, e, z->line);
		resize_along_x(&z->x, z->line, corner + place * 3, stride);
	} else {
		resize_along_y(z, e, corner + place * stride);
	}
}

void resizer_row(struct resizer *z, const uint8_t *rgb)
{
	REQUIRE(z->next_row < z->geometry.crop.height);
	uint8_t *row = z->ring + (size_t)(z->next_row % z->ring_rows) * z->row_bytes;
	if (z->geometry.orientation.transpose)
		memcpy(row, rgb, z->row_bytes);
	else
		resize_along_x(&z->x, rgb, row, 3);
	z->next_row++;
	while (z->next_out < z->y.n && z->y.start[z->next_out] + z->y.size[z->next_out] <= z->next_row)
		emit(z, z->next_out++);
}

int resizer_finish(const struct resizer *z, struct err *err)
{
	if (z->next_row == z->geometry.crop.height && z->next_out == z->y.n)
		return 0;
	return err_set_about(err, ERR_INVALID_ARGUMENT, (struct err_about){.field = "picture"},
		"the picture is broken: %u of the %u rows that are needed came", z->next_row, z->geometry.crop.height);
}

void resizer_deinit(struct resizer *z)
{
	axis_deinit(&z->x);
	axis_deinit(&z->y);
	free(z->ring);
	free(z->sums);
	free(z->line);
	*z = (struct resizer){0};
}
