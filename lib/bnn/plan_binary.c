/* SPDX-License-Identifier: MIT */
/* lib/bnn/plan_binary.c: see plan_binary.h.
 *
 * Padding. The packed kernels read a copy of the map with a ring of padding: bits 0 (+1), or bits 1 (-1), so +1 and -1
 * need no correction at all, for any stride, dilation and maps smaller than the kernel. Under true zero padding the
 * ring is +1 and each tap outside has counted the ones p of its weights; it should have counted half of its I
 * channels, so 2a is corrected by I - 2p a tap. Which taps are outside depends on the row and on the column alone:
 * the distinct sets of rows and of columns are the classes, and each pair of classes has a row of corrections.
 */
#include "lib/bnn/plan_binary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/memory.h"

/* Taps inside the map along one axis are neighbours: first and one past the last. */
struct tap_range {
	uint32_t first, end;
};

static struct tap_range taps_inside(
	uint32_t out, uint32_t stride, uint32_t kernel, uint32_t dilation, uint32_t before, uint32_t in)
{
	struct tap_range r = {kernel, kernel};
	for (uint32_t k = 0; k < kernel; k++) {
		int64_t at = (int64_t)out * stride + (int64_t)k * dilation - before;
		if (at < 0)
			continue;
		if (r.first == kernel)
			r.first = k;
		if (at >= in) {
			r.end = k;
			break;
		}
	}
	if (r.first > r.end)
		r.first = r.end;
	return r;
}

/* Classes of the positions of one axis; ret_ranges has room for n_out. Returns their number. */
static uint32_t find_classes(uint32_t n_out, uint32_t stride, uint32_t kernel, uint32_t dilation, uint32_t before,
	uint32_t in, uint16_t *ret_class, struct tap_range *ret_ranges)
{
	uint32_t n = 0;
	for (uint32_t o = 0; o < n_out; o++) {
		struct tap_range r = taps_inside(o, stride, kernel, dilation, before, in);
		uint32_t c = 0;
		while (c < n && (ret_ranges[c].first != r.first || ret_ranges[c].end != r.end))
			c++;
		if (c == n)
			ret_ranges[n++] = r;
		ret_class[o] = (uint16_t)c;
	}
	return n;
}

/* ret[o] = sum over the taps outside of I - 2p. `twice_ones` holds 2p, O x ky x kx. */
static void border_row(const struct kernel_window *w, const int32_t *twice_ones, struct tap_range rows,
	struct tap_range columns, int32_t *ret)
{
	for (uint32_t o = 0; o < w->out_c; o++)
		for (uint32_t y = 0; y < w->kernel_y; y++)
			for (uint32_t x = 0; x < w->kernel_x; x++)
				if (y < rows.first || y >= rows.end || x < columns.first || x >= columns.end)
					ret[o] += (int32_t)w->in_c -
						  twice_ones[((size_t)o * w->kernel_y + y) * w->kernel_x + x];
}

static int fill_border(struct constants *constants, struct kernel_binary_conv *k, const int32_t *twice_ones,
	struct tap_range *rows, struct tap_range *columns, struct err *err)
{
	const struct kernel_window *w = &k->win;
	uint16_t *row_class = constants_alloc(constants, w->out_h, sizeof *row_class, err);
	uint16_t *column_class = row_class ? constants_alloc(constants, w->out_w, sizeof *column_class, err) : NULL;
	if (!column_class)
		return -ERR_RESOURCE_EXHAUSTED;
	uint32_t n_rows =
		find_classes(w->out_h, w->stride_y, w->kernel_y, w->dilation_y, w->top, w->in_h, row_class, rows);
	k->n_column_classes = find_classes(
		w->out_w, w->stride_x, w->kernel_x, w->dilation_x, w->left, w->in_w, column_class, columns);
	uint32_t padded = kernel_padded(w->out_c);
	int32_t *border =
		constants_alloc(constants, (size_t)n_rows * k->n_column_classes, padded * sizeof *border, err);
	if (!border)
		return -ERR_RESOURCE_EXHAUSTED;
	for (uint32_t r = 0; r < n_rows; r++)
		for (uint32_t c = 0; c < k->n_column_classes; c++)
			border_row(w, twice_ones, rows[r], columns[c],
				border + ((size_t)r * k->n_column_classes + c) * padded);
	k->row_class = row_class;
	k->column_class = column_class;
	k->border = border;
	return 0;
}

