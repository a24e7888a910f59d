/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/ref.c: the plain oracle. Each operation as doc/NUMBERS.md defines it, a loop a line of the
 * definition, no layout and no fusion. All other kernels are tested to give these bits.
 */
#include <math.h>
#include <string.h>

#include "lib/base/require.h"
#include "lib/bnn/kernels/pack.h"
#include "lib/bnn/kernels/sets.h"

/* Input row (column) of tap k for output position out; false: outside the map. */
static bool tap(
	uint32_t out, uint32_t stride, uint32_t k, uint32_t dilation, uint32_t before, uint32_t in, uint32_t *ret)
{
	int64_t at = (int64_t)out * stride + (int64_t)k * dilation - before;
	*ret = (uint32_t)at;
	return at >= 0 && at < in;
}

static float clamped(const struct kernel_conv *k, float v)
{
	if (!k->has_clamp)
		return v;
	return v < k->lo ? k->lo : v > k->hi ? k->hi : v;
}

static void ref_conv2d(const struct kernel_conv *k, const float *x, float *y)
{
	const struct kernel_window *w = &k->win;
	uint32_t group_in = w->in_c / k->groups, group_out = w->out_c / k->groups, iy, ix;
	for (uint32_t oy = 0; oy < w->out_h; oy++)
		for (uint32_t ox = 0; ox < w->out_w; ox++)
			for (uint32_t o = 0; o < w->out_c; o++) {
				float acc = k->bias[o];
				for (uint32_t ky = 0; ky < w->kernel_y; ky++)
					for (uint32_t kx = 0; kx < w->kernel_x; kx++) {
						if (!tap(oy, w->stride_y, ky, w->dilation_y, w->top, w->in_h, &iy) ||
							!tap(ox, w->stride_x, kx, w->dilation_x, w->left, w->in_w, &ix))
							continue;
						const float *px = x + ((size_t)iy * w->in_w + ix) * w->in_c +
								  o / group_out * group_in;
						const float *pw =
							k->w +
							(((size_t)o * w->kernel_y + ky) * w->kernel_x + kx) * group_in;
						for (uint32_t i = 0; i < group_in; i++)
							acc = fmaf(px[i], pw[i], acc);
					}
				y[((size_t)oy * w->out_w + ox) * w->out_c + o] = clamped(k, acc);
			}
}

static void ref_depthwise(const struct kernel_conv *k, const float *x, float *y)
{
	const struct kernel_window *w = &k->win;
	uint32_t iy, ix;
	for (uint32_t oy = 0; oy < w->out_h; oy++)
		for (uint32_t ox = 0; ox < w->out_w; ox++)
			for (uint32_t o = 0; o < w->out_c; o++) {
				float acc = k->bias[o];
				for (uint32_t ky = 0; ky < w->kernel_y; ky++)
					for (uint32_t kx = 0; kx < w->kernel_x; kx++)
						if (tap(oy, w->stride_y, ky, w->dilation_y, w->top, w->in_h, &iy) &&
							tap(ox, w->stride_x, kx, w->dilation_x, w->left, w->in_w, &ix))
							acc = fmaf(x[((size_t)iy * w->in_w + ix) * w->in_c +
									   o / k->multiplier],
								k->w[((size_t)ky * w->kernel_x + kx) * w->out_c + o],
								acc);
				y[((size_t)oy * w->out_w + ox) * w->out_c + o] = clamped(k, acc);
			}
}

static bool mask_bit(const uint64_t *mask, uint32_t c)
{
	return mask[c / 64] >> c % 64 & 1;
}

static void ref_sign(const struct kernel_sign *k, size_t n_pixels, const float *x, uint64_t *bits)
{
	uint32_t words = kernel_words(k->channels);
	memset(bits, 0, n_pixels * words * sizeof *bits);
	for (size_t p = 0; p < n_pixels; p++)
		for (uint32_t c = 0; c < k->channels; c++) {
			float v = x[p * k->channels + c], t = k->t[c];
			bool bit = mask_bit(k->less, c) ? v < t : mask_bit(k->greater, c) ? v > t : v <= t;
			bits[p * words + c / 64] |= (uint64_t)bit << c % 64;
		}
}

static size_t ref_binary_scratch(const struct kernel_binary_conv *k)
{
	(void)k;
	return 0;
}

/* Twice the differing bits of one tap: padding +1 differs where the weight is -1 (bit 1), -1 where it is +1, a true
 * zero by half a bit a channel. */
