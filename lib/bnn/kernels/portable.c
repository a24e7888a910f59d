/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/portable.c: one source, compiled once per instruction set (meson.build), as a part of
 * the set KERNELS_SET: everything but bits, which are portable_binary.c's.
 *
 * Invariant: bit for bit ref.c. Vectors run across outputs, so each output's sum has the definition's order;
 * no lane ever adds to another. Convolutions work on tiles of CONV_TILE pixels x a block of outputs, whose weights are
 * neighbours (pack.c).
 */
#include "lib/bnn/kernels/portable.h"

#if defined(__x86_64__) && !defined(__AVX2__)
enum { CONV_TILE = 4, CONV_VECTORS = 2 };
#else
enum { CONV_TILE = 6, CONV_VECTORS = 2 };
#endif
enum { CONV_BLOCK = CONV_VECTORS * LANES };

/* ---- conv2d, dense ---- */

/* The taps of one output position that lie inside: kernel rows (columns) [first, end). */
struct span {
	uint32_t first, end;
};

static struct span taps_inside(
	uint32_t out, uint32_t stride, uint32_t kernel, uint32_t dilation, uint32_t before, uint32_t in)
{
	int64_t at = (int64_t)out * stride - before;
	struct span s = {0, kernel};
	while (s.first < kernel && at + (int64_t)s.first * dilation < 0)
		s.first++;
	while (s.end > s.first && at + (int64_t)(s.end - 1) * dilation >= in)
		s.end--;
	return s;
}

struct conv_tile {
	const struct kernel_conv *k;
	const float
		*x; /* the group's channels of the pixel under tap (0, 0) of the tile's first output: may be outside */
	const float *w;
	const float *bias;
	float *y;
	uint32_t group_in, n_out; /* channels of the input's group; outputs of this block */
	struct span ky, kx;
};

/* n neighbouring output pixels (n is a constant where this is inlined), one block of outputs. */
ALWAYS_INLINE void conv_tile(const struct conv_tile *t, const int n)
{
	const struct kernel_window *win = &t->k->win;
	const ptrdiff_t pixel = (ptrdiff_t)win->in_c * win->stride_x;
	vfloat acc[CONV_TILE][CONV_VECTORS];
	UNROLL for (int p = 0; p < n; p++) UNROLL for (int v = 0; v < CONV_VECTORS; v++) acc[p][v] =
		load_some(t->bias + v * LANES, LANES);
	for (uint32_t ky = t->ky.first; ky < t->ky.end; ky++)
		for (uint32_t kx = t->kx.first; kx < t->kx.end; kx++) {
			const float *x =
				t->x + ((ptrdiff_t)ky * win->dilation_y * win->in_w + (ptrdiff_t)kx * win->dilation_x) *
					       win->in_c;
			const float *w = t->w + ((size_t)ky * win->kernel_x + kx) * t->group_in * CONV_BLOCK;
			for (uint32_t i = 0; i < t->group_in; i++, w += CONV_BLOCK) {
				vfloat wv[CONV_VECTORS];
				UNROLL for (int v = 0; v < CONV_VECTORS; v++) wv[v] = load_floats(w + v * LANES);
				UNROLL for (int p = 0; p < n; p++)
				{
					vfloat xv = splat(x[p * pixel + i]);
					UNROLL for (int v = 0; v < CONV_VECTORS; v++) acc[p][v] =
						fused(xv, wv[v], acc[p][v]);
				}
			}
		}
	UNROLL for (int p = 0; p < n; p++) UNROLL for (int v = 0; v < CONV_VECTORS; v++)
	{
		vfloat r = acc[p][v];
		if ((uint32_t)(v * LANES) >= t->n_out)
			continue;
		if (t->k->has_clamp) {
			vfloat lo = splat(t->k->lo), hi = splat(t->k->hi);
			r = select_floats(r < lo, lo, select_floats(r > hi, hi, r));
		}
		store_some(t->y + (size_t)p * win->out_c + v * LANES, r, t->n_out - v * LANES);
	}
}

/* Functions of their own: inlined into the loops around them, gcc keeps the sums in memory. */
static __attribute__((noinline)) void conv_tile_whole(const struct conv_tile *t)
{
	conv_tile(t, CONV_TILE);
}

