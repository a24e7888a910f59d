/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/pack.c: see pack.h. Every value is copied, none is computed: packing cannot change a result. */
#include "lib/bnn/kernels/pack.h"

#include "lib/base/endian.h"
#include "lib/base/memory.h"

static size_t blocks_of(uint32_t n, uint32_t block)
{
	return ((size_t)n + block - 1) / block;
}

/* Of one output's sum. */
static size_t conv_taps(const struct kernel_conv *k)
{
	return (size_t)k->win.kernel_y * k->win.kernel_x * (k->win.in_c / k->groups);
}

bool pack_conv_size(const struct kernel_conv *k, uint32_t block, size_t *ret_floats)
{
	size_t outputs = blocks_of(k->win.out_c / k->groups, block) * block, n;
	return size_mul(outputs, k->groups, &n) && size_mul(n, conv_taps(k), ret_floats);
}

void pack_conv(const struct kernel_conv *k, uint32_t block, const float *w, float *ret)
{
	uint32_t group_out = k->win.out_c / k->groups;
	size_t taps = conv_taps(k), group_floats = blocks_of(group_out, block) * block * taps;
	for (uint32_t o = 0; o < k->win.out_c; o++) {
		uint32_t in_group = o % group_out;
		float *to = ret + o / group_out * group_floats + in_group / block * taps * block + in_group % block;
		for (size_t t = 0; t < taps; t++)
			to[t * block] = w[(size_t)o * taps + t];
	}
}

bool pack_binary_size(const struct kernel_binary_conv *k, uint32_t block, size_t *ret_words)
{
	size_t outputs = blocks_of(k->win.out_c, block) * block, n;
	return size_mul(outputs, (size_t)k->win.kernel_y * k->win.kernel_x, &n) &&
	       size_mul(n, kernel_words(k->win.in_c), ret_words);
}

void pack_binary(const struct kernel_binary_conv *k, uint32_t block, const uint8_t *w, uint64_t *ret)
{
	uint32_t words = kernel_words(k->win.in_c), file_words = (k->win.in_c + 31) / 32;
	size_t taps = (size_t)k->win.kernel_y * k->win.kernel_x;
	for (uint32_t o = 0; o < k->win.out_c; o++) {
		uint64_t *to = ret + o / block * taps * words * block + o % block;
		for (size_t t = 0; t < taps; t++)
			for (uint32_t i = 0; i < file_words; i++) {
				uint64_t v = load_le32(w + 4 * (((size_t)o * taps + t) * file_words + i));
				to[(t * words + i / 2) * block] |= v << 32 * (i % 2);
			}
	}
}
