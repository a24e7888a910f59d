/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/portable_binary.c: signs and binary convolutions of the portable sets; see portable.c.
 *
 * A convolution copies its map into a ring of padding, counts the differing bits of CHUNK_PIXELS pixels for all
 * outputs, and hands the counts, still in the first-level cache, to the epilogue, which reads residual and constants
 * and writes floats and signs. Tiles of pixels may count a pixel twice at the end, which is harmless there: only the
 * epilogue adds the residual.
 */
#include "lib/base/memory.h"
#include "lib/bnn/kernels/portable.h"

/* Pixels x vectors of outputs of a tile: the sums, the weights and a pixel's value stay in registers. */
#if defined(__AVX512F__) || defined(__AVX2__)
enum { BINARY_TILE = 4, BINARY_VECTORS = 2 };
#elif defined(__aarch64__)
enum { BINARY_TILE = 4, BINARY_VECTORS = 4 };
#else
enum { BINARY_TILE = 2, BINARY_VECTORS = 2 };
#endif
enum {
	BINARY_BLOCK = BINARY_VECTORS * WORD_LANES,
	CHUNK_PIXELS = 32,
};

/* ---- sign ---- */

/* Bits of LANES channels from channel c on; masks and t reach to KERNEL_PAD. */
ALWAYS_INLINE uint64_t sign_lanes(const struct kernel_sign *k, uint32_t c, vfloat x)
{
	vfloat t = load_floats(k->t + c);
	uint64_t lanes = ((uint64_t)1 << LANES) - 1;
	uint64_t less = k->less[c / 64] >> c % 64 & lanes, greater = k->greater[c / 64] >> c % 64 & lanes;
	uint64_t less_equal = k->less_equal[c / 64] >> c % 64 & lanes, bits = 0;
	if (less)
		bits |= less & mask_bits(x < t);
	if (greater)
		bits |= greater & mask_bits(x > t);
	if (less_equal)
		bits |= less_equal & mask_bits(x <= t);
	return bits;
}

static void portable_sign(const struct kernel_sign *k, size_t n_pixels, const float *x, uint64_t *bits)
{
	for (size_t p = 0; p < n_pixels; p++, x += k->channels)
		for (uint32_t at = 0; at < k->channels; at += 64) {
			uint64_t word = 0;
			for (uint32_t c = at; c < at + 64 && c < k->channels; c += LANES)
				word |= sign_lanes(k, c, load_some(x + c, k->channels - c)) << c % 64;
			*bits++ = word;
		}
}

/* ---- binary convolution ---- */

static bool has_ring(const struct kernel_window *w)
{
	return w->top || w->left || w->bottom || w->right;
}

static size_t ring_bytes(const struct kernel_window *w)
{
	size_t bytes = has_ring(w) ? kernel_ring_words(w) * kernel_ring_rows(w) * sizeof(uint64_t) : 0;
	return (bytes + MEM_ALIGN_BYTES - 1) / MEM_ALIGN_BYTES * MEM_ALIGN_BYTES;
}

static uint32_t counts_stride(const struct kernel_window *w)
{
	return (w->out_c + KERNEL_PAD - 1) / KERNEL_PAD * KERNEL_PAD;
}

static size_t portable_binary_scratch(const struct kernel_binary_conv *k)
{
	return ring_bytes(&k->win) + (size_t)CHUNK_PIXELS * counts_stride(&k->win) * sizeof(int32_t);
}

/* n pixels of padding: +1 is bits 0; -1 is bits 1 in the channels that there are. */
static uint64_t *put_padding(uint64_t *to, size_t n, uint32_t channels, bool ones)
{
	uint32_t words = kernel_words(channels);
	for (size_t p = 0; p < n; p++)
		for (uint32_t i = 0; i < words; i++) {
			uint32_t left = channels - i * 64;
			*to++ = !ones ? 0 : left >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
		}
	return to;
}

