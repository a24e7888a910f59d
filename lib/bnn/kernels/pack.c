/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/pack.c: see pack.h. Every value is copied, none is computed: packing cannot change a result. */
#include "lib/bnn/kernels/pack.h"

#include <string.h>

#include "lib/base/endian.h"
#include "lib/base/memory.h"
#include "lib/base/require.h"
#include "lib/bnn/kernels/kernels.h"

static size_t blocks_of(uint32_t n, uint32_t block)
{
	return ((size_t)n + block - 1) / block;
}

bool pack_conv_size(uint32_t out_c, uint32_t groups, size_t taps, uint32_t block, size_t *ret_floats)
{
	size_t outputs = block ? blocks_of(out_c / groups, block) * block : out_c / groups, n;
	return size_mul(outputs, groups, &n) && size_mul(n, taps, ret_floats);
}

void pack_conv(const float *w, uint32_t out_c, uint32_t groups, size_t taps, uint32_t block, float *ret)
{
	if (!block) {
		memcpy(ret, w, (size_t)out_c * taps * sizeof *ret);
		return;
	}
	uint32_t group_out = out_c / groups;
	size_t group_floats = blocks_of(group_out, block) * block * taps;
	for (uint32_t o = 0; o < out_c; o++) {
		uint32_t in_group = o % group_out;
		float *to = ret + o / group_out * group_floats + in_group / block * taps * block + in_group % block;
		for (size_t t = 0; t < taps; t++)
			to[t * block] = w[(size_t)o * taps + t];
	}
}

bool pack_binary_size(uint32_t out_c, size_t taps, uint32_t in_c, uint32_t block, size_t *ret_words)
{
	size_t outputs = block ? blocks_of(out_c, block) * block : out_c, n;
	return size_mul(outputs, taps, &n) && size_mul(n, kernel_words(in_c), ret_words);
}

void pack_binary(const struct tensor *w, size_t taps, uint32_t block, uint64_t *ret)
{
	uint32_t out_c = w->shape[0], in_c = w->shape[3], words = kernel_words(in_c), file_words = (in_c + 31) / 32;
	if (!block)
		block = 1;
	for (uint32_t o = 0; o < out_c; o++) {
		uint64_t *to = ret + o / block * taps * words * block + o % block;
		for (size_t t = 0; t < taps; t++)
			for (uint32_t i = 0; i < file_words; i++) {
				uint64_t v = load_le32(w->data + 4 * (((size_t)o * taps + t) * file_words + i));
				to[(t * words + i / 2) * block] |= v << 32 * (i % 2);
			}
	}
}
