/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/pack.h: constants of a model file -> the layout of the chosen kernels. Sizes are in elements; the
 * source may be unaligned; destinations are zeroed before. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/bnn/graph.h"

/* Convolution weights O x taps (taps = ky kx I/groups). block 0: as they are. Else [group][block of outputs][tap][output]:
 * a block's outputs are neighbours, the last block of each group is filled up with zeros. */
bool pack_conv_size(uint32_t out_c, uint32_t groups, size_t taps, uint32_t block, size_t *ret_floats);
void pack_conv(const float *w, uint32_t out_c, uint32_t groups, size_t taps, uint32_t block, float *ret);

/* Binary weights O x taps x I bits (taps = ky kx) -> 64-bit words. block 0: [O][tap][word]; else
 * [block of outputs][tap][word][output], filled up with zeros. */
bool pack_binary_size(uint32_t out_c, size_t taps, uint32_t in_c, uint32_t block, size_t *ret_words);
void pack_binary(const struct tensor *w, size_t taps, uint32_t block, uint64_t *ret);