static __attribute__((noinline)) void conv_tile_one(const struct conv_tile *t)
{
	conv_tile(t, 1);
}

/* One row of outputs: borders pixel by pixel, between them whole tiles. */
static void conv_row(struct conv_tile *t, const float *row, float *y, uint32_t interior_first, uint32_t interior_end)
{
	const struct kernel_window *w = &t->k->win;
	for (uint32_t ox = 0; ox < w->out_w;) {
		t->x = row + ((ptrdiff_t)ox * w->stride_x - w->left) * w->in_c;
		t->y = y + (size_t)ox * w->out_c;
		if (ox >= interior_first && ox + CONV_TILE <= interior_end) {
			t->kx = (struct span){0, w->kernel_x};
			conv_tile_whole(t);
			ox += CONV_TILE;
		} else {
			t->kx = taps_inside(ox, w->stride_x, w->kernel_x, w->dilation_x, w->left, w->in_w);
			conv_tile_one(t);
			ox++;
		}
	}
}

static void conv_block(const struct kernel_conv *k, const float *x, float *y, struct conv_tile *t)
{
	const struct kernel_window *w = &k->win;
	uint32_t first = 0, end = w->out_w;
	while (first < end && taps_inside(first, w->stride_x, w->kernel_x, w->dilation_x, w->left, w->in_w).first)
		first++;
	while (end > first &&
		taps_inside(end - 1, w->stride_x, w->kernel_x, w->dilation_x, w->left, w->in_w).end < w->kernel_x)
		end--;
	for (uint32_t oy = 0; oy < w->out_h; oy++) {
		t->ky = taps_inside(oy, w->stride_y, w->kernel_y, w->dilation_y, w->top, w->in_h);
		ptrdiff_t row = ((ptrdiff_t)oy * w->stride_y - w->top) * w->in_w;
		conv_row(t, x + row * w->in_c, y + (size_t)oy * w->out_w * w->out_c, first, end);
	}
}

static void portable_conv2d(const struct kernel_conv *given, const float *x, float *y)
{
	struct kernel_conv k = *given;
	struct kernel_window *w = &k.win;
	/* A pointwise convolution sees one long row. */
	if (w->kernel_y == 1 && w->kernel_x == 1 && w->stride_y == 1 && w->stride_x == 1) {
		w->in_w = w->out_w = w->in_w * w->in_h;
		w->in_h = w->out_h = 1;
	}
	uint32_t group_in = w->in_c / k.groups, group_out = w->out_c / k.groups;
	size_t block_floats = (size_t)w->kernel_y * w->kernel_x * group_in * CONV_BLOCK;
	const float *weights = k.w;
	for (uint32_t g = 0; g < k.groups; g++)
		for (uint32_t o = 0; o < group_out; o += CONV_BLOCK, weights += block_floats) {
			float bias[CONV_BLOCK] = {0};
			uint32_t first = g * group_out + o, n = group_out - o < CONV_BLOCK ? group_out - o : CONV_BLOCK;
			memcpy(bias, k.bias + first, n * sizeof *bias);
			struct conv_tile t = {.k = &k, .w = weights, .bias = bias, .group_in = group_in, .n_out = n};
			conv_block(&k, x + (size_t)g * group_in, y + first, &t);
		}
}

/* ---- depthwise ---- */

static vfloat clamp_some(const struct kernel_conv *k, vfloat r)
{
	if (!k->has_clamp)
		return r;
	vfloat lo = splat(k->lo), hi = splat(k->hi);
	return select_floats(r < lo, lo, select_floats(r > hi, hi, r));
}

/* The inputs of n outputs from output o on: each input channel feeds `multiplier` of them. */
ALWAYS_INLINE vfloat depthwise_inputs(const float *x, uint32_t o, uint32_t multiplier, uint32_t n)
{
	if (multiplier == 1)
		return load_some(x + o, n);
	vfloat v = {0};
	for (uint32_t i = 0; i < n && i < (uint32_t)LANES; i++)
		v[i] = x[(o + i) / multiplier];
	return v;
}