static int plan_border(
	struct constants *constants, const struct tensor *weights, struct kernel_binary_conv *k, struct err *err)
{
	const struct kernel_window *w = &k->win;
	size_t n = (size_t)w->out_c * w->kernel_y * w->kernel_x, run = weights->length / n;
	int32_t *twice_ones = mem_zalloc(n, sizeof *twice_ones);
	for (size_t i = 0; i < n; i++)
		for (size_t byte = 0; byte < run; byte++)
			twice_ones[i] += 2 * __builtin_popcount(weights->data[i * run + byte]);
	struct tap_range *rows = mem_zalloc(w->out_h, sizeof *rows), *columns = mem_zalloc(w->out_w, sizeof *columns);
	int r = fill_border(constants, k, twice_ones, rows, columns, err);
	free(twice_ones);
	free(rows);
	free(columns);
	return r;
}

static int plan_pixels(struct constants *constants, struct kernel_binary_conv *k, struct err *err)
{
	const struct kernel_window *w = &k->win;
	size_t row = kernel_ring_words(w), words;
	if (!size_mul(row, kernel_ring_rows(w), &words) || words > BNN_ARENA_MAX_BYTES / sizeof(uint64_t))
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "a padded map takes an arena above %d MiB",
			BNN_ARENA_MAX_BYTES >> 20);
	uint32_t *pixel = constants_alloc(constants, (size_t)w->out_h * w->out_w, sizeof *pixel, err);
	if (!pixel)
		return -ERR_RESOURCE_EXHAUSTED;
	for (uint32_t y = 0; y < w->out_h; y++)
		for (uint32_t x = 0; x < w->out_w; x++)
			pixel[(size_t)y * w->out_w + x] =
				(uint32_t)(y * w->stride_y * row + (size_t)x * w->stride_x * kernel_words(w->in_c));
	k->pixel = pixel;
	return 0;
}

/* m = -scale, b = (float)((double)shift + K * scale). */
static int plan_scale(struct constants *constants, const struct tensor *scale, const struct tensor *shift, double taps,
	struct kernel_binary_conv *k, struct err *err)
{
	uint32_t n = k->win.out_c;
	float *m = constants_floats(constants, scale, n, err),
	      *b = m ? constants_floats(constants, shift, n, err) : NULL;
	if (!b)
		return -ERR_RESOURCE_EXHAUSTED;
	for (uint32_t o = 0; o < n; o++) {
		b[o] = (float)((double)b[o] + taps * (double)m[o]);
		m[o] = -m[o];
		if (!isfinite(b[o]))
			return err_set(err, ERR_INVALID_ARGUMENT,
				"a scale and shift of a binary_conv2d are not finite together");
	}
	k->m = m;
	k->b = b;
	return 0;
}

int plan_binary_constants(struct constants *constants, const struct kernels *kernels, const struct graph *g,
	const struct graph_op *op, struct kernel_binary_conv *k, struct err *err)
{
	const struct tensor *weights = &g->tensors[op->inputs[1]];
	size_t taps = (size_t)k->win.kernel_y * k->win.kernel_x, n = 0;
	uint64_t *packed = NULL;
	k->pad_value = op->pad_value;
	k->lo = op->clamp_lo;
	k->hi = op->clamp_hi;
	if (!kernels->binary_weights_size(k, &n))
		return err_set(err, ERR_RESOURCE_EXHAUSTED, "binary weights are too large");
	packed = constants_alloc(constants, n, sizeof *packed, err);
	if (!packed)
		return -ERR_RESOURCE_EXHAUSTED;
	kernels->pack_binary_weights(k, weights->data, packed);
	k->w = packed;
	int r = plan_scale(
		constants, &g->tensors[op->inputs[2]], &g->tensors[op->inputs[3]], (double)taps * k->win.in_c, k, err);
	if (!r)
		r = plan_pixels(constants, k, err);
	if (!r && !op->pad_value && (k->win.top || k->win.left || k->win.bottom || k->win.right))
		r = plan_border(constants, weights, k, err);
	return r;
}