static int32_t tap_twice(const struct kernel_binary_conv *k, const uint64_t *px, const uint64_t *pw)
{
	int32_t differing = 0;
	uint32_t words = kernel_words(k->win.in_c);
	if (!px && !k->pad_value)
		return (int32_t)k->win.in_c;
	for (uint32_t i = 0; i < words; i++)
		differing += __builtin_popcountll(px ? px[i] ^ pw[i] : pw[i]);
	if (!px && k->pad_value < 0)
		differing = (int32_t)k->win.in_c - differing;
	return 2 * differing;
}

static void ref_binary_conv2d(const struct kernel_binary_conv *k, const uint64_t *x, const float *residual, float *y,
	uint64_t *bits, void *scratch)
{
	const struct kernel_window *w = &k->win;
	uint32_t words = kernel_words(w->in_c), iy, ix;
	(void)scratch;
	REQUIRE(!residual && !bits && !k->slope && !k->sign);
	for (uint32_t oy = 0; oy < w->out_h; oy++)
		for (uint32_t ox = 0; ox < w->out_w; ox++)
			for (uint32_t o = 0; o < w->out_c; o++) {
				int32_t twice = 0;
				for (uint32_t ky = 0; ky < w->kernel_y; ky++)
					for (uint32_t kx = 0; kx < w->kernel_x; kx++) {
						bool inside =
							tap(oy, w->stride_y, ky, w->dilation_y, w->top, w->in_h, &iy) &&
							tap(ox, w->stride_x, kx, w->dilation_x, w->left, w->in_w, &ix);
						const uint64_t *pw =
							k->w +
							(((size_t)o * w->kernel_y + ky) * w->kernel_x + kx) * words;
						twice += tap_twice(
							k, inside ? x + ((size_t)iy * w->in_w + ix) * words : NULL, pw);
					}
				float t = (float)(twice < k->lo ? k->lo : twice > k->hi ? k->hi : twice);
				float v = t * k->m[o];
				y[((size_t)oy * w->out_w + ox) * w->out_c + o] = v + k->b[o];
			}
}

static void ref_arithmetic(enum kernel_arithmetic what, size_t n_pixels, uint32_t channels, bool vector, const float *x,
	const float *v, float *y)
{
	for (size_t i = 0; i < n_pixels * channels; i++) {
		float a = x[i], b = v[vector ? i % channels : i];
		y[i] = what == KERNEL_ADD ? a + b : what == KERNEL_SUB ? a - b : a * b;
	}
}

static void ref_clamp(size_t n, float lo, float hi, const float *x, float *y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] < lo ? lo : x[i] > hi ? hi : x[i];
}

static void ref_prelu(size_t n_pixels, uint32_t channels, const float *slope, const float *before, const float *after,
	const float *x, float *y)
{
	for (size_t i = 0; i < n_pixels * channels; i++) {
		uint32_t c = (uint32_t)(i % channels);
		float v = before ? x[i] + before[c] : x[i];
		v = v < 0 ? v * slope[c] : v;
		y[i] = after ? v + after[c] : v;
	}
}

/* Eight interleaved partial sums, the i-th value into i mod 8. */
struct sums {
	float s[8];
	uint32_t n;
};

static void sums_add(struct sums *sums, float v)
{
	sums->s[sums->n++ % 8] += v;
}

