/* SPDX-License-Identifier: MIT */
/* lib/base/endian.h: unaligned loads and stores of fixed byte order. */
#pragma once

#include <stdint.h>
#include <string.h>

#define ENDIAN_PAIR(name, type, swap)                                                                                  \
	static inline type load_##name(const void *p)                                                                  \
	{                                                                                                              \
		type v;                                                                                                \
		memcpy(&v, p, sizeof v);                                                                               \
		return swap(v);                                                                                        \
	}                                                                                                              \
	static inline void store_##name(void *p, type v)                                                               \
	{                                                                                                              \
		v = swap(v);                                                                                           \
		memcpy(p, &v, sizeof v);                                                                               \
	}

#define ENDIAN_SAME(v) (v)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
ENDIAN_PAIR(be16, uint16_t, __builtin_bswap16)
ENDIAN_PAIR(be32, uint32_t, __builtin_bswap32)
ENDIAN_PAIR(be64, uint64_t, __builtin_bswap64)
ENDIAN_PAIR(le16, uint16_t, ENDIAN_SAME)
ENDIAN_PAIR(le32, uint32_t, ENDIAN_SAME)
ENDIAN_PAIR(le64, uint64_t, ENDIAN_SAME)
#else
#error "bnnd needs a little-endian machine: model files are mapped as they are"
#endif
#undef ENDIAN_PAIR
#undef ENDIAN_SAME
