/* SPDX-License-Identifier: MIT */
/* lib/bnn/kernels/sets.h: the sets of kernels that this build has; kernels.h says what they compute. */
#pragma once

#include "lib/bnn/kernels/kernels.h"

extern const struct kernels kernels_ref;
extern const struct kernels kernels_portable;
#if defined(__x86_64__)
extern const struct kernels kernels_portable_avx2;   /* AVX2, FMA, POPCNT */
extern const struct kernels kernels_portable_avx512; /* AVX-512 F, BW, VL, DQ, VPOPCNTDQ */
#endif