static float sums_total(const struct sums *sums)
{
	const float *s = sums->s;
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static void ref_avg_pool(const struct kernel_pool *k, const float *x, float *y)
{
	const struct kernel_window *w = &k->win;
	uint32_t iy, ix;
	for (uint32_t oy = 0; oy < w->out_h; oy++)
		for (uint32_t ox = 0; ox < w->out_w; ox++)
			for (uint32_t c = 0; c < w->out_c; c++) {
				struct sums sums = {{0}, 0};
				for (uint32_t ky = 0; ky < w->kernel_y; ky++)
					for (uint32_t kx = 0; kx < w->kernel_x; kx++)
						if (tap(oy, w->stride_y, ky, w->dilation_y, w->top, w->in_h, &iy) &&
							tap(ox, w->stride_x, kx, w->dilation_x, w->left, w->in_w, &ix))
							sums_add(&sums, x[((size_t)iy * w->in_w + ix) * w->in_c + c]);
				uint32_t n = k->count_padding ? w->kernel_y * w->kernel_x : sums.n;
				y[((size_t)oy * w->out_w + ox) * w->out_c + c] = sums_total(&sums) / (float)n;
			}
}

static void ref_max_pool(const struct kernel_pool *k, const float *x, float *y)
{
	const struct kernel_window *w = &k->win;
	uint32_t iy, ix;
	for (uint32_t oy = 0; oy < w->out_h; oy++)
		for (uint32_t ox = 0; ox < w->out_w; ox++)
			for (uint32_t c = 0; c < w->out_c; c++) {
				bool first = true;
				float best = 0;
				for (uint32_t ky = 0; ky < w->kernel_y; ky++)
					for (uint32_t kx = 0; kx < w->kernel_x; kx++) {
						if (!tap(oy, w->stride_y, ky, w->dilation_y, w->top, w->in_h, &iy) ||
							!tap(ox, w->stride_x, kx, w->dilation_x, w->left, w->in_w, &ix))
							continue;
						float v = x[((size_t)iy * w->in_w + ix) * w->in_c + c];
						best = first || v > best ? v : best;
						first = false;
					}
				y[((size_t)oy * w->out_w + ox) * w->out_c + c] = best;
			}
}

static void ref_concat(const struct kernel_concat *k, size_t n_pixels, const float *const *parts, float *y)
{
	for (size_t p = 0; p < n_pixels; p++)
		for (size_t i = 0; i < k->n; i++)
			for (uint32_t c = 0; c < k->channels[i]; c++)
				*y++ = parts[i][p * k->channels[i] + c];
}

static void ref_mean(size_t n_pixels, uint32_t channels, const float *x, float *y)
{
	for (uint32_t c = 0; c < channels; c++) {
		struct sums sums = {{0}, 0};
		for (size_t p = 0; p < n_pixels; p++)
			sums_add(&sums, x[p * channels + c]);
		y[c] = sums_total(&sums) / (float)n_pixels;
	}
}

static void ref_deviation(size_t n_pixels, uint32_t channels, const float *x, const float *m, float *y)
{
	for (uint32_t c = 0; c < channels; c++) {
		struct sums sums = {{0}, 0};
		for (size_t p = 0; p < n_pixels; p++) {
			float d = x[p * channels + c] - m[c];
			sums_add(&sums, d * d);
		}
		y[c] = sqrtf(sums_total(&sums) / (float)n_pixels);
	}
}

static void ref_sqrt(size_t n, const float *x, float *y)
{
	for (size_t i = 0; i < n; i++)
		y[i] = x[i] <= 0 ? 0 : sqrtf(x[i]);
}

static void ref_l2(size_t n_pixels, uint32_t channels, const float *x, float *y)
{
	for (size_t p = 0; p < n_pixels; p++, x += channels, y += channels) {
		struct sums sums = {{0}, 0};
		for (uint32_t c = 0; c < channels; c++)
			sums_add(&sums, x[c] * x[c]);
		float total = sums_total(&sums), length = sqrtf(total);
		for (uint32_t c = 0; c < channels; c++)
			y[c] = total == 0 ? 0 : x[c] / length;
	}
}

/* The file's order of weights is the plain loops' own. */
static bool ref_conv_weights_size(const struct kernel_conv *k, size_t *ret_floats)
{
	return pack_conv_size(k, 1, ret_floats);
}

static void ref_pack_conv_weights(const struct kernel_conv *k, const float *w, float *ret)
{
	pack_conv(k, 1, w, ret);
}

static bool ref_binary_weights_size(const struct kernel_binary_conv *k, size_t *ret_words)
{
	return pack_binary_size(k, 1, ret_words);
}

static void ref_pack_binary_weights(const struct kernel_binary_conv *k, const uint8_t *w, uint64_t *ret)
{
	pack_binary(k, 1, w, ret);
}

void kernels_ref(struct kernels *io_set)
{
	*io_set = (struct kernels){
		.name = io_set->name,
		.conv_weights_size = ref_conv_weights_size,
		.pack_conv_weights = ref_pack_conv_weights,
		.binary_weights_size = ref_binary_weights_size,
		.pack_binary_weights = ref_pack_binary_weights,
		.conv2d = ref_conv2d,
		.depthwise = ref_depthwise,
		.sign = ref_sign,
		.binary_scratch = ref_binary_scratch,
		.binary_conv2d = ref_binary_conv2d,
		.arithmetic = ref_arithmetic,
		.clamp = ref_clamp,
		.prelu = ref_prelu,
		.concat = ref_concat,
		.avg_pool = ref_avg_pool,
		.max_pool = ref_max_pool,
		.mean = ref_mean,
		.deviation = ref_deviation,
		.sqrt = ref_sqrt,
		.l2 = ref_l2,
	};
}
