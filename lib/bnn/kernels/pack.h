/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/pack.h: weights of a model file -> the layout of a set's kernels, for the packers of struct kernels.
 *
 * `block` outputs are neighbours, so that a kernel whose vectors run across outputs reads them at once; a last block
 * that is not full is filled up with zeros. Block 1 is the file's own order. Destinations are zeroed before.
 */
#pragma once

#include "lib/bnn/kernels/kernels.h"

/* O x taps floats (taps = ky kx I/groups) -> [group][block of outputs][tap][output]. The size is in floats; false: it
 * does not fit. */
bool pack_conv_size(const struct kernel_conv *k, uint32_t block, size_t *ret_floats);
void pack_conv(const struct kernel_conv *k, uint32_t block, const float *w, float *ret);

/* O x taps x I bits (taps = ky kx) in the file's 32-bit words, at any address -> [block of outputs][tap][word][output]
 * in 64-bit words. */
bool pack_binary_size(const struct kernel_binary_conv *k, uint32_t block, size_t *ret_words);
void pack_binary(const struct kernel_binary_conv *k, uint32_t block, const uint8_t *w, uint64_t *ret);