static void portable_depthwise(const struct kernel_conv *k, const float *x, float *y)
{
	const struct kernel_window *w = &k->win;
	for (uint32_t oy = 0; oy < w->out_h; oy++) {
		struct span ry = taps_inside(oy, w->stride_y, w->kernel_y, w->dilation_y, w->top, w->in_h);
		for (uint32_t ox = 0; ox < w->out_w; ox++, y += w->out_c) {
			struct span rx = taps_inside(ox, w->stride_x, w->kernel_x, w->dilation_x, w->left, w->in_w);
			for (uint32_t o = 0; o < w->out_c; o += LANES) {
				uint32_t n = w->out_c - o;
				vfloat acc = load_floats(k->bias + o);
				for (uint32_t ky = ry.first; ky < ry.end; ky++)
					for (uint32_t kx = rx.first; kx < rx.end; kx++) {
						size_t iy =
							(size_t)oy * w->stride_y + (size_t)ky * w->dilation_y - w->top;
						size_t ix =
							(size_t)ox * w->stride_x + (size_t)kx * w->dilation_x - w->left;
						const float *px = x + (iy * w->in_w + ix) * w->in_c;
						const float *pw = k->w + ((size_t)ky * w->kernel_x + kx) * w->out_c + o;
						acc = fused(depthwise_inputs(px, o, k->multiplier, n), load_some(pw, n),
							acc);
					}
				store_some(y + o, clamp_some(k, acc), n);
			}
		}
	}
}

/* ---- a value a value ---- */

static void arithmetic_run(
	enum kernel_arithmetic what, size_t n, const float *restrict x, const float *restrict v, float *restrict y)
{
	if (what == KERNEL_ADD)
		for (size_t i = 0; i < n; i++)
			y[i] = x[i] + v[i];
	else if (what == KERNEL_SUB)
		for (size_t i = 0; i < n; i++)
			y[i] = x[i] - v[i];
	else
		for (size_t i = 0; i < n; i++)
			y[i] = x[i] * v[i];
}

static void portable_arithmetic(enum kernel_arithmetic what, size_t n_pixels, uint32_t channels, bool vector,
	const float *x, const float *v, float *y)
{
	if (!vector) {
		arithmetic_run(what, n_pixels * channels, x, v, y);
		return;
	}
	for (size_t p = 0; p < n_pixels; p++)
		arithmetic_run(what, channels, x + p * channels, v, y + p * channels);
}

static void portable_clamp(size_t n, float lo, float hi, const float *restrict x, float *restrict y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] < lo ? lo : x[i] > hi ? hi : x[i];
}

static void portable_prelu(size_t n_pixels, uint32_t channels, const float *slope, const float *before,
	const float *after, const float *x, float *y)
{
	for (size_t p = 0; p < n_pixels; p++, x += channels, y += channels)
		for (uint32_t c = 0; c < channels; c += LANES) {
			vfloat v = load_some(x + c, channels - c);
			if (before)
				v = v + load_floats(before + c);
			v = select_floats(v < (vfloat){0}, v * load_floats(slope + c), v);
			if (after)
				v = v + load_floats(after + c);
			store_some(y + c, v, channels - c);
		}
}

static void portable_sqrt(size_t n, const float *restrict x, float *restrict y)
{
	for (size_t i = 0; i < n; i++) {
		float root = sqrtf(x[i]);
		y[i] = x[i] <= 0 ? 0 : root;
	}
}

/* ---- sums ---- */

