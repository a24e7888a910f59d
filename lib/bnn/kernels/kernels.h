/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/kernels.h: what a set of kernels computes, and in which shapes and layouts it wants its operands.
 *
 * Every set gives the same bits, floats included (NaN payloads aside): doc/NUMBERS.md says which, and what a kernel may
 * do. Activations are H x W x C floats without padding, or bits: per pixel (C + 63) / 64 words of 64, channel c is bit
 * c % 64 of word c / 64, pad bits 0 (in memory that is the file's run of 32-bit words, rounded up to an even number).
 * Kernels neither allocate nor fail, and touch nothing outside their operands: outputs never overlap inputs.
 * Constant vectors of a value a channel are padded with zeros to a multiple of KERNEL_PAD, and may be read to there.
 */
#pragma once

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each operation on floats is rounded to float by itself (16 says something of half floats alone). */
_Static_assert(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16, "floats are computed with more digits here");

enum { KERNEL_PAD = 64 };

static inline uint32_t kernel_words(uint32_t channels)
{
	return (channels + 63) / 64;
}

struct kernel_window {
	uint32_t in_h, in_w, in_c, out_h, out_w, out_c;
	uint32_t kernel_y, kernel_x, stride_y, stride_x, dilation_y, dilation_x;
	uint32_t top, left, bottom, right; /* pads */
};

/* conv2d, depthwise_conv2d (groups unused), dense (as a 1 x 1 convolution of one pixel).
 * acc = bias, then ky, kx, ci ascending acc = fma(x, w, acc), padded taps skipped; then the clamp, if there is one. */
struct kernel_conv {
	struct kernel_window win;
	uint32_t groups, multiplier;
	const float *w;    /* packed by pack_conv_weights for conv2d; depthwise: ky x kx x C, as in the file */
	const float *bias; /* a channel, zeros where the file has none */
	bool has_clamp;
	float lo, hi;
};

/* Which of the three rules a channel has: bits as in an activation, each channel in exactly one of the masks. */
struct kernel_sign {
	uint32_t channels;
	const float *t;
	const uint64_t *less, *greater, *less_equal;
};

/* Of K = ky kx I taps a differ. t = (float)clamp(2a, lo, hi), y = rnd(t * m), y = rnd(y + b); then, each where it is
 * there: y = residual + y; y = y < 0 ? y * slope : y; y stored; its signs stored. kernels_ref has no such stages. */
struct kernel_binary_conv {
	struct kernel_window win;
	int pad_value; /* +1, -1, or 0: a tap outside counts half a differing bit */
	int32_t lo, hi;
	const uint64_t *w; /* packed by pack_binary_weights */
	const float *m, *b;
	/* True zero padding, else NULL: `border[(row_class[oy] * n_column_classes + column_class[ox]) * stride + o]`, stride
	 * being out_c filled up to what the set packs at once, is added to 2a, which was counted with +1 outside. A class is
	 * a distinct set of taps inside the map. */
	const uint16_t *row_class, *column_class;
	uint32_t n_column_classes;
	const int32_t *border;
	const uint32_t *pixel; /* a pixel's first word in the ringed map, for each output pixel */
	const float *slope;
	const struct kernel_sign *sign;
};

struct kernel_pool {
	struct kernel_window win;
	bool count_padding;
};

/* concat: parts[i] has channels[i] channels; their sum is y's. */
struct kernel_concat {
	size_t n;
	const uint32_t *channels;
};

enum kernel_arithmetic { KERNEL_ADD, KERNEL_SUB, KERNEL_MUL };

/* A set: one function for each thing that a step can need. Put together in choose.c from parts (sets.h), the later of
 * which replace single functions of the earlier; whoever replaces a convolution replaces its packers with it. */
struct kernels {
	const char *name;
	bool fuses; /* conv2d and depthwise do clamps, binary_conv2d its later stages; false: those are steps */

	/* Weights of the file -> what this set's conv2d (binary_conv2d) reads in k->w, once, while loading. k is complete
	 * but for w, bias, m, b and what follows them. `ret` is zeroed and has as many floats (words) as the size says;
	 * false: the size does not fit. conv weights are aligned floats, binary ones the file's bytes at any address. */
	bool (*conv_weights_size)(const struct kernel_conv *k, size_t *ret_floats);
	void (*pack_conv_weights)(const struct kernel_conv *k, const float *w, float *ret);
	bool (*binary_weights_size)(const struct kernel_binary_conv *k, size_t *ret_words);
	void (*pack_binary_weights)(const struct kernel_binary_conv *k, const uint8_t *w, uint64_t *ret);

	void (*conv2d)(const struct kernel_conv *k, const float *x, float *y);
	void (*depthwise)(const struct kernel_conv *k, const float *x, float *y);
	void (*sign)(const struct kernel_sign *k, size_t n_pixels, const float *x, uint64_t *bits);
	size_t (*binary_scratch)(const struct kernel_binary_conv *k); /* bytes */
	/* residual NULL: none; y NULL: not stored (with k->sign only); bits only with k->sign. */
	void (*binary_conv2d)(const struct kernel_binary_conv *k, const uint64_t *x, const float *residual, float *y,
		uint64_t *bits, void *scratch);
	/* v: n_pixels * channels values, or one a channel with `vector` (a computed vector may end at `channels`). */
	void (*arithmetic)(enum kernel_arithmetic what, size_t n_pixels, uint32_t channels, bool vector, const float *x,
		const float *v, float *y);
	void (*clamp)(size_t n, float lo, float hi, const float *x, float *y);
	/* before and after: both or neither NULL. */
	void (*prelu)(size_t n_pixels, uint32_t channels, const float *slope, const float *before, const float *after,
		const float *x, float *y);
	void (*concat)(const struct kernel_concat *k, size_t n_pixels, const float *const *parts, float *y);
	void (*avg_pool)(const struct kernel_pool *k, const float *x, float *y);
	/* best = the first tap inside the map; then, ky, kx ascending, v > best ? v : best. */
	void (*max_pool)(const struct kernel_pool *k, const float *x, float *y);
	void (*mean)(size_t n_pixels, uint32_t channels, const float *x, float *y);
	/* m: one value a channel, and may end at `channels`. */
	void (*deviation)(size_t n_pixels, uint32_t channels, const float *x, const float *m, float *y);
	void (*sqrt)(size_t n, const float *x, float *y);
	void (*l2)(size_t n_pixels, uint32_t channels, const float *x, float *y);
};

/* Words of one row of the map with its ring of padding, and rows: as the packed sets lay it out. */
static inline size_t kernel_ring_words(const struct kernel_window *w)
{
	return (size_t)(w->in_w + w->left + w->right) * kernel_words(w->in_c);
}
static inline uint32_t kernel_ring_rows(const struct kernel_window *w)
{
	return w->in_h + w->top + w->bottom;
}
static inline uint32_t kernel_padded(uint32_t channels)
{
	return (channels + KERNEL_PAD - 1) / KERNEL_PAD * KERNEL_PAD;
}
