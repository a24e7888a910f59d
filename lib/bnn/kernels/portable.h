/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/portable.h: what the two halves of the portable source share. Compiled once per instruction set: names
 * that the linker sees end with the set's. */
#pragma once

#include "lib/bnn/kernels/sets.h"
#include "lib/bnn/kernels/vector.h"

#define PORTABLE_JOIN(set, name) set##_##name
#define PORTABLE_NAME(set, name) PORTABLE_JOIN(set, name)
#define PORTABLE(name)           PORTABLE_NAME(KERNELS_SET, name)

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
#define UNROLL _Pragma("GCC unroll 8")

void PORTABLE(sign)(const struct kernel_sign *k, size_t n_pixels, const float *x, uint64_t *bits);
size_t PORTABLE(binary_scratch)(const struct kernel_binary_conv *k);
void PORTABLE(binary_conv2d)(const struct kernel_binary_conv *k, const uint64_t *x, const float *residual, float *y,
	uint64_t *bits, void *scratch);