ALWAYS_INLINE vfloat sums_total(const vfloat s[8])
{
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* The window's taps inside the map, LANES channels at a time. */
static vfloat pool_lanes(const struct kernel_window *w, const float *x, struct span ry, struct span rx, uint32_t n)
{
	vfloat s[8] = {{0}};
	uint32_t i = 0;
	for (uint32_t ky = ry.first; ky < ry.end; ky++)
		for (uint32_t kx = rx.first; kx < rx.end; kx++, i++) {
			ptrdiff_t at = (ptrdiff_t)ky * w->dilation_y * w->in_w + (ptrdiff_t)kx * w->dilation_x;
			s[i % 8] += load_some(x + at * w->in_c, n);
		}
	return sums_total(s);
}

static void portable_avg_pool(const struct kernel_pool *k, const float *x, float *y)
{
	const struct kernel_window *w = &k->win;
	for (uint32_t oy = 0; oy < w->out_h; oy++) {
		struct span ry = taps_inside(oy, w->stride_y, w->kernel_y, w->dilation_y, w->top, w->in_h);
		for (uint32_t ox = 0; ox < w->out_w; ox++, y += w->out_c) {
			struct span rx = taps_inside(ox, w->stride_x, w->kernel_x, w->dilation_x, w->left, w->in_w);
			ptrdiff_t at = ((ptrdiff_t)oy * w->stride_y - w->top) * w->in_w +
				       ((ptrdiff_t)ox * w->stride_x - w->left);
			uint32_t n = k->count_padding ? w->kernel_y * w->kernel_x
						      : (ry.end - ry.first) * (rx.end - rx.first);
			vfloat divisor = splat((float)n);
			for (uint32_t c = 0; c < w->out_c; c += LANES)
				store_some(y + c, pool_lanes(w, x + at * w->in_c + c, ry, rx, w->out_c - c) / divisor,
					w->out_c - c);
		}
	}
}

/* The window's taps inside the map; there is one (check.c). */
static vfloat most_lanes(const struct kernel_window *w, const float *x, struct span ry, struct span rx, uint32_t n)
{
	ptrdiff_t first = (ptrdiff_t)ry.first * w->dilation_y * w->in_w + (ptrdiff_t)rx.first * w->dilation_x;
	vfloat best = load_some(x + first * w->in_c, n);
	for (uint32_t ky = ry.first; ky < ry.end; ky++)
		for (uint32_t kx = rx.first; kx < rx.end; kx++) {
			ptrdiff_t at = (ptrdiff_t)ky * w->dilation_y * w->in_w + (ptrdiff_t)kx * w->dilation_x;
			vfloat v = load_some(x + at * w->in_c, n);
			best = select_floats(v > best, v, best);
		}
	return best;
}

static void portable_max_pool(const struct kernel_pool *k, const float *x, float *y)
{
	const struct kernel_window *w = &k->win;
	for (uint32_t oy = 0; oy < w->out_h; oy++) {
		struct span ry = taps_inside(oy, w->stride_y, w->kernel_y, w->dilation_y, w->top, w->in_h);
		for (uint32_t ox = 0; ox < w->out_w; ox++, y += w->out_c) {
			struct span rx = taps_inside(ox, w->stride_x, w->kernel_x, w->dilation_x, w->left, w->in_w);
			ptrdiff_t at = ((ptrdiff_t)oy * w->stride_y - w->top) * w->in_w +
				       ((ptrdiff_t)ox * w->stride_x - w->left);
			for (uint32_t c = 0; c < w->out_c; c += LANES)
				store_some(
					y + c, most_lanes(w, x + at * w->in_c + c, ry, rx, w->out_c - c), w->out_c - c);
		}
	}
}

static void portable_concat(const struct kernel_concat *k, size_t n_pixels, const float *const *parts, float *y)
{
	for (size_t p = 0; p < n_pixels; p++)
		for (size_t i = 0; i < k->n; i++) {
			memcpy(y, parts[i] + p * k->channels[i], k->channels[i] * sizeof *y);
			y += k->channels[i];
		}
}

/* Statistics of a map read its pixels in the order of memory, so that a line of cache is read once: up to
 * STATISTIC_CHANNELS have their eight sums at the same time. */
enum { STATISTIC_CHANNELS = 64, STATISTIC_VECTORS = 4 };

/* sum += x, or += the squares of x - m; n vectors side by side, for a core that keeps its order. */
ALWAYS_INLINE void add_vectors(float *sum, const float *x, const float *m, const bool squares, const int n)
{
	vfloat v[STATISTIC_VECTORS];
	UNROLL for (int i = 0; i < n; i++) v[i] = load_floats(x + i * LANES);
	UNROLL for (int i = 0; i < n && squares; i++) v[i] = v[i] - load_floats(m + i * LANES);
	UNROLL for (int i = 0; i < n && squares; i++) v[i] = v[i] * v[i];
	UNROLL for (int i = 0; i < n; i++) v[i] = load_floats(sum + i * LANES) + v[i];
	UNROLL for (int i = 0; i < n; i++) store_floats(sum + i * LANES, v[i]);
}

/* sum8 of each of n channels over all pixels: of x, or of the squares of x - m. */
ALWAYS_INLINE void sum_pixels(
	size_t n_pixels, uint32_t channels, uint32_t n, const float *x, const float *m, const bool squares, float *ret)
{
	float s[8][STATISTIC_CHANNELS] = {{0}};
	for (size_t p = 0; p < n_pixels; p++, x += channels) {
		float *sum = s[p % 8];
		uint32_t c = 0;
		for (; c + STATISTIC_VECTORS * LANES <= n; c += STATISTIC_VECTORS * LANES)
			add_vectors(sum + c, x + c, m + c, squares, STATISTIC_VECTORS);
		for (; c + LANES <= n; c += LANES)
			add_vectors(sum + c, x + c, m + c, squares, 1);
		for (; c < n; c++) {
			float v = squares ? x[c] - m[c] : x[c];
			sum[c] += squares ? v * v : v;
		}
	}
	for (uint32_t c = 0; c < n; c++)
		ret[c] = ((s[0][c] + s[4][c]) + (s[2][c] + s[6][c])) + ((s[1][c] + s[5][c]) + (s[3][c] + s[7][c]));
}

static void portable_mean(size_t n_pixels, uint32_t channels, const float *x, float *y)
{
	for (uint32_t c = 0; c < channels; c += STATISTIC_CHANNELS) {
		uint32_t n = channels - c < STATISTIC_CHANNELS ? channels - c : STATISTIC_CHANNELS;
		sum_pixels(n_pixels, channels, n, x + c, x + c, false, y + c);
	}
	for (uint32_t c = 0; c < channels; c++)
		y[c] /= (float)n_pixels;
}

static void portable_deviation(size_t n_pixels, uint32_t channels, const float *x, const float *m, float *y)
{
	for (uint32_t c = 0; c < channels; c += STATISTIC_CHANNELS) {
		uint32_t n = channels - c < STATISTIC_CHANNELS ? channels - c : STATISTIC_CHANNELS;
		sum_pixels(n_pixels, channels, n, x + c, m + c, true, y + c);
	}
	for (uint32_t c = 0; c < channels; c++)
		y[c] = sqrtf(y[c] / (float)n_pixels);
}

static float square_sum(uint32_t channels, const float *x)
{
	float s[8] = {0};
	uint32_t c = 0;
	for (; c + 8 <= channels; c += 8)
		for (uint32_t i = 0; i < 8; i++)
			s[i] += x[c + i] * x[c + i];
	for (uint32_t i = 0; c < channels; c++, i++)
		s[i] += x[c] * x[c];
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static void portable_l2(size_t n_pixels, uint32_t channels, const float *restrict x, float *restrict y)
{
	for (size_t p = 0; p < n_pixels; p++, x += channels, y += channels) {
		float total = square_sum(channels, x), length = sqrtf(total);
		for (uint32_t c = 0; c < channels; c++)
			y[c] = total == 0 ? 0 : x[c] / length;
	}
}

static bool portable_conv_weights_size(const struct kernel_conv *k, size_t *ret_floats)
{
	return pack_conv_size(k, CONV_BLOCK, ret_floats);
}

static void portable_pack_conv_weights(const struct kernel_conv *k, const float *w, float *ret)
{
	pack_conv(k, CONV_BLOCK, w, ret);
}

void PORTABLE(floats)(struct kernels *io_set)
{
	io_set->fuses = true;
	io_set->conv_weights_size = portable_conv_weights_size;
	io_set->pack_conv_weights = portable_pack_conv_weights;
	io_set->conv2d = portable_conv2d;
	io_set->depthwise = portable_depthwise;
	io_set->arithmetic = portable_arithmetic;
	io_set->clamp = portable_clamp;
	io_set->prelu = portable_prelu;
	io_set->concat = portable_concat;
	io_set->avg_pool = portable_avg_pool;
	io_set->max_pool = portable_max_pool;
	io_set->mean = portable_mean;
	io_set->deviation = portable_deviation;
	io_set->sqrt = portable_sqrt;
	io_set->l2 = portable_l2;
}