static void fill_ring(const struct kernel_binary_conv *k, const uint64_t *x, uint64_t *to)
{
	const struct kernel_window *w = &k->win;
	size_t row = (size_t)w->in_w * kernel_words(w->in_c), ring_width = (size_t)w->in_w + w->left + w->right;
	bool ones = k->pad_value < 0;
	to = put_padding(to, ring_width * w->top, w->in_c, ones);
	for (uint32_t y = 0; y < w->in_h; y++, x += row) {
		to = put_padding(to, w->left, w->in_c, ones);
		memcpy(to, x, row * sizeof *to);
		to = put_padding(to + row, w->right, w->in_c, ones);
	}
	put_padding(to, ring_width * w->bottom, w->in_c, ones);
}

struct binary_tile {
	const uint64_t *x[BINARY_TILE]; /* of each pixel, under tap (0, 0) */
	const uint64_t *w;
	size_t row, step;   /* words from a tap to the one below, and beside it */
	uint32_t runs, run; /* words that follow one another: `runs` times a kernel row, `run` words each */
	uint32_t rows;
};

/* ret[p][v]: differing bits of pixel p and the outputs of vector v. */
static __attribute__((noinline)) void binary_tile(const struct binary_tile *t, vword ret[BINARY_TILE][BINARY_VECTORS])
{
	vword counts[BINARY_TILE][BINARY_VECTORS], total[BINARY_TILE][BINARY_VECTORS];
	const uint64_t *w = t->w;
	uint32_t room = COUNTS_MAX;
	UNROLL for (int p = 0; p < BINARY_TILE; p++) UNROLL for (int v = 0; v < BINARY_VECTORS; v++) counts[p][v] =
		total[p][v] = (vword){0};
	for (uint32_t ky = 0; ky < t->rows; ky++)
		for (uint32_t r = 0; r < t->runs; r++) {
			size_t at = ky * t->row + r * t->step, end = at + t->run;
			while (at < end) {
				size_t stop = end - at < room ? end : at + room;
				room -= (uint32_t)(stop - at);
				for (; at < stop; at++, w += BINARY_BLOCK) {
					vword wv[BINARY_VECTORS];
					UNROLL for (int v = 0; v < BINARY_VECTORS; v++) wv[v] =
						*(const vword_memory *)(w + v * WORD_LANES);
					UNROLL for (int p = 0; p < BINARY_TILE; p++)
						UNROLL for (int v = 0; v < BINARY_VECTORS; v++) counts[p][v] =
							add_counts(counts[p][v], count_bits(wv[v] ^ t->x[p][at]));
				}
				if (!room) {
					UNROLL for (int p = 0; p < BINARY_TILE; p++)
						UNROLL for (int v = 0; v < BINARY_VECTORS; v++)
					{
						total[p][v] += words_of_counts(counts[p][v]);
						counts[p][v] = (vword){0};
					}
					room = COUNTS_MAX;
				}
			}
		}
	UNROLL for (int p = 0; p < BINARY_TILE; p++) UNROLL for (int v = 0; v < BINARY_VECTORS; v++) ret[p][v] =
		total[p][v] + words_of_counts(counts[p][v]);
}

/* counts[p * stride + o] = differing bits, for n pixels from `pixel` on and all outputs, those of the last block's
 * filling included. */
static void count_chunk(
	const struct kernel_binary_conv *k, const uint64_t *x, const uint32_t *pixel, uint32_t n, int32_t *counts)
{
	const struct kernel_window *win = &k->win;
	uint32_t words = kernel_words(win->in_c), stride = counts_stride(win);
	size_t block_words = (size_t)win->kernel_y * win->kernel_x * words * BINARY_BLOCK;
	bool joined = win->dilation_x == 1;
	struct binary_tile t = {.row = kernel_ring_words(win) * win->dilation_y,
		.step = (size_t)words * win->dilation_x,
		.runs = joined ? 1 : win->kernel_x,
		.run = joined ? words * win->kernel_x : words,
		.rows = win->kernel_y,
		.w = k->w};
	for (uint32_t o = 0; o < win->out_c; o += BINARY_BLOCK, t.w += block_words)
		for (uint32_t first = 0; first < n; first += BINARY_TILE) {
			uint32_t at[BINARY_TILE];
			vword result[BINARY_TILE][BINARY_VECTORS];
			for (uint32_t p = 0; p < BINARY_TILE; p++) {
				at[p] = first + p < n ? first + p : n - 1;
				t.x[p] = x + pixel[at[p]];
			}
			binary_tile(&t, result);
			for (uint32_t p = 0; p < BINARY_TILE; p++)
				for (uint32_t i = 0; i < BINARY_BLOCK; i++)
					counts[(size_t)at[p] * stride + o + i] =
						(int32_t)result[p][i / WORD_LANES][i % WORD_LANES];
		}
}

struct epilogue {
	const struct kernel_binary_conv *k;
	const int32_t *counts, *border; /* of one pixel; border may be NULL */
	const float *residual;          /* may be NULL, as y and bits */
	float *y;
	uint64_t *bits;
};

ALWAYS_INLINE vfloat epilogue_lanes(const struct epilogue *e, uint32_t c, uint32_t n)
{
	const struct kernel_binary_conv *k = e->k;
	const vint zero = {0};
	vint twice = *(const vint_memory *)(e->counts + c) * 2, lo = zero + k->lo, hi = zero + k->hi;
	if (e->border)
		twice += *(const vint_memory *)(e->border + c);
	twice = select_ints(twice < lo, lo, select_ints(twice > hi, hi, twice));
	vfloat v = __builtin_convertvector(twice, vfloat) * load_floats(k->m + c);
	v = v + load_floats(k->b + c);
	if (e->residual)
		v = load_some(e->residual + c, n) + v;
	if (k->slope)
		v = select_floats(v < (vfloat){0}, v * load_floats(k->slope + c), v);
	return v;
}

static void epilogue_pixel(const struct epilogue *e)
{
	uint32_t channels = e->k->win.out_c;
	for (uint32_t at = 0; at < channels; at += 64) {
		uint64_t word = 0;
		for (uint32_t c = at; c < at + 64 && c < channels; c += LANES) {
			vfloat v = epilogue_lanes(e, c, channels - c);
			if (e->y)
				store_some(e->y + c, v, channels - c);
			if (e->bits)
				word |= sign_lanes(e->k->sign, c, v) << c % 64;
		}
		if (e->bits)
			e->bits[at / 64] = word;
	}
}

static void portable_binary_conv2d(const struct kernel_binary_conv *k, const uint64_t *x, const float *residual,
	float *y, uint64_t *bits, void *scratch)
{
	const struct kernel_window *w = &k->win;
	uint32_t stride = counts_stride(w), words_out = kernel_words(w->out_c);
	size_t n_pixels = (size_t)w->out_h * w->out_w;
	int32_t *counts = (int32_t *)((uint8_t *)scratch + ring_bytes(w));
	if (has_ring(w)) {
		fill_ring(k, x, scratch);
		x = scratch;
	}
	for (size_t first = 0; first < n_pixels; first += CHUNK_PIXELS) {
		uint32_t n = n_pixels - first < CHUNK_PIXELS ? (uint32_t)(n_pixels - first) : CHUNK_PIXELS;
		count_chunk(k, x, k->pixel + first, n, counts);
		for (uint32_t i = 0; i < n; i++) {
			size_t p = first + i;
			struct epilogue e = {.k = k,
				.counts = counts + (size_t)i * stride,
				.residual = residual ? residual + p * w->out_c : NULL,
				.y = y ? y + p * w->out_c : NULL,
				.bits = bits ? bits + p * words_out : NULL};
			if (k->border)
				e.border = k->border + ((size_t)k->row_class[p / w->out_w] * k->n_column_classes +
							       k->column_class[p % w->out_w]) *
							       stride;
			epilogue_pixel(&e);
		}
	}
}

static bool portable_binary_weights_size(const struct kernel_binary_conv *k, size_t *ret_words)
{
	return pack_binary_size(k, BINARY_BLOCK, ret_words);
}

static void portable_pack_binary_weights(const struct kernel_binary_conv *k, const uint8_t *w, uint64_t *ret)
{
	pack_binary(k, BINARY_BLOCK, w, ret);
}

void PORTABLE(binary)(struct kernels *io_set)
{
	io_set->binary_weights_size = portable_binary_weights_size;
	io_set->pack_binary_weights = portable_pack_binary_weights;
	io_set->sign = portable_sign;
	io_set->binary_scratch = portable_binary_scratch;
	io_set->binary_conv2d = portable_binary_conv2d;
}
